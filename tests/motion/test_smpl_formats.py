"""SMPL parameters: AMASS in both spellings, and what GVHMR and WHAM find in video."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip
from g1_vq_retarget.motion.formats import ReadOptions, examine_motion, load_motion, load_motions, save_motion
from g1_vq_retarget.motion.formats.amass_npz import read_amass_npz, write_amass_npz
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.human_axes import WORLD_AXES
from g1_vq_retarget.motion.formats.npz import write_arrays
from g1_vq_retarget.motion.formats.smpl_params import read_smpl_params
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS, HUMAN_PARENTS
from g1_vq_retarget.motion.smpl_body import mean_body
from synthetic import human_clip, robot_clip

FRAMES = 60
Edit = Callable[[dict], None]


@pytest.fixture(scope="module")
def walker() -> HumanClip:
    """A walk that tells which way is up, by a body on the floor."""
    clip = human_clip(FRAMES, seed=3)
    way = np.linspace(0, 3, FRAMES)[:, None] * (1, 1, 0)
    return replace(clip, root_pos_w=clip.root_pos_w * (1, 1, 0) + way + (0, 0, 0.92))


def vectors(clip: HumanClip, up: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Root and body rotation vectors (T, 3) and (T, 63), and root positions, in a file's axes."""
    root = Rotation.from_matrix(WORLD_AXES[up].T @ clip.root_rotation.as_matrix()).as_rotvec()
    return root, clip.local_rotations.as_rotvec().reshape(len(clip), -1), clip.root_pos_w @ WORLD_AXES[up]


def smplh(clip: HumanClip, up: str = "z") -> dict[str, np.ndarray]:
    root, body, pos = vectors(clip, up)
    hands = np.full((len(clip), 156 - 66), 0.3)
    return {
        "poses": np.concatenate([root, body, hands], axis=1),
        "trans": pos - mean_body("smpl").pelvis,
        "betas": np.zeros(16),
        "gender": np.array("male"),
        "dmpls": np.zeros((len(clip), 8)),
        "mocap_framerate": np.array(clip.fps),
    }


def smplx(clip: HumanClip, up: str = "z") -> dict[str, np.ndarray]:
    root, body, pos = vectors(clip, up)
    return {
        "poses": np.concatenate([root, body, np.full((len(clip), 165 - 66), 0.3)], axis=1),
        "root_orient": root,
        "pose_body": body,
        "trans": pos - mean_body("smplx").pelvis,
        "betas": np.zeros(16),
        "gender": np.array("neutral"),
        "surface_model_type": np.array("smplx"),
        "mocap_frame_rate": np.array(clip.fps),
    }


def without(*keys: str) -> Edit:
    def edit(arrays: dict) -> None:
        for key in keys:
            del arrays[key]

    return edit


def assert_same_motion(clip: HumanClip, expected: HumanClip, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(clip.rotation_features(), expected.rotation_features(), atol=atol)
    np.testing.assert_allclose(clip.root_rotation.as_matrix(), expected.root_rotation.as_matrix(), atol=atol)
    np.testing.assert_allclose(clip.root_pos_w, expected.root_pos_w, atol=atol)
    assert clip.fps == expected.fps


# AMASS


@pytest.mark.parametrize("up", ["y", "z"])
@pytest.mark.parametrize(
    ("make", "edit", "family"),
    [
        (smplh, lambda arrays: None, "smpl"),
        (smplh, without("betas", "gender"), "smpl"),
        (smplx, lambda arrays: None, "smplx"),
        (smplx, without("poses", "surface_model_type"), "smplx"),
        (smplx, without("root_orient", "pose_body"), "smplx"),
    ],
    ids=["SMPL-H", "SMPL-H, bare", "SMPL-X", "SMPL-X, named", "SMPL-X, joined"],
)
def test_both_spellings_and_both_axes_tell_the_same_motion(
    make: Callable[[HumanClip, str], dict], edit: Edit, family: str, up: str, walker: HumanClip, tmp_path: Path
) -> None:
    arrays = make(walker, up)
    edit(arrays)
    write_arrays(tmp_path / "walk.npz", arrays)
    findings = list[Finding]()
    clip = read_amass_npz(tmp_path / "walk.npz", findings=findings, licence="theirs")
    assert_same_motion(clip, walker)
    assert [finding.answer for finding in findings[::2]] == [family, up]
    assert findings[1].answer.startswith("a mean body's proportions at 1.66 m")
    assert (clip.name, clip.provenance.source, clip.provenance.licence) == ("walk", "walk.npz", "theirs")


def test_a_human_survives_amass_but_for_the_lengths_of_bones(walker: HumanClip, tmp_path: Path) -> None:
    write_amass_npz(walker, tmp_path / "walk.npz")
    back = read_amass_npz(tmp_path / "walk.npz")
    assert_same_motion(back, walker)
    assert back.provenance.licence == walker.provenance.licence
    with np.load(tmp_path / "walk.npz") as file:
        assert file["poses"].shape == (FRAMES, 165)
        np.testing.assert_array_equal(file["poses"][:, 3:66], file["pose_body"])


def test_the_mean_body_is_a_persons(walker: HumanClip) -> None:
    body = mean_body("smpl")
    clip = replace(walker, rest_offsets=body.rest_offsets)
    pos = np.zeros((22, 3))
    for joint, parent in enumerate(HUMAN_PARENTS[1:], start=1):
        pos[joint] = pos[parent] + body.rest_offsets[joint]
    at = dict(zip(HUMAN_JOINTS, pos, strict=True))
    assert 0.75 < clip.leg_length < 0.85
    assert 1.45 < at["head"][1] - at["left_foot"][1] < 1.55  # up to the base of the skull
    np.testing.assert_allclose(pos[1::3][0] * (-1, 1, 1), at["right_hip"])
    # a rule of GMR: 10 cm a unit of the first shape parameter
    tall = mean_body("smpl", np.array([1.66, 0.0]))
    np.testing.assert_allclose(tall.rest_offsets, 1.1 * body.rest_offsets)
    np.testing.assert_allclose(tall.pelvis, 1.1 * body.pelvis)
    np.testing.assert_allclose(mean_body("smpl", np.array([1e5])).rest_offsets, 2.2 / 1.66 * body.rest_offsets)


def write_model(path: Path, vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """A stand-in for a body model: each joint is one vertex, which the shape moves. Joints (24, 3), directions."""
    rng = np.random.default_rng(0)
    template, directions = np.zeros((vertices, 3)), np.zeros((vertices, 3, 10))
    template[:24], directions[:24] = rng.normal(0, 0.3, (24, 3)), rng.normal(0, 0.01, (24, 3, 10))
    write_arrays(path, {"J_regressor": np.eye(24, vertices), "v_template": template, "shapedirs": directions})
    return template[:24], directions[:24]


@pytest.mark.filterwarnings("ignore:.*lowest joint")  # a body of random lengths
def test_a_body_model_gives_the_exact_lengths_and_place_of_the_pelvis(walker: HumanClip, tmp_path: Path) -> None:
    template, directions = write_model(tmp_path / "SMPLH_MALE.npz", 6890)
    arrays = smplh(walker)
    betas = np.linspace(-2, 2, 16)
    write_arrays(tmp_path / "walk.npz", (arrays | {"betas": betas}))
    findings = list[Finding]()
    clip = read_amass_npz(tmp_path / "walk.npz", smpl_model=tmp_path / "SMPLH_MALE.npz", findings=findings, up="z")
    joints = template + directions @ betas[:10]
    np.testing.assert_allclose(clip.root_pos_w, arrays["trans"] + joints[0], atol=1e-12)
    np.testing.assert_allclose(clip.rest_offsets[4], joints[4] - joints[1], atol=1e-12)
    np.testing.assert_allclose(clip.rest_offsets[0], 0)
    assert str(findings[1]) == "lengths of the body: SMPLH_MALE.npz with 10 shape parameters, told by the caller"


def test_a_body_model_of_another_family_or_none_is_refused(walker: HumanClip, tmp_path: Path) -> None:
    write_model(tmp_path / "smplx.npz", 10475)
    write_arrays(tmp_path / "walk.npz", smplh(walker))
    with pytest.raises(UserError, match=r"smplx\.npz: 10475 vertices, expected 6890"):
        read_amass_npz(tmp_path / "walk.npz", smpl_model=tmp_path / "smplx.npz")
    with pytest.raises(UserError, match=r"walk\.npz is no SMPL model .* smplx package"):
        read_amass_npz(tmp_path / "walk.npz", smpl_model=tmp_path / "walk.npz")
    with pytest.raises(UserError, match=r"SMPL\.pkl: no such file"):
        read_amass_npz(tmp_path / "walk.npz", smpl_model=tmp_path / "SMPL.pkl")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"poses": np.zeros((FRAMES, 150))}, r"poses has shape \(60, 150\), expected frames of 72, 156, 165 numbers"),
        ({"poses": np.zeros((7, 156))}, r"root_orient has shape \(7, 3\), expected \(60, 3\)"),
        ({"poses": np.zeros(156)}, "poses has shape"),
        ({"trans": np.zeros((FRAMES, 2))}, r"trans has shape \(60, 2\)"),
        ({"trans": np.zeros((0, 3)), "poses": np.zeros((0, 156))}, "no frames"),
        ({"trans": np.full((FRAMES, 3), np.nan)}, "trans is nan at frame 0"),
        ({"poses": np.full((FRAMES, 156), 1e300)}, "root_orient is 1e.300 at frame 0"),
        ({"betas": np.full(16, np.inf)}, "betas"),
        ({"betas": np.array("tall")}, "betas holds"),
        ({"mocap_framerate": np.array(0.0)}, "fps must be"),
        ({"mocap_framerate": None}, r"lacks a frame rate \(mocap_framerate.*--source-fps"),
        ({"poses": None}, "lacks poses, or root_orient and pose_body"),
        ({"trans": None}, "lacks trans"),
    ],
    ids=str,
)
def test_what_is_no_amass_is_refused_by_key(changes: dict, told: str, walker: HumanClip, tmp_path: Path) -> None:
    arrays = smplh(walker) | changes
    write_arrays(tmp_path / "walk.npz", {key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(UserError, match=rf"walk\.npz: .*{told}"):
        read_amass_npz(tmp_path / "walk.npz")


def test_a_rate_that_the_file_lacks_is_the_callers(walker: HumanClip, tmp_path: Path) -> None:
    write_arrays(tmp_path / "walk.npz", {k: v for k, v in smplh(walker).items() if k != "mocap_framerate"})
    assert read_amass_npz(tmp_path / "walk.npz", fps=120).fps == 120


def test_a_body_that_stands_across_the_usual_axis_is_refused_until_told(walker: HumanClip, tmp_path: Path) -> None:
    # one frame, y up: it may as well lie, with z up
    write_arrays(tmp_path / "still.npz", smplh(walker[:1], "y"))
    with pytest.raises(UserError, match=r"head is 1\.\d\d along y and .* wanders by .* --bvh-up y\|z"):
        read_amass_npz(tmp_path / "still.npz")
    assert_same_motion(read_amass_npz(tmp_path / "still.npz", up="y"), walker[:1])


def test_feet_far_from_the_floor_are_told_and_left(walker: HumanClip, tmp_path: Path) -> None:
    lifted = replace(walker, root_pos_w=walker.root_pos_w + (0, 0, 1.5))
    write_arrays(tmp_path / "walk.npz", smplh(lifted))
    with pytest.warns(UserWarning, match=r"walk\.npz: walk: the lowest joint is 1\.\d\d m above z = 0"):
        assert_same_motion(read_amass_npz(tmp_path / "walk.npz"), lifted)


# Any file is known by its keys


def test_humans_files_are_recognised_by_what_they_hold(walker: HumanClip, tmp_path: Path) -> None:
    path = tmp_path / "strange.dat"
    for format in ("bvh", "amass", "npz"):
        save_motion(walker, path, format)
        assert_same_motion(load_human(path), walker, atol=1e-6)
    torch.save(gvhmr(walker), path)
    assert_same_motion(load_human(path, fps=30.0), walker, atol=1e-5)
    path.write_bytes(pickle.dumps({0: wham_subject(walker), 1: wham_subject(walker)}))
    assert [len(clip) for clip in load_motions(path, fps=30.0)] == [FRAMES, FRAMES]
    with pytest.raises(UserError, match="holds 2 clips, expected one"):
        load_human(path, fps=30.0)


def test_options_reach_the_readers_and_findings_come_back(walker: HumanClip, tmp_path: Path) -> None:
    write_arrays(tmp_path / "still.npz", smplh(walker[:1], "y"))
    write_model(tmp_path / "model.npz", 6890)
    examined = examine_motion(tmp_path / "still.npz", up="y", smpl_model=tmp_path / "model.npz", fps=30)
    assert examined.format == "AMASS NPZ"
    told = [(finding.question, finding.how) for finding in examined.findings]
    assert told == [("body model", "file"), ("lengths of the body", "caller"), ("up axis", "caller")]
    with pytest.raises(UserError, match="30 fps, and not 60"):
        load_human(tmp_path / "still.npz", up="y", fps=60)
    save_motion(walker, tmp_path / "walk.bvh", "bvh")
    questions = [finding.question for finding in examine_motion(tmp_path / "walk.bvh").findings]
    assert questions == ["skeleton", "unit", "up axis"]


def test_formats_of_humans_hold_no_robots(tmp_path: Path) -> None:
    for format in ("bvh", "amass"):
        with pytest.raises(UserError, match=f"{format} holds motion of humans, and 'robot' is a robot's"):
            save_motion(robot_clip(10), tmp_path / "no", format)
    assert not list(tmp_path.iterdir())


def load_human(path: Path, **options: Unpack[ReadOptions]) -> HumanClip:
    clip = load_motion(path, **options)
    assert isinstance(clip, HumanClip)
    return clip


# Video


def gvhmr(clip: HumanClip) -> dict:
    root, body, pos = (torch.from_numpy(array).float() for array in vectors(clip, "y"))
    parameters = {
        "body_pose": body,
        "betas": torch.zeros(len(clip), 10),
        "global_orient": root,
        "transl": pos - torch.from_numpy(mean_body("smplx").pelvis).float(),
    }
    camera = {key: value + 0.5 for key, value in parameters.items()}
    return {
        "smpl_params_global": parameters,
        "smpl_params_incam": camera,
        "K_fullimg": torch.eye(3).repeat(len(clip), 1, 1),
        "net_outputs": {"pred": [torch.zeros(2), {"deeper": None}]},
    }


def wham_subject(clip: HumanClip, first: int = 0) -> dict:
    root, body, pos = vectors(clip, "y")
    pose = np.concatenate([root, body, np.zeros((len(clip), 6))], axis=1)
    # trans_world is where the middle of the hips is
    middle = mean_body("smpl").rest_offsets[1:3].mean(axis=0)
    return {
        "pose": pose + 0.5,
        "trans": pos + 5,
        "pose_world": pose,
        "trans_world": pos + Rotation.from_rotvec(root).apply(middle),
        "betas": np.zeros((len(clip), 10), np.float32),
        "verts": np.zeros((len(clip), 10, 3), np.float32),
        "frame_ids": first + np.arange(len(clip)),
    }


def test_gvhmr_tells_the_motion_in_the_world_and_not_in_the_camera(walker: HumanClip, tmp_path: Path) -> None:
    path = tmp_path / "hmr4d_results.pt"
    torch.save(gvhmr(walker), path)
    findings = list[Finding]()
    (clip,) = read_smpl_params(path, fps=30, findings=findings)
    assert_same_motion(clip, walker, atol=1e-5)  # float32
    assert {finding.question: finding.how for finding in findings} == {
        "up axis": "convention",
        "frame rate": "caller",
        "lengths of the body": "convention",
    }


def test_wham_tells_a_clip_a_person_and_stretch(walker: HumanClip, tmp_path: Path) -> None:
    path = tmp_path / "wham_output.pkl"
    gap = wham_subject(walker)
    gap["frame_ids"] = np.concatenate([np.arange(40), np.arange(20) + 100])
    path.write_bytes(pickle.dumps({0: wham_subject(walker), 7: gap}))
    with pytest.warns(UserWarning, match="wham_output_7: nobody was seen between frames 39 and 100: 2 clips"):
        clips = read_smpl_params(path, fps=walker.fps)
    assert [(clip.name, len(clip)) for clip in clips] == [
        ("wham_output_0", 60),
        ("wham_output_7_0", 40),
        ("wham_output_7_100", 20),
    ]
    assert_same_motion(clips[0], walker)
    assert_same_motion(clips[2], walker[40:])


def test_video_tells_no_rate(walker: HumanClip, tmp_path: Path) -> None:
    torch.save(gvhmr(walker), tmp_path / "hmr4d_results.pt")
    with pytest.raises(UserError, match=r"hmr4d_results\.pt: tells no frame rate: .* --input-fps"):
        read_smpl_params(tmp_path / "hmr4d_results.pt")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda tree: tree.clear(), "neither GVHMR's .* nor WHAM's"),
        (lambda tree: tree[0].pop("trans_world"), "subject 0 lacks trans_world"),
        (lambda tree: tree[0].update(pose_world=np.zeros((60, 71))), r"pose_world has shape \(60, 71\)"),
        (lambda tree: tree[0].update(pose_world=[1, 2]), "subject 0: pose_world is list, expected an array"),
        (lambda tree: tree[0].update(trans_world=np.full((60, 3), np.inf)), "trans is inf at frame 0"),
        (lambda tree: tree[0].update(frame_ids=np.zeros(60)), "frame_ids of wham_0 is no rising list of 60 frames"),
        (lambda tree: tree[0].update(betas=np.zeros((2, 3, 4))), r"betas has shape \(2, 3, 4\)"),
    ],
)
def test_damaged_parameters_are_refused_by_key(damage: Edit, told: str, walker: HumanClip, tmp_path: Path) -> None:
    tree = {0: wham_subject(walker)}
    damage(tree)
    (tmp_path / "wham.pkl").write_bytes(pickle.dumps(tree))
    with pytest.raises(UserError, match=rf"wham\.pkl: .*{told}"):
        read_smpl_params(tmp_path / "wham.pkl", fps=30)
