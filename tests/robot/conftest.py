from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def published_g1():
    """MuJoCo model of the G1 that mjlab ships; mjlab itself is not imported."""
    mujoco = pytest.importorskip("mujoco")
    found = importlib.util.find_spec("mjlab")
    if found is None or found.origin is None:
        pytest.skip("mjlab is not installed")
    path = Path(found.origin).parent / "asset_zoo/robots/unitree_g1/xmls/g1.xml"
    return mujoco.MjModel.from_xml_path(str(path))
