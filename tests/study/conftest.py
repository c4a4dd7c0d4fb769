from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from g1_vq_retarget.data.process import WindowConfig
from g1_vq_retarget.study.plan import Study
from synthetic import data_folder, pair

TINY = """
label: {name}
batch_size: 16
pairs: 4
model:
  network: {{latent_dim: 8, width: 16, depth: 1, downsample: 4, smoothing: 4, dropout: 0.3}}
  quantizer: {{kind: {kind}, levels: 2, codebook_size: 8, kmeans_iters: 3}}
"""


@pytest.fixture(scope="session")
def heldout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_folder(tmp_path_factory.mktemp("study") / "heldout").path


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of protocol seed."""
    clips = {"train": [pair(f"clip{seed}", 150, seed) for seed in range(2)]}
    config = WindowConfig(window=16, stride=8, protocol="seed")
    return data_folder(tmp_path_factory.mktemp("study") / "everything", clips, config).path


@pytest.fixture
def preset(tmp_path: Path) -> Callable[..., str]:
    """Write a preset of a few thousand numbers."""

    def write(name: str, kind: str = "rvq", more: str = "") -> str:
        path = tmp_path / f"{name}.yaml"
        path.write_text(TINY.format(name=name, kind=kind) + more)
        return str(path)

    return write


@pytest.fixture
def study(heldout: Path, tmp_path: Path, preset: Callable[..., str]) -> Callable[..., Study]:
    """A study of one run, with changes."""

    def make(**changes: Any) -> Study:
        settings = {"variants": [preset("one")], "seeds": [1], "data": heldout, "epochs": 2} | changes
        return Study(results=tmp_path / "results", checkpoints=tmp_path / "checkpoints", **settings)

    return make
