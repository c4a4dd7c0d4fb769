"""Training of a tracking policy: PPO of rsl_rl in Isaac Lab's environments."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import gymnasium
import torch
from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper

from g1_vq_retarget.tasks.isaaclab.flags import RUNS
from g1_vq_retarget.tasks.isaaclab.runs import TrackingRunner, checkpoint_of, configured, follow, open_run
from g1_vq_retarget.tasks.tracking_run import FAILED
from g1_vq_retarget.training.run_folder import is_first_process


def train(args: argparse.Namespace, overrides: Sequence[str], launcher: Any = None) -> Path:
    """Train until the iterations are over.

    Args:
        args: flags of `flags.add_training_flags` and `add_motion_flags`, and Isaac Lab's `device`.
        overrides: in Hydra's way.
        launcher: AppLauncher, for `--distributed`.

    Returns:
        The run's folder.

    Raises:
        UserError: flags, overrides or motion that cannot be.
    """
    env_cfg, agent = configured(args.task, overrides)
    follow(env_cfg, args)
    told = {"max_iterations": args.max_iterations, "experiment_name": args.experiment_name, "seed": args.seed}
    for name, value in told.items():
        if value is not None:
            setattr(agent, name, value)
    if args.num_envs is not None:
        env_cfg.scene.num_envs = args.num_envs
    env_cfg.sim.device = agent.device = args.device
    if args.distributed:
        env_cfg.sim.device = agent.device = f"cuda:{launcher.local_rank}"
        agent.seed += launcher.global_rank
    env_cfg.seed = agent.seed
    # Isaac Lab's tuner with Ray looks for these two lines
    root = (RUNS / agent.experiment_name).resolve()
    name = "_".join(filter(None, (datetime.now().strftime("%Y-%m-%d_%H-%M-%S"), args.run_name)))
    folder = root / name
    print(f"[INFO] Logging experiment in directory: {root}")
    print(f"Exact experiment name requested from command line: {name}")
    env = gymnasium.make(args.task, cfg=env_cfg, render_mode="rgb_array" if args.video else None)
    if args.video:
        env = gymnasium.wrappers.RecordVideo(
            env,
            str(folder / "videos" / "train"),
            step_trigger=lambda step: step % args.video_interval == 0,
            video_length=args.video_length,
            disable_logger=True,
        )
    wrapped, runner = RslRlVecEnvWrapper(env, clip_actions=agent.clip_actions), None
    try:
        runner = TrackingRunner(wrapped, agent.to_dict(), log_dir=str(folder), device=agent.device)
        command = runner.command
        if args.checkpoint is not None:
            infos = runner.load(str(checkpoint_of(Path(args.checkpoint))))
            failed = infos[FAILED].to(command.cursor.sampler.failed)
            if failed.shape == command.cursor.sampler.failed.shape:  # else it goes on with other motion
                command.cursor.sampler.failed.copy_(failed)
        if is_first_process():
            open_run(folder, env_cfg, agent, args, overrides, command.library)
            print(f"[INFO] {command.library.summary()}")
        runner.learn(agent.max_iterations, init_at_random_ep_len=True)
    finally:
        if runner is not None and runner.writer is not None:
            runner.writer.close()  # rsl_rl leaves the last figures unwritten, and Isaac Sim's end comes at once
        wrapped.close()
    return folder


def configure_torch() -> None:
    """As Isaac Lab's own script does."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.deterministic = torch.backends.cudnn.benchmark = False
