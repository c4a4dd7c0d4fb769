from __future__ import annotations

from pathlib import Path

import pytest

from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.viewer.scene import Scene, build_scene
from synthetic import data_folder, human_clip, robot_clip, save_started


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint at 50 fps, four frames a step."""
    folder = tmp_path_factory.mktemp("viewer")
    return save_started(folder / "tiny" / "best.safetensors", data_folder(folder / "data"))


@pytest.fixture(scope="session")
def retargeter(weights: Path) -> Retargeter:
    return Retargeter(weights)


@pytest.fixture(scope="session")
def scene(retargeter: Retargeter) -> Scene:
    """Human, truth and two models (the same, under two names); the truth is a second shorter."""
    return build_scene({"one": retargeter, "two": retargeter}, human_clip(90, 0), robot_clip(60, 0))
