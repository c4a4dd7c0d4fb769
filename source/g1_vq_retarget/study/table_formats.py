"""Tables as LaTeX (booktabs), Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from g1_vq_retarget.study.experiments import Spread
from g1_vq_retarget.study.tables import Column, Row, Table

MISSING = "–"
# So many figures with their deviations are as wide as a page.
LATEX_COLUMNS = 7
# What LaTeX does not take as it is.
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "±": r"$\pm$", "↓": r"$\downarrow$",
        "↑": r"$\uparrow$", "→": r"$\to$",
    }
)  # fmt: skip


def to_latex(table: Table) -> str:
    r"""A `table*` to \input; needs the packages booktabs and graphicx.

    Columns are broken into blocks, one below the other, and a block that is wider than the page is scaled to it.
    """
    lines = [
        r"% needs \usepackage{booktabs,graphicx}",
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{_latex(table.caption)}.}}",
        rf"\label{{tab:{table.name}}}",
        r"\footnotesize\setlength{\tabcolsep}{3pt}",
    ]
    for start in range(0, len(table.columns), LATEX_COLUMNS):
        lines += _latex_block(table, table.columns[start : start + LATEX_COLUMNS])
    notes = _latex(" ".join(table.notes))
    lines += [rf"\begin{{minipage}}{{\textwidth}}\footnotesize {notes}\end{{minipage}}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def _latex_block(table: Table, columns: Sequence[Column]) -> list[str]:
    def cell(row: Row, column: Column) -> str:
        text = _latex(_number(row.figures.get(column.key), column))
        return rf"\textbf{{{text}}}" if column.key in row.best else text

    titles = [*table.headers, *(f"{column.title} {column.arrow}".strip() for column in columns)]
    lines = [
        rf"\sbox0{{\begin{{tabular}}{{{'l' * len(table.headers)}{'r' * len(columns)}}}",
        r"\toprule",
        " & ".join(map(_latex, titles)) + r" \\",
        r"\midrule",
    ]
    for number, row in enumerate(table.rows):
        if number in table.rules:
            lines.append(r"\midrule")
        cells = [*map(_latex, row.names), *(cell(row, column) for column in columns)]
        lines.append(" & ".join(cells) + r" \\")
    lines += [
        r"\bottomrule",
        r"\end{tabular}}%",
        r"\ifdim\wd0>\textwidth\resizebox{\textwidth}{!}{\usebox0}\else\usebox0\fi\par\medskip",
    ]
    return lines


def to_markdown(table: Table) -> str:
    """Caption, a table, and the notes as a list."""

    def cell(row: Row, column: Column) -> str:
        text = _number(row.figures.get(column.key), column)
        return f"**{text}**" if column.key in row.best else text

    titles = [*table.headers, *(f"{column.title} {column.arrow}".strip() for column in table.columns)]
    lines = [f"{table.caption}:", "", _line(titles), "|" + "---|" * len(table.headers) + "--:|" * len(table.columns)]
    for row in table.rows:
        names = [name.replace("|", r"\|") for name in row.names]
        lines.append(_line([*names, *(cell(row, column) for column in table.columns)]))
    return "\n".join([*lines, "", *(f"- {note}" for note in table.notes)]) + "\n"


def to_csv(table: Table) -> str:
    """Means and deviations in full, a column each, named by the split they are of; empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measured = [column for column in table.columns if column.measure is not None]
    plain = [column for column in table.columns if column.measure is None]
    names = [f"{table.split}_{column.key}" for column in measured]
    writer.writerow(
        [*table.headers, *(column.key for column in plain), *(part for name in names for part in (name, f"{name}_std"))]
    )
    for row in table.rows:
        known = [row.figures.get(column.key) for column in plain]
        spreads = [row.figures.get(column.key) or (None, None) for column in measured]
        numbers = [*("" if value is None else f"{value.mean:g}" for value in known)]
        numbers += ["" if value is None else f"{value:.8g}" for spread in spreads for value in spread]
        writer.writerow([*row.names, *numbers])
    return text.getvalue()


FORMATS: Mapping[str, Callable[[Table], str]] = {"tex": to_latex, "md": to_markdown, "csv": to_csv}


def _number(figure: Spread | None, column: Column) -> str:
    if figure is None:
        return MISSING
    if column.measure is None:
        return f"{figure.mean:.0f}"
    mean = column.measure.shown(figure.mean)
    return mean if figure.std is None else f"{mean} ± {column.measure.shown(figure.std, beside=figure.mean)}"


def _latex(text: str) -> str:
    return text.translate(LATEX)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
