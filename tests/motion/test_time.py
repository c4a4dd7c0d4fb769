"""Resampling is by time, and exact where the motion is as simple as the interpolation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion import HumanClip, RobotClip, resample, resampled_length
from g1_vq_retarget.motion.formats.unitree_csv import read_unitree_csv
from g1_vq_retarget.motion.time import Interpolation, angular_velocity, velocity

INTERPOLATIONS: tuple[Interpolation, ...] = ("linear", "cubic")


def test_lafan1_at_50_fps_has_the_known_numbers_of_frames_and_windows(lafan1: Path) -> None:
    frames = [sum(1 for _ in path.open()) for path in sorted((lafan1 / "g1").glob("*.csv"))]
    resampled = [resampled_length(count, 30, 50) for count in frames]
    assert (len(frames), sum(frames), sum(resampled)) == (40, 264_705, 441_120)
    assert sum((count - 64) // 32 + 1 for count in resampled) == 13_726


@pytest.mark.parametrize(
    ("frames", "fps_in", "fps_out", "expected"),
    [
        (4, 30, 50, 5),  # 0, 20, 40, 60, 80 ms; 100 ms is the last frame's time and left out
        (3, 30, 50, 4),  # 0, 20, 40, 60 ms < 66.7 ms
        (3, 60, 30, 1),
        (4, 60, 30, 2),
        (7, 30, 30, 7),
        (1, 30, 50, 1),
        (2, 120, 50, 1),
        (12, 59.94, 29.97, 6),
    ],
)
def test_lengths_worked_by_hand(frames: int, fps_in: float, fps_out: float, expected: int) -> None:
    assert resampled_length(frames, fps_in, fps_out) == expected


@pytest.mark.parametrize("fps", [12.5, 24, 29.97, 50, 60, 120])
@pytest.mark.parametrize("name", ["robot_clip", "human_clip"])
def test_a_resampled_clip_has_the_told_length_and_ends_before_the_original(
    request: pytest.FixtureRequest, name: str, fps: float
) -> None:
    clip = request.getfixturevalue(name)
    out = resample(clip, fps)
    assert len(out) == resampled_length(len(clip), clip.fps, fps)
    assert out.fps == fps
    assert out.duration < clip.duration <= len(out) / fps + 1e-9
    assert type(out) is type(clip)
    assert (out.name, out.provenance) == (clip.name, clip.provenance)


@pytest.mark.parametrize("name", ["robot_clip", "human_clip"])
def test_the_same_rate_changes_nothing(request: pytest.FixtureRequest, name: str) -> None:
    clip = request.getfixturevalue(name)
    out = resample(clip, clip.fps)
    assert len(out) == len(clip)
    assert np.array_equal(out.root_pos_w, clip.root_pos_w)
    np.testing.assert_allclose(out.root_quat_w, clip.root_quat_w, atol=1e-15)


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["robot_clip", "human_clip"])
def test_the_shortest_clips_can_be_resampled(request: pytest.FixtureRequest, name: str, frames: int) -> None:
    clip = request.getfixturevalue(name)[:frames]
    out = resample(clip, 50)
    assert len(out) == resampled_length(frames, 30, 50)
    np.testing.assert_allclose(out.root_pos_w[0], clip.root_pos_w[0])


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_times_in_common_keep_their_poses(robot_clip: RobotClip, interpolation: Interpolation) -> None:
    out = resample(robot_clip, 50, interpolation)  # 30 and 50 fps meet every 0.1 s: frames 3 k and 5 k
    np.testing.assert_allclose(out.joint_pos[::5], robot_clip.joint_pos[:-1:3], atol=1e-9)
    met = out[::5].root_rotation.inv() * robot_clip[:-1:3].root_rotation
    assert met.magnitude().max() < 1e-7


def moving(clip: RobotClip, *powers: float) -> tuple[RobotClip, RobotClip]:
    """The clip at 30 and at 50 fps with joints and root on a polynomial of time with these coefficients."""

    def at(fps: float, frames: int) -> RobotClip:
        values = np.polyval(powers, np.arange(frames) / fps)[:, None]
        return RobotClip(
            "polynomial",
            fps,
            values * (1, -2, 0.5),
            np.tile([1.0, 0, 0, 0], (frames, 1)),
            clip.joint_names,
            values * np.linspace(-1, 1, len(clip.joint_names)),
        )

    return at(30, 31), at(50, 50)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_linear_motion_is_resampled_exactly(robot_clip: RobotClip, interpolation: Interpolation) -> None:
    clip, expected = moving(robot_clip, 3.0, -1.0)
    out = resample(clip, 50, interpolation)
    np.testing.assert_allclose(out.root_pos_w, expected.root_pos_w, atol=1e-12)
    np.testing.assert_allclose(out.joint_pos, expected.joint_pos, atol=1e-12)


def test_cubic_motion_is_resampled_exactly_by_cubic_interpolation_only(robot_clip: RobotClip) -> None:
    clip, expected = moving(robot_clip, 2.0, -3.0, 0.5, 1.0)
    np.testing.assert_allclose(resample(clip, 50, "cubic").joint_pos, expected.joint_pos, atol=1e-12)
    assert np.abs(resample(clip, 50, "linear").joint_pos - expected.joint_pos).max() > 1e-4


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_constant_turn_is_resampled_exactly(
    robot_clip: RobotClip, human_clip: HumanClip, interpolation: Interpolation
) -> None:
    rate = np.array([1.0, -2.0, 3.0])  # rad/s

    def turn(fps: float, frames: int) -> Rotation:
        return Rotation.from_rotvec(np.arange(frames)[:, None] / fps * rate)

    def as_quat(rotation: Rotation, joints: int) -> np.ndarray:
        return np.tile(rotation.as_quat(scalar_first=True)[:, None], (1, joints, 1))

    # signs may flip from frame to frame: q and -q are one rotation
    quat = turn(30, 120).as_quat(scalar_first=True) * np.where(np.arange(120) % 2, 1, -1)[:, None]
    robot = resample(replace(robot_clip, root_quat_w=quat), 50, interpolation)
    expected = turn(50, len(robot))
    assert (robot.root_rotation.inv() * expected).magnitude().max() < 1e-7
    human = resample(replace(human_clip, joint_quat=as_quat(turn(30, 120), 21)), 50, interpolation)
    off = human.local_rotations.inv() * Rotation.from_quat(as_quat(expected, 21).reshape(-1, 4), scalar_first=True)
    assert off.magnitude().max() < 1e-7


def test_a_real_clip_keeps_close_to_itself_there_and_back(lafan1: Path, robot) -> None:
    clip = read_unitree_csv(lafan1 / "g1" / "walk1_subject1.csv", robot=robot)
    back = resample(resample(clip, 120), 30)
    inner = slice(5, len(back) - 5)  # the end of a spline is free
    assert np.abs(back.joint_pos[inner] - clip[: len(back)].joint_pos[inner]).max() < 1e-3


def test_what_rests_has_no_velocity() -> None:
    assert (velocity(np.full((5, 2, 3), 7.0), 30) == 0).all()
    assert (velocity(np.ones((1, 3)), 30) == 0).all()
    assert (angular_velocity(np.tile(np.eye(3), (5, 2, 1, 1)), 30) == 0).all()
    assert (angular_velocity(np.eye(3)[None], 30) == 0).all()


def test_the_velocity_of_a_ramp_is_its_slope_at_every_frame() -> None:
    ramp = np.arange(6)[:, None] / 30 * (2.0, -5.0)
    np.testing.assert_allclose(velocity(ramp, 30), np.tile((2.0, -5.0), (6, 1)), atol=1e-12)
    np.testing.assert_allclose(velocity(ramp[:2], 30), np.tile((2.0, -5.0), (2, 1)), atol=1e-12)


@pytest.mark.parametrize("frames", [2, 6])
def test_the_angular_velocity_of_a_constant_spin_is_that_spin_in_the_world(frames: int) -> None:
    rate = np.array([0.3, -0.4, 1.2])
    spin = Rotation.from_rotvec(np.arange(frames)[:, None] / 30 * rate)
    # the body's own frame lies askew, so that its angular velocity in it is another
    askew = Rotation.from_rotvec([1.0, 2.0, -0.5])
    rotations = np.stack([(spin * askew).as_matrix(), spin.as_matrix()], axis=1)
    np.testing.assert_allclose(angular_velocity(rotations, 30), np.tile(rate, (frames, 2, 1)), atol=1e-9)
