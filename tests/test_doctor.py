"""The doctor tells what is absent, too old or broken, and one command that mends it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from g1_vq_retarget import doctor
from g1_vq_retarget.doctor import Check
from running import run_script

PYPROJECT = """
[project]
dependencies = ["numpy>=1.26", "pyyaml>=6"]
[project.optional-dependencies]
ik = ["roma>=1", "mjlab"]
viewer = ["roma<2"]
isaaclab = ["numpy<2"]
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a few dependencies."""
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is installed, to be changed by the test."""
    versions = {"numpy": "1.26.4", "pyyaml": "6.0", "roma": "1.5", "mjlab": "1.6.0"}
    monkeypatch.setattr(doctor, "_version", versions.get)
    monkeypatch.setattr(doctor, "_requires", lambda _: [])
    return versions


def dependencies() -> dict[str, Check]:
    return {check.name: check for check in doctor.check_dependencies()}


# dependencies


def test_here_the_core_works() -> None:
    checks = [doctor.check_python(), doctor.check_package(), *doctor.check_dependencies(), doctor.check_devices()]
    assert not [check for check in checks if check.fatal]
    assert {"torch", "numpy", "vector-quantize-pytorch", "mink [ik]"} <= {check.name for check in checks}


@pytest.mark.usefixtures("root", "versions")
def test_what_is_there_is_ok_and_extras_that_want_the_same_are_one_line() -> None:
    checks = dependencies()
    assert list(checks) == ["numpy", "pyyaml", "roma [ik, viewer]", "mjlab [ik]"]
    assert {check.state for check in checks.values()} == {"ok"}
    assert [check.required for check in checks.values()] == [True, True, False, False]


@pytest.mark.parametrize(("version", "bound"), [("0.9", ">=1"), ("2.1", "<2")])
@pytest.mark.usefixtures("root")
def test_the_bounds_of_all_extras_hold(versions: dict[str, str], version: str, bound: str) -> None:
    versions["roma"] = version
    check = dependencies()["roma [ik, viewer]"]
    assert (check.state, check.fatal) == ("broken", False)
    assert bound in check.found


def test_a_missing_dependency_is_fatal_and_installed_by_one_command(root: Path, versions: dict[str, str]) -> None:
    del versions["numpy"]
    check = dependencies()["numpy"]
    assert (check.state, check.fatal) == ("missing", True)
    assert check.fix == f"python -m pip install -e '{root}'"


def test_a_missing_extra_is_not_fatal_and_installed_by_its_name(root: Path, versions: dict[str, str]) -> None:
    del versions["roma"]
    check = dependencies()["roma [ik, viewer]"]
    assert (check.state, check.fatal) == ("missing", False)
    assert check.fix == f"python -m pip install -e '{root}[ik]'"


@pytest.mark.usefixtures("root")
def test_too_old_a_version_is_fatal(versions: dict[str, str]) -> None:
    versions["numpy"] = "1.25.2"
    check = dependencies()["numpy"]
    assert (check.state, check.fatal) == ("broken", True)
    assert check.found == "1.25.2, needs >=1.26"


@pytest.mark.usefixtures("root", "versions")
def test_what_cannot_be_imported_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    check = dependencies()["pyyaml"]
    assert (check.state, check.fatal) == ("broken", True)
    assert check.fix == "python -m pip install --force-reinstall --no-deps pyyaml==6.0"


@pytest.mark.usefixtures("root", "versions")
def test_a_simulator_is_not_imported_but_its_needs_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mjlab", None)
    monkeypatch.setattr(doctor, "_requires", lambda _: ["numpy", "warp-lang>=1", "wandb; extra == 'log'"])
    check = dependencies()["mjlab [ik]"]
    assert (check.state, check.found) == ("broken", "1.6.0 without warp-lang")


@pytest.mark.usefixtures("versions")
def test_away_from_a_checkout_the_metadata_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setattr(doctor, "_requires", lambda _: ["numpy>=3", "roma>=1; extra == 'ik'", "pytest; extra == 'dev'"])
    checks = dependencies()
    assert {name: check.state for name, check in checks.items()} == {"numpy": "broken", "roma [ik]": "ok"}
    assert checks["numpy"].fix == "python -m pip install 'g1_vq_retarget'"


def test_without_packaging_the_doctor_still_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    (check,) = doctor.check_dependencies()
    assert (check.name, check.fatal) == ("packaging", True)


@pytest.mark.usefixtures("versions")
def test_a_package_that_is_not_installed_is_fatal() -> None:
    assert doctor.check_package().fatal


def test_metadata_older_than_the_checkout_is_fatal(root: Path, versions: dict[str, str]) -> None:
    versions["g1_vq_retarget"] = "0.1.0"
    extension = root / "exts/g1_vq_retarget/config/extension.toml"
    extension.parent.mkdir(parents=True)
    extension.write_text('[package]\nversion = "0.1.0"\n')
    assert doctor.check_package().state == "ok"
    extension.write_text('[package]\nversion = "0.2.0"\n')
    check = doctor.check_package()
    assert check.fatal
    assert "0.2.0" in check.found


# devices and rendering


def test_a_gpu_that_torch_does_not_see_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    assert doctor.check_devices().state == "ok"
    monkeypatch.setattr(doctor.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    check = doctor.check_devices()
    assert (check.state, check.fatal) == ("broken", False)
    assert "download.pytorch.org" in check.fix


def test_a_gpu_that_torch_has_no_kernels_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_kernel(*_, **__) -> None:
        raise RuntimeError("CUDA error: no kernel image is available")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "zeros", no_kernel)
    check = doctor.check_devices()
    assert check.state == "broken"
    assert "no kernel image" in check.found


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize(
    ("code", "out", "err", "reason"),
    [
        (0, "255\n", "", None),
        (0, "0\n", "", "an empty frame"),
        (1, "", "Traceback\n  File\nImportError: no EGL\n  more", "ImportError: no EGL"),
        (-11, "", "", "exit code -11"),
    ],
)
def test_a_frame_must_show_something(
    versions: dict[str, str], monkeypatch: pytest.MonkeyPatch, code: int, out: str, err: str, reason: str | None
) -> None:
    versions["mujoco"] = "3.11.0"
    monkeypatch.setattr(sys, "platform", "linux")
    asked = []

    def run(*_, env: dict[str, str], **__) -> SimpleNamespace:
        asked.append(env["MUJOCO_GL"])
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    monkeypatch.setattr(subprocess, "run", run)
    check = doctor.check_rendering()
    assert asked == ["egl", "osmesa"]
    assert check.state == ("broken" if reason else "ok")
    assert (reason or "egl and osmesa") in check.found
    assert not check.fatal


def test_a_working_library_is_named_beside_one_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(doctor, "_frame_failure", {"egl": "no EGL", "osmesa": ""}.get)
    check = doctor.check_rendering()
    assert check.state == "ok"
    assert check.found == "osmesa (MUJOCO_GL=osmesa); egl does not (no EGL)"


# Isaac and tools


@pytest.fixture
def isaac(versions: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Isaac Sim's metadata beside ours; what it asks for."""
    needs = ["numpy==1.26.0", "absent==1", "pyyaml==5; extra == 'other'"]
    versions["isaacsim"] = "5.1.0.0"
    kernel = SimpleNamespace(metadata={"Name": "isaacsim-kernel"})
    monkeypatch.setattr(doctor.metadata, "distributions", lambda: [kernel])
    monkeypatch.setattr(doctor, "_requires", lambda name: needs if name == "isaacsim-kernel" else [])
    return needs


@pytest.mark.usefixtures("root", "isaac")
def test_pins_that_isaac_sim_holds_are_kept_or_brought_back(versions: dict[str, str]) -> None:
    versions["numpy"] = "1.26.0"
    checks = {check.name: check for check in doctor.check_isaac()}
    assert [check.state for check in checks.values()] == ["ok", "missing", "ok"]
    versions["numpy"] = "2.4.6"
    check = {check.name: check for check in doctor.check_isaac()}["pins of Isaac"]
    assert (check.state, check.fatal, check.found) == ("broken", False, "numpy 2.4.6 (not ==1.26.0)")
    assert check.fix == "python -m pip install 'numpy==1.26.0'"


@pytest.mark.usefixtures("isaac")
def test_in_isaacs_python_everything_is_installed_within_its_pins(root: Path) -> None:
    assert doctor.install() == f"python -m pip install -e '{root}[isaaclab]'"
    assert doctor.install("ik") == f"python -m pip install -e '{root}[isaaclab,ik]'"


@pytest.mark.usefixtures("root")
def test_without_isaac_the_doctor_says_whether_it_could_live_here(versions: dict[str, str]) -> None:
    versions["numpy"] = "2.4.6"
    *absent, pins = doctor.check_isaac()
    assert [check.state for check in absent] == ["missing", "missing"]
    assert pins.state == "ok"
    assert "numpy 2.4.6 (not <2)" in pins.found


def test_the_wrong_pinocchio_is_told(versions: dict[str, str]) -> None:
    assert "pinocchio" not in {check.name for check in doctor.check_tools()}
    versions["pinocchio"] = "0.4.3"
    check = {check.name: check for check in doctor.check_tools()}["pinocchio"]
    assert (check.state, check.fatal) == ("broken", False)
    assert check.fix == "python -m pip uninstall -y pinocchio"


# the script


@pytest.mark.parametrize(("required", "code"), [(False, 0), (True, 1)])
def test_the_exit_code_tells_whether_the_core_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], required: bool, code: int
) -> None:
    checks = [Check("good", "ok", "1.0", required=True), Check("bad", "broken", "old", "mend bad", required)]
    monkeypatch.setattr(doctor, "examine", lambda: checks)
    path = tmp_path / "report.json"
    ended = run_script("doctor", ("--json", path), capsys)
    assert ended.code == code
    assert "mend bad" in ended.out
    assert ("the core works" in ended.out) == (not required)
    assert ("broken, optional" in ended.out) == (not required)
    report = json.loads(path.read_text())
    assert report["core_works"] == (not required)
    assert report["checks"][1] == {
        "name": "bad", "state": "broken", "found": "old", "fix": "mend bad", "required": required
    }  # fmt: skip
