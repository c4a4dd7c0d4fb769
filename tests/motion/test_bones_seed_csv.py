"""BONES-SEED's CSV: centimetres, degrees, names, and a rate that only its frames' numbers can contradict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion import MotionError, RobotClip, resample
from g1_vq_retarget.motion.formats.bones_seed_csv import read_bones_seed_csv, write_bones_seed_csv
from g1_vq_retarget.motion.formats.csv_table import read_headed_table, write_table
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.robot import RobotModel


@pytest.fixture
def path(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path) -> Path:
    write_bones_seed_csv(resample(robot_clip, 120.0), tmp_path / "clip.csv", robot)
    return tmp_path / "clip.csv"


def test_reading_what_was_written_gives_the_same_motion(robot_clip: RobotClip, robot: RobotModel, path: Path) -> None:
    findings = list[Finding]()
    back, clip = read_bones_seed_csv(path, robot=robot, findings=findings), resample(robot_clip, 120.0)
    assert (back.fps, back.joint_names) == (120.0, robot.joint_names)
    for key in ("root_pos_w", "joint_pos"):
        np.testing.assert_allclose(getattr(back, key), getattr(clip, key), atol=1e-8)
    assert (back.root_rotation.inv() * clip.root_rotation).magnitude().max() < 1e-8
    assert [finding.how for finding in findings] == ["file", "evidence", "convention"]


def test_a_row_worked_by_hand(robot: RobotModel, path: Path) -> None:
    columns = read_headed_table(path)[0]
    row = dict.fromkeys(columns, 0.0)
    row |= {"root_translateX": 12.0, "root_translateZ": 80.0, "left_knee_joint_dof": 90.0}
    # a quarter turn about the world's x, then one about the world's z: the robot's z, which the first turns to -y,
    # ends along x, and its x along y
    row |= {"root_rotateX": 90.0, "root_rotateZ": 90.0}
    # another column, and any order of columns
    names = ("note", *reversed(columns))
    write_table(path, np.array([[7.0, *(row[name] for name in reversed(columns))]] * 2), names)
    with pytest.raises(MotionError, match=r"Frame goes from 0 to 0 and not by 1.*--fps"):
        read_bones_seed_csv(path, robot=robot)
    clip = read_bones_seed_csv(path, robot=robot, fps=60)
    assert clip.fps == 60
    np.testing.assert_allclose(clip.root_pos_w[0], (0.12, 0, 0.8))
    np.testing.assert_allclose(clip.root_rotation[0].apply([(0, 0, 1), (1, 0, 0)]), [(1, 0, 0), (0, 1, 0)], atol=1e-12)
    angles = dict(zip(clip.joint_names, clip.joint_pos[0], strict=True))
    assert angles.pop("left_knee_joint") == pytest.approx(np.pi / 2)
    assert not any(angles.values())


def test_a_header_in_another_order_than_its_columns_is_refused(robot: RobotModel, path: Path) -> None:
    columns, table = read_headed_table(path)
    order = [robot.joint_names.index(name) for name in robot.joint_names_isaac]
    write_table(path, np.hstack([table[:, :7], table[:, 7:][:, order]]), columns)
    with pytest.raises(MotionError, match=r"clip\.csv: the motion stands .*columns in Isaac Lab's order"):
        read_bones_seed_csv(path, robot=robot)


def test_angles_about_the_robots_own_axes_are_refused(robot: RobotModel, path: Path) -> None:
    columns, table = read_headed_table(path)
    turns = Rotation.from_euler("xyz", table[:, 4:7], degrees=True).as_euler("XYZ", degrees=True)
    write_table(path, np.hstack([table[:, :4], turns, table[:, 7:]]), columns)
    with pytest.raises(MotionError, match=r"clip\.csv: the motion stands .*intrinsic xyz"):
        read_bones_seed_csv(path, robot=robot)


def test_frames_left_out_are_refused_unless_the_rate_is_told(robot: RobotModel, path: Path) -> None:
    columns, table = read_headed_table(path)
    write_table(path, table[::4], columns)
    with pytest.raises(MotionError, match=r"clip\.csv: Frame goes from 0 to 4 .*not 120 fps: .*--fps"):
        read_bones_seed_csv(path, robot=robot)
    assert read_bones_seed_csv(path, robot=robot, fps=30).fps == 30


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("left_knee_joint_dof", "left_knee", r"clip\.csv: lacks the columns left_knee_joint_dof; it holds Frame"),
        ("root_rotateX", "root_rotateY", r"clip\.csv: the header holds a name twice"),
        ("\n1.0000000,", "\nnan,", r"clip\.csv: line 3 \(frame 1\), column 1 \(Frame\) holds 'nan'"),
        ("\n1.0000000,", "\n", r"clip\.csv: line 3 \(frame 1\) has 35 columns, expected 36: as in the header"),
    ],
)
def test_a_fault_is_named(robot: RobotModel, path: Path, old: str, new: str, told: str) -> None:
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(MotionError, match=told):
        read_bones_seed_csv(path, robot=robot)
