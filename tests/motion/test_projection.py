"""Motion made to stand on its feet, by cases worked by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion import MotionError, RobotClip, projection, resample
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.motion.projection import project_clip
from g1_vq_retarget.motion.quality import clip_physics, physical_quality
from g1_vq_retarget.robot import forward_kinematics, load_robot

ROBOT = load_robot()
FPS, FRAMES = 50.0, 80
SHARE = np.linspace(0, 1, FRAMES)
SMOOTH = SHARE**2 * (3 - 2 * SHARE)


def standing() -> RobotClip:
    """The default pose, both soles flat on the floor."""
    clip = RobotClip(
        "stand", FPS, np.zeros((FRAMES, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (FRAMES, 1)),
        ROBOT.joint_names, np.tile(ROBOT.default_joint_pos, (FRAMES, 1)),
    )  # fmt: skip
    # the soles are level in this pose
    return moved(clip, (0, 0, -clip_physics(clip, ROBOT).lowest[0].item()))


def moved(clip: RobotClip, way: object) -> RobotClip:
    return replace(clip, root_pos_w=clip.root_pos_w + np.asarray(way))


def bent(clip: RobotClip, joint: str, angle: object) -> RobotClip:
    joint_pos = clip.joint_pos.copy()
    joint_pos[:, ROBOT.joint_names.index(joint)] += angle
    return replace(clip, joint_pos=joint_pos)


def soles(clip: RobotClip) -> np.ndarray:
    """(T, F, P, 3) m."""
    return clip_physics(clip, ROBOT).sole.numpy()


def bodies(clip: RobotClip) -> np.ndarray:
    """(T, L, 3) origins of the links in the world, m."""
    ordered = clip.with_joint_order(ROBOT.joint_names)
    values = (ordered.joint_pos, ordered.root_pos_w, ordered.root_quat_w)
    return forward_kinematics(ROBOT, *(torch.from_numpy(value.copy()) for value in values)).pos.numpy()


def apart(first: RobotClip, second: RobotClip) -> float:
    """How far a link is at most, m."""
    return float(np.linalg.norm(bodies(first) - bodies(second), axis=-1).max())


def trembling(clip: RobotClip, size: float = 0.01, seed: int = 0) -> RobotClip:
    """Smooth noise in every joint, rad, and half of it in the root's place, m."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter1d(rng.normal(size=(len(clip), 3 + len(ROBOT.joints))), 3, axis=0)
    noise *= size / noise.std()
    return replace(
        clip,
        root_pos_w=clip.root_pos_w + noise[:, :3] / 2,
        joint_pos=(clip.joint_pos + noise[:, 3:]).clip(*ROBOT.limits.T),
    )


def test_who_stands_is_left_alone() -> None:
    clip = standing()
    motion, changes = project_clip(clip, ROBOT)
    assert apart(motion, clip) < 1e-6
    assert changes.planted_share == 1
    assert changes.slide_before == changes.slide_after == pytest.approx(0, abs=1e-6)
    assert changes.limit_share == 0


def test_both_feet_that_slide_take_the_body_along() -> None:
    """2 cm in 1.6 s: the root gives way, and no joint has to."""
    clip = moved(standing(), np.outer(0.02 * SMOOTH, (1, 0, 0)))
    motion, changes = project_clip(clip, ROBOT)
    assert np.ptp(soles(clip)[..., 0], axis=0).min() == pytest.approx(0.02)
    assert np.ptp(soles(motion)[..., :2], axis=0).max() < 1e-3
    assert changes.joint_max_deg < 0.1
    assert changes.root_max_mm == pytest.approx(10, abs=1)  # half the way back, half ahead
    assert changes.slide_after is not None
    assert changes.slide_after < 0.05 * (changes.slide_before or 0)


def test_one_foot_that_slides_is_held_by_its_leg() -> None:
    clip = bent(standing(), "left_hip_pitch_joint", -0.03 * SMOOTH)  # 2 cm at 0.7 m of leg
    motion, changes = project_clip(clip, ROBOT)
    assert np.ptp(soles(clip)[:, 0, :, 0], axis=0).max() > 0.015
    assert np.ptp(soles(motion)[..., :2], axis=0).max() < 3e-3
    assert 0.05 < changes.joint_max_deg < 2
    upper = [joint for joint, name in enumerate(ROBOT.joint_names) if "leg" not in name and joint >= 12]
    np.testing.assert_array_equal(motion.joint_pos[:, upper], clip.joint_pos[:, upper])


def test_a_foot_that_glides_fast_is_meant_to() -> None:
    """0.3 m/s: only what is slower than `STILL` is taken for noise."""
    clip = moved(standing(), np.outer(0.3 * SHARE * (FRAMES - 1) / FPS, (1, 0, 0)))
    motion, _ = project_clip(clip, ROBOT)
    speed = np.diff(soles(motion)[..., 0], axis=0) * FPS
    assert speed.min() > 0.15


def test_what_is_below_the_floor_is_lifted() -> None:
    clip = moved(standing(), (0, 0, -0.01))
    motion, changes = project_clip(clip, ROBOT)
    assert soles(motion)[..., 2].min() > -1e-4
    assert changes.penetration_before_mm == pytest.approx(10, abs=0.01)
    assert changes.penetration_after_mm < 0.1
    assert changes.root_mean_mm == pytest.approx(10, abs=1)


def test_a_foot_alone_below_the_floor_is_lifted_by_its_leg() -> None:
    """The robot leans by 0.04 rad to its left, 2 cm between the feet's heights in all."""
    clip = standing()
    lean = Rotation.from_rotvec([-0.04, 0.0, 0.0]).as_quat(scalar_first=True)
    clip = replace(clip, root_quat_w=np.tile(lean, (FRAMES, 1)))
    below = -soles(clip)[..., 2].min()
    assert below > 0.003
    motion, changes = project_clip(clip, ROBOT)
    assert soles(motion)[..., 2].min() > -2e-4
    assert changes.root_max_mm < 1000 * below


def test_a_jump_touches_nothing_and_is_left_alone() -> None:
    height = 0.1 + 4 * 0.3 * SHARE * (1 - SHARE)
    clip = bent(moved(standing(), np.stack([SHARE, 0 * SHARE, height], axis=-1)), "left_knee_joint", 0.5 * SMOOTH)
    motion, changes = project_clip(clip, ROBOT)
    assert apart(motion, clip) < 1e-9
    assert changes.planted_share == 0
    assert changes.slide_before is changes.slide_after is None


def test_who_lies_has_no_footholds_and_hands_come_out_of_the_floor() -> None:
    """On the back with the feet in the air, a hand 6 cm below the floor: its arm gives way, and not the body alone."""
    back = Rotation.from_euler("y", -90, degrees=True).as_quat(scalar_first=True)
    clip = replace(standing(), root_quat_w=np.tile(back, (FRAMES, 1)))
    for side in ("left", "right"):
        clip = bent(clip, f"{side}_hip_pitch_joint", -0.8)
    clip = bent(clip, "right_shoulder_pitch_joint", 0.5 * np.sin(np.pi * SHARE))
    clip = moved(clip, (0, 0, -clip_physics(clip, ROBOT).lowest[0].item()))
    depth = -clip_physics(clip, ROBOT).lowest.min().item()
    assert depth > 0.03
    motion, changes = project_clip(clip, ROBOT)
    assert changes.planted_share == 0
    assert clip_physics(motion, ROBOT).lowest.min() > -2e-3
    assert changes.penetration_after_mm < 0.2
    assert 2 < changes.joint_max_deg < 45
    assert changes.root_max_mm < 1000 * depth


def test_limits_are_kept() -> None:
    upper = ROBOT.limits[ROBOT.joint_names.index("left_ankle_roll_joint"), 1]
    clip = bent(standing(), "left_ankle_roll_joint", (upper + 0.1) * SMOOTH)
    assert physical_quality(clip, ROBOT).limit_max_rad > 0.05
    motion, changes = project_clip(clip, ROBOT)
    assert (motion.joint_pos >= ROBOT.limits[:, 0]).all()
    assert (motion.joint_pos <= ROBOT.limits[:, 1]).all()
    assert changes.limit_share > 0


def test_motors_speeds_are_kept() -> None:
    """An arm that swings 1.5 rad from one frame to the next."""
    clip = bent(standing(), "left_elbow_joint", 1.5 * (np.arange(FRAMES) >= 40) - 0.5)
    assert physical_quality(clip, ROBOT).speed_max_ratio > 1.3
    motion, _ = project_clip(clip, ROBOT)
    assert physical_quality(motion, ROBOT).speed_max_ratio < 1.01


def test_what_is_projected_stays_as_it_is() -> None:
    clip = trembling(standing())
    once, first = project_clip(clip, ROBOT)
    twice, _ = project_clip(once, ROBOT)
    assert first.slide_before is not None
    assert first.slide_after is not None
    assert first.slide_before > 0.05
    assert first.slide_after < 0.15 * first.slide_before
    assert np.linalg.norm(bodies(twice) - bodies(once), axis=-1).mean() < 1e-3
    assert apart(twice, once) < 0.2 * apart(once, clip)


def test_nothing_gets_jerky() -> None:
    clip = trembling(standing())
    motion, _ = project_clip(clip, ROBOT)
    assert physical_quality(motion, ROBOT, reference=clip).jerk_ratio == pytest.approx(1, abs=0.15)


def test_joints_stand_where_they_stood() -> None:
    clip = trembling(standing()).with_joint_order(ROBOT.joint_names_isaac)
    motion, _ = project_clip(clip, ROBOT)
    assert motion.joint_names == clip.joint_names
    assert (motion.name, motion.fps, motion.provenance) == (clip.name, clip.fps, clip.provenance)
    other, _ = project_clip(clip.with_joint_order(ROBOT.joint_names), ROBOT)
    assert apart(motion, other) < 1e-9
    with pytest.raises(MotionError, match="left_knee_joint"):
        project_clip(clip.with_joint_order([name for name in clip.joint_names if name != "left_knee_joint"]), ROBOT)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_few_frames_are_a_clip(frames: int) -> None:
    motion, changes = project_clip(moved(standing()[:frames], (0, 0, -0.01)), ROBOT)
    assert len(motion) == frames
    assert changes.penetration_after_mm < 0.1


def test_what_is_solved_piece_by_piece_has_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = trembling(standing())
    whole, _ = project_clip(clip, ROBOT)
    monkeypatch.setattr(projection, "PIECE", 30)
    monkeypatch.setattr(projection, "AHEAD", 20)
    pieces, _ = project_clip(clip, ROBOT)
    assert apart(pieces, whole) < 3e-3
    jerk = [np.abs(np.diff(one.joint_pos, n=3, axis=0)).max(axis=1) for one in (pieces, whole)]
    assert jerk[0][25:35].max() < jerk[1][25:35].max() + 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dance1_subject2", "walk3_subject5"])
def test_noise_on_real_motion_slides_no_more_than_the_truth(name: str, lafan1: Path) -> None:
    truth = load_motion(lafan1 / "g1" / f"{name}.csv")
    assert isinstance(truth, RobotClip)
    truth = resample(truth[:600], FPS)
    noisy = trembling(truth, 0.01)
    motion, changes = project_clip(noisy, ROBOT)
    slide = physical_quality(truth, ROBOT).foot_slide
    assert changes.slide_before is not None
    assert changes.slide_after is not None
    assert slide is not None
    assert changes.slide_before > 1.2 * slide
    assert changes.slide_after < 1.1 * slide
    assert changes.penetration_after_mm < 0.1
    error = [np.abs(one.joint_pos - truth.joint_pos).mean() for one in (noisy, motion)]
    assert error[1] < 1.1 * error[0]
