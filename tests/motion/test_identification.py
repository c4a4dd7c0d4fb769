"""No file of a robot is read wrongly: whatever in it stands in another order or at another rate, it is read rightly or
refused. Real motion, and the built-in sample."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.data.sample import sample_clips
from g1_vq_retarget.motion import RobotClip
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.robot import RobotModel
from motion.identification import AS_WRITTEN, FORMATS, Table, facing, matrix, report, turned

# Cuts: file, first frame, frames, heading to turn it to (None: as it is). Both headings at which the two orders of the
# quaternion look most alike; a fall, a jump, and the start, where the robot hardly moves.
CUTS = (
    ("walk1_subject1", 1000, 64, 0.0),
    ("fallAndGetUp2_subject2", 700, 250, None),
    ("dance2_subject1", 300, 120, np.pi),
)
MORE = ("sprint1_subject4", "fallAndGetUp3_subject1", "jumps1_subject1", "walk3_subject3", "fight1_subject2")
MORE_CUTS = ((0, 64, None), (900, 500, 0.0), (2000, 120, np.pi))


@pytest.mark.parametrize(("name", "start", "frames", "heading"), CUTS)
def test_no_file_of_real_motion_is_read_wrongly(
    lafan1: Path, tmp_path: Path, name: str, start: int, frames: int, heading: float | None
) -> None:
    table = matrix([cut(lafan1, name, start, frames, heading)], tmp_path)
    assert_never_wrongly(table)
    # and what is as it should be is read, if only the ground does not have to tell it of one that falls
    told = [format for format in FORMATS if format not in ("csv", "kimodo") or not name.startswith("fall")]
    assert {table[format, AS_WRITTEN]["rightly"] for format in told} == {1}, report(table)


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE)
@pytest.mark.parametrize(("start", "frames", "heading"), MORE_CUTS)
def test_no_file_of_more_real_motion_is_read_wrongly(
    lafan1: Path, tmp_path: Path, name: str, start: int, frames: int, heading: float | None
) -> None:
    clip = cut(lafan1, name, start, frames, heading)
    table = matrix([clip, turned(clip, 0.0, left_right=True)], tmp_path)
    if start == 0:
        # A robot that stands still contradicts no header: names that a BONES-SEED file tells, and tells wrongly, pass.
        del table["bones-seed", "joints shuffled"]
    assert_never_wrongly(table)


@pytest.mark.slow
def test_no_whole_clip_of_unitrees_is_refused_or_read_wrongly(lafan1: Path, tmp_path: Path) -> None:
    clips = (load_motion(path) for path in sorted((lafan1 / "g1").glob("*.csv")))
    table = matrix((clip for clip in clips if isinstance(clip, RobotClip)), tmp_path, ("csv", "kimodo"))
    assert all(counts == Counter(rightly=40) for counts in table.values()), report(table)


def test_no_file_of_the_sample_is_read_wrongly(robot: RobotModel, tmp_path: Path) -> None:
    human = next(clip for clip in sample_clips(0) if clip.name == "walk_1")[:100]
    table = matrix([retarget_by_ik(human, robot)], tmp_path)
    assert_never_wrongly(table)
    assert {table[format, AS_WRITTEN]["rightly"] for format in FORMATS} == {1}, report(table)


def assert_never_wrongly(table: Table) -> None:
    assert len({format for format, _ in table}) == len(FORMATS)
    assert not sum(counts["wrongly"] for counts in table.values()), report(table)
    # what another order cannot be told from is refused: the rest would be a test of nothing
    assert any(counts["refused"] for counts in table.values())


def cut(lafan1: Path, name: str, start: int, frames: int, heading: float | None) -> RobotClip:
    clip = load_motion(lafan1 / "g1" / f"{name}.csv")
    assert isinstance(clip, RobotClip)
    clip = clip[start : start + frames]
    return clip if heading is None else turned(clip, heading - facing(clip))
