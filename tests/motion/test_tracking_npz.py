"""Files for tracking policies: each flavour as its reader wants it, and none read in the wrong order or rate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion import MotionError, RobotClip
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.npz import write_arrays
from g1_vq_retarget.motion.formats.orders import JointOrder
from g1_vq_retarget.motion.formats.tracking_npz import Flavour, read_tracking_npz, write_tracking_npz
from g1_vq_retarget.motion.formats.unitree_csv import read_unitree_csv
from g1_vq_retarget.robot import RobotModel, forward_kinematics

FLAVOURS: tuple[Flavour, ...] = get_args(Flavour)
PARTS = ("root_pos_w", "root_quat_w", "joint_pos")
ORDER_OF: dict[Flavour, JointOrder] = {"isaac": "isaac", "mjlab": "mujoco"}
SHAPES = {
    "fps": (1,),
    "joint_pos": (120, 29),
    "joint_vel": (120, 29),
    "body_pos_w": (120, 30, 3),
    "body_quat_w": (120, 30, 4),
    "body_lin_vel_w": (120, 30, 3),
    "body_ang_vel_w": (120, 30, 3),
}


def stored(clip: RobotClip, path: Path, robot: RobotModel, flavour: Flavour, **changes: object) -> Path:
    """The clip's file with keys set to other values, or left out where the value is None."""
    write_tracking_npz(clip, path, robot, flavour)
    arrays = dict(np.load(path)) | changes
    write_arrays(path, {key: np.asarray(value) for key, value in arrays.items() if value is not None})
    return path


def loaded(clip: RobotClip, path: Path, robot: RobotModel, flavour: Flavour) -> dict[str, np.ndarray]:
    return dict(np.load(stored(clip, path, robot, flavour), allow_pickle=False))


def assert_same_motion(one: RobotClip, other: RobotClip) -> None:
    assert (one.fps, one.joint_names) == (other.fps, other.joint_names)
    np.testing.assert_allclose(one.joint_pos, other.joint_pos, atol=1e-6)
    np.testing.assert_allclose(one.root_pos_w, other.root_pos_w, atol=1e-5)
    assert (one.root_rotation.inv() * other.root_rotation).magnitude().max() < 1e-5


ONE_ZERO = np.array([[1.0, 0, 0, 0], [0, 0, 0, 0], *[[1.0, 0, 0, 0]] * 28])


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_reading_what_was_written_gives_the_same_motion(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path, flavour: Flavour
) -> None:
    path = stored(robot_clip, tmp_path / "clip.npz", robot, flavour)
    assert_same_motion(read_tracking_npz(path, robot), robot_clip)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_order_of_the_clips_columns_does_not_matter(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path, flavour: Flavour
) -> None:
    one = loaded(robot_clip, tmp_path / "one.npz", robot, flavour)
    other = loaded(robot_clip.with_joint_order(robot.joint_names_isaac), tmp_path / "other.npz", robot, flavour)
    for key in one:
        assert np.array_equal(one[key], other[key]), key


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_keys_shapes_and_names_are_those_of_the_flavour(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path, flavour: Flavour
) -> None:
    arrays = loaded(robot_clip, tmp_path / "clip.npz", robot, flavour)
    assert {key: arrays[key].shape for key in SHAPES} == SHAPES
    assert set(arrays) - set(SHAPES) == {"joint_names", "body_names", "licence"}
    assert all(arrays[key].dtype == np.float32 for key in SHAPES if key != "fps")
    isaac = flavour == "isaac"
    assert tuple(arrays["joint_names"]) == (robot.joint_names_isaac if isaac else robot.joint_names)
    assert tuple(arrays["body_names"]) == (robot.link_names_isaac if isaac else robot.link_names)
    # every column is the one its name says
    poses = forward_kinematics(
        robot, *map(torch.from_numpy, (robot_clip.joint_pos, robot_clip.root_pos_w, robot_clip.root_quat_w))
    )
    for column, name in enumerate(arrays["joint_names"]):
        angle = robot_clip.joint_pos[:, robot.joint_names.index(name)]
        np.testing.assert_allclose(arrays["joint_pos"][:, column], angle, atol=1e-6)
        np.testing.assert_allclose(arrays["joint_vel"][:, column], np.gradient(angle, 1 / 30), atol=1e-5)
    for column, name in enumerate(arrays["body_names"]):
        link = robot.link_names.index(name)
        np.testing.assert_allclose(arrays["body_pos_w"][:, column], poses.pos[:, link], atol=1e-5)
        turn = Rotation.from_quat(arrays["body_quat_w"][:, column], scalar_first=True)
        assert (turn.inv() * Rotation.from_matrix(poses.rot[:, link].numpy())).magnitude().max() < 1e-5


def spinning(robot: RobotModel, fps: float = 200.0) -> RobotClip:
    """The robot in its zero pose, gliding along x at 2 m/s and spinning about the world's z at 3 rad/s."""
    time = np.arange(50) / fps
    return RobotClip(
        "spin",
        fps,
        np.stack([2 * time, np.zeros(50), np.ones(50)], axis=1),
        Rotation.from_rotvec(time[:, None] * (0, 0, 3.0)).as_quat(scalar_first=True),
        robot.joint_names,
        np.zeros((50, 29)),
    )


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_linear_velocity_is_that_of_the_centre_of_mass_for_isaac_and_of_the_origin_for_mjlab(
    robot: RobotModel, tmp_path: Path, flavour: Flavour
) -> None:
    arrays = loaded(spinning(robot), tmp_path / "spin.npz", robot, flavour)
    np.testing.assert_allclose(arrays["body_ang_vel_w"], np.tile((0, 0, 3.0), (50, 30, 1)), atol=1e-4)
    links = {link.name: link for link in robot.links}
    frame = 20  # inside, where the differences are central
    for column, name in enumerate(arrays["body_names"]):
        arm = arrays["body_pos_w"][frame, column] - arrays["body_pos_w"][frame, 0]
        if flavour == "isaac":
            turn = Rotation.from_quat(arrays["body_quat_w"][frame, column], scalar_first=True)
            arm = arm + turn.apply(links[name].com)
        expected = np.array([2.0, 0, 0]) + np.cross((0, 0, 3.0), arm)
        np.testing.assert_allclose(arrays["body_lin_vel_w"][frame, column], expected, atol=1e-3, err_msg=name)


def test_the_flavours_differ_where_a_link_turns_beside_its_centre_of_mass(robot: RobotModel, tmp_path: Path) -> None:
    speed = {}
    for flavour in FLAVOURS:
        arrays = loaded(spinning(robot), tmp_path / f"{flavour}.npz", robot, flavour)
        column = list(arrays["body_names"]).index("left_wrist_yaw_link")
        speed[flavour] = arrays["body_lin_vel_w"][20, column]
    assert np.linalg.norm(speed["isaac"] - speed["mjlab"]) > 0.05


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("names", [("joint_names", "body_names"), ("joint_names",)])
def test_forward_kinematics_settles_the_order_of_a_file_without_names(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path, flavour: Flavour, names: tuple[str, ...]
) -> None:
    path = stored(robot_clip, tmp_path / "clip.npz", robot, flavour, **dict.fromkeys(names))
    assert_same_motion(read_tracking_npz(path, robot), robot_clip)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_forward_kinematics_settles_the_order_of_a_real_clip(
    lafan1: Path, robot: RobotModel, tmp_path: Path, flavour: Flavour
) -> None:
    clip = read_unitree_csv(lafan1 / "g1" / "walk1_subject1.csv", robot=robot)[:300]
    path = stored(clip, tmp_path / "clip.npz", robot, flavour, joint_names=None, body_names=None)
    assert_same_motion(read_tracking_npz(path, robot), clip)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_bodies_that_fit_no_order_are_refused_with_both_residuals_unless_the_order_is_told(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path, flavour: Flavour
) -> None:
    write_tracking_npz(robot_clip, tmp_path / "clip.npz", robot, flavour)
    moved = np.load(tmp_path / "clip.npz")["body_pos_w"]
    moved[:, 5:] += 0.05
    path = stored(robot_clip, tmp_path / "odd.npz", robot, flavour, joint_names=None, body_names=None, body_pos_w=moved)
    with pytest.raises(MotionError, match=r"odd\.npz: .*nothing fits.*mujoco \d.*isaac \d.*--joint-order"):
        read_tracking_npz(path, robot)
    assert_same_motion(read_tracking_npz(path, robot, ORDER_OF[flavour]), robot_clip)


def test_a_pose_that_fits_both_orders_is_refused_unless_the_order_is_told(robot: RobotModel, tmp_path: Path) -> None:
    path = stored(spinning(robot), tmp_path / "zero.npz", robot, "isaac", joint_names=None)
    with pytest.raises(MotionError, match=r"zero\.npz: .*mujoco and isaac fit alike"):
        read_tracking_npz(path, robot)
    assert len(read_tracking_npz(path, robot, "isaac")) == 50


def test_without_bodies_that_tell_the_order_the_ground_does_and_else_it_is_to_be_told(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path
) -> None:
    arrays = loaded(robot_clip, tmp_path / "clip.npz", robot, "mjlab")
    few = {key: values[:, :14] for key, values in arrays.items() if key.startswith("body_") and key != "body_names"}
    path = stored(robot_clip, tmp_path / "few.npz", robot, "mjlab", joint_names=None, body_names=None, **few)
    # the ground does
    assert_same_motion(read_tracking_npz(path, robot), robot_clip)
    still = replace(robot_clip, **{key: np.tile(getattr(robot_clip, key)[:1], (120, 1)) for key in PARTS})
    arrays = loaded(still, tmp_path / "still.npz", robot, "mjlab")
    few = {key: values[:, :14] for key, values in arrays.items() if key.startswith("body_") and key != "body_names"}
    path = stored(still, tmp_path / "still.npz", robot, "mjlab", joint_names=None, body_names=None, **few)
    with pytest.raises(MotionError, match=r"still\.npz: .*fit alike.*--joint-order.*--quat-order"):
        read_tracking_npz(path, robot)
    assert_same_motion(read_tracking_npz(path, robot, "mujoco", quat_order="wxyz"), still)


@pytest.mark.parametrize("fps", [25.0, 50.0, 60.0])
def test_a_rate_that_contradicts_the_velocities_is_refused_and_the_fitting_one_told(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path, fps: float
) -> None:
    path = stored(robot_clip, tmp_path / "clip.npz", robot, "isaac", fps=[fps])
    with pytest.raises(MotionError, match=rf"clip\.npz: fps is {fps:g}.*it fits 30 fps"):
        read_tracking_npz(path, robot)


def test_velocities_of_a_simulation_may_be_a_little_off(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path
) -> None:
    velocities = loaded(robot_clip, tmp_path / "clip.npz", robot, "isaac")["joint_vel"]
    noisy = velocities * 1.04 + np.random.default_rng(0).normal(scale=0.05, size=velocities.shape)
    path = stored(robot_clip, tmp_path / "clip.npz", robot, "isaac", joint_vel=noisy)
    assert_same_motion(read_tracking_npz(path, robot), robot_clip)


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_shortest_clips_round_trip(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path, flavour: Flavour, frames: int
) -> None:
    path = stored(robot_clip[:frames], tmp_path / "clip.npz", robot, flavour, joint_names=None, body_names=None)
    assert_same_motion(read_tracking_npz(path, robot), robot_clip[:frames])


@pytest.mark.parametrize("key", ["fps", "joint_pos", "joint_vel", "body_pos_w", "body_quat_w"])
def test_a_missing_key_is_named(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path, key: str) -> None:
    path = stored(robot_clip, tmp_path / "clip.npz", robot, "mjlab", **{key: None})
    with pytest.raises(MotionError, match=rf"clip\.npz: lacks {key}"):
        read_tracking_npz(path, robot)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"joint_pos": np.zeros((120, 36))}, r"joint_pos has shape \(120, 36\), expected \(frames, 29\)"),
        ({"joint_vel": np.zeros((120, 28))}, r"joint_vel has shape \(120, 28\)"),
        ({"body_pos_w": np.zeros((120, 29, 3))}, r"body_pos_w has shape \(120, 29, 3\), expected \(120, 30, 3\)"),
        ({"body_quat_w": np.zeros((119, 30, 4))}, r"body_quat_w has shape \(119, 30, 4\), expected \(120, 30, 4\)"),
        ({"body_quat_w": np.zeros((120, 30, 4))}, "root_quat_w is no unit quaternion at frame 0"),
        ({"body_quat_w": np.tile(ONE_ZERO, (120, 1, 1))}, r"body_quat_w is no unit quaternion at frame 0 \(left_hip"),
        ({"body_lin_vel_w": np.full((120, 30, 3), np.inf)}, "body_lin_vel_w is not a finite number at frame 0"),
        ({"body_ang_vel_w": np.zeros((120, 29, 3))}, r"body_ang_vel_w has shape \(120, 29, 3\)"),
        ({"body_names": ["pelvis"] * 30}, "body_names holds a name twice"),
        ({"joint_vel": np.full((120, 29), np.nan)}, "joint_vel is not a finite number at frame 0"),
        ({"joint_names": ["tail"] * 29}, "twice"),
        ({"joint_names": [f"joint_{i}" for i in range(29)]}, "left_hip_pitch_joint"),
        ({"body_names": [f"body_{i}" for i in range(30)]}, "body_names lacks the root pelvis"),
        ({"fps": [0]}, "fps must be a positive number"),
        ({"fps": [30, 30]}, "fps has shape"),
    ],
)
def test_what_does_not_fit_is_named(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path, changes: dict[str, object], told: str
) -> None:
    path = stored(robot_clip, tmp_path / "clip.npz", robot, "isaac", **changes)
    with pytest.raises(MotionError, match=rf"clip\.npz: .*{told}"):
        read_tracking_npz(path, robot)


def test_a_clip_of_another_robot_is_not_written(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    strange = replace(robot_clip, joint_names=("tail_joint", *robot.joint_names[1:]))
    with pytest.raises(MotionError, match="tail_joint"):
        write_tracking_npz(strange, tmp_path / "clip.npz", robot, "isaac")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_findings_tell_orders_rate_and_velocity_point(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path, flavour: Flavour
) -> None:
    path = stored(robot_clip, tmp_path / "clip.npz", robot, flavour, joint_names=None, body_names=None)
    findings = list[Finding]()
    read_tracking_npz(path, robot, findings=findings)
    told = {finding.question: (finding.answer, finding.how) for finding in findings}
    assert told == {
        "joint order": (ORDER_OF[flavour], "evidence"),
        "quaternion order": ("wxyz", "evidence"),
        "fps": ("30", "file"),
        "point of the linear velocities": ("centre of mass" if flavour == "isaac" else "link origin", "evidence"),
    }


def test_names_that_the_bodies_contradict_are_refused_unless_overruled(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path
) -> None:
    path = stored(robot_clip, tmp_path / "clip.npz", robot, "isaac", joint_names=np.array(robot.joint_names))
    with pytest.raises(MotionError, match=r"clip\.npz: joint_names and body_pos_w contradict .*--joint-order"):
        read_tracking_npz(path, robot)
    assert_same_motion(read_tracking_npz(path, robot, "isaac"), robot_clip)


def test_a_velocity_that_is_no_ones_gets_a_warning(robot_clip: RobotClip, robot: RobotModel, tmp_path: Path) -> None:
    path = stored(robot_clip, tmp_path / "clip.npz", robot, "isaac", body_lin_vel_w=np.full((120, 30, 3), 7.0))
    with pytest.warns(UserWarning, match=r"clip\.npz: body_lin_vel_w is neither .*not used"):
        read_tracking_npz(path, robot)


@pytest.mark.parametrize("fps", [15.0, 60.0])
def test_the_rate_of_a_robot_that_only_glides_is_told_by_its_bodies(
    robot: RobotModel, tmp_path: Path, fps: float
) -> None:
    gliding = replace(spinning(robot, 30.0), root_quat_w=np.tile((1.0, 0, 0, 0), (50, 1)))
    path = stored(gliding, tmp_path / "glide.npz", robot, "mjlab", fps=[fps])
    with pytest.raises(MotionError, match=rf"fps is {fps:g}, but body_lin_vel_w .*it fits 30 fps"):
        read_tracking_npz(path, robot)


def test_a_world_in_front_of_unnamed_bodies_is_passed_over(
    robot_clip: RobotClip, robot: RobotModel, tmp_path: Path
) -> None:
    arrays = loaded(robot_clip, tmp_path / "clip.npz", robot, "mjlab")
    bodies = {
        key: np.concatenate([values[:, :1], values], axis=1)
        for key, values in arrays.items()
        if "body_" in key and "names" not in key
    }
    path = stored(robot_clip, tmp_path / "clip.npz", robot, "mjlab", joint_names=None, body_names=None, **bodies)
    assert_same_motion(read_tracking_npz(path, robot), robot_clip)
