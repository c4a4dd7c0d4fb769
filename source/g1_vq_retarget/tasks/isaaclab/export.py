"""A policy of Isaac Lab's as files that run without it: ONNX, TorchScript and `deploy.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from isaaclab.actuators import ImplicitActuator
from isaaclab.envs import ManagerBasedRLEnv
from isaaclab.envs.mdp import JointPositionAction
from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper
from torch import Tensor, nn

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import replacing_folder
from g1_vq_retarget.tasks.deployment import (
    DEPLOY,
    POLICY,
    SCHEMA,
    Deployment,
    JointControl,
    Observed,
    TrainedOn,
    export_onnx,
)
from g1_vq_retarget.tasks.isaaclab.command import TrackingCommand

# TorchScript of the same network.
SCRIPT = "policy.pt"


class DeployedPolicy(nn.Module):
    """Observations (N, D) in, mean actions (N, J) out, the normaliser inside; a copy of rsl_rl's actor."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        normaliser = policy.actor_obs_normalizer
        size = next(policy.actor.parameters()).shape[1]
        identity = isinstance(normaliser, nn.Identity)
        mean = torch.zeros(size) if identity else normaliser.mean.detach().cpu().clone()
        scale = torch.ones(size) if identity else 1 / (normaliser.std.detach().cpu() + normaliser.eps)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        layers = [_copy(layer) for layer in policy.actor]
        self.actor = nn.Sequential(*layers)

    def forward(self, observations: Tensor) -> Tensor:
        return self.actor((observations - self.mean) * self.scale)


def _copy(layer: nn.Module) -> nn.Module:
    if isinstance(layer, nn.Linear):
        copied = nn.Linear(layer.in_features, layer.out_features)
        copied.load_state_dict({key: value.cpu() for key, value in layer.state_dict().items()})
        return copied
    return type(layer)()  # an activation


def deployment_of(env: ManagerBasedRLEnv, task: str) -> Deployment:
    """What an environment of the tracking task does with a policy.

    Raises:
        UserError: it does something that `deploy.yaml` cannot say, as to show a history.
    """
    command, action = env.command_manager.get_term("motion"), env.action_manager.get_term("joint_pos")
    assert isinstance(command, TrackingCommand)
    assert isinstance(action, JointPositionAction)
    library, robot = command.library, command.robot
    if tuple(action._joint_names) != library.joint_names:
        raise UserError(f"{task}: acts on other joints than it tracks: that cannot be exported")
    if action.cfg.clip is not None:
        raise UserError(f"{task}: clips the joints' targets (env.actions.joint_pos.clip): that cannot be exported")
    gains = {
        name: (float(actuator.stiffness[0, at]), float(actuator.damping[0, at]), float(actuator.effort_limit[0, at]))
        for actuator in robot.actuators.values()
        for at, name in enumerate(actuator.joint_names)
        if isinstance(actuator, ImplicitActuator)
    }
    if missing := [name for name in library.joint_names if name not in gains]:
        raise UserError(f"{task}: {missing[0]} is not driven by an implicit actuator: that cannot be exported")
    scale = torch.broadcast_to(torch.as_tensor(action._scale), (env.num_envs, len(library.joint_names)))[0]
    # the configured pose, and not one robot's, whose joints are offset at random
    default = env.cfg.scene.robot.init_state.joint_pos
    joints = [
        JointControl(name, float(default[name]), float(scale[number]), *gains[name])
        for number, name in enumerate(library.joint_names)
    ]
    return Deployment(
        schema=SCHEMA,
        task=task,
        fps=round(1 / env.step_dt, 6),
        timestep=env.physics_dt,
        decimation=env.cfg.decimation,
        anchor_body=command.cfg.anchor_body_name,
        body_names=list(library.body_names),
        future_frames=list(command.cfg.future_frames),
        joints=joints,
        observations=_observed(env, task),
        motion=TrainedOn.on(library),
    )


def export_policy(policy: Any, env: RslRlVecEnvWrapper, task: str, folder: Path) -> Deployment:
    """Write `policy.onnx`, `policy.pt` and `deploy.yaml` into a new folder, and verify what came.

    Args:
        policy: rsl_rl's actor and critic.
        env: of the policy's task.
        task: its name.
        folder: to be made.

    Raises:
        UserError: as of `deployment_of` and `export_onnx`; actions are clipped; something else stands there.
    """
    if env.clip_actions is not None:
        raise UserError(f"{task}: clips actions (agent.clip_actions): that cannot be exported")
    deployment = deployment_of(env.unwrapped, task)
    network = DeployedPolicy(policy).eval()
    with replacing_folder(folder) as temporary:
        export_onnx(network, deployment, temporary / POLICY)
        example = torch.zeros(1, deployment.observation_size)
        script = torch.jit.trace(network, example)
        torch.jit.save(script, str(temporary / SCRIPT), _extra_files=deployment.metadata())
        deployment.save(temporary / DEPLOY)
    return deployment


def _observed(env: ManagerBasedRLEnv, task: str) -> list[Observed]:
    manager, parts = env.observation_manager, []
    names, sizes = manager.active_terms["policy"], manager.group_obs_term_dim["policy"]
    for name, size, cfg in zip(names, sizes, manager._group_obs_term_cfgs["policy"], strict=True):
        plain = not cfg.history_length and cfg.clip is None and not cfg.modifiers
        if not plain or not isinstance(cfg.scale, float | int | None):
            raise UserError(
                f"{task}: shows the policy '{name}' modified, clipped, with a history or scales: cannot be exported"
            )
        parts.append(Observed(name, int(np.prod(size)), 1.0 if cfg.scale is None else float(cfg.scale)))
    return parts
