"""A clip is possible, or it is not made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion import HumanClip, MotionError, RobotClip
from g1_vq_retarget.motion.skeleton import BODY_AXES, HUMAN_JOINTS, HUMAN_PARENTS


@pytest.fixture(params=["robot_clip", "human_clip"])
def clip(request: pytest.FixtureRequest) -> RobotClip | HumanClip:
    return request.getfixturevalue(request.param)


def spoiled(values: np.ndarray, frame: int, value: float) -> np.ndarray:
    values = values.copy()
    values[frame] = value
    return values


@pytest.mark.parametrize("fps", [0.0, -30.0, float("nan"), float("inf")])
def test_a_rate_is_a_positive_number(clip: RobotClip | HumanClip, fps: float) -> None:
    with pytest.raises(MotionError, match="fps"):
        replace(clip, fps=fps)


def test_a_clip_has_frames(clip: RobotClip | HumanClip) -> None:
    with pytest.raises(MotionError, match="no frames"):
        clip[:0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused_by_key_and_frame(clip: RobotClip | HumanClip, value: float) -> None:
    for key in ("root_pos_w", "root_quat_w", "joint_pos" if isinstance(clip, RobotClip) else "joint_quat"):
        with pytest.raises(MotionError, match=rf"{key}.*frame 7"):
            replace(clip, **{key: spoiled(getattr(clip, key), 7, value)})


def test_a_quaternion_off_unit_length_is_refused_by_key_and_frame(clip: RobotClip | HumanClip) -> None:
    for key in ("root_quat_w",) if isinstance(clip, RobotClip) else ("root_quat_w", "joint_quat"):
        with pytest.raises(MotionError, match=rf"{key}.*frame 7.*0\.508"):
            replace(clip, **{key: spoiled(getattr(clip, key), 7, 0.254)})


def test_a_quaternion_within_1_percent_is_normalised(clip: RobotClip | HumanClip) -> None:
    off = replace(clip, root_quat_w=clip.root_quat_w * 1.009)
    np.testing.assert_allclose(off.root_quat_w, clip.root_quat_w, atol=1e-12)


@pytest.mark.parametrize(
    ("key", "shape"), [("root_pos_w", (120, 2)), ("root_quat_w", (119, 4)), ("joint_pos", (120, 28))]
)
def test_wrong_shapes_are_refused_by_key(robot_clip: RobotClip, key: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(MotionError, match=key):
        replace(robot_clip, **{key: np.zeros(shape)})


def test_a_joint_stands_once(robot_clip: RobotClip) -> None:
    with pytest.raises(MotionError, match="twice"):
        replace(robot_clip, joint_names=("left_knee_joint", *robot_clip.joint_names[1:]))


def test_a_slice_is_the_same_motion_in_fewer_frames(clip: RobotClip | HumanClip) -> None:
    part = clip[10:20]
    assert len(part) == 10
    assert (part.name, part.fps, part.provenance) == (clip.name, clip.fps, clip.provenance)
    arrays: dict[str, Any] = {key: value for key, value in vars(clip).items() if np.ndim(value) > 1}
    arrays.pop("rest_offsets", None)
    for key, whole in arrays.items():
        assert np.array_equal(getattr(part, key), whole[10:20]), key


def test_duration_is_from_the_first_frame_to_the_last(clip: RobotClip | HumanClip) -> None:
    assert clip[:31].duration == pytest.approx(1.0)
    assert clip[:1].duration == 0


def test_another_joint_order_and_back_changes_nothing(robot_clip: RobotClip, robot) -> None:
    isaac = robot_clip.with_joint_order(robot.joint_names_isaac)
    assert np.array_equal(isaac.joint_pos[:, 2], robot_clip.joint_pos[:, robot.joint_names.index("waist_yaw_joint")])
    assert np.array_equal(isaac.with_joint_order(robot.joint_names).joint_pos, robot_clip.joint_pos)


def test_an_unknown_joint_is_named(robot_clip: RobotClip) -> None:
    with pytest.raises(MotionError, match="tail_joint"):
        robot_clip.with_joint_order(["tail_joint"])


def t_pose(root_quat: np.ndarray, offsets: np.ndarray) -> HumanClip:
    identity = np.tile([1.0, 0, 0, 0], (1, 21, 1))
    return HumanClip("t-pose", 30, np.zeros((1, 3)), root_quat[None], identity, offsets)


def test_in_the_t_pose_joints_lie_at_the_sums_of_their_offsets(human_clip: HumanClip) -> None:
    offsets = human_clip.rest_offsets
    expected = np.zeros((22, 3))
    for joint, parent in enumerate(HUMAN_PARENTS[1:], start=1):
        expected[joint] = expected[parent] + offsets[joint]
    np.testing.assert_allclose(t_pose(np.array([1.0, 0, 0, 0]), offsets).joint_pos_w[0], expected, atol=1e-12)


def test_a_human_facing_x_has_the_body_frame_of_the_world() -> None:
    # SMPL's pelvis frame is x left, y up, z forward: forward goes to the world's x, left to y, up to z
    standing = Rotation.from_matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    offsets = np.zeros((22, 3))
    offsets[HUMAN_JOINTS.index("left_hip")] = (0.1, 0, 0)
    offsets[HUMAN_JOINTS.index("neck")] = (0, 0.5, 0)
    offsets[HUMAN_JOINTS.index("left_foot")] = (0, 0, 0.2)
    clip = t_pose(standing.as_quat(scalar_first=True), offsets)
    assert clip.body_rotation.magnitude().max() < 1e-9
    assert (standing.inv() * BODY_AXES.inv()).magnitude() < 1e-9
    pos = dict(zip(HUMAN_JOINTS, clip.joint_pos_w[0], strict=True))
    np.testing.assert_allclose(pos["left_hip"], (0, 0.1, 0), atol=1e-12)
    np.testing.assert_allclose(pos["neck"], (0, 0, 0.5), atol=1e-12)
    np.testing.assert_allclose(pos["left_foot"] - pos["left_ankle"], (0.2, 0, 0), atol=1e-12)
    # and turned and bowed, the body frame is turned and bowed as much
    bow = Rotation.from_euler("ZY", [70, 30], degrees=True)
    bowing = t_pose((bow * standing).as_quat(scalar_first=True), offsets)
    assert (bowing.body_rotation.inv() * bow).magnitude().max() < 1e-9


def test_bending_a_knee_moves_what_hangs_on_it_and_nothing_else() -> None:
    offsets = np.zeros((22, 3))
    offsets[HUMAN_JOINTS.index("left_knee")] = offsets[HUMAN_JOINTS.index("left_ankle")] = (0, -0.4, 0)
    straight = t_pose(np.array([1.0, 0, 0, 0]), offsets)
    quat = straight.joint_quat.copy()
    # a quarter turn about the lateral axis brings the shank from down (-y) to the back (-z)
    quat[0, HUMAN_JOINTS.index("left_knee") - 1] = (np.sqrt(0.5), np.sqrt(0.5), 0, 0)
    bent = replace(straight, joint_quat=quat)
    moved = np.abs(bent.joint_pos_w - straight.joint_pos_w).max(axis=-1)[0] > 1e-9
    assert {HUMAN_JOINTS[i] for i in np.flatnonzero(moved)} == {"left_ankle", "left_foot"}
    np.testing.assert_allclose(bent.joint_pos_w[0, HUMAN_JOINTS.index("left_ankle")], (0, -0.4, -0.4), atol=1e-12)
    assert bent.leg_length == pytest.approx(0.4)  # one leg of 0.8 m and one of none


def test_rotation_features_are_the_first_two_columns_of_each_matrix(human_clip: HumanClip) -> None:
    features = human_clip.rotation_features()
    assert features.shape == (120, 126)
    matrices = human_clip.local_rotations.as_matrix().reshape(120, 21, 3, 3)
    sixd = features.reshape(120, 21, 6)
    np.testing.assert_allclose(sixd[..., :3], matrices[..., 0])
    np.testing.assert_allclose(sixd[..., 3:], matrices[..., 1])
    np.testing.assert_allclose(np.cross(sixd[..., :3], sixd[..., 3:]), matrices[..., 2], atol=1e-12)
