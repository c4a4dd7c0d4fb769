from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.sequences import robot_sequences
from g1_vq_retarget.evaluation.drift import root_drift
from g1_vq_retarget.models import DualEncoderVQVAE, Quantized
from g1_vq_retarget.motion import root_columns
from synthetic import data_folder, started, tiny_model


class Transparent(nn.Module):
    """A quantizer that loses nothing."""

    codebook_sizes = (2, 2)

    def forward(
        self, latent: Tensor, levels: int | None = None, followers: int = 0, feedback: None = None
    ) -> Quantized:
        self.latent = latent
        return Quantized(latent, torch.zeros(*latent.shape[:2], 2, dtype=torch.long), latent.new_zeros(()))

    def decode(self, tokens: Tensor) -> Tensor:
        return self.latent


class Off(nn.Module):
    """A decoder that lets frames pass but adds to one column."""

    def __init__(self, column: int, amount: float) -> None:
        super().__init__()
        self.column, self.amount = column, amount

    def forward(self, latent: Tensor, told: float = 1.0) -> Tensor:
        motion = latent.clone()
        motion[..., self.column] += self.amount
        return motion


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return data_folder(tmp_path_factory.mktemp("drift") / "data")


def off_by(folder: DataFolder, column: str, amount: float) -> tuple[DualEncoderVQVAE, FeatureSpec]:
    """A model whose motion is the truth but for one column of the root, off by an amount in its unit."""
    spec = folder.spec(True)
    model = started(folder, tiny_model(downsample=1))
    place = spec.joints + root_columns("up").index(column)
    model.robot_encoder = nn.Identity()  # type: ignore[assignment]
    model.quantizer = Transparent()  # type: ignore[assignment]
    model.decoder = Off(place, amount / spec.robot_std[place])  # type: ignore[assignment]
    return model, spec


def test_the_truth_does_not_stray(folder: DataFolder) -> None:
    model, spec = off_by(folder, "height", 0.0)
    drift = root_drift(model, folder.split("train"), spec, seconds=1.0)
    assert drift is not None
    assert drift.place_m == pytest.approx(0.0, abs=1e-5)
    assert drift.heading_deg == pytest.approx(0.0, abs=1e-3)
    assert drift.stretches == sum(sequence.frames // 50 for sequence in robot_sequences(folder.split("train")))
    assert drift.way_m > 0.01


def test_a_wrong_turn_of_a_tenth_of_a_radian_a_second_is_told(folder: DataFolder) -> None:
    model, spec = off_by(folder, "yaw_rate", 0.1)
    drift = root_drift(model, folder.split("train"), spec, seconds=1.0)
    assert drift is not None
    assert drift.heading_deg == pytest.approx(np.degrees(0.1), rel=0.03)  # 49 of 50 steps


def test_a_wrong_speed_is_a_way(folder: DataFolder) -> None:
    model, spec = off_by(folder, "vel_forward", 0.2)
    drift = root_drift(model, folder.split("train"), spec, seconds=1.0)
    assert drift is not None
    assert 0.1 < drift.place_m <= 0.2  # less where the way turns


def test_clips_too_short_say_nothing(folder: DataFolder) -> None:
    model, spec = off_by(folder, "height", 0.0)
    assert root_drift(model, folder.split("val"), spec, seconds=60.0) is None
