"""The comparison of speed runs both tasks; what it finds is no test's to judge."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mujoco_warp", reason="needs all of mjlab: pip install -e '.[mjlab]'")
pytest.importorskip("rsl_rl", reason="needs all of mjlab: pip install -e '.[mjlab]'")

from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.tasks.mjlab.speed import compare_speed
from g1_vq_retarget.tasks.tracking_config import SpeedConfig
from synthetic import robot_clip

pytestmark = pytest.mark.slow


def test_both_tasks_step_on_the_same_clip(tmp_path: Path) -> None:
    save_motion(robot_clip(60, 0, fps=50.0), tmp_path / "clip.npz")
    told = compare_speed(SpeedConfig(tmp_path / "clip.npz", num_envs=2, steps=3, rounds=1, device="cpu"))
    assert set(told) == {"ours", "mjlab", "ratio"}
    assert told["ratio"] == pytest.approx(told["ours"] / told["mjlab"])
    assert min(told.values()) > 0
