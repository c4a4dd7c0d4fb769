from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.evaluation.rate_distortion import (
    RateDistortion,
    model_curve,
    plot_rate_distortion,
    rate_distortion,
    rate_table,
)
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.training.metrics import evaluate
from synthetic import data_folder, started, tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return data_folder(tmp_path_factory.mktemp("rates") / "data")


@pytest.fixture(scope="module")
def model(folder: DataFolder) -> DualEncoderVQVAE:
    return started(folder, tiny_model())


@pytest.fixture(scope="module")
def result(folder: DataFolder, model: DualEncoderVQVAE) -> RateDistortion:
    return rate_distortion(folder, folder.split("test"), {"mine": (model, folder.spec(True))}, root=True)


def test_the_end_of_a_models_curve_is_what_evaluate_says(
    folder: DataFolder, model: DualEncoderVQVAE, result: RateDistortion
) -> None:
    metrics = evaluate(model, folder.split("test"), folder.spec(True), None).metrics
    curve, measured = result.models["mine"], result.measured["mine"][-1]
    assert len(curve) == len(model.quantizer.codebook_sizes)
    assert curve[-1].bits_per_second == pytest.approx(metrics["bits_per_second"])
    assert curve[-1].mse == pytest.approx(metrics["recon"], rel=1e-4)
    assert measured.bits_per_second == pytest.approx(metrics["entropy_bits_per_second"])
    assert curve[0].mse > curve[-1].mse


def test_errors_are_over_the_folders_deviations_whatever_the_model_was_trained_on(
    folder: DataFolder, model: DualEncoderVQVAE
) -> None:
    spec, split = folder.spec(True), folder.split("test")
    curve, _ = model_curve(model, split, spec, spec.robot_std)
    doubled, _ = model_curve(model, split, spec, [2 * std for std in spec.robot_std])
    assert [point.mse for point in doubled] == pytest.approx([point.mse / 4 for point in curve])


def test_frames_left_out_cost_more_the_more_they_are(result: RateDistortion) -> None:
    errors = [result.kept[every] for every in sorted(result.kept)]
    assert errors == sorted(errors)


def test_the_table_has_a_line_a_model_and_the_picture_is_drawn(result: RateDistortion, tmp_path: Path) -> None:
    lines = [line for line in rate_table(result).splitlines() if line.startswith("| mine |")]
    assert len(lines) == len(result.models["mine"])
    for suffix, magic in ((".png", b"\x89PNG"), (".pdf", b"%PDF")):
        plot_rate_distortion(tmp_path / f"curve{suffix}", result)
        assert (tmp_path / f"curve{suffix}").read_bytes().startswith(magic)
    bare = replace(result, models={}, measured={})
    assert "mine" not in rate_table(bare)
    plot_rate_distortion(tmp_path / "bare.png", bare)


def test_rates_of_the_coder_rise_as_errors_fall(result: RateDistortion) -> None:
    assert (np.diff([point.bits_per_second for point in result.variable]) > 0).all()
    assert result.variable[0].mse > result.variable[-1].mse
