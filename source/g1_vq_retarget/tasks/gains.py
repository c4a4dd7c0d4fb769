"""Gains of joints from what their motors are: BeyondMimic's formulation (Liao et al. 2025, arXiv:2508.08241)."""

from __future__ import annotations

import math
from typing import NamedTuple

from g1_vq_retarget.robot import Motor

# Of a joint that carries nothing but its motor's reflected inertia, Hz; and overdamped, so that it meets loads softly.
NATURAL_FREQUENCY = 10.0
DAMPING_RATIO = 2.0
# Share of the largest torque that an action of 1 asks for, from the default pose.
_TORQUE_SHARE = 0.25


class Gains(NamedTuple):
    """Of a joint: stiffness, Nm/rad; damping, Nm s/rad; action_scale, rad that an action of 1 moves the target."""

    stiffness: float
    damping: float
    action_scale: float


def gains_of(motor: Motor) -> Gains:
    """Stiffness I w² and damping 2 d I w, I the armature, w the natural frequency and d the damping ratio."""
    rate = 2 * math.pi * NATURAL_FREQUENCY
    stiffness = motor.armature * rate**2
    return Gains(stiffness, 2 * DAMPING_RATIO * motor.armature * rate, _TORQUE_SHARE * motor.effort / stiffness)
