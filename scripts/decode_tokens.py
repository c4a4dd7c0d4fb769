"""Make G1 motion from token sequences: those retarget.py wrote, or any of your own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.files import existing_file
from g1_vq_retarget.motion.formats import SaveFormat, rate_of, save_motion
from g1_vq_retarget.retarget import MotionTokens, Retargeter


@dataclass
class Args:
    """Tokens in, G1 motion out."""

    checkpoint: Path
    """Run folder (its best checkpoint) or .safetensors file."""
    tokens: Path
    """Token file of retarget.py (NPZ), or integers of shape (steps, levels) as NPY or as text, a step a line."""
    output: Path
    """File to write."""
    format: SaveFormat = "npz"
    """npz is this package's own; csv is Unitree's; tracking-* are for tracking policies in either simulator;
    motionvqvae is MotionVQVAE's NPY. Joints other than the G1's fit into npz and motionvqvae."""
    project: bool = False
    """Make the decoded motion stand on its feet (no slide, nothing below the floor at z = 0, within limits) and tell
    what that changed."""


def read_tokens(path: Path, retargeter: Retargeter) -> MotionTokens:
    """Tokens of a token file, or of bare integers, which start at the origin.

    Raises:
        UserError: the file is neither.
    """
    with existing_file(path).open("rb") as file:
        head = file.read(6)
    if head.startswith(b"PK"):
        return MotionTokens.load(path)
    try:
        numbers = np.load(path, allow_pickle=False) if head == b"\x93NUMPY" else np.loadtxt(path, dtype=int, ndmin=2)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path}: neither a token file nor integers, a step a line ({error})") from error
    return retargeter.tokens_from(numbers, path.stem)


def main(args: Args) -> None:
    retargeter = Retargeter(args.checkpoint)
    tokens = read_tokens(args.tokens, retargeter)
    motion, held = retargeter.decode(tokens, rate_of(args.format))
    motion, changes = retargeter.project(motion) if args.project else (motion, None)
    save_motion(motion, args.output, args.format, robot=retargeter.robot)
    print(f"wrote {args.output}: {len(motion)} frames at {motion.fps:g} fps from {len(tokens.tokens)} steps")
    if held.share:
        print(f"held at joint limits: {100 * held.share:.2f} % of values, at most {held.largest:.3f} rad")
    if changes is not None:
        print(f"projected: {changes}")
    if tokens.licence:
        print(f"licence of the motion: {tokens.licence}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
