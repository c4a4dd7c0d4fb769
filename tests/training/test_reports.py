"""What a run tells while it goes: TensorBoard, and Weights & Biases, which reads along."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from g1_vq_retarget.configuration import to_dict
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.training.config import TrainConfig
from g1_vq_retarget.training.loop import train
from synthetic import data_folder, tiny_training


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_folder(tmp_path_factory.mktemp("reports") / "data").path


@pytest.fixture
def config(data: Path, tmp_path: Path) -> TrainConfig:
    return tiny_training(data, tmp_path / "run")


def events_of(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"histograms": 0, "scalars": 0})
    return events.Reload()


def test_tensorboard_gets_every_epoch_and_how_often_each_code_is_used(config: TrainConfig) -> None:
    last = train(config)
    events, val = events_of(config.run), last["val"]
    for name in ("train/total", "val/recon", "codes/perplexity_0", "codes/share_of_most_used_tenth_1"):
        assert [event.step for event in events.Scalars(name)] == [last["step"] // 2, last["step"]]
    assert events.Scalars("val/recon")[-1].value == pytest.approx(val["recon"])
    assert len(val["codebook_sizes"]) > 1
    for level, codes in enumerate(val["codebook_sizes"]):
        usage = events.Histograms(f"codes/usage_{level}")
        assert len(usage) == 2
        counts = np.array(usage[-1].histogram_value.bucket)
        assert len(counts) <= codes  # TensorBoard drops empty buckets at the ends
        assert counts.sum() == val["tokens"]
        share = counts[counts > 0] / counts.sum()
        assert 2 ** -(share @ np.log2(share)) == pytest.approx(val["perplexity"][level], rel=1e-5)


class Wandb(ModuleType):
    """A stand-in for the package: what it is asked, and what has been written when it is asked to end."""

    class Error(Exception):
        pass

    def __init__(self, refuses: str = "") -> None:
        super().__init__("wandb")
        self.refuses = refuses
        self.asked: dict[str, Any] = {}
        self.read: EventAccumulator | None = None

    def init(self, **asked: Any) -> None:
        if self.refuses:
            raise self.Error(self.refuses)
        assert asked["dir"].is_dir()
        assert not list(asked["dir"].rglob("events.*"))  # it sees only what is written from here on
        self.asked = asked

    def finish(self) -> None:
        self.read = events_of(self.asked["dir"])


def test_wandb_reads_along_what_tensorboard_gets(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    config = replace(config, wandb="a project")
    last = train(config)
    assert wandb.asked["project"] == "a project"
    assert wandb.asked["name"] == "run"
    assert wandb.asked["config"] == to_dict(config)
    assert wandb.asked["sync_tensorboard"] is True
    assert wandb.read is not None
    assert wandb.read.Scalars("val/recon")[-1].step == last["step"]


def test_without_the_flag_wandb_is_not_asked(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    train(replace(config, epochs=1))
    assert wandb.asked == {}
    assert wandb.read is None


def test_a_wandb_that_refuses_is_told_in_a_line(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", Wandb("No API key configured."))
    with pytest.raises(UserError, match=r"^--wandb proj: No API key configured\. .*WANDB_MODE=offline"):
        train(replace(config, wandb="proj"))
    assert list(config.run.iterdir()) == []


def test_a_wandb_that_is_not_installed_is_told_with_what_to_install(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # what Python takes for a package that is not there
    with pytest.raises(UserError, match=r"^--wandb needs the package wandb; install it with: pip install wandb$"):
        train(replace(config, wandb="proj"))
    assert not config.run.exists()
