from __future__ import annotations

import numpy as np
import pytest

from g1_vq_retarget.data import ik_refine
from g1_vq_retarget.data.ik_refine import refine_clip
from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.data.pairs import tracking_error
from g1_vq_retarget.data.sample import sample_clips
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.motion.quality import clip_physics, physical_quality
from g1_vq_retarget.robot import load_robot

pytest.importorskip("mink")
ROBOT = load_robot()
Found = tuple[HumanClip, RobotClip, RobotClip]


@pytest.fixture(scope="module")
def found() -> Found:
    """Two and a half seconds of a human, what inverse kinematics found, and that refined."""
    human = next(clip for clip in sample_clips(0) if clip.name == "run_1")[60:135]
    clip = retarget_by_ik(human, ROBOT)
    return human, clip, refine_clip(human, clip, ROBOT)


def test_jerk_goes_and_the_way_stays(found: Found) -> None:
    human, clip, refined = found
    before, after = (physical_quality(one, ROBOT) for one in (clip, refined))
    assert after.jerk < 0.9 * before.jerk
    assert tracking_error(human, refined, ROBOT).mean() < tracking_error(human, clip, ROBOT).mean() + 0.003  # m


def test_bounds_are_kept(found: Found) -> None:
    refined = found[2]
    physics = clip_physics(refined, ROBOT)
    assert physics.lowest.min() > -0.002  # m
    assert physics.clearance.min() > 0
    assert physics.speed_ratio.max() <= 1
    assert (refined.joint_pos >= ROBOT.limits[:, 0]).all()
    assert (refined.joint_pos <= ROBOT.limits[:, 1]).all()


def test_what_is_refined_piece_by_piece_has_no_seams(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    human, clip, refined = found
    monkeypatch.setattr(ik_refine, "PIECE", 45)
    monkeypatch.setattr(ik_refine, "AHEAD", 15)
    pieces = refine_clip(human, clip, ROBOT)
    seam = slice(45 - 4, 45 + 2)
    jerk, whole = (np.abs(np.diff(one.joint_pos, n=3, axis=0)) for one in (pieces, refined))
    assert jerk[seam].max() < whole[seam].max() + 0.02  # rad a frame^3
    assert np.abs(pieces.joint_pos - refined.joint_pos).mean() < 0.01  # rad


def test_it_is_what_retargeting_does_when_asked_and_does_again(found: Found) -> None:
    human, _, refined = found
    again = retarget_by_ik(human, ROBOT, refine=True)
    for key in ("joint_pos", "root_pos_w", "root_quat_w"):
        assert getattr(again, key).tobytes() == getattr(refined, key).tobytes()
    assert again.provenance == refined.provenance


@pytest.mark.parametrize("frames", [1, 3])
def test_a_few_frames_are_a_clip(frames: int) -> None:
    human = sample_clips(0)[0][:frames]
    assert len(retarget_by_ik(human, ROBOT, refine=True)) == frames
