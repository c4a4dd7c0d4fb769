"""The built wheel holds everything: it is installed away from the checkout and imported there."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
PACKAGE = CHECKOUT / "source" / "g1_vq_retarget"

# Runs with -I -S: neither the working folder nor site-packages, where the editable installation hooks in. What the
# package needs is put on the path by hand, without reading *.pth files.
ADAPTERS = ("g1_vq_retarget.tasks.isaaclab", "g1_vq_retarget.tasks.mjlab")
PROBE = """
import sys
target, site_packages, *adapters = sys.argv[1:]
sys.path[:0] = [target, site_packages]
import importlib, json, pkgutil
from importlib.metadata import version
import g1_vq_retarget

# adapters import their simulator, which is not here
packages = pkgutil.walk_packages(g1_vq_retarget.__path__, "g1_vq_retarget.", onerror=lambda name: None)
names = [m.name for m in packages if not m.name.startswith(tuple(adapters))]
modules = [g1_vq_retarget, *(importlib.import_module(name) for name in names)]
from g1_vq_retarget.configuration import preset_folder, read_preset
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.training.config import TrainConfig
presets = sorted(preset_folder().rglob("*.yaml"))
for preset in presets:
    read_preset(TrainConfig, preset)
print(json.dumps({
    "modules": {module.__name__: module.__file__ for module in modules},
    "version": version("g1_vq_retarget"),
    "joints": len(load_robot("g1").joints),
    "presets": [str(preset) for preset in presets],
}))
"""


@pytest.fixture(scope="module")
def target(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the checkout that the wheel is installed in."""
    folder = tmp_path_factory.mktemp("target")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*command, str(wheel)], check=True)
    assert not folder.is_relative_to(CHECKOUT)
    return folder


@pytest.fixture(scope="module")
def seen(target: Path) -> dict:
    """What a Python sees that finds the package in `target` alone."""
    import yaml  # lies where the other dependencies do

    site_packages = Path(yaml.__file__).parents[1]
    command = [sys.executable, "-I", "-S", "-c", PROBE, str(target), str(site_packages), *ADAPTERS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=target)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_module_of_the_checkout_is_imported_from_the_wheel(seen: dict, target: Path) -> None:
    files = [path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.py")]
    names = {".".join(path.parts).removesuffix(".__init__") for path in files}
    adapters = {name for name in names if name.startswith(ADAPTERS)}
    assert set(seen["modules"]) == names - adapters
    assert (target / "g1_vq_retarget/tasks/mjlab/playback.py").is_file()
    assert all(Path(file).is_relative_to(target) for file in seen["modules"].values())


def test_data_files_are_found(seen: dict, target: Path) -> None:
    assert seen["joints"] == 29
    presets = {str(Path(path).relative_to(target / "g1_vq_retarget" / "config")) for path in seen["presets"]}
    assert presets == {str(path.relative_to(CHECKOUT / "config")) for path in (CHECKOUT / "config").rglob("*.yaml")}
    assert presets


def test_the_version_is_that_of_the_extension(seen: dict) -> None:
    extension = tomllib.loads((CHECKOUT / "exts/g1_vq_retarget/config/extension.toml").read_text(encoding="utf-8"))
    assert seen["version"] == extension["package"]["version"]


def test_nothing_but_package_and_metadata_with_the_licence_is_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (licence,) = (name for name in names if name.endswith("/LICENSE"))
        assert archive.read(licence) == (CHECKOUT / "LICENSE").read_bytes()
    (metadata,) = {name.split("/")[0] for name in names} - {"g1_vq_retarget"}
    assert metadata.endswith(".dist-info")
    assert {Path(name).suffix for name in names if name.startswith("g1_vq_retarget/")} == {".py", ".yaml", ".html"}
