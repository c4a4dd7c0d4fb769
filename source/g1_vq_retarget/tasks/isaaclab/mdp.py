"""Terms of tracking as Isaac Lab's managers call them: each hands tensors of the simulation to the shared ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from isaaclab.assets import Articulation
from isaaclab.envs import ManagerBasedEnv, ManagerBasedRLEnv
from isaaclab.envs.mdp import JointPositionAction
from isaaclab.managers import SceneEntityCfg
from isaaclab.sensors import ContactSensor
from torch import Tensor

from g1_vq_retarget.tasks.isaaclab.command import TrackingCommand
from g1_vq_retarget.tasks.mdp import observations, rewards, terminations


def tracking(env: ManagerBasedRLEnv, command_name: str) -> TrackingCommand:
    """The command term of that name."""
    term = env.command_manager.get_term(command_name)
    assert isinstance(term, TrackingCommand)
    return term


# observations


def command(env: ManagerBasedRLEnv, command_name: str) -> Tensor:
    return tracking(env, command_name).command


def motion_anchor_pos_b(env: ManagerBasedRLEnv, command_name: str) -> Tensor:
    term = tracking(env, command_name)
    robot = term.actual_anchor
    return observations.motion_anchor_pos_b(robot.pos_w, robot.quat_w, term.anchor_pos_ahead_w)


def motion_anchor_ori_b(env: ManagerBasedRLEnv, command_name: str) -> Tensor:
    term = tracking(env, command_name)
    return observations.motion_anchor_ori_b(term.actual_anchor.quat_w, term.anchor_quat_ahead_w)


def robot_body_pos_b(env: ManagerBasedRLEnv, command_name: str) -> Tensor:
    term = tracking(env, command_name)
    anchor = term.actual_anchor
    return observations.robot_body_pos_b(anchor.pos_w, anchor.quat_w, term.actual.pos_w)


def robot_body_ori_b(env: ManagerBasedRLEnv, command_name: str) -> Tensor:
    term = tracking(env, command_name)
    return observations.robot_body_ori_b(term.actual_anchor.quat_w, term.actual.quat_w)


def base_lin_vel(env: ManagerBasedRLEnv, command_name: str) -> Tensor:
    root = tracking(env, command_name).actual_root
    return observations.base_lin_vel(root.quat_w, root.lin_vel_w)


def base_ang_vel(env: ManagerBasedRLEnv, command_name: str) -> Tensor:
    root = tracking(env, command_name).actual_root
    return observations.base_ang_vel(root.quat_w, root.ang_vel_w)


def joint_pos(env: ManagerBasedRLEnv, command_name: str) -> Tensor:
    term = tracking(env, command_name)
    data, ids = term.robot.data, term.joint_ids
    return observations.joint_pos_rel(data.joint_pos[:, ids], data.default_joint_pos[:, ids])


def joint_vel(env: ManagerBasedRLEnv, command_name: str) -> Tensor:
    term = tracking(env, command_name)
    data, ids = term.robot.data, term.joint_ids
    return observations.joint_vel_rel(data.joint_vel[:, ids], data.default_joint_vel[:, ids])


def actions(env: ManagerBasedEnv) -> Tensor:
    return env.action_manager.action


# rewards


def motion_global_anchor_position_error_exp(env: ManagerBasedRLEnv, command_name: str, std: float) -> Tensor:
    term = tracking(env, command_name)
    return rewards.motion_global_anchor_position_error_exp(term.anchor.pos_w, term.actual_anchor.pos_w, std)


def motion_global_anchor_orientation_error_exp(env: ManagerBasedRLEnv, command_name: str, std: float) -> Tensor:
    term = tracking(env, command_name)
    return rewards.motion_global_anchor_orientation_error_exp(term.anchor.quat_w, term.actual_anchor.quat_w, std)


def motion_relative_body_position_error_exp(env: ManagerBasedRLEnv, command_name: str, std: float) -> Tensor:
    term = tracking(env, command_name)
    return rewards.motion_relative_body_position_error_exp(term.relative.pos_w, term.actual.pos_w, std)


def motion_relative_body_orientation_error_exp(env: ManagerBasedRLEnv, command_name: str, std: float) -> Tensor:
    term = tracking(env, command_name)
    return rewards.motion_relative_body_orientation_error_exp(term.relative.quat_w, term.actual.quat_w, std)


def motion_global_body_linear_velocity_error_exp(env: ManagerBasedRLEnv, command_name: str, std: float) -> Tensor:
    term = tracking(env, command_name)
    return rewards.motion_global_body_linear_velocity_error_exp(term.reference.lin_vel_w, term.actual.lin_vel_w, std)


def motion_global_body_angular_velocity_error_exp(env: ManagerBasedRLEnv, command_name: str, std: float) -> Tensor:
    term = tracking(env, command_name)
    return rewards.motion_global_body_angular_velocity_error_exp(term.reference.ang_vel_w, term.actual.ang_vel_w, std)


def action_rate_l2(env: ManagerBasedRLEnv) -> Tensor:
    return rewards.action_rate_l2(env.action_manager.action, env.action_manager.prev_action)


def joint_pos_limits(env: ManagerBasedRLEnv, command_name: str) -> Tensor:
    term = tracking(env, command_name)
    data, ids = term.robot.data, term.joint_ids
    return rewards.joint_pos_limits(data.joint_pos[:, ids], data.soft_joint_pos_limits[:, ids])


def undesired_contacts(env: ManagerBasedRLEnv, sensor_cfg: SceneEntityCfg, threshold: float) -> Tensor:
    sensor = env.scene.sensors[sensor_cfg.name]
    assert isinstance(sensor, ContactSensor)
    assert sensor.data.net_forces_w_history is not None
    return rewards.undesired_contacts(sensor.data.net_forces_w_history[:, :, sensor_cfg.body_ids], threshold)


# terminations


def bad_anchor_pos_z_only(env: ManagerBasedRLEnv, command_name: str, threshold: float) -> Tensor:
    term = tracking(env, command_name)
    return terminations.bad_anchor_pos_z_only(term.anchor.pos_w, term.actual_anchor.pos_w, threshold)


def bad_anchor_ori(env: ManagerBasedRLEnv, command_name: str, threshold: float) -> Tensor:
    term = tracking(env, command_name)
    return terminations.bad_anchor_ori(term.anchor.quat_w, term.actual_anchor.quat_w, threshold)


def bad_motion_body_pos_z_only(
    env: ManagerBasedRLEnv, command_name: str, threshold: float, body_names: Sequence[str]
) -> Tensor:
    term = tracking(env, command_name)
    ids = term.body_ids(body_names)
    return terminations.bad_motion_body_pos_z_only(term.relative.pos_w[:, ids], term.actual.pos_w[:, ids], threshold)


# events


def offset_joint_defaults(
    env: ManagerBasedEnv,
    env_ids: Tensor | None,
    asset_cfg: SceneEntityCfg,
    offset_range: tuple[float, float],
    action_name: str,
) -> None:
    """Joints whose zeros are a little off: the default pose that actions and observations are about, rad.

    BeyondMimic's `randomize_joint_default_pos`.
    """
    robot: Articulation = env.scene[asset_cfg.name]
    action = env.action_manager.get_term(action_name)
    assert isinstance(action, JointPositionAction)
    if env_ids is None:
        env_ids = torch.arange(env.num_envs, device=env.device)
    default = robot.data.default_joint_pos
    columns = torch.arange(robot.num_joints, device=env.device)[asset_cfg.joint_ids]
    shape = (len(env_ids), len(columns))
    default[env_ids[:, None], columns] += torch.empty(shape, device=env.device).uniform_(*offset_range)
    action._offset[env_ids] = default[env_ids][:, action._joint_ids]  # which it has copied, and shows nowhere else
