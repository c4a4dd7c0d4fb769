from __future__ import annotations

from pathlib import Path

import pytest

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.retarget import Retargeter
from synthetic import data_folder, save_started


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return data_folder(tmp_path_factory.mktemp("retarget") / "data")


@pytest.fixture(scope="session")
def weights(folder: DataFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint at 50 fps, four frames a step."""
    return save_started(tmp_path_factory.mktemp("weights") / "best.safetensors", folder)


@pytest.fixture(scope="session")
def retargeter(weights: Path) -> Retargeter:
    return Retargeter(weights)
