"""The final figures of a study as tables: a line a variant, and ours beside the original's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from g1_vq_retarget.study import original
from g1_vq_retarget.study.experiments import MEASURED_ON, Experiment, Spread, budget_of
from g1_vq_retarget.study.log import FINAL_SPLIT
from g1_vq_retarget.study.measures import BODIES, HUMAN_BODIES, JERK, MEASURES, Measure

ARROWS = {"lower": "↓", "higher": "↑", "one": "→1"}
NOTES = (
    "Mean ± sample standard deviation over seeds; bold is the best of its column. bits/s is nominal. recon, cross and "
    "vel are mean squared errors of normalised joint angles; PPL and DCR are means over levels; bodies are distances "
    "in the pelvis frame, mm.",
    "align is not over the latents' own size: those of a vocabulary that collapsed may lie together and say nothing.",
    "Jerk is not better the less it is: less than the truth's is over-smoothed, so nearest to the truth's is bold.",
)
RATES = "Rates differ, and rates decide recon: rows are for comparing only within a rate."


@dataclass(frozen=True)
class Column:
    """A column of figures.

    Attributes:
        title: its header.
        key: its name in a CSV.
        measure: gives arrow and decimals; without, a whole number.
    """

    title: str
    key: str
    measure: Measure | None = None

    @property
    def arrow(self) -> str:
        """Which way is better: ↓, ↑, →1, or nothing."""
        if self.measure is None or self.measure is JERK:
            return ""
        return ARROWS[self.measure.better]


@dataclass(frozen=True)
class Row:
    """A line.

    Attributes:
        names: its text cells, under the table's `headers`.
        figures: by the columns' keys; absent where there is none.
        best: keys of the columns whose best it holds.
    """

    names: tuple[str, ...]
    figures: Mapping[str, Spread]
    best: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Table:
    """Text and figures, in no format yet.

    Attributes:
        name: stem of its files and label in LaTeX.
        caption: what the figures are of.
        notes: what is said beneath.
        split: what the figures were measured on; their names in a CSV begin with it.
        headers: of the text cells.
        columns: of the figures.
        rows: in order.
        rules: numbers of rows above which a line is drawn.
    """

    name: str
    caption: str
    notes: tuple[str, ...]
    split: str
    headers: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    rules: frozenset[int] = field(default=frozenset())


RATE = Column("bits/s", "bits_per_second")
SEEDS = Column("seeds", "seeds")
EPOCHS = Column("epochs", "epochs")
THEIRS = tuple(
    Column(f"{measure.title} %" if key == "dcr" else measure.title, key, measure)
    for key, measure in (
        *((name, MEASURES[name]) for name in ("recon", "cross", "align", "vel")),
        ("jerk", JERK),
        *((name, MEASURES[name]) for name in ("ppl", "dcr")),
    )
)
OURS = (
    Column("jerk ratio", "jerk_ratio", MEASURES["jerk"]),
    Column("bodies, mm", "body_error_mm", BODIES),
    Column("human bodies, mm", "cross_body_error_mm", HUMAN_BODIES),
)


def final_table(experiments: Sequence[Experiment]) -> Table:
    """The finished runs of one protocol, a line a variant."""
    shown = [experiment for experiment in experiments if experiment.finished]
    # in so many minutes one variant comes further than another
    reached = [EPOCHS] if "minutes" in shown[0].begun[0].budget else []
    columns = (RATE, SEEDS, *reached, *THEIRS, *OURS)
    rows = _with_best([Row((experiment.label,), _figures(experiment)) for experiment in shown])
    columns = tuple(column for column in columns if any(column.key in row.figures for row in rows))
    notes: list[str] = list(NOTES)
    truth = _jerk_of_truth(shown)
    if truth is not None:
        notes[-1] += f" The truth's is {truth:.3g}."
    if len({round(experiment.bits_per_second) for experiment in shown}) > 1:
        notes.append(RATES)
    notes += _coding(shown)
    return Table(shown[0].protocol, _caption(shown), tuple(notes), FINAL_SPLIT[shown[0].protocol], ("method",),
                 columns, rows)  # fmt: skip


def beside_original(experiments: Sequence[Experiment]) -> Table:
    """Our finished runs of protocol seed beside the original's table, method by method, with every known deviation.

    The best is bold within ours and within its table, never across.
    """
    shown = [experiment for experiment in experiments if experiment.finished]
    ours = _with_best([Row((experiment.label, "ours"), _figures(experiment)) for experiment in shown])
    theirs = _with_best([Row((row.label, "original"), row.figures) for row in original.TABLE])
    text = Row((original.TEXT.label, "original"), original.TEXT.figures)
    rows, rules = [], set()
    placed: set[str] = set()
    for line, row in zip(original.TABLE, theirs, strict=True):
        same = [own for own, experiment in zip(ours, shown, strict=True) if experiment.name in line.experiments]
        placed.update(line.experiments)
        rules.add(len(rows))
        rows += [row, *([text] if line.experiments == original.TEXT.experiments else []), *same]
    others = [own for own, experiment in zip(ours, shown, strict=True) if experiment.name not in placed]
    if others:
        rules.add(len(rows))
        rows += others
    windows = ", ".join(sorted({_windows(log) for experiment in shown for log in experiment.finals()}))
    notes = (
        "Mean ± standard deviation over seeds; bold is the best of a column within ours, and within the original's.",
        f"Ours: {windows}; {budget_of(shown)}.",
        *_coding(shown),
        *original.DEVIATIONS,
    )
    return Table("seed_beside_original", f"The original's table and ours; {MEASURED_ON['seed']}", notes,
                 FINAL_SPLIT["seed"], ("method", "of"), (RATE, SEEDS, *THEIRS), tuple(rows),
                 frozenset(rules - {0}))  # fmt: skip


def _figures(experiment: Experiment) -> dict[str, Spread]:
    known = {
        RATE.key: Spread(experiment.bits_per_second, None),
        SEEDS.key: Spread(len(experiment.finished), None),
        EPOCHS.key: Spread(sum(len(log.epochs) for log in experiment.finished) / len(experiment.finished), None),
    }
    for column in (*THEIRS, *OURS):
        assert column.measure is not None
        figure = experiment.final(column.measure)
        if figure is not None:
            known[column.key] = figure
    return known


def _with_best(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows, each with the columns whose best it holds; a column of equal figures has no best."""
    best: dict[int, set[str]] = {number: set() for number in range(len(rows))}
    for column in (*THEIRS, *OURS):
        measure, ranked = column.measure, column.key
        assert measure is not None
        if measure is JERK:  # nearest to the truth's
            measure, ranked = MEASURES["jerk"], "jerk_ratio"
        # as they are shown: figures that look alike are alike
        ranks = {
            number: measure.badness(float(measure.shown(row.figures[ranked].mean)))
            for number, row in enumerate(rows)
            if ranked in row.figures
        }
        if len(set(ranks.values())) < 2:
            continue
        for number, rank in ranks.items():
            if rank == min(ranks.values()) and column.key in rows[number].figures:
                best[number].add(column.key)
    return tuple(Row(row.names, row.figures, frozenset(best[number])) for number, row in enumerate(rows))


def _caption(experiments: Sequence[Experiment]) -> str:
    data = experiments[0].begun[0].data
    return f"Final figures on {MEASURED_ON[experiments[0].protocol]}; {data}; {budget_of(experiments)}"


def _jerk_of_truth(experiments: Sequence[Experiment]) -> float | None:
    for metrics in (metrics for experiment in experiments for metrics in experiment.finals()):
        jerk, ratio = JERK.of(metrics), MEASURES["jerk"].of(metrics)
        if jerk and ratio:
            return jerk / ratio
    return None


def _coding(experiments: Sequence[Experiment]) -> list[str]:
    """A line where some code whole clips, and so know what was before a window."""
    whole = [one.label for one in experiments if any(final.get("coding") == "clips" for final in one.finals())]
    if not whole or len(whole) == len(experiments):
        return []
    return [f"{', '.join(whole)}: whole clips are coded, windows cut from them; the others code each window alone."]


def _windows(metrics: Mapping) -> str:
    return f"{metrics['windows']:,} windows, {metrics['human_windows']:,} of them with a human side"
