"""Training of a tracking policy: PPO of rsl_rl in mjlab's environments, on a CPU, a GPU or several."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict

import torch
from mjlab.envs import ManagerBasedRlEnv
from mjlab.rl import RslRlVecEnvWrapper
from mjlab.utils.torch import configure_torch_backends

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.tasks.mjlab.runs import (
    TrackingRunner,
    check_folder,
    env_cfg_of,
    newest_checkpoint,
    open_run,
    rl_cfg_of,
)
from g1_vq_retarget.tasks.tracking_config import NO_MOTION, TrackingRunConfig
from g1_vq_retarget.tasks.tracking_run import FAILED
from g1_vq_retarget.training.run_folder import is_first_process


def train(config: TrackingRunConfig) -> None:
    """Train until the iterations are over; Ctrl-C leaves a checkpoint to resume from.

    Raises:
        UserError: flags, motion or a folder that cannot be.
    """
    _check(config)
    check_folder(config)
    if config.gpus == 1:
        train_process(config)
        return
    import torchrunx  # pyright: ignore[reportMissingImports]

    logging.basicConfig(level=logging.INFO)  # of what the processes print
    os.environ.setdefault("TORCHRUNX_LOG_DIR", str(config.run / "torchrunx"))
    torchrunx.Launcher(
        hostnames=["localhost"],
        workers_per_host=config.gpus,
        backend=None,  # rsl_rl makes the group itself
        copy_env_vars=(*torchrunx.DEFAULT_ENV_VARS_FOR_COPY, "MUJOCO*"),
    ).run(train_process, config)


def train_process(config: TrackingRunConfig) -> None:
    """Train in this process, alone or as one of several that torchrunx started."""
    device = resolve_device(config.device)
    if device != "cpu":
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    configure_torch_backends()
    env_cfg, agent = env_cfg_of(config), rl_cfg_of(config)
    env_cfg.seed = agent.seed = config.seed + int(os.environ.get("RANK", 0))
    env = RslRlVecEnvWrapper(ManagerBasedRlEnv(env_cfg, device))
    runner = TrackingRunner(env, asdict(agent), str(config.run), device)
    command, infos = runner.command, {}
    if config.resume:
        infos = runner.load(str(newest_checkpoint(config.run)))
        runner.current_learning_iteration += 1
    done, left = runner.current_learning_iteration, config.iterations - runner.current_learning_iteration
    if left < 1:
        raise UserError(f"{config.run}: has had its {done} iterations; go on to more with --iterations")
    if is_first_process():
        open_run(config, env_cfg, agent, command.library)
        print(f"{config.run}: iterations {done} to {config.iterations - 1} on {device}; {command.library.summary()}")
    if infos:
        command.cursor.sampler.failed.copy_(infos[FAILED])
    try:
        runner.learn(left, init_at_random_ep_len=True)
    except KeyboardInterrupt:
        if runner.logger.writer is not None and runner.logger.tot_timesteps:
            path = config.run / f"model_{runner.current_learning_iteration}.pt"
            runner.save(str(path))
            print(f"kept {path}; go on with --run {config.run} --resume")
        raise
    finally:
        if runner.logger.writer is not None:
            runner.logger.writer.close()  # rsl_rl leaves the last figures unwritten
        env.close()


def resolve_device(device: str) -> str:
    """`auto`: a GPU if there is one.

    Raises:
        UserError: a GPU is asked for that is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no GPU; choose cpu, or install a torch for CUDA")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def _check(config: TrackingRunConfig) -> None:
    if not config.motion:
        raise UserError(NO_MOTION)
    for flag in ("num_envs", "iterations", "steps", "save_every", "gpus"):
        if getattr(config, flag) < 1:
            raise UserError(f"--{flag.replace('_', '-')} must be at least 1, it is {getattr(config, flag)}")
    if config.seed < 0:
        raise UserError(f"--seed must not be negative, it is {config.seed}")
    batches = rl_cfg_of(config).algorithm.num_mini_batches
    if config.num_envs * config.steps < batches:
        raise UserError(f"--num-envs times --steps must be at least {batches}, the batches of an update")
    have = torch.cuda.device_count() if resolve_device(config.device) == "cuda" else 0
    if config.gpus > max(have, 1):
        raise UserError(f"--gpus {config.gpus}: there are {have}")
