from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Tensor

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.evaluation.forgetting import SECONDS, forgetting
from g1_vq_retarget.evaluation.report import measure
from g1_vq_retarget.training.checkpoint import load_checkpoint
from synthetic import data_folder, pair, save_started, started, tiny_model

POLE = 0.9


def fading(tokens: Tensor) -> Tensor:
    """Each latent is its token's number, and 0.9 of the latent before."""
    latents = [tokens[:, 0].float()]
    for step in tokens[:, 1:].unbind(1):
        latents.append(step + POLE * latents[-1])
    return torch.stack(latents, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return data_folder(tmp_path_factory.mktemp("forgetting") / "data", {"train": [pair("long", 700, 0)]})


def test_what_is_left_is_the_power_of_the_pole(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    model = started(folder, tiny_model("predictive", levels=1, codebook_size=4)).eval()
    found = forgetting(model, folder.split("train"), folder.spec(True))
    assert found is not None
    width = model.config.network.latent_dim
    monkeypatch.setattr(model.quantizer, "decode", lambda tokens: fading(tokens).expand(-1, -1, width))
    faded = forgetting(model, folder.split("train"), folder.spec(True), human=True)
    assert faded is not None
    # 50 fps, 4 frames a step
    expected = [POLE ** round(seconds * 50 / 4) for seconds in SECONDS]
    assert faded.left == pytest.approx(expected, rel=1e-3, abs=2e-6)
    assert faded.left_worst == pytest.approx(expected, rel=1e-3, abs=2e-6)
    assert faded.spoiled == 2 * found.spoiled  # the human's side lasts as long


def test_clips_too_short_say_nothing(tmp_path: Path) -> None:
    short = data_folder(tmp_path / "data")
    model = started(short, tiny_model("predictive")).eval()
    assert forgetting(model, short.split("train"), short.spec(True)) is None


@pytest.mark.parametrize("kind", ["predictive", "rvq"])
def test_a_report_tells_it_of_a_decoder_that_remembers(kind: str, folder: DataFolder, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save_started(tmp_path / "model.safetensors", folder, tiny_model(kind)))
    report = measure(checkpoint, folder, "train", "clips")
    assert (report.forgetting is not None) == (kind == "predictive")
    assert ("left of a spoiled step: " in report.text()) == (kind == "predictive")
    assert json.loads(json.dumps(report.to_dict()))["forgetting"] == (
        None if report.forgetting is None else json.loads(json.dumps(asdict(report.forgetting)))
    )
    assert measure(checkpoint, folder, "train", "windows").forgetting is None
