"""The stand-ins themselves: do they behave as what is assumed of Kit and PhysX?"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pxr", reason="needs Isaac Lab: make test-isaaclab")

import torch
from pxr import PhysxSchema, Usd, UsdPhysics

from g1_vq_retarget.robot import forward_kinematics, load_robot
from isaac_standin import kit, physx_schema
from isaac_standin.assets import write_urdf
from isaac_standin.physics import ArticulationView, SimulationView, multiply, rotate
from isaac_standin.urdf import write_usd

N = 3


def view_of(path: Path, hands: bool = False, without: str = "") -> ArticulationView:
    """Robots of a URDF on a stage of their own."""
    write_usd(write_urdf(path / "g1.urdf", hands=hands, without=without), path / "g1.usd")
    stage = Usd.Stage.CreateInMemory()
    for number in range(N):
        robot = stage.DefinePrim(f"/World/envs/env_{number}/Robot")
        robot.GetReferences().AddReference(str(path / "g1.usd"))
    return SimulationView(stage, 0.01).create_articulation_view("/World/envs/env_*/Robot/pelvis")


def test_joints_and_links_are_breadth_first_as_physx_has_them(tmp_path: Path) -> None:
    view, robot = view_of(tmp_path), load_robot()
    assert view.shared_metatype.dof_names == list(robot.joint_names_isaac)
    assert view.shared_metatype.link_names == list(robot.link_names_isaac)
    (tmp_path / "hands").mkdir()
    hands = view_of(tmp_path / "hands", hands=True)
    assert (len(hands.dofs), len(hands.links)) == (43, 44)
    assert hands.dofs[:29] == list(robot.joint_names_isaac)


def test_fixed_joints_are_merged(tmp_path: Path) -> None:
    view = view_of(tmp_path, without="left_wrist_yaw_joint")
    assert len(view.dofs) == 28
    assert "left_wrist_yaw_link" not in view.links


def test_links_are_where_forward_kinematics_puts_them(tmp_path: Path) -> None:
    view, robot = view_of(tmp_path), load_robot()
    lower, upper = torch.from_numpy(robot.limits).float().unbind(-1)
    joints = lower + (upper - lower) * torch.rand(N, 29)
    quat = torch.nn.functional.normalize(torch.randn(N, 4), dim=-1)  # w x y z
    root = torch.randn(N, 3)
    order = [robot.joint_names.index(name) for name in view.dofs]
    view.set_dof_positions(joints[:, order], torch.arange(N))
    view.set_root_transforms(torch.cat([root, quat[:, 1:], quat[:, :1]], dim=-1), torch.arange(N))
    poses = forward_kinematics(robot, joints.double(), root.double(), quat.double())
    links = [view.links.index(name) for name in robot.link_names]
    got = view.get_link_transforms()[:, links]
    torch.testing.assert_close(got[..., :3], poses.pos.float(), atol=1e-5, rtol=0)
    limits = view.properties["limits"][0]
    torch.testing.assert_close(limits, torch.from_numpy(robot.limits).float()[order])


def test_velocities_are_those_of_centres_of_mass(tmp_path: Path) -> None:
    view = view_of(tmp_path)
    every, dt = torch.arange(N), 1e-3
    view.set_dof_positions(0.3 * torch.randn(N, 29), every)
    view.set_dof_velocities(torch.randn(N, 29), every)
    spin = torch.randn(N, 3)
    view.set_root_velocities(torch.cat([torch.randn(N, 3), spin], dim=-1), every)

    def centres() -> torch.Tensor:
        poses = view.get_link_transforms()
        return poses[..., :3] + rotate(poses[..., 3:], view.coms[..., :3])

    def moved(step: float) -> torch.Tensor:
        """Where the centres are after a time, the root's centre going straight and turning."""
        q, root = view.q.clone(), view.root.clone()
        half = spin * step / 2
        turn = torch.cat([half, torch.ones(N, 1)], dim=-1)
        turn = multiply(turn / turn.norm(dim=-1, keepdim=True), root[:, 3:])
        com = view.coms[:, 0, :3]
        centre = root[:, :3] + rotate(root[:, 3:], com) + view.velocity[:, :3] * step
        view.set_root_transforms(torch.cat([centre - rotate(turn, com), turn], dim=-1), every)
        view.set_dof_positions(q + view.qd * step, every)
        at = centres()
        view.set_root_transforms(root, every)
        view.set_dof_positions(q, every)
        return at

    expected = (moved(dt).double() - moved(-dt).double()) / (2 * dt)
    torch.testing.assert_close(view.get_link_velocities()[..., :3].double(), expected, atol=5e-3, rtol=5e-3)
    torch.testing.assert_close(view.get_link_velocities()[:, 0], view.velocity)


def test_a_step_goes_towards_targets_that_are_driven(tmp_path: Path) -> None:
    view = view_of(tmp_path)
    target, every = torch.zeros(N, 29), torch.arange(N)
    target[:, 3] = 0.2
    view.set_dof_position_targets(target, every)
    view.step(0.01)
    assert not view.q.any()  # nothing is driven yet
    view.set_dof_stiffnesses(torch.ones(N, 29), every)
    for _ in range(100):
        view.step(0.01)
    torch.testing.assert_close(view.q, target, atol=1e-4, rtol=0)
    view.set_dof_position_targets(target + 100.0, torch.tensor([1]))
    for _ in range(100):
        view.step(0.01)
    torch.testing.assert_close(view.q[1], view.properties["limits"][1, :, 1])
    torch.testing.assert_close(view.q[0], target[0], atol=1e-4, rtol=0)  # of others nothing was said


def test_schemas_that_usd_does_not_know_are_kept_on_prims() -> None:
    stage = Usd.Stage.CreateInMemory()
    prim = stage.DefinePrim("/body")
    assert not prim.HasAPI(PhysxSchema.PhysxRigidBodyAPI)
    api = PhysxSchema.PhysxRigidBodyAPI.Apply(prim)
    UsdPhysics.RigidBodyAPI.Apply(prim)
    api.CreateLinearDampingAttr(0.5)
    assert prim.HasAPI(PhysxSchema.PhysxRigidBodyAPI)
    assert prim.HasAPI(UsdPhysics.RigidBodyAPI)
    assert PhysxSchema.PhysxRigidBodyAPI(prim).GetLinearDampingAttr().Get() == 0.5
    assert set(physx_schema.applied(prim)) == {"PhysxRigidBodyAPI", "PhysicsRigidBodyAPI"}


def test_events_reach_who_subscribed_lowest_order_first() -> None:
    stream, heard = kit.Stream(), list[str]()
    late = stream.create_subscription_to_pop(lambda _: heard.append("late"), order=5)
    stream.create_subscription_to_pop_by_type(kit.TimelineEventType.STOP, lambda _: heard.append("stop"), order=1)
    stream.create_subscription_to_pop_by_type(kit.TimelineEventType.PLAY, lambda _: heard.append("play"), order=1)
    stream.fire(kit.TimelineEventType.PLAY)
    late.unsubscribe()
    stream.fire(kit.TimelineEventType.STOP)
    assert heard == ["play", "late", "stop"]
