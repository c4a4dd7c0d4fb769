"""Train variants of the VQ-VAE side by side, each with several seeds and the same budget. Called again, it goes on."""

from __future__ import annotations

import sys

import tyro

from g1_vq_retarget.errors import reporting
from g1_vq_retarget.study.ablation import run_study
from g1_vq_retarget.study.plan import Study


def main(study: Study) -> None:
    rows = run_study(study)
    failed = [row for row in rows if row.state == "failed"]
    for row in failed:
        print(f"failed: {row.log.experiment} seed {row.log.seed}: {row.reason} ({row.log.checkpoint}/output.txt)")
    if failed:
        print("the same command tries them again")
        sys.exit(1)
    print(f"next: python scripts/evaluation/plot_results.py --results {study.results}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Study, description=__doc__))
