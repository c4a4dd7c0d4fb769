"""Any known file is read by what it holds; writing is whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import check_writable, replacing, sha256_of
from g1_vq_retarget.motion import HumanClip, MotionError, Provenance, RobotClip, resample
from g1_vq_retarget.motion.formats import SaveFormat, load_motion, rate_of, save_motion
from g1_vq_retarget.robot.dof import WRIST_JOINTS

SAVE_FORMATS: tuple[SaveFormat, ...] = get_args(SaveFormat)
RATELESS = [format for format in SAVE_FORMATS if rate_of(format) is not None]


@pytest.mark.parametrize("format", SAVE_FORMATS)
def test_a_file_is_recognised_by_what_it_holds_and_not_by_its_suffix(
    robot_clip: RobotClip, tmp_path: Path, format: SaveFormat
) -> None:
    path = tmp_path / "clip.dat"
    save_motion(robot_clip, path, format)
    back = load_motion(path, fps=robot_clip.fps)
    assert isinstance(back, RobotClip)
    assert back.fps == robot_clip.fps
    if format != "motionvqvae":  # tells no names
        assert back.joint_names == robot_clip.joint_names
    kept = [name not in WRIST_JOINTS or format not in ("twist", "phc") for name in robot_clip.joint_names]
    np.testing.assert_allclose(back.joint_pos[:, kept], robot_clip.joint_pos[:, kept], atol=1e-6)
    np.testing.assert_allclose(back.root_pos_w, robot_clip.root_pos_w, atol=1e-6)
    assert (back.root_rotation.inv() * robot_clip.root_rotation).magnitude().max() < 1e-6


def test_a_human_survives_our_own_format(human_clip: HumanClip, tmp_path: Path) -> None:
    save_motion(human_clip, tmp_path / "human", "npz")
    back = load_motion(tmp_path / "human")
    assert isinstance(back, HumanClip)
    np.testing.assert_allclose(back.joint_pos_w, human_clip.joint_pos_w)


@pytest.mark.parametrize("format", [format for format in SAVE_FORMATS if format != "npz"])
def test_robot_formats_hold_no_humans(human_clip: HumanClip, tmp_path: Path, format: SaveFormat) -> None:
    with pytest.raises(MotionError, match="'breathing' is a human's"):
        save_motion(human_clip, tmp_path / "clip", format)
    assert not list(tmp_path.iterdir())


def test_real_files_of_both_sides_are_recognised(lafan1: Path) -> None:
    robot_side = load_motion(lafan1 / "g1" / "walk4_subject1.csv", licence="CC BY-NC-ND 4.0")
    human_side = load_motion(lafan1 / "bvh" / "walk4_subject1.bvh", licence="CC BY-NC-ND 4.0")
    assert isinstance(robot_side, RobotClip)
    assert isinstance(human_side, HumanClip)
    assert len(robot_side) == len(human_side) == 4918
    for clip in (robot_side, human_side):
        assert clip.provenance.licence == "CC BY-NC-ND 4.0"
        assert clip.provenance.source.startswith("walk4_subject1.")


@pytest.mark.parametrize("format", RATELESS)
def test_a_rate_that_is_not_told_is_the_formats_unless_told(
    robot_clip: RobotClip, tmp_path: Path, format: SaveFormat
) -> None:
    rate = rate_of(format)
    assert rate is not None
    save_motion(resample(robot_clip, rate), tmp_path / "clip", format)
    assert load_motion(tmp_path / "clip").fps == rate
    if format == "sonic":  # whose velocities tell
        with pytest.raises(MotionError, match=r"fps is 25, but joint_vel\.csv .*it fits 50 fps"):
            load_motion(tmp_path / "clip", fps=25)
    else:
        assert load_motion(tmp_path / "clip", fps=rate / 2).fps == rate / 2


@pytest.mark.parametrize("format", [format for format in SAVE_FORMATS if format not in RATELESS])
def test_a_rate_in_the_file_is_not_overruled(robot_clip: RobotClip, tmp_path: Path, format: SaveFormat) -> None:
    save_motion(robot_clip, tmp_path / "clip.npz", format)
    assert load_motion(tmp_path / "clip.npz", fps=30).fps == 30
    with pytest.raises(MotionError, match=r"clip\.npz .*30 fps, and not 50"):
        load_motion(tmp_path / "clip.npz", fps=50)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"  \n\n", "no motion file known here"),
        (b"hello world\n", "no motion file known here .*BVH.*CSV.*begins with 'hello world'"),
        (b"Frame,root_translateX,left_hip_pitch_dof\n0,1,2\n", "lacks the columns root_translateY"),
        (b"0.1,0.2,0.3\n", "line 1 .*3 columns, expected 36"),
        (b"PK\x03\x04 and no more", "cut short"),
        (b"\x80\x04\x95\x10", "cut short or damaged"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n", "Git LFS pointer"),
        (b"HIERARCHY\n", "strange"),
    ],
)
def test_what_is_no_motion_is_refused_by_name(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "strange.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"strange\.npz.*{told}" if told != "strange" else "strange"):
        load_motion(path)


def test_an_npz_of_something_else_is_refused_by_its_keys(tmp_path: Path) -> None:
    np.savez(tmp_path / "shape.npz", betas=np.zeros(16), gender="male")
    with pytest.raises(MotionError, match=r"shape\.npz is no motion file.*keys betas, gender"):
        load_motion(tmp_path / "shape.npz")


def test_an_npz_cut_short_anywhere_is_refused(robot_clip: RobotClip, tmp_path: Path) -> None:
    save_motion(robot_clip, tmp_path / "clip.npz", "npz")
    content = (tmp_path / "clip.npz").read_bytes()
    for share in (0.01, 0.5, 0.99):
        (tmp_path / "cut.npz").write_bytes(content[: int(share * len(content))])
        with pytest.raises(UserError, match=r"cut\.npz"):
            load_motion(tmp_path / "cut.npz")


def test_a_spoiled_npz_is_refused(robot_clip: RobotClip, tmp_path: Path) -> None:
    save_motion(robot_clip, tmp_path / "clip.npz", "npz")
    content = bytearray((tmp_path / "clip.npz").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    (tmp_path / "clip.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"clip\.npz: not a readable NPZ"):
        load_motion(tmp_path / "clip.npz")


def test_nothing_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.csv: no such file"):
        load_motion(tmp_path / "gone.csv")
    with pytest.raises(UserError, match="is a folder"):
        load_motion(tmp_path)


@pytest.mark.parametrize("format", SAVE_FORMATS)
def test_parent_folders_are_created_and_nothing_else_is_left(
    robot_clip: RobotClip, tmp_path: Path, format: SaveFormat
) -> None:
    path = tmp_path / "new" / "folder" / "clip.out"
    save_motion(robot_clip, path, format)
    assert [file.name for file in path.parent.iterdir()] == ["clip.out"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "clip.npz"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            assert temporary.parent == path.parent
            assert temporary.suffix == path.suffix
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(robot_clip: RobotClip, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"clip\.npz cannot be written"):
        save_motion(robot_clip, tmp_path / "file" / "clip.npz", "npz")
    with pytest.raises(UserError, match=r"clip\.npz cannot be written"):
        check_writable(tmp_path / "file" / "clip.npz")


def test_looking_whether_a_file_can_be_written_leaves_all_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    check_writable(tmp_path / "file")
    check_writable(tmp_path / "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_the_hash_is_sha256_of_the_contents(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_licence_fills_the_gap_of_a_file_that_tells_none_and_replaces_no_other(
    robot_clip: RobotClip, tmp_path: Path
) -> None:
    for format in ("npz", "tracking-mjlab"):
        for told, expected in (("", "CC0"), ("CC BY 4.0", "CC BY 4.0")):
            clip = replace(robot_clip, provenance=Provenance(licence=told))
            save_motion(clip, tmp_path / "clip.npz", format)
            assert load_motion(tmp_path / "clip.npz", licence="CC0").provenance.licence == expected
