from __future__ import annotations

import numpy as np
import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.retarget.limits import JointLimiter
from g1_vq_retarget.robot import load_robot

ROBOT = load_robot()
FPS = 50.0
KNEE = ROBOT.joint_names.index("left_knee_joint")  # -0.087 to 2.880 rad, a motor of 20 rad/s
START = ROBOT.default_joint_pos


def limiter(**options: float) -> JointLimiter:
    return JointLimiter(ROBOT, ROBOT.joint_names, FPS, START, **options)


def with_knee(angle: float) -> np.ndarray:
    joints = START.copy()
    joints[KNEE] = angle
    return joints


def test_what_is_within_limits_comes_out_as_it_is() -> None:
    limit = limiter()
    for angle in START[KNEE] + np.linspace(0, 2, 20):
        np.testing.assert_array_equal(limit(with_knee(angle)), with_knee(angle))
    counts = limit.counts
    assert (counts.frames, counts.beyond, counts.too_fast, counts.invalid) == (20, 0, 0, 0)


def test_a_knee_is_held_at_its_limit_and_the_excess_told() -> None:
    limit, upper = limiter(), ROBOT.limits[KNEE, 1]
    for angle in np.linspace(START[KNEE], upper + 0.25, 50):
        out = limit(with_knee(angle))
        assert out[KNEE] == min(angle, upper)
    assert limit.counts.largest_beyond == pytest.approx(0.25)
    assert 0 < limit.counts.beyond < 50
    assert limit.counts.too_fast == 0


def test_a_leap_takes_as_long_as_the_motor_needs() -> None:
    """20 rad/s are 0.4 rad a frame: 1 rad takes three frames. The excess is that of the whole way within a frame."""
    limit = limiter()
    way = [limit(with_knee(START[KNEE] + 1.0))[KNEE] - START[KNEE] for _ in range(4)]
    np.testing.assert_allclose(way, [0.4, 0.8, 1.0, 1.0])
    assert limit.counts.too_fast == 2
    assert limit.counts.largest_too_fast == pytest.approx(50 - 20)


def test_a_share_of_the_speed_is_a_share_of_the_way() -> None:
    assert limiter(speed=0.5)(with_knee(START[KNEE] + 1.0))[KNEE] - START[KNEE] == pytest.approx(0.2)


def test_a_leap_beyond_a_limit_is_both() -> None:
    limit = limiter()
    out = [limit(with_knee(9.0)) for _ in range(20)][-1]
    assert out[KNEE] == ROBOT.limits[KNEE, 1]
    assert limit.counts.beyond == 20
    assert limit.counts.largest_beyond == pytest.approx(9 - ROBOT.limits[KNEE, 1])


def test_anything_comes_out_within_both_limits() -> None:
    rng, limit, last = np.random.default_rng(0), limiter(), START
    speed = np.array([joint.motor.velocity for joint in ROBOT.joints])
    for _ in range(200):
        out = limit(rng.normal(0, 3, len(START)))
        assert (out >= ROBOT.limits[:, 0]).all()
        assert (out <= ROBOT.limits[:, 1]).all()
        assert (np.abs(out - last) <= speed / FPS + 1e-12).all()
        last = out


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_the_frame_before(value: float) -> None:
    limit = limiter()
    before = limit(with_knee(1.0))
    np.testing.assert_array_equal(limit(with_knee(value)), before)
    assert limit.counts.invalid == 1
    np.testing.assert_array_equal(limit(with_knee(1.1)), with_knee(1.1))


def test_joints_are_found_by_name() -> None:
    names = ROBOT.joint_names[::-1]
    limit = JointLimiter(ROBOT, names, FPS, START[::-1])
    assert limit(with_knee(9.0)[::-1])[::-1][KNEE] == pytest.approx(START[KNEE] + 0.4)


@pytest.mark.parametrize("speed", [0.0, -1.0, 1.5, float("nan")])
def test_no_share_of_a_speed_is_refused(speed: float) -> None:
    with pytest.raises(UserError, match="share"):
        limiter(speed=speed)
