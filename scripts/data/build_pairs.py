"""Make pairs to train on from any human motion: the robot's by inverse kinematics, bad parts cut out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from g1_vq_retarget.data.pair_folder import Engine, build_pairs
from g1_vq_retarget.data.pairs import PairConfig
from g1_vq_retarget.errors import reporting


@dataclass
class Args:
    """Human motion in, pairs out."""

    human: Path
    """Folder of human motion, of any format that is read here, folders in it included."""
    out: Path
    """Folder to write: human/ and robot/ for process_data.py, reports/, summary.md, summary.csv."""
    clips: list[str] = field(default_factory=list)
    """Names of the clips to take, by default all; a clip of a folder in the folder is FOLDER__NAME."""
    jobs: int = os.cpu_count() or 1
    """Processes, one thread each."""
    engine: Engine = "local"
    """local: processes on this machine. ray: the Ray cluster that RAY_ADDRESS names, which sees --human, too."""
    resume: bool = False
    """Go on with a folder: clips that are finished, from the same file with the same settings, are kept."""
    pairs: Annotated[PairConfig, tyro.conf.arg(name="")] = field(default_factory=PairConfig)


def main(args: Args) -> None:
    reports = build_pairs(
        args.human,
        args.out,
        args.pairs,
        clips=args.clips,
        jobs=args.jobs,
        engine=args.engine,
        resume=args.resume,
    )
    kept = sum(report["kept_frames"] for report in reports)
    parts = sum(len(report.get("parts", ())) for report in reports)
    print(f"{args.out}: {kept:,} of {sum(report['frames'] for report in reports):,} frames, {parts} parts")
    for report in reports:
        if report["status"] == "rejected":
            print(f"rejected {report['name']}: {report['reason']}")
    print(f"figures: {args.out / 'summary.md'}")
    print(f"next: python scripts/data/process_data.py --pairs {args.out} … adds them to what is trained on")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
