"""Runs side by side, on this machine or on a Ray cluster: each in a process of its own with its share of the cores.

A run that fails takes nothing with it: what it said is in `output.txt` in its folder.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from g1_vq_retarget.configuration import to_dict
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.study.plan import Run

OUTPUT = "output.txt"
COMMAND = (sys.executable, "-m", "g1_vq_retarget.study.run")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Ended(NamedTuple):
    """A run that is over, by its place, and in one line what went wrong, if anything did."""

    place: int
    reason: str | None


class Workers(Protocol):
    """Trains runs, some at a time."""

    workers: int
    """How many at a time; no more are begun."""

    def begin(self, place: int, run: Run) -> None:
        """Begin a run. Raises OSError if its folder cannot be written."""
        ...

    def ended(self) -> list[Ended]:
        """The runs that are over since the last call."""
        ...

    def stop(self) -> None:
        """End all that runs."""
        ...


class LocalWorkers:
    """Processes on this machine; GPUs are dealt out in turn.

    Args:
        workers: how many, by default one for each GPU, else one.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.gpus = _visible_gpus()
        self.workers = workers or max(1, len(self.gpus))
        self.threads = threads_each(_cores(), self.workers)
        self.slots = list(range(self.workers))
        self.running: dict[int, tuple[subprocess.Popen, int, Run]] = {}

    def begin(self, place: int, run: Run) -> None:
        slot = self.slots[0]
        environment = {name: str(self.threads) for name in THREADS}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        self.running[place] = (_begin_process(to_dict(run), Path.cwd(), environment), slot, run)
        self.slots.remove(slot)

    def ended(self) -> list[Ended]:
        over = [(place, *entry) for place, entry in self.running.items() if entry[0].poll() is not None]
        for place, _, slot, _ in over:
            del self.running[place]
            self.slots.append(slot)
        return [Ended(place, _wait(process, run.folder)) for place, process, _, run in over]

    def stop(self) -> None:
        for process, _, _ in self.running.values():
            process.kill()
            process.wait()


class RayWorkers:
    """Tasks of the Ray cluster that `RAY_ADDRESS` names, else of one that is begun on this machine.

    Args:
        workers: how many, by default one for each GPU of the cluster, else one for each machine.

    Raises:
        UserError: Ray is missing, or there is no such cluster.
    """

    def __init__(self, workers: int | None = None) -> None:
        try:
            self.ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise UserError("--engine ray needs ray: pip install -e '.[ray]'") from error
        self.began = not self.ray.is_initialized()
        try:
            if self.began:
                self.ray.init(log_to_driver=False)
        except ConnectionError as error:
            address = os.environ.get("RAY_ADDRESS")
            raise UserError(f"--engine ray: no cluster at RAY_ADDRESS={address}: {error}") from error
        machines = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        gpus = int(sum(machine.get("GPU", 0) for machine in machines))
        self.workers = workers or gpus or len(machines)
        cores = int(min(machine.get("CPU", 1) for machine in machines))
        self.threads = threads_each(cores, -(-self.workers // len(machines)))
        share = {"num_cpus": self.threads, "num_gpus": min(1.0, gpus / self.workers)}
        self.task: Any = self.ray.remote(**share, max_retries=0)(_on_ray)
        self.running: dict[Any, int] = {}

    def begin(self, place: int, run: Run) -> None:
        environment = {name: str(self.threads) for name in THREADS}
        self.running[self.task.remote(to_dict(run), os.getcwd(), environment)] = place

    def ended(self) -> list[Ended]:
        if not self.running:
            return []
        over, _ = self.ray.wait(list(self.running), num_returns=len(self.running), timeout=0)
        return [Ended(self.running.pop(task), self._reason(task)) for task in over]

    def stop(self) -> None:
        for task in self.running:
            self.ray.cancel(task, force=True)
        if self.began:
            self.ray.shutdown()

    def _reason(self, task: object) -> str | None:
        try:
            return self.ray.get(task)
        except self.ray.exceptions.RayError as error:
            return f"Ray: {str(error).strip().splitlines()[-1]}"


def threads_each(cores: int, workers: int) -> int:
    """Threads of each of so many processes that share the cores; the user's OMP_NUM_THREADS holds if it is less."""
    share = max(1, cores // workers)
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(told)) if told.isdigit() and int(told) else share


def _on_ray(told: dict, cwd: str, environment: dict[str, str]) -> str | None:
    """What a task does: as on this machine, in a process of its own, which ends with the task."""
    try:
        process = _begin_process(told, Path(cwd), environment)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    process.wait()
    return _wait(process, _folder(told, Path(cwd)))


def _begin_process(told: dict, cwd: Path, environment: Mapping[str, str]) -> subprocess.Popen:
    """A process that trains a run (as plain values), with the variables over this process's."""
    folder = _folder(told, cwd)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / OUTPUT).open("w", encoding="utf-8") as output:
        # a session of its own: Ctrl-C is for the first process alone, which then ends the others
        process = subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=cwd, text=True,
            env=os.environ | environment, start_new_session=True,
        )  # fmt: skip
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it is over already, and its exit code tells why
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()  # it stays open: the process ends with this one
    return process


def _folder(told: dict, cwd: Path) -> Path:
    return cwd / told["config"]["run"]


def _wait(process: subprocess.Popen, folder: Path) -> str | None:
    """What went wrong in a process that is over."""
    code = process.wait()
    with suppress(BrokenPipeError):
        assert process.stdin is not None
        process.stdin.close()
    if code == 0:
        return None
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    said = (folder / OUTPUT).read_text(encoding="utf-8", errors="replace").splitlines()
    last = next((line.strip() for line in reversed(said) if line.strip()), f"ended with exit code {code}")
    return last.removeprefix("error: ")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _visible_gpus() -> list[str]:
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = [str(index) for index in range(torch.cuda.device_count())]
    return found if told is None or not found else told.split(",")
