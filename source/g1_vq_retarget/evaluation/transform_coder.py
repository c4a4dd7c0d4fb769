"""A classical coder of motion to measure tokenizers against, and what information theory says of the data.

Transform coding (Goyal 2001, "Theoretical Foundations of Transform Coding"): a Karhunen-Loève transform of whole
windows, one uniform step for all coefficients, ideal entropy coding by what the training split's histograms say. It
knows nothing of motion but its covariance. A learned tokenizer that does worse at the same rate has learned little.

All errors are mean squared errors over normalised features (no unit); all rates are bits a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from g1_vq_retarget.errors import UserError

# Steps of the quantizer, coarse to fine: a quarter of a bit a coefficient from one to the next.
STEPS = 8.0 * 2.0 ** (-np.arange(34) / 4)
# What a symbol that training never saw may cost: the histogram counts as one sample of a two-sided geometric
# distribution more than it is.
PRIOR_WEIGHT = 1.0
# and so much at most, bits: as a number written out.
DEAREST = 64


class RatePoint(NamedTuple):
    """A rate, bits a second, and the mean squared error over joints that comes with it."""

    bits_per_second: float
    mse: float


class TransformCoder:
    """Karhunen-Loève transform of windows, uniform quantization, ideal entropy coding.

    Args:
        train: (N, T, D) normalised features of the training split.
        fps: frames a second.
        measured: the first columns, over which errors are taken; the others are coded and paid for, too.
    """

    def __init__(self, train: np.ndarray, fps: float, measured: int | None = None) -> None:
        windows, self.frames, self.features = train.shape
        if windows < 2:
            raise UserError("rate-distortion needs at least two windows of the train split; use a larger data folder")
        self.fps = fps
        self.measured = self.features if measured is None else measured
        flat = train.reshape(windows, -1).astype(float)
        self.mean = flat.mean(axis=0)
        variance, basis = np.linalg.eigh(np.atleast_2d(np.cov(flat.T)))
        self.variance, self.basis = variance[::-1].clip(0), basis[:, ::-1]
        self._train = (flat - self.mean) @ self.basis

    @property
    def seconds(self) -> float:
        """Length of a window, s."""
        return self.frames / self.fps

    def coded(self, windows: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
        """(N,) bits and (N,) mean squared error of the measured columns of windows (N, T, D), at one step."""
        coefficients = (windows.reshape(len(windows), -1) - self.mean) @ self.basis
        symbols = np.round(coefficients / step).astype(np.int64)
        bits = self._bits(symbols, np.round(self._train / step).astype(np.int64))
        decoded = (symbols * step) @ self.basis.T + self.mean
        error = (decoded.reshape(windows.shape) - windows)[..., : self.measured]
        return bits, np.square(error).mean(axis=(1, 2))

    def curves(self, windows: np.ndarray) -> tuple[list[RatePoint], list[RatePoint]]:
        """Variable and fixed rate, over the steps from coarse to fine.

        Variable rate: one step for all windows; the rate is the mean over them. Fixed rate: each window gets the
        finest step with which it keeps within the rate; which one is not paid for. Between the steps tried, the error
        is interpolated in its logarithm.
        """
        bits, errors = (np.stack(part) for part in zip(*(self.coded(windows, step) for step in STEPS), strict=True))
        variable = [RatePoint(b / self.seconds, e) for b, e in zip(bits.mean(axis=1), errors.mean(axis=1), strict=True)]
        fixed = []
        for budget in bits.mean(axis=1):
            fits = bits <= budget
            finest = len(bits) - 1 - np.argmax(fits[::-1], axis=0)
            if not fits.any(axis=0).all() or (finest == len(bits) - 1).any():
                continue  # the steps are not coarse, or not fine, enough for some window
            these, next_ = (np.take_along_axis(bits, step[None], 0)[0] for step in (finest, finest + 1))
            share = (budget - these) / (next_ - these)
            logs = [np.log(np.take_along_axis(errors, step[None], 0)[0]) for step in (finest, finest + 1)]
            error = np.exp(logs[0] * (1 - share) + logs[1] * share).mean()
            fixed.append(RatePoint(budget / self.seconds, float(error)))
        return variable, fixed

    def gaussian(self) -> list[RatePoint]:
        """What Gaussian data of the training covariance needs at least: reverse water-filling.

        Cover and Thomas 2006, "Elements of Information Theory", theorem 10.3.3. The error is over all features. Real
        motion is not Gaussian, so this is a reference and can be beaten.
        """
        points = []
        for level in self.variance[0] * 2.0 ** -np.arange(1, 40, 0.5):
            kept = self.variance > level
            bits = 0.5 * np.log2(self.variance[kept] / level).sum()
            points.append(RatePoint(bits / self.seconds, float(np.minimum(self.variance, level).mean())))
        return points

    def _bits(self, symbols: np.ndarray, train: np.ndarray) -> np.ndarray:
        """(N,) ideal bits of symbols (N, K), each coefficient by its own histogram over training (M, K)."""
        # coefficients that are zero throughout cost next to nothing, and are most
        used = np.flatnonzero(np.abs(train).max(axis=0) + np.abs(symbols).max(axis=0))
        train, symbols = train[:, used], symbols[:, used]
        low = np.minimum(train.min(axis=0), symbols.min(axis=0))
        width = np.maximum(train.max(axis=0), symbols.max(axis=0)) - low + 1
        begin = np.concatenate([[0], np.cumsum(width)[:-1]]) - low  # each coefficient's part of one long histogram
        counts = np.bincount((train + begin).ravel(), minlength=int(width.sum()))
        prior = _two_sided_geometric(symbols, np.abs(train).mean(axis=0))
        share = (counts[symbols + begin] + PRIOR_WEIGHT * prior) / (len(train) + PRIOR_WEIGHT)
        return -np.log2(share).sum(axis=1)


def _two_sided_geometric(symbols: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """Probability of integers (N, K), falling by a factor a step so that the mean magnitude is about `magnitude`."""
    decay = np.maximum(magnitude / (magnitude + 1), 1e-3)
    return np.maximum((1 - decay) / (1 + decay) * decay ** np.abs(symbols), 2.0**-DEAREST)


def kept_frames(windows: np.ndarray, every: int) -> np.ndarray:
    """Every k-th frame of windows (N, T, D) and the last one kept, those between interpolated linearly."""
    frames = windows.shape[1]
    keep = np.unique(np.append(np.arange(0, frames, every), frames - 1))
    after = np.searchsorted(keep, np.arange(frames)).clip(min=1)
    begin, end = keep[after - 1], keep[after]
    share = ((np.arange(frames) - begin) / (end - begin))[:, None]
    return windows[:, begin] * (1 - share) + windows[:, end] * share


def at_rate(curve: Sequence[RatePoint], bits_per_second: float) -> float:
    """The error of a curve at a rate, interpolated in the logarithm; NaN outside the curve."""
    if not curve:
        return float("nan")
    rates, errors = np.array(sorted(curve)).T
    if not rates[0] <= bits_per_second <= rates[-1]:
        return float("nan")
    return float(np.exp(np.interp(bits_per_second, rates, np.log(errors))))
