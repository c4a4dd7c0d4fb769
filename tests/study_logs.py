"""Logs of a study that nobody ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from g1_vq_retarget.study.log import Protocol, StudyLog, write_log

METRICS: Mapping[str, Any] = {
    "windows": 200, "human_windows": 50, "recon": 0.02, "cross": 0.2, "align_mse": 0.3, "vel": 0.003,
    "commitment": 0.1, "jerk": 0.001, "jerk_ratio": 0.8, "perplexity": [100.0, 200.0], "dead_code_ratio": [0.1, 0.3],
    "bits_per_second": 500.0, "entropy_bits_per_second": 420.0, "body_error_mm": 12.0, "cross_body_error_mm": 22.0,
}  # fmt: skip
TERMS = {"recon": 0.1, "vq": 0.2, "vel": 0.01, "cross": 0.3, "align": 0.4, "total": 1.0}


def study_log(
    experiment: str = "resnet_ema",
    seed: int = 42,
    protocol: Protocol = "heldout",
    *,
    label: str = "ResNet+EMA",
    rate: float = 500.0,
    epochs: int = 3,
    complete: bool = True,
    **figures: Any,
) -> StudyLog:
    """A log of `epochs` epochs of ten steps; `figures` replace some of `METRICS`, None leaves one out.

    The recon of the epochs' `val` is the final one times the number of epochs still to come, and one.
    """
    metrics = {key: value for key, value in {**METRICS, **figures}.items() if value is not None}
    lines = [
        {
            "epoch": epoch, "step": 10 * epoch, "seconds": 1.0 * epoch,
            "train": {name: value / epoch for name, value in TERMS.items()},
            "val": {**metrics, "recon": metrics["recon"] * (epochs - epoch + 1)},
        }
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip
    return StudyLog(
        experiment, label, "ema", f"config/vq/{experiment}.yaml", seed, protocol, "data/lafan1", {"epochs": 3.0}, rate,
        [1024], "checkpoints/x", "32-true", complete, 12.0, lines,
        {"train" if protocol == "seed" else "test": metrics} if complete else {},
    )  # fmt: skip


def write_logs(folder: Path, logs: Sequence[StudyLog]) -> Path:
    """The folder, with these logs in it."""
    for log in logs:
        write_log(folder, log)
    return folder
