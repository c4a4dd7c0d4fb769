"""Measure a trained model on a split, and draw its ten worst windows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

import tyro

from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.evaluation.drift import root_drift
from g1_vq_retarget.evaluation.entropy import measured_bits
from g1_vq_retarget.evaluation.inputs import folder_for
from g1_vq_retarget.evaluation.physics import decoded_quality
from g1_vq_retarget.evaluation.rate_distortion import plot_rate_distortion, rate_distortion, rate_table
from g1_vq_retarget.evaluation.worst_windows import plot_worst_windows
from g1_vq_retarget.files import replacing
from g1_vq_retarget.motion.quality import PhysicalQuality
from g1_vq_retarget.training.checkpoint import load_checkpoint
from g1_vq_retarget.training.metrics import evaluate
from g1_vq_retarget.training.prior_file import load_prior


@dataclass
class Args:
    """A checkpoint and windows in, figures and a picture out."""

    checkpoint: Path
    """Run folder (its best checkpoint) or .safetensors file."""
    data: Path
    """Folder made by scripts/data/process_data.py."""
    split: str = "test"
    """Split to measure on."""
    coding: Literal["windows", "clips"] | None = None
    """windows: each is coded for itself. clips: whole clips are coded, as in use, and the windows cut from what is
    decoded. By default as the model was trained: clips with --crop, else windows."""
    prior: Path | None = None
    """File of scripts/train_prior.py, or the run folder it is in: also tell the measured rate, over whole clips."""
    json: Path | None = None
    """File for the figures; the picture stands beside it, with the same stem."""
    rate_distortion: Path | None = None
    """Picture (.png or .pdf) of error over rate: the model with its first 1, 2, … levels, and classical coding of the
    same windows. The table is printed, the numbers stand beside the picture as JSON. Takes minutes."""


def physical_table(paths: dict[str, PhysicalQuality]) -> str:
    """A line a figure, a column a path; units stand in `PhysicalQuality`."""
    lines = [f"  {'physical quality':32s}" + "".join(f"{path:>10s}" for path in paths)]
    for field in fields(PhysicalQuality):
        values = (getattr(quality, field.name) for quality in paths.values())
        shown = (
            "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value) for value in values
        )
        lines.append(f"  {f'physical.{field.name}':32s}" + "".join(f"{value:>10s}" for value in shown))
    return "\n".join(lines)


def main(args: Args) -> None:
    checkpoint = load_checkpoint(args.checkpoint)
    folder = folder_for(checkpoint, args.data)
    spec = checkpoint.spec
    if args.json is not None and args.json.suffix == ".png":
        raise UserError(f"--json {args.json}: the picture will have this name; choose another suffix")
    if args.rate_distortion is not None:
        if args.rate_distortion.suffix not in (".png", ".pdf"):
            raise UserError(f"--rate-distortion {args.rate_distortion}: expected a name that ends in .png or .pdf")
        if args.json is not None and args.rate_distortion.with_suffix("") == args.json.with_suffix(""):
            raise UserError(
                f"--rate-distortion {args.rate_distortion}: would replace what --json writes; choose another stem"
            )
    prior = None if args.prior is None else load_prior(args.prior, checkpoint)
    split = folder.split(args.split)
    robot = spec.robot_model()
    human = checkpoint.info["human_windows"] > 0
    coding = args.coding or ("clips" if checkpoint.info.get("crop") else "windows")
    whole_clips = coding == "clips"
    result = evaluate(checkpoint.model, split, spec, robot, human, whole_clips)
    if prior is not None:
        rate = measured_bits(checkpoint.model, prior.prior, split, spec)
        result.metrics["measured_bits_per_second"] = rate.bits_per_second
        result.metrics["measured_bits"] = rate.bits_per_level
    physical = {}
    if robot is not None and spec.root:  # else nothing is known of the floor
        physical = decoded_quality(checkpoint.model, split, spec, robot, human, whole_clips)
    drift = {}
    if spec.root and whole_clips:  # windows are too short to stray
        sides = {"robot": False} | ({"human": True} if human and len(split.human) else {})
        found = {path: root_drift(checkpoint.model, split, spec, side) for path, side in sides.items()}
        drift = {path: asdict(strayed) for path, strayed in found.items() if strayed is not None}
    protocol = folder.manifest["protocol"]
    print(f"{checkpoint.path} on {args.split} of {args.data} ({protocol} protocol), {coding} coded")
    for name, value in result.metrics.items():
        if name == "usage_deciles":  # ten numbers a level: for the file
            continue
        shown = " ".join(f"{v:.4g}" for v in value) if isinstance(value, list) else f"{value:.5g}"
        print(f"  {name:28s}{shown}")
    if physical:
        print(physical_table(physical))
    for path, strayed in drift.items():
        print(
            f"  root after {strayed['seconds']:g} s, {path}: {strayed['place_m']:.2f} m and "
            f"{strayed['heading_deg']:.1f}° off, the way being {strayed['way_m']:.2f} m "
            f"(mean of {strayed['stretches']})"
        )
    if args.json is not None:
        picture = args.json.with_suffix(".png")
        worst = plot_worst_windows(
            picture, checkpoint.model, split, spec, robot, result.recon_per_window, whole_clips=whole_clips
        )
        report = {
            "checkpoint": str(checkpoint.path),
            "weights_sha256": checkpoint.info["weights_sha256"],
            "data": str(args.data),
            "protocol": protocol,
            "split": args.split,
            "coding": coding,
            "metrics": result.metrics,
            "drift": drift,
            "physical": {path: asdict(quality) for path, quality in physical.items()},
            "worst_windows": worst,
        }
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
        print(f"wrote {args.json} and {picture}")
    if args.rate_distortion is not None:
        label = checkpoint.info["label"] or args.checkpoint.stem
        curves = rate_distortion(folder, split, {label: (checkpoint.model, spec)}, spec.root, whole_clips)
        print(rate_table(curves))
        plot_rate_distortion(args.rate_distortion, curves)
        numbers = args.rate_distortion.with_suffix(".json")
        told = {"data": str(args.data), "protocol": protocol, "split": args.split, "coding": coding} | asdict(curves)
        with replacing(numbers) as temporary:
            temporary.write_text(json.dumps(told, indent=1), encoding="utf-8")
        print(f"wrote {args.rate_distortion} and {numbers}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
