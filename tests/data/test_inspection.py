from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.data.inspection import inspect_motion, report
from g1_vq_retarget.motion import HumanClip
from g1_vq_retarget.motion.formats import save_motion, write_motionvqvae_npy
from g1_vq_retarget.motion.quality import physical_quality
from g1_vq_retarget.robot import load_robot
from synthetic import human_clip, other_robot_clip, robot_clip, write_bvh

ROBOT = load_robot()


def test_a_robots_clip(tmp_path: Path) -> None:
    clip = robot_clip(40, name="waving")
    save_motion(clip, tmp_path / "waving.csv", "csv")
    inspection, examined = inspect_motion(tmp_path / "waving.csv", licence="CC0", quat_order="xyzw")
    assert "CSV" in inspection.format
    assert [entry.shape for entry in inspection.contents] == [(40, 36)]
    (told,) = inspection.clips
    assert (told.name, told.kind, told.frames, told.fps) == ("waving", "robot", 40, 30.0)
    assert told.seconds == pytest.approx(39 / 30)
    assert told.joints == ROBOT.joint_names
    assert told.licence == "CC0"
    assert told.root_height == pytest.approx((clip.root_pos_w[:, 2].min(), clip.root_pos_w[:, 2].max()), abs=1e-6)
    knee = told.ranges[ROBOT.joint_names.index("left_knee_joint")]
    angles = clip.joint_pos[:, ROBOT.joint_names.index("left_knee_joint")]
    assert (knee.lowest, knee.highest) == pytest.approx((angles.min(), angles.max()), abs=1e-6)
    assert (knee.lower, knee.upper) == pytest.approx((-0.087267, 2.8798))
    assert told.physical is not None
    assert vars(told.physical) == pytest.approx(vars(physical_quality(examined.clips[0], ROBOT)))  # type: ignore[arg-type]
    assert json.loads(json.dumps(inspection.to_dict()))["clips"][0]["physical"]["frames"] == 40


def test_what_the_reader_settled_and_found_odd_is_told(tmp_path: Path) -> None:
    clip = robot_clip(40)
    beyond = clip.joint_pos.copy()
    beyond[7, 3] = ROBOT.limits[3, 1] + 0.2
    save_motion(replace(clip, joint_pos=beyond), tmp_path / "a.npz", "tracking-isaac")
    inspection, _ = inspect_motion(tmp_path / "a.npz")
    assert "joint order" in [finding.question for finding in inspection.findings]
    text = report(inspection)
    assert "settled: joint order" in text
    assert "warning:" in text
    assert "0.200 beyond" in text
    (line,) = [line for line in text.splitlines() if line.strip().startswith("left_knee_joint")]
    assert line.split()[2] == f"{beyond[:, 3].max():.3f}"


def test_a_humans_clip(tmp_path: Path) -> None:
    still = human_clip(40)
    upright = np.tile([1.0, 0, 0, 0], (40, 21, 1))
    # standing straight, the balls of the feet 0.05 m above z = 0, sliding sideways at 0.3 m/s
    height = 0.05 + 0.06 + 0.44 + 0.42 + 0.06
    pos = np.outer(np.arange(40) / 30, (0, 0.05, 0)) + (0, 0, height)
    root = np.tile(still.root_quat_w[:1] * 0 + [0.5, 0.5, 0.5, 0.5], (40, 1))
    clip: HumanClip = replace(still, root_pos_w=pos, root_quat_w=root, joint_quat=upright, name="stand")
    save_motion(clip, tmp_path / "stand.npz", "npz")
    inspection, _ = inspect_motion(tmp_path / "stand.npz")
    (told,) = inspection.clips
    assert told.kind == "human"
    assert told.floor == pytest.approx(0.05, abs=1e-6)
    assert told.physical is None
    assert told.body is not None
    assert told.body.leg_length == pytest.approx(0.86)
    assert told.body.head_height == pytest.approx(0.07 + 0.12 + 0.12 + 0.25 + 0.11 + 0.06 + 0.44 + 0.42 + 0.06)
    assert told.body.contact_share == 1
    assert told.body.foot_slide == pytest.approx(0.05, abs=1e-6)
    assert "leg 0.860 m" in report(inspection)


def test_human_files_are_known_by_their_skeleton(tmp_path: Path) -> None:
    inspection, _ = inspect_motion(write_bvh(human_clip(30), tmp_path / "a.bvh"))
    assert inspection.format == "BVH"
    assert "human clip a: 30 frames" in report(inspection)


def test_joints_of_an_unknown_robot_have_ranges_and_no_limits(tmp_path: Path) -> None:
    write_motionvqvae_npy([other_robot_clip(40), other_robot_clip(30, 1)], tmp_path / "a.npy")
    inspection, _ = inspect_motion(tmp_path / "a.npy")
    assert [clip.frames for clip in inspection.clips] == [40, 30]
    assert all(clip.physical is None and clip.floor is None for clip in inspection.clips)
    assert inspection.clips[0].ranges[0].lower is None
    assert "unknown" in report(inspection)
