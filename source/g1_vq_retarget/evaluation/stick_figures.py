"""Bodies as lines on a matplotlib axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.motion.skeleton import HUMAN_PARENTS
from g1_vq_retarget.robot import RobotModel, forward_kinematics

# Readable in colour, for the colour-blind and in grey (Okabe and Ito's palette).
HUMAN, TRUTH, MODEL = "#0072B2", "#555555", "#D55E00"
# Columns of a picture across and up, seen from the left front.
VIEW = np.array([[-0.5, 0.87, 0.0], [0.0, 0.0, 1.0]])


def draw_lines(axes: Axes, lines: np.ndarray, colour: str, across: float = 0.0) -> None:
    """Draw lines (S, 2, 3), m, of one pose, moved `across` the picture."""
    for start_and_end in lines @ VIEW.T + (across, 0.0):
        axes.plot(*start_and_end.T, color=colour, linewidth=1.4, solid_capstyle="round")


def human_lines(clip: HumanClip) -> np.ndarray:
    """(T, 21, 2, 3) bones of a human clip in the world, m."""
    joints = clip.joint_pos_w
    return np.stack([joints[:, list(HUMAN_PARENTS[1:])], joints[:, 1:]], axis=2)


def robot_lines(
    robot: RobotModel, joint_pos: Tensor, root_pos: Tensor | None = None, root_quat_wxyz: Tensor | None = None
) -> np.ndarray:
    """(T, S, 2, 3) lines of a robot, m: from each link to its parent, and along the capsules that give it feet, hands
    and a head. Arguments as of `forward_kinematics`."""
    poses = forward_kinematics(robot, joint_pos, root_pos, root_quat_wxyz)
    bones = torch.stack([poses.pos[:, list(robot.parents[1:])], poses.pos[:, 1:]], dim=2)
    tips = (*robot.feet, *robot.hands, robot.anchor)
    capsules = [(robot.link_names.index(link.name), capsule) for link in robot.links if link.name in tips
                for capsule in link.capsules]  # fmt: skip
    links = [link for link, _ in capsules]
    ends = torch.tensor([(capsule.start, capsule.end) for _, capsule in capsules], dtype=joint_pos.dtype)
    axes = poses.pos[:, links, None] + torch.einsum("tsij,sej->tsei", poses.rot[:, links], ends)
    return torch.cat([bones, axes], dim=1).numpy()


def clip_lines(robot: RobotModel, clip: RobotClip) -> np.ndarray:
    """`robot_lines` of a clip in the world."""
    ordered = clip.with_joint_order(robot.joint_names)
    return robot_lines(robot, *map(torch.from_numpy, (ordered.joint_pos, ordered.root_pos_w, ordered.root_quat_w)))


def draw_side_by_side(
    axes: Sequence[Axes], human: HumanClip, truth: RobotClip, model: RobotClip, robot: RobotModel, poses: int = 9
) -> None:
    """Human, truth and model, one axis each, at the same `poses` moments of clips of one rate.

    Each figure is brought under its own place in the row, so that what differs is the pose and not the way.
    """
    frames = np.linspace(0, min(map(len, (human, truth, model))) - 1, poses).astype(int)
    rows = (
        ("human", human, human_lines(human), HUMAN),
        ("truth", truth, clip_lines(robot, truth), TRUTH),
        ("model", model, clip_lines(robot, model), MODEL),
    )
    for axis, (title, clip, lines, colour) in zip(axes, rows, strict=True):
        for place, frame in enumerate(frames):
            here = (*clip.root_pos_w[frame, :2], 0.0)
            draw_lines(axis, lines[frame] - here, colour, across=1.1 * place)
            axis.text(1.1 * place, -0.18, f"{frame / clip.fps:.1f} s", ha="center", fontsize=7)
        axis.axhline(0.0, color="#bbbbbb", linewidth=0.6, zorder=0)
        axis.set_title(title, loc="left", fontsize=10, color=colour)
        axis.set_aspect("equal")
        axis.set_axis_off()
