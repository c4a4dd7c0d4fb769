"""What tests in several folders need: real motion from beside the checkout, a wheel built from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def lafan1() -> Path:
    """Folder of LAFAN1: `bvh/`, `g1/`, `split.json`. It lies beside the checkout and never in it."""
    shared = os.environ.get("G1_VQ_SHARED") or Path(__file__).resolve().parents[2] / "shared"
    folder = Path(shared) / "data" / "lafan1"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; G1_VQ_SHARED names the folder that holds data/")
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is published: a wheel from a source distribution, built without network."""
    folder, checkout = tmp_path_factory.mktemp("wheel"), Path(__file__).parents[1]
    # a copy, since setuptools leaves build/ where it builds, and takes from there what has since been removed
    for entry in checkout.iterdir():
        target = folder / "copy" / entry.name
        if entry.is_file():
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(entry, target)
        elif entry.name in ("config", "docs", "exts", "scripts", "source", "tests"):
            shutil.copytree(entry, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    build = "from setuptools import build_meta; build_meta.build_sdist('..')"
    _run(["-c", build], folder / "copy")
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "sdist")
    (source,) = (folder / "sdist").iterdir()
    _run(["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), "."], source)
    (built,) = folder.glob("*.whl")
    return built


def _run(arguments: list[str], folder: Path) -> None:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
