from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from g1_vq_retarget.configuration import read_preset
from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.process import WindowConfig
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models import ModelConfig, NetworkConfig
from g1_vq_retarget.training import loop
from g1_vq_retarget.training.checkpoint import load_checkpoint
from g1_vq_retarget.training.config import OptimizerConfig, TrainConfig
from g1_vq_retarget.training.loop import train
from g1_vq_retarget.training.losses import LossConfig
from g1_vq_retarget.training.metrics import Evaluation, jerk_share
from synthetic import data_folder, pair, robot_clip, tiny_model, tiny_training


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_folder(tmp_path_factory.mktemp("loop") / "data").path


@pytest.fixture
def config(data: Path, tmp_path: Path) -> TrainConfig:
    return tiny_training(data, tmp_path / "run")


def chancy(kind: str = "hybrid") -> ModelConfig:
    """A model whose steps depend on random numbers."""
    model = tiny_model(kind, least_levels=1)
    model.network.dropout = 0.3
    return model


def log_of(run: Path) -> list[dict]:
    return json.loads((run / "log.json").read_text())


def files(run: Path) -> set[str]:
    return {path.name for path in run.iterdir()}


def at_call(count: int, change: Callable[[dict], dict]) -> Callable[..., dict]:
    """The loss terms, changed at one step (from 1)."""
    calls = 0
    losses = loop.losses

    def changed(*args: Any) -> dict:
        nonlocal calls
        calls += 1
        terms = losses(*args)
        return change(terms) if calls == count else terms

    return changed


def interrupt(*_: object, **__: object) -> Any:
    raise KeyboardInterrupt


# What a run does


def test_training_lowers_the_loss(config: TrainConfig) -> None:
    loss = LossConfig(vq=0.25, root=1.0)
    config = replace(config, epochs=16, pairs=8, optimizer=OptimizerConfig(lr=3e-3), loss=loss)
    last = train(config)
    log = log_of(config.run)
    assert [line["epoch"] for line in log] == list(range(1, 17))
    assert log[-1] == last
    first = log[0]["train"]
    assert last["train"]["total"] < 0.8 * first["total"]
    assert last["train"]["recon"] < 0.9 * first["recon"]
    assert last["train"]["align"] < 0.9 * first["align"]


def test_a_run_leaves_everything_to_use_and_to_repeat_it(config: TrainConfig, data: Path) -> None:
    last = train(config)
    run = config.run
    assert {"best.safetensors", "best.json", "last.safetensors", "last.json", "log.json"} < files(run)
    assert not [name for name in files(run) if name.startswith(".")]
    assert read_preset(TrainConfig, run / "config.yaml") == config
    assert json.loads((run / "data_manifest.json").read_text()) == DataFolder(data).manifest
    origin = json.loads((run / "origin.json").read_text())
    assert origin["packages"]["torch"] == torch.__version__
    assert list(run.glob("tensorboard/**/events.*"))
    card = json.loads((run / "last.json").read_text())
    assert (card["epoch"], card["metrics"], card["window"]) == (2, last["val"], 16)
    assert card["licences"] == ["CC0 human", "CC0 robot"]
    assert last["val"].keys() >= {"recon", "jerk_ratio", "bits_per_second", "perplexity", "dead_code_ratio"}


def test_the_same_seed_gives_the_same_run(config: TrainConfig, tmp_path: Path) -> None:
    def losses_of(**changes: Any) -> list[dict]:
        run = tmp_path / "-".join(map(str, changes.values()))
        train(replace(config, run=run, model=chancy(), **changes))
        return [{part: line[part] for part in ("train", "val")} for line in log_of(run)]

    one = losses_of(seed=1, label="a")
    assert losses_of(seed=1, label="b") == one
    assert losses_of(seed=2, label="c") != one
    weights = [load_checkpoint(tmp_path / run).model.state_dict() for run in ("1-a", "1-b")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_best_is_the_epoch_of_least_error_on_val_from_either_side(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = {"codebook_sizes": [4], "perplexity": [3.0], "tokens": 100}
    scores = iter([(3.0, 1.0), (1.5, 2.0), (1.0, 9.0)])

    def evaluate(*_: object, **__: object) -> Evaluation:
        recon, cross = next(scores)
        return Evaluation({"recon": recon, "cross": cross, **codes}, np.zeros(0), np.zeros(0))

    monkeypatch.setattr(loop, "evaluate", evaluate)
    train(replace(config, epochs=3))
    assert json.loads((config.run / "best.json").read_text())["epoch"] == 2
    assert json.loads((config.run / "last.json").read_text())["epoch"] == 3


def test_validation_comes_every_so_many_epochs_and_at_the_end(config: TrainConfig) -> None:
    train(replace(config, epochs=5, validate_every=2))
    assert [line["epoch"] for line in log_of(config.run) if "val" in line] == [2, 4, 5]
    assert json.loads((config.run / "best.json").read_text())["epoch"] in (2, 4, 5)


@pytest.mark.parametrize(
    "model",
    [
        tiny_model("rvq"),
        tiny_model(root=False),
        tiny_model(downsample=1),
        tiny_model(downsample=8, rotation_trick=True),
    ],
    ids=["rvq", "joints only", "every frame", "eight frames"],
)
def test_other_models_train_too(model: ModelConfig, config: TrainConfig) -> None:
    last = train(replace(config, model=model, epochs=1))
    assert np.isfinite(last["val"]["recon"])
    assert ("root_mse" in last["val"]) == model.root
    assert load_checkpoint(config.run).model.config == model


@pytest.mark.parametrize("pairs", [4, 0])
@pytest.mark.parametrize("sample", [5, 1000])
def test_without_pairs_and_without_val_best_is_by_a_sample_of_train(
    sample: int, pairs: int, config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAMPLE_WINDOWS", sample)
    robots = {"train": [(robot_clip(120), None)]}
    folder = data_folder(tmp_path / "seed", robots, WindowConfig(window=16, stride=8, protocol="seed"))
    last = train(replace(config, data=folder.path, pairs=pairs))
    assert last["val"]["windows"] == min(sample, len(folder.split("train")))
    assert "cross" not in last["train"]
    assert "cross" not in last["val"]
    card = json.loads((config.run / "best.json").read_text())
    assert card["metrics"]["recon"] == min(line["val"]["recon"] for line in log_of(config.run))


def test_pairs_can_be_left_out_of_training(config: TrainConfig) -> None:
    assert "cross" not in train(replace(config, pairs=0))["train"]


# A budget of time


class Clock:
    """Ten seconds a step; a validation takes a thousand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: self.now))
        for name, seconds in (("losses", 10), ("evaluate", 1000)):
            monkeypatch.setattr(loop, name, self.taking(seconds, getattr(loop, name)))

    def taking(self, seconds: float, call: Callable) -> Callable:
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.now += seconds
            return call(*args, **kwargs)

        return timed


# an epoch has three steps
@pytest.mark.parametrize(("minutes", "epochs"), [(0.1, 1), (0.5, 1), (0.51, 2), (1.0, 2)])
def test_a_budget_of_minutes_ends_after_the_first_whole_epoch_past_it(
    minutes: float, epochs: int, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch)
    train(replace(config, epochs=1, minutes=minutes, validate_every=5))
    log = log_of(config.run)
    assert [line["seconds"] for line in log] == [30.0 * (epoch + 1) for epoch in range(epochs)]
    assert ["val" in line for line in log] == [False] * (epochs - 1) + [True]


def test_the_learning_rate_follows_the_time_that_is_spent(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    optimizer, shares, rates = OptimizerConfig(lr=2e-3, warmup=0.0), [], []
    step = torch.optim.AdamW.step

    def noted(self: torch.optim.AdamW, *args: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    config = replace(config, minutes=1.0, validate_every=5, optimizer=optimizer)
    train(config, lambda _, share: shares.append(share))
    # after every step, and after the two epochs
    assert shares == pytest.approx([1 / 6, 2 / 6, 3 / 6, 3 / 6, 4 / 6, 5 / 6, 1, 1])
    assert rates[0] == pytest.approx(2e-3)
    # of 60 s the first is warm-up
    expected = [1e-3 * (1 + np.cos(np.pi * (seconds - 1) / 59)) for seconds in (10, 20, 30, 40, 50)]
    assert rates[1:] == pytest.approx(expected)


def test_a_resumed_run_goes_on_with_the_time_it_had_left(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(config, minutes=1.1)
    with monkeypatch.context() as patch:
        Clock(patch)
        patch.setattr(loop, "losses", at_call(5, interrupt))
        with pytest.raises(KeyboardInterrupt):
            train(config)
    Clock(monkeypatch)
    for _ in range(2):  # the second time nothing is left
        train(replace(config, resume=True))
        # what was lost of the second epoch took none of the budget
        assert [line["seconds"] for line in log_of(config.run)] == [30.0, 60.0, 90.0]


# What stops it


@pytest.mark.parametrize(("call", "epoch"), [(2, 0), (6, 1)])
def test_ctrl_c_leaves_a_usable_last_checkpoint(
    call: int, epoch: int, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "losses", at_call(call, interrupt))
    with pytest.raises(KeyboardInterrupt):
        train(config)
    checkpoint = load_checkpoint(config.run / "last.safetensors")
    assert checkpoint.info["epoch"] == epoch
    out = checkpoint.model.encode_robot(torch.zeros(1, 16, 36))
    assert torch.isfinite(checkpoint.model.decode(out.tokens, 16)).all()
    assert (config.run / "best.safetensors").exists() == (epoch > 0)


def test_ctrl_c_while_validating_leaves_one_too(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "evaluate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert load_checkpoint(config.run).info["epoch"] == 1


@pytest.mark.parametrize(("kind", "crop", "step"), [("hybrid", 0, 8), ("predictive", 16, 6)])
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    kind: str, crop: int, step: int, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, epochs=3, model=chancy(kind), crop=crop)
    train(replace(config, run=config.run / "whole"))
    run = config.run / "parts"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "losses", at_call(step, interrupt))  # in the third epoch
        with pytest.raises(KeyboardInterrupt):
            train(replace(config, run=run))
    train(replace(config, run=run, resume=True))
    whole, parts = (log_of(config.run / name) for name in ("whole", "parts"))
    for one, other in zip(whole, parts, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}
    for name in ("best", "last"):
        weights = [
            load_checkpoint(config.run / part / f"{name}.safetensors").model.state_dict() for part in ("whole", "parts")
        ]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_run_can_start_from_the_weights_of_another(config: TrainConfig, tmp_path: Path) -> None:
    train(config)
    still = replace(config, run=tmp_path / "second", start=config.run, epochs=1, optimizer=OptimizerConfig(lr=1e-12))
    first, second = train(still), load_checkpoint(still.run)
    weights = load_checkpoint(config.run).model.decoder.state_dict()
    for name, tensor in second.model.decoder.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], atol=1e-6, rtol=0)
    assert first["val"]["recon"] == pytest.approx(log_of(config.run)[-1]["val"]["recon"], rel=0.05)


def test_jerk_is_compared_with_smooth_truth(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "seed"
    windows = WindowConfig(window=16, stride=8, protocol="seed")  # interpolates linearly
    folder = data_folder(data, {"train": [(robot_clip(90), None)]}, windows)
    shares = []

    def noted(*args: Any) -> dict:
        shares.append(args[4])
        return losses(*args)

    losses = loop.losses
    monkeypatch.setattr(loop, "losses", noted)
    for jerk in (0.0, 0.1):
        train(replace(config, data=data, run=tmp_path / f"run{jerk}", epochs=1, pairs=0, loss=LossConfig(jerk=jerk)))
    smooth = jerk_share(folder.split("train"), folder.spec(config.model.root))
    assert smooth < 0.9
    assert set(shares) == {1.0, smooth}


def test_the_prediction_learns_at_its_own_rate(config: TrainConfig, tmp_path: Path) -> None:
    config = replace(config, model=tiny_model("predictive"), epochs=1)
    train(config)
    start = load_checkpoint(config.run).model.state_dict()
    held = replace(config, run=tmp_path / "second", start=config.run, optimizer=OptimizerConfig(prediction_share=1e-9))
    train(held)
    changed = {
        name: not torch.allclose(tensor, start[name], atol=1e-6, rtol=0)
        for name, tensor in load_checkpoint(held.run).model.named_parameters()
    }
    for name, has in changed.items():
        assert has != name.startswith("quantizer.prediction."), name


def test_a_start_that_does_not_fit_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    train(config)
    again = replace(config, run=tmp_path / "second", start=config.run)
    with pytest.raises(UserError, match=r"--start .*weights do not fit.*--config"):
        train(replace(again, model=tiny_model("rvq")))
    other = data_folder(tmp_path / "other", {"train": [pair("skip", 150, 7)]}).path
    with pytest.raises(UserError, match=r"--start .*features differ from the data's in robot_mean"):
        train(replace(again, data=other))
    assert not again.run.exists()


def test_only_the_same_run_can_be_resumed(config: TrainConfig) -> None:
    with pytest.raises(UserError, match=r"config\.yaml: no such file"):
        train(replace(config, resume=True))
    assert not config.run.exists()
    train(config)
    with pytest.raises(UserError, match=r"config\.yaml: seed, batch_size differ from what the run began with"):
        train(replace(config, resume=True, seed=1, batch_size=8))
    for path in config.run.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"cannot go on from it"):
        train(replace(config, resume=True))


def test_a_collapsed_vocabulary_is_told(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = {"codebook_sizes": [20, 1000], "perplexity": [18.0, 1.2], "tokens": 5000}
    told = Evaluation({"recon": 1.0, **codes}, np.zeros(0), np.zeros(0))
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: told)
    with pytest.warns(
        UserWarning, match=r"epoch 1: level 1 of the vocabulary has collapsed \(perplexity 1\.2 of 1000\)"
    ):
        train(replace(config, epochs=1))


def test_a_loss_that_is_no_number_stops_with_step_and_term(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(terms: dict) -> dict:
        return terms | {"vel": terms["vel"] * np.nan, "total": terms["total"] * np.nan}

    monkeypatch.setattr(loop, "losses", at_call(5, spoil))
    with pytest.raises(UserError, match=r"stopped at step 4: loss term vel is not a finite number"):
        train(config)
    kept = load_checkpoint(config.run)  # of the first epoch's three steps
    assert kept.info["epoch"] == 1
    assert all(torch.isfinite(value).all() for value in kept.model.state_dict().values() if value.is_floating_point())


def test_a_rate_that_is_too_high_is_told(config: TrainConfig) -> None:
    with pytest.raises(UserError, match=r"stopped at step \d+: loss term .*lower --optimizer\.lr"):
        train(replace(config, epochs=9, optimizer=OptimizerConfig(lr=1e18, clip=1e30)))


def test_an_occupied_run_folder_is_refused_and_stays(config: TrainConfig) -> None:
    train(config)
    before = {path.name: path.read_bytes() for path in config.run.iterdir() if path.is_file()}
    with pytest.raises(UserError, match=r"run: already holds a run; .*--resume or --overwrite"):
        train(replace(config, seed=7))
    assert {path.name: path.read_bytes() for path in config.run.iterdir() if path.is_file()} == before
    train(replace(config, seed=7, epochs=1, overwrite=True))
    assert len(log_of(config.run)) == 1


def edited(data: Path, copy: Path, **changes: object) -> Path:
    copy.mkdir()
    for path in data.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((data / "manifest.json").read_text()) | changes
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def test_unusable_data_is_refused_before_anything_is_written(config: TrainConfig, tmp_path: Path) -> None:
    order = DataFolder(config.data).joint_names[::-1]
    splits = {"test": DataFolder(config.data).manifest["splits"]["test"]}
    odd = data_folder(tmp_path / "odd", config=WindowConfig(window=18, stride=9)).path
    for folder, told in (
        (
            edited(config.data, tmp_path / "order", joint_names=order),
            r"manifest\.json: joint_names are not .*MuJoCo order",
        ),
        (edited(config.data, tmp_path / "split", splits=splits), "no split 'train' in it"),
        (odd, r"odd: windows of 18 frames do not divide by --model\.network\.downsample 4"),
        (tmp_path / "gone", r"gone: no manifest\.json"),
    ):
        with pytest.raises(UserError, match=told):
            train(replace(config, data=folder))
        assert not config.run.exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"epochs": 0}, "--epochs"),
        ({"minutes": 0.0}, "--minutes"),
        ({"batch_size": 0}, "--batch-size"),
        ({"validate_every": 0}, "--validate-every"),
        ({"pairs": -1}, "--pairs"),
        ({"crop": -4}, "--crop"),
        ({"crop": 18}, "--crop: windows of 18 frames do not divide"),
        ({"crop": 400}, "--crop 400: the longest clip in .* has"),
        ({"model": tiny_model("predictive", least_levels=3)}, "--model.quantizer.least-levels must be 0 to 2"),
        ({"model": tiny_model("predictive", training_beam=0)}, "--model.quantizer.training-beam"),
        ({"model": tiny_model("predictive", growth=1.0)}, "--model.quantizer.growth must be between 0 and 1"),
        ({"optimizer": OptimizerConfig(prediction_share=0.0)}, "--optimizer.prediction-share"),
        ({"model": replace(tiny_model(), root_scale=0.0)}, "--model.root-scale"),
        ({"model": replace(tiny_model(), network=NetworkConfig(kind="simple", robot_encoder="klt"))}, "robot-encoder"),
        ({"model": replace(tiny_model(), network=NetworkConfig(kind="simple", causal=True))}, "network.causal"),
        ({"loss": LossConfig(onset=-1)}, "--loss.onset must be 0 to"),
        ({"loss": LossConfig(onset=30), "crop": 32}, "--loss.onset must be 0 to 28.* it is 30"),
        ({"model": tiny_model(fsq_levels=[[3] * 9])}, "directions"),
        ({"model": tiny_model("lfq", codebook_size=12)}, "power of two"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(
    changes: dict[str, Any], told: str, config: TrainConfig
) -> None:
    with pytest.raises(UserError, match=told):
        train(replace(config, **changes))
    assert not config.run.exists()


def test_pairs_too_short_for_crops_are_not_left_out_in_silence(config: TrainConfig, tmp_path: Path) -> None:
    clips = {"train": [pair("dance", 40, 0), (robot_clip(120, 1, name="run"), None)]}
    config = replace(config, data=data_folder(tmp_path / "short", clips).path, crop=100)
    with pytest.raises(UserError, match=r"--crop 100: the longest clip with a human side in .*, or --pairs 0"):
        train(config)
    train(replace(config, epochs=1, pairs=0))


def test_a_file_in_the_place_of_the_run_is_refused(config: TrainConfig) -> None:
    config.run.write_text("here first")
    with pytest.raises(UserError, match="run"):
        train(config)
    assert config.run.read_text() == "here first"


def with_nan(config: TrainConfig, copy: Path) -> TrainConfig:
    data = edited(config.data, copy)
    windows = np.load(data / "g1_train.npy")
    windows[3, 5, 7] = np.nan
    np.save(data / "g1_train.npy", windows)
    return replace(config, data=data)


def test_data_that_is_no_number_is_refused_by_file(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"spoiled/g1_train\.npy: window 3 holds a value that is no finite number"):
        train(with_nan(config, tmp_path / "spoiled"))


def test_a_run_that_never_began_does_not_occupy_its_folder(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        train(with_nan(config, tmp_path / "spoiled"))
    train(config)
