"""What formats of a root and joints share, which tell no order: the ground settles it, and whatever else a file holds.

GMR's and TWIST's pickles and PHC's, ASAP's and PBHC's are such: root position, root quaternion, joint angles, rate. By
convention the quaternion is xyzw and the joints are in MuJoCo order, 29 of them or the 23 without the wrists.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.clip import QUATERNION_TOLERANCE, MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.dof import to_dof
from g1_vq_retarget.motion.formats.checks import check_limits
from g1_vq_retarget.motion.formats.evidence import Finding, Measure, agree
from g1_vq_retarget.motion.formats.ground import ground_measures
from g1_vq_retarget.motion.formats.orders import TO_WXYZ, JointOrder, QuatOrder, names_in
from g1_vq_retarget.motion.formats.safe_pickle import numbers_in
from g1_vq_retarget.robot.dof import WRIST_JOINTS, joints_of_width
from g1_vq_retarget.robot.model import RobotModel

QUESTION = "joint and quaternion order"
FLAG = "--joint-order mujoco|isaac and --quat-order xyzw|wxyz"
CONVENTION = "mujoco xyzw"
# Wrists that are nearer to 0, rad, are not missed.
_STILL = 1e-3


@dataclass(frozen=True)
class RootAndJoints:
    """What a file holds, in its own order.

    Attributes:
        fps: frames a second.
        root_pos: (T, 3) m.
        root_quat: (T, 4), in whatever order of components.
        joint_pos: (T, 29) or (T, 23) rad, in whatever order.
        joint_names: names of the columns, None where the file tells none.
    """

    fps: float
    root_pos: np.ndarray
    root_quat: np.ndarray
    joint_pos: np.ndarray
    joint_names: tuple[str, ...] | None = None

    def readings(
        self,
        robot: RobotModel,
        name: str,
        provenance: Provenance,
        joint_order: JointOrder | None,
        quat_order: QuatOrder | None,
    ) -> dict[str, RobotClip]:
        """ "<joint order> <quaternion order>" -> the clip in it, with the robot's joints in its order.

        Raises:
            MotionError: a number of columns that no G1 has, or names that are not its joints'.
        """
        width = self.joint_pos.shape[1]
        if joint_order is None and self.joint_names is not None:
            orders = {"by name": self.joint_names}
        else:
            told = get_args(JointOrder) if joint_order is None else (joint_order,)
            try:
                orders = {order: joints_of_width(robot, names_in(robot, order)[0], width) for order in told}
            except UserError as error:
                raise MotionError(str(error)) from error
        quats = get_args(QuatOrder) if quat_order is None else (quat_order,)
        return {
            f"{order} {quat}": to_dof(
                RobotClip(
                    name=name,
                    fps=self.fps,
                    root_pos_w=self.root_pos,
                    root_quat_w=self.root_quat[:, TO_WXYZ[quat]],
                    joint_names=names,
                    joint_pos=self.joint_pos,
                    provenance=provenance,
                ),
                len(robot.joints),
                robot,
            )
            for order, names in orders.items()
            for quat in quats
        }


def rows(contents: Mapping[Any, Any], key: str, width: int | None = None) -> np.ndarray:
    """(T, width) the finite numbers under a key; any width if None. A last axis of one, as torch leaves it, is dropped.

    Raises:
        MotionError: the key is missing, holds another shape, or a value that is not finite; its frame is named.
    """
    values = numbers_in(contents, key)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim != 2 or width not in (None, values.shape[1]):
        raise MotionError(f"{key} has shape {values.shape}, expected (frames, {width or 'joints'})")
    require_finite(values, key)
    return values


def require_finite(values: np.ndarray, key: str) -> None:
    """Refuse (T, ...) values that are not all finite, naming key and frame."""
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not finite.all():
        raise MotionError(f"{key} is not a finite number at frame {int(np.argmin(finite))}")


def require_frames(values: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays of different lengths, or of none."""
    first, *others = values
    for key in others:
        if len(values[key]) != len(values[first]):
            raise MotionError(f"{key} has {len(values[key])} frames, {first} {len(values[first])}")
    if len(values[first]) == 0:
        raise MotionError(f"{first} has no frames")


def require_unit(quat: np.ndarray, key: str) -> None:
    """Refuse (T, 4) quaternions more than 1 % off unit length, naming key and frame."""
    norm = np.linalg.norm(quat, axis=1)
    wrong = np.abs(norm - 1) > QUATERNION_TOLERANCE
    if wrong.any():
        frame = int(np.argmax(wrong))
        raise MotionError(
            f"{key} is no unit quaternion at frame {frame}: norm {norm[frame]:.3f}, expected 1 within 1 %"
        )


def settled(
    readings: Mapping[str, RobotClip], measures: Sequence[Measure], robot: RobotModel, path: str | Path, width: int
) -> tuple[RobotClip, list[Finding]]:
    """The reading that the ground and further measures agree on, held against the joint limits, and what was found.

    Args:
        readings: of `RootAndJoints.readings`.
        measures: of the same candidates, beside those of the ground.
        robot: link table.
        path: the file, for warnings.
        width: number of joints in the file.

    Raises:
        MotionError: they do not settle it, or angles far beyond limits. Does not name the file.
    """
    findings = []
    first = next(iter(readings))
    if len(readings) == 1:
        findings.append(Finding(QUESTION, first, "caller"))
    else:
        try:
            findings.append(agree(QUESTION, [*measures, *ground_measures(readings, robot)], flag=FLAG))
        except MotionError:
            # an angle out of range explains it more simply
            check_limits(readings.get(CONVENTION, readings[first]), robot, path)
            raise
    answer = findings[0].answer
    if answer in ("mujoco wxyz", "isaac xyzw", "isaac wxyz") and len(readings) > 1:
        warnings.warn(f"{path}: is in the order {answer}, against the format's convention {CONVENTION}", stacklevel=2)
    clip = readings[answer]
    check_limits(clip, robot, path)
    findings.append(Finding("fps", f"{clip.fps:g}", "file"))
    if width < len(robot.joints):
        findings.append(Finding("joints", f"{width} of {len(robot.joints)}, the wrists at 0 rad", "convention"))
    return clip, findings


def without_wrists(clip: RobotClip, path: str | Path, robot: RobotModel) -> RobotClip:
    """The clip as a robot of 23 joints moves, for writing; a warning tells if its wrists are not at 0 rad."""
    wrists = [column for column, name in enumerate(clip.joint_names) if name in WRIST_JOINTS]
    lost = np.abs(clip.joint_pos[:, wrists]).max(initial=0)
    if lost > _STILL:
        warnings.warn(f"{path}: has no wrist joints, which are up to {lost:.2g} rad from 0 in the clip", stacklevel=3)
    return to_dof(clip, len(robot.joints) - len(WRIST_JOINTS), robot)


def words_in(contents: Mapping[Any, Any], key: str) -> tuple[str, ...] | None:
    """The names under a key, None where there are none. Raises MotionError if it holds anything else."""
    value = contents.get(key)
    if isinstance(value, np.ndarray) and value.dtype.kind in "UO" and value.ndim == 1:
        value = value.tolist()
    if value is None or (isinstance(value, (list, tuple)) and not value):
        return None
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
        raise MotionError(f"{key} holds {type(value).__name__}, expected a list of names")
    return tuple(value)
