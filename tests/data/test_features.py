from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.data.features import FeatureSpec, RootStart, deviation
from g1_vq_retarget.motion import HumanClip, MotionError, Provenance, RobotClip, mirror
from g1_vq_retarget.motion.formats import read_bvh
from g1_vq_retarget.motion.root import heading
from g1_vq_retarget.robot import load_robot
from synthetic import human_clip, robot_clip, scaled, waves, write_bvh


@pytest.fixture(params=[True, False], ids=["root", "joints only"])
def spec(request: pytest.FixtureRequest) -> FeatureSpec:
    """Features with a mean and a deviation of their own in every column."""
    robot, root = load_robot(), 7 if request.param else 0
    rng = np.random.default_rng(0)

    def columns(count: int, low: float) -> list[float]:
        return rng.uniform(low, 2, count + root).tolist()

    return FeatureSpec(
        robot=robot.name,
        joint_names=list(robot.joint_names),
        fps=30.0,
        root=request.param,
        robot_mean=columns(29, -2),
        robot_std=columns(29, 0.1),
        human_mean=columns(126, -2),
        human_std=columns(126, 0.1),
    )


def lying(clip: RobotClip, degrees: float) -> RobotClip:
    """The clip with the robot turned over to its front (90) or back (-90), and on."""
    over = Rotation.from_euler("y", degrees, degrees=True)
    return replace(clip, root_quat_w=(clip.root_rotation * over).as_quat(scalar_first=True))


def decoded(spec: FeatureSpec, clip: RobotClip) -> RobotClip:
    return spec.robot_clip(spec.robot_features(clip), clip.name, RootStart.of(clip, 0.8), Provenance())


def assert_same_pose(clip: RobotClip, expected: RobotClip, atol: float = 1e-9) -> None:
    np.testing.assert_allclose(clip.joint_pos, expected.joint_pos, atol=atol)
    np.testing.assert_allclose(clip.root_pos_w, expected.root_pos_w, atol=atol)
    assert (clip.root_rotation.inv() * expected.root_rotation).magnitude().max() < max(atol, 1e-7)


@pytest.mark.parametrize("degrees", [0, 90, -90, 150], ids=["upright", "on the belly", "on the back", "head down"])
def test_a_robot_clip_comes_back_from_its_features(spec: FeatureSpec, degrees: float) -> None:
    clip = lying(robot_clip(60), degrees)
    again = decoded(spec, clip)
    if spec.root:
        assert_same_pose(again, clip)
    else:
        np.testing.assert_allclose(again.joint_pos, clip.joint_pos, atol=1e-9)
    assert again.fps == clip.fps
    assert again.joint_names == clip.joint_names


def test_features_know_neither_place_nor_heading(spec: FeatureSpec) -> None:
    clip, human = robot_clip(60), human_clip(60)
    turn = Rotation.from_euler("z", 70, degrees=True)

    def moved(root_pos_w: np.ndarray, rotation: Rotation) -> dict[str, np.ndarray]:
        return {
            "root_pos_w": turn.apply(root_pos_w) + np.array((5, -3, 0)),
            "root_quat_w": (turn * rotation).as_quat(scalar_first=True),
        }

    elsewhere = replace(clip, **moved(clip.root_pos_w, clip.root_rotation))
    np.testing.assert_allclose(spec.robot_features(elsewhere), spec.robot_features(clip), atol=1e-7)
    other = replace(human, **moved(human.root_pos_w, human.root_rotation))
    np.testing.assert_allclose(spec.human_features(other), spec.human_features(human), atol=1e-7)


@pytest.mark.parametrize("spec", [True], ids=["root"], indirect=True)
def test_a_start_places_the_motion_and_turns_it(spec: FeatureSpec) -> None:
    clip = robot_clip(60)
    features = spec.robot_features(clip)
    here = spec.robot_clip(features, "", RootStart(), Provenance())
    there = spec.robot_clip(features, "", RootStart(x=2, y=-1, yaw=np.pi / 2), Provenance())
    quarter = Rotation.from_euler("z", 90, degrees=True)
    np.testing.assert_allclose(there.root_pos_w, quarter.apply(here.root_pos_w) + np.array((2, -1, 0)), atol=1e-9)
    assert (there.root_rotation.inv() * quarter * here.root_rotation).magnitude().max() < 1e-7


@pytest.mark.parametrize("spec", [False], ids=["joints only"], indirect=True)
def test_without_a_root_stream_the_robot_stands_at_its_start(spec: FeatureSpec) -> None:
    features = spec.robot_features(robot_clip(20))
    clip = spec.robot_clip(features, "", RootStart(x=1, y=2, yaw=0.5, height=0.7), Provenance())
    np.testing.assert_allclose(clip.root_pos_w, np.tile((1, 2, 0.7), (20, 1)), atol=1e-12)
    np.testing.assert_allclose(clip.root_rotation.as_rotvec(), np.tile((0, 0, 0.5), (20, 1)), atol=1e-12)


def test_columns_go_by_name_of_joint(spec: FeatureSpec) -> None:
    clip = robot_clip(20)
    shuffled = clip.with_joint_order(load_robot().joint_names_isaac)
    np.testing.assert_array_equal(spec.robot_features(shuffled), spec.robot_features(clip))
    lacking = replace(clip, joint_names=clip.joint_names[1:], joint_pos=clip.joint_pos[:, 1:])
    with pytest.raises(MotionError, match="left_hip_pitch_joint"):
        spec.robot_features(lacking)


def test_features_are_normalised_column_by_column(spec: FeatureSpec) -> None:
    clip = robot_clip(20)
    column = 4
    expected = (clip.joint_pos[:, column] - spec.robot_mean[column]) / spec.robot_std[column]
    np.testing.assert_allclose(spec.robot_features(clip)[:, column], expected)


@pytest.mark.parametrize("size", [1.2, 0.6])
def test_the_size_of_a_human_does_not_show_in_the_features(spec: FeatureSpec, size: float, tmp_path: Path) -> None:
    clip = human_clip(60)
    np.testing.assert_allclose(spec.human_features(scaled(clip, size)), spec.human_features(clip), atol=1e-9)
    files = [write_bvh(scaled(clip, factor), tmp_path / f"{factor}.bvh") for factor in (1, size)]
    one, other = (spec.human_features(read_bvh(path)) for path in files)
    np.testing.assert_allclose(other, one, atol=1e-3)


@pytest.mark.parametrize("clip", [robot_clip(30, 5), human_clip(30, 5)], ids=["robot", "human"])
def test_mirroring_features_is_mirroring_the_motion(spec: FeatureSpec, clip: RobotClip | HumanClip) -> None:
    mirror_robot, mirror_human = spec.mirrors()
    if isinstance(clip, RobotClip):
        features, expected, turn = (
            spec.robot_features(clip),
            spec.robot_features(mirror(clip, load_robot())),
            mirror_robot,
        )
    else:
        features, expected, turn = (
            spec.human_features(clip),
            spec.human_features(mirror(clip, load_robot())),
            mirror_human,
        )
    mirrored = turn(torch.from_numpy(features))
    np.testing.assert_allclose(mirrored.numpy(), expected, atol=1e-9)
    np.testing.assert_allclose(turn(mirrored).numpy(), features, atol=1e-9)


def test_a_spec_survives_json_types(spec: FeatureSpec) -> None:
    assert FeatureSpec.from_dict(spec.to_dict()) == spec


def test_the_start_of_a_clip_is_its_first_frame() -> None:
    for clip in (robot_clip(10, 3), human_clip(10, 3)):
        start = RootStart.of(clip, 0.8)
        np.testing.assert_allclose((start.x, start.y), clip.root_pos_w[0, :2])
        np.testing.assert_allclose(start.yaw, heading(clip.body_rotation)[0])


def test_deviation_is_over_frames_of_all_windows_and_not_below_its_floor() -> None:
    values = np.concatenate([waves(8, 1, 0)[None], 3 * waves(8, 1, 1)[None]]).astype(np.float32)
    np.testing.assert_allclose(deviation(values, "robot"), [values.ravel().std(dtype=float)])
    still = np.zeros((2, 4, 3), np.float32)
    for kind, floor in (("robot", 1e-3), ("human", 0.05), ("root", 1e-3)):
        np.testing.assert_array_equal(deviation(still, kind), [floor] * 3)
