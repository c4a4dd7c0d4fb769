"""Installing into the Python of Isaac Sim changes none of its pins. Asks the package index, installs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

# What isaacsim-kernel and isaacsim-core 5.1.0.0 pin of what our dependencies ask for too (isaaclab 2.3.2: numpy<2,
# packaging<24, pillow==11.3.0), from https://github.com/isaac-sim/IsaacLab/issues/5558, /5704 and /5880.
PINS = {
    "click": "8.1.7",
    "numpy": "1.26.0",
    "packaging": "23.0",
    "pillow": "11.3.0",
    "psutil": "5.9.8",
    "scipy": "1.15.3",
    "torch": "2.7.0",
    "typing_extensions": "4.12.2",
    "websockets": "12.0",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def isaac_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that looks to pip as if the pinned packages were installed in it."""
    folder = tmp_path_factory.mktemp("isaac")
    venv.create(folder, with_pip=False)
    variables = {"base": str(folder), "platbase": str(folder)}
    site_packages = Path(sysconfig.get_path("purelib", "venv", variables))
    for name, version in PINS.items():
        info = site_packages / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        (info / "INSTALLER").write_text("pip\n", encoding="utf-8")
        (info / "RECORD").touch()
    return Path(sysconfig.get_path("scripts", "venv", variables)) / "python"


def planned(python: Path, requirement: str, *options: str) -> dict[str, str]:
    """Version by name of what pip would install; skips the test where no package index answers."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--dry-run", "--quiet"]
    command += ["--report", "-", "--retries", "1", "--timeout", "15", *options, requirement]
    done = subprocess.run(command, capture_output=True, text=True)
    if "connection broken" in done.stderr and done.returncode:
        pytest.skip("no package index answers")
    assert done.returncode == 0, done.stderr
    items = [item["metadata"] for item in json.loads(done.stdout)["install"]]
    return {item["name"].lower().replace("-", "_"): item["version"] for item in items}


def test_the_core_can_be_installed_with_every_pin_held(wheel: Path, isaac_python: Path, tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in PINS.items()), encoding="utf-8")
    plan = planned(isaac_python, str(wheel), "-c", str(constraints))
    assert {"g1_vq_retarget", "tyro", "vector_quantize_pytorch"} <= set(plan)
    assert not set(plan) & set(PINS)


@pytest.mark.parametrize(
    ("extras", "moved"),
    [
        ("isaaclab,analysis", set()),
        ("isaaclab,compression", set()),
        ("isaaclab,ik", set()),
        ("isaaclab,download", set()),
        # viser 1 needs websockets 13; Isaac Sim uses its own to stream its picture, and then the viewer has to run
        # from another environment
        ("isaaclab,viewer", {"websockets"}),
    ],
)
def test_extras_move_no_pin(wheel: Path, isaac_python: Path, extras: str, moved: set[str]) -> None:
    plan = planned(isaac_python, f"g1_vq_retarget[{extras}] @ {wheel.as_uri()}")
    assert "g1_vq_retarget" in plan
    assert set(plan) & set(PINS) == moved
