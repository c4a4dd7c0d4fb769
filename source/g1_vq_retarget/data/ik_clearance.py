"""What keeps a robot's capsules out of one another and above the floor, as inequalities for inverse kinematics."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import numpy as np

from g1_vq_retarget.robot import RobotModel
from g1_vq_retarget.robot.capsules import capsules_of, colliding_pairs

# Capsules are seen from so near on, and are kept so far apart, m.
SIGHT, ROOM = 0.04, 0.004
# Of the way that is left between two capsules they go so much in a step; and out of one another at most so far, m.
APPROACH, RETREAT = 0.6, 0.01


class Inequalities(NamedTuple):
    """`G` (N, V) times a step (V,) is at most `h` (N,): what mink asks of a limit."""

    G: np.ndarray
    h: np.ndarray

    @property
    def inactive(self) -> bool:
        return len(self.h) == 0


class Clearance:
    """A limit for `mink.solve_ik`: capsules come no nearer to one another than `ROOM`, and no lower than z = 0.

    A step is a linear piece of a bent way, so that what is out of bounds by a little is led back: up from the floor
    at once, which is always possible with a root that is free to rise; out of another capsule as far as `RETREAT`,
    which is not, and is left out with `yielding`: then it goes no further in.
    """

    def __init__(self, robot: RobotModel, model: Any) -> None:
        """`model` is compiled from `build_mjcf(robot, floor=False)`; all of its geoms are capsules."""
        self._mujoco: Any = importlib.import_module("mujoco")  # optional: whoever has a model has it
        self.yielding = False
        self._model = model
        self._body = model.geom_bodyid
        # MuJoCo counts geoms body by body, depth first, as the link table does
        assert [model.body(body).name for body in self._body] == [robot.link_names[i] for i in capsules_of(robot).link]
        pairs = colliding_pairs(robot)
        self._pairs, self._room = np.stack([pairs.first, pairs.second]), ROOM - pairs.allowance
        self._reach = model.geom_rbound[self._pairs].sum(axis=0) + SIGHT
        self._radius, self._half = model.geom_size[:, 0], model.geom_size[:, 1]

    def compute_qp_inequalities(self, configuration: Any, dt: float) -> Inequalities:
        """The limit at a configuration; `dt` is part of what mink asks with, and not needed."""
        del dt
        centre = configuration.data.geom_xpos
        axis = configuration.data.geom_xmat.reshape(-1, 3, 3)[:, :, 2] * self._half[:, None]
        floor = self._above_floor(configuration, centre, axis)
        apart = self._apart(configuration, centre, axis)
        return Inequalities(np.concatenate([floor.G, apart.G]), np.concatenate([floor.h, apart.h]))

    def _above_floor(self, configuration: Any, centre: np.ndarray, axis: np.ndarray) -> Inequalities:
        ends = np.concatenate([centre - axis, centre + axis])
        height = ends[:, 2] - np.tile(self._radius, 2)
        near = np.flatnonzero(height < SIGHT)
        rows = [-self._jacobian(configuration, ends[end], self._body[end % len(centre)])[2] for end in near]
        return Inequalities(np.array(rows).reshape(-1, self._model.nv), height[near])

    def _apart(self, configuration: Any, centre: np.ndarray, axis: np.ndarray) -> Inequalities:
        first, second = self._pairs
        between = centre[second] - centre[first]
        near = np.flatnonzero((between * between).sum(axis=1) < self._reach**2)
        first, second = first[near], second[near]
        points = nearest_points(centre[first], axis[first], centre[second], axis[second])
        way = points[1] - points[0]
        length = np.linalg.norm(way, axis=1).clip(1e-9)
        gap = length - self._radius[first] - self._radius[second] - self._room[near]
        rows, most = [], []
        for pair in np.flatnonzero(gap < SIGHT):
            moves = [
                self._jacobian(configuration, points[side][pair], self._body[geoms[pair]])
                for side, geoms in enumerate((first, second))
            ]
            rows.append(way[pair] / length[pair] @ (moves[0] - moves[1]))
            into = 0.0 if self.yielding else max(gap[pair], -RETREAT)
            most.append(APPROACH * gap[pair] if gap[pair] > 0 else into)
        return Inequalities(np.array(rows).reshape(-1, self._model.nv), np.array(most))

    def _jacobian(self, configuration: Any, point: np.ndarray, body: int) -> np.ndarray:
        jacobian = np.empty((3, self._model.nv))
        self._mujoco.mj_jac(self._model, configuration.data, jacobian, None, point, body)
        return jacobian


def nearest_points(
    centre_1: np.ndarray, half_1: np.ndarray, centre_2: np.ndarray, half_2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where two segments come nearest to each other, (N, 3) on each: from `centre - half` to `centre + half`, (N, 3).

    Ericson 2005, "Real-Time Collision Detection", section 5.1.9, with parameters from -1 to 1.
    """

    def dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.einsum("ij,ij->i", first, second)

    between = centre_1 - centre_2
    a, b, e = dot(half_1, half_1).clip(1e-12), dot(half_1, half_2), dot(half_2, half_2).clip(1e-12)
    c, f = dot(half_1, between), dot(half_2, between)
    across = a * e - b * b
    # parallel segments: any point will do, the middle is as near as others
    s = np.where(across > 1e-9 * a * e, (b * f - c * e) / across.clip(1e-18), 0.0).clip(-1, 1)
    t = ((b * s + f) / e).clip(-1, 1)
    s = ((b * t - c) / a).clip(-1, 1)
    return centre_1 + s[:, None] * half_1, centre_2 + t[:, None] * half_2
