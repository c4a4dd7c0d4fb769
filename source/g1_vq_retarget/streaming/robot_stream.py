"""One robot frame every tick, whatever becomes of the human's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import MotionError
from g1_vq_retarget.motion.root import heading
from g1_vq_retarget.motion.skeleton import BODY_AXES, HUMAN_JOINTS
from g1_vq_retarget.retarget.frame_clock import FrameClock, Tick
from g1_vq_retarget.retarget.limits import JointLimiter
from g1_vq_retarget.retarget.live import HumanFrame, RobotFrame
from g1_vq_retarget.robot import RobotModel

# No human and no robot's root is faster, m/s: a mocap system has found its actor elsewhere, or a model is lost.
FASTEST = 12.0


class Live(Protocol):
    """What a `LiveRetargeter` does."""

    fps: float
    joint_names: tuple[str, ...]
    lookahead: int

    def reset(self) -> None: ...
    def push(self, frame: HumanFrame) -> RobotFrame | None: ...


@dataclass(frozen=True)
class SafetyConfig:
    """How the robot comes into motion, and out of it."""

    stand: float = 2.0
    """How long the default pose is shown before anything else, s."""
    blend: float = 1.0
    """How long the robot takes from the pose it holds into motion, s, when a stream begins and after each loss."""
    give_up: float = 3.0
    """How long the robot holds its pose when the stream is lost, s, before it goes to the default pose."""
    stand_down: float = 2.0
    """How long the way to the default pose takes, s, then and at the end. TWIST takes 2 s."""
    speed: float = 1.0
    """The share of the motors' speeds that joints may use."""

    def __post_init__(self) -> None:
        for name in ("stand", "blend", "give_up", "stand_down"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise UserError(f"safety.{name} must be a number of seconds, 0 or more; it is {value:g}")


class Standing(NamedTuple):
    """A pose to stand in: height of the root, m, and joint angles by name, rad."""

    height: float
    joints: dict[str, float]

    @classmethod
    def of(cls, robot: RobotModel) -> Standing:
        """The robot's default pose."""
        return cls(robot.default_root_height, dict(zip(robot.joint_names, robot.default_joint_pos, strict=True)))


class Mode(Enum):
    """What the robot does: stands or is on its way to it, follows a human, holds its pose."""

    STANDING = "standing"
    FOLLOWING = "following"
    HOLDING = "holding"


class RobotStream:
    """A retargeter's frames made safe to send: exactly one a tick, without a jump, within limits.

    The robot stands in the default pose for a while. When human frames are there, the retargeter is reset and the robot
    led from its pose into the motion. When the stream is lost it holds its pose, and goes to the default pose when none
    comes again; a new stream leads it into motion from wherever it is. `finish` takes it to the default pose for good.

    Wherever the retargeter believes the robot to be, here it goes on from its place on the floor and its heading.

    Args:
        retargeter: human frames in, robot frames out.
        robot: the link table, for limits.
        standing: the default pose.
        clock: human frames onto ticks, at the retargeter's rate.
        config: times.

    Attributes:
        mode: what the robot does now.
        finishing: the end has begun.
        delay: by how long the human pose that the robot shows is older than what arrives now, s; None while it follows
            nobody.
    """

    def __init__(
        self,
        retargeter: Live,
        robot: RobotModel,
        standing: Standing,
        clock: FrameClock,
        config: SafetyConfig | None = None,
    ) -> None:
        self.clock = clock
        self.config = config or SafetyConfig()
        self.mode = Mode.STANDING
        self.delay: float | None = None
        self._retargeter = retargeter
        self._standing = standing
        joints = np.array([standing.joints[name] for name in retargeter.joint_names])
        self._limiter = JointLimiter(robot, retargeter.joint_names, retargeter.fps, joints, self.config.speed)
        self.limits = self._limiter.counts
        self._out = RobotFrame(np.array([0.0, 0.0, standing.height]), np.array([1.0, 0, 0, 0]), joints)
        self.finishing = False
        self._stood = self._held = 0  # ticks
        self._pushed: HumanFrame | None = None
        self._place: _Place | None = None
        self._lead(self._out, 0.0)

    @property
    def at_rest(self) -> bool:
        """The robot stands in the default pose, and nothing leads it elsewhere."""
        still = np.array_equal(self._out.joint_pos, self._target.joint_pos)
        return self.mode is Mode.STANDING and self._share >= 1 and still

    def finish(self) -> None:
        """From now on to the default pose, where the robot remains."""
        if not self.finishing:
            self.finishing = True
            self._stand_down()

    def step(self, now: float) -> RobotFrame:
        """The robot's frame of the tick at `now` (s)."""
        self.delay = None
        self._stood += 1
        if not self.finishing:
            self._heed(self.clock.tick(now))
        self._share = min(self._share + self._pace, 1.0)
        led = _between(self._from, self._target, _smooth(self._share))
        self._out = self._root_held(led)._replace(joint_pos=self._limiter(led.joint_pos))
        return self._out

    def _root_held(self, led: RobotFrame) -> RobotFrame:
        """The frame, its root no further from where it was than `FASTEST` allows."""
        way, most = led.root_pos_w - self._out.root_pos_w, FASTEST / self.clock.fps
        if (length := float(np.linalg.norm(way))) <= most:
            return led
        self.limits.root_too_fast += 1
        return led._replace(root_pos_w=self._out.root_pos_w + way * most / length)

    def _heed(self, tick: Tick) -> None:
        """Take what the human's clock shows as the target, or the lack of it as a reason to hold or stand."""
        if tick.frame is None:
            if self.mode is Mode.FOLLOWING:
                self._hold()
            elif self.mode is Mode.HOLDING:
                self._held += 1
                if self._held >= self.config.give_up * self.clock.fps:
                    self._stand_down()
            return
        if self._leaps(tick.frame):
            self.limits.refused += 1
            self._hold()
        if self.mode is not Mode.FOLLOWING or tick.first:
            if self._stood <= self.config.stand * self.clock.fps:
                return
            self._hold()
            self.mode = Mode.FOLLOWING
            self._retargeter.reset()
        frame = self._pushed_through(tick.frame)
        if frame is None:  # the look-ahead: the pose is still held
            return
        if self._place is None:
            self._place = _Place.between(frame, self._out)
            self._lead(self._out, self.config.blend)
        self._target = self._place.moved(frame)
        self.delay = tick.delay + self._retargeter.lookahead / self.clock.fps

    def _leaps(self, frame: HumanFrame) -> bool:
        """Whether the human is further from where he was than anyone gets in a tick."""
        before, self._pushed = self._pushed, frame
        if before is None or self.mode is not Mode.FOLLOWING:
            return False
        return bool(np.linalg.norm(frame.root_pos_w - before.root_pos_w) * self.clock.fps > FASTEST)

    def _pushed_through(self, human: HumanFrame) -> RobotFrame | None:
        """What the retargeter makes of a frame; if it is nothing that a robot can be, the robot holds its pose."""
        try:
            frame = self._retargeter.push(human)
        except MotionError:
            frame = None
        else:
            if frame is None or all(np.isfinite(part).all() for part in frame):
                return frame
        self.limits.refused += 1
        self._hold()
        return None

    def _hold(self) -> None:
        self.mode, self._held, self._place = Mode.HOLDING, 0, None
        self._lead(self._out, 0.0)

    def _stand_down(self) -> None:
        """To the default pose, upright, where the robot is and heading as it does."""
        self.mode, self._place = Mode.STANDING, None
        x, y, _ = self._out.root_pos_w
        joints = np.array([self._standing.joints[name] for name in self._retargeter.joint_names])
        upright = _upright(_yaw(self._out)).as_quat(scalar_first=True)
        self._lead(RobotFrame(np.array([x, y, self._standing.height]), upright, joints), self.config.stand_down)

    def _lead(self, target: RobotFrame, seconds: float) -> None:
        """Go from the pose of now to a target, which may move, within some seconds."""
        ticks = seconds * self.clock.fps
        self._from, self._target = self._out, target
        self._share, self._pace = (0.0, 1 / ticks) if ticks >= 1 else (1.0, 0.0)


def warm_up(live: Live, frames: int = 50) -> None:
    """Let a retargeter run for a while before it counts: its first steps are the slowest."""
    upright = BODY_AXES.inv().as_quat(scalar_first=True)
    standing = HumanFrame(np.array([0.0, 0.0, 0.9]), upright, np.tile([1.0, 0, 0, 0], (len(HUMAN_JOINTS) - 1, 1)))
    for _ in range(frames):
        live.push(standing)
    live.reset()


class _Place(NamedTuple):
    """A move along the floor: the way (2,), m, after a turn about z."""

    way: np.ndarray
    turn: Rotation

    @classmethod
    def between(cls, start: RobotFrame, end: RobotFrame) -> _Place:
        """What takes one frame's place and heading to another's."""
        turn = _upright(_yaw(end) - _yaw(start))
        return cls(end.root_pos_w[:2] - turn.apply(start.root_pos_w)[:2], turn)

    def moved(self, frame: RobotFrame) -> RobotFrame:
        pos = self.turn.apply(frame.root_pos_w) + (*self.way, 0.0)
        return frame._replace(root_pos_w=pos, root_quat_w=(self.turn * _root(frame)).as_quat(scalar_first=True))


def _root(frame: RobotFrame) -> Rotation:
    return Rotation.from_quat(frame.root_quat_w, scalar_first=True)


def _yaw(frame: RobotFrame) -> float:
    return float(heading(Rotation.concatenate([_root(frame)]))[0])


def _upright(yaw: float) -> Rotation:
    return Rotation.from_rotvec([0.0, 0.0, yaw])


def _smooth(share: float) -> float:
    """0 to 1 without a jump of the speed at either end."""
    return share * share * (3 - 2 * share)


def _between(start: RobotFrame, end: RobotFrame, share: float) -> RobotFrame:
    """The pose a share of the way from one to another."""
    if share >= 1:
        return end
    turn = (_root(start).inv() * _root(end)).as_rotvec()
    return RobotFrame(
        start.root_pos_w + share * (end.root_pos_w - start.root_pos_w),
        (_root(start) * Rotation.from_rotvec(share * turn)).as_quat(scalar_first=True),
        start.joint_pos + share * (end.joint_pos - start.joint_pos),
    )
