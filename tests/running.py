"""Running the scripts inside the tests' process."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


class Outcome(NamedTuple):
    """How a script ended: its exit code, and what it said."""

    code: int
    out: str
    err: str


Script = Callable[..., Outcome]


class World(NamedTuple):
    """Motion files (`g1/`, `bvh/`, `split.json`), windows made of them, and a model trained on those."""

    motion: Path
    data: Path
    run: Path
    config: Path


def run_script(name: str, args: tuple[object, ...], capture: pytest.CaptureFixture[str] | None = None) -> Outcome:
    """Run a script as from the command line. What it said is known if it is captured."""
    path, before = SCRIPTS / f"{name}.py", sys.argv
    sys.argv = [str(path), *map(str, args)]
    code: object = 0
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as stopped:
        code = stopped.code or 0
    finally:
        sys.argv = before
    assert isinstance(code, int), code
    if capture is None:
        return Outcome(code, "", "")
    said = capture.readouterr()
    return Outcome(code, said.out, said.err)
