"""Our own NPZ loses nothing and takes nothing on trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g1_vq_retarget.motion import HumanClip, MotionError, RobotClip
from g1_vq_retarget.motion.formats.clip_npz import read_clip_npz, write_clip_npz
from g1_vq_retarget.motion.formats.npz import write_arrays
from g1_vq_retarget.robot import RobotModel

COMMON_KEYS = {
    *("format", "version", "kind", "name", "fps", "quaternion", "units", "joint_names", "provenance"),
    *("root_pos_w", "root_quat_w"),
}


@pytest.fixture(params=["robot_clip", "human_clip"])
def clip(request: pytest.FixtureRequest) -> RobotClip | HumanClip:
    return request.getfixturevalue(request.param)


def stored(clip: RobotClip | HumanClip, path: Path, **changes: object) -> Path:
    """The clip's file with keys set to other values, or left out where the value is None."""
    write_clip_npz(clip, path)
    arrays = dict(np.load(path)) | changes
    kept: dict[str, Any] = {key: np.asarray(value) for key, value in arrays.items() if value is not None}
    np.savez(path, **kept)
    return path


def test_reading_what_was_written_gives_the_same_clip(clip: RobotClip | HumanClip, tmp_path: Path) -> None:
    write_clip_npz(clip, tmp_path / "clip.npz")
    back = read_clip_npz(tmp_path / "clip.npz")
    assert type(back) is type(clip)
    for key, value in vars(clip).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(getattr(back, key), value, rtol=0, atol=1e-15, err_msg=key)
        else:
            assert getattr(back, key) == value, key


def test_the_file_tells_everything_and_holds_no_pickle(clip: RobotClip | HumanClip, tmp_path: Path) -> None:
    write_clip_npz(clip, tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as file:
        kind = {"joint_pos"} if isinstance(clip, RobotClip) else {"joint_quat", "rest_offsets"}
        assert set(file) == COMMON_KEYS | kind
        assert str(file["quaternion"]) == "wxyz"
        assert str(file["units"]) == "m rad s"
        assert all(file[key].dtype != object for key in file)


def test_every_missing_key_is_named(clip: RobotClip | HumanClip, tmp_path: Path) -> None:
    with np.load(stored(clip, tmp_path / "whole.npz")) as file:
        keys = list(file)
    for key in keys:
        path = stored(clip, tmp_path / "clip.npz", **{key: None})
        with pytest.raises(MotionError, match=rf"clip\.npz: lacks {key}"):
            read_clip_npz(path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": 2}, "version is 2, this release reads 1"),
        ({"format": "another"}, "format is 'another'"),
        ({"kind": "horse"}, "kind is 'horse', expected one of robot, human"),
        ({"quaternion": "xyzw"}, "quaternion is 'xyzw', expected 'wxyz'"),
        ({"units": "cm deg s"}, "units is 'cm deg s'"),
        ({"fps": 0.0}, "fps must be a positive number"),
        ({"fps": "thirty"}, "fps holds <U6, expected numbers"),
        ({"fps": [30.0, 30.0]}, "fps has shape"),
        ({"provenance": "{"}, "provenance"),
        ({"provenance": '{"colour": "red"}'}, "provenance"),
        ({"root_pos_w": np.zeros((120, 2))}, "root_pos_w has shape"),
        ({"root_quat_w": np.full((120, 4), 0.6)}, "root_quat_w is no unit quaternion at frame 0"),
        ({"joint_names": np.arange(3)}, "joint_names holds int64"),
        ({"joint_names": ["head", "tail"]}, "joint_names|joint_pos"),
    ],
)
def test_what_does_not_fit_is_named(
    clip: RobotClip | HumanClip, tmp_path: Path, changes: dict[str, object], told: str
) -> None:
    with pytest.raises(MotionError, match=rf"clip\.npz: .*{told}"):
        read_clip_npz(stored(clip, tmp_path / "clip.npz", **changes))


def test_nothing_is_written_that_only_a_pickle_could_hold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle=False"):
        write_arrays(tmp_path / "clip.npz", {"name": np.array([{"a": 1}], dtype=object)})
    assert not list(tmp_path.iterdir())


def test_the_same_clip_gives_the_same_bytes(clip: RobotClip | HumanClip, tmp_path: Path) -> None:
    write_clip_npz(clip, tmp_path / "one.npz")
    write_clip_npz(clip, tmp_path / "other.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()


def test_pickles_are_not_opened(clip: RobotClip | HumanClip, tmp_path: Path) -> None:
    path = stored(clip, tmp_path / "clip.npz", name=np.array([{"a": 1}], dtype=object))
    with pytest.raises(MotionError, match=r"clip\.npz: not a readable NPZ of plain arrays"):
        read_clip_npz(path)


def test_the_limits_of_the_robot_are_held(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    joint_pos = robot_clip.joint_pos.copy()
    joint_pos[3, 0] = 4.0
    path = stored(robot_clip, tmp_path / "clip.npz", joint_pos=joint_pos)
    with pytest.raises(MotionError, match=r"clip\.npz: left_hip_pitch_joint is 1\.120 rad beyond .*frame 3"):
        read_clip_npz(path, robot)
    assert len(read_clip_npz(path)) == len(robot_clip)  # no robot, no limits
