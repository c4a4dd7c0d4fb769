"""Batches of windows, pairs first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import Split


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
        if mirrors is not None:
            mirror_robot, mirror_human = mirrors
            chosen = torch.from_numpy(np.concatenate([some[rank::world] for some in exchanged])[:, None, None])
            batch = Batch(
                torch.where(chosen, mirror_robot(batch.robot), batch.robot),
                torch.where(chosen[: len(batch.human)], mirror_human(batch.human), batch.human),
            )
        yield batch


def load_batch(split: Split, spec: FeatureSpec, rows: np.ndarray, human_rows: np.ndarray) -> Batch:
    """Windows by row; `human_rows` belong to the first of `rows`."""
    return Batch(
        torch.from_numpy(split.robot_features(rows.astype(np.int64), spec)),
        torch.from_numpy(split.human_features(human_rows.astype(np.int64), spec)),
    )
