"""What the rates of a study's variants bought, above the curves of classical coding."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file
from g1_vq_retarget.study.experiments import MEASURED_ON, Experiment
from g1_vq_retarget.study.log import FINAL_SPLIT
from g1_vq_retarget.study.measures import MEASURES, Measure
from g1_vq_retarget.study.style import add_legend, legend_label, looks, picture, subtitle

MEASURED_RATE = Measure("measured", "entropy_bits_per_second", "measured bits/s", "lower", 0)
# Ticks of the rate.
ROUND = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
STYLES = {
    "gaussian": ("Gaussian reference", ":"),
    "variable": ("transform coder, variable rate", "--"),
    "fixed": ("transform coder, fixed rate a window", "-"),
}


@dataclass(frozen=True)
class ClassicalCurves:
    """Classical coding of one split, as `scripts/evaluate.py --rate-distortion` leaves it in its JSON.

    Attributes:
        data, protocol, split: the folder of windows, its protocol (`heldout` or `seed`) and what of it was coded.
        curves: (P, 2) bits/s and mean squared error of normalised joints, by the names of `STYLES`.
        kept: k -> error of keeping every k-th frame.
        root: whether the coder pays for the root stream, too.
    """

    data: str
    protocol: str
    split: str
    curves: Mapping[str, np.ndarray]
    kept: Mapping[int, float]
    root: bool

    def fits(self, experiments: Sequence[Experiment]) -> bool:
        """Whether the curves are of what these experiments' final figures are of."""
        protocol = experiments[0].protocol
        folders = "seed" if protocol == "seed" else "heldout"
        return (self.protocol, self.split) == (folders, FINAL_SPLIT[protocol])


def read_classical(path: Path) -> ClassicalCurves:
    """The curves in a file.

    Raises:
        UserError: it is not what `scripts/evaluate.py --rate-distortion` writes.
    """
    again = "expected the JSON that scripts/evaluate.py --rate-distortion writes beside its picture; make it again"
    try:
        values = json.loads(existing_file(path).read_text(encoding="utf-8"))
        curves = {name: np.array(values[name], dtype=float).reshape(-1, 2) for name in STYLES}
        kept = {int(every): float(error) for every, error in values["kept"].items()}
        data, protocol, split = (str(values[key]) for key in ("data", "protocol", "split"))
        return ClassicalCurves(data, protocol, split, curves, kept, bool(values["root"]))
    except KeyError as error:
        raise UserError(f"{path}: no {error}; {again}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: {again}") from error


def plot_rates(stem: Path, experiments: Sequence[Experiment], classical: ClassicalCurves | None) -> list[Path]:
    """Draw recon over rate of the finished runs: filled at the nominal rate, open at the measured one.

    Args:
        stem: files are this with .png and .pdf behind it.
        experiments: of one protocol.
        classical: curves of the same windows, if any.

    Returns:
        The files; none if no run is finished.
    """
    finals = {experiment.name: experiment.final(MEASURES["recon"]) for experiment in experiments}
    shown = [experiment for experiment in experiments if finals[experiment.name] is not None]
    if not shown:
        return []
    with picture(stem, 7.0, 6.0) as (figure, written):
        axes = figure.subplots()
        rates, errors = [], []
        for experiment in shown:
            look, final = looks(experiments)[experiment.name], finals[experiment.name]
            assert final is not None
            points = [(experiment.bits_per_second, look.color)]
            measured = experiment.final(MEASURED_RATE)
            if measured is not None:
                points.append((measured.mean, "white"))
                axes.plot([rate for rate, _ in points], [final.mean] * 2, color=look.color, linewidth=0.8, zorder=2)
            for rate, face in points:
                axes.errorbar(
                    rate, final.mean, final.std, color=look.color, marker=look.marker, markersize=8, capsize=3,
                    markerfacecolor=face, linestyle="none", zorder=3,
                )  # fmt: skip
                rates.append(rate)
            errors.append(final.mean)
            axes.plot(
                [], [], color=look.color, marker=look.marker, markersize=8, linestyle="none",
                label=legend_label(experiment, len(experiment.finished)),
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlim=(min(rates) / 1.5, max(rates) * 1.5))
        axes.set_ylim(min(errors) / 4, max(errors) * 2)
        if classical is not None:
            for name, (label, style) in STYLES.items():
                axes.plot(*classical.curves[name].T, style, color="0.45", linewidth=1.4, label=label, zorder=1)
            for every, error in classical.kept.items():
                if 1.1 * axes.get_ylim()[0] < error < axes.get_ylim()[1]:
                    axes.axhline(error, color="0.8", linewidth=0.8, zorder=0)
                    axes.annotate(f"one frame in {every} kept", (0.995, error), xycoords=("axes fraction", "data"),
                                  ha="right", va="bottom", fontsize=7, color="0.4")  # fmt: skip
        ticks = [rate for rate in ROUND if axes.get_xlim()[0] < rate < axes.get_xlim()[1]]
        axes.set_xticks(ticks, [str(rate) for rate in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("bits/s (filled: nominal; open: measured entropy of each level)", fontsize=9)
        axes.set_ylabel("recon: mean squared error of normalised joints", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        lines = [subtitle(shown, MEASURED_ON[shown[0].protocol]), "mean over seeds, bars: one standard deviation"]
        if classical is not None:
            lines[1] += f"; grey: classical coding of split {classical.split} of {classical.data}" + (
                ", root included" if classical.root else ", joints only"
            )
        figure.suptitle("\n".join(lines), fontsize=8)
        add_legend(figure)
    return written
