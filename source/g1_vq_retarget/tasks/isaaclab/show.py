"""Triple views in Isaac Sim's window, by articulations that are moved frame by frame."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from g1_vq_retarget.tasks.isaaclab import PLAYBACK_TASK, gymnasium
from g1_vq_retarget.tasks.playback import Playback


def show(
    playbacks: Sequence[Playback], app: Any, *, device: str, urdf: str | None = None, headless: bool = False
) -> int:
    """Play them side by side, at their rate, until the window is closed.

    Args:
        playbacks: one an environment, all of one rate.
        app: Isaac Sim, which runs (see `launch.running`).
        device: of the simulation.
        urdf: of the robot, by default Isaac's own.
        headless: without a window, once, as fast as it goes.

    Returns:
        Frames shown.

    Raises:
        UserError: rates that differ, or a URDF that is of another robot.
    """
    from g1_vq_retarget.tasks.isaaclab.playback import PlaybackEnvCfg

    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.npz") for number in range(len(playbacks))]
        for playback, file in zip(playbacks, files, strict=True):
            playback.save(file)
        cfg: Any = PlaybackEnvCfg()
        cfg.scene.num_envs, cfg.sim.device = len(playbacks), device
        cfg.show(*map(str, files), urdf=urdf)
        env: Any = gymnasium.make(PLAYBACK_TASK, cfg=cfg)
    env.reset()  # which shows the first frame
    action, shown, began = env.unwrapped.action_manager.action, 1, time.monotonic()
    last = max(map(len, playbacks)) if headless else None
    while app.is_running() and shown != last:
        env.step(action)
        shown += 1
        if not headless:
            time.sleep(max(0.0, began + shown / playbacks[0].fps - time.monotonic()))
    env.close()
    return shown
