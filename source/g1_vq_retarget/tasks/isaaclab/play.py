"""Watching a tracking policy, or what there is to track, in Isaac Sim; and exporting the policy."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import torch
from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper
from torch import Tensor

from g1_vq_retarget.tasks.isaaclab.export import export_policy
from g1_vq_retarget.tasks.isaaclab.runs import TrackingRunner, checkpoint_of, configured, follow


def play(args: argparse.Namespace, overrides: Sequence[str], app: Any) -> None:
    """Show it until the window is closed or the steps are over.

    Raises:
        UserError: flags, overrides, motion or a checkpoint that cannot be.
    """
    env_cfg, agent = configured(args.task, overrides)
    follow(env_cfg, args)
    if args.num_envs is not None:
        env_cfg.scene.num_envs = args.num_envs
    env_cfg.sim.device = agent.device = args.device
    env = gymnasium.make(args.task, cfg=env_cfg, render_mode="rgb_array" if args.video else None)
    if args.video:
        folder = Path(args.checkpoint or ".")
        folder = (folder if folder.is_dir() else folder.parent) / "videos" / "play"
        env = gymnasium.wrappers.RecordVideo(
            env, str(folder), step_trigger=lambda step: step == 0, video_length=args.video_length
        )
    wrapped = RslRlVecEnvWrapper(env, clip_actions=agent.clip_actions)
    try:
        policy = nobody(wrapped)
        if args.checkpoint is not None:
            runner = TrackingRunner(wrapped, agent.to_dict(), log_dir=None, device=agent.device)
            runner.load(str(checkpoint_of(Path(args.checkpoint))), load_optimizer=False)
            policy = runner.get_inference_policy(agent.device)
            if args.export is not None:
                export_policy(runner.alg.policy, wrapped, args.task, Path(args.export))
                print(f"wrote {args.export}")
        steps = args.video_length if args.video else args.steps
        print(show(wrapped, policy, app, steps))
    finally:
        wrapped.close()


def nobody(env: RslRlVecEnvWrapper) -> Callable[[Any], Tensor]:
    """A policy whose actions are zero."""
    zero = torch.zeros(env.num_envs, env.num_actions, device=env.unwrapped.device)
    return lambda _: zero


@torch.inference_mode()
def show(env: RslRlVecEnvWrapper, policy: Callable[[Any], Tensor], app: Any, steps: int | None) -> str:
    """Take steps while the application runs, and say in a line how they went."""
    seen, reward, lost, taken = env.get_observations(), 0.0, 0, 0
    while app.is_running() and (steps is None or taken < steps):
        seen, rewards, dones, _ = env.step(policy(seen))
        reward, lost, taken = reward + float(rewards.mean()), lost + int(dones.sum()), taken + 1
    mean = reward / max(taken, 1)
    return f"{taken} steps of {env.num_envs} robots: reward {mean:.4f} a step, the motion lost {lost} times"


@torch.inference_mode()
def step_without_policy(args: argparse.Namespace, overrides: Sequence[str], app: Any) -> None:
    """Step any task with actions of zero.

    Raises:
        UserError: flags, overrides or motion that cannot be.
    """
    env_cfg, _ = configured(args.task, overrides)
    follow(env_cfg, args)
    if args.num_envs is not None:
        env_cfg.scene.num_envs = args.num_envs
    env_cfg.sim.device = args.device
    env: Any = gymnasium.make(args.task, cfg=env_cfg)
    env.reset()
    actions, taken = torch.zeros(env.action_space.shape, device=env.unwrapped.device), 0
    while app.is_running() and (args.steps is None or taken < args.steps):
        env.step(actions)
        taken += 1
    print(f"{taken} steps of {env.unwrapped.num_envs} environments")
    env.close()
