"""A triple view as plain arrays, for a simulator to play without a model: human, truth and model on one time line."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing
from g1_vq_retarget.motion import MotionError
from g1_vq_retarget.motion.formats.npz import read_arrays

if TYPE_CHECKING:
    from g1_vq_retarget.viewer.scene import Scene

# The robots of a playback, as simulators name their articulations.
ROBOTS = ("truth", "model")
# How simulators show them, as in the other views: the human's joints and bones, m; red, green and blue.
JOINT_RADIUS, BONE_RADIUS = 0.03, 0.018
ROBOT_COLOURS = {"truth": (0.33, 0.33, 0.33), "model": (0.84, 0.37, 0.0)}
HUMAN_COLOUR = (0.0, 0.45, 0.7)
FORMAT = "g1_vq_retarget playback 1"
_KEYS = ("format", "name", "fps", "licence", "joint_names", "human_pos_w", "human_parents")


@dataclass(frozen=True)
class RobotTrack:
    """A robot's motion: root_pos_w (T, 3) m, root_quat_w (T, 4) wxyz, joint_pos (T, J) rad."""

    root_pos_w: np.ndarray
    root_quat_w: np.ndarray
    joint_pos: np.ndarray


@dataclass(frozen=True)
class Playback:
    """Two robots and a human's joints over T frames, set side by side in one world, z up.

    Attributes:
        name: of the clip.
        fps: frames a second.
        licence: of the motion.
        joint_names: J, the order of `RobotTrack.joint_pos`.
        truth: the true robot.
        model: the model's.
        human_pos_w: (T, N, 3) m; N is 0 where the model read a robot's motion.
        human_parents: (N,) index of each joint's parent, -1 for the root.
    """

    name: str
    fps: float
    licence: str
    joint_names: tuple[str, ...]
    truth: RobotTrack
    model: RobotTrack
    human_pos_w: np.ndarray
    human_parents: np.ndarray

    def __len__(self) -> int:
        return len(self.human_pos_w)

    @property
    def robots(self) -> dict[str, RobotTrack]:
        """The tracks by the articulations' names."""
        return {"truth": self.truth, "model": self.model}

    def frame_at(self, time: float) -> int:
        """The frame at a time, s; after the last comes the first again."""
        # a time that sums up many steps lies a little before or behind
        return int(time * self.fps + 1e-3) % len(self)

    def save(self, path: Path) -> None:
        """Write it as NPZ; `load` reads it back.

        Raises:
            UserError: the file cannot be written, or is not named .npz.
        """
        if path.suffix != ".npz":
            raise UserError(f"{path}: a playback is an NPZ file; name it .npz")
        arrays: dict[str, np.ndarray] = {
            "format": np.array(FORMAT),
            "name": np.array(self.name),
            "fps": np.array(self.fps),
            "licence": np.array(self.licence),
            "joint_names": np.array(self.joint_names),
            "human_pos_w": self.human_pos_w,
            "human_parents": self.human_parents,
        }
        for robot, track in self.robots.items():
            arrays |= {f"{robot}_{field}": values for field, values in vars(track).items()}
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path) -> Playback:
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing or something else.
        """
        path = existing_file(path)
        keys = {robot: [f"{robot}_{field.name}" for field in fields(RobotTrack)] for robot in ROBOTS}
        try:
            file = read_arrays(path, (*_KEYS, *keys["truth"], *keys["model"]))
            if str(file["format"]) != FORMAT:
                raise MotionError(f"is of the format {str(file['format'])!r}")
        except MotionError as error:
            raise UserError(
                f"{path}: no playback ({error}); scripts/deployment/export_playback.py writes one"
            ) from error
        return cls(
            name=str(file["name"]),
            fps=float(file["fps"]),
            licence=str(file["licence"]),
            joint_names=tuple(file["joint_names"].tolist()),
            human_pos_w=file["human_pos_w"],
            human_parents=file["human_parents"],
            **{robot: RobotTrack(*(file[key] for key in keys[robot])) for robot in ROBOTS},
        )


def playback_of(scene: Scene) -> Playback:
    """The first model of a triple view beside its truth and human; a figure that has ended holds its last frame.

    Raises:
        UserError: the scene has no truth.
    """
    truth = scene.figure("truth")
    if truth is None:
        raise UserError("a playback has two robots: give the true motion of the robot with --reference")
    model, human = scene.models[0], scene.figure("human")
    # without the other models, which would leave gaps
    shown = tuple(figure for figure in (human, truth, model) if figure is not None)
    scene = replace(scene, figures=shown)
    frames = np.arange(scene.frames)
    places = [scene.offsets(frame) for frame in range(scene.frames)]
    shift = {figure.name: np.stack([place[figure.name] for place in places]) for figure in shown}
    tracks = {}
    for robot, figure in zip(ROBOTS, (truth, model), strict=True):
        clip, own = figure.clip, np.minimum(frames, len(figure) - 1)
        tracks[robot] = RobotTrack(
            root_pos_w=clip.root_pos_w[own] + shift[figure.name],
            root_quat_w=clip.root_quat_w[own],
            joint_pos=clip.joint_pos[own],  # type: ignore[union-attr]
        )
    if human is None:
        human_pos_w, parents = np.zeros((len(frames), 0, 3)), np.zeros(0, dtype=int)
    else:
        human_pos_w = human.pos[np.minimum(frames, len(human) - 1)] + shift["human"][:, None]
        parents = np.array(human.parents)
    return Playback(
        name=scene.name,
        fps=scene.fps,
        licence=scene.licence,
        joint_names=scene.robot.joint_names,
        human_pos_w=human_pos_w,
        human_parents=parents,
        **tracks,
    )
