from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation

from g1_vq_retarget.data.ik_targets import Place, Sole, ik_targets, stances, toe_site
from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.data.sample import sample_clips
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, RobotClip, mirror, path_length
from g1_vq_retarget.motion.formats import read_bvh, read_unitree_csv
from g1_vq_retarget.motion.skeleton import BODY_AXES
from g1_vq_retarget.robot import forward_kinematics, load_robot
from synthetic import human_clip, rest_offsets, scaled

pytest.importorskip("mink")
ROBOT = load_robot()


class Pair(NamedTuple):
    human: HumanClip
    robot: RobotClip


@pytest.fixture(scope="module", params=["walk_1", "run_1", "squat_1", "box_1"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Six seconds of made-up motion."""
    human = next(clip for clip in sample_clips(0) if clip.name == request.param)[60:240]
    return Pair(human, retarget_by_ik(human, ROBOT))


@pytest.fixture(scope="module")
def walk() -> Pair:
    human = sample_clips(3)[0][:120]
    return Pair(human, retarget_by_ik(human, ROBOT))


def bodies(clip: RobotClip) -> tuple[np.ndarray, np.ndarray]:
    """Positions (T, L, 3) and rotations (T, L, 3, 3) of the links in the world."""
    arrays = (clip.with_joint_order(ROBOT.joint_names).joint_pos, clip.root_pos_w, clip.root_quat_w)
    poses = forward_kinematics(ROBOT, *(torch.from_numpy(np.array(array)) for array in arrays))
    return poses.pos.numpy(), poses.rot.numpy()


def soles(clip: RobotClip) -> tuple[np.ndarray, np.ndarray]:
    """(T, 2, 3) the front of each sole, and (T, 2) the height of each sole's lowest point over the floor, m."""
    pos, rot = bodies(clip)
    fronts, heights = [], []
    for foot, link in zip(ROBOT.feet, ROBOT.link_indices(ROBOT.feet), strict=True):
        sole = Sole.of(ROBOT, foot)
        ends = pos[:, link, None] + sole.ends @ np.swapaxes(rot[:, link], -1, -2)
        fronts.append(pos[:, link] + rot[:, link] @ sole.toe)
        heights.append(ends[..., 2].min(axis=1) - sole.radius)
    return np.stack(fronts, axis=1), np.stack(heights, axis=1)


def joint(clip: RobotClip, name: str) -> np.ndarray:
    return clip.joint_pos[:, clip.joint_names.index(f"{name}_joint")]


def standing(frames: int = 30, arms: float = 0.0) -> HumanClip:
    """A body that stands in a T-pose, its arms lowered by an angle, rad."""
    rest = rest_offsets()
    quat = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 21, 1))
    for shoulder, sign in ((15, -1), (16, 1)):  # of the 21 joints below the pelvis
        quat[:, shoulder] = Rotation.from_rotvec([0, 0, sign * arms]).as_quat(scalar_first=True)
    height = -rest[[1, 4, 7, 10], 1].sum()
    root = np.tile(BODY_AXES.inv().as_quat(scalar_first=True), (frames, 1))
    return HumanClip("stand", 30.0, np.tile([0.3, -0.2, height], (frames, 1)), root, quat, rest)


# A pose known beforehand


def test_a_standing_human_gives_a_standing_robot() -> None:
    clip = retarget_by_ik(standing(arms=1.4), ROBOT)
    assert np.ptp(clip.joint_pos, axis=0).max() < 0.01
    np.testing.assert_allclose(clip.root_rotation.magnitude(), 0, atol=0.03)
    assert 0.74 < clip.root_pos_w[-1, 2] < 0.80  # 0.79 with straight legs
    front, height = soles(clip)
    np.testing.assert_allclose(height, 0, atol=1e-3)
    np.testing.assert_allclose(front[..., 2], Sole.of(ROBOT, ROBOT.feet[0]).radius, atol=1e-3)
    for side, sign in (("left", 1), ("right", -1)):
        assert abs(joint(clip, f"{side}_knee")[-1]) < 0.5
        for name in ("hip_roll", "hip_yaw", "ankle_roll"):
            assert abs(joint(clip, f"{side}_{name}")[-1]) < 0.05
        assert abs(joint(clip, f"{side}_shoulder_pitch")[-1]) < 0.3
        assert abs(sign * joint(clip, f"{side}_shoulder_roll")[-1] - 0.2) < 0.3
    for name in ("waist_yaw", "waist_roll", "waist_pitch"):
        assert abs(joint(clip, name)[-1]) < 0.05


def test_a_t_pose_gives_a_t_pose() -> None:
    clip = retarget_by_ik(standing(), ROBOT)
    pos, _ = bodies(clip)
    for side, arm in enumerate(ROBOT.arms):
        shoulder, elbow, hand = pos[-1, ROBOT.link_indices(arm)]
        sideways = np.array([0, 1 - 2 * side, 0])
        assert (elbow - shoulder) @ sideways / np.linalg.norm(elbow - shoulder) > 0.98
        assert (hand - elbow) @ sideways / np.linalg.norm(hand - elbow) > 0.98


def test_the_root_stands_where_the_human_does_shrunk_by_the_legs() -> None:
    human = standing()
    scale = ROBOT.leg_length / human.leg_length
    clip = retarget_by_ik(replace(human, root_pos_w=human.root_pos_w + (5, 2, 0)), ROBOT)
    np.testing.assert_allclose(clip.root_pos_w[-1, :2], scale * np.array([5.3, 1.8]), atol=0.02)


def test_a_floor_at_another_height_is_found(walk: Pair) -> None:
    raised = replace(walk.human, root_pos_w=walk.human.root_pos_w + (0, 0, 0.7))
    np.testing.assert_allclose(retarget_by_ik(raised, ROBOT).root_pos_w, walk.robot.root_pos_w, atol=1e-6)


def test_arms_raised_sideways_and_lowered_in_front_come_down_again() -> None:
    # ahead, outwards, up
    ways = np.array([[0.1, 0.1, -1], [0, 1, 0], [0.1, 0.3, 1], [1, 0.2, 0.1], [0.1, 0.1, -1], [0.1, 0.1, -1]])
    time = np.arange(180) / 30
    way = PchipInterpolator(np.linspace(0, 6, 6), ways)(time)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    human = standing(len(way))
    quat = human.joint_quat.copy()
    for shoulder, sign in ((15, 1), (16, -1)):
        outwards, arm = np.array([sign, 0, 0]), way[:, [1, 2, 0]] * (sign, 1, 1)  # SMPL's axes: left, up, ahead
        turn = np.column_stack([1 + arm @ outwards, np.cross(outwards, arm)])
        quat[:, shoulder] = turn / np.linalg.norm(turn, axis=1, keepdims=True)
    pos, _ = bodies(retarget_by_ik(replace(human, joint_quat=quat), ROBOT))
    for side, (shoulder, _, hand) in enumerate(ROBOT.link_indices(arm) for arm in ROBOT.arms):
        found = pos[:, hand] - pos[:, shoulder]
        cosine = (found * way * (1, 1 - 2 * side, 1)).sum(axis=1) / np.linalg.norm(found, axis=1)
        assert cosine.mean() > 0.97
        assert cosine[-1] > 0.95


# What holds for any motion


def test_the_same_clip_gives_the_same_bytes(walk: Pair) -> None:
    again = retarget_by_ik(walk.human, ROBOT)
    for key in ("joint_pos", "root_pos_w", "root_quat_w"):
        assert getattr(again, key).tobytes() == getattr(walk.robot, key).tobytes()


def test_limits_and_speeds_are_kept(pair: Pair) -> None:
    lower, upper = ROBOT.limits.T
    assert (pair.robot.joint_pos >= lower).all()
    assert (pair.robot.joint_pos <= upper).all()
    speeds = np.abs(np.diff(pair.robot.joint_pos, axis=0)) * pair.robot.fps
    assert (speeds <= [joint.motor.velocity + 1e-6 for joint in ROBOT.joints]).all()


def test_names_rate_length_and_licence_go_over(pair: Pair) -> None:
    assert pair.robot.joint_names == ROBOT.joint_names
    assert (pair.robot.name, pair.robot.fps, len(pair.robot)) == (pair.human.name, pair.human.fps, len(pair.human))
    assert pair.robot.provenance.licence == pair.human.provenance.licence != ""
    assert pair.human.provenance.source in pair.robot.provenance.source


def test_feet_that_stand_do_not_slide(pair: Pair) -> None:
    front, _ = soles(pair.robot)
    both = stances(pair.human)
    both = both[1:] & both[:-1]
    assert both.mean() > 0.2
    slide = np.linalg.norm(np.diff(front[..., :2], axis=0), axis=-1)[both] * pair.robot.fps
    assert slide.mean() < 0.001  # m/s
    assert slide.max() < 0.01


def test_soles_are_on_the_floor_and_never_below(pair: Pair) -> None:
    _, height = soles(pair.robot)
    assert np.abs(height[stances(pair.human)]).max() < 0.001  # m
    assert height.min() > -0.001


def test_a_flat_foot_stays_flat_and_a_raised_heel_is_raised() -> None:
    human = next(clip for clip in sample_clips(0) if clip.name == "walk_1")[60:240]
    _, rot = bodies(retarget_by_ik(human, ROBOT))
    for side, link in enumerate(ROBOT.link_indices(ROBOT.feet)):
        heel_down = Rotation.from_matrix(rot[:, link]).apply([1.0, 0.0, 0.0])[:, 2]  # sine of the way up to the toes
        ball, ankle = (human.joint_pos_w[:, joint, 2] for joint in ((10, 11)[side], (7, 8)[side]))
        stands = stances(human)[:, side]
        flat = stands & (ankle < ankle[stands].min() + 0.005)
        assert flat.sum() > 20
        assert np.abs(heel_down[flat]).max() < np.radians(3)
        raised = stands & (ankle - ball > 0.12)
        assert raised.sum() > 3
        assert (heel_down[raised] < -np.radians(5)).all()


def test_knees_and_elbows_bend_as_a_humans(pair: Pair) -> None:
    for side in ("left", "right"):
        assert joint(pair.robot, f"{side}_knee").min() > -0.0873
        # at zero the forearm is at right angles to the upper arm, which leans a little; at 82 degrees they are in line
        assert joint(pair.robot, f"{side}_elbow").max() < np.radians(82)


def test_the_path_is_the_humans_shrunk_by_the_legs(walk: Pair) -> None:
    ratio = path_length(walk.robot) / path_length(walk.human)
    assert ratio == pytest.approx(ROBOT.leg_length / walk.human.leg_length, rel=0.02)


def test_links_point_where_the_humans_bones_point(pair: Pair) -> None:
    pos, _ = bodies(pair.robot)
    joints = pair.human.joint_pos_w
    for arm, (shoulder, elbow, wrist) in zip(ROBOT.arms, ((16, 18, 20), (17, 19, 21)), strict=True):
        links = pos[:, ROBOT.link_indices(arm)]
        for begin, end, robot in (
            (shoulder, elbow, links[:, 1] - links[:, 0]),
            (elbow, wrist, links[:, 2] - links[:, 1]),
        ):
            human = joints[:, end] - joints[:, begin]
            cosine = (human * robot).sum(axis=1) / np.linalg.norm(human, axis=1) / np.linalg.norm(robot, axis=1)
            assert np.degrees(np.arccos(cosine.clip(-1, 1)).mean()) < 15


Change = Callable[[HumanClip], HumanClip]


def turned(clip: HumanClip, yaw: float = 2.0) -> HumanClip:
    turn = Rotation.from_euler("z", yaw)
    quat = (turn * clip.root_rotation).as_quat(scalar_first=True)
    return replace(clip, root_pos_w=turn.apply(clip.root_pos_w) + (3, -1, 0), root_quat_w=quat)


@pytest.mark.parametrize("change", [turned, lambda clip: scaled(clip, 1.3)], ids=["turned", "taller"])
def test_place_heading_and_size_of_the_human_do_not_matter(change: Change, walk: Pair) -> None:
    other = retarget_by_ik(change(walk.human), ROBOT)
    np.testing.assert_allclose(other.joint_pos, walk.robot.joint_pos, atol=1e-6)
    np.testing.assert_allclose(other.root_pos_w[:, 2], walk.robot.root_pos_w[:, 2], atol=1e-6)


def test_the_mirrored_human_gives_the_mirrored_robot(walk: Pair) -> None:
    other = mirror(retarget_by_ik(mirror(walk.human, ROBOT), ROBOT), ROBOT)
    # the robot's own sides differ in the last digits
    np.testing.assert_allclose(other.joint_pos, walk.robot.joint_pos, atol=0.02)
    np.testing.assert_allclose(other.root_pos_w, walk.robot.root_pos_w, atol=2e-3)


@pytest.mark.parametrize("fps", [10.0, 120.0])
def test_any_rate_will_do(fps: float) -> None:
    clip = retarget_by_ik(replace(standing(10), fps=fps), ROBOT)
    assert (clip.fps, len(clip)) == (fps, 10)


def test_one_frame_is_a_clip() -> None:
    assert len(retarget_by_ik(standing(1), ROBOT)) == 1


def test_motion_that_cannot_be_followed_leaves_limits_and_speeds_kept() -> None:
    wild = human_clip(60, seed=5)
    flung = np.where(np.arange(60) // 4 % 2, 1.5, -1.5)  # arms up and down, eight times a second
    quat = wild.joint_quat.copy()
    for shoulder in (15, 16):
        quat[:, shoulder] = Rotation.from_rotvec(np.outer(flung, [0, 0, 1])).as_quat(scalar_first=True)
    clip = retarget_by_ik(replace(wild, root_pos_w=wild.root_pos_w * 3, joint_quat=quat), ROBOT)
    assert np.isfinite(clip.joint_pos).all()
    assert (clip.joint_pos >= ROBOT.limits[:, 0]).all()
    assert (clip.joint_pos <= ROBOT.limits[:, 1]).all()
    speeds = np.abs(np.diff(clip.joint_pos, axis=0)) * clip.fps
    most = np.array([joint.motor.velocity for joint in ROBOT.joints])
    assert (speeds <= most + 1e-6).all()
    assert (speeds / most).max() > 0.99


def test_hanging_hands_keep_clear_of_the_hips() -> None:
    pos, _ = bodies(retarget_by_ik(standing(arms=1.6), ROBOT))
    for foot, arm in zip(ROBOT.feet, ROBOT.arms, strict=True):
        hand, leg = pos[-1, ROBOT.link_indices([arm[2], foot]), 1] - pos[-1, 0, 1]
        assert abs(hand) > abs(leg) + 0.08


def test_a_foot_leaves_its_anchor_and_takes_up_the_next_without_a_jump() -> None:
    human, time = standing(180), np.arange(180) / 30
    # it creeps over the floor, is in the air from 2 s to 3 s, and creeps on
    height = np.where((time > 2) & (time < 3), 0.3 * np.sin(np.pi * (time - 2)) ** 2, 0)
    human = replace(human, root_pos_w=human.root_pos_w + np.column_stack([0.1 * time, 0 * time, height]))
    assert stances(human)[[30, 150]].all()
    (toe,) = (t.pos for t in ik_targets(human, ROBOT) if isinstance(t, Place) and t.frame == toe_site(ROBOT.feet[0]))
    assert np.abs(np.diff(toe[:45], axis=0)).max() == 0  # m
    step = np.linalg.norm(np.diff(toe, axis=0), axis=1)
    assert step.max() < 0.04  # 0.02 of it by the jump itself


# Stances


def test_a_foot_stands_while_its_ball_is_low_and_still() -> None:
    human = standing(90)
    # worked by hand: both feet on the floor for one second, in the air for one, on the floor again
    height = np.zeros(90)
    height[30:60] = 0.3
    jump = replace(human, root_pos_w=human.root_pos_w + np.outer(height, [0, 0, 1]))
    expected = np.ones((90, 2), dtype=bool)
    expected[29:61] = False  # the frames beside the jump move
    np.testing.assert_array_equal(stances(jump), expected)
    sliding = replace(human, root_pos_w=human.root_pos_w + np.outer(np.arange(90) / 30, [1, 0, 0]))
    assert not stances(sliding).any()


@pytest.mark.parametrize(("degrees", "stands"), [(0, True), (50, True), (100, False)])
def test_a_foot_whose_sole_faces_back_does_not_stand(degrees: float, stands: bool) -> None:
    human = standing()
    quat = human.joint_quat.copy()
    quat[:, [6, 7]] = Rotation.from_rotvec([np.radians(degrees), 0, 0]).as_quat(scalar_first=True)  # the ankles
    assert (stances(replace(human, joint_quat=quat)) == stands).all()


# What is not there


@pytest.mark.parametrize("module", ["mink", "daqp"])
def test_what_is_not_installed_is_named_with_the_way_to_install_it(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"needs {module}: pip install -e '\.\[ik\]'"):
        retarget_by_ik(standing(1), ROBOT)


# Real motion


def test_real_motion_comes_near_to_what_its_authors_found(lafan1: Path) -> None:
    frames = slice(4500, 4800)  # ten seconds of walking
    human = read_bvh(lafan1 / "bvh" / "walk4_subject1.bvh")[frames]
    truth = read_unitree_csv(lafan1 / "g1" / "walk4_subject1.csv", robot=ROBOT)[frames]
    found = retarget_by_ik(human, ROBOT)
    still = {"root_pos_w": np.zeros((300, 3)), "root_quat_w": np.tile(np.eye(1, 4), (300, 1))}
    error = np.linalg.norm(bodies(replace(found, **still))[0] - bodies(replace(truth, **still))[0], axis=-1)
    assert error.mean() < 0.05  # m in the pelvis' frame; 0.033 when written
    assert np.abs(found.joint_pos - truth.joint_pos).mean() < 0.12  # rad; 0.085 when written
    truth_path, path = (path_length(clip) for clip in (truth, found))
    assert path == pytest.approx(truth_path, rel=0.1)
    _, height = soles(found)
    assert np.abs(height[stances(human)]).max() < 0.01
