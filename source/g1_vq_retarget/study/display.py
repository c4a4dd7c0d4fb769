"""What runs in a study, as a live table on a terminal and as plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from g1_vq_retarget.study.log import StudyLog

State = Literal["waiting", "running", "finished", "failed"]
# Characters of a line where there is no terminal to tell.
PLAIN_WIDTH = 120
COLUMNS = ("variant", "seed", "bits/s", "epoch", "recon", "cross", "steps/s", "left", "state")


@dataclass
class Row:
    """Where a run stands."""

    log: StudyLog
    state: State = "waiting"
    reason: str = ""
    """What went wrong."""
    speed: float | None = None
    """Optimizer steps a second of training."""
    left: float | None = None
    """Estimated time of training left, s."""

    @property
    def figures(self) -> dict:
        """The final figures, else the last ones."""
        return next(iter(self.log.final.values()), self.log.epochs[-1].get("val", {}) if self.log.epochs else {})

    def cells(self) -> tuple[str, ...]:
        figures = [f"{self.figures[key]:.4f}" if key in self.figures else "–" for key in ("recon", "cross")]
        epochs, budget = len(self.log.epochs), self.log.budget.get("epochs")
        return (
            self.log.experiment,
            str(self.log.seed),
            f"{self.log.bits_per_second:.0f}",
            f"{epochs}/{budget:.0f}" if budget else str(epochs),
            *figures,
            "–" if self.speed is None else f"{self.speed:.1f}",
            "–" if self.left is None else duration(self.left),
            self.state,
        )


def duration(seconds: float) -> str:
    """As 45 s, 12 min or 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def table_of(rows: Sequence[Row], title: str) -> Table:
    """A line a run."""
    table = Table(title=title, box=box.SIMPLE, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("variant", "state") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row.cells())
    return table


class Display:
    """Shows the rows while they change; on a terminal those that run or failed, elsewhere every change in a line."""

    def __init__(self, rows: Sequence[Row], title: str, console: Console | None = None) -> None:
        self.rows, self.title = rows, title
        self.console = console or Console()
        if not self.console.is_terminal:
            self.console.width = PLAIN_WIDTH
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self.told: dict[int, tuple[str, int]] = {}

    def __enter__(self) -> Display:
        if self.live is not None:
            self.live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live is not None:
            self.live.update("")
            self.live.__exit__(None, None, None)

    def update(self) -> None:
        if self.live is not None:
            self.live.update(self._running(), refresh=True)
            return
        for place, row in enumerate(self.rows):
            now = (row.state, len(row.log.epochs))
            if row.state != "waiting" and self.told.get(place) != now:
                self.told[place] = now
                self.console.print(line_of(row), highlight=False, soft_wrap=True, markup=False)

    def end(self) -> None:
        """All runs, once nothing changes any more: the seeds of a variant together."""
        first = {row.log.experiment: place for place, row in reversed(list(enumerate(self.rows)))}
        self.console.print(table_of(sorted(self.rows, key=lambda row: first[row.log.experiment]), self.title))

    def _running(self) -> Group:
        counts = ((state, sum(row.state == state for row in self.rows)) for state in ("finished", "waiting", "failed"))
        told = [Text(", ".join(f"{count} {state}" for state, count in counts))]
        told += [Text(line_of(row), style="red") for row in self.rows if row.state == "failed"]
        return Group(table_of([row for row in self.rows if row.state == "running"], self.title), *told)


def line_of(row: Row) -> str:
    """A run in one line."""
    told = (f"{name} {cell}" for name, cell in zip(COLUMNS[1:-1], row.cells()[1:-1], strict=True) if cell != "–")
    return f"{row.log.experiment} {', '.join(told)}: {row.state}{row.reason and f': {row.reason}'}"
