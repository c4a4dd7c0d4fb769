"""Skeletons of several makers, posed alike, tell the same motion; whatever else is in them does not count."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip
from g1_vq_retarget.motion.formats.bvh import TOES, parse_bvh, read_bvh, write_bvh
from g1_vq_retarget.motion.formats.bvh_conventions import CONVENTIONS, find_joints
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.human_axes import METRES, WORLD_AXES
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS, HUMAN_PARENTS
from synthetic import human_clip

COMPLETE = [name for name, table in CONVENTIONS.items() if set(table) == set(HUMAN_JOINTS)]
AT = {name: index for index, name in enumerate(HUMAN_JOINTS)}
LEFT, UP, FORWARD = np.eye(3)


@dataclass(frozen=True)
class Rig:
    """A maker's skeleton: names, the axes of its joints in a T-pose (columns, in SMPL's axes), and what else is in it.

    `extra` joints follow the joint above them: (name, name above, way in SMPL's axes m). Where one takes the place of a
    SMPL joint's parent, that joint is named last.
    """

    names: Mapping[str, str]
    axes: Mapping[str, np.ndarray] = field(default_factory=dict)
    extra: Sequence[tuple[str, str | None, tuple[float, float, float], str]] = ()
    tips: Mapping[str, np.ndarray] = field(default_factory=dict)
    prefix: str = ""
    order: str = "ZYX"
    positions: bool = False
    unit: str = "cm"

    def text(self, clip: HumanClip, up: str = "y") -> str:
        """The clip as a BVH of this skeleton, with end sites where `tips` has them."""
        joint_of = {name: joint for joint, name in self.names.items()}
        above: dict[str, str | None] = {}
        offsets: dict[str, np.ndarray] = {}
        for joint, name in self.names.items():
            parent = HUMAN_PARENTS[AT[joint]]
            way = clip.rest_offsets[AT[joint]].copy()
            while parent > 0 and HUMAN_JOINTS[parent] not in self.names:
                way += clip.rest_offsets[parent]
                parent = HUMAN_PARENTS[parent]
            above[name], offsets[name] = (None if parent < 0 else self.names[HUMAN_JOINTS[parent]]), way
        follows = dict[str, str]()
        for name, parent, way, child in self.extra:
            above[name], offsets[name] = parent, np.array(way)
            if child:
                above[child] = name
                offsets[child] = offsets[child] - offsets[name]
            follows[name] = child if parent is None else parent

        def owner(name: str) -> str:
            """The SMPL joint that a joint turns with."""
            while name not in joint_of:
                name = follows[name]
            return joint_of[name]

        size, world = 1 / METRES[self.unit], WORLD_AXES[up]
        frames = {name: self.axes.get(owner(name), np.eye(3)) for name in above}
        rot = {name: world.T @ clip.joint_rot_w[:, AT[owner(name)]] @ frames[name] for name in above}
        columns: list[np.ndarray] = []
        kinds = " ".join(f"{axis}rotation" for axis in self.order)

        def block(name: str) -> list[str]:
            parent = above[name]
            offset = np.zeros(3) if parent is None else frames[parent].T @ offsets[name] * size
            moves = parent is None or self.positions
            if parent is None:
                columns.append(size * (clip.root_pos_w @ world))
                turn = rot[name]
            else:
                turn = np.swapaxes(rot[parent], -1, -2) @ rot[name]
                if self.positions:
                    columns.append(np.tile(offset, (len(clip), 1)))
            columns.append(Rotation.from_matrix(turn).as_euler(self.order, degrees=True))
            where = "6 Xposition Yposition Zposition" if moves else "3"
            lines = [f"{'JOINT' if parent else 'ROOT'} {self.prefix}{name}", "{"]
            lines += ["OFFSET " + " ".join(f"{value:.12f}" for value in offset), f"CHANNELS {where} {kinds}"]
            for child, its in above.items():
                if its == name:
                    lines += block(child)
            if name in self.tips:
                tip = frames[name].T @ self.tips[name] * size
                lines += ["End Site", "{", "OFFSET " + " ".join(f"{value:.12f}" for value in tip), "}"]
            return [*lines, "}"]

        root = next(name for name, parent in above.items() if parent is None)
        head = ["HIERARCHY", *block(root), "MOTION", f"Frames: {len(clip)}", f"Frame Time: {1 / clip.fps:.12f}"]
        rows = [" ".join(f"{value:.12f}" for value in row) for row in np.concatenate(columns, axis=1)]
        return "\n".join([*head, *rows, ""])


def axes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([x, y, np.cross(x, y)], axis=1)


def fingers(names: Mapping[str, str], *kinds: str) -> list[tuple[str, str | None, tuple[float, float, float], str]]:
    return [
        (
            f"{side}Hand{kind}{number}",
            f"{side}Hand{kind}{number - 1}" if number > 1 else f"{side}Hand",
            (way, 0, 0.01),
            "",
        )
        for side, way in (("Left", 0.04), ("Right", -0.04))
        for kind in kinds
        for number in (1, 2, 3)
    ]


# SOMA: on the left x runs along the bones, on the right against them, and y and z are the mirror's negative, too.
TRUNK = axes(UP, FORWARD)
SOMA_AXES: dict[str, np.ndarray] = dict.fromkeys(("pelvis", "spine1", "spine2", "spine3", "neck", "head"), TRUNK)
SOMA_AXES |= dict.fromkeys(("left_hip", "left_knee"), axes(-UP, -FORWARD))
SOMA_AXES |= dict.fromkeys(("right_hip", "right_knee"), axes(UP, FORWARD))
SOMA_AXES |= dict.fromkeys(("left_ankle", "left_foot"), axes(TOES, np.cross(LEFT, TOES)))
SOMA_AXES |= dict.fromkeys(("right_ankle", "right_foot"), axes(-TOES, np.cross(LEFT, -TOES)))
SOMA_AXES |= dict.fromkeys([f"left_{joint}" for joint in ("collar", "shoulder", "elbow", "wrist")], axes(LEFT, FORWARD))
SOMA_AXES |= dict.fromkeys(
    [f"right_{joint}" for joint in ("collar", "shoulder", "elbow", "wrist")], axes(LEFT, -FORWARD)
)
# LAFAN1's, for comparison: x along every bone; legs with y in front, arms with y behind.
LAFAN1_AXES = dict.fromkeys(("pelvis", "spine1", "spine2", "spine3", "neck", "head"), TRUNK)
for _side, _out in (("left", LEFT), ("right", -LEFT)):
    LAFAN1_AXES |= dict.fromkeys((f"{_side}_hip", f"{_side}_knee"), axes(-UP, FORWARD))
    LAFAN1_AXES |= dict.fromkeys((f"{_side}_ankle", f"{_side}_foot"), axes(TOES, np.cross(-LEFT, TOES)))
    LAFAN1_AXES |= dict.fromkeys(
        [f"{_side}_{j}" for j in ("collar", "shoulder", "elbow", "wrist")], axes(_out, -FORWARD)
    )

ODD = Rotation.from_rotvec([1.0, 2.0, 3.0]).as_matrix()
FIVE = ("Thumb", "Index", "Middle", "Ring", "Pinky")
RIGS = {
    "lafan1": Rig(CONVENTIONS["lafan1"], LAFAN1_AXES),
    "mixamo": Rig(CONVENTIONS["mixamo"], extra=fingers(CONVENTIONS["mixamo"], *FIVE), prefix="mixamorig:"),
    "mixamo, another prefix": Rig(CONVENTIONS["mixamo"], prefix="mixamorig1_", order="XYZ", unit="m"),
    "mixamo, odd frames": Rig(CONVENTIONS["mixamo"], {j: ODD for j in HUMAN_JOINTS}, prefix="Skeleton_1:"),  # noqa: C420
    "optitrack": Rig(CONVENTIONS["mixamo"], prefix="Actor_One_", unit="mm"),
    "xsens": Rig(CONVENTIONS["xsens"], extra=[("Chest3", "Chest2", (0, 0.05, 0), "Chest4")], order="YXZ", unit="cm"),
    "soma": Rig(
        CONVENTIONS["soma"],
        SOMA_AXES,
        extra=[
            ("Root", None, (0, 0, 0), "Hips"),
            ("Neck2", "Neck1", (0, 0.05, 0), "Head"),
            ("Jaw", "Head", (0, 0, 0.05), ""),
            *fingers(CONVENTIONS["soma"], *FIVE),
        ],
    ),
    "cmu": Rig(
        CONVENTIONS["cmu"],
        extra=[
            ("LHipJoint", "Hips", (0, 0, 0), "LeftUpLeg"),
            ("RHipJoint", "Hips", (0, 0, 0), "RightUpLeg"),
            ("Neck", "Spine1", (0, 0, 0), "Neck1"),
            ("LThumb", "LeftHand", (0, 0, 0), ""),
        ],
        unit="cmu",
    ),
    "movin_v3": Rig(
        CONVENTIONS["movin_v3"],
        extra=[
            ("Spine1", "Spine", (0, 0.04, 0), "Spine2"),
            ("Neck1", "Neck", (0, 0.05, 0), "Head"),
            *fingers(CONVENTIONS["movin_v3"], *FIVE),
        ],
        order="YXZ",
    ),
    "movin": Rig(CONVENTIONS["movin"], extra=fingers(CONVENTIONS["movin"], *FIVE), order="YXZ"),
    "neuron": Rig(
        CONVENTIONS["neuron"],
        extra=[("Spine1", "Spine", (0, 0.04, 0), "Spine2"), *fingers(CONVENTIONS["neuron"], *FIVE)],
        tips={f"{side}Foot": 0.13 * TOES for side in ("Left", "Right")},
        order="YXZ",
        positions=True,
    ),
}


@pytest.fixture(scope="module")
def walker() -> HumanClip:
    """A body in whose T-pose every bone points along its axis; spine2 and the toes do not turn."""
    clip = human_clip(40, seed=3)
    offsets, quat = clip.rest_offsets.copy(), clip.joint_quat.copy()
    for side in ("left", "right"):
        offsets[AT[f"{side}_foot"]] = 0.13 * TOES
        quat[:, AT[f"{side}_foot"] - 1] = (1, 0, 0, 0)
    quat[:, AT["spine2"] - 1] = (1, 0, 0, 0)
    way = np.linspace(0, 3, len(clip))[:, None] * (1, 1, 0)  # a walk tells which way is up
    return replace(
        clip, rest_offsets=offsets, joint_quat=quat, root_pos_w=clip.root_pos_w * (1, 1, 0) + way + (0, 0, 1)
    )


def assert_same(clip: HumanClip, expected: HumanClip, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(clip.rotation_features(), expected.rotation_features(), atol=atol)
    np.testing.assert_allclose(clip.root_rotation.as_matrix(), expected.root_rotation.as_matrix(), atol=atol)
    np.testing.assert_allclose(clip.joint_pos_w, expected.joint_pos_w, atol=atol)
    assert clip.fps == expected.fps


@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize("up", ["y", "z"])
def test_every_skeleton_posed_alike_tells_the_same_motion(rig: str, up: str, walker: HumanClip, tmp_path: Path) -> None:
    path = tmp_path / "walk.bvh"
    path.write_text(RIGS[rig].text(walker, up))
    findings = list[Finding]()
    assert_same(read_bvh(path, findings=findings), walker)
    convention = {"optitrack": "mixamo"}.get(rig, rig.partition(",")[0])
    assert [finding.answer for finding in findings] == [convention, RIGS[rig].unit, up]


def test_movin_has_as_many_joints_as_its_maker_says(walker: HumanClip) -> None:
    assert len(re.findall("JOINT|ROOT", RIGS["movin"].text(walker))) == 51
    assert len(re.findall("JOINT|ROOT", RIGS["movin_v3"].text(walker))) == 54


def test_turns_between_the_known_joints_are_kept_below_them(walker: HumanClip, tmp_path: Path) -> None:
    # Neck1's frame of the CMU skeleton is the neck's; what Neck turns is part of it
    text = RIGS["cmu"].text(walker)
    bvh_path = tmp_path / "cmu.bvh"
    bvh_path.write_text(text)
    bvh = parse_bvh(bvh_path)
    column = sum(map(len, bvh.channels[: bvh.joint_names.index("Neck")]))
    motion = bvh.motion.copy()
    motion[:, column : column + 3] += (20, 10, 0)
    head = text.partition("Frame Time")[0]
    rows = "\n".join(" ".join(f"{value:.9f}" for value in row) for row in motion)
    bvh_path.write_text(f"{head}Frame Time: {1 / walker.fps:.9f}\n{rows}\n")
    with pytest.warns(UserWarning, match="neck is 0\\."):  # but Neck1 hangs below Neck
        clip = read_bvh(bvh_path)
    _, rot = parse_bvh(bvh_path).global_poses()
    for joint in ("spine3", "neck", "head", "left_wrist"):
        expected = WORLD_AXES["y"] @ rot[:, bvh.joint_names.index(CONVENTIONS["cmu"][joint])]
        np.testing.assert_allclose(clip.joint_rot_w[:, AT[joint]], expected, atol=1e-6, err_msg=joint)
    assert np.abs(clip.joint_rot_w[:, AT["neck"]] - walker.joint_rot_w[:, AT["neck"]]).max() > 0.1


def test_a_turn_between_known_joints_that_moves_others_far_is_told(walker: HumanClip, tmp_path: Path) -> None:
    rig = replace(RIGS["mixamo"], extra=[("Knot", "Spine2", (0, 0.2, 0), "Neck")], prefix="")
    text = rig.text(walker)
    path = tmp_path / "knot.bvh"
    path.write_text(text)
    bvh = parse_bvh(path)
    column = sum(map(len, bvh.channels[: bvh.joint_names.index("Knot")]))
    motion = bvh.motion.copy()
    motion[7, column] += 90
    rows = "\n".join(" ".join(f"{value:.9f}" for value in row) for row in motion)
    path.write_text(f"{text.partition('Frame Time')[0]}Frame Time: 0.033333\n{rows}\n")
    with pytest.warns(UserWarning, match=r"knot\.bvh: \w+ is 0\.\d+ m from where the file has it at frame 7"):
        read_bvh(path)


def cmu_hierarchy() -> str:
    """Names and, rounded, proportions of the CMU skeletons: legs apart, joints of no length, 1 / 0.45 inch."""

    def joint(name: str, offset: str, *inside: str, kind: str = "JOINT") -> str:
        where = "6 Xposition Yposition Zposition" if kind == "ROOT" else "3"
        tip = "End Site\n{\nOFFSET 0 0 1\n}"
        body = "\n".join(inside or (tip,))
        return f"{kind} {name}\n{{\nOFFSET {offset}\nCHANNELS {where} Zrotation Yrotation Xrotation\n{body}\n}}"

    def side(name: str, s: int) -> tuple[str, str]:
        toe = joint(f"{name}ToeBase", f"{0.16 * s} -0.44 1.95")
        foot = joint(f"{name}Foot", f"{2.53 * s} -6.96 0", toe)
        leg = joint(f"{name}UpLeg", f"{1.86 * s} -1.74 0.85", joint(f"{name}Leg", f"{2.37 * s} -6.51 0", foot))
        finger = joint(f"{name}FingerBase", "0 0 0", joint(f"{name}HandIndex1", f"{0.8 * s} 0 0"))
        hand = joint(f"{name}Hand", f"{3.36 * s} 0 0", finger, joint(f"{name[0]}Thumb", "0 0 0"))
        arm = joint(f"{name}Arm", f"{3.28 * s} 0.86 0.05", joint(f"{name}ForeArm", f"{4.97 * s} 0 0", hand))
        return joint(f"{name[0]}HipJoint", "0 0 0", leg), joint(f"{name}Shoulder", "0 0 0", arm)

    (left_leg, left_arm), (right_leg, right_arm) = side("Left", 1), side("Right", -1)
    neck = joint("Neck", "0 0 0", joint("Neck1", "-0.12 1.43 0.28", joint("Head", "0.18 1.46 -0.33")))
    spine = joint("Spine", "-0.02 2.24 -0.04", joint("Spine1", "0.05 2.19 -0.19", neck, left_arm, right_arm))
    trunk = joint("LowerBack", "0 0 0", spine)
    return "HIERARCHY\n" + joint("Hips", "0 0 0", left_leg, right_leg, trunk, kind="ROOT")


def test_cmus_own_skeleton_stands_in_a_t_pose_with_its_legs_apart(tmp_path: Path) -> None:
    hierarchy = cmu_hierarchy()
    path = tmp_path / "cmu.bvh"
    columns = 3 * hierarchy.count("CHANNELS") + 3
    path.write_text(
        f"{hierarchy}\nMOTION\nFrames: 1\nFrame Time: 0.0083333\n0 16 0 {' '.join(['0'] * (columns - 3))}\n"
    )
    clip = read_bvh(path)
    bvh = parse_bvh(path)
    pos, _ = bvh.global_poses()
    joints = [bvh.joint_names.index(CONVENTIONS["cmu"][joint]) for joint in HUMAN_JOINTS]
    np.testing.assert_allclose(clip.joint_pos_w, pos[:, joints][..., [2, 0, 1]] * 0.0254 / 0.45, atol=1e-6)
    assert clip.fps == 120
    assert 0.75 < clip.leg_length < 0.85
    # a hip leans out by atan(2.37 / 6.51) = 20 degrees about the front; arms are level
    hip = Rotation.from_quat(clip.joint_quat[0, AT["left_hip"] - 1], scalar_first=True).as_rotvec(degrees=True)
    np.testing.assert_allclose(hip, [0, 0, 20], atol=3)
    elbow = Rotation.from_quat(clip.joint_quat[0, AT["left_elbow"] - 1], scalar_first=True).magnitude()
    assert np.degrees(elbow) < 1


@pytest.mark.parametrize("convention", COMPLETE)
def test_a_written_bvh_tells_the_same_motion(convention: str, walker: HumanClip, tmp_path: Path) -> None:
    clip = human_clip(50, seed=5)
    write_bvh(clip, tmp_path / "back.bvh", convention)
    findings = list[Finding]()
    assert_same(read_bvh(tmp_path / "back.bvh", findings=findings), clip)
    assert findings[0].answer == convention


@pytest.mark.parametrize("unit", METRES)
@pytest.mark.parametrize("up", ["y", "z"])
def test_units_and_axes_of_a_written_bvh_are_found_again(unit: str, up: str, walker: HumanClip, tmp_path: Path) -> None:
    write_bvh(walker, tmp_path / "back.bvh", unit=unit, up=up)  # type: ignore[arg-type]
    assert_same(read_bvh(tmp_path / "back.bvh"), walker)


def test_a_bvh_is_not_written_without_a_name_for_every_joint(walker: HumanClip, tmp_path: Path) -> None:
    for convention in ("movin", "neuron", "nobody"):
        with pytest.raises(UserError, match=rf"names of '{convention}': choose lafan1, "):
            write_bvh(walker, tmp_path / "no.bvh", convention)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("convention", COMPLETE)
def test_a_real_file_under_other_names_reads_alike(convention: str, lafan1: Path, tmp_path: Path) -> None:
    text = (lafan1 / "bvh" / "walk4_subject1.bvh").read_text()
    head, _, motion = text.partition("MOTION")
    rows = motion.splitlines()
    count = 200
    short = "\n".join([head + "MOTION", f"Frames: {count}", rows[2], *rows[3 : 3 + count], ""])
    (tmp_path / "walk.bvh").write_text(short)
    expected = read_bvh(tmp_path / "walk.bvh")
    new = dict(zip(CONVENTIONS["lafan1"].values(), CONVENTIONS[convention].values(), strict=True))
    assert list(CONVENTIONS["lafan1"]) == list(CONVENTIONS[convention])
    renamed = re.sub(r"(ROOT|JOINT) (\w+)", lambda match: f"{match[1]} {new[match[2]]}", short)
    (tmp_path / "renamed.bvh").write_text(renamed)
    assert_same(read_bvh(tmp_path / "renamed.bvh"), expected, atol=1e-12)
    write_bvh(expected, tmp_path / "back.bvh", convention)
    assert_same(read_bvh(tmp_path / "back.bvh"), expected)


@pytest.mark.parametrize(
    "prefix", ["", "mixamorig:", "mixamorig", "mixamorig_", "mixamorig12:", "Some Body|Left_", "a-b-"]
)
def test_prefixes_do_not_count(prefix: str) -> None:
    names = [prefix + name for name in (*CONVENTIONS["mixamo"].values(), "LeftHandThumb1")]
    convention, joints = find_joints(names)
    assert convention == "mixamo"
    assert [names[joints[joint]] for joint in HUMAN_JOINTS] == [prefix + CONVENTIONS["mixamo"][j] for j in HUMAN_JOINTS]


@pytest.mark.parametrize(
    ("convention", "joint"),
    [("mixamo", "LeftToeBase"), ("cmu", "LowerBack"), ("soma", "LeftShin"), ("xsens", "Chest2"), ("movin_v3", "Head")],
)
def test_a_missing_joint_is_named_with_the_nearest_convention(convention: str, joint: str) -> None:
    names = [name for name in CONVENTIONS[convention].values() if name != joint]
    with pytest.raises(UserError, match=rf"of {convention}'s joints {joint} is missing"):
        find_joints(names)


def test_two_skeletons_in_a_file_are_refused() -> None:
    names = list(CONVENTIONS["mixamo"].values())
    with pytest.raises(UserError, match="2 joints are named Hips"):
        find_joints(["Scene", *(f"A:{name}" for name in names), *(f"B:{name}" for name in names)])


def test_a_foot_without_toe_and_end_site_is_refused(walker: HumanClip, tmp_path: Path) -> None:
    (tmp_path / "no.bvh").write_text(replace(RIGS["neuron"], tips={}).text(walker))
    with pytest.raises(UserError, match="LeftFoot has neither a toe below it nor an end site"):
        read_bvh(tmp_path / "no.bvh")
