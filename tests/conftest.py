"""Real motion that lies beside the checkout and never in it; tests that need it are skipped where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def lafan1() -> Path:
    """Folder of LAFAN1: `bvh/`, `g1/`, `split.json`."""
    shared = os.environ.get("G1_VQ_SHARED") or Path(__file__).resolve().parents[2] / "shared"
    folder = Path(shared) / "data" / "lafan1"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; G1_VQ_SHARED names the folder that holds data/")
    return folder
