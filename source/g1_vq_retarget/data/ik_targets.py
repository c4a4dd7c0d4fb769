"""Where the robot's links should be for a human's motion: what inverse kinematics then comes near to.

Lengths are scaled segment by segment, and feet that stand are anchored to the floor, so that they do not slide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import binary_closing, binary_opening, gaussian_filter1d, maximum_filter1d
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion import HumanClip, MotionError
from g1_vq_retarget.motion.skeleton import BODY_AXES, HUMAN_JOINTS
from g1_vq_retarget.motion.time import runs, velocity
from g1_vq_retarget.robot import Joint, RobotModel, forward_kinematics, index_by_name

# A foot stands while its ball is lower than this above its usual place and slower than this, in leg lengths and leg
# lengths a second, and its sole faces down rather than back, as a kneeling body's does (cosine); shorter stances, and
# shorter gaps in them, are not believed, s.
STANCE_HEIGHT, STANCE_SPEED, STANCE_UPRIGHT, STANCE_TIME = 0.04, 0.45, 0.3, 0.1
# The floor is where balls of feet are that hardly move (leg lengths a second), the sole flat (cosine), if there are
# such feet in this share of the frames.
STILL_SPEED, FLAT_UPRIGHT, FLOOR_SHARE = 0.12, 0.9, 0.02
# A foot goes over from its anchor to its own path, and back, within so many seconds.
BLEND_TIME = 0.25
# A foot that goes faster than this, m/s, is lifted so far from the floor, m: at twice the speed all the way. A human's
# foot swings past the floor at a few centimetres, and shrunk with the legs it would graze it.
SWING_SPEED, SWING_HEIGHT, SWING_TIME = 0.25, 0.015, 0.05
# A standing foot is flat until its heel is raised by this angle, rad: less is the noise of a capture.
FLAT_PITCH = 0.1
# A leg is taken to be stretched at this share of its length: near to straight, a knee turns fast for little.
STRETCHED = 0.985
# The pelvis is lowered before a leg would be too short, and let up after, within so many seconds.
LOWERING_TIME = 0.2
# A bone shorter than this points nowhere, m.
SHORTEST_BONE = 1e-3
# A hand beside the hips keeps so far out of the leg's plane, m: half a thigh and half a hand.
HIP_ROOM = 0.10

# What a metre or a radian off the target costs. Feet come first: what is out of reach is taken from the body.
TOE_COST, FOOT_TURN_COST = 100.0, 2.0
PELVIS_COST, PELVIS_TURN_COST, TORSO_TURN_COST = 10.0, 5.0, 5.0
KNEE_COST, ELBOW_COST, HAND_COST, HAND_TURN_COST = 2.0, 4.0, 4.0, 2.0


def _sides(joint: str) -> list[int]:
    return index_by_name(HUMAN_JOINTS, [f"left_{joint}", f"right_{joint}"])


_HIPS, _KNEES, _ANKLES, _BALLS = (_sides(joint) for joint in ("hip", "knee", "ankle", "foot"))
_SHOULDERS, _ELBOWS, _WRISTS = (_sides(joint) for joint in ("shoulder", "elbow", "wrist"))
_WAIST, _CHEST = (HUMAN_JOINTS.index(joint) for joint in ("spine1", "spine3"))
_SPINE = index_by_name(HUMAN_JOINTS, ["spine2", "spine3", "neck"])


@dataclass(frozen=True)
class Posture:
    """How the robot carries itself against the human: constant turns forwards, rad.

    Skeletons differ in what they call upright. LAFAN1's rest pose has a spine straight as a rod, so that a human who
    stands at ease leans back with the pelvis and forward above it; a robot that does the same is no mistake, but not
    what others retarget to.
    """

    pelvis_lean: float = 0.0
    torso_lean: float = 0.0


AS_HUMAN = Posture()


class Pose(NamedTuple):
    """A frame in the world at T times: `pos` (T, 3), m, and T rotations."""

    pos: np.ndarray
    rotation: Rotation

    def at(self, offset: np.ndarray) -> np.ndarray:
        """(T, 3) where a point (3,) or (T, 3) of the frame is."""
        return self.pos + self.rotation.apply(offset)


class Place(NamedTuple):
    """Where a frame of the robot, a "body" or a "site", should be, `pos` (T, 3) m, and what a metre off it costs."""

    frame: str
    kind: str
    pos: np.ndarray
    cost: float


class Turn(NamedTuple):
    """How a frame of the robot should be turned, T rotations, and what a radian off it costs."""

    frame: str
    kind: str
    rotation: Rotation
    cost: float


class Sole(NamedTuple):
    """A foot link's lower side, in its frame, m: the capsules' ends (E, 3), their radius, the middle of the front."""

    ends: np.ndarray
    radius: float
    toe: np.ndarray

    @classmethod
    def of(cls, robot: RobotModel, foot: str) -> Sole:
        capsules = robot.links[robot.link_indices([foot])[0]].capsules
        ends = np.array([end for capsule in capsules for end in (capsule.start, capsule.end)])
        return cls(ends, capsules[0].radius, np.array([ends[:, 0].max(), ends[:, 1].mean(), ends[:, 2].mean()]))


def toe_site(foot: str) -> str:
    """Name of the frame at the front of a foot's sole."""
    return f"{foot}_toe"


def stances(human: HumanClip) -> np.ndarray:
    """(T, 2) whether the left and the right foot stand on the floor: the ball is low and still, the sole below."""
    ball = human.joint_pos_w[:, _BALLS] / human.leg_length
    low = ball[..., 2] - _floor(human) / human.leg_length < STANCE_HEIGHT
    still = np.linalg.norm(velocity(ball, human.fps), axis=-1) < STANCE_SPEED
    upright = human.joint_rot_w[:, _ANKLES, 2, 1] > STANCE_UPRIGHT
    believed = np.ones((max(round(STANCE_TIME * human.fps), 1), 1), dtype=bool)
    # the border is held as it is, so that a stance the clip begins in counts from the first frame
    padded = np.pad(low & still & upright, ((len(believed), len(believed)), (0, 0)), mode="edge")
    return binary_opening(binary_closing(padded, believed), believed)[len(believed) : -len(believed)]


def require_limbs(human: HumanClip) -> None:
    """Refuse, by a MotionError, a body of which a bone that targets are made from has no length."""
    for joint in (*_KNEES, *_ANKLES, *_BALLS, *_ELBOWS, *_WRISTS, _SPINE[-1]):
        if np.linalg.norm(human.rest_offsets[joint]) < SHORTEST_BONE:
            raise MotionError(f"the bone to {HUMAN_JOINTS[joint]} has no length: correct the skeleton")


def ik_targets(human: HumanClip, robot: RobotModel, posture: Posture = AS_HUMAN) -> list[Place | Turn]:
    """The root's place and turn first, then those of the other links."""
    rest = rest_positions(robot)
    standing = stances(human)
    pelvis = _pelvis(human, robot, posture)
    toes = [_toe(human, robot, side, pelvis, standing[:, side]) for side in range(2)]
    pelvis = _within_reach(pelvis, toes, robot, human.fps)
    trunk = _trunk_rotation(human) * Rotation.from_euler("y", posture.torso_lean)
    turned = pelvis.rotation * _within_waist(pelvis.rotation.inv() * trunk, robot)
    torso = Pose(pelvis.at(rest[robot.anchor]), turned)
    targets: list[Place | Turn] = [
        Place(robot.link_names[0], "body", pelvis.pos, PELVIS_COST),
        Turn(robot.link_names[0], "body", pelvis.rotation, PELVIS_TURN_COST),
        Turn(robot.anchor, "body", torso.rotation, TORSO_TURN_COST),
    ]
    for side in range(2):
        targets += _leg(human, robot, side, pelvis, toes[side])
        targets += _arm(human, robot, side, pelvis, torso)
    return targets


def rest_positions(robot: RobotModel) -> dict[str, np.ndarray]:
    """(3,) of each link in the root's frame, all joints at zero, m."""
    pos = forward_kinematics(robot, torch.zeros(len(robot.joints), dtype=torch.float64)).pos.numpy()
    return dict(zip(robot.link_names, pos, strict=True))


def _floor(human: HumanClip) -> float:
    """Height of the balls of the standing feet, m: of those that stand lowest, others may stand on boxes.

    Where no foot stands, as in a clip of crawling, that of the lowest ball.
    """
    ball = human.joint_pos_w[:, _BALLS]
    slow = np.linalg.norm(velocity(ball, human.fps), axis=-1) < STILL_SPEED * human.leg_length
    heights = ball[..., 2][slow & (human.joint_rot_w[:, _ANKLES, 2, 1] > FLAT_UPRIGHT)]
    if len(heights) < FLOOR_SHARE * len(human):
        return float(np.percentile(ball[..., 2].min(axis=1), 5))
    lowest = np.percentile(heights, 5)
    return float(np.median(heights[heights < lowest + STANCE_HEIGHT * human.leg_length]))


def _pelvis(human: HumanClip, robot: RobotModel, posture: Posture) -> Pose:
    # hips, and not pelves, are brought together: how far apart the two are is a matter of where a model puts its root
    rest, sole = rest_positions(robot), Sole.of(robot, robot.feet[0])
    human_ankle_height = _floor(human) - human.rest_offsets[_BALLS, 1].mean()
    human_hips = human.joint_pos_w[:, _HIPS].mean(axis=1) - (0, 0, human_ankle_height)
    hips = robot.leg_length / human.leg_length * human_hips + (0, 0, sole.radius - sole.toe[2])
    rotation = human.body_rotation * Rotation.from_euler("y", posture.pelvis_lean)
    return Pose(hips - rotation.apply(np.mean([rest[leg[0]] for leg in robot.legs], axis=0)), rotation)


def _within_reach(pelvis: Pose, toes: list[Pose], robot: RobotModel, fps: float) -> Pose:
    """The pelvis as much lower as the legs are too short for the feet, and smoothly so."""
    rest = rest_positions(robot)
    lower = np.zeros(len(pelvis.pos))
    for (hip_link, knee_link, foot_link), toe in zip(robot.legs, toes, strict=True):
        hip, knee, foot = (rest[link] for link in (hip_link, knee_link, foot_link))
        hip = np.array([hip[0], knee[1], hip[2]])
        way = toe.at(-Sole.of(robot, foot_link).toe) - pelvis.at(hip)
        reach = STRETCHED * np.linalg.norm(foot - hip)
        aside = np.linalg.norm(way[:, :2], axis=1)
        lower = np.maximum(lower, -way[:, 2] - np.sqrt((reach**2 - aside**2).clip(0)))
    width = LOWERING_TIME * fps
    lower = gaussian_filter1d(maximum_filter1d(lower, 2 * round(width) + 1), width / 2)
    return Pose(pelvis.pos - np.outer(lower, (0, 0, 1)), pelvis.rotation)


def _leg(human: HumanClip, robot: RobotModel, side: int, pelvis: Pose, toe: Pose) -> list[Place | Turn]:
    hip_link, knee_link, foot_link = robot.legs[side]
    hip, knee = (rest_positions(robot)[link] for link in (hip_link, knee_link))
    # the hip's three joints are not in one place: the thigh turns about the first one's height, above the knee
    hip_w = pelvis.at(np.array([hip[0], knee[1], hip[2]]))
    knee_w = hip_w + (hip[2] - knee[2]) * _bone(human, _HIPS[side], _KNEES[side])
    return [
        Place(toe_site(foot_link), "site", toe.pos, TOE_COST),
        Turn(toe_site(foot_link), "site", toe.rotation, FOOT_TURN_COST),
        Place(knee_link, "body", knee_w, KNEE_COST),
    ]


def _toe(human: HumanClip, robot: RobotModel, side: int, pelvis: Pose, standing: np.ndarray) -> Pose:
    """The scaled ball of the foot, anchored to the floor while it stands."""
    scale, sole = robot.leg_length / human.leg_length, Sole.of(robot, robot.feet[side])
    ankle_rest = human.rest_offsets[[_HIPS[side], _KNEES[side], _ANKLES[side]]].sum(axis=0)
    ball_rest = human.rest_offsets[_BALLS[side]]
    rotation = Rotation.from_matrix(human.joint_rot_w[:, _ANKLES[side]]) * BODY_AXES
    free = scale * (human.joint_pos_w[:, _BALLS[side]] - (0, 0, _floor(human))) + (0, 0, sole.radius)
    # feet are as far apart as the robot's hips are, and toes as far ahead of the ankles
    apart = rest_positions(robot)[robot.feet[side]][1] - scale * ankle_rest[0]
    ahead = sole.toe[0] - scale * ball_rest[2]
    free += _about_z(_yaw(pelvis.rotation)).apply([0.0, apart, 0.0]) + _about_z(_yaw(rotation)).apply([ahead, 0.0, 0.0])

    anchor, yaw = free.copy(), _yaw(rotation)
    anchor[:, 2] = sole.radius
    for begin, end in runs(standing):
        anchor[begin:end, :2] = free[begin:end, :2].mean(axis=0)
        yaw[begin:end] = np.angle(np.exp(1j * yaw[begin:end]).mean())
    raised = np.arcsin(_unit(ball_rest)[1]) - np.arcsin(_bone(human, _ANKLES[side], _BALLS[side])[:, 2])
    level = _about_z(yaw) * Rotation.from_rotvec(np.outer((raised - FLAT_PITCH).clip(0), (0, 1, 0)))

    pos = free + _faded(anchor - free, standing, human.fps)
    rotation = Rotation.from_rotvec(_faded((level * rotation.inv()).as_rotvec(), standing, human.fps)) * rotation
    # in the air, too, no part of the sole is below the floor, nor grazes it while it swings
    heights = np.stack([Pose(pos, rotation).at(end - sole.toe)[:, 2] for end in sole.ends])
    speed = np.linalg.norm(velocity(free, human.fps)[:, :2], axis=1)
    swing = np.where(standing, 0.0, _smoothstep(speed / SWING_SPEED - 1))
    swing = gaussian_filter1d(swing, SWING_TIME * human.fps) * ~standing
    pos[:, 2] += (sole.radius + SWING_HEIGHT * swing - heights.min(axis=0)).clip(0)
    return Pose(pos, rotation)


def _arm(human: HumanClip, robot: RobotModel, side: int, pelvis: Pose, torso: Pose) -> list[Place | Turn]:
    rest = rest_positions(robot)
    _, elbow_link, hand_link = robot.arms[side]
    shoulder, elbow, hand = (rest[link] for link in robot.arms[side])
    shoulder_w = torso.at(shoulder - rest[robot.anchor])
    elbow_w = shoulder_w + np.linalg.norm(elbow - shoulder) * _bone(human, _SHOULDERS[side], _ELBOWS[side])
    hand_w = elbow_w + np.linalg.norm(hand - elbow) * _bone(human, _ELBOWS[side], _WRISTS[side])
    hand_b = pelvis.rotation.inv().apply(hand_w - pelvis.pos)
    room = abs(rest[robot.feet[side]][1]) + HIP_ROOM
    hand_w = pelvis.at(hand_b + _beside_hips(hand_b, side, room))
    # A hand's frame has x along the fingers, z towards the thumb. In the T-pose, thumbs ahead, that is SMPL's own
    # frame on the left, and half a turn about the way ahead from it on the right.
    turned = Rotation.from_matrix(human.joint_rot_w[:, _WRISTS[side]]) * Rotation.from_rotvec([0, 0, np.pi * side])
    return [
        Place(elbow_link, "body", elbow_w, ELBOW_COST),
        Place(hand_link, "body", hand_w, HAND_COST),
        Turn(hand_link, "body", turned, HAND_TURN_COST),
    ]


def _faded(values: np.ndarray, standing: np.ndarray, fps: float) -> np.ndarray:
    """(T, D) values where the foot stands; elsewhere those of the stances before and after, faded out and in."""
    frames = np.arange(len(values))
    if not standing.any():
        return np.zeros_like(values)
    never = len(values) + BLEND_TIME * fps  # too far away to matter
    before = np.maximum.accumulate(np.where(standing, frames, -1))
    after = np.minimum.accumulate(np.where(standing, frames, len(values))[::-1])[::-1]
    since = np.where(before >= 0, frames - before, never)
    until = np.where(after < len(values), after - frames, never)
    blend = np.minimum(BLEND_TIME * fps, np.maximum(since + until, 1))
    weights = [_smoothstep(1 - distance / blend)[:, None] for distance in (since, until)]
    faded = weights[0] * values[before.clip(0)] + weights[1] * values[after.clip(max=len(values) - 1)]
    return np.where(standing[:, None], values, faded)


def _beside_hips(hand_b: np.ndarray, side: int, room: float) -> np.ndarray:
    """(T, 3) how far a hand moves outwards, in the pelvis' frame, to be `room` m off the middle where hips are.

    A human's hips are narrower than its shoulders, the robot's are not: hands that hang down would be inside.
    """
    outwards = 1 - 2 * side
    beside = _smoothstep((0.10 - hand_b[:, 2]) / 0.15) * _smoothstep((0.25 - np.abs(hand_b[:, 0])) / 0.15)
    return np.outer((room - outwards * hand_b[:, 1]).clip(0) * beside, (0, outwards, 0))


def _trunk_rotation(human: HumanClip) -> Rotation:
    """T rotations of a torso in one piece, that has its neck and its left where a spine of many joints has them."""

    def axes(up: np.ndarray, left: np.ndarray) -> Rotation:
        ahead = _unit(np.cross(left, up))
        return Rotation.from_matrix(np.stack([ahead, np.cross(_unit(up), ahead), _unit(up)], axis=-1))

    rest = axes(human.rest_offsets[_SPINE].sum(axis=0), np.array([1.0, 0.0, 0.0]))
    return axes(_bone(human, _WAIST, _SPINE[-1]), human.joint_rot_w[:, _CHEST, :, 0]) * rest.inv() * BODY_AXES


def _within_waist(turn: Rotation, robot: RobotModel) -> Rotation:
    """The turns of the torso against the pelvis that come nearest within the waist's limits, axis by axis."""
    waist = list[Joint]()
    link = robot.links[robot.link_indices([robot.anchor])[0]]
    while link.joint is not None and link.parent is not None:
        waist.insert(0, link.joint)
        link = robot.links[robot.link_indices([link.parent])[0]]
    order = "".join("XYZ"[int(np.argmax(joint.axis))] for joint in waist)
    limits = np.array([(joint.lower, joint.upper) for joint in waist])
    return Rotation.from_euler(order, turn.as_euler(order).clip(*limits.T))


def _bone(human: HumanClip, begin: int, end: int) -> np.ndarray:
    """(T, 3) direction from one joint to another in the world."""
    return _unit(human.joint_pos_w[:, end] - human.joint_pos_w[:, begin])


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = x.clip(0, 1)
    return x * x * (3 - 2 * x)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _yaw(rotation: Rotation) -> np.ndarray:
    """(T,) direction of the x axis in the plane, rad."""
    ahead = rotation.apply([1.0, 0.0, 0.0])
    return np.arctan2(ahead[:, 1], ahead[:, 0])


def _about_z(angle: np.ndarray) -> Rotation:
    return Rotation.from_euler("z", angle[:, None])
