"""Least squares over the frames of a motion, where each price reaches over two or three frames: a banded system."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded


class FrameLeastSquares:
    """The x (T, N) that makes a sum of squares least: weights times the squares of what is off.

    Weights are broadcast; rows K may be any number. Solved in a time that grows with T.
    """

    def __init__(self, frames: int, width: int) -> None:
        self._here = np.zeros((frames, width, width))
        self._next = np.zeros((max(frames - 1, 0), width, width))  # rows of frame t + 1, columns of frame t
        self._after = np.zeros(width)
        self._goal = np.zeros((frames, width))
        self._diagonal = np.einsum("tnn->tn", self._here)
        self._next_diagonal = np.einsum("tnn->tn", self._next)

    def values(self, goal: np.ndarray, weight: np.ndarray) -> None:
        """x[t] is to be `goal` (T, N); `weight` (T, N)."""
        self._diagonal += weight
        self._goal += weight * goal

    def steps(self, goal: np.ndarray, weight: np.ndarray) -> None:
        """x[t+1] - x[t] is to be `goal` (T-1, N); `weight` (T-1, N)."""
        self._diagonal[1:] += weight
        self._diagonal[:-1] += weight
        self._next_diagonal -= weight
        self._goal[1:] += weight * goal
        self._goal[:-1] -= weight * goal

    def bends(self, weight: np.ndarray) -> None:
        """x[t+2] - 2 x[t+1] + x[t] is to be 0; `weight` (N,)."""
        for shift, share in enumerate((1, 4, 1)):
            self._diagonal[shift : len(self._diagonal) - 2 + shift] += share * weight
        for shift in range(2):
            self._next_diagonal[shift : len(self._next_diagonal) - 1 + shift] -= 2 * weight
        self._after += weight

    def rows(self, rows: np.ndarray, goal: np.ndarray, weight: np.ndarray) -> None:
        """rows[t] x[t] is to be `goal` (T, K); `rows` (T, K, N), `weight` (T, K)."""
        weighed = weight[..., None] * rows
        self._here += rows.transpose(0, 2, 1) @ weighed
        self._goal += np.einsum("tkn,tk->tn", weighed, goal)

    def row_steps(self, rows: np.ndarray, goal: np.ndarray, weight: np.ndarray) -> None:
        """rows[t+1] x[t+1] - rows[t] x[t] is to be `goal` (T-1, K); `rows` (T, K, N), `weight` (T-1, K)."""
        before, after = rows[:-1], rows[1:]
        weighed_before, weighed_after = weight[..., None] * before, weight[..., None] * after
        self._here[:-1] += before.transpose(0, 2, 1) @ weighed_before
        self._here[1:] += after.transpose(0, 2, 1) @ weighed_after
        self._next -= after.transpose(0, 2, 1) @ weighed_before
        self._goal[:-1] -= np.einsum("tkn,tk->tn", weighed_before, goal)
        self._goal[1:] += np.einsum("tkn,tk->tn", weighed_after, goal)

    def solve(self) -> np.ndarray:
        """(T, N). Something must be asked of every value, else there is no one solution (numpy.linalg.LinAlgError)."""
        frames, width = self._goal.shape
        # band[k, t, n] is the entry k below the diagonal's, in column n of frame t
        band = np.zeros((2 * width + 1, frames, width))
        for column in range(width):
            band[: width - column, :, column] = self._here[:, column:, column].T
            band[width - column : 2 * width - column, :-1, column] = self._next[:, :, column].T
        band[2 * width, :-2] = self._after
        lower = band.reshape(2 * width + 1, -1)[: min(2 * width + 1, frames * width)]
        return solveh_banded(lower, self._goal.ravel(), lower=True, overwrite_ab=True).reshape(frames, width)
