"""What a latency benchmark found, as a table and as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from g1_vq_retarget.files import replacing
from g1_vq_retarget.retarget.latency import PARTS, Benchmark

# Told apart by lines in grey, too (colours: Okabe and Ito 2008, "Color Universal Design").
LINES = (("#0072b2", "-"), ("#d55e00", "--"), ("#000000", "-."), ("#009e73", ":"))
# Shares of frames that take longer: from all to one in a thousand.
SHARES = (1.0, 0.1, 0.01, 0.001)


def latency_table(found: Benchmark) -> str:
    """Markdown: a row a model and device of live motion, then one a method of whole clips."""
    pace = "a tick apart" if found.paced else "one right after another"
    load = "" if found.load is None else f", load average {found.load[0]:.1f} before and {found.load[1]:.1f} after"
    lines = [
        f"{found.clip}: {found.frames} frames, wall time, {found.warmup} more to warm up not counted; "
        f"torch threads on the CPU: {found.threads}{load}.",
        "",
    ]
    if found.live:
        lines += [
            f"Live, frames {pace}, ms a frame: p50 / p99 / max. The network answers at frames that complete a step; "
            "what can be done before is done at the others.",
            "",
            "| model | device | comes later by | all frames | frames with a step | other frames "
            f"| of a step's p50: {' / '.join(PARTS)} |",
            "|---" * 7 + "|",
        ]
        for live in found.live:
            kinds = (live.quantiles(), live.quantiles(live.steps), live.quantiles(~live.steps))
            cells = ["–" if kind is None else " / ".join(f"{ms:.2f}" for ms in kind.values()) for kind in kinds]
            parts = " / ".join(f"{ms:.2f}" for ms in 1000 * np.median(live.parts[live.steps], axis=0))
            later = f"{1000 * live.lookahead / live.fps:.0f} ms"
            lines.append(f"| {' | '.join([live.model, live.device, later, *cells, parts])} |")
        lines.append("")
    against = [f"× {ik.method}" for ik in found.ik]
    lines += [
        "Whole clips; how many times as fast as inverse kinematics by the wall clock / by CPU time:",
        "",
        f"| {' | '.join(['method', 'device', 'frames/s', 'frames/s of CPU time', *against])} |",
        "|---" * (4 + len(against)) + "|",
    ]
    for one in [*found.ik, *found.batch]:
        cells = [one.method, one.device, f"{one.frames_per_second:,.0f}", f"{one.frames_per_cpu_second:,.0f}"]
        ratios = zip(found.times_ik(one), found.times_ik_cpu(one), strict=True)
        cells += [f"{wall:.1f} / {cpu:.1f}" if one.device == "cpu" else f"{wall:.1f}" for wall, cpu in ratios]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def plot_latency(path: Path, found: Benchmark) -> None:
    """Draw which share of live frames took longer than so many ms, both on logarithmic axes, and the tick as a line.

    Raises:
        UserError: the picture cannot be written.
    """
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, live in enumerate(found.live):
        colour, style = LINES[number % len(LINES)]
        width = 1.4 + 0.8 * (number // len(LINES))
        slowest = np.sort(1000 * live.seconds)[::-1]
        share = np.arange(1, len(slowest) + 1) / len(slowest)
        axes.step(slowest, share, where="pre", color=colour, linestyle=style, linewidth=width,
                  label=f"{live.model}, {live.device}")  # fmt: skip
    for tick in sorted({1000 / live.fps for live in found.live}):
        axes.axvline(tick, color="0.35", linewidth=0.9)
        axes.annotate(f"{tick:g} ms: the next frame comes", (tick, 1), xytext=(3, -4), textcoords="offset points",
                      rotation=90, ha="left", va="top", fontsize=8, color="0.35")  # fmt: skip
    longest = max(max(1000 * live.seconds.max(), 1000 / live.fps) for live in found.live)
    axes.set(xscale="log", xlim=(None, 1.6 * longest), yscale="log", ylim=(SHARES[-1] / 2, 1.15))
    axes.set_yticks(SHARES, ["all", "1 in 10", "1 in 100", "1 in 1,000"])
    axes.set_yticks([], minor=True)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("ms")
    axes.set_ylabel("frames that take longer")
    axes.grid(True, which="both", axis="x", color="0.92", linewidth=0.6)
    axes.axhline(0.01, color="0.8", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    load = "" if found.load is None else f"; load average {found.load[0]:.1f} to {found.load[1]:.1f}"
    figure.suptitle(f"{found.clip}: {found.frames} frames, torch threads: {found.threads}{load}", fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
