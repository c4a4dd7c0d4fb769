"""The root stream forgets place and heading, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion import ROOT_FEATURES, HumanClip, RobotClip, integrate_root, root_features
from g1_vq_retarget.motion.root import heading

FPS = 50.0


def about(axis: str, degrees: float | np.ndarray) -> Rotation:
    return Rotation.from_euler(axis, np.reshape(degrees, (-1, 1)), degrees=True)


def random_motion(seed: int, frames: int = 200) -> tuple[np.ndarray, Rotation]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(frames, 3)), Rotation.random(frames, rng)


@pytest.mark.parametrize("seed", range(5))
def test_integrating_the_stream_returns_to_the_same_poses(seed: int) -> None:
    pos, rotation = random_motion(seed)
    features = root_features(pos, rotation, FPS)
    back_pos, back = integrate_root(features, FPS, tuple(pos[0, :2]), heading(rotation)[0])
    np.testing.assert_allclose(back_pos, pos, atol=1e-9)
    assert (back.inv() * rotation).magnitude().max() < 1e-6


def test_real_shaped_motion_returns_too(robot_clip: RobotClip, human_clip: HumanClip) -> None:
    for clip in (robot_clip, human_clip):
        features = root_features(clip.root_pos_w, clip.body_rotation, clip.fps)
        x, y, _ = clip.root_pos_w[0]
        pos, rotation = integrate_root(features, clip.fps, (x, y), heading(clip.body_rotation)[0])
        np.testing.assert_allclose(pos, clip.root_pos_w, atol=1e-9)
        assert (rotation.inv() * clip.body_rotation).magnitude().max() < 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_place_and_heading_in_the_world_leave_no_trace(seed: int) -> None:
    pos, rotation = random_motion(seed)
    turn = about("z", 123.0)
    moved = turn.apply(pos) + np.array([4.0, -7.0, 0.0])
    np.testing.assert_allclose(
        root_features(moved, turn * rotation, FPS), root_features(pos, rotation, FPS), atol=1e-6 * FPS
    )


def test_lifting_shows_in_the_height_only() -> None:
    pos, rotation = random_motion(0)
    change = root_features(pos + np.array([0, 0, 0.3]), rotation, FPS) - root_features(pos, rotation, FPS)
    np.testing.assert_allclose(change, np.tile([0.3, 0, 0, 0, 0, 0, 0], (200, 1)), atol=1e-9)


def test_walking_worked_by_hand() -> None:
    # facing +y, walking along +y at 1 m/s: forward and not to the left
    pos = np.stack([np.full(4, 5.0), np.arange(4) / 10, np.full(4, 0.8)], axis=1)
    features = dict(zip(ROOT_FEATURES, root_features(pos, about("z", np.full(4, 90.0)), 10).T, strict=True))
    expected = {"height": 0.8, "up_z": 1, "vel_forward": 1}
    for name, values in features.items():
        np.testing.assert_allclose(values, np.full(4, expected.get(name, 0)), atol=1e-9, err_msg=name)


def test_turning_and_sidestepping_worked_by_hand() -> None:
    # facing -x, stepping along -y (to the left) at 2 m/s while turning left by 9 degrees a frame
    pos = np.stack([np.zeros(2), -np.arange(2) / 5, np.ones(2)], axis=1)
    first = root_features(pos, about("z", np.array([180.0, 189.0])), 10)[0]
    np.testing.assert_allclose(first, [1, 0, 0, 1, 0, 2, np.pi / 2], atol=1e-9)


def test_leaning_forward_shows_as_the_up_axis_in_the_body() -> None:
    # bowing by 30 degrees about the body's left: up leans to the body's back
    features = root_features(np.zeros((1, 3)), about("z", 70.0) * about("y", 30.0), FPS)
    np.testing.assert_allclose(features[0, 1:4], [-0.5, 0, np.sqrt(0.75)], atol=1e-12)


def test_a_single_frame_stands_still() -> None:
    features = root_features(np.ones((1, 3)), about("z", 10.0), FPS)
    assert (features[0, 4:] == 0).all()
    pos, rotation = integrate_root(features, FPS, (1, 1), np.deg2rad(10))
    np.testing.assert_allclose(pos, [[1, 1, 1]])
    assert (rotation.inv() * about("z", 10.0)).magnitude()[0] < 1e-9


def test_turning_past_the_back_makes_no_jump() -> None:
    features = root_features(np.zeros((21, 3)), about("z", np.linspace(170, 190, 21)), FPS)
    np.testing.assert_allclose(features[:, 6], np.deg2rad(1) * FPS, atol=1e-9)


@pytest.mark.parametrize("yaw", [-170.0, -90.0, 0.0, 45.0, 120.0])
@pytest.mark.parametrize("tilt", [("y", -90.0), ("y", 90.0), ("x", 90.0), ("x", -150.0)])
def test_heading_is_defined_on_back_belly_and_side(yaw: float, tilt: tuple[str, float]) -> None:
    # the first tilt has the pelvis's x axis straight up, where the yaw of that axis is undefined
    lying = about("z", yaw) * about(*tilt)
    np.testing.assert_allclose(heading(lying), np.deg2rad(yaw), atol=1e-9)


def test_heading_turns_smoothly_while_rolling_over_the_back() -> None:
    # falling on the back and further, to 170 degrees, heading kept: the yaw of the x axis would jump at 90
    falling = about("z", 30.0) * about("y", -np.linspace(0, 170, 50))
    np.testing.assert_allclose(heading(falling), np.deg2rad(30), atol=1e-9)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_the_up_axis_need_not_have_unit_length(scale: float) -> None:
    pos, rotation = random_motion(3)
    features = root_features(pos, rotation, FPS)
    expected = integrate_root(features, FPS)[1]
    features[:, 1:4] *= scale
    assert (integrate_root(features, FPS)[1].inv() * expected).magnitude().max() < 1e-6


def test_a_stream_without_an_up_axis_still_gives_rotations() -> None:
    features = np.zeros((3, 7))
    features[1, 3] = -1  # upside down
    pos, rotation = integrate_root(features, FPS)
    assert np.isfinite(pos).all()
    assert np.isfinite(rotation.as_matrix()).all()
