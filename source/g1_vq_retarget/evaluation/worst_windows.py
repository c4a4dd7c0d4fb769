"""A picture of the windows that a model decodes worst."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.evaluation.stick_figures import MODEL, TRUTH, draw_lines, robot_lines
from g1_vq_retarget.files import replacing
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.robot import RobotModel
from g1_vq_retarget.training.coding import coded_robot

POSES = 7
CURVES = 3


@torch.no_grad()
def plot_worst_windows(
    path: Path,
    model: DualEncoderVQVAE,
    split: Split,
    spec: FeatureSpec,
    robot: RobotModel | None,
    recon_per_window: np.ndarray,
    count: int = 10,
    whole_clips: bool = False,
) -> list[dict]:
    """Draw truth and decoded motion of the `count` windows of largest reconstruction error.

    Each row is a window: stick figures over time from the left front (pelvis frame; none for a robot without link
    table), then the angles of the three joints that are furthest off. `whole_clips` as for the errors: whether windows
    are cut from whole decoded clips.

    Returns:
        Clip, first time (s) and error of each drawn window, worst first.
    """
    rows = np.argsort(-recon_per_window)[:count]
    target = torch.from_numpy(split.robot_features(rows, spec))
    decoded = torch.empty_like(target)
    for part in coded_robot(model, split, spec, whole_clips):
        for place, row in enumerate(rows):
            found = np.flatnonzero(part.rows == row)
            if len(found):
                decoded[place] = part.motion[int(found[0])]
    std, mean = (np.asarray(values)[: spec.joints] for values in (spec.robot_std, spec.robot_mean))
    truth, motion = ((part[..., : spec.joints].numpy() * std + mean) for part in (target, decoded))

    figure = Figure(figsize=(15, 2.1 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 2, width_ratios=(0.4 if robot is None else 2, 1), squeeze=False)
    first_row = {clip: split.clip_of_row.index(clip) for clip in set(split.clip_of_row)}
    stride = split.folder.manifest["stride"]
    report = []
    for (poses, curves), row, true, made in zip(axes, rows, truth, motion, strict=True):
        clip = split.clip_of_row[row]
        start = float((row - first_row[clip]) * stride / spec.fps)
        report.append({"clip": clip, "start_s": start, "recon": float(recon_per_window[row])})
        _draw_poses(poses, robot, true, made)
        poses.set_title(f"{clip}, {start:.2f} s: error {recon_per_window[row]:.3f}", loc="left", fontsize=9)
        _draw_curves(curves, spec, true, made, std)
    axes[0, 1].set_title("furthest joints, degrees over seconds", loc="left", fontsize=9)
    figure.legend(
        handles=[Line2D([], [], color=TRUTH, label="truth"),
                 Line2D([], [], color=MODEL, label="decoded")],
        loc="outside upper right", ncols=2, frameon=False,
    )  # fmt: skip
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90)
    return report


def _draw_poses(axes: Axes, robot: RobotModel | None, truth: np.ndarray, decoded: np.ndarray) -> None:
    axes.set_axis_off()
    if robot is None:
        return
    frames = np.linspace(0, len(truth) - 1, POSES).astype(int)
    for joints, colour in ((truth, TRUTH), (decoded, MODEL)):
        for place, lines in enumerate(robot_lines(robot, torch.from_numpy(joints[frames]))):
            draw_lines(axes, lines, colour, across=0.9 * place)
    axes.set_aspect("equal")


def _draw_curves(axes: Axes, spec: FeatureSpec, truth: np.ndarray, decoded: np.ndarray, std: np.ndarray) -> None:
    furthest = np.argsort(-(((truth - decoded) / std) ** 2).mean(axis=0))[:CURVES]
    seconds = np.arange(len(truth)) / spec.fps
    for joint, style in zip(furthest, ("-", "--", ":"), strict=True):
        axes.plot(seconds, np.rad2deg(truth[:, joint]), style, color=TRUTH, linewidth=1.2)
        axes.plot(seconds, np.rad2deg(decoded[:, joint]), style, color=MODEL, linewidth=1.2)
    names = ", ".join(f"{spec.joint_names[joint].removesuffix('_joint')} ({mark})" for joint, mark in
                      zip(furthest, ("solid", "dashed", "dotted"), strict=True))  # fmt: skip
    axes.set_xlabel(names, fontsize=7)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
