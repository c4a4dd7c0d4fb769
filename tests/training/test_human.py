"""A human encoder taught further: what changes, what does not, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.training.checkpoint import Checkpoint, load_checkpoint
from g1_vq_retarget.training.human import HumanTrainConfig, train_human
from g1_vq_retarget.training.losses import way_error
from synthetic import data_folder, pair, save_started, tiny_model

SMALL = HumanTrainConfig(epochs=12, batch_size=4, crop=16, lr=1e-3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    clips = {"train": [pair("dance", 150, 0)], "val": [pair("same", 150, 0)], "test": [pair("sit", 90, 4)]}
    return data_folder(tmp_path_factory.mktemp("human") / "data", clips)


@pytest.fixture(scope="module")
def weights(folder: DataFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    return save_started(path, folder, tiny_model("predictive"))


def test_an_error_that_stays_adds_up() -> None:
    stays = torch.full((1, 3, 1), 2.0)  # ways of 2, 4, 6
    assert way_error(stays, torch.zeros(1, 3, 1)).item() == pytest.approx((4 + 16 + 36) / 3 / 3)
    comes_and_goes = torch.tensor([2.0, -2.0, 2.0, -2.0]).view(1, 4, 1)  # ways of 2, 0, 2, 0
    assert way_error(comes_and_goes, torch.zeros(1, 4, 1)).item() == pytest.approx(4 / 2 / 4)


def test_the_human_encoder_learns_and_nothing_else_moves(folder: DataFolder, weights: Path, tmp_path: Path) -> None:
    checkpoint, before = load_checkpoint(weights), load_checkpoint(weights)
    torch.manual_seed(0)
    weight = checkpoint.model.human_encoder.get_parameter("linear.weight")
    with torch.no_grad():  # it starts from a regression of this very data
        weight += 0.1 * torch.randn_like(weight)
    log = train_human(checkpoint, folder, tmp_path, replace(SMALL, mirror=False))
    assert [line["epoch"] for line in log] == list(range(13))
    assert log[-1]["val"]["total"] < 0.5 * log[0]["val"]["total"]
    after = load_checkpoint(tmp_path)
    old, new = before.model.state_dict(), after.model.state_dict()
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert "human_encoder.linear.weight" in moved
    assert all(name.startswith("human_encoder.") for name in moved)
    assert after.info["taught_from"] == before.info["weights_sha256"]
    assert (tmp_path / "human.yaml").is_file()
    assert json.loads((tmp_path / "log.json").read_text()) == log


def test_the_best_on_val_is_kept_be_it_what_there_was(folder: DataFolder, weights: Path, tmp_path: Path) -> None:
    log = train_human(load_checkpoint(weights), folder, tmp_path, replace(SMALL, epochs=2, lr=3.0))
    assert log[0]["val"]["total"] < min(line["val"]["total"] for line in log[1:])
    old, new = load_checkpoint(weights).model.state_dict(), load_checkpoint(tmp_path).model.state_dict()
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_the_last_are_kept_if_so_asked(folder: DataFolder, weights: Path, tmp_path: Path) -> None:
    log = train_human(load_checkpoint(weights), folder, tmp_path, replace(SMALL, epochs=2, lr=3.0, keep="last"))
    assert load_checkpoint(tmp_path).info["metrics"]["val"] == log[-1]["val"] != log[0]["val"]


def test_a_rate_that_is_too_high_is_told(folder: DataFolder, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--lr 1e\+30: the loss is no number"):
        train_human(load_checkpoint(weights), folder, tmp_path, replace(SMALL, lr=1e30))


def occupied(run: Path) -> HumanTrainConfig:
    run.mkdir()
    (run / "best.json").touch()
    return SMALL


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (lambda _: replace(SMALL, epochs=0), "--epochs must be at least 1"),
        (lambda _: replace(SMALL, drift=-1.0), "--drift must not be negative"),
        (lambda _: replace(SMALL, lr=float("nan")), "--lr must be a positive number"),
        (lambda _: replace(SMALL, crop=18), "--crop 18: does not divide by 4"),
        (lambda _: replace(SMALL, crop=4000), "longest train clip with a human side has .* frames, --crop 4000"),
        (occupied, "already holds a run"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_written(
    asked: Callable[[Path], HumanTrainConfig], told: str, folder: DataFolder, weights: Path, tmp_path: Path
) -> None:
    checkpoint: Checkpoint = load_checkpoint(weights)
    config = asked(tmp_path / "run")
    with pytest.raises(UserError, match=told):
        train_human(checkpoint, folder, tmp_path / "run", config)
    assert not (tmp_path / "run" / "human.yaml").exists()
