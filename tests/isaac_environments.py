"""Environments of the tasks in Isaac Lab, small ones, and scripts; only where `isaac_standin` is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

import gymnasium
import pytest
from isaaclab_tasks.utils import parse_env_cfg

import isaac_standin
from isaac_standin.simulation import SimulationApp
from running import Outcome, run_script


def tracking_env(
    task: str, motion: Path, num_envs: int = 3, urdf: Path | None = None, change: Callable[[Any], None] | None = None
) -> Any:
    """The environment of a tracking task, unwrapped; `change` has its configuration before."""
    from g1_vq_retarget.tasks.isaaclab.robot import g1_cfg

    cfg: Any = parse_env_cfg(task, device="cpu", num_envs=num_envs)
    cfg.commands.motion.motion, cfg.seed = [str(motion)], 0
    if urdf is not None:
        cfg.scene.robot = g1_cfg(urdf)
    if change is not None:
        change(cfg)
    return gymnasium.make(task, cfg=cfg).unwrapped


def still(cfg: Any) -> None:
    """Robots begin exactly where the motion has them, and nothing disturbs them."""
    command, events = cfg.commands.motion, cfg.events
    command.pose_range, command.velocity_range, command.joint_position_range = {}, {}, (0.0, 0.0)
    events.push_robot = events.joint_offsets = events.base_com = None


def run(script: str, *args: object, capture: pytest.CaptureFixture[str] | None = None) -> Outcome:
    """Run a script as in a process of its own: once Isaac Sim runs, the exit code is 0, unless the process is left."""
    isaac_standin.new_world()
    left, launches = list[int](), len(SimulationApp.launches)

    def leave(code: int) -> NoReturn:
        left.append(code)
        raise SystemExit(code)

    with patch("os._exit", leave):
        done = run_script(script, args, capture)
    return done._replace(code=sum(left)) if len(SimulationApp.launches) > launches else done
