"""The generated MuJoCo model must be the robot of the link table."""

from __future__ import annotations

import numpy as np
import pytest

from g1_vq_retarget.robot import build_mjcf, load_robot

mujoco = pytest.importorskip("mujoco")

ROBOT = load_robot()


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(build_mjcf(ROBOT))


def test_generalised_positions_are_the_root_and_then_the_joints_by_name(model) -> None:
    assert model.nq == 7 + len(ROBOT.joints)
    assert model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE
    assert [model.joint(name).qposadr.item() for name in ROBOT.joint_names] == list(range(7, model.nq))


def test_actuators_stand_in_joint_order_with_the_motors_effort(model) -> None:
    assert [model.actuator(i).name for i in range(model.nu)] == list(ROBOT.joint_names)
    assert np.array_equal(model.actuator_ctrlrange[:, 1], [joint.motor.effort for joint in ROBOT.joints])


def test_armature_reaches_the_compiled_model(model) -> None:
    assert (model.dof_armature[:6] == 0).all()
    np.testing.assert_allclose(model.dof_armature[6:], [joint.motor.armature for joint in ROBOT.joints], rtol=1e-9)


def test_the_keyframe_is_the_default_pose(model) -> None:
    pose = model.key("default").qpos
    np.testing.assert_allclose(pose, [0, 0, ROBOT.default_root_height, 1, 0, 0, 0, *ROBOT.default_joint_pos])


def test_feet_and_hands_are_marked_by_sites(model) -> None:
    assert {model.site(i).name for i in range(model.nsite)} == {*ROBOT.feet, *ROBOT.hands}


def test_the_robot_touches_the_floor_and_not_itself(model) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    data.qpos[2] = 0.2  # deep in the floor
    mujoco.mj_forward(model, data)
    floor = model.geom("floor").id
    assert data.ncon > 0
    assert all(floor in contact.geom for contact in data.contact)


def test_in_the_default_pose_the_feet_stand_near_the_floor(model) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_kinematics(model, data)
    lowest = []
    for geom in range(model.ngeom):
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE:
            radius, half_length, _ = model.geom_size[geom]
            axis_z = data.geom_xmat[geom].reshape(3, 3)[2, 2]
            lowest.append(data.geom_xpos[geom, 2] - half_length * abs(axis_z) - radius)
    assert -0.01 < min(lowest) < 0.03


def test_without_a_floor_nothing_but_the_robot_is_there() -> None:
    model = mujoco.MjModel.from_xml_string(build_mjcf(ROBOT, floor=False))
    assert model.ngeom == sum(len(link.capsules) for link in ROBOT.links)


@pytest.mark.parametrize("name", ROBOT.link_names)
def test_links_weigh_what_the_published_robot_weighs(model, published_g1, name: str) -> None:
    ours, theirs = model.body(name), published_g1.body(name)
    for quantity in ("mass", "ipos", "iquat", "inertia"):
        np.testing.assert_allclose(getattr(ours, quantity), getattr(theirs, quantity), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ROBOT.joint_names)
def test_joints_turn_as_the_published_robots_do(model, published_g1, name: str) -> None:
    ours, theirs = model.joint(name), published_g1.joint(name)
    for quantity in ("axis", "range", "pos"):
        np.testing.assert_allclose(getattr(ours, quantity), getattr(theirs, quantity), atol=1e-6)
