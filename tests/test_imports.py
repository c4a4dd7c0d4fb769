from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import g1_vq_retarget

ROOT = Path(next(iter(g1_vq_retarget.__path__)))
# Motion flows from left to right; a package may import those on its left.
ORDER = [["robot"], ["motion"], ["data"], ["models"], ["training"], ["evaluation", "retarget"], ["study", "streaming"]]
EVERYWHERE = {"errors", "files", "configuration"}
SIMULATORS = ("mujoco", "mjlab", "isaaclab", "isaacsim", "omni", "carb", "pxr", "gymnasium")
# above the order: what simulators and views have in common, and an adapter for each
TOP = ("tasks", "viewer")
# behind what a simulator or a view installs
ADAPTERS = (
    "g1_vq_retarget.tasks.isaaclab",
    "g1_vq_retarget.tasks.mjlab",
    "g1_vq_retarget.tasks.mujoco",
    "g1_vq_retarget.viewer",
)


def modules() -> list[str]:
    """Names of all modules that run without a simulator."""
    packages = pkgutil.walk_packages([str(ROOT)], "g1_vq_retarget.", onerror=lambda _: None)  # adapters want theirs
    names = [module.name for module in packages]
    return [name for name in names if not f"{name}.".startswith(tuple(f"{adapter}." for adapter in ADAPTERS))]


def imported(path: Path) -> Iterator[str]:
    """The parts of this package that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            head, _, rest = name.partition(".")
            if head == "g1_vq_retarget":
                yield rest.split(".")[0]


def loaded(code: str) -> set[str]:
    """Top-level names of the modules loaded by a fresh Python after some code."""
    code += "\nimport json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize("rank", range(len(ORDER)), ids=["/".join(names) for names in ORDER])
def test_imports_run_downward_only(rank: int) -> None:
    below = EVERYWHERE.union(*ORDER[:rank])
    for package in ORDER[rank]:
        files = list((ROOT / package).rglob("*.py"))
        assert files
        for path in files:
            above = set(imported(path)) - below - {package}
            assert not above, f"{path.relative_to(ROOT)} imports {', '.join(sorted(above))}"


def test_what_all_may_import_imports_nothing_of_the_rest() -> None:
    for name in EVERYWHERE:
        assert set(imported(ROOT / f"{name}.py")) <= EVERYWHERE, name


def test_every_package_has_its_place_in_the_order() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= set(TOP).union(*ORDER)


def test_importing_the_package_loads_neither_torch_nor_a_simulator() -> None:
    assert not loaded("import g1_vq_retarget") & {"torch", "numpy", "scipy", *SIMULATORS}


def test_no_module_of_the_core_loads_a_simulator() -> None:
    names = modules()
    assert {"g1_vq_retarget.retarget.retargeter", "g1_vq_retarget.tasks.mdp.rewards"} <= set(names)
    have = loaded("\n".join(f"import {name}" for name in names))
    assert {"torch", "g1_vq_retarget"} <= have
    assert not have & set(SIMULATORS)
