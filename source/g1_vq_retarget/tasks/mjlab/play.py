"""Watching a tracking policy, or what there is to track, in mjlab's viewers."""

from __future__ import annotations

import os
from dataclasses import replace

import torch
from mjlab.envs import ManagerBasedRlEnv
from mjlab.rl import RslRlVecEnvWrapper
from mjlab.utils.torch import configure_torch_backends
from mjlab.viewer import NativeMujocoViewer, ViserPlayViewer
from mjlab.viewer.base import PolicyProtocol

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.tasks.mjlab.runs import env_cfg_of, load_policy, read_run, untrained_policy
from g1_vq_retarget.tasks.mjlab.training import resolve_device
from g1_vq_retarget.tasks.tracking_config import PlayConfig, TrackingRunConfig


def play(config: PlayConfig) -> None:
    """Show it until the viewer is closed or the frames are over; without a viewer, tell how it went.

    Raises:
        UserError: no motion, no policy where one is named, or flags that cannot be.
    """
    if config.num_envs < 1 or (config.frames is not None and config.frames < 1):
        raise UserError("--num-envs and --frames must be at least 1")
    if config.viewer == "none" and config.frames is None:
        raise UserError("--viewer none needs --frames: how many steps to take")
    device = resolve_device(config.device)
    configure_torch_backends()
    run = TrackingRunConfig() if config.policy is None else read_run(config.policy)
    run = replace(run, motion_fps=config.motion_fps or run.motion_fps)
    given = {"motion": config.motion, "from_tokens": config.from_tokens}
    cfg = env_cfg_of(run, play=True, num_envs=config.num_envs, **given)
    if not config.terminations:
        cfg.terminations = {}
    env = RslRlVecEnvWrapper(ManagerBasedRlEnv(cfg, device))
    try:
        if config.policy is None:
            policy = untrained_policy(config.agent, env)
        else:
            policy = load_policy(config.policy, env, device)
        screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        viewer = ("native" if screen else "viser") if config.viewer == "auto" else config.viewer
        if viewer == "none":
            assert config.frames is not None
            print(_steps(env, policy, config.frames))
        else:
            show = NativeMujocoViewer if viewer == "native" else ViserPlayViewer
            show(env, policy).run(config.frames)
    finally:
        env.close()


@torch.inference_mode()
def _steps(env: RslRlVecEnvWrapper, policy: PolicyProtocol, frames: int) -> str:
    """Take steps, and say in a line how they went."""
    seen, reward, lost = env.get_observations(), 0.0, 0
    for _ in range(frames):
        seen, rewards, dones, _ = env.step(policy(seen))
        reward, lost = reward + float(rewards.mean()), lost + int(dones.sum())
    return f"{frames} steps of {env.num_envs} robots: reward {reward / frames:.4f} a step, the motion lost {lost} times"
