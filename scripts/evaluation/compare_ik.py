"""Set our inverse kinematics beside another retargeting of the same human motion, clip by clip."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import tyro

from g1_vq_retarget.data.ik_targets import Posture
from g1_vq_retarget.data.process import pair_by_stem
from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.evaluation.ik_comparison import compare_ik, comparison_table, pooled_comparison
from g1_vq_retarget.files import replacing
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.robot import load_robot


@dataclass
class Args:
    """Two folders in, a table out."""

    human: Path
    """Folder of human motion: BVH, or this package's NPZ."""
    robot: Path
    """Folder of what others made of it: Unitree CSV, or NPZ. Files of one name are the same motion, frame by frame."""
    out: Path | None = None
    """File for the figures: .json for all of them, .md for the table."""
    iterations: int = 4
    """Quadratic programs a frame."""
    refine: bool = True
    """Whether to go over whole clips once they are found."""
    pelvis_lean: float = 0.0
    """How much further forward than the human's the robot's pelvis leans, degrees."""
    torso_lean: float = 0.0
    """How much further forward than the human's the robot's torso leans, degrees."""


def main(args: Args) -> None:
    if args.out is not None and args.out.suffix not in (".json", ".md"):
        raise UserError(f"--out {args.out}: expected a name that ends in .json or .md")
    robot = load_robot("g1")
    posture = Posture(math.radians(args.pelvis_lean), math.radians(args.torso_lean))
    parts = []
    for files in pair_by_stem(args.robot, (".csv", ".npz"), args.human, (".bvh", ".npz")):
        if files.human is None:
            continue
        human, theirs = load_motion(files.human), load_motion(files.robot, robot=robot)
        if not isinstance(human, HumanClip):
            raise UserError(f"{files.human}: holds a robot's motion, expected a human's")
        if not isinstance(theirs, RobotClip):
            raise UserError(f"{files.robot}: holds a human's motion, expected a robot's")
        parts.append(compare_ik(human, theirs, robot, iterations=args.iterations, posture=posture, refine=args.refine))
        print(f"{files.name}: {parts[-1].joints_deg:.2f} degrees, {parts[-1].bodies_mm:.0f} mm apart", flush=True)
    table = comparison_table(parts, "theirs")
    print(table)
    if args.out is not None:
        report = {"clips": [part.as_dict() for part in parts], "all": pooled_comparison(parts).as_dict()}
        with replacing(args.out) as file:
            file.write_text(json.dumps(report, indent=1) if args.out.suffix == ".json" else table, encoding="utf-8")
        print(f"wrote {args.out}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
