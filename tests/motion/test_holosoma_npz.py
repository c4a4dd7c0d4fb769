"""holosoma's NPZ: MuJoCo's qpos and qvel beside named bodies, the world among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.motion import MotionError, RobotClip
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.holosoma_npz import write_holosoma_npz
from g1_vq_retarget.motion.formats.npz import write_arrays
from g1_vq_retarget.motion.formats.tracking_npz import read_tracking_npz
from g1_vq_retarget.robot import RobotModel


def stored(clip: RobotClip, path: Path, robot: RobotModel, **changes: object) -> Path:
    write_holosoma_npz(clip, path, robot)
    arrays = dict(np.load(path)) | changes
    write_arrays(path, {key: np.asarray(value) for key, value in arrays.items() if value is not None})
    return path


def test_keys_shapes_and_names_are_holosomas(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    write_holosoma_npz(robot_clip, tmp_path / "clip.npz", robot)
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as arrays:
        shapes = {key: arrays[key].shape for key in arrays}
        assert shapes == {
            "fps": (1,),
            "joint_pos": (120, 36),
            "joint_vel": (120, 35),
            "body_pos_w": (120, 31, 3),
            "body_quat_w": (120, 31, 4),
            "body_lin_vel_w": (120, 31, 3),
            "body_ang_vel_w": (120, 31, 3),
            "joint_names": (29,),
            "body_names": (31,),
            "licence": (),
        }
        assert all(arrays[key].dtype == np.float64 for key in shapes if key.endswith(("_w", "_pos", "_vel")))
        assert tuple(arrays["joint_names"]) == robot.joint_names
        assert tuple(arrays["body_names"]) == ("world", *robot.link_names)
        np.testing.assert_array_equal(arrays["body_quat_w"][:, 0], np.tile((1, 0, 0, 0), (120, 1)))
        np.testing.assert_allclose(arrays["joint_pos"][:, :3], robot_clip.root_pos_w)
        np.testing.assert_allclose(arrays["joint_pos"][:, 3:7], robot_clip.root_quat_w)
        np.testing.assert_allclose(arrays["joint_vel"][:, 3:6], arrays["body_ang_vel_w"][:, 1], atol=1e-9)


def test_reading_what_was_written_gives_the_same_motion(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path
) -> None:
    findings = list[Finding]()
    back = read_tracking_npz(stored(robot_clip, tmp_path / "clip.npz", robot), robot, findings=findings)
    for key in ("root_pos_w", "joint_pos"):
        np.testing.assert_allclose(getattr(back, key), getattr(robot_clip, key), atol=1e-12)
    assert (back.root_rotation.inv() * robot_clip.root_rotation).magnitude().max() < 1e-7
    assert {finding.question: finding.answer for finding in findings} == {
        "joint order": "by name",
        "quaternion order": "wxyz",
        "fps": "30",
        "point of the linear velocities": "centre of mass",
        "columns of joint_pos": "root in front, as in holosoma",
    }


@pytest.mark.parametrize("columns", [[4, 5, 6, 3], [3, 4, 5, 6]])
def test_a_root_in_front_that_is_not_the_bodies_is_refused(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path, columns: list[int]
) -> None:
    joint_pos = np.load(stored(robot_clip, tmp_path / "clip.npz", robot))["joint_pos"]
    joint_pos[:, 3:7] = joint_pos[:, columns]
    if columns == [3, 4, 5, 6]:
        joint_pos[50:, 0] += 0.01
    path = stored(robot_clip, tmp_path / "clip.npz", robot, joint_pos=joint_pos)
    told = r"position .*frame 50" if columns == [3, 4, 5, 6] else r"quaternion \(read wxyz\) .*frame 0"
    with pytest.raises(MotionError, match=rf"clip\.npz: the root's {told}"):
        read_tracking_npz(path, robot)


def test_a_width_that_is_neither_is_refused(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    path = stored(robot_clip, tmp_path / "clip.npz", robot, joint_pos=np.zeros((120, 35)))
    with pytest.raises(MotionError, match=r"clip\.npz: joint_pos has shape \(120, 35\), expected \(frames, 29\)"):
        read_tracking_npz(path, robot)
