"""BVH files: their own kinematics, and the human motion in them.

Layout: https://research.cs.wisc.edu/graphics/Courses/cs-838-1999/Jeff/BVH.html. A file names neither its unit nor its
up axis nor a pose that means "at rest"; the reader finds all three in the skeleton and the motion, or refuses.
Names of joints are those of `bvh_conventions`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.files import existing_file, replacing, sha256_of
from g1_vq_retarget.motion.clip import HumanClip, MotionError, Provenance
from g1_vq_retarget.motion.formats.bvh_conventions import CONVENTIONS, find_joints
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.human_axes import METRES, WORLD_AXES, Unit, UpAxis, find_unit, find_up
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS, HUMAN_PARENTS, leg_length

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

# Where joints may lie at the place of the one below.
TRUNK = frozenset({"spine1", "spine2", "spine3", "neck"})

# Joints further than this (m) from where the file has them get a warning.
MOVED = 0.05

# No position or angle is as large as this, in any unit.
LARGEST = 1e8

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
        end_sites: joint -> (3,) its end site in its frame, for those that have one.
    """

    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    channels: tuple[tuple[str, ...], ...]
    fps: float
    motion: np.ndarray
    end_sites: Mapping[int, np.ndarray] = field(default_factory=dict)

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
        joint_names, parents, offsets, channels, end_sites = _hierarchy(hierarchy)
        columns = [f"{name} {channel}" for name, some in zip(joint_names, channels, strict=True) for channel in some]
        fps, motion = _motion(rest[0], columns)
        return Bvh(tuple(joint_names), tuple(parents), np.array(offsets), tuple(channels), fps, motion, end_sites)


def read_bvh(
    path: str | Path,
    *,
    up: UpAxis | None = None,
    unit: Unit | None = None,
    licence: str = "",
    findings: list[Finding] | None = None,
) -> HumanClip:
    """Read a BVH file as the motion of SMPL's body.

    The file's zero pose need not be a T-pose: each joint's frame in a T-pose is found from the skeleton's offsets.
    Joint positions are those of the file, with x, y, z of a Y-up file becoming y, z, x of the world. Two things may
    move them: a turn of joints between those of `CONVENTIONS` (the orientation below them is right all the same), and
    position channels below the pelvis that do not repeat the hierarchy's offsets. A warning tells of more than 5 cm.

    Args:
        path: the file; its stem becomes the clip's name.
        up: the file's up axis; None finds it in the motion.
        unit: the file's unit of length; None finds it in the length of the legs.
        licence: licence of the motion, for its provenance.
        findings: is told the convention, the unit and the up axis, and how they were settled.

    Raises:
        UserError: the file cannot be read, its skeleton is not of a known convention, or its up axis or unit
            cannot be told.
    """
    path = Path(path)
    bvh = parse_bvh(path)
    with naming(path):
        convention, joints = find_joints(bvh.joint_names)
        offsets = _human_offsets(bvh, joints)
        frames = _t_pose_frames(offsets)
        pos, rot = bvh.global_poses()
        pos, rot = _human_poses(joints, offsets, pos, rot)
        leg = leg_length(offsets)
        settled = [
            Finding("skeleton", convention, "file"),
            find_unit(leg, unit),
            find_up(pos / leg, up, "y", "--bvh-up y|z"),
        ]
        scale, axes = METRES[settled[1].answer], WORLD_AXES[settled[2].answer]

        # a vector of SMPL's rest frame goes to the joint's frame in the T-pose, and from there with the joint
        rot = axes @ rot @ np.swapaxes(frames, -1, -2)
        parents = list(HUMAN_PARENTS[1:])
        local = np.swapaxes(rot[:, parents], -1, -2) @ rot[:, 1:]
        rest_offsets = np.zeros((len(HUMAN_JOINTS), 3))
        rest_offsets[1:] = (frames[parents] @ offsets[1:, :, None])[..., 0] * scale
        clip = HumanClip(
            name=path.stem,
            fps=bvh.fps,
            root_pos_w=pos[:, 0] @ axes.T * scale,
            root_quat_w=_quaternions(rot[:, 0]),
            joint_quat=_quaternions(local),
            rest_offsets=rest_offsets,
            provenance=Provenance(path.name, sha256_of(path), licence),
        )
    _warn_of_moved_joints(clip, pos @ axes.T * scale, path)
    if findings is not None:
        findings.extend(settled)
    return clip


def write_bvh(
    clip: HumanClip, path: str | Path, convention: str = "lafan1", unit: Unit = "cm", up: UpAxis = "y"
) -> None:
    """Write a human's motion as BVH; its zero pose is the clip's rest pose, the neck above the pelvis.

    Reading it gives the joints' positions back, and their rotations where the rest pose is a T-pose as `read_bvh`
    understands it (every bone along its axis): SMPL's own rest pose is a few degrees off. A BVH cannot tell a licence.

    Args:
        clip: the motion.
        path: the file.
        convention: names of the joints, a key of `CONVENTIONS` that has all 22.
        unit: the file's unit of length.
        up: the file's up axis.

    Raises:
        MotionError: the convention is unknown or has no name for a joint.
        UserError: the file cannot be written.
    """
    table = CONVENTIONS.get(convention, {})
    if set(table) != set(HUMAN_JOINTS):
        complete = [name for name, names in CONVENTIONS.items() if set(names) == set(HUMAN_JOINTS)]
        raise MotionError(f"BVH cannot be written with the names of {convention!r}: choose {', '.join(complete)}")
    size, axes, order = 1 / METRES[unit], WORLD_AXES[up], _depth_first(0)
    frames = _zero_pose(clip.rest_offsets)
    parents = [max(parent, 0) for parent in HUMAN_PARENTS]
    root = axes.T @ clip.root_rotation.as_matrix()
    local = clip.local_rotations.as_matrix().reshape(len(clip), -1, 3, 3)
    local = np.concatenate([root[:, None], np.swapaxes(frames[parents[1:]], -1, -2) @ local @ frames[1:]], axis=1)
    offsets = (np.swapaxes(frames[parents], -1, -2) @ clip.rest_offsets[:, :, None])[..., 0] * size
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Gimbal lock")  # one of the many triples is as good as another
        angles = Rotation.from_matrix(local[:, order].reshape(-1, 3, 3)).as_euler("ZYX", degrees=True)
    motion = np.concatenate([size * clip.root_pos_w @ axes, angles.reshape(len(clip), -1)], axis=1)
    with replacing(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
        file.write("HIERARCHY\n" + "\n".join(_block(0, table, offsets, "")) + "\n")
        file.write(f"MOTION\nFrames: {len(clip)}\nFrame Time: {1 / clip.fps:.12f}\n")
        np.savetxt(file, motion, "%.9f")


def _zero_pose(rest_offsets: np.ndarray) -> np.ndarray:
    """(22, 3, 3) each joint's frame in the zero pose that is written, in SMPL's axes.

    `_t_pose_frames` takes the way from pelvis to neck for up, and a spine begins behind the pelvis: the trunk, with all
    that it carries, leans by so much that its neck is above the pelvis all the same.
    """
    at = {name: index for index, name in enumerate(HUMAN_JOINTS)}
    trunk = rest_offsets[[at["spine2"], at["spine3"], at["neck"]]].sum(axis=0)[1:]
    reach = max(float(np.linalg.norm(trunk)), 1e-9)
    lean = np.arcsin(np.clip(-rest_offsets[at["spine1"], 2] / reach, -1, 1)) - np.arctan2(trunk[1], trunk[0])
    legs = [index for name, index in at.items() if name.split("_")[-1] in ("pelvis", "hip", "knee", "ankle", "foot")]
    frames = np.tile(Rotation.from_rotvec(-lean * LEFT).as_matrix(), (len(HUMAN_JOINTS), 1, 1))
    frames[legs] = np.eye(3)
    return frames


def _children(joint: int) -> list[int]:
    return [child for child, parent in enumerate(HUMAN_PARENTS) if parent == joint]


def _depth_first(joint: int) -> list[int]:
    """A joint and those below it, in the order in which a hierarchy is written."""
    return [joint, *(below for child in _children(joint) for below in _depth_first(child))]


def _block(joint: int, table: Mapping[str, str], offsets: np.ndarray, indent: str) -> list[str]:
    """The lines of a joint and of those below it."""

    def offset(vector: np.ndarray) -> str:
        return "OFFSET " + " ".join(f"{value:.9f}" for value in vector)

    inner = indent + "  "
    where = "6 Xposition Yposition Zposition" if joint == 0 else "3"
    below = [line for child in _children(joint) for line in _block(child, table, offsets, inner)]
    # a tip half as long as the bone above, since many programs stumble over bones of no length
    tip = ["End Site", "{", f"  {offset(offsets[joint] / 2)}", "}"]
    return [
        f"{indent}{'JOINT' if joint else 'ROOT'} {table[HUMAN_JOINTS[joint]]}",
        f"{indent}{{",
        f"{inner}{offset(offsets[joint])}",
        f"{inner}CHANNELS {where} Zrotation Yrotation Xrotation",
        *(below or [inner + line for line in tip]),
        f"{indent}}}",
    ]


def _hierarchy(
    text: str,
) -> tuple[list[str], list[int], list[np.ndarray], list[tuple[str, ...]], dict[int, np.ndarray]]:
    """Names, parents, offsets and channels of the joints, and the offsets of end sites."""
    names: list[str] = []
    parents: list[int] = []
    offsets: list[np.ndarray] = []
    channels: list[tuple[str, ...]] = []
    end_sites: dict[int, np.ndarray] = {}
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
                elif len(blocks) > 1 and blocks[-2] >= 0:
                    end_sites.setdefault(blocks[-2], _offset(f"the end site of {names[blocks[-2]]}", values))
            case ["CHANNELS", count, *values] if here >= 0:
                channels[here] = _channels(names[here], count, values)
            case _:
                raise MotionError(f"hierarchy: unexpected line {line.strip()!r}")
    if blocks or not names:
        raise MotionError("hierarchy: a closing brace is missing" if blocks else "hierarchy: no joints")
    if len(set(names)) != len(names):
        raise MotionError(f"hierarchy: two joints are named {max(names, key=names.count)}")
    return names, parents, offsets, channels, end_sites


def _offset(joint: str, values: Sequence[str]) -> np.ndarray:
    try:
        offset = np.array([float(value) for value in values])
    except ValueError:
        offset = np.empty(0)
    if offset.shape != (3,) or not (np.abs(offset) < LARGEST).all():
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
    wrong = np.argwhere(~(np.abs(motion) < LARGEST))
    if len(wrong):
        frame, column = wrong[0]
        raise MotionError(
            f"frame {frame}: {columns[column]} is {motion[frame, column]}, expected a number below {LARGEST:g}"
        )
    return fps, motion


def _rate(frame_time: str) -> float:
    """Frames a second of a frame time as printed; an integer if that is within the last digit (0.033333 s is 30)."""
    try:
        seconds = Decimal(frame_time)
    except InvalidOperation:
        seconds = Decimal("nan")
    # before any arithmetic: of 1e-99999999, Python would compute every digit of the rate
    if not (seconds.is_finite() and Decimal("1e-5") <= seconds <= 100):
        raise MotionError(
            f"Frame Time is {frame_time[:40]}, expected a positive number of seconds between 0.00001 and 100"
        )
    if seconds >= 1:
        return float(1 / seconds)
    whole = round(1 / seconds)
    last_digit = Decimal((0, (1,), int(seconds.as_tuple().exponent)))
    return float(whole) if abs(seconds - 1 / Decimal(whole)) <= last_digit else float(1 / seconds)


def _human_offsets(bvh: Bvh, joints: Mapping[str, int]) -> np.ndarray:
    """(22, 3) each joint in its SMPL parent's frame with nothing turned between the two, in the file's unit."""

    def way(name: str, above: str) -> np.ndarray:
        joint, way = joints[name], np.zeros(3)
        while joint != joints[above]:
            if joint < 0:
                raise MotionError(
                    f"the joint {bvh.joint_names[joints[name]]} does not hang below {bvh.joint_names[joints[above]]}"
                )
            way += bvh.offsets[joint]
            joint = bvh.parents[joint]
        return way

    offsets = np.zeros((len(HUMAN_JOINTS), 3))
    for human, parent in enumerate(HUMAN_PARENTS[1:], start=1):
        name, above = HUMAN_JOINTS[human], HUMAN_JOINTS[parent]
        if name in joints and above in joints:
            offsets[human] = way(name, above)
        elif name.endswith("_foot"):
            site = bvh.end_sites.get(joints[above])
            if site is None:
                raise MotionError(f"{bvh.joint_names[joints[above]]} has neither a toe below it nor an end site")
            offsets[human] = site
        else:  # spine2, and spine3 below it
            offsets[human] = way("spine3", "spine1") / 2
    return offsets


def _human_poses(
    joints: Mapping[str, int], offsets: np.ndarray, pos: np.ndarray, rot: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (T, 22, 3) and rotation matrices (T, 22, 3, 3) of SMPL's joints from those of the file's.

    Joints that the file lacks are fixed to the one above.
    """
    human_pos, human_rot = [], []
    for human, parent in enumerate(HUMAN_PARENTS):
        if (joint := joints.get(HUMAN_JOINTS[human])) is not None:
            human_pos.append(pos[:, joint])
            human_rot.append(rot[:, joint])
        else:
            human_pos.append(human_pos[parent] + human_rot[parent] @ offsets[human])
            human_rot.append(human_rot[parent])
    return np.stack(human_pos, axis=1), np.stack(human_rot, axis=1)


def _warn_of_moved_joints(clip: HumanClip, pos_w: np.ndarray, path: Path) -> None:
    distance = np.linalg.norm(clip.joint_pos_w - pos_w, axis=-1)
    frame, joint = np.unravel_index(np.argmax(distance), distance.shape)
    if distance[frame, joint] > MOVED:
        warnings.warn(
            f"{path}: {HUMAN_JOINTS[joint]} is {distance[frame, joint]:.3f} m from where the file has it at frame "
            f"{frame}: joints between those of SMPL's body turn or move",
            stacklevel=3,
        )


def _t_pose_frames(offsets: np.ndarray) -> np.ndarray:
    """(22, 3, 3) rotations from each joint's frame to SMPL's axes (x left, y up, z forward), in the T-pose.

    Found from bones only: the zero pose is turned as a whole so that the hips lie along the left axis and the neck
    above the pelvis; then each joint, from the pelvis out, turns so that its bone points as in a T-pose. A joint of the
    trunk at the place of the one below it stays as the one above it.
    """
    at = {name: index for index, name in enumerate(HUMAN_JOINTS)}
    left = _direction(offsets[at["left_hip"]] - offsets[at["right_hip"]], "hips")
    neck = offsets[[at["spine1"], at["spine2"], at["spine3"], at["neck"]]].sum(axis=0)
    up = _direction(neck - (neck @ left) * left, "spine")
    pelvis = np.stack([left, up, np.cross(left, up)])
    collars = [_along(offsets[at[f"{side}_shoulder"]], up) for side in ("left", "right")]
    mirrored = min(collars) < -ALONG and max(collars) > ALONG
    frames = [pelvis]
    for joint, parent in zip(HUMAN_JOINTS[1:], HUMAN_PARENTS[1:], strict=True):
        frame = frames[parent]
        child, target = T_POSE_BONES.get(joint, ("", UP))
        if child and not (joint in TRUNK and not offsets[at[child]].any()):
            frame = _t_pose_turn(joint, _direction(frame @ offsets[at[child]], joint), target, mirrored) @ frame
        frames.append(frame)
    return np.stack(frames)


def _t_pose_turn(joint: str, bone: np.ndarray, target: np.ndarray, mirrored: bool) -> np.ndarray:
    """(3, 3) the rotation that brings a joint's bone where it points in a T-pose, both unit vectors in SMPL's axes.

    The smallest one, which keeps the twist of the zero pose, with exceptions. They are for skeletons whose zero pose is
    none that a body can take, for all frames are alike in it and every bone runs along the spine. Either x points along
    the bone everywhere, and limbs bend about the same axis in the same sense, as in LAFAN1; or one side is `mirrored`,
    x, y and z of it the negative mirror image of the other's, and its bones point down, as in SOMA (its frames: the
    joint offsets of NVIDIA's soma-retargeter, whose robots' frames are known).
    """
    if joint.endswith("ankle") and bone @ FORWARD > NEAR:
        return np.eye(3)  # the slope of a foot depends on where its joints were put: this one is flat as it is
    if joint.endswith("collar") and bone @ UP > ALONG and not mirrored:
        # Knees bend backwards and elbows forwards, so the arm comes down with its back to the front.
        return _half_turn(bone + target)
    first = np.eye(3)
    if bone @ target < -NEAR:
        # The axis of a smallest turn near 180 degrees hangs on a bone's last digits; about the left axis it would put
        # the kneecap behind. Sideways, the front stays in front. Of mirrored legs it is the one that points up that
        # must turn, and its frames have their y behind when it hangs.
        first = _half_turn(LEFT if mirrored else FORWARD)
        bone = first @ bone
    quat = np.array([1 + bone @ target, *np.cross(bone, target)])
    turn = Rotation.from_quat(quat, scalar_first=True).as_matrix() @ first
    if joint.endswith("collar") and bone @ UP < -ALONG and mirrored:
        return _half_turn(target) @ turn  # as the other arm bends with its y in front, this one has it behind
    return turn


def _half_turn(axis: np.ndarray) -> np.ndarray:
    """(3, 3) the rotation by 180 degrees about an axis of any length."""
    return 2 * np.outer(axis, axis) / (axis @ axis) - np.eye(3)


def _along(vector: np.ndarray, axis: np.ndarray) -> float:
    """Cosine of the angle between a vector and an axis of length 1; 0 for a vector of no length."""
    return float(vector @ axis / max(np.linalg.norm(vector), 1e-12))


def _direction(vector: np.ndarray, what: str) -> np.ndarray:
    length = np.linalg.norm(vector)
    if length == 0:
        raise MotionError(f"hierarchy: the {what} has no length")
    return vector / length


def _quaternions(matrices: np.ndarray) -> np.ndarray:
    """(..., 4) wxyz of rotation matrices (..., 3, 3)."""
    quat = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_quat(scalar_first=True)
    return quat.reshape(*matrices.shape[:-2], 4)
