"""How the study's pictures look: one look a variant, told in colour, for the colour-blind and in grey."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from g1_vq_retarget.files import replacing
from g1_vq_retarget.study.experiments import ORDER, Experiment, budget_of

SUFFIXES = (".png", ".pdf")
# Okabe and Ito's palette without its yellow, which is lost on white.
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2")
LINES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (9, 2)), (0, (3, 3)))
MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class Look:
    """Colour, line and marker of a variant."""

    color: str
    linestyle: Any
    marker: str

    def line(self) -> dict[str, Any]:
        """Arguments of `Axes.plot`."""
        return {"color": self.color, "linestyle": self.linestyle, "marker": self.marker, "markersize": 4.5}


def looks(experiments: Sequence[Experiment]) -> dict[str, Look]:
    """A look an experiment, by name: the original's variants and their twins at equal rate always have the same."""
    stems = [experiment.name.removeprefix("equal_rate-") for experiment in experiments]
    places = [*ORDER, *sorted(set(stems) - set(ORDER))]
    return {
        experiment.name: numbered_look(places.index(stem)) for experiment, stem in zip(experiments, stems, strict=True)
    }


def numbered_look(number: int) -> Look:
    """The look of a number from 0; 56 differ."""
    return Look(COLOURS[number % len(COLOURS)], LINES[number % len(LINES)], MARKERS[number % len(MARKERS)])


def legend_label(experiment: Experiment, seeds: int) -> str:
    """Name, rate, number of seeds that are drawn."""
    running = "" if experiment.finished else ", not finished"
    return f"{experiment.label}, {experiment.bits_per_second:.0f} bits/s, {_count(seeds)}{running}"


def subtitle(experiments: Sequence[Experiment], measured_on: str) -> str:
    """What every picture says of its figures: measured on what, after how much training."""
    return f"{measured_on}; {experiments[0].begun[0].data}; {budget_of(experiments)}"


def add_legend(figure: Figure, columns: int = 2, handles: Sequence[Artist] | None = None) -> None:
    """A legend below everything, its lines long enough to tell them by their dashes."""
    known = {} if handles is None else {"handles": handles}
    figure.legend(loc="outside lower center", ncols=columns, fontsize=8, frameon=False, handlelength=4.5, **known)


@contextmanager
def picture(stem: Path, width: float = 7.0, height: float = 5.0) -> Iterator[tuple[Figure, list[Path]]]:
    """A figure to draw on and the list of the files that it becomes: a PNG and a PDF, when the block ends well."""
    figure, written = Figure(figsize=(width, height), layout="constrained"), []
    yield figure, written
    for suffix in SUFFIXES:
        path = stem.with_name(stem.name + suffix)
        # without the date, the same figures make the same file
        metadata = {"CreationDate": None} if suffix == ".pdf" else None
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=130, metadata=metadata)
        written.append(path)


def _count(seeds: int) -> str:
    return f"{seeds} seed" if seeds == 1 else f"{seeds} seeds"
