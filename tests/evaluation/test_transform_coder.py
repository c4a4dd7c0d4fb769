from __future__ import annotations

import numpy as np
import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.evaluation.transform_coder import STEPS, RatePoint, TransformCoder, at_rate, kept_frames

FPS = 50.0


def correlated(windows: int, seed: int, frames: int = 4, features: int = 3) -> np.ndarray:
    """Gaussian windows (N, T, D) whose coefficients have deviations 4, 2, 1, … in turned directions."""
    generator = np.random.default_rng(7)
    turn, _ = np.linalg.qr(generator.normal(size=(frames * features, frames * features)))
    values = np.random.default_rng(seed).normal(size=(windows, frames * features)) * 2.0 ** (
        2 - np.arange(frames * features)
    )
    return (values @ turn.T).reshape(windows, frames, features) + 3


@pytest.fixture(scope="module")
def coder() -> TransformCoder:
    return TransformCoder(correlated(4000, 0), FPS)


def test_the_transform_finds_the_variances_of_the_data(coder: TransformCoder) -> None:
    assert coder.variance == pytest.approx(4.0 ** (2 - np.arange(12)), rel=0.1)


def test_reverse_water_filling_by_hand() -> None:
    # deviations 2 and 1, one frame a second: at level 1 the first needs one bit and both are 1 off
    values = np.array([[2.0, 1], [2, -1], [-2, 1], [-2, -1]])[:, None]
    coder = TransformCoder(values, fps=1.0)
    coder.variance = np.array([4.0, 1.0])  # of the population; the sample's are 4/3 of it
    assert at_rate(coder.gaussian(), 1.0) == pytest.approx(1.0, rel=1e-6)
    # at level 1/2, half a bit more for the first, half a bit for the second
    assert at_rate(coder.gaussian(), 2.0) == pytest.approx(0.5, rel=1e-6)


def test_uniform_quantization_of_gaussians_costs_a_quarter_of_a_bit_at_high_rate(coder: TransformCoder) -> None:
    variable, _ = coder.curves(correlated(2000, 1))
    bound = dict(coder.gaussian())
    fine = [point for point in variable if 0.005 < point.mse < 0.02]
    assert fine
    for point in fine:
        # Gish and Pierce 1968: 1.53 dB, a factor of pi e / 6, at the same rate
        ratio = point.mse / at_rate([RatePoint(*item) for item in bound.items()], point.bits_per_second)
        assert 1.0 < ratio < 1.6


def test_a_budget_for_each_window_buys_no_more_than_the_same_on_average(coder: TransformCoder) -> None:
    variable, fixed = coder.curves(correlated(500, 2))
    for point in fixed:
        assert point.mse >= 0.98 * at_rate(variable, point.bits_per_second)


def test_finer_steps_cost_more_and_leave_less(coder: TransformCoder) -> None:
    windows = correlated(300, 3)
    bits, errors = zip(*(coder.coded(windows, step) for step in STEPS[::4]), strict=True)
    assert (np.diff(np.mean(bits, axis=1)) > 0).all()
    assert (np.diff(np.mean(errors, axis=1)) < 0).all()
    # an error is a step over the square root of twelve where all coefficients are finer than it
    assert np.mean(errors[-1]) < STEPS[::4][-1] ** 2 / 12 * 1.05


def test_bits_are_those_of_the_training_histogram() -> None:
    # one coefficient with three of four training windows on one symbol: about log2(4/3) and 2 bits
    train = np.array([1.0, 1.0, 1.0, -3.0] * 500)[:, None, None]
    coder = TransformCoder(train, FPS)
    bits, _ = coder.coded(np.array([1.0, -3.0])[:, None, None], 1.0)
    assert bits == pytest.approx([np.log2(4 / 3), 2.0], abs=0.01)


def test_what_training_never_saw_is_dear_but_can_be_coded(coder: TransformCoder) -> None:
    windows = correlated(10, 4)
    usual, _ = coder.coded(windows, 1.0)
    strange, errors = coder.coded(windows + 50, 1.0)
    assert np.isfinite(strange).all()
    assert (strange > usual + 10).all()
    assert (errors < 1).all()


def test_only_measured_columns_count_for_the_error_and_all_for_the_bits() -> None:
    train, windows = correlated(500, 0), correlated(20, 1)
    whole, part = TransformCoder(train, FPS), TransformCoder(train, FPS, measured=1)
    (bits, errors), (same_bits, first) = whole.coded(windows, 2.0), part.coded(windows, 2.0)
    assert np.array_equal(bits, same_bits)
    assert not np.allclose(errors, first)


def test_every_third_frame_and_the_last_are_kept_and_lines_drawn_between() -> None:
    line = np.array([0.0, 9, 9, 3, 0, 0, 0, 5])[None, :, None]
    expected = [0.0, 1, 2, 3, 2, 1, 0, 5]
    assert kept_frames(line, 3)[0, :, 0].tolist() == expected


def test_a_curve_is_silent_about_rates_it_does_not_reach() -> None:
    curve = [RatePoint(100, 0.1), RatePoint(200, 0.001)]
    assert at_rate(curve, 150) == pytest.approx(0.01)
    assert np.isnan(at_rate(curve, 99))
    assert np.isnan(at_rate(curve, 201))


def test_one_window_is_too_few() -> None:
    with pytest.raises(UserError, match="at least two windows"):
        TransformCoder(correlated(1, 0), FPS)
