"""Physical quality: could a robot do this motion, on a level floor, with these motors, without hitting itself?

What the field measures, in SI units and without tolerances that flatter. After PhysDiff (Yuan et al. 2023, arXiv
2212.02500), which measures penetration, float and the skate of what touches the floor in two adjacent frames; after
MANN (Zhang et al. 2018, "Mode-Adaptive Neural Networks for Quadruped Motion Control"), which counts a foot's speed the
less the higher it is, instead of setting its speed against its contact; and after GMR (Araujo et al. 2025, arXiv
2510.02252), which names slide, penetration, self-penetration and jumps of joints as what spoils a policy's training.
Shapes are the capsules of the link table, which are coarse: figures are for comparison, motion with motion.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from g1_vq_retarget.motion.clip import RobotClip
from g1_vq_retarget.motion.time import resample
from g1_vq_retarget.robot.capsules import capsules_of, clearance
from g1_vq_retarget.robot.kinematics import BodyPoses, forward_kinematics
from g1_vq_retarget.robot.model import RobotModel

# A point of a sole is in contact while it is lower than this above the floor, m, and rises or sinks slower than this,
# m/s, for at least so long, s. Its horizontal speed is not asked: what slides is in contact all the same. Higher or
# shorter, and feet that swing past close above the floor would count as sliding at some m/s.
CONTACT_HEIGHT, CONTACT_RISE, CONTACT_TIME = 0.01, 0.2, 0.1
# A body is in free fall while its centre of mass accelerates downwards by more than this, m/s^2, half of gravity, over
# a stretch of twice as many seconds.
FREE_FALL, FALL_TIME = 9.81 / 2, 0.05
# A foot stands still below this speed, m/s.
STILL = 0.1
# What is less than this beyond a limit, rad, or inside another capsule, m, was rounded by a file.
LIMIT_ROUNDING, OVERLAP_ROUNDING = 1e-3, 1e-4


class Physics(NamedTuple):
    """Motion of T frames, frame by frame, of one clip or a batch; differentiable where it is not a mask.

    F feet have P points each, the lower sides of their capsules' ends.

    Attributes:
        sole: (..., T, F, P, 3) the feet's points, m above the floor in z.
        contact: (..., T-1, F, P) whether a point is in contact from one frame to the next.
        slide: (..., T-1, F, P) horizontal speed of a point, m/s.
        lowest: (..., T) height of the robot's lowest point above the floor, m.
        falling: (..., T) whether the robot is in free fall.
        limit_excess: (..., T, J) angle beyond the limits, rad, negative within.
        speed_ratio: (..., T-1, J) speed of each joint over the motor's.
        clearance: (..., T) distance of the two nearest capsules that may collide, m, negative where they do.
        jerk: (..., T-3, J) third derivative of the joint angles, rad/s^3.
    """

    sole: Tensor
    contact: Tensor
    slide: Tensor
    lowest: Tensor
    falling: Tensor
    limit_excess: Tensor
    speed_ratio: Tensor
    clearance: Tensor
    jerk: Tensor


@dataclass(frozen=True)
class PhysicalQuality:
    """Figures of a motion or, pooled, of several. The floor is level, at z = 0 unless told.

    Attributes:
        frames: frames measured.
        contact_share: share of feet and steps in contact, 0 to 1; 1 is both feet on the floor throughout. A step leads
            from one frame to the next; a foot is in contact while a point of its sole is, see `CONTACT_HEIGHT`.
        foot_slide: horizontal speed of the points in contact, m/s: mean over a foot's points, then over feet and
            steps. None where no foot is ever in contact.
        penetration_mm: depth of the robot's lowest point below the floor, mm, mean over all frames (0 above it).
        penetration_max_mm: the largest, mm.
        float_mm: height of the robot's lowest point above the floor, mm, mean over all frames; 0 below the floor, and
            where the robot is in free fall, as in a jump. What stands on a box or lies on a bench floats.
        float_max_mm: the largest, mm.
        limit_share: share of frames and joints with an angle beyond its limits, 0 to 1.
        limit_max_rad: how far the furthest is, rad.
        speed_share: share of steps and joints faster than the motor can turn, 0 to 1.
        speed_max_ratio: the fastest over its motor's speed; above 1 is too fast.
        self_collision_share: share of frames in which the robot's capsules overlap, 0 to 1; links less than three
            joints apart, and what overlaps in the default pose, are left out.
        self_collision_max_mm: how deep at most, mm.
        jerk: root mean square of the joints' third derivative, rad/s^3. It grows with the rate: compare like with like.
        jerk_ratio: mean squared jerk over the reference's, None without one; 1 is right, below is over-smoothed.
    """

    frames: int
    contact_share: float
    foot_slide: float | None
    penetration_mm: float
    penetration_max_mm: float
    float_mm: float
    float_max_mm: float
    limit_share: float
    limit_max_rad: float
    speed_share: float
    speed_max_ratio: float
    self_collision_share: float
    self_collision_max_mm: float
    jerk: float
    jerk_ratio: float | None


def physical_quality(
    clip: RobotClip, robot: RobotModel, reference: RobotClip | None = None, *, floor: float = 0.0
) -> PhysicalQuality:
    """How well a robot could do a motion.

    Args:
        clip: of the robot's joints, in any order.
        robot: link table, limits and motors.
        reference: motion whose jerk is the yardstick, such as the truth; resampled to the clip's rate.
        floor: height of the floor, m.

    Raises:
        MotionError: the clip, or the reference, lacks a joint of the robot.
    """
    against = None if reference is None else clip_physics(resample(reference, clip.fps), robot).jerk
    return quality_of(clip_physics(clip, robot, floor=floor), against)


def clip_physics(clip: RobotClip, robot: RobotModel, *, floor: float = 0.0) -> Physics:
    """`physics` of a clip. Raises MotionError if it lacks a joint of the robot."""
    ordered = clip.with_joint_order(robot.joint_names)
    values = (torch.as_tensor(part, dtype=torch.float64) for part in (
        ordered.joint_pos, ordered.root_pos_w, ordered.root_quat_w))  # fmt: skip
    return physics(robot, *values, fps=clip.fps, floor=floor)


def physics(
    robot: RobotModel, joint_pos: Tensor, root_pos_w: Tensor, root_quat_w: Tensor, *, fps: float, floor: float = 0.0
) -> Physics:
    """What is physical about motion.

    Args:
        robot: link table, limits and motors.
        joint_pos: (..., T, J) rad, in `robot.joint_names` order.
        root_pos_w: (..., T, 3) m, z up.
        root_quat_w: (..., T, 4) wxyz.
        fps: frames a second.
        floor: height of the floor, m.
    """

    def constant(values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=joint_pos.dtype, device=joint_pos.device)

    root_pos = root_pos_w - constant([0.0, 0.0, floor])
    poses = forward_kinematics(robot, joint_pos, root_pos, root_quat_w)
    capsules = capsules_of(robot)
    below = capsules.ends_at(poses) - constant(capsules.radius)[:, None, None] * constant([0.0, 0.0, 1.0])
    feet = [np.flatnonzero(capsules.link == link) for link in robot.link_indices(robot.feet)]
    sole = torch.stack([below[..., foot, :, :].flatten(-3, -2) for foot in feet], dim=-3)
    contact, slide = contacts(sole, fps)
    lower, upper = constant(robot.limits).unbind(-1)
    speed = constant([joint.motor.velocity for joint in robot.joints])
    return Physics(
        sole=sole,
        contact=contact,
        slide=slide,
        lowest=below[..., 2].flatten(-2).amin(dim=-1),
        falling=_falling(_mass_centre(robot, poses)[..., 2].detach(), fps),
        limit_excess=torch.maximum(lower - joint_pos, joint_pos - upper),
        speed_ratio=joint_pos.diff(dim=-2).abs() * fps / speed,
        clearance=clearance(robot, poses),
        jerk=joint_pos.diff(n=3, dim=-2) * fps**3,
    )


def contacts(points: Tensor, fps: float) -> tuple[Tensor, Tensor]:
    """Which points are in contact with a floor at z = 0 from one frame to the next, and how fast they slide.

    Args:
        points: (..., T, F, P, 3) m, points of bodies that touch the floor where these are at z = 0.
        fps: frames a second.

    Returns:
        (..., T-1, F, P) whether a point is in contact, and (..., T-1, F, P) its horizontal speed, m/s.
    """
    moved = points.diff(dim=-4) * fps
    low = points[..., 2].movedim(-3, -1) < CONTACT_HEIGHT
    touching = low[..., 1:] & low[..., :-1] & (moved[..., 2].movedim(-3, -1).abs() < CONTACT_RISE)
    steps = min(max(1, round(CONTACT_TIME * fps)), max(1, touching.shape[-1]))
    begun = touching[..., : touching.shape[-1] - steps + 1].clone()
    for shift in range(1, steps):
        begun &= touching[..., shift : shift + begun.shape[-1]]
    return _stretches(begun, steps).movedim(-1, -3), torch.linalg.vector_norm(moved[..., :2], dim=-1)


def mean_slide(contact: Tensor, slide: Tensor) -> float | None:
    """Mean speed, m/s, of points in contact: over the points of each foot, then over feet and steps; None without."""
    points = contact.sum(dim=-1)
    touching = points > 0
    if not touching.any():
        return None
    return ((slide * contact).sum(dim=-1)[touching] / points[touching]).mean().item()


def quality_of(physics: Physics, reference_jerk: Tensor | None = None) -> PhysicalQuality:
    """Figures of motion, over all of its frames; `reference_jerk` (..., J) in rad/s^3."""
    depth, height = -physics.lowest, physics.lowest.masked_fill(physics.falling, 0.0)
    jerk = _mean_square(physics.jerk)
    against = None if reference_jerk is None else _mean_square(reference_jerk)
    return PhysicalQuality(
        frames=physics.lowest.numel(),
        contact_share=_mean(physics.contact.any(dim=-1)),
        foot_slide=mean_slide(physics.contact, physics.slide),
        penetration_mm=1000 * _mean(depth.clamp_min(0)),
        penetration_max_mm=1000 * _largest(depth),
        float_mm=1000 * _mean(height.clamp_min(0)),
        float_max_mm=1000 * _largest(height),
        limit_share=_mean(physics.limit_excess > LIMIT_ROUNDING),
        limit_max_rad=_largest(physics.limit_excess),
        speed_share=_mean(physics.speed_ratio > 1),
        speed_max_ratio=_largest(physics.speed_ratio),
        self_collision_share=_mean(physics.clearance < -OVERLAP_ROUNDING),
        self_collision_max_mm=1000 * _largest(-physics.clearance),
        jerk=jerk**0.5,
        jerk_ratio=jerk / against if against else None,
    )


def pooled(parts: Sequence[PhysicalQuality]) -> PhysicalQuality:
    """The figures of several motions together, each weighing as it has frames (slide: as its feet are in contact)."""

    def mean(values: Iterable[float], weights: Iterable[float]) -> float:
        return float(np.average(list(values), weights=list(weights)))

    def over_frames(field: str) -> float:
        return mean((getattr(part, field) for part in parts), (part.frames for part in parts))

    def largest(field: str) -> float:
        return max(getattr(part, field) for part in parts)

    # all contacts count alike, and all frames of motion that has a reference
    sliding = [(part.foot_slide, part.contact_share * part.frames) for part in parts if part.foot_slide is not None]
    compared = [(part.jerk**2, part.jerk**2 / part.jerk_ratio, part.frames) for part in parts if part.jerk_ratio]
    jerk, against = (sum(part[side] * part[2] for part in compared) for side in (0, 1))
    return PhysicalQuality(
        frames=sum(part.frames for part in parts),
        contact_share=over_frames("contact_share"),
        foot_slide=mean(*zip(*sliding, strict=True)) if sliding else None,
        penetration_mm=over_frames("penetration_mm"),
        penetration_max_mm=largest("penetration_max_mm"),
        float_mm=over_frames("float_mm"),
        float_max_mm=largest("float_max_mm"),
        limit_share=over_frames("limit_share"),
        limit_max_rad=largest("limit_max_rad"),
        speed_share=over_frames("speed_share"),
        speed_max_ratio=largest("speed_max_ratio"),
        self_collision_share=over_frames("self_collision_share"),
        self_collision_max_mm=largest("self_collision_max_mm"),
        jerk=mean((part.jerk**2 for part in parts), (part.frames for part in parts)) ** 0.5,
        jerk_ratio=jerk / against if against else None,
    )


def standing_height(points: Tensor, fps: float) -> float | None:
    """Height of the floor as feet tell it, m: the median over feet that stand still of the lowest point of each.

    Args:
        points: (T, F, P, 3) points of the feet, m.
        fps: frames a second.

    Returns:
        None where no foot ever stands still.
    """
    speed = torch.linalg.vector_norm(points.diff(dim=0) * fps, dim=-1)
    lowest = points[1:, ..., 2].min(dim=-1)
    still = speed.gather(-1, lowest.indices.unsqueeze(-1)).squeeze(-1) < STILL
    return lowest.values[still].median().item() if still.any() else None


def _mass_centre(robot: RobotModel, poses: BodyPoses) -> Tensor:
    """(..., 3) m."""
    mass = torch.tensor([link.mass for link in robot.links], dtype=poses.pos.dtype, device=poses.pos.device)
    offset = torch.tensor([link.com for link in robot.links], dtype=poses.pos.dtype, device=poses.pos.device)
    centres = poses.pos + (poses.rot @ offset.unsqueeze(-1)).squeeze(-1)
    return (centres * mass.unsqueeze(-1)).sum(dim=-2) / mass.sum()


def _falling(height: Tensor, fps: float) -> Tensor:
    """(..., T) whether what has this height (..., T), m, falls freely: all frames of a stretch that does."""
    reach = min(max(1, round(FALL_TIME * fps)), (height.shape[-1] - 1) // 2)
    if reach == 0:
        return torch.zeros_like(height, dtype=torch.bool)
    before, here, after = height[..., : -2 * reach], height[..., reach:-reach], height[..., 2 * reach :]
    return _stretches((before - 2 * here + after) * (fps / reach) ** 2 < -FREE_FALL, 2 * reach + 1)


def _stretches(begun: Tensor, length: int) -> Tensor:
    """(..., T) what lies in a stretch of this length, of those that begin where (..., T - length + 1) is true."""
    starts = begun.shape[-1]
    within = begun.new_zeros((*begun.shape[:-1], starts + length - 1))
    for shift in range(length):
        within[..., shift : shift + starts] |= begun
    return within


def _mean(values: Tensor) -> float:
    return values.double().mean().item() if values.numel() else 0.0


def _mean_square(values: Tensor) -> float:
    return _mean(values.double().square())


def _largest(values: Tensor) -> float:
    """The largest positive value, else 0."""
    return max(values.max().item(), 0.0) if values.numel() else 0.0
