"""What works here, and the one command that mends what does not.

Nothing beyond the standard library is imported before a check asks for it, and a check that fails is a line of the
report: the doctor speaks where half of the dependencies are absent.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from packaging.requirements import Requirement

NAME = "g1_vq_retarget"
ROOT = Path(__file__).parents[2]  # of the checkout, if this is one
PIP = "python -m pip"
EXTRAS = ("ik", "viewer", "ray", "mjlab", "analysis", "compression")
MODULES = {"pyyaml": "yaml"}  # where it is not the distribution's name
NOT_IMPORTED = {"mjlab"}  # loads a simulator
ISAAC = {
    "isaacsim": f"{PIP} install 'isaacsim[all,extscache]==5.1.0' --extra-index-url https://pypi.nvidia.com",
    "isaaclab": "./isaaclab.sh --install  # in a clone of Isaac Lab",
}
# a frame of the G1 above its floor has bright and dark pixels; one that is black, or of one colour, was not drawn
CONTRAST = 30


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: what was looked at.
        state: `missing` is absent, `broken` is there and does not work.
        found: versions, places, reasons.
        fix: one command, empty where nothing needs mending.
        required: whether the core needs it.
    """

    name: str
    state: Literal["ok", "missing", "broken"]
    found: str
    fix: str = ""
    required: bool = False

    @property
    def fatal(self) -> bool:
        """Whether the core cannot work like this."""
        return self.required and self.state != "ok"


def examine() -> list[Check]:
    """Look at everything: Python, this package, its dependencies, devices, rendering, simulators, tools."""
    return [
        check_python(),
        check_package(),
        *check_dependencies(),
        check_devices(),
        check_rendering(),
        *check_isaac(),
        *check_tools(),
    ]


def report(checks: Iterable[Check]) -> str:
    """The checks as text, a line each and one more for its fix, and what follows from them."""
    lines, fatal = [], []
    for check in checks:
        state = check.state if check.required or check.state == "ok" else f"{check.state}, optional"
        lines.append(f"{check.name:28s}{state:20s}{check.found}")
        if check.fix:
            lines.append(f"{'':28s}fix: {check.fix}")
        if check.fatal:
            fatal.append(check.name)
    lines += ["", f"the core does not work: mend {', '.join(fatal)}" if fatal else "the core works"]
    return "\n".join(lines)


def check_python() -> Check:
    """Which Python this is; pip has refused to install into one that is too old."""
    return Check("python", "ok", f"{platform.python_version()} at {sys.executable}", required=True)


def check_package() -> Check:
    """Whether this package is installed, from where, and whether its metadata is that of the checkout it runs from."""
    version = _version(NAME)
    where = Path(__file__).parent
    if version is None:
        return Check(NAME, "broken", f"runs from {where}, is not installed", install(), True)
    found = f"{version} from {where}"
    extension = ROOT / "exts" / NAME / "config" / "extension.toml"
    if extension.is_file():
        current = tomllib.loads(extension.read_text(encoding="utf-8"))["package"]["version"]
        if current != version:
            return Check(NAME, "broken", f"{found}, which is {current} by now", install(), True)
    return Check(NAME, "ok", found, required=True)


def check_dependencies() -> Iterator[Check]:
    """Each direct dependency: whether it is there, of a version that our metadata allows, and can be imported."""
    try:
        required = requirements()
    except ImportError:
        yield Check("packaging", "missing", "", install(), True)
        return
    for requirement in required.values():
        yield _check_dependency(requirement)
    optional: dict[str, tuple[Requirement, list[str]]] = {}
    for extra in EXTRAS:
        for name, requirement in requirements(extra).items():
            have, extras = optional.setdefault(name, (requirement, []))
            have.specifier &= requirement.specifier
            extras.append(extra)
    for requirement, extras in optional.values():
        yield _check_dependency(requirement, extras)


def requirements(extra: str = "") -> dict[str, Requirement]:
    """What this package asks for, or what an extra asks for on top of it, by name.

    Raises:
        ImportError: packaging, which reads requirements, is absent.
    """
    from packaging.requirements import Requirement

    if (ROOT / "pyproject.toml").is_file():
        # the metadata of an editable installation is as old as the last `pip install`
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        lines = project["optional-dependencies"].get(extra, []) if extra else project["dependencies"]
        return {requirement.name: requirement for requirement in map(Requirement, lines)}
    result = {}
    for requirement in map(Requirement, _requires(NAME)):
        marker, requirement.marker = requirement.marker, None
        always = marker is None or marker.evaluate({"extra": ""})
        if always if not extra else not always and marker is not None and marker.evaluate({"extra": extra}):
            result[requirement.name] = requirement
    return result


def check_devices() -> Check:
    """What torch computes on."""
    try:
        import torch
    except Exception as error:
        return Check("devices", "broken", f"torch cannot be imported: {_reason(error)}", install(), True)
    found = [f"CPU ({torch.get_num_threads()} threads)"]
    try:
        for index in range(torch.cuda.device_count()):
            torch.zeros(1, device=f"cuda:{index}").add_(1)  # fails where torch has no kernels for the card
            memory = torch.cuda.get_device_properties(index).total_memory / 2**30
            found.append(f"cuda:{index} {torch.cuda.get_device_name(index)} ({memory:.0f} GiB)")
    except RuntimeError as error:
        return Check("devices", "broken", f"{found[0]}; CUDA fails: {_reason(error)}", _CUDA_FIX)
    if torch.backends.mps.is_available():
        found.append("MPS")
    if len(found) == 1 and shutil.which("nvidia-smi"):
        return Check("devices", "broken", f"{found[0]}; torch {torch.__version__} does not see the GPU", _CUDA_FIX)
    return Check("devices", "ok", ", ".join(found))


_CUDA_FIX = f"{PIP} install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu128"


def check_rendering() -> Check:
    """Whether MuJoCo draws without a screen: one small frame by each library, each in a process of its own."""
    name = "rendering"
    if _version("mujoco") is None:
        return Check(name, "missing", "needs mujoco", install("viewer"))
    # elsewhere the system's own library is the only one
    backends = ("egl", "osmesa") if sys.platform == "linux" else ("",)
    failures = {backend: _frame_failure(backend) for backend in backends}
    working = [backend or "native" for backend, failure in failures.items() if not failure]
    failed = [f"{backend or 'native'} does not ({failure})" for backend, failure in failures.items() if failure]
    if not working:
        return Check(name, "broken", "; ".join(failed), "sudo apt-get install -y libosmesa6")
    return Check(name, "ok", "; ".join([f"{' and '.join(working)} (MUJOCO_GL={working[0]})", *failed]))


def draw_frame() -> int:
    """Draw the G1 on a few pixels by the library that `MUJOCO_GL` names; returns brightest minus darkest value."""
    from g1_vq_retarget.robot import build_mjcf, load_robot

    mujoco: Any = importlib.import_module("mujoco")
    model = mujoco.MjModel.from_xml_string(build_mjcf(load_robot()))
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, 48, 64) as renderer:
        renderer.update_scene(data)
        pixels = renderer.render()
    return int(pixels.max()) - int(pixels.min())


def check_isaac() -> Iterator[Check]:
    """Isaac Sim and Isaac Lab, by their metadata alone, and whether the versions they pin are kept."""
    here = {name: _version(name) for name in ISAAC}
    for name, version in here.items():
        yield Check(name, "ok", version) if version else Check(name, "missing", "", ISAAC[name])
    try:
        broken, fix = _broken_pins()
    except ImportError:
        return  # packaging is missing, and says so
    if not any(here.values()):
        found = f"none to keep; Isaac Sim could not live here: {', '.join(broken)}" if broken else "none to keep"
        yield Check("pins of Isaac", "ok", found)
    elif broken:
        yield Check("pins of Isaac", "broken", ", ".join(broken), fix)
    else:
        yield Check("pins of Isaac", "ok", "kept")


def check_tools() -> Iterator[Check]:
    """Programs beside Python, and a package that old instructions name by mistake."""
    git = shutil.which("git")
    # runs record the revision they were made with
    yield Check("git", "ok", git) if git else Check("git", "missing", "", "sudo apt-get install -y git")
    try:
        ffmpeg = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # the latter where the package came without the program
        ffmpeg = shutil.which("ffmpeg")
    yield Check("ffmpeg", "ok", ffmpeg) if ffmpeg else Check("ffmpeg", "missing", "", install("viewer"))
    pinocchio = _version("pinocchio")
    if pinocchio is not None:
        found = f"{pinocchio} is no robotics library (that is `pin`, and not needed)"
        yield Check("pinocchio", "broken", found, f"{PIP} uninstall -y pinocchio")


def install(*extras: str) -> str:
    """The command that installs this package with extras, and in Isaac's Python with the versions Isaac pins."""
    if any(map(_version, ISAAC)):
        extras = ("isaaclab", *extras)
    wanted = f"[{','.join(extras)}]" if extras else ""
    if (ROOT / "pyproject.toml").is_file():
        return f"{PIP} install -e '{ROOT}{wanted}'"
    return f"{PIP} install '{NAME}{wanted}'"


def _check_dependency(requirement: Requirement, extras: Sequence[str] = ()) -> Check:
    name, needed = requirement.name, not extras
    title = f"{name} [{', '.join(extras)}]" if extras else name
    version = _version(name)
    if version is None:
        return Check(title, "missing", f"needs {requirement.specifier}", install(*extras[:1]), needed)
    if not requirement.specifier.contains(version, prereleases=True):
        return Check(title, "broken", f"{version}, needs {requirement.specifier}", install(*extras[:1]), needed)
    if name in NOT_IMPORTED:
        absent = [need.name for need in _needs(name) if _version(need.name) is None]
        if absent:
            return Check(title, "broken", f"{version} without {', '.join(absent)}", install(*extras[:1]), needed)
    else:
        try:
            importlib.import_module(MODULES.get(name, name.replace("-", "_")))
        except Exception as error:  # whatever a broken installation raises
            fix = f"{PIP} install --force-reinstall --no-deps {name}=={version}"
            return Check(title, "broken", f"{version} cannot be imported: {_reason(error)}", fix, needed)
    return Check(title, "ok", version, required=needed)


def _broken_pins() -> tuple[list[str], str]:
    """What Isaac asks for and does not have, and the command that brings it back.

    What our extra asks for stands in where Isaac was installed without metadata.
    """
    names = [distribution.metadata["Name"] for distribution in metadata.distributions()]
    isaac = [name for name in names if name and name.lower().startswith(tuple(ISAAC))]
    pins = [pin for name in isaac for pin in _needs(name)] + list(requirements("isaaclab").values())
    broken: dict[str, tuple[str, str]] = {}
    for pin in pins:
        version = _version(pin.name)
        if version is not None and not pin.specifier.contains(version, prereleases=True):
            # Isaac's own come first and are the more exact
            entry = f"{pin.name} {version} (not {pin.specifier})", f"'{pin.name}{pin.specifier}'"
            broken.setdefault(pin.name.lower(), entry)
    return [found for found, _ in broken.values()], f"{PIP} install {' '.join(wanted for _, wanted in broken.values())}"


def _frame_failure(backend: str) -> str:
    """Why a frame cannot be drawn by this library; empty if it can."""
    code = "from g1_vq_retarget.doctor import draw_frame; print(draw_frame())"
    environment = os.environ | ({"MUJOCO_GL": backend} if backend else {})
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return "no answer"
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line and not line.startswith(" ")]
        return said[-1][:120] if said else f"exit code {done.returncode}"
    return "" if int(done.stdout.split()[-1]) >= CONTRAST else "an empty frame"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _needs(name: str) -> list[Requirement]:
    """What an installed distribution asks for here, without its extras."""
    from packaging.requirements import Requirement

    needs = map(Requirement, _requires(name))
    return [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
