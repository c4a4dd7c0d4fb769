"""GMR's and TWIST's pickles: read as they are, in the right order or not at all."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from g1_vq_retarget.motion import MotionError, RobotClip
from g1_vq_retarget.motion.dof import to_dof
from g1_vq_retarget.motion.formats import Finding, examine_motion, load_motion, save_motion
from g1_vq_retarget.motion.formats.gmr_pkl import read_gmr_pkl, write_gmr_pkl
from g1_vq_retarget.motion.formats.unitree_csv import read_unitree_csv
from g1_vq_retarget.robot import RobotModel, forward_kinematics
from g1_vq_retarget.robot.dof import WRIST_JOINTS

WIDTHS = {"gmr": 29, "twist": 23}
FLAVOURS = list(WIDTHS)
NO_BODIES = {"local_body_pos": None, "link_body_list": None}


@pytest.fixture
def clip(robot_clip: RobotClip) -> RobotClip:
    """With the wrists at 0 rad, so that files of 23 joints hold all of it."""
    return without_wrists(robot_clip)


def without_wrists(clip: RobotClip) -> RobotClip:
    return replace(clip, joint_pos=clip.joint_pos * ~np.isin(clip.joint_names, WRIST_JOINTS))


def held(clip: RobotClip, path: Path, robot: RobotModel, flavour: Any) -> dict[str, Any]:
    """What the clip's file holds, as any program reads it."""
    write_gmr_pkl(clip, path, robot, flavour)
    return pickle.loads(path.read_bytes())


def stored(contents: dict[str, Any], path: Path) -> Path:
    path.write_bytes(pickle.dumps(contents))
    return path


def wxyz(quat_xyzw: np.ndarray) -> np.ndarray:
    return quat_xyzw[:, [3, 0, 1, 2]]


def in_isaac_order(dof_pos: np.ndarray, robot: RobotModel) -> np.ndarray:
    names = [name for name in robot.joint_names if dof_pos.shape[1] == 29 or name not in WRIST_JOINTS]
    return dof_pos[:, [names.index(name) for name in robot.joint_names_isaac if name in names]]


def assert_same_motion(one: RobotClip, other: RobotClip) -> None:
    assert (one.fps, one.joint_names) == (other.fps, other.joint_names)
    np.testing.assert_allclose(one.joint_pos, other.joint_pos, atol=1e-6)
    np.testing.assert_allclose(one.root_pos_w, other.root_pos_w, atol=1e-6)
    assert (one.root_rotation.inv() * other.root_rotation).magnitude().max() < 1e-6


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_keys_shapes_and_numbers_are_those_of_the_format(
    clip: RobotClip, robot: RobotModel, tmp_path: Path, flavour: str
) -> None:
    contents = held(clip, tmp_path / "a.pkl", robot, flavour)
    shapes = {key: np.shape(value) for key, value in contents.items()}
    width = WIDTHS[flavour]
    assert shapes == {
        "fps": (),
        "root_pos": (120, 3),
        "root_rot": (120, 4),
        "dof_pos": (120, width),
        "local_body_pos": (120, 30, 3),
        "link_body_list": (30,),
    }
    np.testing.assert_allclose(wxyz(contents["root_rot"]), clip.root_quat_w, atol=1e-12)
    np.testing.assert_array_equal(contents["dof_pos"], to_dof(clip, width, robot).joint_pos)
    # in the root's frame: the world's, turned back
    poses = forward_kinematics(robot, *map(torch.from_numpy, (clip.joint_pos, clip.root_pos_w, clip.root_quat_w)))
    hand = contents["link_body_list"].index("left_wrist_yaw_link")
    away = poses.pos[:, robot.link_names.index("left_wrist_yaw_link")].numpy() - clip.root_pos_w
    np.testing.assert_allclose(contents["local_body_pos"][:, hand], clip.root_rotation.inv().apply(away), atol=1e-6)


@pytest.mark.parametrize("bodies", [True, False])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_was_written_is_read(
    clip: RobotClip, robot: RobotModel, tmp_path: Path, flavour: str, bodies: bool
) -> None:
    contents = held(clip, tmp_path / "a.pkl", robot, flavour) | ({} if bodies else NO_BODIES)
    back = read_gmr_pkl(stored(contents, tmp_path / "stand.pkl"), robot, licence="CC0")
    assert_same_motion(back, clip)
    assert (back.name, back.provenance.source, back.provenance.licence) == ("stand", "stand.pkl", "CC0")


MANGLED: dict[str, Callable[[dict[str, Any], RobotModel], dict[str, Any]]] = {
    "quaternion w first": lambda held, robot: {"root_rot": wxyz(held["root_rot"])},
    "joints in Isaac Lab's order": lambda held, robot: {"dof_pos": in_isaac_order(held["dof_pos"], robot)},
    "both": lambda held, robot: {
        "root_rot": wxyz(held["root_rot"]),
        "dof_pos": in_isaac_order(held["dof_pos"], robot),
    },
}


@pytest.mark.parametrize("bodies", [True, False])
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("how", MANGLED)
def test_another_order_is_read_rightly_with_a_warning(
    clip: RobotClip, robot: RobotModel, tmp_path: Path, flavour: str, how: str, bodies: bool
) -> None:
    contents = held(clip, tmp_path / "a.pkl", robot, flavour)
    contents |= MANGLED[how](contents, robot) | ({} if bodies else NO_BODIES)
    with pytest.warns(UserWarning, match=r"a\.pkl: is in the order .* against the format's convention mujoco xyzw"):
        assert_same_motion(read_gmr_pkl(stored(contents, tmp_path / "a.pkl"), robot), clip)


@pytest.mark.parametrize("how", ["rolled", "shuffled", "arms", "zwxy"])
def test_an_order_of_nobodys_is_refused_with_the_residuals_and_the_flag(
    clip: RobotClip, robot: RobotModel, tmp_path: Path, how: str
) -> None:
    contents = held(clip, tmp_path / "a.pkl", robot, "gmr")
    dof, quat = contents["dof_pos"], contents["root_rot"]
    contents |= {
        "rolled": {"dof_pos": np.roll(dof, 1, axis=1)},
        "shuffled": {"dof_pos": dof[:, np.random.default_rng(3).permutation(29)]},
        # the ground tells nothing of a standing robot's arms, and the bodies do
        "arms": {"dof_pos": dof[:, [*range(15), *range(22, 29), *range(15, 22)]]},
        "zwxy": {"root_rot": quat[:, [2, 3, 0, 1]]},
    }[how]
    with pytest.raises(MotionError, match=r"a\.pkl: .*(cannot be told.*--joint-order|beyond its limits)"):
        read_gmr_pkl(stored(contents, tmp_path / "a.pkl"), robot)


@pytest.mark.parametrize(
    "names",
    [
        ("walk1_subject1",),
        pytest.param(("dance1_subject1", "fallAndGetUp1_subject1", "jumps1_subject1"), marks=pytest.mark.slow),
    ],
)
def test_real_clips_are_read_rightly_or_refused(
    lafan1: Path, robot: RobotModel, tmp_path: Path, names: tuple[str, ...]
) -> None:
    read = 0
    for name in names:
        path = lafan1 / "g1" / f"{name}.csv"
        clip = read_unitree_csv(path, robot=robot, quat_order="xyzw", joint_order="mujoco")[900:1050]
        contents = held(clip, tmp_path / "a.pkl", robot, "gmr")
        assert_same_motion(read_gmr_pkl(stored(contents, tmp_path / "a.pkl"), robot), clip)
        for mangle in MANGLED.values():
            for bodies in ({}, NO_BODIES):
                path = stored(contents | mangle(contents, robot) | bodies, tmp_path / "a.pkl")
                try:
                    with pytest.warns(UserWarning, match="against the format's convention"):
                        back = read_gmr_pkl(path, robot)
                except (MotionError, pytest.fail.Exception):
                    continue
                assert_same_motion(back, clip)
                read += 1
    assert read >= 4 * len(names)


def test_a_robot_that_tells_nothing_is_refused_unless_told(robot: RobotModel, tmp_path: Path) -> None:
    still = RobotClip(
        "still",
        30.0,
        np.tile((0, 0, 0.79), (20, 1)),
        np.tile((1.0, 0, 0, 0), (20, 1)),
        robot.joint_names,
        np.zeros((20, 29)),
    )
    path = stored(held(still, tmp_path / "a.pkl", robot, "gmr") | NO_BODIES, tmp_path / "a.pkl")
    with pytest.raises(MotionError, match=r"fit alike.*--quat-order"):
        read_gmr_pkl(path, robot)
    findings = list[Finding]()
    back = read_gmr_pkl(path, robot, joint_order="mujoco", quat_order="xyzw", findings=findings)
    assert_same_motion(back, still)
    assert [(found.answer, found.how) for found in findings] == [("mujoco xyzw", "caller"), ("30", "file")]


def test_bodies_settle_the_joints_of_a_robot_that_stands_still(
    clip: RobotClip, robot: RobotModel, tmp_path: Path
) -> None:
    still = replace(
        clip,
        root_pos_w=np.tile(clip.root_pos_w[0], (len(clip), 1)),
        root_quat_w=np.tile(clip.root_quat_w[0], (len(clip), 1)),
        joint_pos=np.tile(robot.default_joint_pos, (len(clip), 1)),
    )
    contents = held(still, tmp_path / "a.pkl", robot, "gmr")
    assert_same_motion(read_gmr_pkl(stored(contents, tmp_path / "a.pkl"), robot, quat_order="xyzw"), still)
    with pytest.raises(MotionError, match="fit alike"):
        read_gmr_pkl(stored(contents | NO_BODIES, tmp_path / "a.pkl"), robot, quat_order="xyzw")


def test_what_settled_it_is_told(clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    save_motion(clip, tmp_path / "a.pkl", "twist")
    examined = examine_motion(tmp_path / "a.pkl")
    assert examined.format == "GMR or TWIST PKL"
    assert [(found.question, found.answer, found.how) for found in examined.findings] == [
        ("joint order", "mujoco", "evidence"),
        ("joint and quaternion order", "mujoco xyzw", "evidence"),
        ("fps", "30", "file"),
        ("joints", "23 of 29, the wrists at 0 rad", "convention"),
    ]
    assert examined.findings[0].residuals["mujoco"] < 1e-6
    assert not examined.warnings


@pytest.mark.parametrize("key", ["joint_names", "dof_names"])
def test_names_decide_the_order(clip: RobotClip, robot: RobotModel, tmp_path: Path, key: str) -> None:
    names = list(np.random.default_rng(0).permutation(robot.joint_names))
    contents = held(clip, tmp_path / "a.pkl", robot, "gmr")
    contents |= {"dof_pos": clip.with_joint_order(names).joint_pos, key: names}
    assert_same_motion(read_gmr_pkl(stored(contents, tmp_path / "a.pkl"), robot), clip)
    contents[key] = list(robot.joint_names)
    with pytest.raises(MotionError, match=r"nothing fits \(farthest link|cannot be told"):
        read_gmr_pkl(stored(contents, tmp_path / "a.pkl"), robot)


def test_moving_wrists_that_a_file_cannot_hold_are_warned_of(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match=r"a\.pkl: has no wrist joints, which are up to \d"):
        write_gmr_pkl(robot_clip, tmp_path / "a.pkl", robot, "twist")
    assert_same_motion(load_motion(tmp_path / "a.pkl"), without_wrists(robot_clip))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"fps": None}, "lacks fps|fps holds NoneType"),
        ({"fps": "30"}, "fps holds str, expected numbers"),
        ({"fps": 0}, "fps must be a positive number"),
        ({"fps": [30, 30]}, r"fps has shape \(2,\)"),
        ({"root_pos": np.zeros((119, 3))}, r"root_rot has 120 frames, root_pos 119"),
        ({"root_pos": np.zeros((120, 4))}, r"root_pos has shape \(120, 4\), expected \(frames, 3\)"),
        ({"root_pos": None}, "root_pos holds NoneType"),
        ({"root_rot": np.zeros((120, 4))}, "root_rot is no unit quaternion at frame 0: norm 0.000"),
        ({"dof_pos": np.zeros((120, 27))}, "has 27 joints, expected 23 or 29"),
        ({"dof_pos": np.zeros((120, 28))}, "has 28 joints, expected 23 or 29"),
        ({"dof_pos": np.zeros(29)}, r"dof_pos has shape \(29,\), expected \(frames, joints\)"),
        ({"dof_pos": np.full((120, 29), 9.0), **NO_BODIES}, "beyond its limits"),
        (
            {"local_body_pos": np.zeros((120, 29, 3))},
            r"local_body_pos has shape \(120, 29, 3\), expected \(120, 30, 3\)",
        ),
        ({"local_body_pos": np.full((120, 30, 3), np.nan)}, "local_body_pos is not a finite number at frame 0"),
        ({"local_body_pos": np.zeros((120, 30, 3))}, "joint order cannot be told, nothing fits"),
        ({"link_body_list": [1] * 30}, "link_body_list holds list, expected a list of names"),
        ({"joint_names": ["tail"] * 29}, "twice|joints"),
    ],
)
def test_what_does_not_fit_is_named(
    clip: RobotClip, robot: RobotModel, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    contents = held(clip, tmp_path / "a.pkl", robot, "gmr") | changes
    with pytest.raises(MotionError, match=rf"a\.pkl: .*({told})"):
        read_gmr_pkl(stored(contents, tmp_path / "a.pkl"), robot)


@pytest.mark.parametrize("key", ["root_pos", "root_rot", "dof_pos", "local_body_pos"])
def test_a_frame_that_is_no_number_is_named(clip: RobotClip, robot: RobotModel, tmp_path: Path, key: str) -> None:
    contents = held(clip, tmp_path / "a.pkl", robot, "gmr")
    contents[key][7].flat[0] = np.inf
    with pytest.raises(MotionError, match=rf"a\.pkl: {key} is not a finite number at frame 7"):
        read_gmr_pkl(stored(contents, tmp_path / "a.pkl"), robot)


@pytest.mark.parametrize("key", ["fps", "root_pos", "root_rot", "dof_pos"])
def test_a_missing_key_is_named(clip: RobotClip, robot: RobotModel, tmp_path: Path, key: str) -> None:
    contents = held(clip, tmp_path / "a.pkl", robot, "gmr")
    del contents[key]
    with pytest.raises(MotionError, match=rf"a\.pkl: lacks {key}; it holds dof_pos|a\.pkl: lacks {key}"):
        read_gmr_pkl(stored(contents, tmp_path / "a.pkl"), robot)


def test_a_cut_file_is_refused(clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    write_gmr_pkl(clip, tmp_path / "a.pkl", robot)
    data = (tmp_path / "a.pkl").read_bytes()
    (tmp_path / "a.pkl").write_bytes(data[: len(data) // 2])
    with pytest.raises(MotionError, match=r"a\.pkl: is a pickle cut short or damaged"):
        load_motion(tmp_path / "a.pkl")


def test_a_clip_of_another_robot_is_not_written(clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    strange = replace(clip, joint_names=("tail_joint", *robot.joint_names[1:]))
    with pytest.raises(MotionError, match="tail_joint"):
        write_gmr_pkl(strange, tmp_path / "a.pkl", robot)
    assert not (tmp_path / "a.pkl").exists()
