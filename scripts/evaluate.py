"""Measure a trained model on a split, and draw its ten worst windows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.evaluation.inputs import folder_for
from g1_vq_retarget.evaluation.rate_distortion import plot_rate_distortion, rate_distortion, rate_table
from g1_vq_retarget.evaluation.report import Coding, coding_of, measure
from g1_vq_retarget.evaluation.worst_windows import plot_worst_windows
from g1_vq_retarget.files import check_writable, replacing
from g1_vq_retarget.training.checkpoint import load_checkpoint
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
    coding: Coding | None = None
    """windows: each is coded for itself. clips: whole clips are coded, as in use, and the windows cut from what is
    decoded. By default as the model was trained: clips with --crop, else windows."""
    prior: Path | None = None
    """File of scripts/train_prior.py, or the run folder it is in: also tell the measured rate, over whole clips."""
    json: Path | None = None
    """File for the figures; the picture stands beside it, with the same stem."""
    rate_distortion: Path | None = None
    """Picture (.png or .pdf) of error over rate: the model with its first 1, 2, … levels, and classical coding of the
    same windows. The table is printed, the numbers stand beside the picture as JSON. Takes minutes."""


def main(args: Args) -> None:
    checkpoint = load_checkpoint(args.checkpoint)
    folder = folder_for(checkpoint, args.data)
    if args.json is not None and args.json.suffix == ".png":
        raise UserError(f"--json {args.json}: the picture will have this name; choose another suffix")
    if args.rate_distortion is not None:
        if args.rate_distortion.suffix not in (".png", ".pdf"):
            raise UserError(f"--rate-distortion {args.rate_distortion}: expected a name that ends in .png or .pdf")
        if args.json is not None and args.rate_distortion.with_suffix("") == args.json.with_suffix(""):
            raise UserError(
                f"--rate-distortion {args.rate_distortion}: would replace what --json writes; choose another stem"
            )
    for path in (args.json, args.rate_distortion):
        if path is not None:
            check_writable(path)
    prior = None if args.prior is None else load_prior(args.prior, checkpoint)
    coding = args.coding or coding_of(checkpoint)
    report = measure(checkpoint, folder, args.split, coding, prior)
    print(report.text())
    model, spec, split, whole_clips = checkpoint.model, checkpoint.spec, folder.split(args.split), coding == "clips"
    if args.json is not None:
        picture = args.json.with_suffix(".png")
        worst = plot_worst_windows(
            picture, model, split, spec, spec.robot_model(), report.recon_per_window, whole_clips=whole_clips
        )
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(report.to_dict() | {"worst_windows": worst}, indent=1), encoding="utf-8")
        print(f"wrote {args.json} and {picture}")
    if args.rate_distortion is not None:
        label = checkpoint.info["label"] or args.checkpoint.stem
        curves = rate_distortion(folder, split, {label: (model, spec)}, spec.root, whole_clips)
        print(rate_table(curves))
        plot_rate_distortion(args.rate_distortion, curves)
        numbers = args.rate_distortion.with_suffix(".json")
        told = {key: getattr(report, key) for key in ("data", "protocol", "split", "coding")} | asdict(curves)
        with replacing(numbers) as temporary:
            temporary.write_text(json.dumps(told, indent=1), encoding="utf-8")
        print(f"wrote {args.rate_distortion} and {numbers}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
