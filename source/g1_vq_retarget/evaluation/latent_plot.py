"""Pictures of the latent space: maps to two dimensions, by domain and by action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from g1_vq_retarget.evaluation.latent_space import LatentMeasures, PairedLatents, Spread, analysis_extra
from g1_vq_retarget.evaluation.stick_figures import HUMAN, MODEL
from g1_vq_retarget.files import replacing

Method = Literal["t-sne", "umap"]
TITLES = {"t-sne": "t-SNE", "umap": "UMAP"}
# Okabe and Ito's palette, from dark to light; beyond it the markers tell actions apart
PALETTE = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442")
MARKERS = "o^sXDvP*"


@dataclass(frozen=True)
class LatentView:
    """What is drawn of one model: its name, its latents, their measures, and their points (2P, 2) by method."""

    title: str
    latents: PairedLatents
    measures: LatentMeasures
    maps: Mapping[Method, np.ndarray]


def flat_map(points: np.ndarray, method: Method, seed: int = 0) -> np.ndarray:
    """(N, 2) t-SNE (van der Maaten and Hinton 2008) or UMAP (McInnes et al. 2018) of (N, C); only to be looked at.

    Raises:
        UserError: scikit-learn or umap-learn is not installed.
    """
    with analysis_extra():
        if method == "t-sne":
            from sklearn.manifold import TSNE

            return TSNE(perplexity=min(30, (len(points) - 1) / 3), init="pca", random_state=seed).fit_transform(points)
        from umap import UMAP

    # one job, since the seed only holds for one
    mapped = UMAP(n_neighbors=min(15, len(points) - 1), random_state=seed, n_jobs=1).fit_transform(points)
    return np.asarray(mapped)


def plot_latent_space(stem: Path, view: LatentView) -> list[Path]:
    """Draw the maps of a model's latents, each by domain and by action, the measures below; PNG and PDF.

    Returns:
        The files written: `stem` with both suffixes.

    Raises:
        UserError: a file cannot be written.
    """
    figure = Figure(figsize=(11, 1.6 + 4.6 * len(view.maps)), layout="constrained")
    figure.suptitle(f"{view.title}: latents before quantization, mean over time", fontsize=11)
    rows = figure.subplots(len(view.maps), 2, squeeze=False)
    for row, (method, mapped) in zip(rows, view.maps.items(), strict=True):
        _draw_domains(row[0], mapped, view.latents)
        _draw_actions(row[1], mapped, view.latents)
        row[0].set_title(f"{TITLES[method]}, by domain", loc="left", fontsize=10)
        row[1].set_title(f"{TITLES[method]}, by action", loc="left", fontsize=10)
    _write_below(figure, view.measures)
    return _save(figure, stem)


def plot_before_after(stem: Path, before: LatentView, after: LatentView) -> list[Path]:
    """Draw two models' latents side by side by domain, the measures of each below it; PNG and PDF.

    Returns, raises: as `plot_latent_space`.
    """
    figure = Figure(figsize=(11, 1.8 + 4.4 * len(after.maps)), layout="constrained")
    for column, view in zip(np.ravel(np.array(figure.subfigures(1, 2))), (before, after), strict=True):
        column.suptitle(view.title, fontsize=11)
        rows = np.ravel(column.subplots(len(view.maps), 1, squeeze=False))
        for axes, (method, mapped) in zip(rows, view.maps.items(), strict=True):
            _draw_domains(axes, mapped, view.latents)
            axes.set_title(f"{TITLES[method]}, by domain", loc="left", fontsize=10)
        _write_below(column, view.measures)
    return _save(figure, stem)


def measures_table(columns: dict[str, LatentMeasures]) -> str:
    """A Markdown table: a row a measure, a column a model."""
    rows: dict[str, list[str]] = {}
    for measures in columns.values():
        for name, value in _figures(measures):
            rows.setdefault(name, []).append(value)
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    return "\n".join(lines + [f"| {name} | " + " | ".join(values) + " |" for name, values in rows.items()])


def _figures(measures: LatentMeasures) -> list[tuple[str, str]]:
    found = measures.retrieval

    def shown(spread: Spread) -> str:
        return f"{spread.mean:.3f} ± {spread.std:.3f}"

    figures = [
        ("latent mean squared distance", f"{measures.align_mse:.4g}"),
        ("InfoNCE among 64, nats", f"{measures.align_infonce:.3f}"),
        ("domain told, logistic (0.5: overlap)", f"{measures.domain_accuracy['logistic']:.3f}"),
        ("domain told, kernel (0.5: overlap)", f"{measures.domain_accuracy['kernel']:.3f}"),
        ("kNN mixing (1: overlap)", f"{measures.knn_mixing:.3f}"),
    ]
    for way, ranks in (("human → robot", found.human_to_robot), ("robot → human", found.robot_to_human)):
        figures += [
            (f"{way} among {found.windows}, top {name.removeprefix('top')}", shown(spread))
            for name, spread in ranks.items()
        ]
    for part in ("human", "robot", "both"):
        value = "-" if measures.silhouette is None else f"{measures.silhouette[part]:.3f}"
        figures.append((f"silhouette by action, {part}", value))
    return figures


def _draw_domains(axes: Axes, mapped: np.ndarray, latents: PairedLatents) -> None:
    human, robot = mapped[~latents.is_robot], mapped[latents.is_robot]
    # hollow and crossed, so that neither hides the other
    axes.scatter(*human.T, s=22, marker="o", facecolors="none", edgecolors=HUMAN, linewidths=0.9, label="human")
    axes.scatter(*robot.T, s=18, marker="x", color=MODEL, linewidths=0.9, label="robot")
    _plain(axes)


def _draw_actions(axes: Axes, mapped: np.ndarray, latents: PairedLatents) -> None:
    actions = np.tile(latents.actions, 2)
    for index, action in enumerate(sorted(set(latents.actions))):
        colour = PALETTE[index % len(PALETTE)]
        marker = MARKERS[(index + index // len(PALETTE)) % len(MARKERS)]
        axes.scatter(*mapped[actions == action].T, s=16, marker=marker, color=colour, linewidths=0, label=action)
    _plain(axes)


def _plain(axes: Axes) -> None:
    # coordinates of such a map mean nothing
    axes.set(xticks=[], yticks=[])
    axes.legend(fontsize=8, loc="best")


def _write_below(figure: Figure | SubFigure, measures: LatentMeasures) -> None:
    figures = _figures(measures)
    width = max(len(name) for name, _ in figures)
    lines = [f"{name:<{width}}  {value:>13}" for name, value in figures]
    head = f"{measures.windows} windows of {len(measures.clips)} clips; classifiers tested on other {measures.folds}"
    figure.supxlabel("\n".join([head, *lines]), fontsize=8, family="monospace", horizontalalignment="center")


def _save(figure: Figure, stem: Path) -> list[Path]:
    paths = [stem.with_name(stem.name + suffix) for suffix in (".png", ".pdf")]
    for path in paths:
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=110)
    return paths
