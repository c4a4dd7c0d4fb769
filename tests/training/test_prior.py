from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.process import WindowConfig
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models.prior import PriorConfig, TokenPrior, build_prior
from g1_vq_retarget.training import prior as training
from g1_vq_retarget.training.checkpoint import Checkpoint, load_checkpoint
from g1_vq_retarget.training.prior import PriorTrainConfig, fit_prior, train_prior
from g1_vq_retarget.training.prior_file import load_prior
from g1_vq_retarget.training.token_sequences import (
    TokenSequence,
    code_sequences,
    measured_rate,
    whole_sequences,
)
from synthetic import data_folder, robot_clip, save_started, tiny_model

SMALL = PriorTrainConfig(epochs=2, batch_size=4, parts=2, network=PriorConfig(width=16, depth=2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return data_folder(tmp_path_factory.mktemp("prior") / "data")


@pytest.fixture(scope="module")
def checkpoint(folder: DataFolder, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load_checkpoint(save_started(tmp_path_factory.mktemp("weights") / "best.safetensors", folder))


def periodic(steps: int, phase: int = 0) -> TokenSequence:
    """Tokens of two levels that come round every five steps, and latents that tell which of the five it is."""
    place = (torch.arange(steps) + phase) % 5
    tokens = torch.stack([place * 3, (2 * place + 1) % 7], -1)
    return TokenSequence(tokens, torch.nn.functional.one_hot(place, 5).float(), steps / 10)


# Whole clips


def test_the_windows_of_a_whole_clip_are_those_it_was_joined_of(folder: DataFolder) -> None:
    split, spec = folder.split("train"), folder.spec(True)
    windows = split.robot_features(np.arange(len(split)), spec)
    sequences = whole_sequences(split, spec)
    cut = [sequence[begin : begin + 16] for sequence in sequences for begin in range(0, len(sequence) - 15, 8)]
    assert len(sequences) == 2
    np.testing.assert_array_equal(np.stack(cut), windows)


def test_windows_with_gaps_between_them_are_sequences_of_their_own(tmp_path: Path) -> None:
    clips = {"train": [(robot_clip(120, 1, name="run"), None)]}
    split = (folder := data_folder(tmp_path, clips, WindowConfig(window=16, stride=24))).split("train")
    assert [len(sequence) for sequence in whole_sequences(split, folder.spec(True))] == [16] * len(split)


@pytest.mark.parametrize(("kind", "robot_encoder"), [("hybrid", "learned"), ("predictive", "klt")])
def test_clips_side_by_side_are_coded_as_one_by_one(
    kind: str, robot_encoder: str, folder: DataFolder, tmp_path: Path
) -> None:
    config = tiny_model(kind)
    config.network.robot_encoder = robot_encoder  # type: ignore[assignment]
    made = load_checkpoint(save_started(tmp_path / "best.safetensors", folder, config))
    sequences = whole_sequences(folder.split("train"), made.spec)
    sequences[1] = sequences[1][:-3]  # the last step is filled up
    for one, sequence in zip(code_sequences(made.model, sequences, made.spec.fps), sequences, strict=True):
        alone = made.model.encode_robot(torch.from_numpy(sequence)[None]).tokens
        assert torch.equal(one.tokens, alone[0])
        torch.testing.assert_close(one.latents, made.model.quantizer.decode(alone)[0])
        assert one.seconds == len(sequence) / made.spec.fps


def test_the_rate_is_over_the_true_length_and_all_levels() -> None:
    prior = TokenPrior(5, [[16], [8]], PriorConfig(width=16))
    # 4 + 3 bits a step, 10 steps a second
    rate = measured_rate(prior, [periodic(20), periodic(31)])
    assert rate.bits_per_second == pytest.approx(70)
    assert rate.bits_per_level == pytest.approx([4, 3])


# Training


def test_what_comes_round_costs_nothing_once_it_is_learned() -> None:
    torch.manual_seed(0)
    prior = TokenPrior(5, [[16], [8]], PriorConfig(width=32, depth=2, dropout=0.0))
    config = replace(SMALL, epochs=6, lr=1e-2)
    states = list(fit_prior(prior, [periodic(300, phase) for phase in range(5)], [periodic(250, 3)], config))
    # at the start a token costs the entropy of five that are equally likely
    assert states[0].rate.bits_per_level == pytest.approx([np.log2(5)] * 2, abs=0.2)
    # at the end only the beginning costs, which of the five it is: log2(5) bits in 250 steps
    assert sum(states[-1].rate.bits_per_level) < 0.06
    assert [state.epoch for state in states] == list(range(7))


def test_every_step_is_trained_on_with_the_steps_before_it() -> None:
    prior = TokenPrior(1, [[512]], PriorConfig(width=16, depth=2))
    # steps are numbered through, so that a token and its latent tell which it is
    numbers = torch.arange(250).split([90, 10, 150])
    stream = training._Stream(prior, [TokenSequence(n[:, None], n[:, None].float(), 1.0) for n in numbers])
    seen = torch.zeros(250)
    for _ in range(20):
        crops = list(stream.epoch(2))
        assert len(crops) == stream.batches(2)
        for crop in crops:
            seen += torch.bincount(crop.parts[crop.is_step][:, 0], minlength=250)
            # the step before, where it is one; else the state before a beginning
            before = crop.history[:, prior.reach - 1 :][crop.is_step]
            number = crop.parts[crop.is_step][:, 0]
            begins = torch.isin(number, torch.tensor([0, 90, 100]))
            assert torch.equal(before[:, 1] == 1, begins)
            assert torch.equal(before[~begins, 0], number[~begins] - 1.0)
    # once an epoch, the ends up to twice more
    assert 20 <= seen.min() <= seen.max() <= 60


def test_the_best_is_written_with_what_it_belongs_to(
    folder: DataFolder, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "prior.safetensors"
    found = train_prior(checkpoint, folder, path, SMALL)
    loaded = load_prior(path, checkpoint)
    assert {file.name for file in path.parent.iterdir()} == {"prior.safetensors", "prior.json"}
    assert loaded.info["model_sha256"] == checkpoint.info["weights_sha256"]
    assert loaded.info["licences"] == ["CC0 human", "CC0 robot"]
    assert (found["chosen_on"], loaded.info["levels"]) == ("val", 4)
    coded = code_sequences(checkpoint.model, whole_sequences(folder.split("val"), checkpoint.spec), checkpoint.spec.fps)
    assert measured_rate(loaded.prior, coded).bits_per_second == pytest.approx(found["bits_per_second"])
    assert load_prior(path.parent, checkpoint).path == path


def test_the_weights_of_the_least_bits_are_kept(
    folder: DataFolder, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = iter([300.0, 200.0, 250.0])
    measured = training.measured_rate
    monkeypatch.setattr(training, "measured_rate", lambda *args: measured(*args)._replace(bits_per_second=next(rates)))
    assert train_prior(checkpoint, folder, tmp_path / "prior.safetensors", SMALL)["epoch"] == 1


def test_stopped_it_leaves_the_best_so_far(
    folder: DataFolder, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = training.fit_prior

    def stopped(*args: Any) -> Iterator[Any]:
        for state in fit(*args):
            yield state
            if state.epoch == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit_prior", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_prior(checkpoint, folder, tmp_path / "prior.safetensors", SMALL)
    assert load_prior(tmp_path, checkpoint).info["epoch"] in (0, 1)


def test_the_same_seed_gives_the_same_prior(folder: DataFolder, checkpoint: Checkpoint, tmp_path: Path) -> None:
    rates = [
        train_prior(checkpoint, folder, tmp_path / f"{name}.safetensors", replace(SMALL, seed=seed))["bits_per_second"]
        for name, seed in (("one", 1), ("again", 1), ("other", 2))
    ]
    assert rates[0] == rates[1] != rates[2]


def test_a_prior_of_the_first_levels_knows_only_those(
    folder: DataFolder, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    found = train_prior(checkpoint, folder, tmp_path / "prior.safetensors", replace(SMALL, epochs=1, levels=2))
    assert len(found["bits_per_level"]) == 2
    assert load_prior(tmp_path, checkpoint).prior.codebook_sizes == (20, 3)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"minutes": 0.0}, "--minutes must be a positive number"),
        ({"lr": float("nan")}, "--lr must be a positive number"),
        ({"epochs": 0}, "--epochs must be at least 1"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"parts": 0}, "--parts must be at least 1"),
        ({"levels": 5}, "--levels must be 1 to 4"),
        ({"network": PriorConfig(depth=0)}, "--depth must be at least 1"),
        ({"network": PriorConfig(dropout=1.0)}, "--dropout must be at least 0 and below 1"),
    ],
)
def test_flags_that_cannot_be_are_refused(
    changes: dict, told: str, folder: DataFolder, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        train_prior(checkpoint, folder, tmp_path / "prior.safetensors", replace(SMALL, **changes))
    assert list(tmp_path.iterdir()) == []


# The file


@pytest.fixture(scope="module")
def trained(folder: DataFolder, checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "prior.safetensors"
    train_prior(checkpoint, folder, path, replace(SMALL, epochs=1))
    return path


def test_another_models_prior_is_refused(trained: Path, folder: DataFolder, tmp_path: Path) -> None:
    other = load_checkpoint(save_started(tmp_path / "best.safetensors", folder, seed=5))
    with pytest.raises(UserError, match=r"prior\.safetensors: is the prior of another model than .*best\.safetensors"):
        load_prior(trained, other)


def test_a_spoiled_or_absent_prior_is_refused(trained: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no prior\.safetensors; train one"):
        load_prior(tmp_path, checkpoint)
    for file in trained.parent.iterdir():
        shutil.copy(file, tmp_path)
    copy = tmp_path / trained.name
    copy.write_bytes(trained.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"prior\.safetensors: damaged"):
        load_prior(copy, checkpoint)
    copy.write_bytes(trained.read_bytes()[:-4] + bytes([7, 7, 7, 7]))
    with pytest.raises(UserError, match=r"is not the file that prior\.json was written for"):
        load_prior(copy, checkpoint)
    shutil.copy(trained, copy)
    card = json.loads(copy.with_suffix(".json").read_text())
    for change, told in (
        ({"format_version": 99}, "prior format_version is 99"),
        ({"prior": {"width": 24}}, "does not fit prior.json"),
        ({"prior": {"girth": 24}}, "unknown key girth"),
    ):
        copy.with_suffix(".json").write_text(json.dumps(card | change))
        with pytest.raises(UserError, match=told):
            load_prior(copy, checkpoint)
    copy.with_suffix(".json").write_text("no JSON")
    with pytest.raises(UserError, match="not JSON"):
        load_prior(copy, checkpoint)


def test_a_model_of_scalars_is_told_scalar_by_scalar(checkpoint: Checkpoint) -> None:
    prior = build_prior(checkpoint.model, PriorConfig(width=16))
    assert prior.sizes == (5, 4, 3, 8, 8)
    assert prior.codebook_sizes == tuple(checkpoint.model.quantizer.codebook_sizes)
