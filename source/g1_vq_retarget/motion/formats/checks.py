"""What every reader of robot motion does: name the file in errors, hold the joints against their limits."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from g1_vq_retarget.motion.clip import MotionError, RobotClip
from g1_vq_retarget.robot.model import RobotModel

# Joint angles further beyond their limits than this (rad) are refused; nearer ones get a warning.
LIMIT_TOLERANCE = 0.5
# Messages that quote a file are cut to so many letters.
LONGEST_MESSAGE = 1000
# Less than this (rad) is rounding.
_LIMIT_ROUNDING = 1e-3


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Put the file's name before the message of a `MotionError`, and keep that a line whatever words the file holds."""
    try:
        yield
    except MotionError as error:
        message = "".join(letter if letter.isprintable() else " " for letter in str(error))
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[:LONGEST_MESSAGE]} …"
        raise MotionError(f"{path}: {message}") from error


def check_limits(clip: RobotClip, robot: RobotModel, path: str | Path) -> None:
    """Refuse joint angles more than 0.5 rad beyond the robot's limits; warn, once a file, of smaller excesses.

    Raises:
        MotionError: an angle too far out, or a joint of the robot that the clip lacks. Does not name the file.
    """
    pos = clip.with_joint_order(robot.joint_names).joint_pos
    lower, upper = robot.limits.T
    excess = np.maximum(lower - pos, pos - upper)
    frame, joint = np.unravel_index(np.argmax(excess), excess.shape)
    worst = excess[frame, joint]
    if worst <= _LIMIT_ROUNDING:
        return
    message = (
        f"{robot.joint_names[joint]} is {worst:.3f} rad beyond its limits "
        f"[{lower[joint]:.3f}, {upper[joint]:.3f}] at frame {frame}"
    )
    if worst > LIMIT_TOLERANCE:
        raise MotionError(f"{message}: expected radians, in the joint order of the format")
    warnings.warn(f"{path}: {message}", stacklevel=2)


def require_robot_joints(clip: RobotClip, robot: RobotModel) -> RobotClip:
    """The clip in the robot's joint order. Raises MotionError if its joints are not exactly the robot's."""
    odd = set(clip.joint_names) ^ set(robot.joint_names)
    if odd:
        raise MotionError(f"clip {clip.name!r} does not have the joints of {robot.title}: {', '.join(sorted(odd))}")
    return clip.with_joint_order(robot.joint_names)
