"""The body behind SMPL parameters: where its joints are at rest.

Parameters tell angles and a shape, not lengths; those stand in a licensed model (SMPL, SMPL-H, SMPL-X) that a user may
have and this package may not carry. Without it the body has the proportions of the mean one, scaled to the stature that
the first number of the shape stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS

# smpl: SMPL and SMPL-H, whose bodies are the same; smplx: SMPL-X, with its origin at the chest.
SmplFamily = Literal["smpl", "smplx"]

# Each joint in its parent's frame at rest, m: the mean of SMPL's male and female templates, left and right made alike,
# in mm. The templates' joints are printed in many public sources, as in skeleton trees of poselib.
_MEAN_TRUNK = {
    "spine1": (0.0, 0.114, -0.030),
    "spine2": (0.0, 0.133, 0.013),
    "spine3": (0.0, 0.053, 0.015),
    "neck": (0.0, 0.210, -0.042),
    "head": (0.0, 0.076, 0.050),
}
_MEAN_LEFT = {
    "hip": (0.065, -0.088, -0.011),
    "knee": (0.038, -0.376, -0.003),
    "ankle": (-0.015, -0.403, -0.039),
    "foot": (0.030, -0.056, 0.121),
    "collar": (0.077, 0.115, -0.030),
    "shoulder": (0.103, 0.039, -0.011),
    "elbow": (0.253, -0.014, -0.025),
    "wrist": (0.255, 0.009, -0.004),
}
# The pelvis at rest in the model's frame, m: what `trans` is not told of. SMPL as above, SMPL-X its neutral template.
_MEAN_PELVIS: dict[SmplFamily, tuple[float, float, float]] = {
    "smpl": (0.0, -0.226, 0.028),
    "smplx": (0.003, -0.351, 0.012),
}
# GMR's rule (utils/smpl.py): m, and m for each unit of the first shape parameter. Statures beyond are no people's.
_STATURE, _STATURE_PER_BETA, _STATURES = 1.66, 0.1, (1.2, 2.2)


@dataclass(frozen=True)
class SmplBody:
    """A body at rest.

    Attributes:
        pelvis: (3,) the pelvis in the model's frame, m.
        rest_offsets: (22, 3) each joint in its parent's frame, m; pelvis row zero.
        source: where the lengths are from, in words.
    """

    pelvis: np.ndarray
    rest_offsets: np.ndarray
    source: str


def mean_body(family: SmplFamily, betas: np.ndarray | None = None) -> SmplBody:
    """The mean body, scaled by GMR's rule of stature: 1.66 m + 0.1 m betas[0], within 1.2 and 2.2 m.

    Args:
        family: tells where the model has its origin.
        betas: (B,) shape; None or nothing for the mean stature.
    """
    stature = _STATURE
    if betas is not None and len(betas):
        stature = float(np.clip(_STATURE + _STATURE_PER_BETA * betas[0], *_STATURES))
    offsets = np.zeros((len(HUMAN_JOINTS), 3))
    for index, name in enumerate(HUMAN_JOINTS[1:], start=1):
        side, _, joint = name.partition("_")
        mirror = np.array((-1 if side == "right" else 1, 1, 1))
        offsets[index] = _MEAN_TRUNK[name] if name in _MEAN_TRUNK else _MEAN_LEFT[joint] * mirror
    scale = stature / _STATURE
    source = f"a mean body's proportions at {stature:.2f} m (name the model's file with --smpl-model for exact ones)"
    return SmplBody(scale * np.array(_MEAN_PELVIS[family]), scale * offsets, source)
