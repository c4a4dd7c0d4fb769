"""MotionVQVAE's NPY: clips come back as they were written, split where the flag falls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import sha256_of
from g1_vq_retarget.motion import MotionError
from g1_vq_retarget.motion.formats import (
    load_motion,
    load_motions,
    read_motionvqvae_npy,
    save_motion,
    write_motionvqvae_npy,
)
from synthetic import other_robot_clip, robot_clip

NAMES = ("hip", "knee")


def rows(flags: list[int], fps: float = 10.0) -> np.ndarray:
    """Frames of a robot of two joints, the first of which counts them."""
    table = np.zeros((len(flags), 11))
    table[:, 0] = np.arange(len(flags)) / fps
    table[:, 4] = 1
    table[:, 8] = np.arange(len(flags))
    table[:, -1] = flags
    return table


def stored(path: Path, table: np.ndarray) -> Path:
    np.save(path, table)
    return path


def test_reading_what_was_written_gives_the_same_clips(tmp_path: Path) -> None:
    clips = [other_robot_clip(40, 0), other_robot_clip(25, 1), other_robot_clip(2, 2)]
    write_motionvqvae_npy(clips, tmp_path / "three.npy")
    back = read_motionvqvae_npy(tmp_path / "three.npy", licence="CC0")
    assert [clip.name for clip in back] == ["three_0", "three_1", "three_2"]
    for clip, expected in zip(back, clips, strict=True):
        assert (clip.fps, clip.joint_names) == (expected.fps, expected.joint_names)
        for key in ("root_pos_w", "root_quat_w", "joint_pos"):
            np.testing.assert_allclose(getattr(clip, key), getattr(expected, key), atol=1e-12, err_msg=key)
        assert clip.provenance.source == "three.npy"
        assert (clip.provenance.sha256, clip.provenance.licence) == (sha256_of(tmp_path / "three.npy"), "CC0")


def test_a_row_worked_by_hand(tmp_path: Path) -> None:
    row = [0.0, 0.1, 0.2, 0.8, 0.8, 0.0, 0.0, 0.6, -0.3, 0.4, 0.0]
    table = np.array([row, [0.02, *row[1:]]])
    (clip,) = read_motionvqvae_npy(stored(tmp_path / "nod.npy", table), joint_names=NAMES)
    assert (clip.name, clip.fps, clip.joint_names) == ("nod", 50.0, NAMES)
    np.testing.assert_allclose(clip.root_pos_w[0], (0.1, 0.2, 0.8))
    np.testing.assert_allclose(clip.root_quat_w[0], (0.8, 0, 0, 0.6))  # w first
    np.testing.assert_allclose(clip.joint_pos[0], (-0.3, 0.4))


@pytest.mark.parametrize(
    ("flags", "lengths"),
    [
        ([0, 0, 1, 0, 0, 1], [3, 3]),
        ([0, 1, 1, 0, 1, 1, 1], [3, 4]),
        ([1, 1, 0, 0, 0, 1, 0, 0], [2, 4, 2]),
        ([0, 0, 0, 0], [4]),
        ([1, 1, 1, 1], [4]),
        ([0, 0, 1, 1], [4]),
    ],
)
def test_clips_end_where_the_flag_falls(flags: list[int], lengths: list[int], tmp_path: Path) -> None:
    clips = read_motionvqvae_npy(stored(tmp_path / "clips.npy", rows(flags)))
    assert [len(clip) for clip in clips] == lengths
    np.testing.assert_array_equal(np.concatenate([clip.joint_pos[:, 0] for clip in clips]), np.arange(len(flags)))
    assert [clip.name for clip in clips] == (
        ["clips"] if len(lengths) == 1 else [f"clips_{number}" for number in range(len(lengths))]
    )


def test_time_may_start_anew_with_a_clip(tmp_path: Path) -> None:
    table = rows([0, 0, 1, 0, 0, 1])
    table[3:, 0] -= 0.3
    assert [clip.fps for clip in read_motionvqvae_npy(stored(tmp_path / "clips.npy", table))] == [10.0, 10.0]


@pytest.mark.parametrize(("fps", "start"), [(30.0, 0.0), (50.0, 3000.0), (29.97, 0.0), (120.0, 10000.0)])
def test_the_rate_survives_single_precision(fps: float, start: float, tmp_path: Path) -> None:
    table = rows([0] * 600, fps)
    table[:, 0] += start
    (clip,) = read_motionvqvae_npy(stored(tmp_path / "late.npy", table.astype(np.float32)))
    assert clip.fps == pytest.approx(fps, rel=1e-6 if start == 0 else 1e-3)


def with_row(row: int, column: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(table: np.ndarray) -> np.ndarray:
        table[row, column] = value
        return table

    return change


def other_rate(table: np.ndarray) -> np.ndarray:
    table[4:, 0] = table[4, 0] + np.arange(4) * 0.05
    return table


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda table: table[:, :9], r"array \(8, 9\), expected \(frames, 9 \+ joints\)"),
        (lambda table: table[0], r"array \(11,\)"),
        (lambda table: table[:0], "no frames"),
        (lambda table: table.astype(int), "not an NPY of floating-point numbers"),
        (lambda table: table.astype(object), "not a whole NPY of plain numbers"),
        (lambda table: table[:, [*range(9), 10]], r"has 1 joints, expected 2: hip, knee"),
        (with_row(5, 9, np.nan), "row 5, column 9 holds nan, expected a finite number"),
        (with_row(5, 10, 0.5), "flag is 0.5 at row 5, expected 0 or 1"),
        (with_row(5, 4, 0.9), "root_quat_w is no unit quaternion at frame 5"),
        (with_row(3, 0, 0.35), "time step before row 3 is 0.15 s, elsewhere 0.1 s"),
        (with_row(7, 0, 0.702), "time step before row 7"),
        (lambda table: table * ([-1.0] + [1.0] * 10), "time does not advance after row 0"),
        (with_row(0, 10, 1), "the clip at row 0 is a single frame"),
        (other_rate, "clips of different rates: 10 fps at row 0, 20 fps at row 4"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_file_place_and_expectation(
    change: Callable[[np.ndarray], np.ndarray], told: str, tmp_path: Path
) -> None:
    path = stored(tmp_path / "faulty.npy", change(rows([0, 0, 0, 1, 0, 0, 0, 1])))
    with pytest.raises(MotionError, match=rf"faulty\.npy: .*{told}") as error:
        read_motionvqvae_npy(path, joint_names=NAMES)
    assert "\n" not in str(error.value)


def test_a_step_within_one_per_cent_is_even(tmp_path: Path) -> None:
    path = stored(tmp_path / "clip.npy", with_row(3, 0, 0.3005)(rows([0] * 8)))
    assert read_motionvqvae_npy(path)[0].fps == 10


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_file_cut_short_is_refused(share: float, tmp_path: Path) -> None:
    path = stored(tmp_path / "cut.npy", rows([0] * 8))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"cut\.npy: not a whole NPY"):
        read_motionvqvae_npy(path)


def test_nothing_and_empty_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.npy").touch()
    for name, told in (("gone", "no such file"), ("empty", "is empty")):
        with pytest.raises(UserError, match=rf"{name}\.npy.*{told}"):
            read_motionvqvae_npy(tmp_path / f"{name}.npy")


def test_clips_of_one_kind_only_are_written(tmp_path: Path) -> None:
    clip = other_robot_clip(10)
    for clips, told in (
        ([], "no clips"),
        ([clip, other_robot_clip(10, joints=5)], "differ in joints or rate"),
        ([clip, replace(clip, fps=60.0)], "differ in joints or rate"),
        ([clip, clip[:1]], "'other' is a single frame"),
    ):
        with pytest.raises(MotionError, match=told):
            write_motionvqvae_npy(clips, tmp_path / "clips.npy")
    assert not list(tmp_path.iterdir())


def test_one_clip_is_a_motion_file_like_any_other(tmp_path: Path) -> None:
    save_motion(robot_clip(20), tmp_path / "one.dat", "motionvqvae")
    clip = load_motion(tmp_path / "one.dat", licence="CC0")
    assert (clip.name, clip.provenance.licence, len(clip)) == ("one", "CC0", 20)


def test_several_clips_are_refused_where_one_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "two.npy"
    write_motionvqvae_npy([robot_clip(20), robot_clip(30)], path)
    assert [len(clip) for clip in load_motions(path)] == [20, 30]
    with pytest.raises(MotionError, match=r"two\.npy holds 2 clips, expected one"):
        load_motion(path)


def test_our_own_format_takes_any_joints_and_holds_none_to_the_limits_of_another_robot(tmp_path: Path) -> None:
    clip = replace(other_robot_clip(20), joint_pos=np.full((20, 24), 5.0))
    save_motion(clip, tmp_path / "other.npz", "npz")
    back = load_motion(tmp_path / "other.npz")
    assert getattr(back, "joint_names", None) == clip.joint_names
