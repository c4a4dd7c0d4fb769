"""SMPL-X poses in tracking NPZ: shapes, the order of six numbers, and the robot's root in the place of the human's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion import HumanClip, MotionError, RobotClip
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.motion.formats.smplx_npz import RotationOrder, read_smplx_npz
from g1_vq_retarget.motion.formats.tracking_npz import write_tracking_npz
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS
from g1_vq_retarget.robot import RobotModel, load_robot
from synthetic import human_clip, robot_clip, waves

FRAMES = 60


@pytest.fixture(scope="module")
def robot() -> RobotModel:
    return load_robot()


def bending(frames: int = FRAMES) -> HumanClip:
    """Motion in which knees and elbows bend as they can, up to 80 degrees; the rest is slight."""
    turns = 0.2 * waves(frames, 63, 5).reshape(frames, 21, 3)
    for seed, (joint, axis) in enumerate(
        {"left_knee": (1, 0, 0), "right_knee": (1, 0, 0), "left_elbow": (0, -1, 0), "right_elbow": (0, 1, 0)}.items()
    ):
        flexion = np.radians(40) * (1 + waves(frames, 1, 20 + seed))
        turns[:, HUMAN_JOINTS[1:].index(joint)] += flexion * np.array(axis)
    quat = Rotation.from_rotvec(turns.reshape(-1, 3)).as_quat(scalar_first=True).reshape(frames, 21, 4)
    return replace(human_clip(frames), joint_quat=quat)


def rotvecs(clip: HumanClip) -> np.ndarray:
    return clip.local_rotations.as_rotvec().reshape(len(clip), 21, 3)


def six(clip: HumanClip, order: RotationOrder) -> np.ndarray:
    """Straight from what the orders are said to be, element by element."""
    m = clip.local_rotations.as_matrix().reshape(len(clip), 21, 3, 3)
    elements = {
        "interleaved": ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)),
        "columns": ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)),
        "rows": ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)),
    }[order]
    return np.stack([m[..., row, column] for row, column in elements], axis=-1)


def stored(path: Path, motion: RobotClip, poses: np.ndarray, flavour: str = "isaac", **changes: np.ndarray) -> Path:
    """The robot's motion and the poses as `seulzx/smplx_datasets` has them: no names, float32."""
    write_tracking_npz(motion, path, load_robot(), flavour)  # type: ignore[arg-type]
    with np.load(path) as file:
        arrays: dict = {key: file[key] for key in file if key not in ("joint_names", "body_names", "licence")}
    arrays |= {"smplx_pose_body": poses.astype(np.float32), "robot_keypoints_trans": np.zeros((len(motion), 5, 3))}
    arrays |= changes
    np.savez(path, **arrays)
    return path


def assert_same_pose(clip: HumanClip, expected: HumanClip) -> None:
    off = (clip.local_rotations.inv() * expected.local_rotations).magnitude()
    assert off.max() < 2e-3  # float32 of a cosine near 1


SHAPES: list[tuple[str, Callable[[HumanClip], np.ndarray]]] = [
    ("axis-angle (T, 21, 3)", rotvecs),
    ("axis-angle (T, 63)", lambda clip: rotvecs(clip).reshape(len(clip), 63)),
    ("6D (T, 21, 6)", lambda clip: six(clip, "interleaved")),
    ("6D (T, 126)", lambda clip: six(clip, "interleaved").reshape(len(clip), 126)),
    ("columns (T, 21, 6)", lambda clip: six(clip, "columns")),
    ("our features (T, 126)", HumanClip.rotation_features),
    ("rows (T, 21, 6)", lambda clip: six(clip, "rows")),
]


@pytest.mark.parametrize(("shape", "poses"), SHAPES, ids=[shape for shape, _ in SHAPES])
@pytest.mark.parametrize("flavour", ["isaac", "mjlab"])
def test_every_accepted_shape_gives_the_same_motion(
    shape: str, poses: Callable[[HumanClip], np.ndarray], flavour: str, robot: RobotModel, tmp_path: Path
) -> None:
    human = bending()
    path = stored(tmp_path / "walk.npz", robot_clip(FRAMES), poses(human), flavour)
    clip = read_smplx_npz(path, robot, licence="mine")
    assert_same_pose(clip, human)
    assert (clip.name, clip.fps, clip.provenance.licence) == ("walk", 30, "mine")


def test_real_motion_settles_the_order(lafan1: Path, robot: RobotModel, tmp_path: Path) -> None:
    human = load_motion(min((lafan1 / "bvh").glob("*.bvh"), key=lambda path: path.stat().st_size))
    assert isinstance(human, HumanClip)
    for first in np.linspace(0, len(human) - 90, 5).astype(int):
        part = human[first : first + 90]
        for order in get_args(RotationOrder):
            findings: list = []
            path = stored(tmp_path / "a.npz", robot_clip(90), six(part, order))
            assert_same_pose(read_smplx_npz(path, robot, findings=findings), part)
            assert (findings[-1].answer, findings[-1].how) == (order, "evidence")


def test_the_root_is_the_robots(robot: RobotModel, tmp_path: Path) -> None:
    motion = robot_clip(FRAMES)
    clip = read_smplx_npz(stored(tmp_path / "a.npz", motion, rotvecs(bending())), robot)
    np.testing.assert_allclose(clip.body_rotation.as_matrix(), motion.body_rotation.as_matrix(), atol=1e-5)
    ratio = clip.root_pos_w / motion.root_pos_w
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-5)
    # a robot that stands straight, 0.757 m from pelvis to ankles, becomes a human that does
    standing = replace(motion, root_pos_w=np.tile([0.0, 0.0, 0.757], (FRAMES, 1)))
    still = read_smplx_npz(stored(tmp_path / "b.npz", standing, rotvecs(bending())), robot)
    straight = replace(still, joint_quat=np.tile([1.0, 0, 0, 0], (FRAMES, 21, 1)))
    straight = replace(straight, root_quat_w=np.tile([0.5, 0.5, 0.5, 0.5], (FRAMES, 1)))
    ankles = straight.joint_pos_w[:, [HUMAN_JOINTS.index("left_ankle"), HUMAN_JOINTS.index("right_ankle")], 2]
    np.testing.assert_allclose(ankles, 0, atol=2e-3)


@pytest.mark.parametrize(
    ("poses", "told"),
    [
        (np.zeros((FRAMES, 66)), r"smplx_pose_body has shape \(60, 66\), expected one of \(T, 63\), \(T, 21, 3\)"),
        (np.zeros((FRAMES, 6, 21)), r"shape \(60, 6, 21\)"),
        (np.zeros((FRAMES, 22, 3)), r"shape \(60, 22, 3\)"),
        (np.zeros((FRAMES, 24, 6)), r"shape \(60, 24, 6\)"),
        (np.zeros(FRAMES), r"shape \(60,\)"),
        (np.zeros((FRAMES - 1, 63)), "smplx_pose_body has 59 frames, joint_pos 60"),
        (np.full((FRAMES, 63), np.nan), "not a finite number at frame 0"),
        (np.ones((FRAMES, 21, 6)), "nothing fits"),
        (np.array([["a"] * 63] * FRAMES), "expected numbers"),
    ],
)
def test_other_poses_are_refused_by_name_and_shape(
    poses: np.ndarray, told: str, robot: RobotModel, tmp_path: Path
) -> None:
    path = stored(tmp_path / "odd.npz", robot_clip(FRAMES), np.zeros((FRAMES, 63)), smplx_pose_body=poses)
    with pytest.raises(MotionError, match=rf"odd\.npz: .*{told}"):
        read_smplx_npz(path, robot)


def test_a_file_without_poses_is_refused(robot: RobotModel, tmp_path: Path) -> None:
    write_tracking_npz(robot_clip(FRAMES), tmp_path / "robot.npz", robot, "isaac")
    with pytest.raises(MotionError, match=r"robot\.npz: lacks smplx_pose_body"):
        read_smplx_npz(tmp_path / "robot.npz", robot)


@pytest.mark.parametrize("order", ["columns", "rows"])
def test_a_body_that_does_not_bend_is_refused_unless_the_order_is_told(
    order: RotationOrder, robot: RobotModel, tmp_path: Path
) -> None:
    human = bending()
    turns = rotvecs(human)
    turns[
        :, [HUMAN_JOINTS[1:].index(f"{side}_{joint}") for side in ("left", "right") for joint in ("knee", "elbow")]
    ] = 0
    quat = Rotation.from_rotvec(turns.reshape(-1, 3)).as_quat(scalar_first=True).reshape(FRAMES, 21, 4)
    stiff = replace(human, joint_quat=quat)
    path = stored(tmp_path / "stiff.npz", robot_clip(FRAMES), six(stiff, order))
    with pytest.raises(MotionError, match=r"stiff\.npz: .*--rotation-order interleaved\|columns\|rows"):
        read_smplx_npz(path, robot)
    assert_same_pose(read_smplx_npz(path, robot, order), stiff)


@pytest.mark.parametrize(
    ("order", "told", "why"),
    [
        ("columns", "interleaved", "no rotations in the order interleaved"),
        ("interleaved", "rows", "no rotations in the order rows"),
        ("columns", "rows", "bending of knees and elbows goes the way they cannot"),
        ("rows", "columns", "bending of knees and elbows goes the way they cannot"),
    ],
)
def test_a_flag_that_contradicts_the_motion_is_refused(
    order: RotationOrder, told: RotationOrder, why: str, robot: RobotModel, tmp_path: Path
) -> None:
    path = stored(tmp_path / "a.npz", robot_clip(FRAMES), six(bending(), order))
    with pytest.raises(MotionError, match=why):
        read_smplx_npz(path, robot, told)


def test_inverted_axis_angles_are_refused(robot: RobotModel, tmp_path: Path) -> None:
    path = stored(tmp_path / "a.npz", robot_clip(FRAMES), -rotvecs(bending()))
    with pytest.raises(MotionError, match="the way they cannot"):
        read_smplx_npz(path, robot)
