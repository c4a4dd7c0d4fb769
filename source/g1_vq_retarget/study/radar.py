"""The radar of final figures: one polygon a variant, outward is better on every axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.projections.polar import PolarAxes

from g1_vq_retarget.study.experiments import MEASURED_ON, Experiment
from g1_vq_retarget.study.measures import MEASURES, Measure
from g1_vq_retarget.study.style import add_legend, legend_label, looks, picture, subtitle

AXES = tuple(MEASURES[name] for name in ("recon", "cross", "align", "vel", "jerk", "ppl"))
SCALE = (
    "Outward is better. Each axis, {kind}, is a share of the best mean over seeds:\n"
    "least error / error (recon, cross, align, vel); perplexity / highest (PPL);\n"
    "jerk: the smaller of jerk / truth's and truth's / jerk, so that the rim is the truth's, neither more nor less"
)


def shares(values: Mapping[str, float], measure: Measure) -> dict[str, float]:
    """How far out on an axis each variant is, 0 to 1.

    Args:
        values: figure of each variant, not negative.
        measure: best / value where lower is better, value / best where higher is; where 1 is right, the smaller of
            value and 1 / value.
    """
    if measure.better == "one":
        return {name: min(value, 1 / value) if value > 0 else 0.0 for name, value in values.items()}
    if measure.better == "higher":
        best = max(values.values())
        return {name: value / best if best > 0 else 1.0 for name, value in values.items()}
    best = min(values.values())
    return {name: best / value if value > 0 else 1.0 for name, value in values.items()}


def radius(share: float, decades: int) -> float:
    """Distance from the centre, 0 to 1, on a logarithmic axis whose centre is 10^-decades."""
    return max(0.0, 1 + math.log10(share) / decades) if share > 0 else 0.0


def plot_radar(stem: Path, experiments: Sequence[Experiment], log: bool) -> list[Path]:
    """Draw recon, cross, align, vel, jerk and PPL of the finished runs.

    Args:
        stem: files are this with .png and .pdf behind it.
        experiments: of one protocol; those that lack one of the figures, or are not finished, are left out.
        log: whether the axes are logarithmic.

    Returns:
        The files; none if no variant has all six figures.
    """
    means = {}
    for experiment in experiments:
        finals = [experiment.final(measure) for measure in AXES]
        numbers = [final.mean for final in finals if final is not None]
        if len(numbers) == len(AXES):
            means[experiment.name] = numbers
    if not means:
        return []
    outward = np.array(
        [
            list(shares({name: numbers[index] for name, numbers in means.items()}, measure).values())
            for index, measure in enumerate(AXES)
        ]
    ).T  # (variants, axes)
    least = outward[outward > 0].min()
    decades = max(1, math.ceil(-math.log10(least) - 1e-9))
    angles = np.linspace(0, 2 * np.pi, len(AXES), endpoint=False)
    shown = [experiment for experiment in experiments if experiment.name in means]
    with picture(stem, 7.5, 7.8) as (figure, written):
        axes = figure.add_subplot(projection="polar")
        assert isinstance(axes, PolarAxes)
        axes.set_theta_offset(np.pi / 2)
        axes.set_theta_direction(-1)
        for experiment, row in zip(shown, outward, strict=True):
            radii = [radius(share, decades) for share in row] if log else list(row)
            axes.plot(
                [*angles, angles[0]], [*radii, radii[0]], **looks(experiments)[experiment.name].line(), linewidth=1.5,
                label=legend_label(experiment, len(experiment.finished)),
            )  # fmt: skip
        rings = [10.0**-power for power in range(decades, -1, -1)] if log else [0.0, 0.25, 0.5, 0.75, 1.0]
        axes.set_ylim(0, 1)
        axes.set_rgrids(
            [radius(ring, decades) if log else ring for ring in rings],
            [f"{ring:g}" for ring in rings], angle=30, fontsize=7, color="0.3",
        )  # fmt: skip
        best = [_rim(measure, [numbers[index] for numbers in means.values()]) for index, measure in enumerate(AXES)]
        axes.set_thetagrids(np.rad2deg(angles), [f"{m.title}\n{rim}" for m, rim in zip(AXES, best, strict=True)])
        axes.tick_params(axis="x", pad=22, labelsize=9)
        kind = f"logarithmic from {10.0**-decades:g} (centre) to 1 (rim)" if log else "from 0 (centre) to 1 (rim)"
        measured_on = subtitle(shown, MEASURED_ON[shown[0].protocol])
        figure.suptitle(f"{measured_on}\n{SCALE.format(kind=kind)}", fontsize=8)
        add_legend(figure)
    return written


def _rim(measure: Measure, values: Sequence[float]) -> str:
    if measure.better == "one":
        return "rim: the truth's"
    best = min(values, key=measure.badness)
    return f"rim: {best:.{measure.decimals}f}"
