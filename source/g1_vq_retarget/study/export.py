"""All tables of a study, in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import replacing
from g1_vq_retarget.study.experiments import by_protocol, unfinished
from g1_vq_retarget.study.log import StudyLog
from g1_vq_retarget.study.table_formats import FORMATS
from g1_vq_retarget.study.tables import beside_original, final_table


def export_tables(
    logs: Sequence[StudyLog],
    out: Path,
    formats: Sequence[str] = tuple(FORMATS),
    chosen: Sequence[str] = (),
    original: bool = False,
) -> tuple[list[Path], list[str]]:
    """Write a table a protocol, `out/<protocol>.<format>`.

    Args:
        logs: a study's.
        out: folder for the tables.
        formats: of `FORMATS`.
        chosen: names of experiments; none: all.
        original: also write `out/seed_beside_original.<format>`.

    Returns:
        The files, and a line for each run that is not finished and so is not in them.

    Raises:
        UserError: an unknown format or experiment, logs that cannot be compared, no finished run, or none of protocol
            seed to set beside the original's.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UserError(f"--format {' '.join(unknown)}: expected one or more of {', '.join(FORMATS)}")
    groups = by_protocol(logs, chosen)
    finished = {
        protocol: experiments
        for protocol, experiments in groups.items()
        if any(experiment.finished for experiment in experiments)
    }
    if not finished:
        raise UserError("no run of the study is finished: let scripts/train_ablation.py go on")
    if original and "seed" not in finished:
        raise UserError(
            "--beside-original: no finished run of protocol seed, which alone may stand beside the original's table; "
            "make them with scripts/train_ablation.py --protocol seed"
        )
    tables = [final_table(experiments) for experiments in finished.values()]
    if original:
        tables.append(beside_original(finished["seed"]))
    written = []
    for table in tables:
        for name in formats:
            path = out / f"{table.name}.{name}"
            with replacing(path) as temporary:
                temporary.write_text(FORMATS[name](table), encoding="utf-8")
            written.append(path)
    return written, unfinished(groups)
