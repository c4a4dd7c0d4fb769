from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from g1_vq_retarget.evaluation.motion_plot import plot_motion
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.robot import load_robot
from synthetic import human_clip, other_robot_clip, robot_clip


@pytest.mark.slow  # seconds each; that of inspect_motion.py is drawn every time
@pytest.mark.parametrize(
    "clip",
    [
        pytest.param(robot_clip(60), id="robot"),
        pytest.param(human_clip(60), id="human"),
        pytest.param(other_robot_clip(60), id="other robot"),
        pytest.param(robot_clip(1), id="one frame"),
    ],
)
def test_any_motion_is_drawn(clip: RobotClip | HumanClip, tmp_path: Path) -> None:
    plot_motion(tmp_path / "new" / "motion.png", clip, load_robot(), start=3.0)
    picture = matplotlib.image.imread(tmp_path / "new" / "motion.png")[..., :3]
    assert min(picture.shape[:2]) > 400
    coloured = np.ptp(picture, axis=2) > 0.2
    assert coloured.any()  # not an empty page
