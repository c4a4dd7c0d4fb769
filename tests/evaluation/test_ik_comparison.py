from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.data.sample import sample_clips
from g1_vq_retarget.evaluation.ik_comparison import IkComparison, compare_ik, comparison_table, pooled_comparison
from g1_vq_retarget.motion import HumanClip, MotionError, RobotClip
from g1_vq_retarget.motion.formats import read_bvh, read_unitree_csv, save_motion
from g1_vq_retarget.motion.quality import physical_quality
from g1_vq_retarget.robot import load_robot
from running import run_script

pytest.importorskip("mink")
ROBOT = load_robot()


@pytest.fixture(scope="module")
def pair() -> tuple[HumanClip, RobotClip]:
    human = sample_clips(0)[0][:60]
    return human, retarget_by_ik(human, ROBOT, iterations=2)


@pytest.fixture(scope="module")
def itself(pair: tuple[HumanClip, RobotClip]) -> IkComparison:
    return compare_ik(*pair, ROBOT, iterations=2)


def test_it_differs_from_itself_in_nothing(itself: IkComparison) -> None:
    assert itself.joints_deg == itself.bodies_mm == 0
    assert itself.ours == itself.theirs
    assert itself.frames == 60
    assert itself.frames_per_second > 0


def test_a_joint_that_is_one_degree_off_counts_as_a_share_of_the_joints(pair: tuple[HumanClip, RobotClip]) -> None:
    human, robot = pair
    joint_pos = robot.joint_pos.copy()
    joint_pos[:, robot.joint_names.index("left_wrist_yaw_joint")] += np.radians(1)
    shuffled = replace(robot, joint_pos=joint_pos).with_joint_order(ROBOT.joint_names_isaac)
    found = compare_ik(human, shuffled, ROBOT, iterations=2)
    assert found.joints_deg == pytest.approx(1 / 29)
    assert found.bodies_mm == pytest.approx(0, abs=1e-9)  # the hand turns about its own origin


def test_what_is_not_the_same_motion_is_refused(pair: tuple[HumanClip, RobotClip]) -> None:
    with pytest.raises(MotionError, match="files of one name must be the same motion"):
        compare_ik(pair[0], pair[1][:40], ROBOT)


def test_clips_weigh_as_they_have_frames(itself: IkComparison) -> None:
    long = replace(itself, frames=180, joints_deg=4.0, bodies_mm=8.0, frames_per_second=3 * itself.frames_per_second)
    both = pooled_comparison([itself, long])
    assert (both.frames, both.joints_deg, both.bodies_mm) == (240, 3.0, 6.0)
    # as long for 60 frames as for 180
    assert both.frames_per_second == pytest.approx(2 * itself.frames_per_second)


def test_the_table_has_a_row_a_clip_and_one_for_all(itself: IkComparison) -> None:
    lines = comparison_table([itself, itself], "theirs").splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert [row.split("|")[1].strip() for row in rows[2:]] == [itself.name, itself.name, "all"]


def test_the_script_writes_what_it_found(
    pair: tuple[HumanClip, RobotClip], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side, clip in zip(("human", "robot"), pair, strict=True):
        save_motion(clip, tmp_path / side / "walk.npz")
    out = tmp_path / "figures.json"
    args = (
        "--human",
        tmp_path / "human",
        "--robot",
        tmp_path / "robot",
        "--iterations",
        2,
        "--no-refine",
        "--out",
        out,
    )
    said = run_script("evaluation/compare_ik", args, capsys)
    assert said.code == 0, said.err
    assert "frames/s, one core" in said.out
    assert json.loads(out.read_text())["all"]["joints_deg"] == pytest.approx(0, abs=1e-6)
    said = run_script("evaluation/compare_ik", (*args[:-1], tmp_path / "figures.txt"), capsys)
    assert said.code == 2
    assert "expected a name that ends in .json or .md" in said.err


@pytest.mark.slow
def test_on_real_motion_ours_is_the_sounder(lafan1: Path) -> None:
    frames = slice(1000, 1500)
    human = read_bvh(lafan1 / "bvh" / "fallAndGetUp1_subject5.bvh")[frames]
    theirs = read_unitree_csv(lafan1 / "g1" / "fallAndGetUp1_subject5.csv", robot=ROBOT)[frames]
    found = compare_ik(human, theirs, ROBOT, refine=True)
    assert found.theirs == physical_quality(theirs, ROBOT)
    assert found.joints_deg < 12
    assert found.ours.foot_slide is not None
    assert found.theirs.foot_slide is not None
    assert found.ours.foot_slide < found.theirs.foot_slide
    assert found.ours.penetration_mm < 0.1
    assert found.ours.self_collision_share == found.ours.limit_share == found.ours.speed_share == 0
