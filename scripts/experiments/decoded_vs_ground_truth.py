"""Train tracking policies on ground truth, on motion decoded from robot and human tokens, and on inverse kinematics;
evaluate all against the ground truth. Needs the extras `mjlab` and `ik`, and for more than a trial a GPU."""

from __future__ import annotations

from pathlib import Path

from g1_vq_retarget.configuration import parse
from g1_vq_retarget.errors import reporting
from g1_vq_retarget.tasks.experiment import ExperimentConfig, run_experiment

if __name__ == "__main__":
    with reporting():
        run_experiment(parse(ExperimentConfig, __doc__ or ""), Path(__file__).parents[1] / "mjlab")
