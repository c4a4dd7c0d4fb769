"""Joint and speed limits, kept frame by frame on the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.robot import RobotModel, index_by_name


@dataclass
class LimitCounts:
    """What had to be held back.

    Attributes:
        frames: frames that came through.
        beyond: frames with a joint beyond its limits.
        too_fast: frames with a joint faster than its motor.
        invalid: frames with an angle that is no finite number, in whose place the frame before was repeated.
        root_too_fast: frames whose root was faster than any human's, and was held back.
        refused: human frames that the retargeter could make nothing of, or that leapt; the robot held its pose.
        largest_beyond: largest excess over a joint's limits, rad.
        largest_too_fast: largest excess over a motor's speed, rad/s.
    """

    frames: int = 0
    beyond: int = 0
    too_fast: int = 0
    invalid: int = 0
    root_too_fast: int = 0
    refused: int = 0
    largest_beyond: float = 0.0
    largest_too_fast: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.beyond} frames beyond joint limits (at most {self.largest_beyond:.3f} rad), "
            f"{self.too_fast} faster than motors (at most {self.largest_too_fast:.2f} rad/s), {self.invalid} invalid, "
            f"{self.root_too_fast} with a root too fast; {self.refused} human frames refused"
        )


class JointLimiter:
    """Angles in, angles out that are within every joint's limits and no faster than its motor turns.

    An angle is first held at its joint's limits, then brought no further than a motor can within a frame from where it
    was; being between two angles within the limits it is within them, too. So a joint that was too fast arrives later,
    by the way that it was told.

    Args:
        robot: the link table, with limits and motors.
        joint_names: the order of the angles.
        fps: frames a second.
        start: (J,) rad, the angles before the first frame.
        speed: the share of the motors' speeds that may be used, above 0 and up to 1.

    Raises:
        UserError: `speed` is no such share.
        ValueError: a joint that the robot lacks.
    """

    def __init__(
        self, robot: RobotModel, joint_names: Sequence[str], fps: float, start: np.ndarray, speed: float = 1.0
    ) -> None:
        if not 0 < speed <= 1:
            raise UserError(f"speed must be a share of the motors' speeds, above 0 and up to 1; it is {speed:g}")
        columns = index_by_name(robot.joint_names, joint_names)
        self._lower, self._upper = robot.limits[columns].T
        self._fps = fps
        self._step = speed * np.array([robot.joints[column].motor.velocity for column in columns]) / fps
        self._last = np.clip(start, self._lower, self._upper)
        self.counts = LimitCounts()

    def __call__(self, joint_pos: np.ndarray) -> np.ndarray:
        """(J,) the next frame's angles, rad, as they may be."""
        counts = self.counts
        counts.frames += 1
        if not np.isfinite(joint_pos).all():
            counts.invalid += 1
            return self._last
        within = np.clip(joint_pos, self._lower, self._upper)
        slow = np.clip(within, self._last - self._step, self._last + self._step)
        beyond = float(np.abs(joint_pos - within).max())
        # rounding must not tell a joint at the motor's very speed as too fast
        too_fast = float(np.abs(within - slow).max()) * self._fps
        counts.beyond += beyond > 0
        counts.too_fast += too_fast > 1e-9
        counts.largest_beyond = max(counts.largest_beyond, beyond)
        counts.largest_too_fast = max(counts.largest_too_fast, too_fast)
        self._last = slow
        return slow
