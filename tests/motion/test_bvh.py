from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.clip import HumanClip, Provenance
from g1_vq_retarget.motion.formats.bvh import CONVENTIONS, Bvh, parse_bvh, read_bvh
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS

# the arms of `T_POSE` stand where ZYX angles are not unique
pytestmark = pytest.mark.filterwarnings("ignore:Gimbal lock")

Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # a quarter turn about x: y up becomes z up


@dataclass(frozen=True)
class Figure:
    """A skeleton in cm and its poses, to be written as BVH: local rotations (T, J, 3, 3), root (T, 3), Y up."""

    parents: dict[str, str | None]
    offsets: dict[str, np.ndarray]
    root: np.ndarray
    local: np.ndarray

    def scaled(self, factor: float) -> Self:
        offsets = {name: offset * factor for name, offset in self.offsets.items()}
        return replace(self, offsets=offsets, root=self.root * factor)

    def in_world(self, turn: np.ndarray) -> Self:
        local = self.local.copy()
        local[:, 0] = turn @ local[:, 0]
        return replace(self, root=self.root @ turn.T, local=local)

    def with_frames(self, turn: np.ndarray) -> Self:
        """The same motion with every joint's frame turned alike."""
        local = turn.T @ self.local @ turn
        local[:, 0] = self.local[:, 0] @ turn
        offsets = {name: offset @ turn for name, offset in self.offsets.items()}
        return replace(self, offsets=offsets, local=local)

    def text(self, order: str = "ZYX", frame_time: str = "0.033333", positions: bool = False) -> str:
        """As a BVH file; with `positions`, every joint has position channels, which repeat its offset."""
        kinds = [f"{axis}rotation" for axis in order]
        where = ["Xposition", "Yposition", "Zposition"]

        def block(name: str) -> str:
            channels = where + kinds if positions or self.parents[name] is None else kinds
            children = [child for child, parent in self.parents.items() if parent == name]
            return "\n".join(
                [
                    f"{'JOINT' if self.parents[name] else 'ROOT'} {name}",
                    "{",
                    "OFFSET " + " ".join(f"{value:.9f}" for value in self.offsets[name]),
                    f"CHANNELS {len(channels)} {' '.join(channels)}",
                    *map(block, children),
                    *([] if children else ["End Site", "{", "OFFSET 1 0 0", "}"]),
                    "}",
                ]
            )

        columns = []
        for joint, name in enumerate(self.parents):
            if joint == 0:
                columns.append(self.root)
            elif positions:
                columns.append(np.tile(self.offsets[name], (len(self.root), 1)))
            columns.append(Rotation.from_matrix(self.local[:, joint]).as_euler(order, degrees=True))
        rows = [" ".join(f"{value:.9f}" for value in row) for row in np.concatenate(columns, axis=1)]
        head = ["HIERARCHY", block(next(iter(self.parents))), "MOTION", f"Frames: {len(rows)}"]
        return "\n".join([*head, f"Frame Time: {frame_time}", *rows, ""])

    def write(self, path: Path, order: str = "ZYX") -> Path:
        path.write_text(self.text(order))
        return path


def lafan1_like(angles: dict[str, tuple[float, float, float]], spine_back: float = 0.0) -> Figure:
    """One frame of a skeleton with LAFAN1's names and frames, joints turned by Z, Y, X Euler angles in degrees.

    In the zero pose every bone points up the spine: x along the bone, y forward, z to the left.
    """
    bones = [("Hips", None, (0, 90, 0))]
    for side, sign in (("Left", 1), ("Right", -1)):
        bones += [
            (f"{side}UpLeg", "Hips", (0, 0, 10 * sign)),
            (f"{side}Leg", f"{side}UpLeg", (44, 0, 0)),
            (f"{side}Foot", f"{side}Leg", (42, 0, 0)),
            (f"{side}Toe", f"{side}Foot", (17, 0, 0)),
        ]
    spine = ["Hips", "Spine", "Spine1", "Spine2", "Neck", "Head"]
    lengths = [(7, -spine_back, 0), (12, 0, 0), (12, 0, 0), (25, 0, 0), (11, 0, 0)]
    bones += list(zip(spine[1:], spine[:-1], lengths, strict=True))
    for side, sign in (("Left", 1), ("Right", -1)):
        bones += [
            (f"{side}Shoulder", "Spine2", (20, -1, 6 * sign)),
            (f"{side}Arm", f"{side}Shoulder", (11, 0, 0)),
            (f"{side}ForeArm", f"{side}Arm", (33, 0, 0)),
            (f"{side}Hand", f"{side}ForeArm", (25, 0, 0)),
        ]
    names = [name for name, _, _ in bones]
    local = np.tile(np.eye(3), (1, len(names), 1, 1))
    for name, turn in angles.items():
        local[0, names.index(name)] = Rotation.from_euler("ZYX", turn, degrees=True).as_matrix()
    parents = {name: parent for name, parent, _ in bones}
    offsets = {name: np.array(offset, dtype=float) for name, _, offset in bones}
    return Figure(parents, offsets, offsets["Hips"][None], local)


# A body with LAFAN1's frames in a T-pose that faces z. Hips: x up, y to the front, z to the left. Legs hang: half a
# turn about their y, which stays in front. Feet turn from there towards y, to 25 degrees below it. Arms: x to the side,
# y to the back, z up on the left and down on the right, so that elbows bend about z in the sense that knees do.
T_POSE: dict[str, tuple[float, float, float]] = {
    "Hips": (90, 0, 90),
    "LeftUpLeg": (0, 180, 0),
    "RightUpLeg": (0, 180, 0),
    "LeftFoot": (65, 0, 0),
    "RightFoot": (65, 0, 0),
    "LeftShoulder": (0, -90, 180),
    "RightShoulder": (0, 90, 180),
}


def t_shaped(angles: dict[str, tuple[float, float, float]], arms_down: float = 0.0) -> Figure:
    """The same names on a skeleton whose zero pose is a T-pose along the file's axes, or an A-pose."""
    table = CONVENTIONS["lafan1"]
    figure = lafan1_like(angles)
    down = np.radians(arms_down)
    offsets = {name: np.zeros(3) for name in figure.offsets}
    offsets["Hips"] = figure.offsets["Hips"]
    for side, sign in (("left", 1), ("right", -1)):
        arm = np.array([sign * np.cos(down), -np.sin(down), 0.0])
        bones = {
            "hip": (10 * sign, -6, 0),
            "knee": (0, -44, 0),
            "ankle": (0, -42, 0),
            "foot": (0, -6, 12),
            "collar": (6 * sign, 20, 0),
            "shoulder": (11 * sign, 0, 0),
            "elbow": 33 * arm,
            "wrist": 25 * arm,
        }
        offsets |= {table[f"{side}_{joint}"]: np.array(offset, dtype=float) for joint, offset in bones.items()}
    lengths = {"spine1": 7, "spine2": 12, "spine3": 12, "neck": 25, "head": 11}
    offsets |= {table[joint]: np.array([0.0, length, 0.0]) for joint, length in lengths.items()}
    return replace(figure, offsets=offsets)


def wandering(figure: Figure, frames: int = 40) -> Figure:
    """A motion of any joint about a figure's only pose, while it walks round a corner."""
    rng = np.random.default_rng(0)
    time = np.linspace(0, 1, frames)
    swing = np.sin(2 * np.pi * time[:, None, None] + rng.uniform(0, 2 * np.pi, (len(figure.parents), 3)))
    turns = Rotation.from_rotvec(0.4 * swing.reshape(-1, 3)).as_matrix().reshape(frames, -1, 3, 3)
    root = figure.root + 300 * np.stack([time**2, 0.01 * np.sin(9 * time), time], axis=1)
    return replace(figure, root=root, local=figure.local @ turns)


def thinned(bvh: Bvh, step: int) -> Figure:
    """Every so many frames of a file of LAFAN1."""
    names = bvh.joint_names
    parents = {name: names[parent] if parent >= 0 else None for name, parent in zip(names, bvh.parents, strict=True)}
    pos, rot = replace(bvh, motion=bvh.motion[::step]).global_poses()
    local = rot.copy()
    local[:, 1:] = np.swapaxes(rot[:, bvh.parents[1:]], -1, -2) @ rot[:, 1:]
    return Figure(parents, dict(zip(names, bvh.offsets, strict=True)), pos[:, 0], local)


def rotvec(clip: HumanClip, joint: str) -> np.ndarray:
    """(T, 3) local rotation vectors of a joint, degrees."""
    quat = clip.joint_quat[:, HUMAN_JOINTS.index(joint) - 1]
    return Rotation.from_quat(quat, scalar_first=True).as_rotvec(degrees=True)


def human_positions(bvh: Bvh) -> np.ndarray:
    """(T, 22, 3) positions of SMPL's joints by the file's own kinematics, in its axes and unit."""
    pos, _ = bvh.global_poses()
    return pos[:, [bvh.joint_names.index(CONVENTIONS["lafan1"][joint]) for joint in HUMAN_JOINTS]]


def refusal(path: Path, **options) -> str:
    with pytest.raises(UserError) as caught:
        read_bvh(path, **options)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


@pytest.fixture
def walker() -> Figure:
    return wandering(lafan1_like(T_POSE, spine_back=2.6))


# Laws


@pytest.mark.parametrize("skeleton", [lafan1_like(T_POSE, spine_back=2.6), t_shaped({}), t_shaped({}, arms_down=40)])
def test_joint_positions_are_those_of_the_file(skeleton: Figure, tmp_path: Path):
    path = wandering(skeleton).write(tmp_path / "walk.bvh")
    expected = human_positions(parse_bvh(path))[..., [2, 0, 1]] * 0.01
    np.testing.assert_allclose(read_bvh(path).joint_pos_w, expected, atol=1e-9)


@pytest.mark.parametrize("name", ["walk4_subject1", "ground1_subject1", "fallAndGetUp1_subject1"])
def test_joint_positions_are_those_of_real_files(name: str, lafan1: Path):
    path = lafan1 / "bvh" / f"{name}.bvh"
    expected = human_positions(parse_bvh(path))[..., [2, 0, 1]] * 0.01
    np.testing.assert_allclose(read_bvh(path).joint_pos_w, expected, atol=1e-6)


@pytest.mark.parametrize("order", ["".join(axes) for axes in permutations("XYZ")])
def test_any_order_of_channels_tells_the_same_motion(order: str, walker: Figure, tmp_path: Path):
    expected, _ = parse_bvh(walker.write(tmp_path / "zyx.bvh")).global_poses()
    pos, _ = parse_bvh(walker.write(tmp_path / "other.bvh", order)).global_poses()
    np.testing.assert_allclose(pos, expected, atol=1e-6)


def test_position_channels_of_every_joint_stand_in_for_offsets(walker: Figure, tmp_path: Path):
    path = tmp_path / "six.bvh"
    path.write_text(walker.text(positions=True))
    expected, _ = parse_bvh(walker.write(tmp_path / "three.bvh")).global_poses()
    np.testing.assert_allclose(parse_bvh(path).global_poses()[0], expected, atol=1e-6)


@pytest.mark.parametrize(("factor", "metres"), [(10.0, 1.0), (0.01, 1.0), (1.2, 1.2)], ids=["mm", "m", "taller"])
def test_scale_changes_lengths_but_no_rotation(factor: float, metres: float, walker: Figure, tmp_path: Path):
    expected = read_bvh(walker.write(tmp_path / "cm.bvh"))
    clip = read_bvh(walker.scaled(factor).write(tmp_path / "scaled.bvh"))
    np.testing.assert_allclose(clip.rotation_features(), expected.rotation_features(), atol=1e-6)
    np.testing.assert_allclose(clip.root_quat_w, expected.root_quat_w, atol=1e-6)
    np.testing.assert_allclose(clip.root_pos_w, metres * expected.root_pos_w, atol=1e-6)
    np.testing.assert_allclose(clip.leg_length, metres * expected.leg_length)


def test_a_file_with_z_up_tells_the_same_motion_in_a_turned_world(walker: Figure, tmp_path: Path):
    expected = read_bvh(walker.write(tmp_path / "y_up.bvh"))
    clip = read_bvh(walker.in_world(Z_UP).write(tmp_path / "z_up.bvh"))
    np.testing.assert_allclose(clip.rotation_features(), expected.rotation_features(), atol=1e-6)
    # worlds (x, -z, y) and (z, x, y) of the same file axes: a quarter turn apart
    x, y, z = np.moveaxis(clip.joint_pos_w, -1, 0)
    np.testing.assert_allclose(np.stack([-y, x, z], axis=-1), expected.joint_pos_w, atol=1e-6)


@pytest.mark.parametrize("turn", [Rotation.from_rotvec([1.0, 2.0, 3.0]), Rotation.from_euler("ZY", [90, 90], True)])
def test_other_frames_of_the_joints_tell_the_same_motion(turn: Rotation, walker: Figure, tmp_path: Path):
    expected = read_bvh(walker.write(tmp_path / "one.bvh"))
    clip = read_bvh(walker.with_frames(turn.as_matrix()).write(tmp_path / "other.bvh"))
    np.testing.assert_allclose(clip.rotation_features(), expected.rotation_features(), atol=1e-6)
    np.testing.assert_allclose(clip.joint_pos_w, expected.joint_pos_w, atol=1e-6)


def test_up_axis_of_every_real_file_and_its_turned_copy_is_found(lafan1: Path, tmp_path: Path):
    paths = sorted((lafan1 / "bvh").glob("*.bvh"))
    assert paths
    for path in paths:
        figure = thinned(parse_bvh(path), step=25)
        clip = read_bvh(figure.write(tmp_path / path.name))
        turned = read_bvh(figure.in_world(Z_UP).write(tmp_path / path.name))
        for found in (clip, turned):
            np.testing.assert_allclose(found.root_pos_w[:, 2], figure.root[:, 1] * 0.01, atol=1e-6, err_msg=path.name)
        np.testing.assert_allclose(turned.rotation_features(), clip.rotation_features(), atol=1e-6)


# Examples


def test_a_child_is_carried_round_by_its_parent(tmp_path: Path):
    path = tmp_path / "two.bvh"
    path.write_text(
        """HIERARCHY
        ROOT Base
        {
            OFFSET 7 7 7
            CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
            JOINT Tip
            {
                OFFSET 1 0 0
                CHANNELS 1 Yrotation
                End Site
                {
                    OFFSET 9 9 9
                }
            }
        }
        MOTION
        Frames: 1
        Frame Time: 0.01
        1 2 3 90 90 0 -90
        """
    )
    bvh = parse_bvh(path)
    assert bvh.joint_names == ("Base", "Tip")
    assert bvh.parents == (-1, 0)
    pos, rot = bvh.global_poses()
    # z first: x goes to y; then about the turned x: y goes to z; the tip's -90 about its y turns its x to its z
    np.testing.assert_allclose(pos[0], [[1, 2, 3], [1, 3, 3]], atol=1e-12)
    np.testing.assert_allclose(rot[0, 0].T, [[0, 1, 0], [0, 0, 1], [1, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(rot[0, 1] @ [1, 0, 0], rot[0, 0] @ [0, 0, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("figure", "degrees"),
    [
        (t_shaped({}), 1e-4),
        (lafan1_like(T_POSE), 1e-4),
        # the neck stands 2.7 degrees off the hips' up axis, and legs are within as much of a half turn
        (lafan1_like(T_POSE, spine_back=2.6), 2.7),
    ],
    ids=["zero pose", "half turns", "crooked spine"],
)
def test_a_t_pose_has_no_rotation(figure: Figure, degrees: float, tmp_path: Path):
    clip = read_bvh(figure.write(tmp_path / "t.bvh"))
    assert np.degrees(clip.local_rotations.magnitude()).max() < degrees
    assert np.degrees(clip.body_rotation.magnitude()).max() < degrees
    np.testing.assert_allclose(clip.root_pos_w, [[0, 0, 0.9]], atol=1e-9)
    np.testing.assert_allclose(clip.leg_length, 0.86)


@pytest.mark.parametrize(
    "figure",
    [
        t_shaped({"LeftUpLeg": (0, 0, -90), "LeftLeg": (0, 0, 90), "LeftForeArm": (0, -80, 0)}),
        lafan1_like(T_POSE | {"LeftUpLeg": (-90, 180, 0), "LeftLeg": (-90, 0, 0), "LeftForeArm": (-80, 0, 0)}),
    ],
    ids=["T-shaped", "like LAFAN1"],
)
def test_knees_bend_backwards_and_elbows_forwards(figure: Figure, tmp_path: Path):
    clip = read_bvh(figure.write(tmp_path / "seated.bvh"))
    np.testing.assert_allclose(rotvec(clip, "left_hip"), [[-90, 0, 0]], atol=1e-4)
    np.testing.assert_allclose(rotvec(clip, "left_knee"), [[90, 0, 0]], atol=1e-4)
    np.testing.assert_allclose(rotvec(clip, "left_elbow"), [[0, -80, 0]], atol=1e-4)
    at = dict(zip(HUMAN_JOINTS, clip.joint_pos_w[0], strict=True))
    np.testing.assert_allclose(at["left_knee"] - at["left_hip"], [0.44, 0, 0], atol=1e-6)
    np.testing.assert_allclose(at["left_ankle"] - at["left_knee"], [0, 0, -0.42], atol=1e-6)
    forearm = 0.25 * np.array([np.sin(np.radians(80)), np.cos(np.radians(80)), 0])
    np.testing.assert_allclose(at["left_wrist"] - at["left_elbow"], forearm, atol=1e-6)


def test_an_a_pose_has_lowered_arms(tmp_path: Path):
    clip = read_bvh(t_shaped({}, arms_down=40).write(tmp_path / "a.bvh"))
    np.testing.assert_allclose(rotvec(clip, "left_shoulder"), [[0, 0, -40]], atol=1e-4)
    np.testing.assert_allclose(rotvec(clip, "right_shoulder"), [[0, 0, 40]], atol=1e-4)


@pytest.mark.parametrize("name", ["walk4_subject1", "dance1_subject1", "ground1_subject1"])
def test_real_limbs_bend_about_the_axes_of_human_hinges(name: str, lafan1: Path):
    clip = read_bvh(lafan1 / "bvh" / f"{name}.bvh")
    hinges = {"left_knee": (0, 1), "right_knee": (0, 1), "left_elbow": (1, -1), "right_elbow": (1, 1)}
    for joint, (axis, sign) in hinges.items():
        turn = rotvec(clip, joint)
        angle = np.linalg.norm(turn, axis=1)
        bent = angle > 30
        assert sign * np.mean(turn[bent, axis] / angle[bent]) > 0.85, joint
    for joint in ("left_collar", "right_collar"):
        assert np.linalg.norm(rotvec(clip, joint), axis=1).mean() < 25, joint


@pytest.mark.parametrize("world", [np.eye(3), Z_UP], ids=["y up", "z up"])
def test_a_crawl_tells_the_up_axis_by_its_floor(world: np.ndarray, tmp_path: Path):
    # face down, head to the file's x and a little raised; the way goes round in y up's ground plane
    pose = t_shaped({}).in_world(Rotation.from_euler("YX", [90, 80], degrees=True).as_matrix())
    angle = np.linspace(0, 2 * np.pi, 30)
    root = np.stack([100 * np.cos(angle), np.full(30, 15.0), 100 * np.sin(angle)], axis=1)
    figure = replace(pose, root=root, local=np.repeat(pose.local, 30, axis=0))
    clip = read_bvh(figure.in_world(world).write(tmp_path / "crawl.bvh"))
    np.testing.assert_allclose(clip.root_pos_w[:, 2], 0.15, atol=1e-9)


def test_joints_between_the_known_ones_lengthen_the_bone(walker: Figure, tmp_path: Path):
    expected = read_bvh(walker.write(tmp_path / "plain.bvh"))
    parents = walker.parents | {"LeftForeArm": "Roll", "Roll": "LeftArm"}
    half = walker.offsets["LeftForeArm"] / 2
    offsets = walker.offsets | {"LeftForeArm": half, "Roll": half}
    local = np.concatenate([walker.local, np.tile(np.eye(3), (len(walker.local), 1, 1, 1))], axis=1)
    # joints of a file stand in the order of the hierarchy
    order = _depth_first(parents)
    columns = [list(parents).index(name) for name in order]
    split = Figure({name: parents[name] for name in order}, offsets, walker.root, local[:, columns])
    clip = read_bvh(split.write(tmp_path / "split.bvh"))
    np.testing.assert_allclose(clip.rotation_features(), expected.rotation_features(), atol=1e-6)
    np.testing.assert_allclose(clip.joint_pos_w, expected.joint_pos_w, atol=1e-6)


def _depth_first(parents: dict[str, str | None], above: str | None = None) -> list[str]:
    children = [name for name, parent in parents.items() if parent == above]
    return [name for child in children for name in (child, *_depth_first(parents, child))]


@pytest.mark.parametrize(
    ("printed", "fps"),
    [
        ("0.033333", 30),
        ("0.03333333333333", 30),
        ("0.008333", 120),
        ("0.016666", 60),  # cut off, not rounded
        ("1e-2", 100),
        ("0.040000", 25),
        ("0.033367", 1 / 0.033367),  # 29.97 is no integer, and no misprint of one
    ],
)
def test_rate_is_an_integer_where_the_printed_frame_time_allows(printed: str, fps: float, tmp_path: Path):
    path = tmp_path / "t.bvh"
    path.write_text(t_shaped({}).text(frame_time=printed))
    assert read_bvh(path).fps == pytest.approx(fps, rel=1e-12)


def test_the_clip_says_where_it_comes_from(tmp_path: Path):
    path = tmp_path / "walk.bvh"
    t_shaped({}).write(path)
    clip = read_bvh(path, licence="CC BY 4.0")
    assert clip.name == "walk"
    assert clip.provenance == Provenance("walk.bvh", hashlib.sha256(path.read_bytes()).hexdigest(), "CC BY 4.0")


def test_named_axis_and_unit_overrule_the_evidence(tmp_path: Path):
    path = t_shaped({}).scaled(0.1).write(tmp_path / "doll.bvh")
    clip = read_bvh(path, up="z", unit="cm")
    np.testing.assert_allclose(clip.root_pos_w, [[0, 0.09, 0]], atol=1e-9)
    np.testing.assert_allclose(clip.leg_length, 0.086)


# Refusals


def test_a_lying_body_does_not_tell_the_up_axis(tmp_path: Path):
    lying = t_shaped({}).in_world(Z_UP).write(tmp_path / "lying.bvh")
    assert re.search(r"0\.\d\d along y and 1\.\d\d along z.*--bvh-up y\|z", refusal(lying))


def test_legs_of_no_human_length_do_not_tell_the_unit(tmp_path: Path):
    giant = t_shaped({}).scaled(3).write(tmp_path / "giant.bvh")
    assert re.search(r"measures 258.*--bvh-unit m\|cm\|mm", refusal(giant))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    assert "no such file" in refusal(tmp_path / "absent.bvh")
    assert "is a folder" in refusal(tmp_path)


def _line(number: int, edit: Callable[[str], str]) -> Callable[[str], str]:
    """Change one line of the file, counted from its end."""

    def change(text: str) -> str:
        lines = text.rstrip("\n").split("\n")
        lines[number] = edit(lines[number])
        return "\n".join(lines)

    return change


def _first_value(value: str) -> Callable[[str], str]:
    return lambda line: " ".join([value, *line.split()[1:]])


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (lambda text: "", "empty"),
        (lambda text: " \n", "empty"),
        (lambda text: "v 1 0 0\n", "HIERARCHY"),
        (lambda text: text.partition("MOTION")[0], "no line MOTION"),
        (lambda text: text.replace("Frames:", "Pictures:"), "Frames:"),
        (lambda text: text.rstrip().rsplit("\n", 2)[0], "promises 40 frames, the file holds 38"),
        (lambda text: text.replace("Frames: 40", "Frames: many"), "promises many frames, the file holds 40"),
        (lambda text: text.partition("Frames:")[0] + "Frames: 0\nFrame Time: 0.1\n", "no frames"),
        (_line(-3, lambda line: line.rsplit(" ", 1)[0]), "frame 37 has 68 values, the hierarchy has 69"),
        (_line(-3, _first_value("nan")), "frame 37: Hips Xposition is nan"),
        (_line(-3, _first_value("inf")), "frame 37: Hips Xposition is inf"),
        (_line(-3, _first_value("1,5")), "'1,5' to float64 at row 37"),
        (lambda text: text.replace("0.033333", "0"), "Frame Time is 0,"),
        (lambda text: text.replace("0.033333", "-0.01"), "Frame Time is -0.01,"),
        (lambda text: text.replace("0.033333", "nan"), "Frame Time is nan,"),
        (lambda text: text.replace("0.033333", "soon"), "Frame Time is soon,"),
        (
            lambda text: text.replace("LeftToe", "LeftToes").replace("Head", "Skull"),
            "of lafan1's joints Head, LeftToe are missing",
        ),
        (lambda text: text.replace("JOINT Neck", "JOINT Head"), "two joints are named Head"),
        (lambda text: text.replace("}", "", 1), "brace is missing"),
        (lambda text: text.replace("MOTION", "}\nMOTION"), "unexpected line '}'"),
        (lambda text: text.replace("OFFSET 44.", "OFFSET x"), "OFFSET of LeftLeg"),
        (lambda text: text.replace("CHANNELS 3", "CHANNELS 4", 1), "CHANNELS of LeftUpLeg"),
        (lambda text: text.replace("Zrotation", "Wrotation", 1), "CHANNELS of Hips"),
        (lambda text: text.replace("OFFSET 44.", "OFFSET 0."), "left_hip has no length"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_file_is_refused_with_its_cause(
    damage: Callable[[str], str], cause: str, walker: Figure, tmp_path: Path
):
    path = tmp_path / "damaged.bvh"
    path.write_text(damage(walker.text()))
    assert cause in refusal(path)


def test_a_joint_on_the_wrong_branch_is_refused(walker: Figure, tmp_path: Path):
    text = walker.text()
    swapped = text.replace("LeftForeArm", "@").replace("LeftLeg", "LeftForeArm").replace("@", "LeftLeg")
    path = tmp_path / "swapped.bvh"
    path.write_text(swapped)
    assert "LeftLeg does not hang below LeftUpLeg" in refusal(path)
