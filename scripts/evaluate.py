"""Measure a trained model on a split, and draw its ten worst windows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.evaluation.worst_windows import plot_worst_windows
from g1_vq_retarget.files import replacing
from g1_vq_retarget.training.checkpoint import load_checkpoint
from g1_vq_retarget.training.metrics import evaluate


@dataclass
class Args:
    """A checkpoint and windows in, figures and a picture out."""

    checkpoint: Path
    """Run folder (its best checkpoint) or .safetensors file."""
    data: Path
    """Folder made by scripts/data/process_data.py."""
    split: str = "test"
    """Split to measure on."""
    json: Path | None = None
    """File for the figures; the picture stands beside it, with the same stem."""


def main(args: Args) -> None:
    checkpoint = load_checkpoint(args.checkpoint)
    folder = DataFolder(args.data)
    spec = checkpoint.spec
    if folder.joint_names != spec.joint_names:
        raise UserError(f"{args.data}: joint order differs from {checkpoint.path}'s; make the folder again")
    if folder.fps != spec.fps:
        raise UserError(
            f"{args.data}: {folder.fps:g} fps, {checkpoint.path} works at {spec.fps:g}; make it at that rate"
        )
    if folder.robot != spec.robot:
        raise UserError(f"{args.data}: motion of {folder.robot}, {checkpoint.path} is for {spec.robot}; use another")
    if folder.orientation != spec.orientation:
        raise UserError(
            f"{args.data}: orientation {folder.orientation}, {checkpoint.path} works with {spec.orientation}; "
            "make it with another --orientation"
        )
    if folder.window % checkpoint.model.downsample:
        raise UserError(
            f"{args.data}: windows of {folder.window} frames do not divide into {checkpoint.path}'s steps of "
            f"{checkpoint.model.downsample}; make it with another --window"
        )
    if args.json is not None and args.json.suffix == ".png":
        raise UserError(f"--json {args.json}: the picture will have this name; choose another suffix")
    split = folder.split(args.split)
    robot = spec.robot_model()
    result = evaluate(checkpoint.model, split, spec, robot, human=checkpoint.info["human_windows"] > 0)
    protocol = folder.manifest["protocol"]
    print(f"{checkpoint.path} on {args.split} of {args.data} ({protocol} protocol)")
    for name, value in result.metrics.items():
        if name == "usage_deciles":  # ten numbers a level: for the file
            continue
        shown = " ".join(f"{v:.4g}" for v in value) if isinstance(value, list) else f"{value:.5g}"
        print(f"  {name:28s}{shown}")
    if args.json is not None:
        picture = args.json.with_suffix(".png")
        worst = plot_worst_windows(picture, checkpoint.model, split, spec, robot, result.recon_per_window)
        report = {
            "checkpoint": str(checkpoint.path),
            "weights_sha256": checkpoint.info["weights_sha256"],
            "data": str(args.data),
            "protocol": protocol,
            "split": args.split,
            "metrics": result.metrics,
            "worst_windows": worst,
        }
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
        print(f"wrote {args.json} and {picture}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
