"""Policies looked at in mjlab: the robots of the tracking task, without anything at random."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from mjlab.envs import ManagerBasedRlEnv, ManagerBasedRlEnvCfg
from mjlab.rl import RslRlVecEnvWrapper
from mjlab.utils.torch import configure_torch_backends
from torch import Tensor

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.tasks.evaluation import Evaluation, RobotState, evaluate
from g1_vq_retarget.tasks.evaluation_config import EvaluationRunConfig
from g1_vq_retarget.tasks.evaluation_report import described, report, save_report, table
from g1_vq_retarget.tasks.mjlab.command import TrackingCommand
from g1_vq_retarget.tasks.mjlab.runs import (
    env_cfg_of,
    load_policy,
    newest_checkpoint,
    read_run,
    untrained_policy,
)
from g1_vq_retarget.tasks.mjlab.training import resolve_device
from g1_vq_retarget.tasks.motion_source import load_library
from g1_vq_retarget.tasks.tracking_config import TrackingRunConfig, Untrained


def run_evaluation(config: EvaluationRunConfig) -> Evaluation:
    """Evaluate, print the table, write the report.

    Raises:
        UserError: no such run or motion, clips that do not belong together, or flags that cannot be.
    """
    if config.num_envs < 1:
        raise UserError(f"--num-envs must be at least 1, it is {config.num_envs}")
    untrained: Untrained | None = "zero" if config.policy == "zero" else "random" if config.policy == "random" else None
    path = Path(config.policy)
    run = TrackingRunConfig() if untrained else read_run(path)
    run = replace(run, motion_fps=config.motion_fps or run.motion_fps)
    device = resolve_device(config.device)
    configure_torch_backends()
    given = {"motion": config.motion, "from_tokens": config.from_tokens}
    cfg = without_chance(env_cfg_of(run, play=True, num_envs=config.num_envs, **given))
    env = RslRlVecEnvWrapper(ManagerBasedRlEnv(cfg, device))
    try:
        simulation = MjlabSimulation(env)
        followed = simulation.command.library
        policy = untrained_policy(untrained, env, config.seed) if untrained else load_policy(path, env, device)
        truth = followed
        if config.against:
            truth = load_library(
                config.against,
                followed.fps,
                joint_names=followed.joint_names,
                body_names=followed.body_names,
                device=device,
                options={"fps": run.motion_fps},
            )
        evaluation = evaluate(simulation, policy, truth, config, followed=followed, on_batch=_tell)
    finally:
        env.close()
    figures = report(
        evaluation,
        policy=untrained or str(newest_checkpoint(path)),
        motion=_listed(config.motion or run.motion),
        against=_listed(config.against),
        simulator=f"mjlab {version('mjlab')}",
    )
    print(f"{described(figures)}\n\n{table(figures)}")
    out = config.out
    if out is None and not untrained:
        out = (path if path.is_dir() else path.parent) / "evaluation"
    if out is not None:
        print("wrote " + ", ".join(map(str, save_report(figures, out))))
    return evaluation


def _tell(done: int, of: int) -> None:
    print(f"{done} of {of} starts", flush=True)


def _listed(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))


def without_chance(cfg: ManagerBasedRlEnvCfg) -> ManagerBasedRlEnvCfg:
    """The task as it is evaluated: no noise, pushes or randomized robots, and no episode ends by itself.

    Failures are told by `tasks.evaluation`, in the same way in every simulator. Changes `cfg` and returns it.
    """
    cfg.events = {}
    cfg.terminations = {name: term for name, term in cfg.terminations.items() if term.time_out}
    cfg.episode_length_s = 1e9
    for group in cfg.observations.values():
        group.enable_corruption = False
    return cfg


class MjlabSimulation:
    """A `TrackingSimulation`: the robots of an environment of `without_chance`.

    Attributes:
        env: wrapped for rsl_rl, whose observations policies take.
        command: the motion that they follow.
    """

    def __init__(self, env: RslRlVecEnvWrapper) -> None:
        self.env = env
        command = env.unwrapped.command_manager.get_term("motion")
        assert isinstance(command, TrackingCommand)
        self.command = command

    @property
    def num_envs(self) -> int:
        """How many robots there are."""
        return self.env.num_envs

    def begin(self, clip: Tensor, frame: Tensor) -> tuple[Any, RobotState]:
        """See `TrackingSimulation`."""
        self.env.reset()
        self.command.start_at(torch.arange(self.num_envs, device=clip.device), clip, frame)
        self.env.unwrapped.observation_manager.compute(update_history=True)  # else those of the reset are shown
        return self.env.get_observations(), self.state()

    def step(self, actions: Tensor) -> tuple[Any, RobotState]:
        """See `TrackingSimulation`."""
        seen, *_ = self.env.step(actions)
        return seen, self.state()

    def state(self) -> RobotState:
        """Where the robots are, each in its own environment."""
        command = self.command
        origins = self.env.unwrapped.scene.env_origins[:, None]
        return RobotState(
            command.robot_joint_pos.clone(), command.robot_body_pos_w - origins, command.robot_body_quat_w.clone()
        )
