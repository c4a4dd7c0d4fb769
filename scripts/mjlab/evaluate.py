"""Evaluate a tracking policy in mjlab: success and errors from many starts in every clip."""

from __future__ import annotations

from g1_vq_retarget.configuration import parse
from g1_vq_retarget.errors import reporting
from g1_vq_retarget.tasks.evaluation_config import EvaluationRunConfig


def main(config: EvaluationRunConfig) -> None:
    # here, so that it is told in a line where mjlab is not installed
    from g1_vq_retarget.tasks.mjlab.evaluation import run_evaluation

    run_evaluation(config)


if __name__ == "__main__":
    with reporting():
        main(parse(EvaluationRunConfig, __doc__ or ""))
