"""A folder of training windows: what `process` writes and everything later reads."""

from __future__ import annotations

import json
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import Orientation, root_columns

FORMAT_VERSION = 1
_KEYS = ("protocol", "fps", "window", "stride", "robot", "joint_names", "clips", "splits", "licences")
_KINDS = {"f": "floating-point", "i": "whole"}
_SPLIT_KEYS = ("windows", "human_windows", "jerk_cubic")
# Windows looked at at once.
_ROWS = 2048


class DataFolder:
    """Windows on disk, memory-mapped; statistics and manifest in memory.

    `g1_<split>.npy` (N, W, J) joint angles, rad; `g1_root_<split>.npy` (N, W, R) root stream;
    `human_<split>.npy` (M, W, 126) and `human_root_<split>.npy` (M, W, R) for the windows that have a human side;
    `human_rows_<split>.npy` (M,) the robot window that each belongs to; `[g1_root_|human_|human_root_]{mean,std}.npy`.

    Raises:
        UserError: a file is missing or does not fit the manifest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        manifest = path / "manifest.json"
        if not manifest.is_file():
            raise UserError(f"{path}: no manifest.json in it; make the folder with scripts/data/process_data.py")
        try:
            self.manifest: dict = json.loads(manifest.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise UserError(f"{manifest}: not JSON ({error}); make the folder again") from error
        found = self.manifest.get("format_version") if isinstance(self.manifest, dict) else None
        if found != FORMAT_VERSION:
            raise UserError(
                f"{manifest}: format_version is {found}, this version reads {FORMAT_VERSION}; "
                "make the folder again with scripts/data/process_data.py"
            )
        missing = [key for key in _KEYS if key not in self.manifest]
        missing += [f"{key} of {split}" for split, entry in self.manifest.get("splits", {}).items()
                    for key in _SPLIT_KEYS if key not in entry]  # fmt: skip
        if missing:
            raise UserError(f"{manifest}: lacks {', '.join(missing)}; make the folder again")
        if not self.fps > 0:
            raise UserError(f"{manifest}: fps must be positive, it is {self.fps}; make the folder again")
        if self.orientation not in get_args(Orientation):
            raise UserError(f"{manifest}: orientation is {self.orientation!r}, expected {get_args(Orientation)}")

    @property
    def splits(self) -> list[str]:
        return list(self.manifest["splits"])

    @property
    def fps(self) -> float:
        return self.manifest["fps"]

    @property
    def window(self) -> int:
        return self.manifest["window"]

    @property
    def robot(self) -> str:
        return self.manifest["robot"]

    @property
    def joint_names(self) -> list[str]:
        return self.manifest["joint_names"]

    @property
    def joints(self) -> int:
        return len(self.joint_names)

    @property
    def orientation(self) -> Orientation:
        return self.manifest.get("orientation", "up")  # folders are older than the choice

    @property
    def root_width(self) -> int:
        """R, columns of the root streams."""
        return len(root_columns(self.orientation))

    def spec(self, root: bool) -> FeatureSpec:
        """The features of a model trained on this folder."""

        def columns(kind: str) -> tuple[list[float], ...]:
            width = self.root_width
            parts = {"robot": {"": self.joints, "g1_root_": width}, "human": {"human_": 126, "human_root_": width}}[
                kind
            ]
            wanted = list(parts.items())[: 2 if root else 1]
            return tuple(
                np.concatenate([self._statistic(f"{part}{stat}.npy", columns) for part, columns in wanted]).tolist()
                for stat in ("mean", "std")
            )

        robot_mean, robot_std = columns("robot")
        human_mean, human_std = columns("human")
        return FeatureSpec(
            robot=self.robot,
            joint_names=self.joint_names,
            fps=self.fps,
            root=root,
            robot_mean=robot_mean,
            robot_std=robot_std,
            human_mean=human_mean,
            human_std=human_std,
            orientation=self.orientation,
        )

    def split(self, name: str) -> Split:
        if name not in self.splits:
            raise UserError(f"{self.path}: no split '{name}' in it, only {', '.join(self.splits)}")
        return Split(self, name)

    def _statistic(self, file: str, columns: int) -> np.ndarray:
        values = self._array(file, (columns,))
        if not np.isfinite(values).all() or (file.endswith("std.npy") and not (values > 0).all()):
            raise UserError(f"{self.path / file}: holds a value that cannot be; make the folder again")
        return values.astype(float)

    def _array(self, file: str, shape: tuple[int, ...], kind: str = "f") -> np.ndarray:
        """An array of floating-point numbers, or with `kind` "i" of integers."""
        path = self.path / file
        if not path.is_file():
            raise UserError(f"{path}: missing; make the folder again with scripts/data/process_data.py")
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise UserError(f"{path}: not a whole NPY file ({error}); make the folder again") from error
        if array.shape != shape or array.dtype.kind != kind:
            raise UserError(
                f"{path}: {array.dtype} {array.shape}, expected {_KINDS[kind]} numbers {shape} by the manifest; "
                "make the folder again"
            )
        return array


class Split:
    """The windows of one split."""

    def __init__(self, folder: DataFolder, name: str) -> None:
        self.folder = folder
        self.name = name
        entry = folder.manifest["splits"][name]
        windows, pairs = (entry["windows"], folder.window), (entry["human_windows"], folder.window)
        self.robot = folder._array(f"g1_{name}.npy", (*windows, folder.joints))
        self.robot_root = folder._array(f"g1_root_{name}.npy", (*windows, folder.root_width))
        self.human = folder._array(f"human_{name}.npy", (*pairs, 126))
        self.human_root = folder._array(f"human_root_{name}.npy", (*pairs, folder.root_width))
        self.human_rows = folder._array(f"human_rows_{name}.npy", pairs[:1], kind="i")
        if len(self.human_rows) and not 0 <= self.human_rows.min() <= self.human_rows.max() < len(self.robot):
            raise UserError(f"{folder.path}/human_rows_{name}.npy: names a window that is not; make the folder again")
        self.jerk_cubic = np.array(entry["jerk_cubic"])

    def __len__(self) -> int:
        return len(self.robot)

    @cached_property
    def jerk(self) -> np.ndarray:
        """(J,) mean squared third difference of the windows' joints, as `jerk_cubic` is that of smooth truth."""
        total = np.zeros(self.robot.shape[-1])
        for rows in np.array_split(np.arange(len(self)), -(-len(self) // _ROWS) or 1):
            total += (np.diff(self.robot[rows].astype(np.float64), n=3, axis=1) ** 2).sum(axis=(0, 1))
        return total / max(1, len(self) * (self.robot.shape[1] - 3))

    @cached_property
    def clip_of_row(self) -> list[str]:
        """Name of the clip of each robot window."""
        clips = [clip for clip in self.folder.manifest["clips"] if clip["split"] == self.name]
        return [clip["name"] for clip in clips for _ in range(clip["windows"])]

    def sample(self, windows: int) -> Split:
        """At most so many of the robot windows, evenly spaced, with the human sides of those; always the same.

        `jerk_cubic` stays that of the whole split.
        """
        if len(self) <= windows:
            return self
        rows = np.linspace(0, len(self) - 1, windows).round().astype(int)
        human = np.flatnonzero(np.isin(self.human_rows, rows))
        part = copy(self)
        part.robot, part.robot_root = self.robot[rows], self.robot_root[rows]
        part.human, part.human_root = self.human[human], self.human_root[human]
        part.human_rows = np.searchsorted(rows, self.human_rows[human])
        part.clip_of_row = [self.clip_of_row[row] for row in rows]
        return part

    def robot_features(self, rows: np.ndarray, spec: FeatureSpec, frames: np.ndarray | None = None) -> np.ndarray:
        """(B, W, D) normalised float32 robot features of some windows.

        With `frames`, rows and frames are of one shape, and so is what comes: (…, D) of single frames of windows.
        """
        parts = {"g1": self.robot, "g1_root": self.robot_root}
        return self._normalised(parts, rows, frames, spec.root, spec.robot_mean, spec.robot_std)

    def human_features(self, rows: np.ndarray, spec: FeatureSpec, frames: np.ndarray | None = None) -> np.ndarray:
        """(B, W, H) normalised float32 human features of some human windows (rows of `human`, not of `robot`).

        `frames` as for `robot_features`.
        """
        parts = {"human": self.human, "human_root": self.human_root}
        return self._normalised(parts, rows, frames, spec.root, spec.human_mean, spec.human_std)

    def _normalised(
        self,
        parts: dict[str, np.ndarray],
        rows: np.ndarray,
        frames: np.ndarray | None,
        root: bool,
        mean: list[float],
        std: list[float],
    ) -> np.ndarray:
        chosen = []
        for kind, array in list(parts.items())[: 2 if root else 1]:
            chosen.append(array[rows] if frames is None else array[rows, frames])
            finite = np.isfinite(chosen[-1]).all(axis=-1)
            if not finite.all():
                window = rows[tuple(np.argwhere(~finite)[0])[: rows.ndim]]
                raise UserError(
                    f"{self.folder.path / kind}_{self.name}.npy: window {window} holds a value that "
                    "is no finite number; make the folder again"
                )
        return ((np.concatenate(chosen, axis=-1) - np.asarray(mean)) / np.asarray(std)).astype(np.float32)
