"""Write the final figures of the study that scripts/train_ablation.py ran as LaTeX, Markdown and CSV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from g1_vq_retarget.errors import reporting
from g1_vq_retarget.study.export import export_tables
from g1_vq_retarget.study.log import read_logs


@dataclass
class Args:
    """Logs in, tables out: a table a protocol, as PROTOCOL.tex, .md and .csv."""

    results: Path = Path("results")
    """Folder of log_<experiment>_seed_<n>.json; variants of which no seed is finished are left out."""
    out: Path = Path("tables")
    """Folder for the tables."""
    format: tuple[str, ...] = ("tex", "md", "csv")
    """Formats to write: tex (booktabs), md, csv."""
    experiments: tuple[str, ...] = ()
    """Experiments to tell, by the names in the logs' file names; all unless told."""
    beside_original: bool = False
    """Also write seed_beside_original: protocol seed beside the original project's own table, with what differs."""


def main(args: Args) -> None:
    written, missing = export_tables(
        read_logs(args.results), args.out, args.format, args.experiments, args.beside_original
    )
    for line in missing:
        print(line)
    for path in written:
        print(f"wrote {path}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
