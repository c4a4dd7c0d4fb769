from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.evaluation.entropy import measured_bits
from g1_vq_retarget.models.prior import PriorConfig, build_prior
from synthetic import data_folder, started, tiny_model


@pytest.mark.parametrize("levels", [None, 2])
def test_what_no_prior_knows_costs_the_nominal_rate(levels: int | None, tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "data")
    model, split, spec = started(folder, tiny_model()), folder.split("test"), folder.spec(True)
    rate = measured_bits(model, build_prior(model, PriorConfig(width=16), levels), split, spec)
    nominal = np.log2([20, 3, 8, 8])[:levels]
    assert rate.bits_per_level == pytest.approx(nominal.tolist())
    # sequences of whole steps: 50 frames a second, 4 a step
    assert rate.bits_per_second == pytest.approx(nominal.sum() * 12.5)
