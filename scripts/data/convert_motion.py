"""Convert motion files, folders of them or all that match a pattern.

Exit code 0 if a file was converted or had been before, 2 if none was; with --strict 2 if any was refused.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from g1_vq_retarget.data.convert import Converted, Existing, Plan, convert_files, plan_conversion
from g1_vq_retarget.data.reading import Reading
from g1_vq_retarget.errors import EXIT_CODE, UserError, reporting
from g1_vq_retarget.motion.formats import HumanFormat, SaveFormat, rate_of


@dataclass
class Args:
    """Motion files in, motion files out."""

    inputs: Annotated[tyro.conf.Positional[list[str]], tyro.conf.arg(metavar="IN...")]
    """Files; folders, at any depth; patterns such as 'g1/*.csv', in quotes. Outputs keep their place below a folder
    or below what stands before the first wildcard."""
    to: SaveFormat | HumanFormat
    """Format to write, see README.md; npz is this package's own and holds humans and robots, bvh and amass hold
    humans, the others robots."""
    out: Path
    """Folder to write. A file of several clips becomes a folder of files."""
    fps: float | None = None
    """Rate to write, by time; by default each clip's own, and for formats that cannot tell it what readers expect (csv
    and kimodo 30, sonic 50, bones-seed 120)."""
    jobs: int = 0
    """Processes; 0 for as many as this process may use cores."""
    overwrite: bool = False
    """Write outputs anew that exist."""
    resume: bool = False
    """Leave outputs that exist, and go on with the rest."""
    strict: bool = False
    """Exit with code 2 if any file is refused."""
    reading: Annotated[Reading, tyro.conf.arg(name="")] = field(default_factory=Reading)


def main(args: Args) -> int:
    if not args.inputs:
        raise UserError("no file, folder or pattern named")
    if args.fps is not None and not (math.isfinite(args.fps) and args.fps > 0):
        raise UserError(f"--fps must be a positive number, it is {args.fps:g}")
    if args.jobs < 0:
        raise UserError(f"--jobs must be at least 1, or 0 for all cores; it is {args.jobs}")
    if args.overwrite and args.resume:
        raise UserError("--overwrite and --resume contradict each other: choose one")
    options = args.reading.options()
    existing: Existing = "overwrite" if args.overwrite else "resume" if args.resume else "refuse"
    plan = plan_conversion(args.inputs, args.out, args.to, existing)
    if not plan.jobs and not plan.finished:
        raise UserError(f"{', '.join(args.inputs)}: no motion file of a known format in it")
    results = convert_files(
        plan.jobs,
        args.to,
        fps=args.fps,
        options=options,
        existing=existing,
        workers=args.jobs or cores(),
        show_progress=True,
    )
    refused = [result for result in results if result.refused]
    if refused and len(results) == 1 and not plan.finished:
        raise UserError(refused[0].refused)
    print(summary(plan, results, args))
    for result in refused:
        print(f"refused: {result.refused}", file=sys.stderr)
    succeeded = len(plan.finished) + len(results) - len(refused)
    return EXIT_CODE if succeeded == 0 or (args.strict and refused) else 0


def summary(plan: Plan, results: list[Converted], args: Args) -> str:
    """Counts, then a line for each warning."""
    good = [result for result in results if not result.refused]
    warned = [result for result in good if result.warnings]
    counts = {
        "converted": (len(good), f"{sum(len(r.written) for r in good)} clips, {sum(r.frames for r in good)} frames"),
        "of them warned": (len(warned), ""),
        "refused": (len(results) - len(good), ""),
        "finished before": (len(plan.finished), ""),
        "of no known format": (len(plan.passed_over), ", ".join(path.name for path in plan.passed_over[:5])),
    }
    lines = [f"{title:20s}{count:8d}  {told}".rstrip() for title, (count, told) in counts.items()]
    lines += [f"warning: {line}" for result in warned for line in result.warnings]
    if rate_of(args.to) is not None and good:
        rate = args.fps or rate_of(args.to)
        lines.append(f"{args.to} does not tell its rate, which is {rate:g} fps: say so where you hand the files on")
    return "\n".join([*lines, f"in {args.out}"])


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    with reporting():
        sys.exit(main(tyro.cli(Args, description=__doc__)))
