"""Curves over training: a figure of all variants, and the losses of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from g1_vq_retarget.study.experiments import Curve, Experiment, Protocol
from g1_vq_retarget.study.measures import LOSS_TERMS, Measure
from g1_vq_retarget.study.style import Look, add_legend, legend_label, looks, numbered_look, picture, subtitle

# What the epochs' `val` is measured on.
FOLLOWED_ON: dict[Protocol, str] = {
    "seed": "a sample of the windows that were trained on",
    "heldout": "val split (clips not trained on)",
    "equal-rate": "val split (clips not trained on), vocabularies of one rate",
}
BAND = "line: mean over seeds; band: one standard deviation"
# Markers of a longer curve are thinned out to this many.
MARKED = 20


def plot_measure(stem: Path, experiments: Sequence[Experiment], measure: Measure) -> list[Path]:
    """Draw a figure over the steps of training, a line a variant.

    Args:
        stem: files are this with .png and .pdf behind it.
        experiments: of one protocol.
        measure: the figure.

    Returns:
        The files; none if no epoch of any run tells the figure.
    """
    curves = {experiment.name: experiment.curve(measure) for experiment in experiments}
    if not any(curves.values()):
        return []
    with picture(stem) as (figure, written):
        axes = figure.subplots()
        for experiment in experiments:
            curve = curves[experiment.name]
            if curve is not None:
                label = legend_label(experiment, len(experiment.drawn))
                _draw(axes, curve, looks(experiments)[experiment.name], label)
        if measure.better == "one":
            axes.axhline(1, color="0.4", linewidth=0.8)
            axes.annotate("truth", (0.005, 1), xycoords=("axes fraction", "data"), va="bottom", fontsize=8, color="0.3")
        drawn = [curve for curve in curves.values() if curve is not None]
        _scale(axes, measure.log, drawn, [1.0] if measure.better == "one" else [])
        axes.set_xlabel("steps", fontsize=9)
        axes.set_ylabel(measure.axis, fontsize=9)
        figure.suptitle(f"{subtitle(experiments, FOLLOWED_ON[experiments[0].protocol])}\n{BAND}", fontsize=8)
        add_legend(figure)
    return written


def plot_losses(stem: Path, experiments: Sequence[Experiment]) -> list[Path]:
    """Draw the five terms of the training loss over the steps, a panel a variant, all with the same axes.

    Arguments and result as of `plot_measure`.
    """
    shown = [experiment for experiment in experiments if experiment.drawn]
    if not shown:
        return []
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    with picture(stem, 3.2 * columns + 0.6, 2.5 * rows + 1.0) as (figure, written):
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        styles = {term: numbered_look(number) for number, term in enumerate(LOSS_TERMS)}
        drawn = []
        for axes, experiment in zip(panels, shown, strict=False):
            for term, look in styles.items():
                curve = experiment.loss_curve(term)
                if curve is not None:
                    _draw(axes, curve, look, term)
                    drawn.append(curve)
            axes.set_title(legend_label(experiment, len(experiment.drawn)), fontsize=8)
        for axes in panels[: len(shown)]:
            _scale(axes, True, drawn)
        for axes in panels[len(shown) :]:
            axes.set_axis_off()
        # the last panel of each column has the numbers, also where the row below is not full
        for axes in panels[max(0, len(shown) - columns) : len(shown)]:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("steps", fontsize=8)
        handles = [Line2D([], [], label=term, **look.line()) for term, look in styles.items()]
        add_legend(figure, len(handles), handles)
        figure.supylabel("terms of the training loss, unweighted", fontsize=9)
        figure.suptitle(f"{subtitle(shown, 'training batches, epoch by epoch')}\n{BAND}", fontsize=8)
    return written


def _draw(axes: Axes, curve: Curve, look: Look, label: str) -> None:
    every = max(1, len(curve.steps) // MARKED)
    axes.plot(curve.steps, curve.mean, **look.line(), markevery=every, linewidth=1.4, label=label)
    axes.fill_between(curve.steps, curve.mean - curve.std, curve.mean + curve.std, color=look.color, alpha=0.2, lw=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=8)


def _scale(axes: Axes, log: bool, curves: Sequence[Curve], marks: Sequence[float] = ()) -> None:
    """Choose the axis' scale, so that curves and marks are on it; a band that reaches below zero runs out of a
    logarithmic axis and does not stretch it."""
    if not log:
        axes.set_ylim(bottom=0)
        return
    means, high = (np.concatenate(part) for part in zip(*((c.mean, c.mean + c.std) for c in curves), strict=True))
    means, high = np.append(means, marks), np.append(high, marks)
    if (means > 0).any():
        axes.set_yscale("log")
        decades = np.log10(high.max() / means[means > 0].min())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(means[means > 0].min() / 1.3, high.max() * 1.3)
        axes.grid(axis="y", which="major", color="0.9", linewidth=0.6)
