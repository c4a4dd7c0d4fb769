"""What the triple view shows: a human, the true robot and models' robots on one time line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation
from torch import Tensor

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.evaluation.stick_figures import HUMAN, MODEL, TRUTH
from g1_vq_retarget.motion import HumanClip, RobotClip, resample
from g1_vq_retarget.motion.quality import contacts
from g1_vq_retarget.motion.root import heading
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS, HUMAN_PARENTS
from g1_vq_retarget.retarget import MotionTokens, Retargeter
from g1_vq_retarget.robot import BodyPoses, RobotModel, forward_kinematics
from g1_vq_retarget.robot.capsules import capsules_of

AnyClip = TypeVar("AnyClip", RobotClip, HumanClip)

# Okabe and Ito's palette, as in the pictures of `evaluation`.
MODEL_COLOURS = (MODEL, "#009E73", "#CC79A7", "#E69F00")
MAX_MODELS = len(MODEL_COLOURS)
# From one figure to the next, m.
SPACING_M = 1.2
# What a way is smoothed by, s: longer than a step, so that it does not sway with one.
SMOOTHING_S = 0.6


class FigureState(NamedTuple):
    """A figure at one moment, its parts (joints of a human, links of a robot) in the figure's order.

    Attributes:
        pos: (N, 3) m, in the scene's world, z up.
        quat_wxyz: (N, 4) orientations of the parts.
        error_mm: (N,) distance of each link from the truth's in the pelvis frame; None for what is no model, without
            truth, or where the truth has ended.
        contact: (F,) which of the robot's feet touch the floor, left first; None for a human.
        frame: the frame of the figure's own clip that is shown.
        ended: whether its clip is over; it then holds its last frame.
    """

    pos: np.ndarray
    quat_wxyz: np.ndarray
    error_mm: np.ndarray | None
    contact: np.ndarray | None
    frame: int
    ended: bool


class SceneState(NamedTuple):
    """All figures at one moment: time, s, the scene's frame, and each figure's state by its name."""

    time: float
    frame: int
    figures: dict[str, FigureState]


@dataclass(frozen=True)
class Figure:
    """One body over time.

    Attributes:
        name: "human", "truth", "model_1" … "model_4".
        label: what people read.
        colour: as "#rrggbb".
        clip: its motion at the scene's rate, where it stands in the scene; a robot's in the robot's joint order.
        parts: N names of joints (human) or links (robot), parents before children.
        parents: index of each part's parent, -1 for the root.
        pos: (T, N, 3) m in the scene's world.
        quat_wxyz: (T, N, 4).
        error_mm: (E, N) distance of links from the truth's in the pelvis frame, E <= T; None without truth.
        contact: (T, F) which of the robot's feet touch the floor, as `motion.quality` tells; None for a human.
        tokens: what a model read; None for the rest.
        token_seconds: time that one step of tokens covers, s.
    """

    name: str
    label: str
    colour: str
    clip: HumanClip | RobotClip
    parts: tuple[str, ...]
    parents: tuple[int, ...]
    pos: np.ndarray
    quat_wxyz: np.ndarray
    error_mm: np.ndarray | None = None
    contact: np.ndarray | None = None
    tokens: MotionTokens | None = None
    token_seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.clip)

    @property
    def is_robot(self) -> bool:
        return isinstance(self.clip, RobotClip)

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as three bytes."""
        red, green, blue = bytes.fromhex(self.colour[1:])
        return red, green, blue

    @property
    def error_curve_mm(self) -> np.ndarray | None:
        """(E,) mean over all links but the root, whose frame it is told in: as `evaluate`'s body_error_mm."""
        return None if self.error_mm is None else self.error_mm[:, 1:].mean(axis=1)

    def at(self, frame: int) -> FigureState:
        """State at a frame of the scene; beyond its last frame the figure holds that."""
        own = min(frame, len(self) - 1)
        known = self.error_mm is not None and frame < len(self.error_mm)
        return FigureState(
            pos=self.pos[own],
            quat_wxyz=self.quat_wxyz[own],
            error_mm=self.error_mm[frame] if self.error_mm is not None and known else None,
            contact=None if self.contact is None else self.contact[own],
            frame=own,
            ended=frame >= len(self),
        )


@dataclass(frozen=True)
class Scene:
    """Figures on one time line, every one starting above the origin.

    It lasts as long as the longest; a figure whose clip is over holds its last frame.

    Attributes:
        name: of the clip.
        robot: link table of all robots in it.
        fps: frames a second.
        figures: in the order from left to right: human, truth, models; human and truth may be absent.
        licence: licence of all motion in it, as far as known.
    """

    name: str
    robot: RobotModel
    fps: float
    figures: tuple[Figure, ...]
    licence: str = ""

    @property
    def frames(self) -> int:
        """Frames of the longest figure."""
        return max(map(len, self.figures))

    @property
    def duration(self) -> float:
        """Time from the first frame to the last, s."""
        return (self.frames - 1) / self.fps

    @property
    def models(self) -> tuple[Figure, ...]:
        return tuple(figure for figure in self.figures if figure.tokens is not None)

    def figure(self, name: str) -> Figure | None:
        """The figure of that name, if there is one."""
        return next((figure for figure in self.figures if figure.name == name), None)

    def frame_at(self, time: float) -> int:
        """The frame nearest to a time, s."""
        return int(np.clip(round(time * self.fps), 0, self.frames - 1))

    def at(self, time: float) -> SceneState:
        """All figures at the frame nearest to a time, s."""
        return self.at_frame(self.frame_at(time))

    def at_frame(self, frame: int) -> SceneState:
        """All figures at a frame."""
        return SceneState(frame / self.fps, frame, {figure.name: figure.at(frame) for figure in self.figures})

    @property
    def centre(self) -> np.ndarray:
        """(frames, 2) place on the ground for a camera to follow: the first figure's way, smoothed over its steps."""
        return self._ways[self.figures[0].name]

    def offsets(self, frame: int, spacing: float = SPACING_M, together: bool = True) -> dict[str, np.ndarray]:
        """Where to move each figure (3,), m, to have them side by side across the x axis, the first at the least y.

        Args:
            frame: of the scene.
            spacing: from one figure to the next; 0 puts them upon one another.
            together: whether to take from each figure how far its way, smoothed over its steps, has led away from the
                first one's. A model codes velocities, so its place drifts, by metres within minutes.
        """
        lanes = spacing * (np.arange(len(self.figures)) - (len(self.figures) - 1) / 2)
        return {
            figure.name: np.array([*(self.centre[frame] - self._ways[figure.name][frame]) * together, 0.0])
            + (0.0, lane, 0.0)
            for figure, lane in zip(self.figures, lanes, strict=True)
        }

    @cached_property
    def _ways(self) -> dict[str, np.ndarray]:
        frames = np.arange(self.frames)
        smoothing = SMOOTHING_S * self.fps
        return {
            figure.name: gaussian_filter1d(
                figure.clip.root_pos_w[np.minimum(frames, len(figure) - 1), :2], smoothing, axis=0, mode="nearest"
            )
            for figure in self.figures
        }


def build_scene(
    models: Mapping[str, Retargeter],
    motion: HumanClip | RobotClip,
    reference: RobotClip | None = None,
    fps: float | None = None,
) -> Scene:
    """Retarget a motion by each model and put everything on one time line.

    A human is read by the models' human encoders and drawn at the size of the robot (the ratio of the legs), which is
    what its way over the ground is shrunk by, too. A robot's motion is read by their robot encoders, and is itself the
    truth where no reference is given. All figures are turned alike, so that the first one sets out along x.

    Args:
        models: one to `MAX_MODELS` models by their labels.
        motion: what the models read.
        reference: the true robot motion, frame by frame that of `motion`; without, a human's scene has no truth.
        fps: the scene's frames a second, by default the first model's.

    Raises:
        UserError: no model or too many, models of different robots or of one without a link table, a motion that a
            model cannot read.
    """
    if not 1 <= len(models) <= MAX_MODELS:
        raise UserError(f"{len(models)} checkpoints: the triple view shows one to {MAX_MODELS}")
    (robot,) = _one_robot(models)
    fps = fps or next(iter(models.values())).spec.fps
    made = {label: model.retarget(motion, fps) for label, model in models.items()}
    if isinstance(motion, RobotClip) and reference is None:
        reference = motion

    turn = Rotation.from_euler("z", -heading(motion.body_rotation[:1])[0])
    figures = []
    if isinstance(motion, HumanClip):
        ratio = robot.leg_length / motion.leg_length
        figures.append(_human_figure(_placed(resample(_scaled(motion, ratio), fps), turn), f"human × {ratio:.2f}"))
    truth = None
    if reference is not None:
        truth = _placed(resample(reference.with_joint_order(robot.joint_names), fps), turn)
        figures.append(_robot_figure("truth", "ground truth", TRUTH, truth, robot))
    for number, (label, result) in enumerate(made.items(), start=1):
        clip = _placed(result.motion.with_joint_order(robot.joint_names), turn)
        figure = _robot_figure(f"model_{number}", label, MODEL_COLOURS[number - 1], clip, robot)
        figures.append(
            replace(
                figure,
                error_mm=None if truth is None else _link_error_mm(robot, clip, truth),
                tokens=result.tokens,
                token_seconds=models[label].model.downsample / result.tokens.fps,
            )
        )
    licences = [motion.provenance.licence, *(result.tokens.licence for result in made.values())]
    if reference is not None:
        licences.append(reference.provenance.licence)
    # tokens name several, one after the other
    each = {licence for several in licences for licence in several.split("; ") if licence}
    return Scene(motion.name, robot, fps, tuple(figures), "; ".join(sorted(each)))


def robot_scene(clip: RobotClip, robot: RobotModel, label: str) -> Scene:
    """A scene of one robot's motion, without a model.

    Raises:
        MotionError: the clip lacks a joint of the robot.
    """
    turn = Rotation.from_euler("z", -heading(clip.body_rotation[:1])[0])
    placed = _placed(clip.with_joint_order(robot.joint_names), turn)
    figure = _robot_figure("truth", label, TRUTH, placed, robot)
    return Scene(clip.name, robot, clip.fps, (figure,), clip.provenance.licence)


def _one_robot(models: Mapping[str, Retargeter]) -> list[RobotModel]:
    robots = {}
    for label, model in models.items():
        if model.robot is None:
            raise UserError(f"{label}: its robot has no link table in this package, so there is nothing to draw")
        robots[model.robot.name] = model.robot
    if len(robots) > 1:
        raise UserError(f"the checkpoints are for different robots ({', '.join(robots)}); show them one by one")
    return list(robots.values())


def _scaled(clip: HumanClip, ratio: float) -> HumanClip:
    return replace(clip, root_pos_w=ratio * clip.root_pos_w, rest_offsets=ratio * clip.rest_offsets)


def _placed(clip: AnyClip, turn: Rotation) -> AnyClip:
    """The clip begun above the origin and turned about it."""
    start = np.array([*clip.root_pos_w[0, :2], 0.0])
    quat = (turn * clip.root_rotation).as_quat(scalar_first=True)
    return replace(clip, root_pos_w=turn.apply(clip.root_pos_w - start), root_quat_w=quat)


def _human_figure(clip: HumanClip, label: str) -> Figure:
    quat = Rotation.from_matrix(clip.joint_rot_w.reshape(-1, 3, 3)).as_quat(scalar_first=True)
    quat = quat.reshape(len(clip), -1, 4)
    return Figure("human", label, HUMAN, clip, HUMAN_JOINTS, HUMAN_PARENTS, clip.joint_pos_w, quat)


def _robot_figure(name: str, label: str, colour: str, clip: RobotClip, robot: RobotModel) -> Figure:
    poses = forward_kinematics(robot, *map(torch.from_numpy, (clip.joint_pos, clip.root_pos_w, clip.root_quat_w)))
    return Figure(
        name=name,
        label=label,
        colour=colour,
        clip=clip,
        parts=robot.link_names,
        parents=robot.parents,
        pos=poses.pos.numpy(),
        quat_wxyz=poses.quat_wxyz.numpy(),
        contact=_foot_contact(robot, poses, clip.fps),
    )


def _foot_contact(robot: RobotModel, poses: BodyPoses, fps: float) -> np.ndarray:
    """(T, F) whether a foot touches the floor from a frame to the next; the last frame is as the one before."""
    frames = len(poses.pos)
    if frames == 1:
        return np.zeros((1, len(robot.feet)), dtype=bool)
    touching, _ = contacts(_soles(robot, poses), fps)
    feet = touching.any(dim=-1).numpy()
    return np.concatenate([feet, feet[-1:]])


def _soles(robot: RobotModel, poses: BodyPoses) -> Tensor:
    """(T, F, P, 3) the lower sides of the ends of each foot's capsules, m."""
    capsules = capsules_of(robot)
    down = torch.zeros(len(capsules.radius), 1, 3, dtype=poses.pos.dtype)
    down[..., 2] = torch.as_tensor(capsules.radius).unsqueeze(-1)
    lowest = capsules.ends_at(poses) - down
    feet = [lowest[:, capsules.link == link].flatten(1, 2) for link in robot.link_indices(robot.feet)]
    return torch.stack(feet, dim=1)


def _link_error_mm(robot: RobotModel, clip: RobotClip, truth: RobotClip) -> np.ndarray:
    """(E, L) over the frames that both have."""
    frames = min(len(clip), len(truth))
    poses = [forward_kinematics(robot, torch.from_numpy(part.joint_pos[:frames])).pos for part in (clip, truth)]
    return 1000 * (poses[0] - poses[1]).norm(dim=-1).numpy()
