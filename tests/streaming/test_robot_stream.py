from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import MotionError
from g1_vq_retarget.retarget.frame_clock import ClockConfig, FrameClock
from g1_vq_retarget.retarget.live import HumanFrame, RobotFrame
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.streaming.robot_stream import FASTEST, Mode, RobotStream, SafetyConfig, Standing
from streams import FPS, STEP, FakeLive, human_frame

ROBOT = load_robot()
QUICK = SafetyConfig(stand=0.2, blend=0.4, give_up=0.6, stand_down=0.4)
SPEED = 0.5  # m/s


def robot_stream(live: FakeLive, config: SafetyConfig = QUICK) -> RobotStream:
    return RobotStream(live, ROBOT, Standing.of(ROBOT), FrameClock(FPS, ClockConfig(delay=0)), config)


def walking(now: float) -> HumanFrame:
    return human_frame(5 + SPEED * now)


def shown(
    stream: RobotStream, ticks: range, there: Callable[[int], bool] = lambda tick: True
) -> tuple[list[RobotFrame], list[Mode]]:
    """What a stream shows, and does, while a human walks; at some ticks frames are there."""
    frames, modes = [], []
    for tick in ticks:
        if there(tick):
            stream.clock.add(walking(tick * STEP), tick * STEP, tick * STEP)
        frames.append(stream.step(tick * STEP))
        modes.append(stream.mode)
    return frames, modes


def x_of(frames: list[RobotFrame]) -> np.ndarray:
    return np.array([frame.root_pos_w[0] for frame in frames])


def joints_of(frames: list[RobotFrame]) -> np.ndarray:
    return np.array([frame.joint_pos for frame in frames])


def assert_default(frame: RobotFrame) -> None:
    np.testing.assert_allclose(frame.joint_pos, ROBOT.default_joint_pos)
    assert frame.root_pos_w[2] == ROBOT.default_root_height


def test_without_a_human_the_robot_stands_in_its_default_pose() -> None:
    live = FakeLive()
    frames, modes = shown(robot_stream(live), range(100), lambda tick: False)
    for frame in frames:
        assert_default(frame)
        np.testing.assert_array_equal(frame.root_quat_w, [1, 0, 0, 0])
    assert set(modes) == {Mode.STANDING}
    assert live.pushes == 0


def test_it_stands_first_and_is_then_led_into_the_motion() -> None:
    live = FakeLive()
    frames, modes = shown(robot_stream(live), range(100))
    assert modes == [Mode.STANDING] * 10 + [Mode.FOLLOWING] * 90
    for frame in frames[:10]:
        assert_default(frame)
    # wherever the human is, the robot sets out from where it stands
    x = x_of(frames)
    assert x[:10].max() == 0
    np.testing.assert_allclose(np.diff(x)[30:], SPEED * STEP)
    np.testing.assert_allclose(x[30:], SPEED * (np.arange(30, 100) - 10) * STEP)
    # half-way of the 20 ticks of leading it is half-way in the joints, and then wholly in the motion
    bent = ROBOT.default_joint_pos + 0.1 * (5 + SPEED * np.arange(100)[:, None] * STEP)
    expected = np.clip(bent, *ROBOT.limits.T)
    np.testing.assert_allclose(joints_of(frames)[19], (ROBOT.default_joint_pos + expected[19]) / 2)
    np.testing.assert_allclose(joints_of(frames)[30:], expected[30:])
    assert live.resets == 1
    assert live.pushes == 90


def test_nothing_jumps_from_beginning_to_end() -> None:
    """Standing, walking, lost, standing again, walking again, the end: each joint's and the root's steps stay small."""
    stream = robot_stream(FakeLive(bend=0.2))
    frames, modes = shown(stream, range(400), lambda tick: tick < 60 or 200 <= tick < 320)
    stream.finish()
    more, _ = shown(stream, range(400, 440))
    frames += more
    assert {Mode.STANDING, Mode.FOLLOWING, Mode.HOLDING} <= set(modes)
    joints, x = joints_of(frames), x_of(frames)
    # at most 1.7 rad to be led through, in 20 ticks, at a smoothstep's 1.5 times the mean speed
    assert np.abs(np.diff(joints, axis=0)).max() < 1.5 * 1.7 / 20
    assert np.abs(np.diff(x)).max() < 2 * SPEED * STEP
    assert np.abs(np.diff(x, n=2)).max() < SPEED * STEP
    assert_default(frames[-1])


def test_a_lost_stream_is_held_then_stood_down_from_and_come_back_to() -> None:
    live = FakeLive()
    stream = robot_stream(live)
    frames, modes = shown(stream, range(400), lambda tick: tick < 60 or tick >= 200)
    # the last frame is that of tick 59; lost half a second later, given up 0.6 s after that
    holding = [tick for tick, mode in enumerate(modes) if mode is Mode.HOLDING]
    assert (holding[0], holding[-1]) == (85, 114)
    for tick in holding:
        np.testing.assert_array_equal(frames[tick].joint_pos, frames[84].joint_pos)
    assert modes[115:200] == [Mode.STANDING] * 85
    assert_default(frames[115 + 20])
    assert x_of(frames)[135] == x_of(frames)[84]
    assert modes[200:] == [Mode.FOLLOWING] * 200
    assert live.resets == 2
    # it goes on from where it stands
    np.testing.assert_allclose(x_of(frames)[250:], x_of(frames)[84] + SPEED * (np.arange(250, 400) - 200) * STEP)


def test_a_stream_that_returns_before_it_is_given_up_goes_on_from_the_held_pose() -> None:
    stream = robot_stream(FakeLive())
    _, modes = shown(stream, range(200), lambda tick: tick < 60 or tick >= 100)
    assert [tick for tick, mode in enumerate(modes) if mode is Mode.HOLDING] == list(range(85, 100))
    assert modes[100:] == [Mode.FOLLOWING] * 100


def test_the_look_ahead_is_stood_through_and_told_as_delay() -> None:
    live = FakeLive(lookahead=3)
    stream = robot_stream(live)
    frames, _ = shown(stream, range(13))
    for frame in frames:
        assert_default(frame)
    assert stream.delay is None
    shown(stream, range(13, 60))
    assert stream.delay == pytest.approx(3 * STEP)
    assert live.pushes == 50


def test_the_end_is_the_default_pose_where_the_robot_is() -> None:
    stream = robot_stream(FakeLive())
    shown(stream, range(60))
    stream.finish()
    assert not stream.at_rest
    frames, _ = shown(stream, range(60, 81))
    assert stream.at_rest
    assert_default(frames[-1])
    assert frames[-1].root_pos_w[0] == pytest.approx(x_of(frames)[0], abs=0.01)
    (again,), _ = shown(stream, range(81, 82))  # frames come still, and are of no consequence
    assert_default(again)


def test_a_robot_that_is_told_to_be_elsewhere_goes_on_from_its_place_and_heading() -> None:
    class Elsewhere(FakeLive):
        """At (3, 4), facing left, and leaning forward."""

        def push(self, frame: HumanFrame) -> RobotFrame | None:
            robot = super().push(frame)
            assert robot is not None
            left = Rotation.from_euler("ZY", [np.pi / 2, 0.3])
            step = robot.root_pos_w[0] - 5
            return RobotFrame(np.array([3, 4 + step, 0.7]), left.as_quat(scalar_first=True), robot.joint_pos)

    frames, _ = shown(robot_stream(Elsewhere()), range(100))
    # it walks the way it faces: forward, from the origin; its height and lean are those it was told
    np.testing.assert_allclose(x_of(frames)[30:], SPEED * (np.arange(30, 100) - 10) * STEP, atol=1e-12)
    np.testing.assert_allclose([frame.root_pos_w[1] for frame in frames], 0, atol=1e-12)
    lean = Rotation.from_quat(frames[-1].root_quat_w, scalar_first=True).as_euler("ZYX")
    np.testing.assert_allclose(lean, [0, 0.3, 0], atol=1e-12)
    assert frames[-1].root_pos_w[2] == 0.7


def test_limits_are_kept_and_told() -> None:
    class Wild(FakeLive):
        def push(self, frame: HumanFrame) -> RobotFrame | None:
            robot = super().push(frame)
            assert robot is not None
            return robot._replace(joint_pos=robot.joint_pos + (50 if self.pushes % 2 else -50))

    stream = robot_stream(Wild())
    frames, _ = shown(stream, range(100))
    joints = joints_of(frames)
    assert (joints >= ROBOT.limits[:, 0]).all()
    assert (joints <= ROBOT.limits[:, 1]).all()
    speed = np.array([joint.motor.velocity for joint in ROBOT.joints])
    assert (np.abs(np.diff(joints, axis=0)) <= speed * STEP + 1e-12).all()
    assert stream.limits.beyond > 50
    assert stream.limits.too_fast > 50
    assert stream.limits.largest_beyond > 40


def test_no_time_to_be_led_is_no_leading() -> None:
    stream = robot_stream(FakeLive(), SafetyConfig(stand=0, blend=0, stand_down=0))
    frames, modes = shown(stream, range(3))
    assert modes == [Mode.FOLLOWING] * 3
    stream.finish()
    for _ in range(10):
        stream.step(1.0)
    assert stream.at_rest
    assert frames


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match=r"safety\.blend"):
        SafetyConfig(blend=-1)
    with pytest.raises(UserError, match="share"):
        robot_stream(FakeLive(), SafetyConfig(speed=2))


class Lost(FakeLive):
    """A retargeter that for some pushes raises, or tells what is no number."""

    def __init__(self, at: range, error: bool) -> None:
        super().__init__()
        self.at, self.error = at, error

    def push(self, frame: HumanFrame) -> RobotFrame | None:
        robot = super().push(frame)
        if self.pushes not in self.at:
            return robot
        if self.error:
            raise MotionError("no finite number")
        assert robot is not None
        return robot._replace(root_pos_w=np.full(3, np.nan))


@pytest.mark.parametrize("error", [True, False])
def test_a_retargeter_that_is_lost_is_reset_while_the_robot_holds_its_pose(error: bool) -> None:
    live = Lost(range(60, 65), error)
    stream = robot_stream(live)
    frames, modes = shown(stream, range(200))
    assert all(np.isfinite(part).all() for frame in frames for part in frame)
    assert stream.limits.refused == 5
    assert live.resets == 6
    assert modes[-1] is Mode.FOLLOWING
    assert np.abs(np.diff(x_of(frames))).max() < 2.5 * SPEED * STEP
    assert x_of(frames)[-1] - x_of(frames)[100] == pytest.approx(SPEED * 99 * STEP, rel=0.05)


def test_a_human_who_leaps_begins_anew_and_the_robot_does_not_leap() -> None:
    live = FakeLive()
    stream = robot_stream(live)
    frames = []
    for tick in range(200):
        x = 5 + SPEED * tick * STEP + (30 if tick >= 100 else 0)
        stream.clock.add(human_frame(x), tick * STEP, tick * STEP)
        frames.append(stream.step(tick * STEP))
    assert (live.resets, stream.limits.refused) == (2, 1)
    assert np.abs(np.diff(x_of(frames))).max() < 2.5 * SPEED * STEP


def test_a_root_is_no_faster_than_anyone() -> None:
    live = FakeLive()
    stream = robot_stream(live, SafetyConfig(stand=0, blend=0, stand_down=0))
    shown(stream, range(10))
    push = live.push
    live.push = lambda frame: push(frame)._replace(root_pos_w=np.array([50.0, 0, 0.75]))  # type: ignore[method-assign,union-attr]
    frames, _ = shown(stream, range(10, 20))
    assert np.abs(np.diff(x_of(frames))).max() <= FASTEST / FPS + 1e-9
    assert stream.limits.root_too_fast == 10
