"""BVH files: their own kinematics, and the human motion in them.

Layout: https://research.cs.wisc.edu/graphics/Courses/cs-838-1999/Jeff/BVH.html. A file names neither its unit nor its
up axis nor a pose that means "at rest"; the reader finds all three in the skeleton and the motion, or refuses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.files import existing_file, sha256_of
from g1_vq_retarget.motion.clip import HumanClip, MotionError, Provenance
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS, HUMAN_PARENTS, leg_length

UpAxis = Literal["y", "z"]
Unit = Literal["m", "cm", "mm"]

# Convention -> SMPL's joint -> the file's joint. The first convention whose names are all in the file is used.
CONVENTIONS: dict[str, dict[str, str]] = {
    "lafan1": {
        "pelvis": "Hips",
        "left_hip": "LeftUpLeg",
        "right_hip": "RightUpLeg",
        "spine1": "Spine",
        "left_knee": "LeftLeg",
        "right_knee": "RightLeg",
        "spine2": "Spine1",
        "left_ankle": "LeftFoot",
        "right_ankle": "RightFoot",
        "spine3": "Spine2",
        "left_foot": "LeftToe",
        "right_foot": "RightToe",
        "neck": "Neck",
        "left_collar": "LeftShoulder",
        "right_collar": "RightShoulder",
        "head": "Head",
        "left_shoulder": "LeftArm",
        "right_shoulder": "RightArm",
        "left_elbow": "LeftForeArm",
        "right_elbow": "RightForeArm",
        "left_wrist": "LeftHand",
        "right_wrist": "RightHand",
    },
}

METRES: dict[Unit, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001}
# Hip to knee to ankle, m, of children and adults; no length lies in it in two of the three units.
HUMAN_LEG = (0.5, 1.2)

# Rows: the world's x, y, z written in the file's axes. Y up is turned cyclically, so that a body facing the file's z
# faces the world's x.
WORLD_AXES: dict[UpAxis, np.ndarray] = {
    "y": np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    "z": np.eye(3),
}

# What tells the up axis, in leg lengths: how far the head of a standing body is above its feet at least,
STANDING = 0.75
# and how far (median deviation) the lowest joint of a body on a floor moves along the up axis at most, and across it
# at least.
FLOOR_STEADY, FLOOR_TRAVEL = 0.05, 0.2

LEFT, UP, FORWARD = np.eye(3)
# From ankle to ball of the foot, about 25 degrees below the horizontal when the sole is flat.
TOES = np.cos(np.radians(25)) * FORWARD - np.sin(np.radians(25)) * UP
# Joint -> the child its bone leads to, and where that bone points in the T-pose.
T_POSE_BONES: dict[str, tuple[str, np.ndarray]] = {
    "spine1": ("spine2", UP),
    "spine2": ("spine3", UP),
    "spine3": ("neck", UP),
    "neck": ("head", UP),
    "left_hip": ("left_knee", -UP),
    "right_hip": ("right_knee", -UP),
    "left_knee": ("left_ankle", -UP),
    "right_knee": ("right_ankle", -UP),
    "left_ankle": ("left_foot", TOES),
    "right_ankle": ("right_foot", TOES),
    "left_collar": ("left_shoulder", LEFT),
    "right_collar": ("right_shoulder", -LEFT),
    "left_shoulder": ("left_elbow", LEFT),
    "right_shoulder": ("right_elbow", -LEFT),
    "left_elbow": ("left_wrist", LEFT),
    "right_elbow": ("right_wrist", -LEFT),
}

# Cosines of the angles within which a foot points ahead or a bone points against its target, and within which a
# collar bone runs along the spine.
NEAR, ALONG = np.cos(np.radians([45, 20]))

CHANNELS = frozenset(f"{axis}{kind}" for axis in "XYZ" for kind in ("position", "rotation"))


@dataclass(frozen=True)
class Bvh:
    """A BVH file as it stands: its own joints, axes and units.

    Attributes:
        joint_names: J names, parents before children.
        parents: index of each joint's parent, -1 for the root.
        offsets: (J, 3) each joint in its parent's frame, in the file's unit.
        channels: for each joint its channels in the file's order, such as "Xposition" or "Zrotation".
        fps: frames a second.
        motion: (T, C) the channels' values, joint after joint; positions in the file's unit, rotations in degrees.
    """

    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    channels: tuple[tuple[str, ...], ...]
    fps: float
    motion: np.ndarray

    def global_poses(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions (T, J, 3) and rotation matrices (T, J, 3, 3) of the joints, in the file's axes and unit.

        Rotations are applied in the order of the channels, each about the axes turned by those before it. A position
        channel takes the place of the offset's component: files that move a joint repeat its offset there.
        """
        frames = len(self.motion)
        pos, rot = [], []
        column = 0
        for parent, offset, channels in zip(self.parents, self.offsets, self.channels, strict=True):
            values = self.motion[:, column : column + len(channels)]
            column += len(channels)
            shift = np.tile(offset, (frames, 1))
            turns = []
            for index, channel in enumerate(channels):
                if channel.endswith("position"):
                    shift[:, "XYZ".index(channel[0])] = values[:, index]
                else:
                    turns.append(index)
            turn = np.tile(np.eye(3), (frames, 1, 1))
            if turns:
                order = "".join(channels[index][0] for index in turns)
                turn = Rotation.from_euler(order, values[:, turns], degrees=True).as_matrix()
            if parent >= 0:
                shift = pos[parent] + (rot[parent] @ shift[..., None])[..., 0]
                turn = rot[parent] @ turn
            pos.append(shift)
            rot.append(turn)
        return np.stack(pos, axis=1), np.stack(rot, axis=1)


def parse_bvh(path: str | Path) -> Bvh:
    """Read a BVH file without interpreting its skeleton.

    Raises:
        UserError: the file cannot be read, is no BVH, or its motion is not what its header promises.
    """
    path = existing_file(path)
    with naming(path):
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
        if not text.strip():
            raise MotionError("the file is empty")
        if not text.lstrip().startswith("HIERARCHY"):
            raise MotionError("no BVH file, it does not begin with HIERARCHY")
        hierarchy, *rest = re.split(r"^\s*MOTION\s*$", text, maxsplit=1, flags=re.MULTILINE)
        if not rest:
            raise MotionError("no line MOTION, the file holds a skeleton without motion or is cut off")
        joint_names, parents, offsets, channels = _hierarchy(hierarchy)
        columns = [f"{name} {channel}" for name, some in zip(joint_names, channels, strict=True) for channel in some]
        fps, motion = _motion(rest[0], columns)
        return Bvh(tuple(joint_names), tuple(parents), np.array(offsets), tuple(channels), fps, motion)


def read_bvh(path: str | Path, *, up: UpAxis | None = None, unit: Unit | None = None, licence: str = "") -> HumanClip:
    """Read a BVH file as the motion of SMPL's body.

    The file's zero pose need not be a T-pose: each joint's frame in a T-pose is found from the skeleton's offsets.
    Joint positions are those of the file, with x, y, z of a Y-up file becoming y, z, x of the world. Two things may
    move them: joints between those of `CONVENTIONS` count as unturned, and position channels below the pelvis as equal
    to the hierarchy's offsets.

    Args:
        path: the file; its stem becomes the clip's name.
        up: the file's up axis; None finds it in the motion.
        unit: the file's unit of length; None finds it in the length of the legs.
        licence: licence of the motion, for its provenance.

    Raises:
        UserError: the file cannot be read, its skeleton is not of a known convention, or its up axis or unit
            cannot be told.
    """
    path = Path(path)
    bvh = parse_bvh(path)
    with naming(path):
        joints = _find_joints(bvh.joint_names)
        offsets = _human_offsets(bvh, joints)
        frames = _t_pose_frames(offsets)
        pos, rot = bvh.global_poses()
        pos = pos[:, joints]
        scale = METRES[unit or _find_unit(leg_length(offsets))]
        axes = WORLD_AXES[up or _find_up(pos / leg_length(offsets))]

        # a vector of SMPL's rest frame goes to the joint's frame in the T-pose, and from there with the joint
        rot = axes @ rot[:, joints] @ np.swapaxes(frames, -1, -2)
        parents = list(HUMAN_PARENTS[1:])
        local = np.swapaxes(rot[:, parents], -1, -2) @ rot[:, 1:]
        rest_offsets = np.zeros((len(HUMAN_JOINTS), 3))
        rest_offsets[1:] = (frames[parents] @ offsets[1:, :, None])[..., 0] * scale
        return HumanClip(
            name=path.stem,
            fps=bvh.fps,
            root_pos_w=pos[:, 0] @ axes.T * scale,
            root_quat_w=_quaternions(rot[:, 0]),
            joint_quat=_quaternions(local),
            rest_offsets=rest_offsets,
            provenance=Provenance(path.name, sha256_of(path), licence),
        )


def _hierarchy(text: str) -> tuple[list[str], list[int], list[np.ndarray], list[tuple[str, ...]]]:
    """Names, parents, offsets and channels of the joints; end sites are left out."""
    names: list[str] = []
    parents: list[int] = []
    offsets: list[np.ndarray] = []
    channels: list[tuple[str, ...]] = []
    blocks: list[int] = []  # the joint each open brace belongs to, -1 for an end site
    opening = -1
    for line in re.sub(r"([{}])", r"\n\1\n", text).splitlines():
        here = blocks[-1] if blocks else -1
        allowed = {"ROOT": not names, "JOINT": here >= 0}
        match line.split():
            case [] | ["HIERARCHY"]:
                pass
            case ["ROOT" | "JOINT" as kind, first, *more] if allowed[kind]:
                opening = len(names)
                names.append(" ".join([first, *more]))
                parents.append(here)
                offsets.append(np.zeros(3))
                channels.append(())
            case ["End", *_]:
                opening = -1
            case ["{"]:
                blocks.append(opening)
            case ["}"] if blocks:
                blocks.pop()
            case ["OFFSET", *values] if blocks:
                if here >= 0:
                    offsets[here] = _offset(names[here], values)
            case ["CHANNELS", count, *values] if here >= 0:
                channels[here] = _channels(names[here], count, values)
            case _:
                raise MotionError(f"hierarchy: unexpected line {line.strip()!r}")
    if blocks or not names:
        raise MotionError("hierarchy: a closing brace is missing" if blocks else "hierarchy: no joints")
    if len(set(names)) != len(names):
        raise MotionError(f"hierarchy: two joints are named {max(names, key=names.count)}")
    return names, parents, offsets, channels


def _offset(joint: str, values: Sequence[str]) -> np.ndarray:
    try:
        offset = np.array([float(value) for value in values])
    except ValueError:
        offset = np.empty(0)
    if offset.shape != (3,) or not np.isfinite(offset).all():
        raise MotionError(f"hierarchy: OFFSET of {joint} is {' '.join(values)!r}, expected three numbers")
    return offset


def _channels(joint: str, count: str, values: Sequence[str]) -> tuple[str, ...]:
    channels = tuple(value.capitalize() for value in values)
    if count != str(len(channels)) or len(set(channels)) != len(channels) or not CHANNELS.issuperset(channels):
        raise MotionError(
            f"hierarchy: CHANNELS of {joint} is {' '.join([count, *values])!r}, expected a count and as many of "
            f"{', '.join(sorted(CHANNELS))}"
        )
    return channels


def _motion(text: str, columns: Sequence[str]) -> tuple[float, np.ndarray]:
    """Rate and values (T, C) of the block below MOTION."""
    header = re.match(r"\s*Frames:\s*(\S+)\s*Frame Time:\s*(\S+)", text)
    if not header:
        raise MotionError("MOTION is not followed by Frames: and Frame Time:")
    fps = _rate(header[2])
    lines = [line for line in text[header.end() :].splitlines() if line.strip()]
    if not lines:
        raise MotionError("the motion has no frames")
    if header[1] != str(len(lines)):
        raise MotionError(f"the header promises {header[1]} frames, the file holds {len(lines)}")
    for frame, line in enumerate(lines):
        if (width := len(line.split())) != len(columns):
            raise MotionError(f"frame {frame} has {width} values, the hierarchy has {len(columns)} channels")
    try:
        motion = np.loadtxt(lines, ndmin=2, comments=None).reshape(len(lines), len(columns))
    except ValueError as error:  # numpy names the value, and the frame as a row
        raise MotionError(f"motion: {error}") from error
    wrong = np.argwhere(~np.isfinite(motion))
    if len(wrong):
        frame, column = wrong[0]
        raise MotionError(f"frame {frame}: {columns[column]} is {motion[frame, column]}, expected a finite number")
    return fps, motion


def _rate(frame_time: str) -> float:
    """Frames a second of a frame time as printed; an integer if that is within the last digit (0.033333 s is 30)."""
    try:
        seconds = Decimal(frame_time)
    except InvalidOperation:
        seconds = Decimal("nan")
    if not seconds.is_finite() or seconds <= 0:
        raise MotionError(f"Frame Time is {frame_time}, expected a positive number of seconds")
    if seconds >= 1:
        return float(1 / seconds)
    whole = round(1 / seconds)
    last_digit = Decimal((0, (1,), int(seconds.as_tuple().exponent)))
    return float(whole) if abs(seconds - 1 / Decimal(whole)) <= last_digit else float(1 / seconds)


def _find_joints(names: Sequence[str]) -> list[int]:
    """Where `HUMAN_JOINTS` stand among the file's joints."""
    missing = {
        convention: [name for name in table.values() if name not in names] for convention, table in CONVENTIONS.items()
    }
    convention = min(missing, key=lambda key: len(missing[key]))
    if missing[convention]:
        raise MotionError(f"no skeleton like {convention}: it has no joint {', '.join(missing[convention])}")
    return [names.index(CONVENTIONS[convention][joint]) for joint in HUMAN_JOINTS]


def _human_offsets(bvh: Bvh, joints: Sequence[int]) -> np.ndarray:
    """(22, 3) each joint in its SMPL parent's frame with nothing turned between the two, in the file's unit."""
    offsets = np.zeros((len(joints), 3))
    for human, parent in enumerate(HUMAN_PARENTS[1:], start=1):
        joint = joints[human]
        while joint != joints[parent]:
            if joint < 0:
                below, above = bvh.joint_names[joints[human]], bvh.joint_names[joints[parent]]
                raise MotionError(f"the joint {below} does not hang below {above}")
            offsets[human] += bvh.offsets[joint]
            joint = bvh.parents[joint]
    return offsets


def _t_pose_frames(offsets: np.ndarray) -> np.ndarray:
    """(22, 3, 3) rotations from each joint's frame to SMPL's axes (x left, y up, z forward), in the T-pose.

    Found from bones only: the zero pose is turned as a whole so that the hips lie along the left axis and the neck
    above the pelvis; then each joint, from the pelvis out, turns so that its bone points as in a T-pose.
    """
    at = {name: index for index, name in enumerate(HUMAN_JOINTS)}
    left = _direction(offsets[at["left_hip"]] - offsets[at["right_hip"]], "hips")
    neck = offsets[[at["spine1"], at["spine2"], at["spine3"], at["neck"]]].sum(axis=0)
    up = _direction(neck - (neck @ left) * left, "spine")
    frames = [np.stack([left, up, np.cross(left, up)])]
    for joint, parent in zip(HUMAN_JOINTS[1:], HUMAN_PARENTS[1:], strict=True):
        frame = frames[parent]
        if joint in T_POSE_BONES:
            child, target = T_POSE_BONES[joint]
            frame = _t_pose_turn(joint, _direction(frame @ offsets[at[child]], joint), target) @ frame
        frames.append(frame)
    return np.stack(frames)


def _t_pose_turn(joint: str, bone: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(3, 3) the rotation that brings a joint's bone where it points in a T-pose, both unit vectors in SMPL's axes.

    The smallest one, which keeps the twist of the zero pose, with three exceptions.
    """
    if joint.endswith("ankle") and bone @ FORWARD > NEAR:
        return np.eye(3)  # the slope of a foot depends on where its joints were put: this one is flat as it is
    if joint.endswith("collar") and bone @ UP > ALONG:
        # No body stands like this: all frames are alike, x along the bone and limbs bending about the same axis in the
        # same sense. Knees bend backwards and elbows forwards, so the arm comes down with its back to the front.
        return _half_turn(bone + target)
    first = np.eye(3)
    if bone @ target < -NEAR:
        # The axis of a smallest turn near 180 degrees hangs on a bone's last digits; about the left axis it would put
        # the kneecap behind. Sideways, the front stays in front.
        first = _half_turn(FORWARD)
        bone = first @ bone
    quat = np.array([1 + bone @ target, *np.cross(bone, target)])
    return Rotation.from_quat(quat, scalar_first=True).as_matrix() @ first


def _half_turn(axis: np.ndarray) -> np.ndarray:
    """(3, 3) the rotation by 180 degrees about an axis of any length."""
    return 2 * np.outer(axis, axis) / (axis @ axis) - np.eye(3)


def _direction(vector: np.ndarray, what: str) -> np.ndarray:
    length = np.linalg.norm(vector)
    if length == 0:
        raise MotionError(f"hierarchy: the {what} has no length")
    return vector / length


def _find_unit(leg: float) -> Unit:
    for unit, metres in METRES.items():
        if HUMAN_LEG[0] <= leg * metres <= HUMAN_LEG[1]:
            return unit
    raise MotionError(
        f"the unit of length cannot be told: the leg (hip to knee to ankle) measures {leg:.4g}, which is no human "
        f"length in m, cm or mm; name the unit with --bvh-unit m|cm|mm"
    )


def _find_up(pos: np.ndarray) -> UpAxis:
    """The up axis of joint positions (T, 22, 3), in leg lengths.

    Two signs: a standing body has its head along the up axis, and a moving one has its lowest joint at the height of
    the floor. Either may be absent (a crawl, a single frame), but they must not contradict each other. BVH files are
    Y up by convention, so a head along z alone is no sign for Z up: the body may lie.
    """
    at = {name: index for index, name in enumerate(HUMAN_JOINTS)}
    head = np.median(pos[:, at["head"]] - pos[:, [at["left_ankle"], at["right_ankle"]]].mean(axis=1), axis=0)
    lowest = pos.min(axis=1)
    spread = np.median(np.abs(lowest - np.median(lowest, axis=0)), axis=0)

    def stands(axis: int, other: int) -> bool:
        return head[axis] > STANDING and abs(head[other]) < head[axis] / 2

    def has_floor(axis: int, other: int) -> bool:
        # upside down, the lowest joint is the head, and fairly steady too
        return spread[axis] < FLOOR_STEADY and spread[other] > FLOOR_TRAVEL and head[axis] > 0

    y, z = (1, 2), (2, 1)
    if (stands(*y) or has_floor(*y)) and not (stands(*z) or has_floor(*z)):
        return "y"
    if has_floor(*z) and not stands(*y):
        return "z"
    raise MotionError(
        f"the up axis cannot be told: in leg lengths, the head is {head[1]:.2f} along y and {head[2]:.2f} along z from "
        f"the feet, and the lowest joint wanders by {spread[1]:.2f} along y and {spread[2]:.2f} along z; "
        f"name the up axis with --bvh-up y|z"
    )


def _quaternions(matrices: np.ndarray) -> np.ndarray:
    """(..., 4) wxyz of rotation matrices (..., 3, 3)."""
    quat = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_quat(scalar_first=True)
    return quat.reshape(*matrices.shape[:-2], 4)
