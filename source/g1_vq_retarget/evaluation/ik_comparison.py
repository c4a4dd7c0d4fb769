"""Inverse kinematics beside another retargeting of the same human motion: how far apart, and which is the sounder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import process_time

import numpy as np
import torch

from g1_vq_retarget.data.ik_targets import AS_HUMAN, Posture
from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.motion import HumanClip, MotionError, RobotClip, resample
from g1_vq_retarget.motion.quality import PhysicalQuality, physical_quality, pooled
from g1_vq_retarget.robot import RobotModel, forward_kinematics


@dataclass(frozen=True)
class IkComparison:
    """One clip, or several pooled.

    Attributes:
        name: of the clip.
        frames: frames compared.
        joints_deg: mean absolute difference of the joint angles, degrees.
        bodies_mm: mean distance of the links in the pelvis' frame, mm.
        frames_per_second: frames found a second of one core's time.
        ours, theirs: what is physical about either, the floor at z = 0.
    """

    name: str
    frames: int
    joints_deg: float
    bodies_mm: float
    frames_per_second: float
    ours: PhysicalQuality
    theirs: PhysicalQuality

    def as_dict(self) -> dict:
        """Plain values for JSON."""
        return asdict(self)


def compare_ik(
    human: HumanClip,
    theirs: RobotClip,
    robot: RobotModel,
    *,
    iterations: int = 4,
    posture: Posture = AS_HUMAN,
    refine: bool = False,
) -> IkComparison:
    """Retarget a human's motion and set it beside what others made of it.

    Raises:
        MotionError: the clips do not have the same length, or theirs lacks a joint of the robot.
        UserError: something for inverse kinematics is not installed.
    """
    human = human if human.fps == theirs.fps else resample(human, theirs.fps)
    if abs(len(human) - len(theirs)) > 1:
        raise MotionError(
            f"{human.name} has {len(human)} frames at {theirs.fps:g} fps, its robot file {len(theirs)}: "
            "files of one name must be the same motion"
        )
    theirs = theirs.with_joint_order(robot.joint_names)
    start = process_time()
    ours = retarget_by_ik(human, robot, iterations=iterations, posture=posture, refine=refine)
    seconds = process_time() - start
    frames = min(len(ours), len(theirs))
    ours, theirs = ours[:frames], theirs[:frames]
    apart = _in_pelvis_frame(ours, robot) - _in_pelvis_frame(theirs, robot)
    return IkComparison(
        name=human.name,
        frames=frames,
        joints_deg=float(np.degrees(np.abs(ours.joint_pos - theirs.joint_pos).mean())),
        bodies_mm=float(1000 * np.linalg.norm(apart, axis=-1).mean()),
        frames_per_second=frames / seconds,
        ours=physical_quality(ours, robot),
        theirs=physical_quality(theirs, robot),
    )


def pooled_comparison(parts: Sequence[IkComparison]) -> IkComparison:
    """All clips together, each weighing as it has frames."""
    weights = [part.frames for part in parts]
    return IkComparison(
        name="all",
        frames=sum(weights),
        joints_deg=float(np.average([part.joints_deg for part in parts], weights=weights)),
        bodies_mm=float(np.average([part.bodies_mm for part in parts], weights=weights)),
        frames_per_second=sum(weights) / sum(part.frames / part.frames_per_second for part in parts),
        ours=pooled([part.ours for part in parts]),
        theirs=pooled([part.theirs for part in parts]),
    )


# Heading and text of each figure of which there are two.
_FIGURES: tuple[tuple[str, Callable[[PhysicalQuality], str]], ...] = (
    ("slide, m/s", lambda quality: "–" if quality.foot_slide is None else f"{quality.foot_slide:.3f}"),
    ("penetration, mm", lambda quality: f"{quality.penetration_mm:.2f}"),
    ("at most", lambda quality: f"{quality.penetration_max_mm:.0f}"),
    ("float, mm", lambda quality: f"{quality.float_mm:.1f}"),
    ("beyond limits", lambda quality: f"{quality.limit_share:.2%}"),
    ("too fast", lambda quality: f"{quality.speed_share:.2%}"),
    ("self-collision", lambda quality: f"{quality.self_collision_share:.1%}"),
    ("jerk, rad/s³", lambda quality: f"{quality.jerk:.0f}"),
)


def comparison_table(parts: Sequence[IkComparison], theirs: str) -> str:
    """Markdown: a row a clip and one for all, each figure as ours / theirs."""
    headings = ["clip", "joints, degrees", "bodies, mm", *(title for title, _ in _FIGURES), "frames/s, one core"]
    lines = [
        f"Figures with a stroke: ours / {theirs}.",
        "",
        f"| {' | '.join(headings)} |",
        "|---" * len(headings) + "|",
    ]
    for part in [*parts, pooled_comparison(parts)] if len(parts) > 1 else parts:
        cells = [part.name, f"{part.joints_deg:.2f}", f"{part.bodies_mm:.0f}"]
        cells += [f"{text(part.ours)} / {text(part.theirs)}" for _, text in _FIGURES]
        lines.append(f"| {' | '.join([*cells, f'{part.frames_per_second:.0f}'])} |")
    return "\n".join([*lines, ""])


def _in_pelvis_frame(clip: RobotClip, robot: RobotModel) -> np.ndarray:
    """(T, L, 3) links, m."""
    return forward_kinematics(robot, torch.from_numpy(clip.joint_pos)).pos.numpy()
