"""Export a trained model: its parts as ONNX and TorchScript, and what is to be known to use them. Needs the extra
`deployment`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from g1_vq_retarget.errors import reporting
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.retarget.exported_check import check, table, verify
from g1_vq_retarget.retarget.graphs import Part
from g1_vq_retarget.retarget.tokenizer_export import export_tokenizer
from g1_vq_retarget.training.checkpoint import load_checkpoint


@dataclass
class Args:
    """A checkpoint in, a folder out; verify it with scripts/deployment/verify_tokenizer.py."""

    checkpoint: Path
    """Run folder (its best checkpoint) or .safetensors file."""
    output: Path
    """New folder for <part>.onnx, <part>.pt and tokenizer.json."""
    parts: tuple[Part, ...] = ()
    """Which parts, by default all that the model has: encoders of human and robot to tokens, the decoder of tokens, a
    human's motion to the robot's, and, of a causal model, a single step of that with its state."""
    levels: int | None = None
    """Only so many tokens a step, for a lower rate; by default all of the model's."""
    verify: tuple[Path, ...] = ()
    """Motion files of one clip, to hold what was written against the model on, as verify_tokenizer.py does."""


def main(args: Args) -> None:
    checkpoint = load_checkpoint(args.checkpoint)
    clips = [load_motion(path, robot=checkpoint.spec.robot_model()) for path in args.verify]
    exported = export_tokenizer(checkpoint, args.output, args.parts, args.levels)
    card = exported.card
    print(
        f"wrote {args.output}: {', '.join(exported.parts)}; {card['levels']} tokens a step, "
        f"{card['steps_per_second']:g} steps/s, {card['bits_per_second']:.0f} bits/s"
    )
    if card["licences"]:
        print(f"licence of what it was trained on: {'; '.join(card['licences'])}")
    if clips:
        found = verify(checkpoint, exported, clips)
        print(table(found))
        check(found, exported)


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
