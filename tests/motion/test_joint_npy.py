from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.formats.joint_npy import read_joint_npy, write_joint_npy
from g1_vq_retarget.robot import RobotModel, forward_kinematics, load_robot
from g1_vq_retarget.robot.capsules import capsules_of
from synthetic import robot_clip


@pytest.fixture(scope="module")
def robot() -> RobotModel:
    return load_robot()


def test_angles_names_rate_and_licence_come_back(robot: RobotModel, tmp_path: Path) -> None:
    clip, path = robot_clip(20, 0), tmp_path / "demo.npy"
    # in another order than the file's
    write_joint_npy(clip.with_joint_order(clip.joint_names[::-1]), path, robot)
    array, card = np.load(path), json.loads((tmp_path / "demo.json").read_text())
    assert array.shape == (20, 29)
    np.testing.assert_allclose(array, clip.joint_pos, atol=1e-6)
    assert card["joint_names"] == list(robot.joint_names)
    assert (card["fps"], card["unit"], card["licence"]) == (30.0, "rad", "CC0 robot")
    back = read_joint_npy(path, robot)
    assert (back.fps, back.joint_names, back.provenance.licence) == (30.0, robot.joint_names, "CC0 robot")
    np.testing.assert_allclose(back.joint_pos, clip.joint_pos, atol=1e-6)


def test_columns_are_found_by_the_names_beside_them(robot: RobotModel, tmp_path: Path) -> None:
    clip, path = robot_clip(5, 1), tmp_path / "other.npy"
    np.save(path, clip.joint_pos[:, ::-1])
    names = list(clip.joint_names[::-1])
    path.with_suffix(".json").write_text(json.dumps({"joint_names": names, "fps": 60, "licence": ""}))
    back = read_joint_npy(path, robot)
    np.testing.assert_array_equal(back.joint_pos, clip.joint_pos)
    assert back.fps == 60


def test_a_bare_file_is_in_mujoco_order_and_wants_a_rate(robot: RobotModel, tmp_path: Path) -> None:
    path = tmp_path / "bare.npy"
    np.save(path, robot_clip(5, 1).joint_pos)
    with pytest.raises(UserError, match=r"bare\.npy: tells no rate.*--input_fps"):
        read_joint_npy(path, robot)
    assert read_joint_npy(path, robot, fps=30.0).joint_names == robot.joint_names


def test_the_lowest_point_is_on_the_floor_in_every_frame(robot: RobotModel, tmp_path: Path) -> None:
    path = tmp_path / "bare.npy"
    np.save(path, robot_clip(40, 3).joint_pos)
    clip = read_joint_npy(path, robot, fps=30.0)
    poses = forward_kinematics(
        robot, *(torch.from_numpy(values) for values in (clip.joint_pos, clip.root_pos_w, clip.root_quat_w))
    )
    capsules = capsules_of(robot)
    below = capsules.ends_at(poses)[..., 2].numpy() - capsules.radius[:, None]
    np.testing.assert_allclose(below.min(axis=(1, 2)), 0.0, atol=1e-9)
    np.testing.assert_array_equal(clip.root_pos_w[:, :2], 0.0)
    assert np.ptp(clip.root_pos_w[:, 2]) > 0.01


@pytest.mark.parametrize(
    ("array", "card", "told"),
    [
        (np.zeros((4, 28)), None, r"\(4, 28\), expected joint angles \(T, 29\)"),
        (np.zeros(29), None, "expected joint angles"),
        (np.zeros((0, 29)), None, "expected joint angles"),
        (np.zeros((4, 29), dtype=int), None, "int64"),
        (np.full((4, 29), np.nan), None, "joint_pos"),
        (np.full((4, 29), 20.0), None, "demo.npy: .* beyond its limits .*: expected radians"),
        (np.zeros((4, 29)), "{", "demo.json: tells nothing of demo.npy"),
        (np.zeros((4, 29)), "[]", "demo.json: tells nothing"),
        (np.zeros((4, 29)), '{"fps": 30}', "demo.json: tells nothing"),
        (np.zeros((4, 29)), "[" * 100_000, "demo.json: tells nothing"),
        (np.zeros((4, 29)), '{"fps": 30, "joint_names": [[1]], "licence": ""}', "demo.json: tells nothing"),
        (np.zeros((4, 29)), f'{{"fps": {10**400}, "joint_names": [], "licence": ""}}', "demo.json: tells nothing"),
        (np.zeros((4, 2)), '{"fps": 30, "joint_names": ["a", "b"], "licence": ""}', "demo.npy: .*not among a, b"),
        (np.zeros((4, 29)), '{"fps": 50, "joint_names": [], "licence": ""}', "tells 50 fps, --input_fps 30"),
    ],
)
def test_what_is_no_such_file_is_told(
    robot: RobotModel, tmp_path: Path, array: np.ndarray, card: str | None, told: str
) -> None:
    path = tmp_path / "demo.npy"
    np.save(path, array)
    if card is not None:
        path.with_suffix(".json").write_text(card)
    with pytest.raises(UserError, match=told):
        read_joint_npy(path, robot, fps=30.0)


def test_damage_and_pickles_are_told(robot: RobotModel, tmp_path: Path) -> None:
    path = tmp_path / "demo.npy"
    np.save(path, np.zeros((4, 29)))
    whole = path.read_bytes()
    for damaged in (whole[:-8], b"\x93NUMPY", b"not at all"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"demo\.npy: not an NPY of joint angles"):
            read_joint_npy(path, robot, fps=30.0)
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="Python objects"):
        read_joint_npy(path, robot, fps=30.0)
    with pytest.raises(UserError, match=r"name the file \.npy"):
        write_joint_npy(robot_clip(2), tmp_path / "demo.npz", robot)
