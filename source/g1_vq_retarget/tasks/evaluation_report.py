"""An evaluation for people and for programs: JSON, a Markdown table, a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing
from g1_vq_retarget.tasks.evaluation import Evaluation, thresholds

FORMAT = "g1_vq_retarget tracking evaluation 1"
# What the files of a folder are called.
JSON, TABLE, PLOT = "evaluation.json", "evaluation.md", "evaluation.png"
# Okabe and Ito's blue and orange, one dark and one light in grey.
_GLOBAL, _RELATIVE = "#0072B2", "#E69F00"
# What two simulators may differ by: points of success, share of an error.
_POINTS, _SHARE = 0.03, 0.10
# More clips than that are no longer told apart; then the worst are drawn.
_DRAWN = 30
_COLUMNS = {
    "starts": "starts",
    "horizon_s": "horizon s",
    "success": "success %",
    "survived_s": "survived s",
    "global_mm": "global mm",
    "relative_mm": "root-relative mm",
    "joint_deg": "joints °",
    "velocity_m_s": "velocity m/s",
    "acceleration_m_s2": "acceleration m/s²",
}


def report(evaluation: Evaluation, **told: str) -> dict[str, Any]:
    """Plain values for JSON: what was measured, how, in what units; over all starts, and clip by clip.

    `told`: what else is to be known of it, such as the policy, the motion, the simulator.
    """
    clips = [{"name": name, **evaluation.figures(clip)} for clip, name in enumerate(evaluation.clips)]
    return {
        "format": FORMAT,
        **told,
        "fps": evaluation.fps,
        "starts_per_clip": evaluation.config.starts,
        "horizon_s": evaluation.config.seconds,
        "seed": evaluation.config.seed,
        "shorter_clips": [clip["name"] for clip in clips if _is_short(clip, evaluation)],
        "failure": thresholds(),
        "units": "success is a share; mm, degrees, m/s, m/s²: means over steps until the failure, then over starts",
        "all": evaluation.figures(),
        "clips": clips,
    }


def described(figures: Mapping[str, Any]) -> str:
    """One line: what was measured of what, how."""
    names = [f"{what} {figures[what]}" for what in ("policy", "motion", "against", "simulator") if figures.get(what)]
    short = len(figures["shorter_clips"])
    return "; ".join(
        [
            *names,
            f"{figures['starts_per_clip']} starts a clip, {figures['horizon_s']:g} s, seed {figures['seed']}"
            + (f", {short} shorter clips followed once" if short else ""),
        ]
    )


def table(figures: Mapping[str, Any]) -> str:
    """Markdown: a row a clip, all of them last; errors until the failure."""
    rows = [[clip["name"], *_cells(clip)] for clip in figures["clips"]]
    return markdown(["clip", *_COLUMNS.values()], [*rows, ["**all starts**", *_cells(figures["all"])]])


def compared(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a row a report, by what they are called; all starts of each."""
    return markdown(["policy", *_COLUMNS.values()], [[name, *_cells(each["all"])] for name, each in reports.items()])


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def agreement(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, bool]:
    """Are two evaluations from the same starts alike: success within 3 points, errors within 10 %?

    Args:
        one, other: reports; a share of the other's error.

    Raises:
        UserError: they did not begin at the same starts, or one alone was measured by other motion than was followed.
    """
    measured = [bool(each.get("against")) for each in (one, other)]
    if measured[0] != measured[1]:
        raise UserError(
            "one evaluation is measured by what the policy follows, the other by --against: evaluate them alike"
        )
    for key in ("fps", "starts_per_clip", "horizon_s", "seed"):
        if one[key] != other[key]:
            raise UserError(f"the evaluations have another {key}, {one[key]} and {other[key]}: evaluate them alike")
    counts = [[(clip["name"], clip["starts"], clip["horizon_s"]) for clip in each["clips"]] for each in (one, other)]
    if counts[0] != counts[1]:
        raise UserError("the evaluations are of other clips: evaluate them on the same motion")
    mine, theirs = one["all"], other["all"]
    told = {"success": abs(mine["success"] - theirs["success"]) <= _POINTS + 1e-9}
    for name in ("global_mm", "relative_mm", "joint_deg"):
        a, b = mine[name], theirs[name]
        told[name] = a == b if a is None or b is None else abs(a - b) <= _SHARE * b
    return told


def save_report(figures: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `evaluation.json`, `.md` and `.png` into a folder; returns their paths.

    Raises:
        UserError: a file cannot be written.
    """
    with replacing(folder / JSON) as file:
        file.write_text(json.dumps(figures, indent=1, ensure_ascii=False), encoding="utf-8")
    with replacing(folder / TABLE) as file:
        file.write_text(f"{described(figures)}\n\n{table(figures)}", encoding="utf-8")
    with replacing(folder / PLOT) as file:
        draw(figures).savefig(file, dpi=110)
    return [folder / name for name in (JSON, TABLE, PLOT)]


def load_report(path: Path) -> dict[str, Any]:
    """Read what `save_report` wrote: `evaluation.json`, or the folder with it.

    Raises:
        UserError: it is not there, or something else.
    """
    path = path / JSON if path.is_dir() else path
    try:
        figures = json.loads(existing_file(path).read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    if not isinstance(figures, dict) or figures.get("format") != FORMAT:
        raise UserError(f"{path}: no evaluation of scripts/mjlab/evaluate.py or sim2sim.py")
    return figures


def draw(figures: Mapping[str, Any]) -> Figure:
    """Success clip by clip, and the error of each body."""
    clips = sorted(figures["clips"], key=lambda clip: clip["success"])[:_DRAWN]
    height = 2.2 + 0.24 * max(len(clips), len(figures["all"]["bodies"]))
    figure = Figure(figsize=(10, height), layout="constrained")
    left, right = figure.subplots(1, 2)
    _bars(left, {clip["name"]: [100 * clip["success"]] for clip in reversed(clips)}, [_GLOBAL])
    # few clips do not make fat bars
    left.set_ylim(min(-0.5, len(clips) - 0.5 - len(figures["all"]["bodies"])), len(clips) - 0.5)
    left.set(xlim=(0, 100), xlabel=f"success, % of starts (all: {100 * figures['all']['success']:.1f} %)")
    more = len(figures["clips"]) - len(clips)
    left.set_title("success" + (f" ({more} better clips left out)" if more else ""), loc="left", fontsize=10)
    bodies = figures["all"]["bodies"]
    pairs = {
        name.removesuffix("_link").replace("_", " "): [each["global_mm"], each["relative_mm"]]
        for name, each in reversed(bodies.items())
    }
    _bars(right, pairs, [_GLOBAL, _RELATIVE], ["global", "root-relative"])
    right.set_xlabel("mean distance until the failure, mm")
    right.set_title("bodies, all starts", loc="left", fontsize=10)
    right.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    figure.suptitle(described(figures), fontsize=8)
    return figure


def _bars(
    axes: Axes, rows: Mapping[str, Sequence[float | None]], colours: Sequence[str], labels: Sequence[str] = ("",)
) -> None:
    width = 0.8 / len(colours)
    for number, (colour, label) in enumerate(zip(colours, labels, strict=True)):
        places = np.arange(len(rows)) + (len(colours) / 2 - 0.5 - number) * width
        values = np.array([row[number] for row in rows.values()], dtype=float)  # nan for None
        axes.barh(places, values, width, color=colour, edgecolor="black", linewidth=0.4, label=label)
    axes.set_yticks(range(len(rows)), list(rows), fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _cells(figures: Mapping[str, Any]) -> list[str]:
    return [_cell(name, figures[name]) for name in _COLUMNS]


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name == "starts":
        return f"{value}"
    return f"{100 * value:.1f}" if name == "success" else f"{value:.2f}" if name in _FINE else f"{value:.1f}"


_FINE = ("joint_deg", "velocity_m_s", "horizon_s", "survived_s")


def _is_short(clip: Mapping[str, Any], evaluation: Evaluation) -> bool:
    return clip["horizon_s"] < max(1, round(evaluation.config.seconds * evaluation.fps)) / evaluation.fps
