"""Windows put back together: the stretches of motion that the windows of a split were cut from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import Split


@dataclass(frozen=True)
class Sequence:
    """Windows that follow one another in one clip.

    Attributes:
        first: row of the first window; the others are the next rows.
        windows: how many.
        window, stride: frames of a window, and from one to the next.
    """

    first: int
    windows: int
    window: int
    stride: int

    @property
    def frames(self) -> int:
        return (self.windows - 1) * self.stride + self.window

    @property
    def rows(self) -> np.ndarray:
        """(N,) rows of its windows."""
        return np.arange(self.first, self.first + self.windows)

    def locate(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of windows in which frames (any shape, from 0) of the sequence stand, and where in them."""
        window = np.minimum(frames // self.stride, self.windows - 1)
        return self.first + window, frames - window * self.stride

    def cut(self, features: np.ndarray) -> np.ndarray:
        """(N, W, …) the windows of features (frames, …) of the whole sequence."""
        begin = self.stride * np.arange(self.windows)[:, None]
        return features[begin + np.arange(self.window)]


def robot_sequences(split: Split) -> list[Sequence]:
    """The sequences of a split's robot windows; rows are those of `split.robot`."""
    return _joined(split, np.arange(len(split)))


def paired_sequences(split: Split) -> list[Sequence]:
    """The sequences of the windows that have a human side; rows are those of `split.human`."""
    return _joined(split, np.asarray(split.human_rows))


def truth_of(split: Split, spec: FeatureSpec, sequence: Sequence, human: bool = False) -> np.ndarray:
    """(frames, D) normalised robot features of a whole sequence; with `human` it is one of `paired_sequences`."""
    rows, offsets = sequence.locate(np.arange(sequence.frames))
    rows = np.asarray(split.human_rows)[rows] if human else rows
    return split.robot_features(rows, spec, offsets)


def human_side_of(split: Split, spec: FeatureSpec, sequence: Sequence) -> np.ndarray:
    """(frames, H) normalised human features of a whole sequence of `paired_sequences`."""
    rows, offsets = sequence.locate(np.arange(sequence.frames))
    return split.human_features(rows, spec, offsets)


def _joined(split: Split, robot_rows: np.ndarray) -> list[Sequence]:
    clips = np.asarray(split.clip_of_row, dtype=object)[robot_rows]
    stride = split.folder.manifest["stride"]
    # windows with a gap between them are no sequence
    follows = (np.diff(robot_rows) == 1) & (clips[1:] == clips[:-1]) & (stride <= split.folder.window)
    bounds = [0, *(np.flatnonzero(~follows) + 1), len(robot_rows)]
    return [
        Sequence(first=int(begin), windows=int(end - begin), window=split.folder.window, stride=stride)
        for begin, end in pairwise(bounds)
        if end > begin
    ]
