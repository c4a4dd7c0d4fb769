from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.data.sequences import paired_sequences, robot_sequences
from g1_vq_retarget.training.batches import (
    Batch,
    batches_per_epoch,
    crop_batches,
    crops_per_epoch,
    epoch_batches,
    load_batch,
)
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


def clips(split: Split, spec: FeatureSpec) -> list[Tensor]:
    located = [sequence.locate(np.arange(sequence.frames)) for sequence in robot_sequences(split)]
    return [torch.from_numpy(split.robot_features(rows, spec, offsets)) for rows, offsets in located]


def test_crops_are_stretches_of_whole_clips(split: Split, spec: FeatureSpec) -> None:
    crop = 40  # longer than a window
    assert crop > split.folder.window
    whole = clips(split, spec)
    windows = torch.cat([clip.unfold(0, crop, 1).mT for clip in whole if len(clip) >= crop])
    begins = set()
    batches = list(crop_batches(split, spec, 6, crop, 2, seed=1, epoch=1))
    assert len(batches) == crops_per_epoch(split, 6, crop) == round(sum(map(len, whole)) / (6 * crop))
    for batch in batches:
        assert batch.robot.shape[:2] == (8, crop)
        same = (batch.robot[:, None] == windows).all(dim=(2, 3))
        assert same.any(1).all()
        begins |= set(same.long().argmax(1).tolist())
    assert len({begin % split.folder.manifest["stride"] for begin in begins}) > 2  # anywhere


def test_the_humans_of_crops_belong_to_the_first_robots(split: Split, spec: FeatureSpec) -> None:
    crop = 40
    sequences = [sequence for sequence in paired_sequences(split) if sequence.frames >= crop]
    sides = []
    for sequence in sequences:
        rows, offsets = sequence.locate(np.arange(sequence.frames))
        human = split.human_features(rows, spec, offsets)
        robot = split.robot_features(np.asarray(split.human_rows)[rows], spec, offsets)
        sides += [(human[k : k + crop], robot[k : k + crop]) for k in range(sequence.frames - crop + 1)]
    for batch in crop_batches(split, spec, 2, crop, 3, seed=1, epoch=2):
        for human, robot in zip(batch.human, batch.robot, strict=False):
            match = [np.array_equal(robot, r) for h, r in sides if np.array_equal(human, h)]
            assert match == [True]


def test_crops_are_the_same_for_the_same_seed_and_shared_by_processes(split: Split, spec: FeatureSpec) -> None:
    def drawn(seed: int, rank: int = 0, world: int = 1) -> list[Batch]:
        return list(crop_batches(split, spec, 6, 40, 2, seed, 1, mirror=True, rank=rank, world=world))

    one, other = drawn(1), drawn(2)
    assert torch.equal(one[0].robot, drawn(1)[0].robot)
    assert not torch.equal(one[0].robot, other[0].robot)
    shares = [drawn(1, rank, 2) for rank in (0, 1)]
    for whole, first, second in zip(one, *shares, strict=True):
        assert len(first.human) == len(second.human) == 1
        both = torch.cat([first.robot, second.robot])
        assert sorted(both.sum(dim=(1, 2)).tolist()) == pytest.approx(sorted(whole.robot.sum(dim=(1, 2)).tolist()))
