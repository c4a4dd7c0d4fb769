"""Which way is up in a file of human motion, in which unit, and where its floor lies: by evidence."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import numpy as np

from g1_vq_retarget.motion.clip import HumanClip, MotionError
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS

UpAxis = Literal["y", "z"]
Unit = Literal["m", "cm", "mm", "cmu"]

# cmu: the CMU database's own, 1 / 0.45 inch (its FAQ: "multiply by 1 / 0.45 * 2.54 / 100").
METRES: dict[str, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001, "cmu": 0.0254 / 0.45}
# Hip to knee to ankle, m, of children and adults; no length lies in it in two of the units.
HUMAN_LEG = (0.5, 1.2)

# Rows: the world's x, y, z written in the file's axes. Y up is turned cyclically, so that a body facing the file's z
# faces the world's x.
WORLD_AXES: dict[str, np.ndarray] = {
    "y": np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    "z": np.eye(3),
}

# What tells the up axis, in leg lengths: how far the head of a standing body is above its feet at least,
STANDING = 0.75
# and how far (median deviation) the lowest joint of a body on a floor moves along the up axis at most, and across it
# at least.
FLOOR_STEADY, FLOOR_TRAVEL = 0.05, 0.2

# The lowest joint of a body on the floor z = 0, a toe or an ankle, stands no higher or lower than this, m.
FLOOR_HEIGHT = 0.25


def find_unit(leg: float, unit: Unit | None) -> Finding:
    """The unit of length in which a leg is a human's, unless it is told.

    Raises:
        MotionError: no unit makes it one.
    """
    if unit is not None:
        return Finding("unit", unit, "caller")
    lengths = {candidate: leg * metres for candidate, metres in METRES.items()}
    for candidate, length in lengths.items():
        if HUMAN_LEG[0] <= length <= HUMAN_LEG[1]:
            return Finding("unit", candidate, "evidence", dict(lengths), "length of a leg, m")
    raise MotionError(
        f"the unit cannot be told: a leg measures {leg:.4g}, which is no human's in m, cm, mm or cmu (CMU's 56 mm); "
        f"name the unit with --bvh-unit {'|'.join(METRES)}"
    )


def find_up(pos: np.ndarray, up: UpAxis | None, usual: UpAxis, flag: str) -> Finding:
    """The up axis of joint positions (T, 22, 3), in leg lengths, unless it is told.

    Two signs: a standing body has its head along the up axis, and a moving one has its lowest joint at the height of
    the floor. Either may be absent (a crawl, a single frame), but they must not contradict each other. Where files of
    a format usually have one axis up, a head along the other alone is no sign for that: the body may lie.

    Args:
        pos: positions in the file's axes.
        up: the axis, where the caller tells it.
        usual: the format's usual up axis.
        flag: how a user tells it, such as "--bvh-up y|z".

    Raises:
        MotionError: neither sign is there, or they contradict each other.
    """
    if up is not None:
        return Finding("up axis", up, "caller")
    at = {name: index for index, name in enumerate(HUMAN_JOINTS)}
    head = np.median(pos[:, at["head"]] - pos[:, [at["left_ankle"], at["right_ankle"]]].mean(axis=1), axis=0)
    lowest = pos.min(axis=1)
    spread = np.median(np.abs(lowest - np.median(lowest, axis=0)), axis=0)

    def stands(axis: int, other: int) -> bool:
        return head[axis] > STANDING and abs(head[other]) < head[axis] / 2

    def has_floor(axis: int, other: int) -> bool:
        # upside down, the lowest joint is the head, and fairly steady too
        return spread[axis] < FLOOR_STEADY and spread[other] > FLOOR_TRAVEL and head[axis] > 0

    rare: UpAxis = "z" if usual == "y" else "y"
    axes = {"y": (1, 2), "z": (2, 1)}
    first, second = axes[usual], axes[rare]
    told = (
        f"in leg lengths, the head is {head[1]:.2f} along y and {head[2]:.2f} along z from the feet, and the lowest "
        f"joint wanders by {spread[1]:.2f} along y and {spread[2]:.2f} along z"
    )
    wander = {"y": float(spread[1]), "z": float(spread[2])}
    measure = f"head above the feet along y {head[1]:.2f} and z {head[2]:.2f}, wander of the lowest joint, leg lengths"
    if (stands(*first) or has_floor(*first)) and not (stands(*second) or has_floor(*second)):
        return Finding("up axis", usual, "evidence", wander, measure)
    if has_floor(*second) and not stands(*first):
        return Finding("up axis", rare, "evidence", wander, measure)
    raise MotionError(f"the up axis cannot be told: {told}; name the up axis with {flag}")


def warn_of_floor(clip: HumanClip, path: Path) -> None:
    """Say it where the feet of a clip are far from z = 0, which is left as it is: no file tells its floor."""
    low = float(np.median(clip.joint_pos_w[:, :, 2].min(axis=1)))
    if abs(low) > FLOOR_HEIGHT:
        where = "above" if low > 0 else "below"
        warnings.warn(f"{path}: {clip.name}: the lowest joint is {abs(low):.2f} m {where} z = 0", stacklevel=3)
