"""Windows of the sample, the robot's side found by inverse kinematics."""

from __future__ import annotations

from pathlib import Path

from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.data.process import ClipFiles, WindowConfig, process
from g1_vq_retarget.data.sample.clips import sample_clips, sample_split
from g1_vq_retarget.robot import RobotModel


def process_sample(seed: int, out: Path, config: WindowConfig, robot: RobotModel) -> dict:
    """`process` without files: each clip of the sample stands under its name. Returns the manifest.

    Raises:
        UserError: as `process`, or something for inverse kinematics is not installed.
    """
    clips = {Path(clip.name): clip for clip in sample_clips(seed)}
    split = {"train": [path.name for path in clips]} if config.protocol == "seed" else sample_split()
    splits = {key: [ClipFiles(name, Path(name), Path(name)) for name in names] for key, names in split.items()}
    return process(splits, out, config, robot, lambda path: retarget_by_ik(clips[path], robot), clips.__getitem__)
