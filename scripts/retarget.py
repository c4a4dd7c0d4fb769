"""Turn human motion (or robot motion) into G1 motion, by way of tokens."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.files import replacing
from g1_vq_retarget.motion import HumanClip, RobotClip, path_length
from g1_vq_retarget.motion.formats import (
    JointOrder,
    QuatOrder,
    SaveFormat,
    Unit,
    UpAxis,
    load_motion,
    rate_of,
    save_motion,
)
from g1_vq_retarget.retarget import Retargeter


@dataclass
class Args:
    """Motion in, G1 motion out."""

    checkpoint: Path
    """Run folder (its best checkpoint) or .safetensors file."""
    input: Path
    """Motion file of one clip: BVH, AMASS NPZ, GVHMR's or WHAM's results; with --from robot any file of a robot's."""
    output: Path
    """File to write."""
    format: SaveFormat = "npz"
    """npz is this package's own; csv is Unitree's; tracking-* are for tracking policies in either simulator;
    motionvqvae is MotionVQVAE's NPY. Joints other than the G1's fit into npz and motionvqvae."""
    source: Annotated[Literal["human", "robot"], tyro.conf.arg(name="from")] = "human"
    """Whose motion the input is."""
    levels: int | None = None
    """Only so many tokens a step, for a lower rate; by default all of the model's."""
    project: bool = False
    """Make the decoded motion stand on its feet (no slide, nothing below the floor at z = 0, within limits) and tell
    what that changed."""
    fps: float | None = None
    """Rate of the output, by default the model's; for csv, which cannot tell it, 30."""
    input_fps: float | None = None
    """Rate of an input whose format tells none (CSV: 30 if not given; a video's results)."""
    bvh_up: UpAxis | None = None
    """Up axis of a BVH or of SMPL parameters, where the motion itself does not settle it."""
    bvh_unit: Unit | None = None
    """Unit of a BVH, where the length of the legs does not settle it."""
    smpl_model: Path | None = None
    """SMPL model as NPZ, for the exact lengths of a body given by SMPL parameters."""
    quat_order: QuatOrder | None = None
    """Order of the quaternion in a CSV."""
    joint_order: JointOrder | None = None
    """Order of the joints in a tracking NPZ without names."""
    tokens: Path | None = None
    """Also write the tokens, to this NPZ."""


def main(args: Args) -> None:
    for flag, fps in (("--fps", args.fps), ("--input-fps", args.input_fps)):
        if fps is not None and not (math.isfinite(fps) and fps > 0):
            raise UserError(f"{flag} must be a positive number, it is {fps:g}")
    if args.tokens is not None and args.tokens.resolve() == args.output.resolve():
        raise UserError(f"--output and --tokens both name {args.output}; choose two files")
    if args.output.suffix in (".csv", ".npy", ".bvh") and args.format.startswith(("npz", "tracking")):
        raise UserError(f"--output {args.output} would be an NPZ file; name it .npz or choose another --format")
    retargeter = Retargeter(args.checkpoint)
    clip = load_motion(
        args.input,
        robot=retargeter.robot,
        fps=args.input_fps,
        up=args.bvh_up,
        unit=args.bvh_unit,
        smpl_model=args.smpl_model,
        quat_order=args.quat_order,
        joint_order=args.joint_order,
    )
    wanted = HumanClip if args.source == "human" else RobotClip
    if not isinstance(clip, wanted):
        other = "robot" if args.source == "human" else "human"
        raise UserError(f"{args.input}: holds {other} motion; use --from {other} or another file")
    result = retargeter.retarget(clip, rate_of(args.format) if args.fps is None else args.fps, args.levels)
    motion, changes = retargeter.project(result.motion) if args.project else (result.motion, None)
    with replacing(args.tokens) if args.tokens is not None else nullcontext() as tokens:  # both files or none
        if tokens is not None:
            result.tokens.save(tokens)
        save_motion(motion, args.output, args.format, robot=retargeter.robot)
    if args.tokens is not None:
        print(f"wrote {args.tokens}: {len(result.tokens.tokens)} steps of {len(result.tokens.codebook_sizes)} tokens")
    rate = result.tokens.bits / (result.tokens.frames / result.tokens.fps)
    print(f"wrote {args.output}: {len(motion)} frames at {motion.fps:g} fps, {rate:.0f} bits/s")
    before, after = path_length(clip), path_length(motion)
    if before > 0:
        print(f"root path {after:.2f} m, {after / before:.3f} of the input's {before:.2f} m")
    if result.held.share:
        print(f"held at joint limits: {100 * result.held.share:.2f} % of values, at most {result.held.largest:.3f} rad")
    if changes is not None:
        print(f"projected: {changes}")
    if result.tokens.licence:
        print(f"licence of the motion: {result.tokens.licence}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
