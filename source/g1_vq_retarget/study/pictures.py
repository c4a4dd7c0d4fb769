"""All pictures of a study, in a folder a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.study.experiments import by_protocol, unfinished
from g1_vq_retarget.study.log import StudyLog
from g1_vq_retarget.study.measures import MEASURES
from g1_vq_retarget.study.plots import plot_losses, plot_measure
from g1_vq_retarget.study.radar import plot_radar
from g1_vq_retarget.study.rate_plot import ClassicalCurves, plot_rates


def draw_study(
    logs: Sequence[StudyLog],
    out: Path,
    metrics: Sequence[str] = (),
    chosen: Sequence[str] = (),
    classical: ClassicalCurves | None = None,
) -> tuple[list[Path], list[str]]:
    """Draw what the logs tell, each protocol by itself in `out/<protocol>`.

    Args:
        logs: a study's.
        out: folder for the pictures, PNG and PDF of each.
        metrics: names of `MEASURES`: their curves and nothing else; none: all curves, losses, radars and rates.
        chosen: names of experiments; none: all.
        classical: curves of classical coding, drawn with the protocol that they belong to.

    Returns:
        The files, and a line for each picture that could not be drawn and each run that is not finished.

    Raises:
        UserError: an unknown metric or experiment, logs that cannot be compared, curves of other windows than any
            protocol's, or nothing to draw.
    """
    unknown = [name for name in metrics if name not in MEASURES]
    if unknown:
        raise UserError(f"--metrics {' '.join(unknown)}: unknown; there are {', '.join(MEASURES)}")
    groups = by_protocol(logs, chosen)
    if classical is not None and not any(classical.fits(experiments) for experiments in groups.values()):
        raise UserError(
            f"--rate-distortion: curves of split {classical.split} of a folder of protocol {classical.protocol}, "
            f"but the logs are of protocol {', '.join(groups)}; measure them on the split that those are measured on"
        )
    written: list[Path] = []
    missing: list[str] = []

    def drawn(stem: Path, files: list[Path], why: str) -> None:
        written.extend(files)
        if not files:
            missing.append(f"{stem}: not drawn, {why}")

    for protocol, experiments in groups.items():
        folder = out / protocol
        for name in metrics or MEASURES:
            stem = folder / f"compare_{name}"
            drawn(stem, plot_measure(stem, experiments, MEASURES[name]), f"no epoch of any run tells {name}")
        if metrics:
            continue
        stem = folder / "loss_breakdown"
        drawn(stem, plot_losses(stem, experiments), "no run has finished an epoch")
        for stem, log in ((folder / "final_radar_chart", False), (folder / "final_radar_chart_log", True)):
            drawn(stem, plot_radar(stem, experiments, log), "no finished run has all six figures")
        stem = folder / "rate_distortion"
        fitting = classical if classical is not None and classical.fits(experiments) else None
        drawn(stem, plot_rates(stem, experiments, fitting), "no run is finished")
    if not written:
        raise UserError(f"nothing to draw: {missing[0]}; let scripts/train_ablation.py go on")
    return written, missing + unfinished(groups)
