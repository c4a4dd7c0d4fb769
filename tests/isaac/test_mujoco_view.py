"""Robots that MuJoCo steps behind PhysX's interface: is it mechanics, and does Isaac Lab's environment live in it?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pxr", reason="needs Isaac Lab: make test-isaaclab")

import torch
from isaaclab.envs.mdp import push_by_setting_velocity
from pxr import PhysxSchema, Usd, UsdGeom, UsdPhysics

import isaac_standin
from deployments import deployment
from g1_vq_retarget.motion import RobotClip
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.robot import build_mjcf, load_robot
from g1_vq_retarget.tasks.gains import gains_of
from g1_vq_retarget.tasks.isaaclab import TRACKING_TASK
from g1_vq_retarget.tasks.mujoco.simulation import MujocoSimulation
from g1_vq_retarget.tasks.sampling import SamplingConfig
from isaac_environments import still, tracking_env
from isaac_standin.assets import write_urdf
from isaac_standin.mujoco_physics import MujocoArticulationView, MujocoSimulationView, mujoco
from isaac_standin.physics import rotate
from isaac_standin.urdf import write_usd
from synthetic import grounded, robot_clip

G = 9.81
G1 = load_robot()
BOX = """<robot name="box"><link name="box">
<inertial><mass value="4"/><inertia ixx="0.03" iyy="0.03" izz="0.03" ixy="0" ixz="0" iyz="0"/></inertial>
<collision><geometry><box size="0.2 0.2 0.2"/></geometry></collision></link></robot>"""
# An arm of 1 kg at 0.5 m on a base that hardly gives way; about its joint 0.25 kg m^2, and 0.01 of its own.
ARM = """<robot name="arm"><link name="base">
<inertial><mass value="1e5"/><inertia ixx="1e5" iyy="1e5" izz="1e5" ixy="0" ixz="0" iyz="0"/></inertial></link>
<link name="arm"><inertial><origin xyz="0.5 0 0"/><mass value="1"/>
<inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial></link>
<joint name="hinge" type="revolute"><parent link="base"/><child link="arm"/><axis xyz="0 1 0"/>
<limit lower="-3" upper="3"/></joint></robot>"""
ARM_INERTIA = 0.26


@pytest.fixture(autouse=True)
def _mujoco() -> None:
    isaac_standin.new_world(MujocoSimulationView)


def spawned(
    folder: Path, urdf: str = "", count: int = 2, dt: float = 2e-3, ground: bool = True, ghost: bool = False
) -> tuple[MujocoSimulationView, MujocoArticulationView]:
    """Robots, by default the G1, on a stage of their own, without gravity and collisions if they are ghosts."""
    path = folder / "robot.urdf"
    path.write_text(urdf) if urdf else write_urdf(path)
    write_usd(path, folder / "robot.usd")
    stage = Usd.Stage.CreateInMemory()
    for number in range(count):
        robot = stage.DefinePrim(f"/World/envs/env_{number}/Robot")
        robot.GetReferences().AddReference(str(folder / "robot.usd"))
        for prim in Usd.PrimRange(robot) if ghost else ():
            if prim.HasAPI(UsdPhysics.RigidBodyAPI):
                PhysxSchema.PhysxRigidBodyAPI.Apply(prim).CreateDisableGravityAttr(True)
            if prim.HasAPI(UsdPhysics.CollisionAPI):
                UsdPhysics.CollisionAPI(prim).CreateCollisionEnabledAttr(False)
    if ground:
        UsdPhysics.CollisionAPI.Apply(UsdGeom.Plane.Define(stage, "/World/ground").GetPrim())
    view = MujocoSimulationView(stage, dt)
    (root,) = {prim.GetName() for prim in stage.Traverse() if prim.HasAPI(UsdPhysics.ArticulationRootAPI)}
    robots = view.create_articulation_view(f"/World/envs/env_*/Robot/{root}")
    assert isinstance(robots, MujocoArticulationView)
    return view, robots


def step(view: MujocoSimulationView, seconds: float) -> None:
    for _ in range(round(seconds / view.dt)):
        view.step()


def place(robots: MujocoArticulationView, height: float = 0.0, velocity: tuple[float, ...] = (0.0,) * 6) -> None:
    every = torch.arange(robots.count)
    robots.set_root_transforms(torch.tensor([0, 0, height, 0, 0, 0, 1.0]).repeat(robots.count, 1), every)
    robots.set_root_velocities(torch.tensor(velocity).repeat(robots.count, 1), every)


def drive(robots: MujocoArticulationView, **values: float) -> None:
    """Write the same value of a property for all joints."""
    for name, value in values.items():
        shape = robots.properties[name].shape
        getattr(robots, f"set_dof_{name}")(torch.full(shape, value), torch.arange(robots.count))


def at_random(robots: MujocoArticulationView) -> None:
    """In the air, askew, bent, turning about, nowhere near a limit."""
    count, joints = robots.q.shape
    every = torch.arange(count)
    quat = torch.nn.functional.normalize(torch.randn(count, 4), dim=-1)
    robots.set_root_transforms(torch.cat([torch.tensor([0.0, 0.0, 2.0]).expand(count, 3), quat], dim=-1), every)
    robots.set_root_velocities(torch.randn(count, 6), every)
    robots.set_dof_positions(0.3 * torch.randn(count, joints), every)
    robots.set_dof_velocities(torch.randn(count, joints), every)
    robots.set_dof_limits(torch.tensor([-100.0, 100.0]).repeat(count, joints, 1), every)
    drive(robots, armatures=0.01)


def mechanics(robots: MujocoArticulationView) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(N, 3) momentum, (N, 3) angular momentum about the origin and (N,) energy, of what the view tells."""
    poses, (linear, angular) = robots.get_link_transforms().double(), robots.get_link_velocities().double().split(3, -1)
    quat, mass = poses[..., 3:], robots.get_masses().double()[..., None]
    centre = poses[..., :3] + rotate(quat, robots.get_coms()[..., :3].double())
    turn = torch.stack([rotate(quat, axis.expand_as(centre)) for axis in torch.eye(3).double()], dim=-1)
    inertia = turn @ robots.get_inertias().double().unflatten(-1, (3, 3)) @ turn.mT
    spin = (inertia @ angular[..., None]).squeeze(-1)
    energy = (mass * linear.square() / 2 + angular * spin / 2).sum((1, 2)) + (mass[..., 0] * G * centre[..., 2]).sum(1)
    energy += (robots.get_dof_armatures() * robots.get_dof_velocities().square()).sum(1) / 2
    return (mass * linear).sum(1), (spin + mass * torch.linalg.cross(centre, linear)).sum(1), energy


def test_what_is_let_go_falls(tmp_path: Path) -> None:
    view, robots = spawned(tmp_path, BOX, ground=False)
    place(robots, 5.0, (1.0, 0.0, 2.0, 0.0, 0.0, 3.0))
    step(view, 0.5)
    expected = torch.tensor([0.5, 0.0, 5.0 + 2.0 * 0.5 - G * 0.5**2 / 2])
    # MuJoCo's velocities lead by a step: g t dt / 2
    torch.testing.assert_close(robots.root[:, :3], expected.expand(2, 3), atol=1.01 * G * 0.5 * view.dt / 2, rtol=0)
    torch.testing.assert_close(robots.velocity[0], torch.tensor([1.0, 0, 2.0 - G * 0.5, 0, 0, 3.0]), atol=1e-4, rtol=0)
    turned = 2 * torch.atan2(robots.root[0, 5], robots.root[0, 6])
    assert float(turned) == pytest.approx(1.5, abs=1e-4)


def test_what_nothing_pulls_and_nothing_touches_stays(tmp_path: Path) -> None:
    view, robots = spawned(tmp_path, ghost=True)
    place(robots, 0.5)  # up to the knees in the ground
    step(view, 0.2)
    assert (robots.root[:, 2] - 0.5).abs().max() < 1e-6


def test_the_ground_carries_a_box_with_its_weight(tmp_path: Path) -> None:
    view, robots = spawned(tmp_path, BOX)
    contact = view.create_rigid_contact_view("/World/envs/env_*/Robot/box")
    place(robots, 0.11)
    view.step()
    assert not contact.get_net_contact_forces(view.dt).any()  # it is in the air yet
    step(view, 1.0)
    expected = torch.tensor([0.0, 0.0, 4.0 * G]).expand(2, 3)
    torch.testing.assert_close(contact.get_net_contact_forces(view.dt), expected, atol=0.01, rtol=0)
    assert (robots.root[:, 2] - 0.1).abs().max() < 1e-3
    assert robots.velocity.abs().max() < 1e-4
    robots.set_masses(2 * robots.get_masses(), torch.tensor([1]))
    step(view, 1.0)
    assert contact.get_net_contact_forces(view.dt)[:, 2].tolist() == pytest.approx([4.0 * G, 8.0 * G], abs=0.02)
    with pytest.raises(NotImplementedError, match="contacts of"):
        view.create_rigid_contact_view("/World/envs/env_*/Robot/box", ["/World/ground"])


def test_what_slides_is_braked_by_friction(tmp_path: Path) -> None:
    view, robots = spawned(tmp_path, BOX)
    materials = robots.get_material_properties()
    materials[..., 1] = torch.tensor([[0.2], [0.5]])
    robots.set_material_properties(materials, torch.arange(2))
    place(robots, 0.1)
    step(view, 0.5)
    place(robots, float(robots.root[0, 2]), (2.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    step(view, 0.3)
    # so much of what the ground gave upwards, which is against the weight and, where it hops a little, more
    given = G * 0.3 + robots.velocity[:, 2]
    torch.testing.assert_close(2.0 - robots.velocity[:, 0], torch.tensor([0.2, 0.5]) * given, atol=0, rtol=1e-3)


def test_a_drive_is_a_spring_and_a_damper_on_joint_and_motor(tmp_path: Path) -> None:
    """Stiffness 20 and damping 2 on 0.26 + 0.24 kg m^2: a damped oscillation by the book, settling on its target."""
    view, robots = spawned(tmp_path, ARM, ground=False, ghost=True)
    drive(robots, stiffnesses=20.0, dampings=2.0, armatures=0.24)
    robots.set_dof_position_targets(torch.full((2, 1), 0.4), torch.arange(2))
    decay, rate = 2.0 / (2 * 0.5), math.sqrt(20.0 / 0.5 - (2.0 / (2 * 0.5)) ** 2)
    for time in (0.25, 0.5, 0.75):
        step(view, 0.25)
        wave = math.cos(rate * time) + decay / rate * math.sin(rate * time)
        assert float(robots.q[0]) == pytest.approx(0.4 * (1 - math.exp(-decay * time) * wave), abs=5e-3)
    step(view, 2.5)
    torch.testing.assert_close(robots.q, torch.full((2, 1), 0.4), atol=1e-3, rtol=0)


def test_a_drive_gives_no_more_than_its_limit_and_follows_speeds(tmp_path: Path) -> None:
    view, robots = spawned(tmp_path, ARM, ground=False, ghost=True)
    drive(robots, stiffnesses=1e4, max_forces=0.52)
    robots.set_dof_position_targets(torch.full((2, 1), 1.0), torch.arange(2))
    step(view, 0.5)
    assert float(robots.qd[0]) == pytest.approx(0.52 / ARM_INERTIA * 0.5, rel=1e-3)
    # a force of one's own comes on top
    robots.set_dof_actuation_forces(torch.full((2, 1), -0.52), torch.arange(2))
    step(view, 0.1)
    assert float(robots.qd[0]) == pytest.approx(0.52 / ARM_INERTIA * 0.5, rel=1e-3)
    robots.set_dof_actuation_forces(torch.zeros(2, 1), torch.arange(2))
    drive(robots, stiffnesses=0.0, dampings=10.0, max_forces=1e9)
    robots.set_dof_velocity_targets(torch.tensor([[-0.5], [0.25]]), torch.arange(2))
    step(view, 1.0)
    torch.testing.assert_close(robots.qd, torch.tensor([[-0.5], [0.25]]), atol=1e-4, rtol=0)


def test_joints_stop_at_their_limits(tmp_path: Path) -> None:
    view, robots = spawned(tmp_path, ARM, ground=False, ghost=True)
    robots.set_dof_limits(torch.tensor([[[-1.0, 0.2]], [[-1.0, 0.5]]]), torch.arange(2))
    robots.set_dof_velocities(torch.ones(2, 1), torch.arange(2))
    step(view, 0.4)
    assert float(robots.q[0]) < 0.21
    assert float(robots.q[1]) == pytest.approx(0.4, abs=1e-3)


def test_nothing_from_within_moves_the_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    view, robots = spawned(tmp_path, ground=False)
    at_random(robots)
    view.set_gravity((0.0, 0.0, 0.0))
    drive(robots, stiffnesses=20.0, dampings=1.0)
    before, speeds = mechanics(robots), robots.get_dof_velocities()
    step(view, 0.5)
    after = mechanics(robots)
    assert (robots.get_dof_velocities() - speeds).abs().mean() > 0.3  # they did move
    torch.testing.assert_close(after[0], before[0], atol=0.02 * 33, rtol=0)
    torch.testing.assert_close(after[1], before[1], atol=0.3, rtol=0)


def test_what_only_falls_keeps_its_energy(tmp_path: Path) -> None:
    torch.manual_seed(0)
    view, robots = spawned(tmp_path, ground=False)
    at_random(robots)
    momentum, _, energy = mechanics(robots)
    step(view, 0.3)
    after, _, kept = mechanics(robots)
    mass = robots.masses.sum(1)[:, None]
    torch.testing.assert_close(
        (after - momentum) / mass, torch.tensor([0, 0, -G * 0.3]).double().expand(2, 3), atol=0.02, rtol=0
    )
    assert ((kept - energy) / energy).abs().max() < 0.01


def test_what_is_read_is_where_mujoco_has_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    view, robots = spawned(tmp_path)
    at_random(robots)
    coms = robots.get_coms()
    coms[1, 3, :3] += 0.05
    robots.set_coms(coms, torch.tensor([1]))
    step(view, 0.1)
    poses, velocities, measured = robots.get_link_transforms(), robots.get_link_velocities(), np.zeros(6)
    for row, data in robots.data.items():
        mujoco.mj_forward(data.model, data)
        for number, link in enumerate(robots.links):
            body = data.body(link)
            np.testing.assert_allclose(poses[row, number, :3], body.xpos, atol=1e-5)
            assert abs(float(poses[row, number, [6, 3, 4, 5]].double() @ torch.tensor(body.xquat))) > 1 - 1e-6
            mujoco.mj_objectVelocity(data.model, data, mujoco.mjtObj.mjOBJ_BODY, body.id, measured, 0)
            np.testing.assert_allclose(velocities[row, number], [*measured[3:], *measured[:3]], atol=2e-5)


def test_a_robot_written_to_starts_from_there_and_the_others_go_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    view, robots = spawned(tmp_path, count=3)
    at_random(robots)
    for values in (robots.root, robots.velocity, robots.q, robots.qd):
        values[:] = values[:1].clone()  # all the same
    start = [values.clone() for values in (robots.root, robots.velocity, robots.q, robots.qd)]
    step(view, 0.2)
    once = torch.cat([robots.root, robots.q, robots.velocity, robots.qd], dim=1)
    assert torch.equal(once[0], once[1])
    write = (
        robots.set_root_transforms,
        robots.set_root_velocities,
        robots.set_dof_positions,
        robots.set_dof_velocities,
    )
    for setter, values in zip(write, start, strict=True):
        setter(values, torch.tensor([1]))
    step(view, 0.2)
    again = torch.cat([robots.root, robots.q, robots.velocity, robots.qd], dim=1)
    assert torch.equal(again[1], once[1])
    assert torch.equal(again[0], again[2])
    assert not torch.allclose(again[0], once[0], atol=1e-2)


# in the environment


def standing(folder: Path) -> Path:
    """A clip of the G1 in its default pose on the ground."""
    clip = robot_clip(200, fps=50.0, name="stand")
    pose = np.tile(G1.default_joint_pos, (len(clip), 1))
    upright = np.tile((1.0, 0.0, 0.0, 0.0), (len(clip), 1))
    still_clip: RobotClip = replace(
        clip, joint_pos=pose, root_quat_w=upright, root_pos_w=np.tile((0.0, 0.0, 0.8), (len(clip), 1))
    )
    save_motion(grounded(still_clip), folder / "stand.npz")
    return folder / "stand.npz"


def gains(stiffness: float, damping: float) -> Callable[[Any], None]:
    """The task with other gains, robots beginning exactly where the motion begins, undisturbed."""

    def change(cfg: Any) -> None:
        still(cfg)
        cfg.commands.motion.sampling = SamplingConfig(mode="start")
        body = cfg.scene.robot.actuators["body"]
        # of the G1's own motors some are so light that a foot this stiff trembles
        body.stiffness, body.damping, body.armature = stiffness, damping, 0.02

    return change


def nothing_ends(cfg: Any) -> None:
    """Whatever robots do."""
    for name in ("anchor_pos", "anchor_ori", "ee_body_pos"):
        setattr(cfg.terminations, name, None)


def test_a_robot_that_holds_its_joints_stands_on_its_feet(tmp_path: Path) -> None:
    env = tracking_env(TRACKING_TASK, standing(tmp_path), num_envs=2, change=gains(500.0, 20.0))
    env.reset()
    for _ in range(100):
        _, _, terminated, _, _ = env.step(torch.zeros(2, 29))
        assert not terminated.any()
    sensor, robot = env.scene.sensors["contact_forces"], env.scene["robot"]
    force, weight = sensor.data.net_forces_w, robot.root_physx_view.get_masses().sum(1) * G
    torch.testing.assert_close(force[..., 2].sum(1), weight, atol=0, rtol=0.01)
    feet, _ = sensor.find_bodies(list(G1.feet))
    torch.testing.assert_close(force[:, feet].sum(1), force.sum(1))
    assert (force[:, feet, 2] > 0.2 * weight[:, None]).all()
    off = robot.data.root_link_pos_w - env.scene.env_origins
    assert off[:, :2].abs().max() < 0.05
    number = env.reward_manager.active_terms.index("undesired_contacts")
    assert not env.reward_manager._step_reward[:, number].any()
    env.close()


def test_a_robot_that_holds_nothing_falls_and_its_episode_ends(tmp_path: Path) -> None:
    env = tracking_env(TRACKING_TASK, standing(tmp_path), num_envs=2, change=gains(0.0, 0.5))
    env.reset()
    robot, height, terminated = env.scene["robot"], list[float](), torch.zeros(2)
    while not terminated.any() and len(height) < 50:
        height.append(float(robot.data.root_link_pos_w[0, 2]))
        _, _, terminated, _, _ = env.step(torch.zeros(2, 29))
    assert 10 < len(height) < 40
    assert height == sorted(height, reverse=True)
    assert height[-1] < height[0] - 0.1
    assert env.episode_length_buf[terminated].eq(0).all()  # and it begins again, upright
    assert float(robot.data.root_link_pos_w[terminated, 2].min()) == pytest.approx(height[0], abs=1e-3)
    env.close()


def test_who_lies_touches_the_ground_with_more_than_feet(tmp_path: Path) -> None:
    def change(cfg: Any) -> None:
        gains(0.0, 0.5)(cfg)
        nothing_ends(cfg)

    env = tracking_env(TRACKING_TASK, standing(tmp_path), num_envs=1, change=change)
    env.reset()
    robot, sensor, force = env.scene["robot"], env.scene.sensors["contact_forces"], list[torch.Tensor]()
    for number in range(150):
        env.step(torch.zeros(1, 29))
        if number >= 120:
            force.append(sensor.data.net_forces_w[0, :, 2])
    number = env.reward_manager.active_terms.index("undesired_contacts")
    assert float(env.reward_manager._step_reward[0, number]) < 0
    assert float(robot.data.root_link_pos_w[0, 2]) < 0.4
    assert (robot.data.body_link_pos_w[..., 2] > 0.0).all()  # nothing sinks in
    weight = float(robot.root_physx_view.get_masses().sum()) * G
    assert float(torch.stack(force).sum(1).mean()) == pytest.approx(weight, rel=0.1)
    env.close()


def test_a_push_is_what_was_written_and_moves_the_robot(tmp_path: Path) -> None:
    env = tracking_env(TRACKING_TASK, standing(tmp_path), num_envs=2, change=gains(500.0, 20.0))
    env.reset()
    for _ in range(50):
        env.step(torch.zeros(2, 29))
    robot = env.scene["robot"]
    before, velocity = robot.data.root_link_pos_w.clone(), robot.data.root_com_vel_w.clone()
    push_by_setting_velocity(env, torch.tensor([1]), {"x": (0.5, 0.5), "yaw": (-1.0, -1.0)})
    got = robot.root_physx_view.get_root_velocities() - velocity
    pushed = torch.tensor([0.5, 0.0, 0.0, 0.0, 0.0, -1.0])
    torch.testing.assert_close(got, torch.stack([0 * pushed, pushed]), atol=1e-6, rtol=0)
    for _ in range(5):
        env.step(torch.zeros(2, 29))
    left, moved = (robot.data.root_link_pos_w - before)[:, 0].tolist()
    assert abs(left) < 0.002
    assert 0.005 < moved < 0.05  # 0.05 m were it free, but feet hold
    env.close()


def test_two_hundred_steps_of_the_task_as_it_is_are_finite(motion: Path) -> None:
    """With all that is randomised, and pushes; who does nothing does not follow, and falls."""
    env = tracking_env(TRACKING_TASK, motion, num_envs=2)
    env.reset()
    sensor, failures, heaviest = env.scene.sensors["contact_forces"], 0, 0.0
    for _ in range(200):
        seen, reward, terminated, _, _ = env.step(torch.zeros(2, 29))
        failures += int(terminated.sum())
        heaviest = max(heaviest, float(sensor.data.net_forces_w.norm(dim=-1).max()))
        assert all(torch.isfinite(part).all() for part in (*seen.values(), reward))
    assert failures > 0
    assert heaviest > 50.0
    env.close()


def test_the_environment_moves_the_robot_as_the_package_does_in_plain_mujoco(tmp_path: Path) -> None:
    """A second of random actions from the same frame, standing and falling, and what the policy sees meanwhile."""

    def change(cfg: Any) -> None:
        still(cfg)
        nothing_ends(cfg)
        cfg.events.physics_material = None
        cfg.observations.policy.enable_corruption = False

    urdf = write_urdf(tmp_path / "g1.urdf")
    env = tracking_env(TRACKING_TASK, standing(tmp_path), num_envs=2, urdf=urdf, change=change)
    env.reset()
    command, robot = env.command_manager.get_term("motion"), env.scene["robot"]
    told = deployment()
    controls = [
        replace(
            control,
            default_pos=joint.default,
            action_scale=gains_of(joint.motor).action_scale,
            stiffness=gains_of(joint.motor).stiffness,
            damping=gains_of(joint.motor).damping,
            effort_limit=joint.motor.effort,
        )
        for control, joint in zip(told.joints, G1.joints, strict=True)
    ]
    (tmp_path / "g1.xml").write_text(with_sensors(build_mjcf(G1)))
    reference = MujocoSimulation(tmp_path / "g1.xml", replace(told, joints=controls), command.library)
    reference.model.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    reference.model.opt.cone = mujoco.mjtCone.mjCONE_ELLIPTIC

    clip, frame = torch.tensor([0]), torch.tensor([10])
    command.start_at(torch.tensor([1]), clip, frame)
    reference.begin(clip, frame)
    torch.manual_seed(0)
    joints = [robot.joint_names.index(name) for name in G1.joint_names]
    bodies = [robot.body_names.index(name) for name in command.library.body_names]
    touched = 0
    for _ in range(50):
        action = torch.randn(2, 29)
        seen, _, _, _, _ = env.step(action)
        observed, state = reference.step(action[1:])
        here = robot.data.body_link_pos_w[1, bodies] - env.scene.env_origins[1]
        torch.testing.assert_close(here, state.body_pos_w[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(robot.data.joint_pos[1:, joints], state.joint_pos, atol=1e-5, rtol=0)
        torch.testing.assert_close(seen["policy"][1:], observed, atol=1e-4, rtol=1e-4)
        touched += bool(env.scene.sensors["contact_forces"].data.net_forces_w[1].any())
    assert touched > 25
    env.close()


def with_sensors(mjcf: str) -> str:
    """The IMU that a deployment of mjlab's is shown."""
    sensors = '<sensor><gyro name="imu_ang_vel" site="imu"/><velocimeter name="imu_lin_vel" site="imu"/></sensor>'
    return mjcf.replace('<freejoint name="root" />', '<freejoint name="root" /><site name="imu"/>').replace(
        "</mujoco>", f"{sensors}</mujoco>"
    )
