"""Batches of windows, pairs first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from g1_vq_retarget.data.features import FeatureMirror, FeatureSpec
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.data.sequences import Sequence, paired_sequences, robot_sequences


class Batch(NamedTuple):
    """Normalised windows: `robot` (B, W, D); `human` (P, W, H) is the human side of its first P rows."""

    robot: Tensor
    human: Tensor


def batches_per_epoch(split: Split, batch_size: int) -> int:
    """Every robot window is seen once an epoch."""
    return max(1, round(len(split) / batch_size))


def epoch_batches(
    split: Split,
    spec: FeatureSpec,
    batch_size: int,
    pairs: int,
    seed: int,
    epoch: int,
    mirror: bool = False,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Batch]:
    """The batches of one epoch: all robot windows once in random order, and beside them `pairs` human windows a batch.

    The same seed and epoch give the same batches. Pairs are few, so they come round more often than once an epoch:
    walked through in random order, again and again. With `mirror`, half of the windows have left and right exchanged.
    Each of `world` processes gets its share of every batch, all of them the same number of pairs.
    """
    mirrors = spec.mirrors() if mirror else None
    rng = np.random.default_rng([seed, epoch])
    steps = batches_per_epoch(split, batch_size)
    pairs = min(pairs, len(split.human)) // world * world
    rounds = -(-steps * pairs // max(1, len(split.human)))
    human_order = np.concatenate([rng.permutation(len(split.human)) for _ in range(rounds)] or [np.zeros(0, int)])
    for step, rows in enumerate(np.array_split(rng.permutation(len(split)), steps)):
        human_rows = human_order[step * pairs : (step + 1) * pairs]
        exchanged = [rng.random(len(some)) < 0.5 for some in (human_rows, rows)]
        human_rows, rows = human_rows[rank::world], rows[rank::world]
        batch = load_batch(split, spec, np.concatenate([split.human_rows[human_rows], rows]), human_rows)
        yield _mirrored(batch, mirrors, np.concatenate([some[rank::world] for some in exchanged]))


def crops_per_epoch(split: Split, batch_size: int, crop: int, pairs: int = 0) -> int:
    """As many frames as the robot's clips have are seen in an epoch; of pairs alone, as those with a human side."""
    sequences = robot_sequences(split) if batch_size else paired_sequences(split)
    return max(1, round(sum(sequence.frames for sequence in sequences) / ((batch_size or pairs) * crop)))


def crop_batches(
    split: Split,
    spec: FeatureSpec,
    batch_size: int,
    crop: int,
    pairs: int,
    seed: int,
    epoch: int,
    mirror: bool = False,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Batch]:
    """As `epoch_batches`, of stretches of `crop` frames that begin anywhere in the clips, drawn at random.

    Clips shorter than that are left out. With `batch_size` 0 there are pairs alone.
    """
    mirrors = spec.mirrors() if mirror else None
    rng = np.random.default_rng([seed, epoch])
    robots, humans = (
        [sequence for sequence in sequences if sequence.frames >= crop]
        for sequences in (robot_sequences(split), paired_sequences(split))
    )
    pairs = pairs // world * world if humans else 0
    for _ in range(crops_per_epoch(split, batch_size, crop, pairs)):
        human_rows, human_frames = _crops(rng, humans, pairs, crop)
        rows, frames = _crops(rng, robots, batch_size, crop)
        exchanged = [rng.random(len(some)) < 0.5 for some in (human_rows, rows)]
        human_rows, human_frames, rows, frames = (
            part[rank::world] for part in (human_rows, human_frames, rows, frames)
        )
        all_rows = np.concatenate([np.asarray(split.human_rows)[human_rows], rows])
        robot = split.robot_features(all_rows, spec, np.concatenate([human_frames, frames]))
        batch = Batch(torch.from_numpy(robot), torch.from_numpy(split.human_features(human_rows, spec, human_frames)))
        yield _mirrored(batch, mirrors, np.concatenate([some[rank::world] for some in exchanged]))


def _crops(rng: np.random.Generator, sequences: list[Sequence], count: int, crop: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and frames (count, crop) of stretches, each place in the sequences as likely as any other."""
    if not count:
        return np.zeros((0, crop), int), np.zeros((0, crop), int)
    places = np.array([sequence.frames - crop + 1 for sequence in sequences])
    ends = places.cumsum()
    drawn = rng.integers(ends[-1], size=count)
    which = np.searchsorted(ends, drawn, side="right")
    begin = drawn - (ends - places)[which]
    located = [sequences[w].locate(b + np.arange(crop)) for w, b in zip(which, begin, strict=True)]
    rows, frames = (np.stack(part) for part in zip(*located, strict=True))
    return rows, frames


def _mirrored(batch: Batch, mirrors: tuple[FeatureMirror, FeatureMirror] | None, exchanged: np.ndarray) -> Batch:
    """Left and right exchanged where `exchanged` (B,) says so."""
    if mirrors is None:
        return batch
    mirror_robot, mirror_human = mirrors
    chosen = torch.from_numpy(exchanged[:, None, None])
    return Batch(
        torch.where(chosen, mirror_robot(batch.robot), batch.robot),
        torch.where(chosen[: len(batch.human)], mirror_human(batch.human), batch.human),
    )


def load_batch(split: Split, spec: FeatureSpec, rows: np.ndarray, human_rows: np.ndarray) -> Batch:
    """Windows by row; `human_rows` belong to the first of `rows`."""
    return Batch(
        torch.from_numpy(split.robot_features(rows.astype(np.int64), spec)),
        torch.from_numpy(split.human_features(human_rows.astype(np.int64), spec)),
    )
