"""Mirrored twice is the same, and a mirrored motion is what a mirror shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from g1_vq_retarget.motion import HumanClip, RobotClip, mirror, root_features
from g1_vq_retarget.motion.formats.unitree_csv import read_unitree_csv
from g1_vq_retarget.motion.mirror import mirrored_joints, mirrored_names
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS
from g1_vq_retarget.robot import RobotModel, forward_kinematics

IN_THE_MIRROR = np.array([1.0, -1.0, 1.0])


def twins(names: tuple[str, ...]) -> list[int]:
    exchanged = {"left": "right", "right": "left"}
    return [names.index("_".join(exchanged.get(word, word) for word in name.split("_"))) for name in names]


def link_positions(clip: RobotClip, robot: RobotModel) -> np.ndarray:
    clip = clip.with_joint_order(robot.joint_names)
    arrays = (clip.joint_pos, clip.root_pos_w, clip.root_quat_w)
    return forward_kinematics(robot, *map(torch.from_numpy, arrays)).pos.numpy()


@pytest.mark.parametrize("name", ["robot_clip", "human_clip"])
def test_mirrored_twice_is_the_same(request: pytest.FixtureRequest, robot: RobotModel, name: str) -> None:
    clip = request.getfixturevalue(name)
    once = mirror(clip, robot)
    twice = mirror(once, robot)
    assert (twice.name, twice.fps, twice.provenance) == (clip.name, clip.fps, clip.provenance)
    np.testing.assert_allclose(twice.root_pos_w, clip.root_pos_w)
    assert (twice.root_rotation.inv() * clip.root_rotation).magnitude().max() < 1e-7
    key = "joint_pos" if isinstance(clip, RobotClip) else "joint_quat"
    np.testing.assert_allclose(getattr(twice, key), getattr(clip, key))
    assert np.abs(getattr(once, key) - getattr(clip, key)).max() > 0.1


def test_a_mirrored_robot_is_where_the_mirror_shows_it(robot_clip: RobotClip, robot: RobotModel) -> None:
    mirrored = link_positions(mirror(robot_clip, robot), robot)
    expected = link_positions(robot_clip, robot)[:, twins(robot.link_names)] * IN_THE_MIRROR
    np.testing.assert_allclose(mirrored, expected, atol=1e-3)


@pytest.mark.parametrize("name", ["dance1_subject1", "fallAndGetUp1_subject1"])
def test_a_mirrored_real_clip_is_where_the_mirror_shows_it(lafan1: Path, robot: RobotModel, name: str) -> None:
    clip = read_unitree_csv(lafan1 / "g1" / f"{name}.csv", robot=robot)[::20]
    mirrored = link_positions(mirror(clip, robot), robot)
    expected = link_positions(clip, robot)[:, twins(robot.link_names)] * IN_THE_MIRROR
    np.testing.assert_allclose(mirrored, expected, atol=1e-3)


def test_a_mirrored_human_is_where_the_mirror_shows_it(human_clip: HumanClip, robot: RobotModel) -> None:
    expected = human_clip.joint_pos_w[:, twins(HUMAN_JOINTS)] * IN_THE_MIRROR
    np.testing.assert_allclose(mirror(human_clip, robot).joint_pos_w, expected, atol=1e-9)


@pytest.mark.parametrize("name", ["robot_clip", "human_clip"])
def test_a_mirrored_root_goes_and_leans_to_the_other_side(
    request: pytest.FixtureRequest, robot: RobotModel, name: str
) -> None:
    clip = request.getfixturevalue(name)
    mirrored = mirror(clip, robot)
    there = root_features(mirrored.root_pos_w, mirrored.body_rotation, mirrored.fps)
    here = root_features(clip.root_pos_w, clip.body_rotation, clip.fps)
    # height, up x y z, forward, left, turning rate
    np.testing.assert_allclose(there, here * (1, 1, -1, 1, 1, -1, -1), atol=1e-6)


def test_columns_go_by_name_and_not_by_position(robot_clip: RobotClip, robot: RobotModel) -> None:
    isaac = mirror(robot_clip.with_joint_order(robot.joint_names_isaac), robot)
    assert isaac.joint_names == robot.joint_names_isaac
    back = isaac.with_joint_order(robot.joint_names)
    np.testing.assert_array_equal(back.joint_pos, mirror(robot_clip, robot).joint_pos)


def test_bending_keeps_its_sense_and_turning_aside_changes_it(robot: RobotModel) -> None:
    columns, signs = mirrored_joints(robot)
    sign = dict(zip(robot.joint_names, signs, strict=True))
    assert sign["left_knee_joint"] == sign["waist_pitch_joint"] == sign["right_elbow_joint"] == 1
    assert sign["left_hip_roll_joint"] == sign["waist_yaw_joint"] == sign["right_wrist_roll_joint"] == -1
    assert robot.joint_names[columns[robot.joint_names.index("left_knee_joint")]] == "right_knee_joint"


def test_names_without_a_side_are_their_own_twins() -> None:
    assert mirrored_names(["left_arm", "head", "right_arm", "upright_post"]) == [2, 1, 0, 3]


def test_a_side_without_its_twin_is_named() -> None:
    with pytest.raises(ValueError, match="right_arm"):
        mirrored_names(["left_arm"])
