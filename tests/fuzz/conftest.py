"""A table of what became of the damaged files, at the end of the tests' report."""

from __future__ import annotations

from collections import Counter

import pytest

# What a test reports: what was damaged, how often each outcome, and the most memory a reading took, bytes.
PROPERTY = "damaged"
KINDS = ("read", "refused", "broken")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for some in ("passed", "failed") for report in terminalreporter.getreports(some)]
    told = [value for report in reports for name, value in report.user_properties if name == PROPERTY]
    if not told:
        return
    total, most = Counter(), 0
    terminalreporter.section("damaged files")
    line(terminalreporter, "", "inputs", *KINDS, "most memory")
    for title, counts, peak in told:
        line(terminalreporter, title, *cells(Counter(counts), peak))
        total, most = total + Counter(counts), max(most, peak)
    line(terminalreporter, "all", *cells(total, most))


def cells(counts: Counter[str], peak: int) -> list[object]:
    return [counts.total(), *(counts[kind] for kind in KINDS), f"{peak / 2**20:.0f} MiB"]


def line(terminalreporter: pytest.TerminalReporter, title: str, *values: object) -> None:
    terminalreporter.line(f"{title:24}" + "".join(f"{value!s:>12}" for value in values))
