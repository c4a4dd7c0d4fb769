"""The log of a run of the study: what `scripts/train_ablation.py` writes and plots, tables and the analysis read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from g1_vq_retarget.configuration import from_dict, to_dict
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing
from g1_vq_retarget.training.config import Precision

Protocol = Literal["seed", "heldout", "equal-rate"]
# The split that a protocol's final figures are of.
FINAL_SPLIT: Mapping[Protocol, str] = {"seed": "train", "heldout": "test", "equal-rate": "test"}


@dataclass
class StudyLog:
    """One run: one variant, one seed. Figures of protocol seed are of windows that were trained on, and never stand
    beside those of the others."""

    experiment: str
    """Stem of the preset; of those at equal rate with `equal_rate-` before it."""
    label: str
    """Name of the variant in tables and plots."""
    quantizer: str
    """Kind of the quantizer."""
    preset: str
    """The preset's file."""
    seed: int
    """Seed of the training."""
    protocol: Protocol
    """seed: measured on the windows that were trained on, in the original's settings; heldout: on clips that were not;
    equal-rate: the same with vocabularies of one size."""
    data: str
    """Folder of windows."""
    budget: dict[str, float]
    """`epochs`, or `minutes` of training."""
    bits_per_second: float
    """Nominal rate of the tokens."""
    codebook_sizes: list[int]
    """Codes of each level."""
    checkpoint: str
    """Folder of the run, its best checkpoint in it."""
    precision: Precision = "32-true"
    """Arithmetic of the networks in training."""
    complete: bool = False
    """Whether the training has used its budget and `final` is measured."""
    seconds: float = 0.0
    """Time of the training so far, validation not counted."""
    epochs: list[dict] = field(default_factory=list)
    """A line an epoch: `epoch`, `step`, `seconds`; `train`, the means of the loss terms; `val`, the metrics of
    `training.metrics.evaluate`. Under protocol seed, `val` is of a fixed sample of the train split."""
    final: dict[str, dict] = field(default_factory=dict)
    """Metrics of the best checkpoint by split: `train` under protocol seed, else `test`; of all its windows. `coding`
    is `clips` where whole clips were coded and the windows cut from what is decoded, else `windows`."""


def log_path(folder: Path, experiment: str, seed: int) -> Path:
    """The file of a run's log."""
    return folder / f"log_{experiment}_seed_{seed}.json"


def write_log(folder: Path, log: StudyLog) -> None:
    """Write a run's log, whole or not at all."""
    with replacing(log_path(folder, log.experiment, log.seed)) as temporary:
        temporary.write_text(json.dumps(to_dict(log), indent=1, ensure_ascii=False), encoding="utf-8")


def read_log(path: Path) -> StudyLog:
    """The log in a file. Raises UserError if it is none."""
    try:
        values = json.loads(existing_file(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not JSON ({error}); run scripts/train_ablation.py again") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: not a log of scripts/train_ablation.py")
    return from_dict(StudyLog, values, str(path))


def read_logs(folder: Path) -> list[StudyLog]:
    """Every log in a folder, by file name; finished runs and begun ones.

    Raises:
        UserError: no log there, or one that cannot be read.
    """
    paths = sorted(folder.glob("log_*_seed_*.json"))
    if not paths:
        raise UserError(f"{folder}: no log_<experiment>_seed_<n>.json in it; make them with scripts/train_ablation.py")
    return [read_log(path) for path in paths]
