from __future__ import annotations

import numpy as np
import pytest

from g1_vq_retarget.data.windows import cut_windows, window_starts
from synthetic import waves


def test_windows_lie_wholly_inside_the_clip() -> None:
    np.testing.assert_array_equal(window_starts(frames=10, window=4, stride=3), [0, 3, 6])
    np.testing.assert_array_equal(window_starts(frames=9, window=4, stride=3), [0, 3])
    np.testing.assert_array_equal(window_starts(frames=4, window=4, stride=3), [0])
    assert len(window_starts(frames=3, window=4, stride=3)) == 0


@pytest.mark.parametrize(
    ("frames", "window", "stride"), [(200, 64, 32), (201, 16, 5), (64, 64, 1), (65, 64, 1), (7, 8, 2)]
)
def test_no_more_windows_fit(frames: int, window: int, stride: int) -> None:
    starts = window_starts(frames, window, stride)
    assert all(start + window <= frames for start in starts)
    assert len(starts) * stride + window > frames


def test_a_window_holds_the_frames_of_its_place() -> None:
    values = waves(50, 3, 0)
    windows = cut_windows(values, window=8, stride=5)
    assert windows.dtype == np.float32
    for row, start in enumerate(window_starts(50, 8, 5)):
        np.testing.assert_array_equal(windows[row], values[start : start + 8].astype(np.float32))


def test_a_short_clip_gives_no_window_and_no_error() -> None:
    assert cut_windows(waves(7, 3, 0), window=8, stride=4).shape == (0, 8, 3)
