"""Say what stands in motion files, how sure its reading is, and how physical the motion."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from g1_vq_retarget.data.inspection import inspect_motion, report
from g1_vq_retarget.data.reading import Reading
from g1_vq_retarget.errors import EXIT_CODE, UserError, reporting
from g1_vq_retarget.evaluation.motion_plot import plot_motion
from g1_vq_retarget.files import replacing
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.robot import load_robot


@dataclass
class Args:
    """Motion files in, a report out."""

    files: tyro.conf.Positional[list[Path]]
    """Motion files of any known format."""
    plot: Path | None = None
    """Picture to write of the first clip of a file: joints and their limits, root, feet, speeds."""
    seconds: tuple[float, float] | None = None
    """Part of the clip to draw, from one time to another, s; by default all of it."""
    json: Path | None = None
    """File for the report as JSON."""
    reading: Annotated[Reading, tyro.conf.arg(name="")] = field(default_factory=Reading)


def main(args: Args) -> int:
    """0, or the exit code of a mistake if a file is refused: those after it are looked at all the same."""
    if not args.files:
        raise UserError("no file named")
    if args.plot is not None and len(args.files) > 1:
        raise UserError(f"--plot draws one file, {len(args.files)} are named: call it for each")
    if args.seconds is not None and not 0 <= args.seconds[0] < args.seconds[1]:
        raise UserError(
            f"--seconds must be two rising times from 0 on, they are {args.seconds[0]:g} {args.seconds[1]:g}"
        )
    options, told = args.reading.options(), list[dict]()
    refused = 0
    for path in args.files:
        try:
            inspection, examined = inspect_motion(path, **options)
        except UserError as error:
            if len(args.files) == 1 and args.json is None:
                raise
            refused += 1
            told.append({"file": str(path), "refused": str(error)})
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            continue
        told.append(inspection.to_dict())
        print(report(inspection) + "\n")
        if args.plot is not None:
            clip, begin = part(examined.clips[0], args.seconds)
            plot_motion(args.plot, clip, load_robot(), begin)
            print(f"wrote {args.plot}, of clip {clip.name}")
    if args.json is not None:
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(told, indent=1), encoding="utf-8")
        print(f"wrote {args.json}")
    return EXIT_CODE if refused else 0


def part(clip: RobotClip | HumanClip, seconds: tuple[float, float] | None) -> tuple[RobotClip | HumanClip, float]:
    """The frames between two times, and the time of the first. Raises UserError if there are none."""
    if seconds is None:
        return clip, 0.0
    first, last = (math.ceil(second * clip.fps - 1e-9) for second in seconds)
    if first >= len(clip):
        raise UserError(f"--seconds begins at {seconds[0]:g}, but clip {clip.name} ends at {clip.duration:g} s")
    return clip[first : last + 1], first / clip.fps


if __name__ == "__main__":
    with reporting():
        sys.exit(main(tyro.cli(Args, description=__doc__)))
