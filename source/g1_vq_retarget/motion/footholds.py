"""Which points of the feet are meant to stand, and where to: told from motion that trembles."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_closing, binary_opening, gaussian_filter1d, label

# A point of a sole is planted while its foot is lower than this above the floor, the point lower than this above the
# lowest of its foot, m, and slower along the floor than this, m/s: the second of each two, in stretches in which once
# all hold of the first (hysteresis, as of Canny's edges, 1986).
LOW, LEVEL, SLOW = (0.020, 0.040), (0.012, 0.020), (0.20, 0.35)
# Places are smoothed over so many seconds (standard deviation) before they are asked: a decoder's noise of 4 mm is
# 0.3 m/s from frame to frame. Shorter stretches, and shorter gaps in them, are not believed, s.
TREMBLE_TIME, SHORTEST = 0.04, 0.1
# A planted point that glides, over some time (standard deviation, s), faster than twice this, m/s, is meant to, as
# where a foot turns on its ball; slower than this it is held, and in between by half.
STILL, GLIDE_TIME = 0.1, 0.1


def planted_points(sole: np.ndarray, fps: float) -> np.ndarray:
    """Which points of the soles stand on a floor at z = 0.

    Args:
        sole: (T, F, P, 3) points of F feet, m.
        fps: frames a second.

    Returns:
        (T, F, P) true where a point is planted. A foot that rolls from heel to toe is planted point by point.
    """
    smooth = gaussian_filter1d(sole, TREMBLE_TIME * fps, axis=0, mode="nearest")
    speed = np.zeros(sole.shape[:-1])
    if len(sole) > 1:
        speed = np.linalg.norm(np.gradient(smooth[..., :2], 1 / fps, axis=0), axis=-1)
    height = smooth[..., 2]
    lowest = height.min(axis=-1, keepdims=True)
    sure, maybe = (
        ((lowest < low) & (height - lowest < level) & (speed < slow)).reshape(len(sole), -1).T
        for low, level, slow in zip(LOW, LEVEL, SLOW, strict=True)
    )
    believed = [_believed(*point, fps) for point in zip(sure, maybe, strict=True)]
    return np.stack(believed, axis=-1).reshape(height.shape)


def planted_steps(sole: np.ndarray, planted: np.ndarray, fps: float) -> np.ndarray:
    """How far planted points are meant to go from one frame to the next.

    Args:
        sole: (T, F, P, 3) points of F feet, m.
        planted: (T, F, P) which of them are planted.
        fps: frames a second.

    Returns:
        (T-1, F, P, 3) m: along the floor nowhere, but where a point glides; in height as it does on the whole.
    """
    if len(sole) < 2:
        return np.zeros((0, *sole.shape[1:]))
    both = (planted[1:] & planted[:-1])[..., None].astype(float)
    width = GLIDE_TIME * fps
    mean = gaussian_filter1d(np.diff(sole, axis=0) * both, width, axis=0)
    mean /= gaussian_filter1d(both, width, axis=0).clip(1e-6)
    speed = np.linalg.norm(mean[..., :2], axis=-1, keepdims=True) * fps
    mean[..., :2] *= (speed / STILL - 1).clip(0, 1)
    return mean * both


def _believed(sure: np.ndarray, maybe: np.ndarray, fps: float) -> np.ndarray:
    """(T,) the stretches of `maybe` that hold a frame of `sure`, without short ones and short gaps."""
    stretch, _ = label(maybe)  # type: ignore[misc]
    held = maybe & np.isin(stretch, stretch[sure])
    shortest = np.ones(max(1, round(SHORTEST * fps)), dtype=bool)
    # the border is held as it is, so that a stance the clip begins in counts from the first frame
    padded = np.pad(held, len(shortest), mode="edge")
    return binary_opening(binary_closing(padded, shortest), shortest)[len(shortest) : -len(shortest)]
