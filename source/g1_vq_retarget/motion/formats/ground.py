"""What the ground tells of how to read a robot's motion: what touches the floor stays put, and soles stand on it.

Read in a wrong order, a quaternion turns the robot's body against its path: it hangs from the floor, or walks backwards
and drags its feet. So do joints in a wrong order. Neither shows in how smooth a motion is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from g1_vq_retarget.motion.clip import RobotClip
from g1_vq_retarget.motion.formats.evidence import Measure
from g1_vq_retarget.robot.capsules import capsules_of
from g1_vq_retarget.robot.kinematics import forward_kinematics
from g1_vq_retarget.robot.model import RobotModel

# Enough frames to tell readings apart, few enough to be quick.
_FRAMES = 100
# A robot that stands still slides no slower than this, m/s, for rounding and for rolling over its feet. In cuts of 64
# frames and more of Unitree's 40 LAFAN1 clips the right reading slides at a third of any other's speed, in nine of ten.
_SLIDE_NOISE, _SLIDE_MARGIN, _SLIDE_FITS = 0.03, 1.75, 2.0
# In nine of ten such cuts the soles are nearer to the floor than this, m.
_SOLE_FITS, _SOLE_MARGIN = 0.05, 3.0


def ground_measures(candidates: Mapping[str, RobotClip], robot: RobotModel) -> list[Measure]:
    """Two kinds of evidence on which of several readings of the same frames is right.

    The first is the speed of whichever point of the robot is lowest, m/s, median over steps: it tells for whoever
    moves, on any floor, on feet, hands or back. The second is how far the lowest sole is from the floor, z = 0, m,
    mean over frames. That can only contradict: among readings of one that lies, or stands on a step, a wrong one may
    happen to have its feet at that height.

    Args:
        candidates: name -> clip of the robot's joints; all of one length and rate.
        robot: link table.
    """
    slides, soles = zip(*(_misfits(clip, robot) for clip in candidates.values()), strict=True)
    return [
        Measure(
            "slide of the lowest point, m/s",
            dict(zip(candidates, slides, strict=True)),
            fits=_SLIDE_FITS,
            margin=_SLIDE_MARGIN,
            noise=_SLIDE_NOISE,
        ),
        Measure(
            "lowest sole to the floor, m",
            dict(zip(candidates, soles, strict=True)),
            fits=_SOLE_FITS,
            margin=_SOLE_MARGIN,
            noise=_SOLE_FITS,
            decides=False,
        ),
    ]


def _misfits(clip: RobotClip, robot: RobotModel) -> tuple[float, float]:
    clip = clip.with_joint_order(robot.joint_names)
    first = np.unique(np.linspace(0, max(len(clip) - 2, 0), _FRAMES).astype(int))
    frames = np.concatenate([first, np.minimum(first + 1, len(clip) - 1)])
    poses = forward_kinematics(
        robot, *(torch.from_numpy(values[frames]) for values in (clip.joint_pos, clip.root_pos_w, clip.root_quat_w))
    )
    capsules = capsules_of(robot)
    below = capsules.ends_at(poses).numpy()
    below[..., 2] -= capsules.radius[:, None]
    feet = np.isin(capsules.link, robot.link_indices(robot.feet))
    soles = below[: len(first)][:, feet][..., 2].min(axis=(1, 2))
    points = below.reshape(len(frames), -1, 3)
    here, after = points[: len(first)], points[len(first) :]
    step, lowest = np.arange(len(first)), here[..., 2].argmin(axis=1)
    slide = np.linalg.norm(after[step, lowest] - here[step, lowest], axis=-1) * clip.fps
    return float(np.median(slide)), float(np.abs(soles).mean())
