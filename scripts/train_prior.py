"""Train a prior over a trained model's tokens: it measures their true rate, compresses them, and draws new motion."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.evaluation.inputs import folder_for
from g1_vq_retarget.training.checkpoint import load_checkpoint
from g1_vq_retarget.training.prior import PriorTrainConfig, train_prior
from g1_vq_retarget.training.prior_file import NAME


@dataclass
class Args:
    """A checkpoint and windows in, a prior out."""

    checkpoint: Path
    """Run folder (its best checkpoint) or .safetensors file."""
    data: Path
    """Folder made by scripts/data/process_data.py; the clips of its train split are put together again."""
    out: Path | None = None
    """File to write (.safetensors, a JSON stands beside it); by default prior.safetensors beside the checkpoint."""
    training: tyro.conf.OmitArgPrefixes[PriorTrainConfig] = field(default_factory=PriorTrainConfig)


def main(args: Args) -> None:
    checkpoint = load_checkpoint(args.checkpoint)
    out = args.out or checkpoint.path.with_name(NAME)
    if out.suffix != ".safetensors" or out.resolve() == checkpoint.path.resolve():
        raise UserError(f"--out {out}: expected the name of a new .safetensors file")
    found = train_prior(checkpoint, folder_for(checkpoint, args.data), out, args.training)
    nominal = checkpoint.model.bits_per_second(checkpoint.spec.fps)
    print(f"wrote {out}: {found['bits_per_second']:.1f} bits/s on {found['chosen_on']}, nominal {nominal:.1f}")
    print("  bits of each level: " + " ".join(f"{bits:.2f}" for bits in found["bits_per_level"]))


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
