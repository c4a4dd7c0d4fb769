"""A study from beginning to end: what is finished is left, what was begun goes on, what fails stays alone."""

from __future__ import annotations

import time

from filelock import FileLock, Timeout

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.study.display import Display, Row
from g1_vq_retarget.study.log import FINAL_SPLIT
from g1_vq_retarget.study.plan import Run, Study, plan
from g1_vq_retarget.study.run import read_pulse
from g1_vq_retarget.study.workers import LocalWorkers, RayWorkers

# Held, in the folders of results and of checkpoints, by whoever runs a study there.
LOCK = ".lock"
# Seconds between two looks at what runs.
LOOK = 0.5


def run_study(study: Study) -> list[Row]:
    """Train and measure all runs of a study, and show how they get on.

    Interrupted in any way and called again, it skips the runs that are finished and goes on with those that were begun
    after their last whole epoch.

    Returns:
        Where each run stands, those that failed with the reason.

    Raises:
        UserError: as `plan`, before anything is written; another process runs this study; Ray is missing.
    """
    plan(study)  # what cannot be is told before anything is written
    study.results.mkdir(parents=True, exist_ok=True)
    study.checkpoints.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(study.results / LOCK, timeout=0), FileLock(study.checkpoints / LOCK, timeout=0):
            return _run(study, plan(study))
    except Timeout as error:
        raise UserError(
            f"{error.lock_file}: another process runs a study in this folder; wait for it, or name other folders "
            "with --results and --checkpoints"
        ) from error


def _run(study: Study, runs: list[Run]) -> list[Row]:
    rows = [Row(run.logged()) for run in runs]
    for row in rows:
        row.state = "finished" if row.log.complete else "waiting"
    waiting = [place for place, row in enumerate(rows) if row.state == "waiting"]
    final = FINAL_SPLIT[study.protocol]
    told = f"figures of {final} when finished, before of {'a sample of it' if final == 'train' else 'val'}"
    with Display(rows, f"{study.data}, protocol {study.protocol}; {told}") as display:
        if waiting:
            _train(study, runs, rows, waiting, display)
    display.end()
    return rows


def _train(study: Study, runs: list[Run], rows: list[Row], waiting: list[int], display: Display) -> None:
    workers = {"local": LocalWorkers, "ray": RayWorkers}[study.engine](study.workers)
    running: list[int] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers.workers:
                place = waiting.pop(0)
                try:
                    workers.begin(place, runs[place])
                    rows[place].state = "running"
                    running.append(place)
                except OSError as error:
                    rows[place].state, rows[place].reason = "failed", f"{error.filename}: {error.strerror}"
            over = workers.ended()
            for place in running:
                _look(runs[place], rows[place])
            for place, reason in over:
                running.remove(place)
                rows[place].state, rows[place].reason = "failed" if reason else "finished", reason or ""
                rows[place].left = None
            display.update()
            if waiting or running:
                time.sleep(LOOK)
    finally:
        workers.stop()


def _look(run: Run, row: Row) -> None:
    row.log = run.logged()
    pulse = read_pulse(run.folder)
    if pulse is not None and pulse.seconds > 0 and pulse.share > 0:
        row.speed = pulse.step / pulse.seconds
        row.left = pulse.seconds * (1 - pulse.share) / pulse.share
