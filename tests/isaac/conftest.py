"""The stand-ins come before Isaac Lab's first import; `make test-isaaclab` installs what these tests need."""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("pxr") is not None:
    import isaac_standin

    _ASSETS = Path(tempfile.mkdtemp(prefix="nucleus-"))
    isaac_standin.install(_ASSETS)
    gc.collect()
    gc.freeze()  # what is imported is there to stay, and need not be looked through after every test


@pytest.fixture(scope="session", autouse=True)
def _assets_are_removed() -> Iterator[None]:
    yield
    if find_spec("pxr") is not None:
        shutil.rmtree(_ASSETS, ignore_errors=True)


@pytest.fixture(autouse=True)
def _new_world() -> Iterator[None]:
    if find_spec("pxr") is not None:
        isaac_standin.new_world()
    yield
    gc.collect()  # environments that were refused complain in their __del__; not in the midst of another test


@pytest.fixture(scope="session")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three short clips of the robot at 50 fps, one of them slower."""
    from g1_vq_retarget.motion.formats import save_motion
    from synthetic import robot_clip

    folder = tmp_path_factory.mktemp("motion")
    for seed, (name, frames, fps) in enumerate((("walk", 80, 50.0), ("turn", 60, 50.0), ("slow", 40, 25.0))):
        save_motion(robot_clip(frames, seed, fps=fps, name=name), folder / f"{name}.npz")
    return folder


@pytest.fixture(scope="session")
def playbacks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two triple views of 12 frames at 30 fps."""
    import numpy as np

    from g1_vq_retarget.motion.skeleton import HUMAN_PARENTS
    from g1_vq_retarget.robot import load_robot
    from g1_vq_retarget.tasks.playback import Playback, RobotTrack
    from synthetic import human_clip, robot_clip

    folder, robot, made = tmp_path_factory.mktemp("playbacks"), load_robot(), []
    for number in range(2):
        tracks = []
        for lane in range(2):
            clip = robot_clip(12, 2 * number + lane, fps=30.0).with_joint_order(robot.joint_names)
            tracks.append(RobotTrack(clip.root_pos_w + (0.0, 1.2 * lane, 0.0), clip.root_quat_w, clip.joint_pos))
        human, name = human_clip(12, number, fps=30.0).joint_pos_w, f"clip{number}"
        playback = Playback(name, 30.0, "", robot.joint_names, *tracks, human, np.array(HUMAN_PARENTS))
        playback.save(folder / f"{name}.npz")
        made.append(folder / f"{name}.npz")
    return made
