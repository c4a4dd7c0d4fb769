"""Physical quality, by cases worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion import MotionError, RobotClip
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.motion.quality import (
    CONTACT_HEIGHT,
    CONTACT_RISE,
    PhysicalQuality,
    clip_physics,
    physical_quality,
    physics,
    pooled,
    quality_of,
    standing_height,
)
from g1_vq_retarget.robot import Link, RobotModel, load_robot

ROBOT = load_robot()
FPS, FRAMES = 50.0, 60
SECONDS = np.arange(FRAMES) / FPS


def first(share: float) -> np.ndarray:
    """(FRAMES,) whether a frame is among the first so many, as a share of all."""
    return np.arange(FRAMES) < share * FRAMES


def assert_same(first: PhysicalQuality, second: PhysicalQuality) -> None:
    """Up to rounding, which goes by where arrays lie in memory."""
    for name, value in vars(first).items():
        assert getattr(second, name) == pytest.approx(value, abs=1e-9), name


def column(joint: str) -> int:
    return ROBOT.joint_names.index(joint)


def still() -> RobotClip:
    """All joints at zero, both soles flat on the floor."""
    clip = RobotClip(
        "still", FPS, np.tile([0.0, 0.0, 0.0], (FRAMES, 1)), np.tile([1.0, 0.0, 0.0, 0.0], (FRAMES, 1)),
        ROBOT.joint_names, np.zeros((FRAMES, len(ROBOT.joints))),
    )  # fmt: skip
    return moved(clip, (0, 0, -clip_physics(clip, ROBOT).lowest[0].item()))


def moved(clip: RobotClip, way: object) -> RobotClip:
    """The clip with its root moved by (3,) or (T, 3), m."""
    return replace(clip, root_pos_w=clip.root_pos_w + np.asarray(way))


def bent(clip: RobotClip, joint: str, angle: object) -> RobotClip:
    """The clip with a number, or (T,), added to a joint."""
    joint_pos = clip.joint_pos.copy()
    joint_pos[:, column(joint)] += angle
    return replace(clip, joint_pos=joint_pos)


def test_who_stands_still_does_nothing_wrong() -> None:
    quality = physical_quality(still(), ROBOT)
    assert quality.frames == FRAMES
    assert quality.contact_share == 1
    assert quality.foot_slide == 0
    for figure in ("penetration_max_mm", "float_max_mm", "self_collision_max_mm", "jerk"):
        assert getattr(quality, figure) == pytest.approx(0, abs=1e-6)
    for figure in ("limit_share", "limit_max_rad", "speed_share", "self_collision_share"):
        assert getattr(quality, figure) == 0
    assert quality.jerk_ratio is None


def test_who_is_pushed_over_the_floor_slides_as_fast() -> None:
    way = np.outer(SECONDS, (0.3, 0.4, 0.0))  # 3, 4, 5
    assert physical_quality(moved(still(), way), ROBOT).foot_slide == pytest.approx(0.5)


def test_each_foot_in_contact_counts_alike() -> None:
    # the left foot is lifted in the second half, by bending the leg; the right one slides on
    lifted = np.where(first(1 / 2), 0.0, 1.0)
    clip = bent(bent(still(), "left_hip_pitch_joint", -lifted), "left_knee_joint", 2 * lifted)
    way = np.outer((SECONDS - 1 / 2 * FRAMES / FPS).clip(0), (0.6, 0, 0))
    physical = physical_quality(moved(clip, way), ROBOT)
    steps = FRAMES - 1
    both, one = FRAMES // 2 - 1, FRAMES // 2 - 1  # between them is the step that lifts the foot
    assert both + one + 1 == steps
    assert physical.contact_share == pytest.approx((2 * both + 1 + one) / (2 * steps))
    assert physical.foot_slide == pytest.approx(0.6 * one / (2 * both + 1 + one))


@pytest.mark.parametrize(
    ("way", "share"),
    [
        ((0, 0, 0.9 * CONTACT_HEIGHT), 1.0),
        ((0, 0, 1.1 * CONTACT_HEIGHT), 0.0),
        ((0, 0, -0.1), 1.0),  # below the floor is on the floor
        (np.outer(SECONDS - SECONDS[-1], (0, 0, 0.9 * CONTACT_RISE)), 1.0),
        (np.outer(SECONDS - SECONDS[-1], (0, 0, 1.1 * CONTACT_RISE)), 0.0),
    ],
)
def test_contact_is_low_and_neither_rising_nor_sinking(way: object, share: float) -> None:
    clip = moved(moved(still(), np.outer(SECONDS, (1, 0, 0))), way)
    quality = physical_quality(clip, ROBOT)
    assert quality.contact_share == share
    assert quality.foot_slide == (pytest.approx(1.0) if share else None)


@pytest.mark.parametrize("fps", [30.0, 50.0, 120.0])
def test_what_touches_for_a_moment_is_not_in_contact(fps: float) -> None:
    def landing(seconds: float) -> RobotClip:
        """In the air but for so long, in the middle."""
        clip = replace(still(), fps=fps)
        middle = np.abs(np.arange(FRAMES) - FRAMES // 2) <= seconds * fps / 2
        return moved(clip, np.outer(np.where(middle, 0.0, 0.05), (0, 0, 1)))

    assert physical_quality(landing(0.05), ROBOT).contact_share == 0
    steps = 2 * int(0.2 * fps / 2)
    assert physical_quality(landing(0.2), ROBOT).contact_share == pytest.approx(steps / (FRAMES - 1))


def test_a_foot_that_turns_on_the_spot_slides_at_its_ends() -> None:
    turned = Rotation.from_rotvec(np.outer(SECONDS, (0, 0, 1.0))).as_quat(scalar_first=True)
    clip = replace(still(), root_quat_w=turned)
    points = clip_physics(clip, ROBOT).sole[0, ..., :2]
    by_hand = torch.linalg.vector_norm(points, dim=-1).mean()  # radius times 1 rad/s
    chord = 2 * np.sin(0.5 / FPS) * FPS
    assert physical_quality(clip, ROBOT).foot_slide == pytest.approx(by_hand.item() * chord, rel=1e-6)


def test_depth_below_the_floor() -> None:
    depth = np.where(first(1 / 4), 0.008, 0.0)
    quality = physical_quality(moved(still(), np.outer(depth, (0, 0, -1))), ROBOT)
    assert quality.penetration_max_mm == pytest.approx(8)
    assert quality.penetration_mm == pytest.approx(2)
    assert quality.float_max_mm == pytest.approx(0, abs=1e-6)


def test_a_hand_may_be_the_lowest_point() -> None:
    lying = replace(still(), root_quat_w=np.tile([np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0], (FRAMES, 1)))
    lowest = clip_physics(lying, ROBOT).lowest[0].item()
    reaching = bent(bent(lying, "left_shoulder_pitch_joint", -np.pi / 2), "left_elbow_joint", np.pi / 2)
    assert clip_physics(reaching, ROBOT).lowest[0].item() < lowest - 0.1


def test_who_hovers_floats() -> None:
    quality = physical_quality(moved(still(), (0, 0, 0.25)), ROBOT)
    assert quality.float_mm == pytest.approx(250)
    assert quality.float_max_mm == pytest.approx(250)
    assert quality.penetration_mm == 0
    assert (quality.contact_share, quality.foot_slide) == (0, None)


@pytest.mark.parametrize("fps", [30.0, 50.0, 120.0])
def test_who_jumps_does_not_float(fps: float) -> None:
    # 0.2 s on the floor, 0.4 s in the air, 0.2 s on the floor
    flight = (np.arange(round(0.8 * fps)) / fps - 0.2).clip(0, 0.4)
    height = 9.81 / 2 * flight * (0.4 - flight)
    frames = len(flight)
    clip = RobotClip(
        "jump", fps, still().root_pos_w[0] + np.outer(height, (0, 0, 1)), np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1)),
        ROBOT.joint_names, np.zeros((frames, len(ROBOT.joints))),
    )  # fmt: skip
    assert height.max() > 0.19
    quality = physical_quality(clip, ROBOT)
    assert quality.float_max_mm < 1
    slower = replace(clip, fps=fps / 2)  # falling with a quarter of gravity
    assert physical_quality(slower, ROBOT).float_max_mm > 150


def test_angles_beyond_limits() -> None:
    over = np.where(first(1 / 2), ROBOT.limits[column("left_elbow_joint"), 1] + 0.1, 0.0)
    quality = physical_quality(bent(still(), "left_elbow_joint", over), ROBOT)
    assert quality.limit_share == pytest.approx(0.5 / len(ROBOT.joints))
    assert quality.limit_max_rad == pytest.approx(0.1)
    under = bent(still(), "right_knee_joint", ROBOT.limits[column("right_knee_joint"), 0] - 0.2)
    assert physical_quality(under, ROBOT).limit_max_rad == pytest.approx(0.2)


def test_joints_faster_than_their_motors() -> None:
    index = column("right_wrist_yaw_joint")
    step = 1.5 * ROBOT.joints[index].motor.velocity / FPS
    quality = physical_quality(bent(still(), "right_wrist_yaw_joint", np.arange(FRAMES) % 2 * step), ROBOT)
    assert quality.speed_max_ratio == pytest.approx(1.5)
    assert quality.speed_share == pytest.approx(1 / len(ROBOT.joints))
    allowed = bent(still(), "right_wrist_yaw_joint", np.arange(FRAMES) % 2 * step * 0.6)
    assert physical_quality(allowed, ROBOT).speed_share == 0


def test_a_hand_in_the_body() -> None:
    inside = np.where(first(1 / 3), -1.2, 0.0)
    clip = bent(bent(still(), "left_shoulder_yaw_joint", inside), "left_elbow_joint", -inside)
    quality = physical_quality(clip, ROBOT)
    assert quality.self_collision_share == pytest.approx(1 / 3)
    assert quality.self_collision_max_mm > 10


def test_jerk_of_a_cubic_and_its_ratio() -> None:
    cubic = bent(still(), "waist_yaw_joint", 12.0 * (SECONDS - 0.5) ** 3 / 6)
    quality = physical_quality(cubic, ROBOT, bent(still(), "waist_yaw_joint", 24.0 * (SECONDS - 0.5) ** 3 / 6))
    assert quality.jerk == pytest.approx(12 / np.sqrt(len(ROBOT.joints)), rel=1e-6)
    assert quality.jerk_ratio == pytest.approx(0.25)


def test_a_reference_of_another_rate_is_compared_at_the_same() -> None:
    wave = bent(still(), "waist_yaw_joint", np.sin(6 * SECONDS))
    dense = np.arange(4 * FRAMES) / (4 * FPS)
    finer = RobotClip(
        "finer", 4 * FPS, np.repeat(wave.root_pos_w, 4, axis=0), np.repeat(wave.root_quat_w, 4, axis=0),
        ROBOT.joint_names, np.zeros((len(dense), 29)),
    )  # fmt: skip
    finer = bent(finer, "waist_yaw_joint", np.sin(6 * dense))
    assert physical_quality(wave, ROBOT, finer).jerk_ratio == pytest.approx(1, rel=1e-3)


def test_the_floor_may_lie_elsewhere() -> None:
    clip = moved(moved(still(), np.outer(SECONDS, (0.5, 0, 0))), (0, 0, 0.4))
    assert_same(physical_quality(clip, ROBOT, floor=0.4), physical_quality(moved(clip, (0, 0, -0.4)), ROBOT))


def test_figures_do_not_depend_on_place_and_heading(robot_clip: RobotClip) -> None:
    turn = Rotation.from_rotvec((0, 0, 1.9))
    there = replace(
        robot_clip,
        root_pos_w=turn.apply(robot_clip.root_pos_w) + (3, -8, 0),
        root_quat_w=(turn * robot_clip.root_rotation).as_quat(scalar_first=True),
    )
    here, other = (clip_physics(clip, ROBOT) for clip in (robot_clip, there))
    for name in ("lowest", "slide", "clearance", "limit_excess"):
        torch.testing.assert_close(getattr(here, name), getattr(other, name), rtol=0, atol=1e-9)


def test_joints_are_found_by_name(robot_clip: RobotClip) -> None:
    shuffled = robot_clip.with_joint_order(ROBOT.joint_names_isaac)
    assert_same(physical_quality(shuffled, ROBOT), physical_quality(robot_clip, ROBOT))
    fewer = replace(robot_clip, joint_names=robot_clip.joint_names[1:], joint_pos=robot_clip.joint_pos[:, 1:])
    with pytest.raises(MotionError, match="left_hip_pitch_joint"):
        physical_quality(fewer, ROBOT)


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_the_shortest_clips_have_figures(robot_clip: RobotClip, frames: int) -> None:
    quality = physical_quality(robot_clip[:frames], ROBOT)
    assert quality.frames == frames
    assert np.isfinite([value for value in vars(quality).values() if value is not None]).all()
    assert (quality.jerk > 0) == (frames >= 4)


def test_clips_in_a_batch_are_measured_as_they_are_alone(robot_clip: RobotClip) -> None:
    parts = [robot_clip[start : start + 40] for start in (0, 40, 80)]
    alone = [clip_physics(part, ROBOT) for part in parts]
    stacked = (torch.from_numpy(np.stack([getattr(part, name) for part in parts]))
               for name in ("joint_pos", "root_pos_w", "root_quat_w"))  # fmt: skip
    together = physics(ROBOT, *stacked, fps=robot_clip.fps)
    for batch, *each in zip(together, *alone, strict=True):
        torch.testing.assert_close(batch, torch.stack(each))
    figures = [quality_of(part, other.jerk) for part, other in zip(alone, alone[::-1], strict=True)]
    reference = torch.stack([part.jerk for part in alone[::-1]])
    whole, together_pooled = quality_of(together, reference), pooled(figures)
    assert_same(together_pooled, whole)


def test_pooled_slide_weighs_by_contact() -> None:
    slow = moved(still(), np.outer(SECONDS, (0.1, 0, 0)))
    fast = moved(still()[:30], np.outer(SECONDS[:30], (0.4, 0, 0)))
    hovering = moved(still(), (0, 0, 0.3))
    quality = pooled([physical_quality(clip, ROBOT) for clip in (slow, fast, hovering)])
    assert quality.foot_slide == pytest.approx((60 * 0.1 + 30 * 0.4) / 90)
    assert quality.contact_share == pytest.approx(90 / 150)
    assert quality.float_mm == pytest.approx(300 * 60 / 150)
    assert pooled([physical_quality(hovering, ROBOT)]).foot_slide is None


def test_where_the_floor_is_by_the_feet_that_stand() -> None:
    clip = moved(still(), (0, 0, 0.031))
    assert standing_height(clip_physics(clip, ROBOT).sole, FPS) == pytest.approx(0.031)
    assert standing_height(clip_physics(moved(clip, np.outer(SECONDS, (1, 0, 0))), ROBOT).sole, FPS) is None


def test_slide_and_clearance_can_be_trained_on(robot_clip: RobotClip) -> None:
    joint_pos = torch.from_numpy(robot_clip.joint_pos).requires_grad_()
    root = (torch.from_numpy(part) for part in (robot_clip.root_pos_w, robot_clip.root_quat_w))
    measured = physics(ROBOT, joint_pos, *root, fps=FPS)
    (measured.slide.sum() + measured.lowest.sum() + measured.clearance.sum()).backward()
    assert joint_pos.grad is not None
    assert joint_pos.grad.isfinite().all()
    assert joint_pos.grad.abs().sum() > 0


@pytest.mark.parametrize("spoil", [
    pytest.param(lambda clip: moved(clip, (0, 0, 0.1)), id="raised"),
    pytest.param(lambda clip: moved(clip, (0, 0, -0.1)), id="lowered"),
    pytest.param(lambda clip: replace(clip, root_pos_w=clip.root_pos_w * (0.5, 0.5, 1)), id="half the way"),
])  # fmt: skip
def test_real_motion_is_better_than_spoilt(lafan1: Path, spoil: Callable[[RobotClip], RobotClip]) -> None:
    clip = load_motion(lafan1 / "g1" / "walk1_subject5.csv")
    assert isinstance(clip, RobotClip)
    clip = clip[600:1200]
    real, spoilt = physical_quality(clip, ROBOT), physical_quality(spoil(clip), ROBOT)
    assert real.foot_slide is not None
    assert real.foot_slide < 0.3
    assert 0.3 < real.contact_share < 0.8
    assert real.speed_share == real.limit_share == 0
    assert max(real.float_mm, real.penetration_mm) < 8
    worse = [spoilt.float_mm > 90, spoilt.penetration_mm > 90, (spoilt.foot_slide or 0) > 1.5 * real.foot_slide]
    assert any(worse)


def test_motors_are_the_robots(robot: RobotModel) -> None:
    def slower(link: Link) -> Link:
        return link if link.joint is None else replace(
            link, joint=replace(link.joint, motor=replace(link.joint.motor, velocity=0.1)))  # fmt: skip

    wave = bent(still(), "waist_yaw_joint", np.sin(6 * SECONDS))
    assert physical_quality(wave, robot).speed_max_ratio < 1
    assert physical_quality(wave, replace(robot, links=tuple(map(slower, robot.links)))).speed_max_ratio > 50
