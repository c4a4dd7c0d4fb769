"""One run of a study, in a process of its own: `python -m g1_vq_retarget.study.run`, told the run on its input.

When that input ends, whoever began the run is gone, and so is the run: it goes on after its last whole epoch another
time.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from g1_vq_retarget.configuration import from_dict
from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import reporting
from g1_vq_retarget.files import replacing
from g1_vq_retarget.study.log import FINAL_SPLIT, StudyLog, write_log
from g1_vq_retarget.study.plan import Run
from g1_vq_retarget.training.checkpoint import load_checkpoint
from g1_vq_retarget.training.loop import train
from g1_vq_retarget.training.metrics import evaluate
from g1_vq_retarget.training.state import Progress

PULSE = "progress.json"
# Seconds between two messages of how far a run is.
EVERY = 1.0


@dataclass(frozen=True)
class Pulse:
    """How far a run is, inside of an epoch too."""

    epoch: int
    """Epochs finished."""
    step: int
    """Optimizer steps taken."""
    seconds: float
    """Time of the training."""
    share: float
    """Part of the budget that is spent, 0 to 1."""


def train_run(run: Run) -> None:
    """Train, or go on training; the log is written after every epoch and, with the final figures, at the end."""
    train(run.config, _Watch(run))
    lines = json.loads((run.folder / "log.json").read_text(encoding="utf-8"))
    split = FINAL_SPLIT[run.log.protocol]
    final = {split: _measure(run, split)}
    write_log(run.results, replace(_with_lines(run, lines), complete=True, final=final))
    (run.folder / PULSE).unlink(missing_ok=True)


def read_pulse(folder: Path) -> Pulse | None:
    """How far the run in a folder is; None before its first step and after its end."""
    try:
        return Pulse(**json.loads((folder / PULSE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


class _Watch:
    """Keeps a run's log up to date, and tells how far it is."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.told = -EVERY

    def __call__(self, progress: Progress, share: float) -> None:
        if progress.step and progress.log and progress.log[-1]["step"] == progress.step:
            write_log(self.run.results, _with_lines(self.run, progress.log))
        if time.monotonic() - self.told > EVERY:
            self.told = time.monotonic()
            pulse = Pulse(progress.epoch, progress.step, round(progress.seconds, 1), round(share, 4))
            with replacing(self.run.folder / PULSE) as temporary:
                temporary.write_text(json.dumps(asdict(pulse)), encoding="utf-8")


def _with_lines(run: Run, lines: list[dict]) -> StudyLog:
    return replace(run.log, epochs=lines, seconds=lines[-1]["seconds"])


def _measure(run: Run, split: str) -> dict:
    checkpoint = load_checkpoint(run.folder)
    model = checkpoint.model.to("cuda" if torch.cuda.is_available() else "cpu")
    spec, human = checkpoint.spec, checkpoint.info["human_windows"] > 0
    windows, whole_clips = DataFolder(run.config.data).split(split), run.config.crop > 0
    metrics = evaluate(model, windows, spec, spec.robot_model(), human, whole_clips).metrics
    return metrics | {"coding": "clips" if whole_clips else "windows"}


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(1)


def main() -> None:
    run = from_dict(Run, json.loads(sys.stdin.readline()), "the run")
    threading.Thread(target=_end_with_input, daemon=True).start()
    train_run(run)


if __name__ == "__main__":
    with reporting():
        main()
