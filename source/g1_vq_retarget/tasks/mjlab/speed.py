"""How fast the tracking task steps, beside mjlab's own on the same clip, in one process."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from mjlab.envs import ManagerBasedRlEnv, ManagerBasedRlEnvCfg
from mjlab.tasks.tracking.config.g1.env_cfgs import unitree_g1_flat_tracking_env_cfg
from mjlab.tasks.tracking.mdp import MotionCommandCfg

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import RobotClip, resample
from g1_vq_retarget.motion.formats import load_motion, save_motion
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.tasks.mjlab.tracking import tracking_env_cfg
from g1_vq_retarget.tasks.mjlab.training import resolve_device
from g1_vq_retarget.tasks.tracking_config import SpeedConfig

# Of both tasks, a second.
RATE = 50.0


def compare_speed(config: SpeedConfig) -> dict[str, float]:
    """Steps a second of all robots together (`ours`, `mjlab`), and `ratio`, ours over mjlab's.

    The two take turns, round after round, so that what else the machine does meets both; the best round of each counts.
    Actions are zero.

    Raises:
        UserError: no file of robot motion, or a device that is not there.
    """
    device = resolve_device(config.device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.npz"
        robot = load_robot()
        clip = load_motion(config.motion)
        if not isinstance(clip, RobotClip):
            raise UserError(f"--motion {config.motion}: is a human's, expected a robot's")
        save_motion(resample(clip, RATE), path, "tracking-mjlab", robot)
        theirs = unitree_g1_flat_tracking_env_cfg()
        command = theirs.commands["motion"]
        assert isinstance(command, MotionCommandCfg)
        command.motion_file, theirs.scene.num_envs = str(path), config.num_envs
        ours = tracking_env_cfg([path], num_envs=config.num_envs)
        envs = {"ours": _made(ours, device), "mjlab": _made(theirs, device)}
    best = dict.fromkeys(envs, 0.0)
    for _ in range(config.rounds + 1):  # the first compiles
        for name, env in envs.items():
            best[name] = max(best[name], _speed(env, config.steps))
    for env in envs.values():
        env.close()
    return best | {"ratio": best["ours"] / best["mjlab"]}


def _made(cfg: ManagerBasedRlEnvCfg, device: str) -> ManagerBasedRlEnv:
    env = ManagerBasedRlEnv(cfg, device)
    env.reset()
    return env


def _speed(env: ManagerBasedRlEnv, steps: int) -> float:
    actions = torch.zeros(env.num_envs, env.action_manager.total_action_dim, device=env.device)
    _wait(env.device)
    began = time.perf_counter()
    for _ in range(steps):
        env.step(actions)
    _wait(env.device)
    return steps * env.num_envs / (time.perf_counter() - began)


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
