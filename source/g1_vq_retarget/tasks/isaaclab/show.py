"""Triple views in Isaac Sim's window; starts it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.tasks.isaaclab import PLAYBACK_TASK, gymnasium
from g1_vq_retarget.tasks.playback import Playback


def show(playbacks: Sequence[Playback], *, urdf: str | None = None, headless: bool = False) -> int:
    """Play them side by side, at their rate, until the window is closed.

    Args:
        playbacks: one an environment, all of one rate.
        urdf: of the robot, by default Isaac's own.
        headless: without a window, as fast as it goes.

    Returns:
        Frames shown.

    Raises:
        UserError: no Isaac Lab here, rates that differ, or a URDF that is of another robot.
    """
    try:
        from isaaclab.app import AppLauncher
    except ImportError as error:
        raise UserError(f"--sim isaaclab: Isaac Lab is needed ({error}); run this by isaaclab.sh -p") from error
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    app = AppLauncher(headless=headless, device=device).app
    from g1_vq_retarget.tasks.isaaclab.playback import PlaybackEnvCfg

    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.npz") for number in range(len(playbacks))]
        for playback, file in zip(playbacks, files, strict=True):
            playback.save(file)
        cfg: Any = PlaybackEnvCfg()
        cfg.scene.num_envs, cfg.sim.device = len(playbacks), device
        cfg.show(*map(str, files), urdf=urdf)
        env: Any = gymnasium.make(PLAYBACK_TASK, cfg=cfg)
    env.reset()
    action, shown, began = env.unwrapped.action_manager.action, 0, time.monotonic()
    while app.is_running():
        env.step(action)
        shown += 1
        if not headless:
            time.sleep(max(0.0, began + shown / playbacks[0].fps - time.monotonic()))
    env.close()
    app.close()
    return shown
