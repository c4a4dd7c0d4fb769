"""Teach a trained model's human encoder from pairs; vocabulary, decoder and the robot's tokens stay as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from g1_vq_retarget.errors import reporting
from g1_vq_retarget.evaluation.inputs import folder_for
from g1_vq_retarget.training.checkpoint import load_checkpoint
from g1_vq_retarget.training.human import HumanTrainConfig, train_human


@dataclass
class Args:
    """A checkpoint and pairs in, a checkpoint that understands their humans better out."""

    checkpoint: Path
    """Run folder (its best checkpoint) or .safetensors file."""
    data: Path
    """Folder made by scripts/data/process_data.py, with pairs; its normalisation may be another than the model's."""
    run: Path
    """Folder for the taught model."""
    training: tyro.conf.OmitArgPrefixes[HumanTrainConfig] = field(default_factory=HumanTrainConfig)


def main(args: Args) -> None:
    checkpoint = load_checkpoint(args.checkpoint)
    log = train_human(checkpoint, folder_for(checkpoint, args.data), args.run, args.training)
    for line in (log[0], log[-1]):
        if "val" in line:
            told = ", ".join(f"{name} {value:.4f}" for name, value in line["val"].items())
            print(f"val after {line['epoch']} epochs: {told}")
    print(f"next: python scripts/evaluate.py --checkpoint {args.run} --data {args.data} --split test")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
