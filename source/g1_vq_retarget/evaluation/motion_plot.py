"""A picture of one motion: every joint, the root's way, the feet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from g1_vq_retarget.data.inspection import sole_points
from g1_vq_retarget.evaluation.stick_figures import HUMAN, MODEL, TRUTH
from g1_vq_retarget.files import replacing
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.motion.quality import contacts, standing_height
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS
from g1_vq_retarget.motion.time import runs, velocity
from g1_vq_retarget.robot import RobotModel

COLUMNS = 6
SIDES = (("left", HUMAN), ("right", MODEL))


def plot_motion(path: Path, clip: RobotClip | HumanClip, robot: RobotModel, start: float = 0.0) -> None:
    """Draw a clip of a robot or a human.

    Above, the root's way over the ground, the height of the lowest point of each foot with its contacts as bars, and
    speeds; below, the angle of every joint, of a robot with those limits that are in the picture (dashed), of a human
    against the T-pose. The first frame is at `start` seconds.

    Raises:
        UserError: the picture cannot be written.
    """
    curves = _joint_curves(clip)
    rows = -(-len(curves) // COLUMNS)
    figure = Figure(figsize=(18, 4.5 + 1.5 * rows), layout="constrained")
    figure.suptitle(f"{clip.name}: {len(clip)} frames at {clip.fps:g} fps", fontsize=11)
    above, below = np.ravel(np.array(figure.subfigures(2, 1, height_ratios=(3.6, 1.5 * rows))))
    way, feet, speed = above.subplots(1, 3, width_ratios=(1, 2, 2))
    _draw_way(way, clip)
    _draw_feet(feet, speed, clip, robot, start)
    limits = {joint.name: np.rad2deg((joint.lower, joint.upper)) for joint in robot.joints}
    axes = np.ravel(below.subplots(rows, COLUMNS, sharex=True, squeeze=False))
    seconds = _seconds(clip, start)
    for axis, (name, degrees) in zip(axes, curves.items(), strict=False):
        axis.plot(seconds, degrees, color=TRUTH, linewidth=0.9)
        # as far as the curve goes: limits far away would flatten it, and a still joint is not to look lively
        axis.set_ylim(min(axis.get_ylim()[0], degrees.mean() - 1), max(axis.get_ylim()[1], degrees.mean() + 1))
        for limit in limits.get(name, ()) if isinstance(clip, RobotClip) else ():
            axis.axhline(limit, color=MODEL, linewidth=0.8, linestyle="--")
        axis.set_title(name.removesuffix("_joint"), fontsize=8)
        _plain(axis)
    for axis in axes[len(curves) :]:
        axis.set_axis_off()
    below.supxlabel("s", fontsize=9)
    below.supylabel("degrees", fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90)


def _seconds(clip: RobotClip | HumanClip, start: float) -> np.ndarray:
    return start + np.arange(len(clip)) / clip.fps


def _joint_curves(clip: RobotClip | HumanClip) -> dict[str, np.ndarray]:
    """(T,) degrees by joint."""
    if isinstance(clip, RobotClip):
        return dict(zip(clip.joint_names, np.rad2deg(clip.joint_pos).T, strict=True))
    turned = np.rad2deg(clip.local_rotations.magnitude()).reshape(len(clip), -1)
    return dict(zip(HUMAN_JOINTS[1:], turned.T, strict=True))


def _draw_way(axes: Axes, clip: RobotClip | HumanClip) -> None:
    x, y, _ = clip.root_pos_w.T
    axes.plot(x, y, color=TRUTH, linewidth=1.0)
    axes.plot(x[:1], y[:1], "o", color=HUMAN, label="begin")
    axes.plot(x[-1:], y[-1:], "s", color=MODEL, label="end")
    axes.set_title("root from above, m", loc="left", fontsize=9)
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(fontsize=7, frameon=False)
    _plain(axes)


def _draw_feet(feet: Axes, speed: Axes, clip: RobotClip | HumanClip, robot: RobotModel, start: float) -> None:
    seconds = _seconds(clip, start)
    root_speed = np.linalg.norm(velocity(clip.root_pos_w, clip.fps)[:, :2], axis=-1)
    speed.plot(seconds, root_speed, color=TRUTH, linewidth=0.9, label="root, over the ground")
    speed.set_title("speed, m/s", loc="left", fontsize=9)
    feet.set_title("lowest point of each foot, mm; bars: in contact", loc="left", fontsize=9)
    if isinstance(clip, HumanClip) or set(robot.joint_names) <= set(clip.joint_names):
        points = sole_points(clip, robot)
        # a human's floor is where the feet stand, since the file need not have it at 0
        floor = (standing_height(points, clip.fps) or 0.0) if isinstance(clip, HumanClip) else 0.0
        contact, slide = contacts(points - torch.tensor([0.0, 0.0, floor]), clip.fps)
        feet.axhline(1000 * floor, color="#bbbbbb", linewidth=0.8)
        lowest = 1000 * points[..., 2].amin(dim=-1).numpy()
        for side, (name, colour) in enumerate(SIDES):
            feet.plot(seconds, lowest[:, side], color=colour, linewidth=0.9, label=name)
            touching = contact[:, side].any(dim=-1).numpy()
            bars = [(start + begin / clip.fps, (end - begin) / clip.fps) for begin, end in runs(touching)]
            feet.broken_barh(bars, (1000 * floor - 20 - 12 * side, 8), color=colour)
            counted = (slide[:, side] * contact[:, side]).sum(dim=-1) / contact[:, side].sum(dim=-1).clamp_min(1)
            shown = np.where(touching, counted.numpy(), np.nan)
            speed.plot(seconds[1:], shown, ".", color=colour, markersize=2, label=f"{name} sole in contact")
        feet.legend(fontsize=7, frameon=False, loc="upper right")
    speed.legend(fontsize=7, frameon=False, loc="upper right")
    for axes in (feet, speed):
        axes.set_xlabel("s", fontsize=8)
        _plain(axes)


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
