from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.data import inverse_kinematics
from g1_vq_retarget.data.ik_clearance import APPROACH, Clearance, Inequalities, nearest_points
from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.motion import HumanClip
from g1_vq_retarget.motion.quality import clip_physics
from g1_vq_retarget.motion.skeleton import BODY_AXES, HUMAN_JOINTS
from g1_vq_retarget.robot import build_mjcf, load_robot
from g1_vq_retarget.robot.capsules import segment_distance
from synthetic import rest_offsets

mink = pytest.importorskip("mink")
mujoco = pytest.importorskip("mujoco")
ROBOT = load_robot()


class Unbounded(Clearance):
    """As if nothing were in the way."""

    def compute_qp_inequalities(self, configuration: object, dt: float) -> Inequalities:
        return Inequalities(np.zeros((0, 35)), np.zeros(0))


def turned(joints: dict[str, tuple[float, float, float]], frames: int = 40) -> HumanClip:
    """A human who stands in a T-pose and turns joints (rotation vectors, rad) within the first half of the time."""
    share = np.minimum(np.arange(frames) / (frames / 2), 1)
    quat = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 21, 1))
    for joint, turn in joints.items():
        rotations = Rotation.from_rotvec(np.outer(share, turn))
        quat[:, HUMAN_JOINTS.index(joint) - 1] = rotations.as_quat(scalar_first=True)
    rest = rest_offsets()
    height = -rest[[1, 4, 7, 10], 1].sum()
    root = np.tile(BODY_AXES.inv().as_quat(scalar_first=True), (frames, 1))
    return HumanClip("turned", 30.0, np.tile([0.0, 0.0, height], (frames, 1)), root, quat, rest)


def lying(frames: int = 40) -> HumanClip:
    """A human who falls stiffly from standing onto the back, heels on the floor, arms spread."""
    human = turned({}, frames)
    share = np.minimum(np.arange(frames) / (frames / 2), 1)
    fall = Rotation.from_rotvec(np.outer(share, (0, -np.pi / 2, 0)))
    height = human.root_pos_w[0, 2]
    pos = fall.apply([0.0, 0.0, height])
    return replace(human, root_pos_w=pos, root_quat_w=(fall * human.root_rotation).as_quat(scalar_first=True))


# arms swung forwards and on through the chest; the left leg swung through the right one; hands into the thighs
CHEST = {"left_shoulder": (0.0, -2.4, 0.0), "right_shoulder": (0.0, 2.4, 0.0)}
LEGS = {"left_hip": (0.0, 0.0, -0.6), "right_hip": (0.0, 0.0, 0.3)}


@pytest.mark.parametrize("joints", [CHEST, LEGS], ids=["arms through the chest", "a leg through the other"])
def test_no_limb_goes_into_another(joints: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    human = turned(joints)
    assert clip_physics(retarget_by_ik(human, ROBOT), ROBOT).clearance.min() > 0  # m
    monkeypatch.setattr(inverse_kinematics, "Clearance", Unbounded)
    assert clip_physics(retarget_by_ik(human, ROBOT), ROBOT).clearance.min() < -0.02


def test_a_body_that_lies_is_on_the_floor_and_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    physics = clip_physics(retarget_by_ik(lying(), ROBOT), ROBOT)
    assert physics.lowest.min() > -0.001  # m
    assert physics.lowest[-1] < 0.02
    monkeypatch.setattr(inverse_kinematics, "Clearance", Unbounded)
    assert clip_physics(retarget_by_ik(lying(), ROBOT), ROBOT).lowest.min() < -0.02


def test_a_robot_that_begins_inside_itself_comes_out_slowly() -> None:
    model = mujoco.MjModel.from_xml_string(build_mjcf(ROBOT, floor=False))
    inside = ROBOT.default_joint_pos.copy()
    inside[ROBOT.joint_names.index("left_hip_roll_joint")] = -0.4
    configuration = mink.Configuration(model, np.concatenate([[0, 0, 2, 1, 0, 0, 0], inside]))
    clearance = Clearance(ROBOT, model)
    limit = clearance.compute_qp_inequalities(configuration, 0.01)
    assert -0.01 <= limit.h.min() < 0
    clearance.yielding = True
    assert clearance.compute_qp_inequalities(configuration, 0.01).h.min() == 0


def test_rows_tell_how_distances_change() -> None:
    model = mujoco.MjModel.from_xml_string(build_mjcf(ROBOT, floor=False))
    start = np.concatenate([[0, 0, 0.74, 1, 0, 0, 0], ROBOT.default_joint_pos])
    configuration = mink.Configuration(model, start)
    clearance = Clearance(ROBOT, model)
    before = clearance.compute_qp_inequalities(configuration, 0.01)
    step = np.random.default_rng(0).normal(0, 1e-5, model.nv)
    configuration.integrate_inplace(step, 1.0)
    after = clearance.compute_qp_inequalities(configuration, 0.01)
    assert len(before.h) == len(after.h) > 0
    # of heights h is the room itself; it shrinks as much as a step goes towards the floor
    floor = before.G[:, 2] == -1
    assert floor.sum() >= 12  # six ends at each foot
    np.testing.assert_allclose((before.h - after.h)[floor], (before.G @ step)[floor], atol=1e-8)
    # of pairs it is a share of the gap
    assert (~floor).any()
    np.testing.assert_allclose((before.h - after.h)[~floor], APPROACH * (before.G @ step)[~floor], atol=1e-8)


# The geometry


def test_nearest_points_worked_by_hand() -> None:
    x, y, z = np.eye(3)
    cases = [
        (0 * x, x, z, y, 0 * x, z),  # crossing at right angles, one above the other
        (0 * x, x, 3 * x, x, x, 2 * x),  # in line
        (0 * x, x, 2 * z + 3 * y, y, 0 * x, 2 * z + 2 * y),  # an end against a middle
        (0 * x, 0 * x, z, x, 0 * x, z),  # a point
    ]
    centre_1, half_1, centre_2, half_2, point_1, point_2 = (np.array(part) for part in zip(*cases, strict=True))
    found = nearest_points(centre_1, half_1, centre_2, half_2)
    np.testing.assert_allclose(found[0], point_1, atol=1e-6)
    np.testing.assert_allclose(found[1], point_2, atol=1e-6)


def test_nearest_points_are_as_far_apart_as_segments_are() -> None:
    centre_1, half_1, centre_2, half_2 = np.random.default_rng(0).normal(size=(4, 200, 3))
    half_2[:50] = -2 * half_1[:50]  # parallel ones, too
    points = nearest_points(centre_1, half_1, centre_2, half_2)
    segments = [
        torch.from_numpy(np.stack([centre - half, centre + half], axis=1))
        for centre, half in ((centre_1, half_1), (centre_2, half_2))
    ]
    apart = np.linalg.norm(points[0] - points[1], axis=1)
    np.testing.assert_allclose(apart, segment_distance(*segments).numpy(), atol=1e-9)
