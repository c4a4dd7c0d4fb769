"""Write the built-in sample as motion files: the human's, and the robot's found by inverse kinematics."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.data.sample import sample_clips, sample_split
from g1_vq_retarget.errors import reporting
from g1_vq_retarget.files import replacing
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.robot import load_robot


@dataclass
class Args:
    """The sample as files."""

    out: Path
    """Folder to write: human/NAME.npz, g1/NAME.npz (or .csv) and split.json."""
    seed: int = 0
    """What the motion is made up from: the same seed, the same motion."""
    format: Literal["npz", "csv"] = "npz"
    """Of the robot's motion: the package's own NPZ, or Unitree's CSV, which does not tell the rate, 30 fps."""


def main(args: Args) -> None:
    robot = load_robot("g1")
    clips = sample_clips(args.seed)
    for human in clips:
        save_motion(human, args.out / "human" / f"{human.name}.npz", "npz")
        motion = retarget_by_ik(human, robot, show_progress=True)
        save_motion(motion, args.out / "g1" / f"{human.name}.{args.format}", args.format, robot)
    with replacing(args.out / "split.json") as file:
        file.write_text(json.dumps(sample_split(), indent=1), encoding="utf-8")
    print(f"{args.out}: {len(clips)} clips, {sum(clip.duration for clip in clips):.0f} s")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
