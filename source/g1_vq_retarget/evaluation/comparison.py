"""Pictures of one motion beside what a model made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from g1_vq_retarget.evaluation.stick_figures import MODEL, TRUTH, draw_side_by_side
from g1_vq_retarget.files import replacing
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.robot import RobotModel


def plot_side_by_side(path: Path, human: HumanClip, truth: RobotClip, model: RobotClip, robot: RobotModel) -> None:
    """Stick figures of human, truth and model over time, one row each; clips of one rate."""
    figure = Figure(figsize=(13, 7), layout="constrained")
    axes = figure.subplots(3, 1)
    draw_side_by_side(list(axes), human, truth, model, robot)
    _save(figure, path)


def plot_joint_curves(path: Path, truth: RobotClip, model: RobotClip) -> None:
    """Angle of every joint over time, truth and model; clips of one rate and joint order."""
    columns, joints = 5, len(truth.joint_names)
    rows = -(-joints // columns)
    figure = Figure(figsize=(15, 1.7 * rows), layout="constrained")
    axes = np.ravel(figure.subplots(rows, columns, sharex=True))
    frames = min(len(truth), len(model))
    seconds = np.arange(frames) / truth.fps
    for axis, name, true, made in zip(axes, truth.joint_names, truth.joint_pos.T, model.joint_pos.T, strict=False):
        axis.plot(seconds, np.rad2deg(true[:frames]), color=TRUTH, linewidth=1.4, label="truth")
        axis.plot(seconds, np.rad2deg(made[:frames]), color=MODEL, linewidth=1.0, linestyle="--", label="model")
        axis.set_title(name.removesuffix("_joint"), fontsize=8)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[joints:]:
        axis.set_axis_off()
    figure.supxlabel("s", fontsize=9)
    figure.supylabel("degrees", fontsize=9)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower right", frameon=False, ncols=2)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
