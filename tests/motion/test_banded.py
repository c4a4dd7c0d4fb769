from __future__ import annotations

import numpy as np
import pytest

from g1_vq_retarget.motion.banded import FrameLeastSquares

WIDTH, ROWS = 3, 4


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_it_is_the_least_squares_of_all_that_is_asked(frames: int) -> None:
    rng = np.random.default_rng(frames)
    one, each = np.eye(WIDTH), [np.eye(frames)[:, [t]] for t in range(frames)]
    matrix, wanted = [], []

    def ask(rows: np.ndarray, goal: np.ndarray, weight: np.ndarray) -> None:
        """Rows (K, frames * WIDTH) of the dense system."""
        matrix.append(np.sqrt(weight)[:, None] * rows)
        wanted.append(np.sqrt(weight) * goal)

    def at(frame: int, rows: np.ndarray) -> np.ndarray:
        return np.kron(each[frame].T, rows)

    system = FrameLeastSquares(frames, WIDTH)
    goal, weight = rng.normal(size=(frames, WIDTH)), rng.uniform(0.1, 1, (frames, WIDTH))
    system.values(goal, weight)
    for t in range(frames):
        ask(at(t, one), goal[t], weight[t])
    goal, weight = rng.normal(size=(frames - 1, WIDTH)), rng.uniform(0, 9, (frames - 1, WIDTH))
    system.steps(goal, weight)
    for t in range(frames - 1):
        ask(at(t + 1, one) - at(t, one), goal[t], weight[t])
    bend = rng.uniform(1, 9, WIDTH)
    system.bends(bend)
    for t in range(frames - 2):
        ask(at(t + 2, one) - 2 * at(t + 1, one) + at(t, one), np.zeros(WIDTH), bend)
    rows = rng.normal(size=(frames, ROWS, WIDTH))
    goal, weight = rng.normal(size=(frames, ROWS)), rng.uniform(0, 9, (frames, ROWS))
    system.rows(rows, goal, weight)
    for t in range(frames):
        ask(at(t, rows[t]), goal[t], weight[t])
    goal, weight = rng.normal(size=(frames - 1, ROWS)), rng.uniform(0, 9, (frames - 1, ROWS))
    system.row_steps(rows, goal, weight)
    for t in range(frames - 1):
        ask(at(t + 1, rows[t + 1]) - at(t, rows[t]), goal[t], weight[t])

    best = np.linalg.lstsq(np.concatenate(matrix), np.concatenate(wanted), rcond=None)[0]
    np.testing.assert_allclose(system.solve().ravel(), best, atol=1e-9)
