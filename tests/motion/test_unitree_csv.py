"""Unitree's CSV: what is written is read again, and what cannot be is refused by line and column."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import sha256_of
from g1_vq_retarget.motion import MotionError, RobotClip
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.orders import QUAT_ORDERS, QuatOrder
from g1_vq_retarget.motion.formats.unitree_csv import read_unitree_csv, write_unitree_csv
from g1_vq_retarget.robot import RobotModel

ROW = [0.1, 0.2, 0.8, 0.0, 0.0, 0.6, 0.8, *np.linspace(-0.08, 0.2, 29)]


def write_rows(path: Path, rows: list[list]) -> Path:
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


def test_reading_what_was_written_gives_the_same_motion(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path
) -> None:
    write_unitree_csv(robot_clip, tmp_path / "clip.csv", robot)
    back = read_unitree_csv(tmp_path / "clip.csv", robot=robot, fps=robot_clip.fps)
    assert back.joint_names == robot_clip.joint_names
    for key in ("root_pos_w", "root_quat_w", "joint_pos"):
        np.testing.assert_allclose(getattr(back, key), getattr(robot_clip, key), atol=1e-6, err_msg=key)


def test_columns_are_written_by_name(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    write_unitree_csv(robot_clip, tmp_path / "one.csv", robot)
    write_unitree_csv(robot_clip.with_joint_order(robot.joint_names_isaac), tmp_path / "other.csv", robot)
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "other.csv").read_text()


def test_a_clip_of_another_robot_is_not_written(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    with pytest.raises(MotionError, match="left_hip_pitch_joint, tail_joint"):
        write_unitree_csv(
            replace(robot_clip, joint_names=("tail_joint", *robot.joint_names[1:])), tmp_path / "clip.csv", robot
        )
    assert not list(tmp_path.iterdir())


def test_a_row_worked_by_hand(robot: RobotModel, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "nod.csv", [ROW, ROW])
    clip = read_unitree_csv(path, robot=robot, licence="CC0", quat_order="xyzw")
    assert (clip.name, clip.fps, len(clip)) == ("nod", 30.0, 2)
    np.testing.assert_allclose(clip.root_pos_w, [(0.1, 0.2, 0.8)] * 2)
    np.testing.assert_allclose(clip.root_quat_w, [(0.8, 0, 0, 0.6)] * 2)  # w first
    angle = dict(zip(clip.joint_names, clip.joint_pos[0], strict=True))
    assert angle["left_hip_pitch_joint"] == ROW[7]
    assert angle["waist_yaw_joint"] == ROW[7 + 12]
    assert angle["right_wrist_yaw_joint"] == ROW[35]
    provenance = clip.provenance
    assert (provenance.source, provenance.sha256, provenance.licence) == ("nod.csv", sha256_of(path), "CC0")


def test_the_40_real_files_hold_264705_frames_without_a_warning(lafan1: Path, robot: RobotModel) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lengths = [len(read_unitree_csv(path, robot=robot)) for path in sorted((lafan1 / "g1").glob("*.csv"))]
    assert (len(lengths), sum(lengths)) == (40, 264_705)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n"])
def test_line_endings_blank_lines_and_a_byte_order_mark_do_no_harm(
    robot: RobotModel, tmp_path: Path, ending: str
) -> None:
    line = ",".join(map(str, ROW))
    path = tmp_path / "clip.csv"
    path.write_bytes(("\ufeff" + line + ending + line + ending).encode())
    assert len(read_unitree_csv(path, robot=robot, quat_order="xyzw")) == 2


def changed(column: int, value: object) -> list:
    return [value if index == column else cell for index, cell in enumerate(ROW)]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([ROW, ROW[:20]], r"line 2 \(frame 1\) has 20 columns, expected 36"),
        ([ROW[:35], ROW[:35]], r"line 1 \(frame 0\) has 35 columns, expected 36"),
        ([ROW, ROW, changed(9, "abc")], r"line 3 \(frame 2\), column 10 \(left_hip_yaw_joint\) holds 'abc'"),
        ([ROW, changed(3, "nan")], r"line 2 \(frame 1\), column 4 \(qx\) holds 'nan'"),
        ([changed(2, "inf")], r"line 1 \(frame 0\), column 3 \(z\) holds 'inf'"),
        ([changed(35, "")], r"column 36 \(right_wrist_yaw_joint\) holds ''"),
        ([ROW, changed(6, 0.9)], r"root_quat_w .*frame 1.*norm 1\.082"),
        (
            [ROW, changed(7, 4.0)],
            r"left_hip_pitch_joint is 1\.120 rad beyond its limits \[-2\.531, 2\.880\] at frame 1",
        ),
        ([changed(10, -0.7)], r"left_knee_joint is 0\.613 rad beyond"),
    ],
)
def test_a_fault_is_named_by_file_place_and_expectation(
    robot: RobotModel, tmp_path: Path, rows: list[list], told: str
) -> None:
    path = write_rows(tmp_path / "faulty.csv", rows)
    with pytest.raises(MotionError, match=rf"faulty\.csv: .*{told}") as error:
        read_unitree_csv(path, robot=robot)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("fps", [0.0, -30.0, float("nan")])
def test_a_rate_is_a_positive_number(robot: RobotModel, tmp_path: Path, fps: float) -> None:
    path = write_rows(tmp_path / "clip.csv", [ROW])
    with pytest.raises(MotionError, match=r"clip\.csv: fps"):
        read_unitree_csv(path, robot=robot, fps=fps)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00\xff\xfe\x80"])
def test_a_file_without_rows_is_refused(robot: RobotModel, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hollow.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"hollow\.csv"):
        read_unitree_csv(path, robot=robot)


def test_angles_a_little_beyond_the_limits_get_one_warning_naming_the_worst(robot: RobotModel, tmp_path: Path) -> None:
    rows = [changed(7, 3.0), changed(7, 3.1), changed(8, 3.1)]
    path = write_rows(tmp_path / "stretched.csv", rows)
    with pytest.warns(UserWarning, match=r"stretched\.csv: left_hip_pitch_joint is 0\.220 rad .*frame 1") as record:
        clip = read_unitree_csv(path, robot=robot, quat_order="xyzw")
    assert len(record) == 1
    assert clip.joint_pos[1, 0] == 3.1  # told, not clipped


@pytest.mark.parametrize("name", ["dance2_subject1", "fallAndGetUp3_subject1", "sprint1_subject4"])
@pytest.mark.parametrize("quat_order", QUAT_ORDERS)
def test_the_ground_tells_unitrees_order_from_kimodos(
    lafan1: Path, robot: RobotModel, tmp_path: Path, name: str, quat_order: QuatOrder
) -> None:
    clip = read_unitree_csv(lafan1 / "g1" / f"{name}.csv", robot=robot)[:1000]
    write_unitree_csv(clip, tmp_path / "clip.csv", robot, quat_order)
    findings = list[Finding]()
    back = read_unitree_csv(tmp_path / "clip.csv", robot=robot, findings=findings)
    np.testing.assert_allclose(back.root_quat_w, clip.root_quat_w, atol=1e-6)
    orders, rate = findings
    assert (orders.answer, orders.how) == (f"mujoco {quat_order}", "evidence")
    assert min(orders.residuals, key=orders.residuals.__getitem__) == f"mujoco {quat_order}"
    assert (rate.question, rate.answer, rate.how) == ("fps", "30", "convention")


def test_a_robot_that_stands_still_is_refused_with_residuals_unless_the_order_is_told(
    robot: RobotModel, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "still.csv", [ROW] * 64)
    with pytest.raises(MotionError, match=r"still\.csv: .*mujoco xyzw 0.*mujoco wxyz 0.*--quat-order xyzw") as caught:
        read_unitree_csv(path, robot=robot)
    assert "\n" not in str(caught.value)
    for quat_order, first in zip(QUAT_ORDERS, [(0.8, 0, 0, 0.6), (0, 0, 0.6, 0.8)], strict=True):
        findings = list[Finding]()
        clip = read_unitree_csv(path, robot=robot, quat_order=quat_order, fps=50, findings=findings)
        np.testing.assert_allclose(clip.root_quat_w[0], first)
        assert [finding.how for finding in findings] == ["caller", "caller"]


def test_columns_in_another_order_are_read_in_it_and_not_as_the_formats(
    lafan1: Path, robot: RobotModel, tmp_path: Path
) -> None:
    clip = read_unitree_csv(lafan1 / "g1" / "walk1_subject1.csv", robot=robot)[:300]
    shuffled = replace(clip.with_joint_order(robot.joint_names_isaac), joint_names=robot.joint_names)
    write_unitree_csv(shuffled, tmp_path / "clip.csv", robot)
    found = read_unitree_csv(tmp_path / "clip.csv", robot=robot).joint_pos
    np.testing.assert_allclose(found, clip.joint_pos, atol=1e-6)
    as_told = read_unitree_csv(tmp_path / "clip.csv", robot=robot, quat_order="xyzw", joint_order="isaac").joint_pos
    np.testing.assert_allclose(as_told, clip.joint_pos, atol=1e-6)
