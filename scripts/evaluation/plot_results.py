"""Draw the study that scripts/train_ablation.py ran: curves of every figure, losses, radars, error over rate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from g1_vq_retarget.errors import reporting
from g1_vq_retarget.study.log import read_logs
from g1_vq_retarget.study.pictures import draw_study
from g1_vq_retarget.study.rate_plot import read_classical


@dataclass
class Args:
    """Logs in, pictures out: each as PNG and PDF, in a folder a protocol."""

    results: Path = Path("results")
    """Folder of log_<experiment>_seed_<n>.json; of runs that still go on, the curves so far are drawn."""
    out: Path = Path("plots")
    """Folder for the pictures."""
    metrics: tuple[str, ...] = ()
    """Draw compare_<metric> of these and nothing else: recon, cross, align, vel, vq, jerk, ppl, dcr."""
    experiments: tuple[str, ...] = ()
    """Experiments to draw, by the names in the logs' file names; all unless told."""
    rate_distortion: Path | None = None
    """JSON that scripts/evaluate.py --rate-distortion left beside its picture: its classical curves are drawn beneath
    the variants of the protocol that it belongs to."""


def main(args: Args) -> None:
    classical = None if args.rate_distortion is None else read_classical(args.rate_distortion)
    written, missing = draw_study(read_logs(args.results), args.out, args.metrics, args.experiments, classical)
    for line in missing:
        print(line)
    for folder in sorted({path.parent for path in written}):
        names = sorted({path.stem for path in written if path.parent == folder})
        print(f"wrote {', '.join(names)} (.png, .pdf) in {folder}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
