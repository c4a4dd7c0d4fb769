"""SONIC's folder: tables as the robot's controller reads them, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import MotionError, RobotClip, resample
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.motion.formats.csv_table import read_headed_table, write_table
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.sonic_folder import read_sonic_folder, write_sonic_folder
from g1_vq_retarget.robot import RobotModel


@pytest.fixture
def path(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path) -> Path:
    write_sonic_folder(resample(robot_clip, 50.0), tmp_path / "clip", robot)
    return tmp_path / "clip"


def test_reading_what_was_written_gives_the_same_motion(robot_clip: RobotClip, robot: RobotModel, path: Path) -> None:
    findings = list[Finding]()
    back, clip = read_sonic_folder(path, robot, findings=findings), resample(robot_clip, 50.0)
    assert (back.name, back.fps, back.joint_names) == ("clip", 50.0, robot.joint_names)
    for key in ("root_pos_w", "joint_pos"):
        np.testing.assert_allclose(getattr(back, key), getattr(clip, key), atol=1e-7)
    assert (back.root_rotation.inv() * clip.root_rotation).magnitude().max() < 1e-7
    told = {finding.question: (finding.answer, finding.how) for finding in findings}
    assert told == {
        "joint order": ("isaac", "evidence"),
        "quaternion order": ("wxyz", "evidence"),
        "fps": ("50", "convention"),
        "point of the linear velocities": ("centre of mass", "evidence"),
    }


def test_headers_and_bodies_are_those_of_the_controller(robot: RobotModel, path: Path) -> None:
    assert {file.name for file in path.iterdir()} == {
        *(
            f"{name}.csv"
            for name in ("joint_pos", "joint_vel", "body_pos", "body_quat", "body_lin_vel", "body_ang_vel")
        ),
        "metadata.txt",
    }
    for name, first, last in (
        ("joint_pos", "joint_0", "joint_28"),
        ("joint_vel", "joint_vel_0", "joint_vel_28"),
        ("body_pos", "body_0_x", "body_13_z"),
        ("body_quat", "body_0_w", "body_13_z"),
    ):
        columns = (path / f"{name}.csv").read_text().splitlines()[0].split(",")
        assert (columns[0], columns[-1]) == (first, last)
    # the numbers that GR00T-WholeBodyControl's own references have
    lines = (path / "metadata.txt").read_text().splitlines()
    assert lines[lines.index("Body part indexes:") + 1] == "[0 4 10 18 5 11 19 9 16 22 28 17 23 29]"


def test_a_folder_of_the_root_alone_is_read_by_the_ground(robot_clip: RobotClip, robot: RobotModel, path: Path) -> None:
    for name, width in (("body_pos", 3), ("body_quat", 4)):
        columns, table = read_headed_table(path / f"{name}.csv")
        write_table(path / f"{name}.csv", table[:, :width], columns[:width])
    for name in ("body_lin_vel", "body_ang_vel"):
        (path / f"{name}.csv").unlink()
    (path / "metadata.txt").write_text("Body part indexes:\n[ 0]\n\nTotal timesteps: 198\n")
    findings = list[Finding]()
    back = read_sonic_folder(path, robot, findings=findings)
    np.testing.assert_allclose(back.joint_pos, resample(robot_clip, 50.0).joint_pos, atol=1e-7)
    assert findings[0].question == "joint and quaternion order"
    assert findings[0].answer == "isaac wxyz"


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("metadata.txt", "Total timesteps: 3\n", "metadata.txt lacks a line 'Body part indexes:'"),
        ("metadata.txt", "Body part indexes:\n[4 0]\n", "the root's 0 first"),
        ("metadata.txt", "Body part indexes:\n[0 4]\n", r"body_pos\.csv has shape \(\d+, 42\), expected \(\d+, 6\)"),
        ("joint_vel.csv", "joint_vel_0\n0\n", r"joint_vel\.csv has shape \(1, 1\), expected \(\d+, 29\)"),
        ("body_quat.csv", "a,b\n1,2\n1,x\n", r"body_quat\.csv: line 3 \(frame 1\), column 2 \(b\) holds 'x'"),
        ("body_pos.csv", "", r"body_pos\.csv is empty"),
        ("body_pos.csv", "version https://git-lfs.github.com/spec/v1\n", r"body_pos\.csv is a Git LFS pointer"),
    ],
)
def test_a_fault_is_named(robot: RobotModel, path: Path, file: str, text: str, told: str) -> None:
    (path / file).write_text(text)
    with pytest.raises(UserError, match=told):
        read_sonic_folder(path, robot)


def test_a_missing_table_is_named(robot: RobotModel, path: Path) -> None:
    (path / "body_quat.csv").unlink()
    with pytest.raises(UserError, match=r"body_quat\.csv: no such file"):
        load_motion(path)


def test_a_folder_is_written_anew_and_never_over_anything_else(
    robot_clip: RobotClip, robot: RobotModel, path: Path
) -> None:
    write_sonic_folder(resample(robot_clip[:60], 50.0), path, robot)
    assert len(load_motion(path)) == 99
    (path / "notes.md").write_text("mine")
    with pytest.raises(UserError, match=r"clip holds notes\.md, which would be lost"):
        write_sonic_folder(robot_clip, path, robot)
    assert len(load_motion(path)) == 99
    (path.parent / "file").write_text("mine")
    with pytest.raises(UserError, match="file is a file"):
        write_sonic_folder(robot_clip, path.parent / "file", robot)
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["clip", "file"]


def test_another_rate_is_refused_unless_it_is_told(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    write_sonic_folder(robot_clip, tmp_path / "clip", robot)
    with pytest.raises(MotionError, match=r"fps is 50, but joint_vel\.csv .*it fits 30 fps"):
        read_sonic_folder(tmp_path / "clip", robot)
    assert read_sonic_folder(tmp_path / "clip", robot, fps=30.0).fps == 30
