"""Windows of equal length cut from clips."""

from __future__ import annotations

import numpy as np


def window_starts(frames: int, window: int, stride: int) -> np.ndarray:
    """First frames of all windows that lie wholly inside a clip of so many frames."""
    return np.arange(0, frames - window + 1, stride)


def cut_windows(values: np.ndarray, window: int, stride: int) -> np.ndarray:
    """(N, window, D) float32 windows of (T, D)."""
    starts = window_starts(len(values), window, stride)
    return values[starts[:, None] + np.arange(window)].astype(np.float32)
