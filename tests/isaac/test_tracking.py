"""Tracking in Isaac Lab: what robots are shown and told, beside the clips and the shared mathematics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pxr", reason="needs Isaac Lab: make test-isaaclab")

import torch
from isaaclab.utils import modifiers
from isaaclab.utils.modifiers import ModifierCfg
from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.tasks.gains import gains_of
from g1_vq_retarget.tasks.isaaclab import TRACKING_TASK, mdp
from g1_vq_retarget.tasks.isaaclab.export import export_policy
from g1_vq_retarget.tasks.isaaclab.robot import g1_cfg, ghost_cfg
from g1_vq_retarget.tasks.mdp import BEYONDMIMIC, observations, relative_body_poses, rewards, terminations
from isaac_environments import still, tracking_env
from isaac_standin.assets import write_urdf


@pytest.fixture
def env(motion: Path) -> Any:
    env = tracking_env(TRACKING_TASK, motion, num_envs=6, change=still)
    env.reset()
    yield env
    env.close()


@pytest.fixture
def command(env: Any) -> Any:
    return env.command_manager.get_term("motion")


def everywhere(command: Any) -> None:
    """Put every robot on a frame of its own, in all clips."""
    clip = torch.arange(6) % len(command.library)
    command.start_at(torch.arange(6), clip, 3 + 4 * torch.arange(6))


def held(env: Any, command: Any) -> torch.Tensor:
    """Actions that leave joints where they are."""
    action = env.action_manager.get_term("joint_pos")
    return (env.scene["robot"].data.joint_pos[:, command.joint_ids] - action._offset) / action._scale


def test_bodies_are_where_the_clips_have_them_and_move_as_there(env: Any, command: Any) -> None:
    everywhere(command)
    library, robot = command.library, env.scene["robot"]
    assert library.names == ("slow", "turn", "walk")
    assert library.source_fps == (25.0, 50.0, 50.0)
    frames = library.at(command.cursor.clip, command.cursor.frame - 1)  # the next is the one to be reached
    bodies = [robot.body_names.index(name) for name in library.body_names]
    origins = env.scene.env_origins[:, None]
    assert (robot.data.body_link_pos_w[:, bodies] - origins - frames.body_pos_w).norm(dim=-1).max() < 1e-3
    turns = (robot.data.body_link_quat_w[:, bodies] * frames.body_quat_w).sum(-1).abs()
    assert turns.min() > 1 - 1e-5
    # velocities of the clip are differences, those of the robot follow from its joints'
    root = library.root
    velocity = robot.data.body_link_lin_vel_w[:, bodies], robot.data.body_link_ang_vel_w[:, bodies]
    torch.testing.assert_close(velocity[0][:, root], frames.body_lin_vel_w[:, root], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(velocity[1][:, root], frames.body_ang_vel_w[:, root], atol=1e-4, rtol=1e-4)
    assert (velocity[0] - frames.body_lin_vel_w).norm(dim=-1).max() < 0.1
    joints = [robot.joint_names.index(name) for name in load_robot().joint_names]
    torch.testing.assert_close(robot.data.joint_pos[:, joints], frames.joint_pos, atol=1e-6, rtol=0)
    assert joints != sorted(joints)  # the simulator has another order


def test_terms_are_those_of_the_shared_mathematics(env: Any, command: Any) -> None:
    everywhere(command)
    robot = env.scene["robot"]
    # off the motion, each in its way
    state = torch.cat([robot.data.root_link_pose_w, robot.data.root_com_vel_w], dim=-1)
    state[:, :3] += 0.1 * torch.randn(6, 3)
    robot.write_root_link_state_to_sim(state + 0.0)
    joints = robot.data.joint_pos + 0.1 * torch.randn_like(robot.data.joint_pos)
    robot.write_joint_state_to_sim(joints, 0.5 * torch.randn_like(joints))
    env.action_manager.process_action(torch.randn(6, 29))
    command._relate()

    library, data = command.library, robot.data
    frames = library.at(command.cursor.clip, command.cursor.frame)
    ids = [robot.body_names.index(name) for name in library.body_names]
    anchor, at = robot.body_names.index("torso_link"), library.body_names.index("torso_link")
    pos, quat = frames.body_pos_w + env.scene.env_origins[:, None], frames.body_quat_w
    here = data.body_link_pos_w[:, anchor], data.body_link_quat_w[:, anchor]
    relative = relative_body_poses(pos, quat, pos[:, at], quat[:, at], *here)
    names = load_robot().joint_names
    mine = [robot.joint_names.index(name) for name in names]
    expected = {
        "motion_global_anchor_pos": rewards.motion_global_anchor_position_error_exp(pos[:, at], here[0], 0.3),
        "motion_global_anchor_ori": rewards.motion_global_anchor_orientation_error_exp(quat[:, at], here[1], 0.4),
        "motion_body_pos": rewards.motion_relative_body_position_error_exp(
            relative.pos_w, data.body_link_pos_w[:, ids], 0.3
        ),
        "motion_body_ori": rewards.motion_relative_body_orientation_error_exp(
            relative.quat_w, data.body_link_quat_w[:, ids], 0.4
        ),
        "motion_body_lin_vel": rewards.motion_global_body_linear_velocity_error_exp(
            frames.body_lin_vel_w, data.body_link_lin_vel_w[:, ids], 1.0
        ),
        "motion_body_ang_vel": rewards.motion_global_body_angular_velocity_error_exp(
            frames.body_ang_vel_w, data.body_link_ang_vel_w[:, ids], 3.14
        ),
        "action_rate_l2": env.action_manager.action.square().sum(-1),  # the one before was zero
        "joint_limit": rewards.joint_pos_limits(data.joint_pos[:, mine], data.soft_joint_pos_limits[:, mine]),
        "undesired_contacts": torch.zeros(6),
    }
    env.reward_manager.compute(dt=1.0)
    assert env.reward_manager.active_terms == list(expected) == list(BEYONDMIMIC.rewards)
    for number, (name, value) in enumerate(expected.items()):
        got = env.reward_manager._step_reward[:, number]
        torch.testing.assert_close(got, BEYONDMIMIC.rewards[name].weight * value, atol=1e-5, rtol=1e-5)
        assert name == "undesired_contacts" or value.std() > 1e-3
    ends = [library.body_names.index(name) for name in (*load_robot().feet, *load_robot().hands)]
    failed = {
        "anchor_pos": terminations.bad_anchor_pos_z_only(pos[:, at], here[0], 0.25),
        "anchor_ori": terminations.bad_anchor_ori(quat[:, at], here[1], 0.8),
        "ee_body_pos": terminations.bad_motion_body_pos_z_only(
            relative.pos_w[:, ends], data.body_link_pos_w[:, ids][:, ends], 0.25
        ),
    }
    env.termination_manager.compute()
    for name, value in failed.items():
        assert torch.equal(env.termination_manager.get_term(name), value)
    seen = env.observation_manager.compute_group("critic")
    root = data.root_link_quat_w
    parts = [
        observations.command(frames.joint_pos, frames.joint_vel),
        observations.motion_anchor_pos_b(*here, pos[:, at]),
        observations.motion_anchor_ori_b(here[1], quat[:, at]),
        observations.robot_body_pos_b(*here, data.body_link_pos_w[:, ids]),
        observations.robot_body_ori_b(here[1], data.body_link_quat_w[:, ids]),
        observations.base_lin_vel(root, data.root_link_lin_vel_w),
        observations.base_ang_vel(root, data.root_link_ang_vel_w),
        observations.joint_pos_rel(data.joint_pos[:, mine], torch.tensor(load_robot().default_joint_pos).float()),
        data.joint_vel[:, mine],
        env.action_manager.action,
    ]
    torch.testing.assert_close(seen, torch.cat(parts, dim=-1), atol=1e-5, rtol=1e-5)


def test_touched_bodies_cost_but_feet_and_hands(env: Any) -> None:
    sensor, robot = env.scene.sensors["contact_forces"], load_robot()
    number = env.reward_manager.active_terms.index("undesired_contacts")
    for body, cost in ((robot.feet[0], 0.0), (robot.hands[1], 0.0), ("left_hand_thumb_2_link", 0.0), ("pelvis", -0.1)):
        force = sensor.contact_physx_view.force
        force.zero_()
        force.view(env.num_envs, -1, 3)[:, sensor.body_names.index(body), 2] = 2.0
        env.step(torch.zeros(6, 29))
        assert torch.allclose(env.reward_manager._step_reward[:, number], torch.tensor(cost)), body


def test_whoever_begins_is_on_a_frame_and_follows_the_next(env: Any, command: Any) -> None:
    """By a reset, by a failure, at a clip's end and when it is time to; whoever goes on is a frame further."""
    robot, library, cursor = env.scene["robot"], command.library, command.cursor
    root, joints = robot.body_names.index("pelvis"), command.joint_ids

    def begun(who: list[int]) -> None:
        frames = library.at(cursor.clip[who], cursor.frame[who] - 1)
        pelvis = robot.data.body_link_pos_w[who, root] - env.scene.env_origins[who]
        torch.testing.assert_close(pelvis, frames.body_pos_w[:, library.root], atol=1e-5, rtol=0)
        torch.testing.assert_close(robot.data.joint_vel[who][:, joints], frames.joint_vel, atol=1e-5, rtol=0)

    begun(list(range(6)))
    seen = set()
    for _ in range(8):
        env.reset()
        clip, last = torch.tensor([2, 1, 1, 2, 0, 0]), library.length - 1
        command.start_at(torch.arange(6), clip, torch.tensor([5, int(last[1]) - 1, 7, 8, int(last[0]) - 1, 9]))
        begun(list(range(6)))
        assert cursor.frame.tolist() == [6, int(last[1]), 8, 9, int(last[0]), 10]
        state = robot.data.root_link_pose_w[:1].clone()
        state[:, 2] += 1.0
        robot.write_root_link_pose_to_sim(state, torch.tensor([0]))
        command.time_left[2] = 0.0
        age = env.episode_length_buf.clone()
        _, _, terminated, over, _ = env.step(held(env, command))
        assert terminated.tolist() == [True, *[False] * 5]
        assert not over.any()
        assert env.episode_length_buf[1:].tolist() == (age[1:] + 1).tolist()  # no episode ends at a clip's end
        begun([0, 1, 2, 4])
        assert cursor.clip[[3, 5]].tolist() == [2, 0]
        assert cursor.frame[[3, 5]].tolist() == [10, 11]
        seen |= set(cursor.clip[[1, 4]].tolist())
    assert seen == {0, 1, 2}


def test_centres_of_mass_are_not_asked_for_at_every_step(
    env: Any, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PhysX tells them by way of the CPU."""
    view, asked = env.scene["robot"].root_physx_view, []
    monkeypatch.setattr(view, "get_coms", lambda: asked.append(1) or view.coms.clone())
    last = int(command.library.length[0]) - 1
    command.start_at(torch.arange(6), torch.zeros(6).long(), torch.tensor([last - 1, 3, 4, 5, 6, 7]))
    state = env.scene["robot"].data.root_link_pose_w[1:2].clone()
    state[:, 2] += 1.0
    env.scene["robot"].write_root_link_pose_to_sim(state, torch.tensor([1]))
    failed = sum(env.step(held(env, command))[2].int() for _ in range(3))
    assert failed.tolist() == [0, 1, 0, 0, 0, 0]  # the first has come to its clip's end
    assert not asked
    env.reset()
    assert asked  # they may be others then


def test_failures_count_where_they_happen(env: Any, command: Any) -> None:
    everywhere(command)
    where = command.cursor.sampler.bin_of(command.cursor.clip, command.cursor.frame)
    robot = env.scene["robot"]
    state = torch.cat([robot.data.root_link_pose_w, robot.data.root_com_vel_w], dim=-1)[:1]
    state[:, 2] += 1.0  # one is off the ground
    robot.write_root_link_state_to_sim(state, torch.tensor([0]))
    env.reset_buf = env.termination_manager.compute()
    assert env.termination_manager.terminated.tolist() == [True, *[False] * 5]
    command.reset(torch.tensor([0]))
    command.cursor.sampler.step()
    failed = command.cursor.sampler.failed
    assert failed.nonzero()[:, 0].tolist() == [int(where[0])]


def test_actions_move_the_joints_that_they_name(env: Any) -> None:
    robot, model = env.scene["robot"], load_robot()
    action = torch.zeros(6, 29)
    knee = model.joint_names.index("right_knee_joint")
    action[:, knee] = 1.0
    env.action_manager.process_action(action)
    env.action_manager.apply_action()
    target = robot.data.joint_pos_target - robot.data.default_joint_pos
    moved = target[0].nonzero()[:, 0].tolist()
    assert [robot.joint_names[joint] for joint in moved] == ["right_knee_joint"]
    motor = model.joints[knee].motor
    # 139 Nm, 0.025 kg m^2 and 10 Hz: 0.25 · 139 / (0.0251 · (2 π 10)²)
    assert float(target[0, moved[0]]) == pytest.approx(0.25 * motor.effort / (motor.armature * 3947.84), rel=1e-4)


def test_the_robot_is_driven_by_what_its_motors_are(env: Any) -> None:
    robot, model = env.scene["robot"], load_robot()
    properties = robot.root_physx_view.properties
    for joint in model.joints:
        at = robot.joint_names.index(joint.name)
        gains = gains_of(joint.motor)
        got = [float(properties[key][0, at]) for key in ("stiffnesses", "dampings", "armatures", "max_forces")]
        assert got == pytest.approx([gains.stiffness, gains.damping, joint.motor.armature, joint.motor.effort])
    default = robot.data.default_joint_pos[0, [robot.joint_names.index(name) for name in model.joint_names]]
    torch.testing.assert_close(default, torch.tensor(model.default_joint_pos).float())
    assert robot.data.default_root_state[0, 3:7].tolist() == [1.0, 0.0, 0.0, 0.0]  # and not turned by 90°


def test_robots_differ_as_they_are_randomised(motion: Path) -> None:
    torch.manual_seed(0)
    env = tracking_env(TRACKING_TASK, motion, num_envs=16)
    env.reset()
    robot, view = env.scene["robot"], env.scene["robot"].root_physx_view
    hands = [number for number, name in enumerate(robot.joint_names) if "_hand_" in name]
    off = robot.data.default_joint_pos - robot.data.default_joint_pos.mean(0)
    body = [number for number in range(43) if number not in hands]
    assert (off[:, body].abs() < 0.02).all()
    assert (off[:, body].std(0) > 0.002).all()
    assert not off[:, hands].abs().any()
    action = env.action_manager.get_term("joint_pos")
    joints = [robot.joint_names.index(name) for name in load_robot().joint_names]
    torch.testing.assert_close(action._offset, robot.data.default_joint_pos[:, joints])
    moved = (view.coms - view.coms[:1]).abs().amax(dim=(0, 2))
    assert [robot.body_names[body] for body in moved.nonzero()[:, 0].tolist()] == ["torso_link"]
    friction = view.materials[..., 0]
    assert friction.min() >= 0.3
    assert friction.max() <= 1.6
    assert friction.std() > 0.1
    env.close()


def test_velocities_are_those_of_origins_wherever_centres_of_mass_are_and_show_a_push(motion: Path) -> None:
    """The centres are randomised after the observations' sizes have been asked for."""
    torch.manual_seed(0)

    def move_roots(cfg: Any) -> None:
        cfg.events.base_com.params["asset_cfg"].body_names = ["pelvis", "torso_link"]

    env = tracking_env(TRACKING_TASK, motion, num_envs=4, change=move_roots)
    env.reset()
    env.step(torch.zeros(4, 29))
    command, robot = env.command_manager.get_term("motion"), env.scene["robot"]
    data, ids = robot.data, [robot.body_names.index(name) for name in command.library.body_names]
    for mine, isaacs in (
        (command.actual.lin_vel_w, data.body_link_lin_vel_w[:, ids]),
        (command.actual.ang_vel_w, data.body_link_ang_vel_w[:, ids]),
        (command.actual_anchor.lin_vel_w, data.body_link_lin_vel_w[:, robot.body_names.index("torso_link")]),
        (command.actual_root.lin_vel_w, data.root_link_lin_vel_w),
    ):
        torch.testing.assert_close(mine, isaacs, atol=1e-5, rtol=1e-5)
    centres = data.body_com_lin_vel_w[:, ids] - command.actual.lin_vel_w
    assert centres[:, command.library.root].norm(dim=-1).min() > 1e-3

    def base() -> tuple[torch.Tensor, torch.Tensor]:
        return mdp.base_lin_vel(env, "motion"), mdp.base_ang_vel(env, "motion")

    before = base()
    env.event_manager.apply(mode="interval", dt=4.0)  # pushes come every 1 to 3 s
    after = base()
    assert ((after[0] - before[0]).abs().amax(-1) > 0.01).all()
    com, spin = robot.root_physx_view.coms[:, 0, :3], data.root_com_ang_vel_b
    torch.testing.assert_close(after[0], data.root_com_lin_vel_b - torch.linalg.cross(spin, com), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after[1], spin, atol=1e-5, rtol=1e-5)
    env.close()


def test_limbs_touch_one_another_in_a_urdf_alone(tmp_path: Path) -> None:
    """As BeyondMimic and Isaac Lab have it for their models."""
    for urdf, touch in ((write_urdf(tmp_path / "g1.urdf"), True), (None, False)):
        spawn: Any = g1_cfg(urdf).spawn
        assert spawn.articulation_props.enabled_self_collisions is touch
    assert (
        ghost_cfg("/World/Ghost", (0, 0, 0), tmp_path / "g1.urdf").spawn.articulation_props.enabled_self_collisions
        is False
    )


def clip_actions(cfg: Any) -> None:
    cfg.actions.joint_pos.clip = {".*": (-1.0, 1.0)}


def modify(cfg: Any) -> None:
    cfg.observations.policy.joint_vel.modifiers = [ModifierCfg(func=modifiers.scale, params={"multiplier": 2.0})]


def remember(cfg: Any) -> None:
    cfg.observations.policy.joint_vel.history_length = 3


@pytest.mark.parametrize(
    ("change", "clip", "told"),
    [
        (clip_actions, None, "env.actions.joint_pos.clip"),
        (modify, None, "'joint_vel' modified"),
        (remember, None, "'joint_vel' modified, clipped, with a history"),
        (lambda cfg: None, 5.0, "agent.clip_actions"),
    ],
    ids=["targets clipped", "modified", "history", "actions clipped"],
)
def test_what_a_deployment_cannot_say_is_not_exported(
    change: Any, clip: float | None, told: str, motion: Path, tmp_path: Path
) -> None:
    env = tracking_env(TRACKING_TASK, motion, num_envs=1, change=change)
    with pytest.raises(UserError, match=told):
        export_policy(None, RslRlVecEnvWrapper(env, clip_actions=clip), TRACKING_TASK, tmp_path / "policy")
    assert not (tmp_path / "policy").exists()
    env.close()


def test_a_robot_without_a_joint_is_refused(motion: Path, tmp_path: Path) -> None:
    lame = write_urdf(tmp_path / "lame.urdf", without="waist_roll_joint")
    with pytest.raises(UserError, match=r"lame\.urdf: lacks waist_roll_joint; expected the 29 joints"):
        tracking_env(TRACKING_TASK, motion, urdf=lame)
    handy = write_urdf(tmp_path / "handy.urdf", hands=True)
    with pytest.raises(UserError, match=r"handy\.urdf: also moves left_hand_index_0_joint"):
        tracking_env(TRACKING_TASK, motion, urdf=handy)


def test_misspelt_terms_do_not_build(motion: Path) -> None:
    def misspell(cfg: Any) -> None:
        cfg.rewards.motion_body_pos.params["stdd"] = cfg.rewards.motion_body_pos.params.pop("std")

    with pytest.raises(ValueError, match="std"):
        tracking_env(TRACKING_TASK, motion, change=misspell)


def test_without_motion_nothing_is_built(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--motion is needed"):
        tracking_env(TRACKING_TASK, tmp_path, change=lambda cfg: cfg.commands.motion.motion.clear())
