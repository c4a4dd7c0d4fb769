"""A made-up adult, and how goals for its pelvis, feet and hands become joint rotations.

Every frame here has x ahead, y left, z up in the T-pose, and limbs are solved as two bones; `human_clip` turns the
result into SMPL's frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion import HumanClip, Provenance
from g1_vq_retarget.motion.skeleton import BODY_AXES, HUMAN_JOINTS, HUMAN_PARENTS

# Each joint in its parent's frame in the T-pose, in SMPL's axes (x left, y up, z ahead), m: an adult of 1.75 m.
_SPINE = {"pelvis": 0.0, "spine1": 0.10, "spine2": 0.13, "spine3": 0.07, "neck": 0.21, "head": 0.10}
_LEFT = {
    "hip": (0.09, -0.08, 0.0),
    "knee": (0.0, -0.42, 0.0),
    "ankle": (0.0, -0.41, 0.0),
    "foot": (0.0, -0.06, 0.13),
    "collar": (0.05, 0.14, 0.0),
    "shoulder": (0.13, 0.02, 0.0),
    "elbow": (0.28, 0.0, 0.0),
    "wrist": (0.25, 0.0, 0.0),
}
# Height of the ankle over the floor, m.
ANKLE_HEIGHT = 0.08
# From the pelvis to the left hip and, of a flat foot, from the ankle to the ball and to the heel, x ahead, m.
HIP, BALL = (BODY_AXES.inv().apply(_LEFT[joint]) for joint in ("hip", "foot"))
HEEL = np.array([-0.05, 0.0, -ANKLE_HEIGHT])
LEG = -(_LEFT["knee"][1] + _LEFT["ankle"][1])
# A limb is never quite straight, nor folded flat: what its two ends are apart, in its length.
STRAIGHT, FOLDED = 0.995, 0.3


@dataclass(frozen=True)
class Goals:
    """What the body is asked to do, at each of T times; left before right.

    Attributes:
        pelvis: (T, 3) position in the world, m.
        pelvis_turn: (T, 3) roll, pitch and yaw in the world, rad.
        spine, head: (T, 3) rotation vectors of the chest against the pelvis and of the head against the chest, rad.
        hands: (T, 2, 3) wrists seen from the shoulders, in the chest's frame, in lengths of the arm.
        elbows: (T, 2, 3) where the elbows point, in the chest's frame, any length.
        palms: (T, 2) how far the palms are turned down (or in, for a raised arm), rad.
        ankles: (T, 2, 3) position in the world, m.
        feet: (T, 2, 2) pitch (toes down) and yaw in the world, rad.
    """

    pelvis: np.ndarray
    pelvis_turn: np.ndarray
    spine: np.ndarray
    head: np.ndarray
    hands: np.ndarray
    elbows: np.ndarray
    palms: np.ndarray
    ankles: np.ndarray
    feet: np.ndarray


def rest_offsets() -> np.ndarray:
    """(22, 3) the skeleton, see `HumanClip.rest_offsets`."""
    offsets = []
    for name in HUMAN_JOINTS:
        side, _, joint = name.partition("_")
        offset = (0.0, _SPINE[name], 0.0) if name in _SPINE else _LEFT[joint]
        offsets.append(np.array(offset) * (-1 if side == "right" else 1, 1, 1))
    return np.array(offsets)


def human_clip(name: str, fps: float, goals: Goals, provenance: Provenance) -> HumanClip:
    """The motion of the body that meets the goals, as far as its limbs reach."""
    rest = rest_offsets()
    offset = dict(zip(HUMAN_JOINTS, BODY_AXES.inv().apply(rest), strict=True))
    pelvis = Rotation.from_euler("ZYX", goals.pelvis_turn[:, ::-1])
    # how each joint is turned in the world
    turned = {"pelvis": pelvis}
    for parent, joint in pairwise(("pelvis", "spine1", "spine2", "spine3")):
        turned[joint] = turned[parent] * Rotation.from_rotvec(goals.spine / 3)
    chest = turned["spine3"]
    turned["neck"] = chest * Rotation.from_rotvec(goals.head / 2)
    turned["head"] = chest * Rotation.from_rotvec(goals.head)

    for index, (side, sign) in enumerate((("left_", 1), ("right_", -1))):
        pitch, yaw = goals.feet[:, index].T
        heading = about("z", yaw)
        hip = goals.pelvis + pelvis.apply(offset[f"{side}hip"])
        ahead = heading.apply([1.0, 0.0, 0.0]) + pelvis.apply([1.0, 0.0, 0.0])
        bones = offset[f"{side}knee"], offset[f"{side}ankle"]
        thigh, shank, left = _two_bones(goals.ankles[:, index] - hip, *bones, ahead)
        turned[f"{side}hip"] = _frames(y=left, z=-thigh)
        turned[f"{side}knee"] = _frames(y=left, z=-shank)
        turned[f"{side}ankle"] = heading * about("y", pitch)
        # the toes stay level while the heel rises
        turned[f"{side}foot"] = heading * about("y", pitch - pitch.clip(0, 0.6))

        hand = goals.hands[:, index]
        # a shoulder follows its hand up and ahead
        follow = np.stack([0.3 * (hand[:, 2] + 0.5).clip(0), np.zeros(len(hand)), -0.25 * hand[:, 0].clip(0)], axis=1)
        turned[f"{side}collar"] = chest * Rotation.from_rotvec(sign * follow)
        bones = offset[f"{side}elbow"], offset[f"{side}wrist"]
        upper, fore, hinge = _two_bones(hand * np.linalg.norm(bones, axis=1).sum(), *bones, goals.elbows[:, index])
        turned[f"{side}shoulder"] = chest * _frames(y=sign * upper, z=-sign * hinge)
        turned[f"{side}elbow"] = chest * _frames(y=sign * fore, z=-sign * hinge)
        twist = about("y", sign * goals.palms[:, index])
        turned[f"{side}wrist"] = turned[f"{side}elbow"] * twist

    world = np.stack([turned[joint].as_matrix() for joint in HUMAN_JOINTS], axis=1) @ BODY_AXES.inv().as_matrix()
    local = np.swapaxes(world[:, HUMAN_PARENTS[1:]], -1, -2) @ world[:, 1:]
    quat = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_quat(scalar_first=True).reshape(len(world), -1, 4)
    root = Rotation.from_matrix(world[:, 0]).as_quat(scalar_first=True)
    return HumanClip(name, fps, goals.pelvis, root, quat, rest, provenance=provenance)


def about(axis: str, angles: np.ndarray) -> Rotation:
    """T rotations about "x", "y" or "z" by angles (T,), rad."""
    return Rotation.from_euler(axis, angles[:, None])


def _two_bones(
    reach: np.ndarray, upper: np.ndarray, lower: np.ndarray, pole: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions (T, 3) of the two bones of a limb and of the hinge between them.

    Args:
        reach: (T, 3) from the limb's begin to its end, m.
        upper, lower: (3,) the bones at rest, m; only their lengths count.
        pole: (T, 3) where the hinge points.
    """
    first, second = np.linalg.norm(upper), np.linalg.norm(lower)
    wanted = np.linalg.norm(reach, axis=1, keepdims=True)
    along = reach / wanted
    distance = wanted.clip(FOLDED * (first + second), STRAIGHT * (first + second))
    cosine = (first**2 + distance**2 - second**2) / (2 * first * distance)
    hinge = unit(np.cross(pole, along))
    bones = cosine * along + np.sqrt(1 - cosine**2) * np.cross(along, hinge)
    return bones, (distance * along - first * bones) / second, hinge


def _frames(y: np.ndarray, z: np.ndarray) -> Rotation:
    """Rotations whose matrices have these unit columns, perpendicular to each other."""
    return Rotation.from_matrix(np.stack([np.cross(y, z), y, z], axis=-1))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) at length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
