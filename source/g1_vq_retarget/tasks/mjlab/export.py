"""A policy of mjlab's as files that run without it: ONNX, `deploy.yaml`, and the robot's model as MJCF."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import mujoco as mujoco_module
import numpy as np
import torch
from mjlab.envs import ManagerBasedRlEnv
from mjlab.envs.mdp.actions import JointPositionAction
from mjlab.rl import RslRlVecEnvWrapper

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import replacing_folder
from g1_vq_retarget.tasks.deployment import (
    DEPLOY,
    POLICY,
    ROBOT,
    SCHEMA,
    Deployment,
    JointControl,
    Observed,
    TrainedOn,
    export_onnx,
)
from g1_vq_retarget.tasks.evaluation_config import ExportConfig
from g1_vq_retarget.tasks.mjlab.command import TrackingCommand
from g1_vq_retarget.tasks.mjlab.runs import check_motion, env_cfg_of, load_policy, read_run

# of a compiled module, whose names a type checker does not see
mujoco: Any = mujoco_module


def export_run(config: ExportConfig) -> Deployment:
    """Export the policy of a run.

    Raises:
        UserError: no such run, its motion is not there or other, or as of `export_policy`.
    """
    run = read_run(config.policy)
    cfg = env_cfg_of(run, play=True, num_envs=1, motion=config.motion, from_tokens=config.from_tokens)
    env = RslRlVecEnvWrapper(ManagerBasedRlEnv(cfg, "cpu"))
    try:
        command = env.unwrapped.command_manager.get_term("motion")
        assert isinstance(command, TrackingCommand)
        check_motion(config.policy, command.library)
        network = load_policy(config.policy, env, "cpu")
        deployment = export_policy(network, env.unwrapped, run.task, config.out)
    finally:
        env.close()
    print(
        f"wrote {config.out / POLICY}, {config.out / DEPLOY} and {config.out / ROBOT}: "
        f"{deployment.observation_size} observations, {len(deployment.joints)} joints, {deployment.fps:g} actions/s"
    )
    return deployment


def deployment_of(env: ManagerBasedRlEnv, task: str) -> Deployment:
    """What an environment of the tracking task does with a policy.

    Raises:
        UserError: it does something that `deploy.yaml` cannot say, as to show a history.
    """
    command, action = env.command_manager.get_term("motion"), env.action_manager.get_term("joint_pos")
    assert isinstance(command, TrackingCommand)
    assert isinstance(action, JointPositionAction)
    robot, model, library = command.robot, env.sim.mj_model, command.library
    default = robot.data.default_joint_pos[0].cpu()
    if tuple(action.target_names) != tuple(robot.joint_names) or not _close(action.offset, default):
        raise UserError(f"{task}: acts on some joints, or not about the default pose: that cannot be exported")
    scale = torch.broadcast_to(torch.as_tensor(action.scale), (env.num_envs, len(default)))[0].cpu()
    joints = []
    for number, name in enumerate(robot.joint_names):
        (actuator,) = (each.id for each in robot.spec.actuators if each.target.rsplit("/", 1)[-1] == name)
        gain, bias = model.actuator_gainprm[actuator], model.actuator_biasprm[actuator]
        if model.actuator_biastype[actuator] != mujoco.mjtBias.mjBIAS_AFFINE or bias[1] != -gain[0]:
            raise UserError(f"{task}: {name} is not driven to a position: that cannot be exported")
        limit = model.actuator_forcerange[actuator, 1] if model.actuator_forcelimited[actuator] else np.inf
        values = (default[number], scale[number], gain[0], -bias[2], limit)
        joints.append(JointControl(name, *(float(value) for value in values)))
    return Deployment(
        schema=SCHEMA,
        task=task,
        fps=round(1 / env.step_dt, 9),
        timestep=env.physics_dt,
        decimation=env.cfg.decimation,
        anchor_body=command.cfg.anchor_body_name,
        body_names=list(command.cfg.body_names),
        future_frames=list(command.cfg.future_frames),
        joints=joints,
        observations=_observed(env, task),
        motion=TrainedOn.on(library),
    )


def export_policy(network: torch.nn.Module, env: ManagerBasedRlEnv, task: str, folder: Path) -> Deployment:
    """Write `policy.onnx`, `deploy.yaml` and `robot/` into a new folder, and verify what came.

    Args:
        network: rsl_rl's actor (as `runs.load_policy` gives it).
        env: of the policy's task; its scene is saved, with the solver's options in it. Only the robot's meshes and
            what mjlab made of its MJCF are in there: they are mjlab's, under its licence.

    Raises:
        UserError: as of `deployment_of` and `export_onnx`; something else stands there.
    """
    deployment = deployment_of(env, task)
    with replacing_folder(folder) as temporary:
        export_onnx(network.as_onnx(verbose=False), deployment, temporary / POLICY)  # type: ignore[operator]
        deployment.save(temporary / DEPLOY)
        _write_robot(env, temporary / ROBOT)
    return deployment


def _write_robot(env: ManagerBasedRlEnv, path: Path) -> None:
    """The scene as MJCF with the meshes that it names beside it."""
    # mjlab sets these in the compiled model; the file has to hold them as well
    env.cfg.sim.mujoco.apply(SimpleNamespace(opt=env.scene.spec.option))  # type: ignore[arg-type]
    env.scene.write(path.parent)
    # mjlab writes those that it holds in memory, and its G1's are files
    spec = env.scene["robot"].spec
    for element in ElementTree.parse(path).iter("mesh"):
        name = element.attrib["file"]
        mesh = path.parent / "assets" / name
        if not mesh.exists():
            mesh.parent.mkdir(exist_ok=True)
            shutil.copyfile(Path(spec.modelfiledir, spec.meshdir, name), mesh)


def _observed(env: ManagerBasedRlEnv, task: str) -> list[Observed]:
    manager, parts = env.observation_manager, []
    for name, size in zip(manager.active_terms["actor"], manager.group_obs_term_dim["actor"], strict=True):
        term = manager.get_term_cfg("actor", name)
        if term.history_length or term.clip is not None or not isinstance(term.scale, float | int | None):
            raise UserError(f"{task}: shows the policy '{name}' clipped, with a history or scales: cannot be exported")
        sensor = str(term.params.get("sensor_name", "")).rsplit("/", 1)[-1]
        parts.append(Observed(name, int(np.prod(size)), 1.0 if term.scale is None else float(term.scale), sensor))
    return parts


def _close(one: torch.Tensor | float, other: torch.Tensor) -> bool:
    return bool(torch.isclose(torch.as_tensor(one).cpu().float(), other.float()).all())
