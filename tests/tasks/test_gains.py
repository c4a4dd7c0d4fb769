from __future__ import annotations

import math

import pytest

from g1_vq_retarget.robot import Motor, load_robot
from g1_vq_retarget.tasks.gains import gains_of


def test_gains_are_those_of_an_oscillator_of_ten_hertz() -> None:
    gains = gains_of(Motor(effort=100.0, velocity=20.0, armature=0.02))
    assert math.sqrt(gains.stiffness / 0.02) == pytest.approx(2 * math.pi * 10)
    assert gains.damping == pytest.approx(2 * 2.0 * math.sqrt(gains.stiffness * 0.02))  # twice the critical
    # an action of 1 asks for a quarter of the torque
    assert gains.stiffness * gains.action_scale == pytest.approx(25.0)


def test_of_the_g1_they_are_beyondmimics() -> None:
    """Figures of whole_body_tracking's g1.py, as deployments print them."""
    gains = {joint.name: gains_of(joint.motor) for joint in load_robot().joints}
    for name, stiffness, damping in (
        ("left_hip_pitch_joint", 40.179, 2.558),
        ("right_knee_joint", 99.098, 6.309),
        ("left_ankle_roll_joint", 28.501, 1.814),
        ("waist_yaw_joint", 40.179, 2.558),
        ("right_elbow_joint", 14.251, 0.907),
        ("left_wrist_yaw_joint", 16.778, 1.068),
    ):
        assert gains[name].stiffness == pytest.approx(stiffness, abs=1e-3)
        assert gains[name].damping == pytest.approx(damping, abs=1e-3)
