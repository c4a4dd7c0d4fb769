"""PHC's, ASAP's and PBHC's pickles: several clips, told twice, and read in the order on which both agree."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion import MotionError, RobotClip
from g1_vq_retarget.motion.dof import to_dof
from g1_vq_retarget.motion.formats import examine_motion, load_motion, load_motions, save_motion
from g1_vq_retarget.motion.formats.phc_pkl import read_phc_pkl, write_phc_pkl
from g1_vq_retarget.motion.formats.unitree_csv import read_unitree_csv
from g1_vq_retarget.robot import RobotModel
from g1_vq_retarget.robot.dof import WRIST_JOINTS


@pytest.fixture
def clips(robot_clip: RobotClip) -> list[RobotClip]:
    """Two, with the wrists at 0 rad, which the files do not hold."""
    still = replace(robot_clip, joint_pos=robot_clip.joint_pos * ~np.isin(robot_clip.joint_names, WRIST_JOINTS))
    return [replace(still, name="wave"), replace(still[20:], name="later")]


def held(clips: list[RobotClip], path: Path, robot: RobotModel) -> dict[str, Any]:
    """What the clips' file holds, as any program reads it."""
    write_phc_pkl(clips, path, robot)
    return pickle.loads(path.read_bytes())


def stored(contents: object, path: Path) -> Path:
    path.write_bytes(pickle.dumps(contents))
    return path


def wxyz(quat_xyzw: np.ndarray) -> np.ndarray:
    return quat_xyzw[:, [3, 0, 1, 2]]


def in_isaac_order(dof: np.ndarray, robot: RobotModel) -> np.ndarray:
    names = [name for name in robot.joint_names if dof.shape[1] == 29 or name not in WRIST_JOINTS]
    return dof[:, [names.index(name) for name in robot.joint_names_isaac if name in names]]


def assert_same_motion(one: RobotClip, other: RobotClip) -> None:
    assert (one.name, one.fps, one.joint_names) == (other.name, other.fps, other.joint_names)
    np.testing.assert_allclose(one.joint_pos, other.joint_pos, atol=1e-6)
    np.testing.assert_allclose(one.root_pos_w, other.root_pos_w, atol=1e-6)
    assert (one.root_rotation.inv() * other.root_rotation).magnitude().max() < 1e-6


def test_keys_shapes_and_numbers_are_those_of_the_format(
    clips: list[RobotClip], robot: RobotModel, tmp_path: Path
) -> None:
    contents = held(clips, tmp_path / "a.pkl", robot)
    assert list(contents) == ["wave", "later"]
    wave = contents["wave"]
    shapes = {key: np.shape(value) for key, value in wave.items()}
    assert shapes == {
        "root_trans_offset": (120, 3),
        "pose_aa": (120, 27, 3),
        "dof": (120, 23),
        "root_rot": (120, 4),
        "fps": (),
    }
    assert wave["fps"] == 30
    np.testing.assert_allclose(wave["dof"], to_dof(clips[0], 23, robot).joint_pos, atol=1e-6)
    np.testing.assert_allclose(wxyz(wave["root_rot"]), clips[0].root_quat_w, atol=1e-6)
    turns = Rotation.from_rotvec(wave["pose_aa"][:, 0])
    assert (turns.inv() * clips[0].root_rotation).magnitude().max() < 1e-6
    # the fourth joint is the left knee, about y
    np.testing.assert_allclose(wave["pose_aa"][:, 4], wave["dof"][:, 3:4] * (0, 1, 0), atol=1e-7)
    assert not wave["pose_aa"][:, 24:].any()


def test_all_clips_that_were_written_are_read(clips: list[RobotClip], robot: RobotModel, tmp_path: Path) -> None:
    write_phc_pkl(clips, tmp_path / "a.pkl", robot)
    back = load_motions(tmp_path / "a.pkl", licence="CC0")
    for have, want in zip(back, clips, strict=True):
        assert isinstance(have, RobotClip)
        assert_same_motion(have, want)
        assert (have.provenance.source, have.provenance.licence) == ("a.pkl", "CC0")
    with pytest.raises(MotionError, match="holds 2 clips, expected one"):
        load_motion(tmp_path / "a.pkl")


def test_one_clip_may_stand_alone_with_or_without_its_name(
    clips: list[RobotClip], robot: RobotModel, tmp_path: Path
) -> None:
    save_motion(clips[0], tmp_path / "wave.pkl", "phc")
    examined = examine_motion(tmp_path / "wave.pkl")
    assert examined.format == "PHC PKL"
    assert [(found.question, found.answer, found.how) for found in examined.findings] == [
        ("joint and quaternion order", "mujoco xyzw", "evidence"),
        ("fps", "30", "file"),
        ("joints", "23 of 29, the wrists at 0 rad", "convention"),
    ]
    (inner,) = pickle.loads((tmp_path / "wave.pkl").read_bytes()).values()
    back = load_motion(stored(inner, tmp_path / "wave.pkl"))
    assert isinstance(back, RobotClip)
    assert_same_motion(back, clips[0])


MANGLED: dict[str, Callable[[dict[str, Any], RobotModel], dict[str, Any]]] = {
    "quaternion w first": lambda held, robot: {"root_rot": wxyz(held["root_rot"])},
    "joints in Isaac Lab's order": lambda held, robot: {"dof": in_isaac_order(held["dof"], robot)},
    "both": lambda held, robot: {"root_rot": wxyz(held["root_rot"]), "dof": in_isaac_order(held["dof"], robot)},
}


@pytest.mark.parametrize("pose", [True, False])
@pytest.mark.parametrize("how", MANGLED)
def test_another_order_is_read_rightly_with_a_warning(
    clips: list[RobotClip], robot: RobotModel, tmp_path: Path, how: str, pose: bool
) -> None:
    wave = held(clips, tmp_path / "a.pkl", robot)["wave"]
    wave |= MANGLED[how](wave, robot) | ({} if pose else {"pose_aa": None})
    with pytest.warns(UserWarning, match=r"a\.pkl: is in the order .* against the format's convention mujoco xyzw"):
        (back,) = read_phc_pkl(stored({"wave": wave}, tmp_path / "a.pkl"), robot)
    assert_same_motion(back, clips[0])


def test_real_clips_are_read_rightly_or_refused(lafan1: Path, robot: RobotModel, tmp_path: Path) -> None:
    path = lafan1 / "g1" / "walk1_subject1.csv"
    clip = read_unitree_csv(path, robot=robot, quat_order="xyzw", joint_order="mujoco")[900:1050]
    clip = to_dof(to_dof(clip, 23, robot), 29, robot)
    wave = held([clip], tmp_path / "a.pkl", robot)["walk1_subject1"]
    for changes in ({}, *(mangle(wave, robot) for mangle in MANGLED.values())):
        (back,) = read_phc_pkl(stored({"walk1_subject1": wave | changes}, tmp_path / "a.pkl"), robot)
        assert_same_motion(back, clip)


def test_a_pose_that_contradicts_the_joints_is_refused_unless_the_orders_are_told(
    clips: list[RobotClip], robot: RobotModel, tmp_path: Path
) -> None:
    wave = held(clips, tmp_path / "a.pkl", robot)["wave"]
    wave["dof"] = wave["dof"][:, [*range(15), *range(19, 23), *range(15, 19)]]  # arms exchanged
    path = stored({"wave": wave}, tmp_path / "a.pkl")
    with pytest.raises(
        MotionError, match=r"a\.pkl: clip 'wave': pose_aa is of another pose.*mujoco xyzw.*--joint-order"
    ):
        read_phc_pkl(path, robot)
    with pytest.warns(UserWarning, match=r"a\.pkl: pose_aa is of another pose"):
        (back,) = read_phc_pkl(path, robot, joint_order="mujoco", quat_order="xyzw")
    assert len(back) == len(clips[0])


def test_a_pose_of_zeros_has_no_say(clips: list[RobotClip], robot: RobotModel, tmp_path: Path) -> None:
    wave = held(clips, tmp_path / "a.pkl", robot)["wave"]
    wave["pose_aa"][:] = 0
    assert_same_motion(read_phc_pkl(stored({"wave": wave}, tmp_path / "a.pkl"), robot)[0], clips[0])


def test_29_joints_and_a_last_axis_of_one_are_read(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="has no wrist joints"):
        wave = held([robot_clip], tmp_path / "a.pkl", robot)["waving"]
    wave |= {"dof": robot_clip.joint_pos[:, :, None], "pose_aa": None, "fps": np.array([30.0])}
    (back,) = read_phc_pkl(stored({"waving": wave}, tmp_path / "a.pkl"), robot)
    assert_same_motion(back, robot_clip)


def test_names_are_those_of_files_in_their_folder(clips: list[RobotClip], robot: RobotModel, tmp_path: Path) -> None:
    wave = held(clips, tmp_path / "a.pkl", robot)["wave"]
    names = ["../../etc/passwd", "0-KIT_3_walk (left)", "a\\b", "/x", "..", "走路"]
    back = read_phc_pkl(stored(dict.fromkeys(names, wave), tmp_path / "a.pkl"), robot)
    have = [clip.name for clip in back]
    assert have == ["_.._etc_passwd", "0-KIT_3_walk (left)", "a_b", "_x", "clip", "走路"]
    with pytest.raises(MotionError, match="names are the same"):
        read_phc_pkl(stored({"a/b": wave, "a:b": wave}, tmp_path / "a.pkl"), robot)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"fps": "30"}, "fps holds str, expected numbers"),
        ({"fps": -1}, "fps must be a positive number"),
        ({"dof": np.zeros((120, 27))}, "has 27 joints, expected 23 or 29"),
        ({"dof": np.zeros((100, 23))}, "dof has 100 frames, root_trans_offset 120"),
        ({"dof": [[1.0, 2.0], [1.0]]}, "dof holds rows of different lengths"),
        ({"dof": np.full((120, 23), np.nan)}, "dof is not a finite number at frame 0"),
        ({"root_trans_offset": np.zeros((120, 2))}, r"root_trans_offset has shape \(120, 2\)"),
        ({"root_rot": np.ones((120, 4))}, "root_rot is no unit quaternion at frame 0: norm 2.000"),
        ({"pose_aa": np.zeros((120, 20, 3))}, r"pose_aa has shape \(120, 20, 3\), expected \(120, 24 or more, 3\)"),
        ({"pose_aa": np.full((120, 27, 3), np.inf)}, "pose_aa is not a finite number at frame 0"),
    ],
)
def test_what_does_not_fit_is_named(
    clips: list[RobotClip], robot: RobotModel, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    wave = held(clips, tmp_path / "a.pkl", robot)["wave"] | changes
    with pytest.raises(MotionError, match=rf"a\.pkl: clip 'wave': .*{told}"):
        read_phc_pkl(stored({"wave": wave}, tmp_path / "a.pkl"), robot)


@pytest.mark.parametrize("key", ["fps", "root_trans_offset", "root_rot", "dof"])
def test_a_missing_key_is_named(clips: list[RobotClip], robot: RobotModel, tmp_path: Path, key: str) -> None:
    wave = held(clips, tmp_path / "a.pkl", robot)["wave"]
    del wave[key]
    with pytest.raises(MotionError, match=rf"a\.pkl: clip 'wave': lacks {key}"):
        read_phc_pkl(stored({"wave": wave}, tmp_path / "a.pkl"), robot)


@pytest.mark.parametrize("contents", [{}, [1], {"a": 1}, None])
def test_what_holds_no_clips_is_refused(robot: RobotModel, tmp_path: Path, contents: object) -> None:
    with pytest.raises(MotionError, match=r"a\.pkl: (holds no clips|clip 'a': is int)"):
        read_phc_pkl(stored(contents, tmp_path / "a.pkl"), robot)


def test_clips_of_different_rates_or_of_one_name_are_refused(
    clips: list[RobotClip], robot: RobotModel, tmp_path: Path
) -> None:
    slower = replace(clips[1], fps=20.0)
    with pytest.raises(MotionError, match="different rates: 'wave' at 30 fps, 'later' at 20"):
        write_phc_pkl([clips[0], slower], tmp_path / "a.pkl", robot)
    contents = held(clips, tmp_path / "a.pkl", robot)
    contents["later"]["fps"] = 20
    with pytest.raises(MotionError, match="different rates: 'wave' at 30 fps, 'later' at 20"):
        read_phc_pkl(stored(contents, tmp_path / "a.pkl"), robot)
    for few in ([], [clips[0], clips[0]]):
        with pytest.raises(MotionError, match="no clips to write, or two of the same name"):
            write_phc_pkl(few, tmp_path / "b.pkl", robot)
