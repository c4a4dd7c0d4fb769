"""Isaac Lab's AMP NPZ: as its motion loader reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.motion import MotionError, RobotClip
from g1_vq_retarget.motion.formats.amp_npz import read_amp_npz, write_amp_npz
from g1_vq_retarget.motion.formats.npz import write_arrays
from g1_vq_retarget.robot import RobotModel


def stored(clip: RobotClip, path: Path, robot: RobotModel, **changes: object) -> Path:
    write_amp_npz(clip, path, robot)
    arrays = dict(np.load(path)) | changes
    write_arrays(path, {key: np.asarray(value) for key, value in arrays.items() if value is not None})
    return path


def test_keys_and_shapes_are_those_of_isaac_labs_loader(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path
) -> None:
    write_amp_npz(robot_clip, tmp_path / "clip.npz", robot)
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as arrays:
        assert {key: arrays[key].shape for key in arrays} == {
            "fps": (),
            "dof_names": (29,),
            "body_names": (30,),
            "dof_positions": (120, 29),
            "dof_velocities": (120, 29),
            "body_positions": (120, 30, 3),
            "body_rotations": (120, 30, 4),
            "body_linear_velocities": (120, 30, 3),
            "body_angular_velocities": (120, 30, 3),
            "licence": (),
        }
        assert 1.0 / arrays["fps"] == pytest.approx(1 / 30)


def test_reading_goes_by_name_whatever_the_order(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    path = stored(robot_clip, tmp_path / "clip.npz", robot)
    arrays, rng = dict(np.load(path)), np.random.default_rng(0)
    joints, bodies = rng.permutation(29), rng.permutation(30)
    mixed = {key: values[:, joints] for key, values in arrays.items() if key.startswith("dof_") and values.ndim == 2}
    mixed |= {key: values[:, bodies] for key, values in arrays.items() if key.startswith("body_") and values.ndim == 3}
    names = {"dof_names": arrays["dof_names"][joints], "body_names": arrays["body_names"][bodies]}
    for file in (path, stored(robot_clip, tmp_path / "mixed.npz", robot, **mixed, **names)):
        back = read_amp_npz(file, robot)
        assert (back.fps, back.joint_names) == (30.0, robot.joint_names)
        for key in ("root_pos_w", "joint_pos"):
            np.testing.assert_allclose(getattr(back, key), getattr(robot_clip, key), atol=1e-6)
        assert (back.root_rotation.inv() * robot_clip.root_rotation).magnitude().max() < 1e-6
    with pytest.raises(MotionError, match=r"mixed\.npz: dof_names and body_positions contradict each other"):
        read_amp_npz(stored(robot_clip, tmp_path / "mixed.npz", robot, **mixed, body_names=names["body_names"]), robot)


@pytest.mark.parametrize("key", ["fps", "dof_names", "body_names", "dof_velocities", "body_rotations"])
def test_a_missing_key_is_named(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path, key: str) -> None:
    path = stored(robot_clip, tmp_path / "clip.npz", robot, **{key: None})
    with pytest.raises(MotionError, match=rf"clip\.npz: lacks {key}"):
        read_amp_npz(path, robot)


def test_a_rate_that_the_velocities_contradict_is_refused(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path
) -> None:
    path = stored(robot_clip, tmp_path / "clip.npz", robot, fps=60)
    with pytest.raises(MotionError, match=r"fps is 60, but dof_velocities is 0\.50 times .*it fits 30 fps"):
        read_amp_npz(path, robot)


def test_the_licence_in_a_file_is_not_overruled(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    path = stored(robot_clip, tmp_path / "told.npz", robot, licence=np.array("CC BY-NC-ND 4.0"))
    assert read_amp_npz(path, robot, licence="CC0").provenance.licence == "CC BY-NC-ND 4.0"
    path = stored(robot_clip, tmp_path / "bare.npz", robot, licence=None)
    assert read_amp_npz(path, robot, licence="CC0").provenance.licence == "CC0"
