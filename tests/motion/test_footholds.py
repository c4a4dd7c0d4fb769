"""When feet stand, by cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from g1_vq_retarget.motion.footholds import planted_points, planted_steps

FPS, FRAMES = 50.0, 100
# a foot of a heel and a toe, 20 cm long
FOOT = np.array([[0.0, 0.0, 0.0], [0.2, 0.0, 0.0]])


def foot(way: np.ndarray) -> np.ndarray:
    """(FRAMES, 1, 2, 3) a foot that goes a way (FRAMES, 3) without turning."""
    return FOOT + way[:, None, None]


def along_x(metres: np.ndarray, height: float = 0.0) -> np.ndarray:
    return np.stack([metres, np.zeros_like(metres), np.full_like(metres, height)], axis=-1)


def test_a_foot_stands_where_it_is_low_and_slow() -> None:
    still = np.zeros(FRAMES)
    assert planted_points(foot(along_x(still)), FPS).all()
    assert not planted_points(foot(along_x(still, 0.06)), FPS).any()  # held in the air
    assert not planted_points(foot(along_x(np.arange(FRAMES) / FPS)), FPS).any()  # drawn at 1 m/s


def test_a_step_is_between_two_stances() -> None:
    """Standing until 0.8 s and from 1.2 s on, in between 0.6 m ahead at up to 5 cm of height."""
    share = np.clip((np.arange(FRAMES) / FPS - 0.8) / 0.4, 0, 1)
    way = along_x(0.6 * share**2 * (3 - 2 * share))
    way[:, 2] = 0.05 * np.sin(np.pi * share)
    planted = planted_points(foot(way), FPS)[:, 0]
    assert planted[:40].all()
    assert planted[62:].all()
    assert not planted[45:55].any()


def test_a_decoders_trembling_is_no_step() -> None:
    tremble = gaussian_filter1d(np.random.default_rng(0).normal(size=(FRAMES, 3)), 1.5, axis=0)
    tremble *= 0.004 / tremble.std()
    sole = foot(tremble)
    from_frame_to_frame = np.linalg.norm(np.diff(sole[:, 0, 0, :2], axis=0), axis=-1) * FPS
    assert np.median(from_frame_to_frame) > 0.1  # m/s
    assert np.percentile(from_frame_to_frame, 90) > 0.2
    assert planted_points(sole, FPS).mean() > 0.95


def test_a_foot_that_rolls_off_stands_on_its_toe() -> None:
    lift = np.clip(np.arange(FRAMES) / FPS - 1, 0, 1) * 0.1  # the heel, from 1 s on at 0.1 m/s
    sole = foot(np.zeros((FRAMES, 3)))
    sole[:, 0, 0, 2] += lift
    planted = planted_points(sole, FPS)[:, 0]
    assert planted[:, 1].all()
    assert planted[:50, 0].all()
    assert not planted[65:, 0].any()


@pytest.mark.parametrize("frames", [2, 4])
def test_a_touch_is_no_stance(frames: int) -> None:
    way = along_x(np.zeros(FRAMES), 0.2)
    way[50 : 50 + frames, 2] = 0
    assert not planted_points(foot(way), FPS).any()


def test_what_is_drawn_along_may_glide_and_what_creeps_may_not() -> None:
    for speed, meant in ((0.06, 0.0), (0.16, 0.6 * 0.16), (0.23, 0.23)):  # m/s; between `STILL` and twice that a part
        sole = foot(along_x(np.arange(FRAMES) / FPS * speed))
        planted = planted_points(sole, FPS)
        assert planted.all()
        steps = planted_steps(sole, planted, FPS)
        np.testing.assert_allclose(steps[..., 0] * FPS, meant, atol=1e-9)
        np.testing.assert_allclose(steps[..., 1:], 0, atol=1e-12)


def test_no_step_is_asked_of_what_is_not_planted() -> None:
    sole = foot(along_x(np.arange(FRAMES) / FPS * 0.16))
    planted = np.zeros(sole.shape[:-1], dtype=bool)
    assert (planted_steps(sole, planted, FPS) == 0).all()


def test_one_frame_is_a_motion() -> None:
    sole = foot(np.zeros((1, 3)))
    planted = planted_points(sole, FPS)
    assert planted.all()
    assert planted_steps(sole, planted, FPS).shape == (0, 1, 2, 3)
