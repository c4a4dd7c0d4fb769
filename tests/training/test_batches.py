from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.training.batches import Batch, batches_per_epoch, epoch_batches, load_batch
from synthetic import data_folder, robot_clip


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return data_folder(tmp_path_factory.mktemp("batches") / "data").split("train")


@pytest.fixture(params=[True, False], ids=["root", "joints only"])
def spec(split: Split, request: pytest.FixtureRequest) -> FeatureSpec:
    return split.folder.spec(request.param)


def rows_of(windows: Tensor, all_windows: Tensor) -> list[int]:
    """Which windows of the split these are; every window is another."""
    same = (windows[:, None] == all_windows).all(dim=(2, 3))
    assert (same.sum(1) == 1).all()
    return same.long().argmax(1).tolist()


def epoch(
    split: Split, spec: FeatureSpec, batch_size: int = 8, pairs: int = 4, seed: int = 1, epoch: int = 1
) -> list[Batch]:
    return list(epoch_batches(split, spec, batch_size, pairs, seed, epoch))


def everything(split: Split, spec: FeatureSpec) -> Batch:
    return load_batch(split, spec, np.arange(len(split)), np.arange(len(split.human)))


@pytest.mark.parametrize(("batch_size", "pairs"), [(8, 4), (5, 1), (1, 2), (1000, 3), (10, 0), (16, 1000)])
def test_an_epoch_sees_every_robot_window_once_beside_its_pairs(
    split: Split, spec: FeatureSpec, batch_size: int, pairs: int
) -> None:
    batches, whole = epoch(split, spec, batch_size, pairs), everything(split, spec)
    assert len(batches) == batches_per_epoch(split, batch_size)
    seen = [row for batch in batches for row in rows_of(batch.robot[len(batch.human) :], whole.robot)]
    assert sorted(seen) == list(range(len(split)))
    assert seen != sorted(seen)
    assert {len(batch.human) for batch in batches} == {min(pairs, len(split.human))}


def test_human_rows_belong_to_the_first_robot_rows(split: Split, spec: FeatureSpec) -> None:
    whole = everything(split, spec)
    for batch in epoch(split, spec):
        human_rows = rows_of(batch.human, whole.human)
        assert rows_of(batch.robot[: len(human_rows)], whole.robot) == split.human_rows[human_rows].tolist()


def test_pairs_come_round_equally_often(split: Split, spec: FeatureSpec) -> None:
    whole = everything(split, spec)
    batches = epoch(split, spec, batch_size=2, pairs=7)
    counts = np.bincount([row for batch in batches for row in rows_of(batch.human, whole.human)])
    assert counts.sum() == 7 * len(batches)
    assert len(counts) == len(split.human)
    assert counts.max() - counts.min() <= 1


def test_seed_and_epoch_decide_the_order(split: Split, spec: FeatureSpec) -> None:
    def order(seed: int, number: int) -> Tensor:
        return torch.cat([batch.robot for batch in epoch(split, spec, seed=seed, epoch=number)])

    torch.testing.assert_close(order(1, 1), order(1, 1), rtol=0, atol=0)
    for other in (order(1, 2), order(2, 1)):
        assert not torch.equal(other, order(1, 1))


def test_mirrored_windows_stand_beside_their_mirrored_human_side(split: Split, spec: FeatureSpec) -> None:
    mirror_robot, mirror_human = spec.mirrors()
    turned = 0
    for plain, mirrored in zip(
        epoch(split, spec), epoch_batches(split, spec, 8, 4, seed=1, epoch=1, mirror=True), strict=True
    ):
        for row, (one, other) in enumerate(zip(plain.robot, mirrored.robot, strict=True)):
            flipped = not torch.equal(one, other)
            turned += flipped
            torch.testing.assert_close(other, mirror_robot(one) if flipped else one)
            if row < len(plain.human):
                human = mirror_human(plain.human[row]) if flipped else plain.human[row]
                torch.testing.assert_close(mirrored.human[row], human)
        assert mirrored.robot.dtype == mirrored.human.dtype == torch.float32
    assert 0.3 < turned / sum(len(batch.robot) for batch in epoch(split, spec)) < 0.7


def test_a_split_without_pairs_has_batches_of_robot_windows(tmp_path: Path) -> None:
    split = data_folder(tmp_path / "data", {"train": [(robot_clip(120), None)]}).split("train")
    spec = split.folder.spec(root=True)
    batches = epoch(split, spec)
    assert sum(len(batch.robot) for batch in batches) == len(split)
    assert {tuple(batch.human.shape) for batch in batches} == {(0, 16, 133)}
