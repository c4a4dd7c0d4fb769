"""A folder of training windows: what `process` writes and everything later reads."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

import numpy as np

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.errors import UserError

FORMAT_VERSION = 1


class DataFolder:
    """Windows on disk, memory-mapped; statistics and manifest in memory.

    `g1_<split>.npy` (N, W, 29) joint angles, rad; `g1_root_<split>.npy` (N, W, 7) root stream;
    `human_<split>.npy` (M, W, 126) and `human_root_<split>.npy` (M, W, 7) for the windows that have a human side;
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
        except json.JSONDecodeError as error:
            raise UserError(f"{manifest}: not JSON ({error}); make the folder again") from error
        if self.manifest.get("format_version") != FORMAT_VERSION:
            raise UserError(
                f"{manifest}: format_version is {self.manifest.get('format_version')}, this version reads "
                f"{FORMAT_VERSION}; make the folder again with scripts/data/process_data.py"
            )

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
    def joint_names(self) -> list[str]:
        return self.manifest["joint_names"]

    def spec(self, root: bool) -> FeatureSpec:
        """The features of a model trained on this folder."""

        def columns(kind: str) -> tuple[list[float], ...]:
            names = ["", "root_"] if root else [""]
            prefix = {"robot": ["", "g1_root_"], "human": ["human_", "human_root_"]}[kind]
            return tuple(
                np.concatenate([self._array(f"{part}{stat}.npy") for part, _ in zip(prefix, names, strict=False)])
                .astype(float)
                .tolist()
                for stat in ("mean", "std")
            )

        robot_mean, robot_std = columns("robot")
        human_mean, human_std = columns("human")
        return FeatureSpec(
            robot=self.manifest["robot"],
            joint_names=self.joint_names,
            fps=self.fps,
            root=root,
            robot_mean=robot_mean,
            robot_std=robot_std,
            human_mean=human_mean,
            human_std=human_std,
        )

    def split(self, name: str) -> Split:
        if name not in self.splits:
            raise UserError(f"{self.path}: no split '{name}' in it, only {', '.join(self.splits)}")
        return Split(self, name)

    def _array(self, file: str) -> np.ndarray:
        path = self.path / file
        if not path.is_file():
            raise UserError(f"{path}: missing; make the folder again with scripts/data/process_data.py")
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise UserError(f"{path}: not a whole NPY file ({error}); make the folder again") from error


class Split:
    """The windows of one split."""

    def __init__(self, folder: DataFolder, name: str) -> None:
        self.folder = folder
        self.name = name
        entry = folder.manifest["splits"][name]
        window, joints = folder.window, len(folder.joint_names)
        self.robot = self._windows("g1", (entry["windows"], window, joints))
        self.robot_root = self._windows("g1_root", (entry["windows"], window, 7))
        self.human = self._windows("human", (entry["human_windows"], window, 126))
        self.human_root = self._windows("human_root", (entry["human_windows"], window, 7))
        self.human_rows = self._windows("human_rows", (entry["human_windows"],))
        self.jerk_cubic = np.array(entry["jerk_cubic"])

    def __len__(self) -> int:
        return len(self.robot)

    @cached_property
    def clip_of_row(self) -> list[str]:
        """Name of the clip of each robot window."""
        clips = [clip for clip in self.folder.manifest["clips"] if clip["split"] == self.name]
        return [clip["name"] for clip in clips for _ in range(clip["windows"])]

    def robot_features(self, rows: np.ndarray, spec: FeatureSpec) -> np.ndarray:
        """(B, W, D) normalised float32 robot features of some windows."""
        parts = [self.robot[rows], self.robot_root[rows]] if spec.root else [self.robot[rows]]
        return _normalised(parts, spec.robot_mean, spec.robot_std)

    def human_features(self, rows: np.ndarray, spec: FeatureSpec) -> np.ndarray:
        """(B, W, H) normalised float32 human features of some human windows (rows of `human`, not of `robot`)."""
        parts = [self.human[rows], self.human_root[rows]] if spec.root else [self.human[rows]]
        return _normalised(parts, spec.human_mean, spec.human_std)

    def _windows(self, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        file = f"{kind}_{self.name}.npy"
        array = self.folder._array(file)
        if array.shape != shape:
            raise UserError(
                f"{self.folder.path / file}: shape {array.shape}, the manifest says {shape}; make the folder again"
            )
        return array


def _normalised(parts: list[np.ndarray], mean: list[float], std: list[float]) -> np.ndarray:
    values = np.concatenate(parts, axis=-1)
    return ((values - np.asarray(mean)) / np.asarray(std)).astype(np.float32)
