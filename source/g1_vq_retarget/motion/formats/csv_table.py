"""Tables of numbers as text: comma-separated, a row a frame, with or without a header."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from g1_vq_retarget.motion.clip import MotionError


def read_table(path: Path, columns: Sequence[str], what: str) -> np.ndarray:
    """(T, len(columns)) the cells of a table without header as finite numbers; blank lines are skipped.

    Args:
        path: the file.
        columns: names of the columns, for messages.
        what: what a row holds, for messages.

    Raises:
        MotionError: no text, no rows, a row of another width, or a cell that is no finite number. Names line, frame
            and column, and not the file.
    """
    return _numbers(_lines(path), columns, what)


def read_headed_table(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the columns from the first line, and (T, columns) the cells below as finite numbers.

    Raises:
        MotionError: as `read_table`, or a name stands twice.
    """
    lines = _lines(path)
    # blanked, so that lines keep their numbers
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    columns = tuple(cell.strip().strip('"') for cell in lines[first].split(",")) if lines else ()
    if len(set(columns)) != len(columns):
        raise MotionError("the header holds a name twice")
    return columns, _numbers([""] * (first + 1) + lines[first + 1 :], columns, "as in the header")


def write_table(path: Path, table: np.ndarray, header: Sequence[str] = (), fmt: str = "%.7f") -> None:
    """Write (T, columns) numbers, below a header if there is one."""
    np.savetxt(path, table, fmt=fmt, delimiter=",", header=",".join(header), comments="")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise MotionError("not a text file, expected comma-separated numbers") from None


def _numbers(lines: list[str], columns: Sequence[str], what: str) -> np.ndarray:
    rows = [line for line in lines if line.strip()]
    if not rows:
        raise MotionError("the motion has no frames")
    try:
        table = np.loadtxt(rows, delimiter=",", ndmin=2, comments=None)
    except ValueError:
        raise _first_fault(lines, columns, what) from None
    if table.shape[1] != len(columns) or not np.isfinite(table).all():
        raise _first_fault(lines, columns, what)
    return table


def _first_fault(lines: list[str], columns: Sequence[str], what: str) -> MotionError:
    """The first row that is short, or cell that is no number. Slow, and only walked when there is one."""
    frame = -1
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        frame += 1
        cells = line.split(",")
        if len(cells) != len(columns):
            return MotionError(
                f"line {number} (frame {frame}) has {len(cells)} columns, expected {len(columns)}: {what}"
            )
        for column, (name, cell) in enumerate(zip(columns, cells, strict=True), start=1):
            try:
                finite = np.isfinite(float(cell))
            except ValueError:
                finite = False
            if not finite:
                return MotionError(
                    f"line {number} (frame {frame}), column {column} ({name}) holds {cell.strip()!r}, "
                    "expected a finite number"
                )
    return MotionError("not comma-separated numbers")
