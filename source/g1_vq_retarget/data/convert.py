"""Many motion files from one format to another, in parallel."""

from __future__ import annotations

import glob
import multiprocessing
import os
import re
import signal
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
from tqdm import tqdm

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, MotionError, RobotClip, resample
from g1_vq_retarget.motion.formats import (
    HumanFormat,
    ReadOptions,
    SaveFormat,
    examine_motion,
    format_of,
    rate_of,
    save_motion,
    suffix_of,
)

Existing = Literal["refuse", "overwrite", "resume"]
# What no file system wants in a name, and a dot that would hide the file.
_UNFIT = re.compile(r'[/\\:*?"<>|\x00-\x1f]|^\.')


class Job(NamedTuple):
    """A file, or a folder that is one motion, to convert.

    One clip goes to `target`; several go, by name, into the folder that has its name without the suffix.
    """

    source: Path
    target: Path


class Plan(NamedTuple):
    """What is to be done.

    Attributes:
        jobs: files to convert.
        finished: files whose output stands there already.
        passed_over: files in folders that are of no known format.
    """

    jobs: list[Job]
    finished: list[Path]
    passed_over: list[Path]


@dataclass(frozen=True)
class Converted:
    """What became of a file.

    Attributes:
        source: the file.
        written: files written, none if it was refused.
        frames: frames in them.
        warnings: what is odd and was accepted, a line each.
        refused: the reason, empty if it was not.
    """

    source: Path
    written: tuple[Path, ...] = ()
    frames: int = 0
    warnings: tuple[str, ...] = ()
    refused: str = ""


def plan_conversion(
    inputs: Sequence[str | Path], out: Path, format: SaveFormat | HumanFormat, existing: Existing = "refuse"
) -> Plan:
    """Which files to convert, and where to.

    Args:
        inputs: files; folders, of which all files of a known format (and folders that are one motion, as SONIC's) are
            taken at any depth and keep their place below the folder; and patterns such as `g1/*.csv` or `**/*.npz`,
            whose files keep their place below what stands before the first wildcard. Hidden files, and `out` where it
            lies in an input, are left out.
        out: folder to write.
        format: what to write.
        existing: what to do about outputs that exist: refuse to start, write them anew, or leave them and go on with
            the rest. With "resume" nothing tells whether they were written with the same flags.

    Raises:
        UserError: an input that is not there or matches nothing, two inputs with one output, an output that exists or
            is an input.
    """
    found, passed_over = dict[Path, Path](), list[Path]()  # in the order of the inputs, each once
    for entry in inputs:
        for source, place in _files(entry, out, passed_over):
            found.setdefault(source, place)
    jobs = [Job(source, out / place.parent / (place.name + suffix_of(format))) for source, place in found.items()]
    _require_separate(jobs)
    finished = [job.source for job in jobs if job.target.exists()]
    if finished and existing == "refuse":
        raise UserError(
            f"{len(finished)} of {len(jobs)} outputs exist, {next(job.target for job in jobs if job.target.exists())} "
            "first: write them anew with --overwrite, or leave them with --resume"
        )
    if existing == "resume":
        jobs = [job for job in jobs if not job.target.exists()]
    return Plan(jobs, finished if existing == "resume" else [], passed_over)


def convert_files(
    jobs: Sequence[Job],
    format: SaveFormat | HumanFormat,
    *,
    fps: float | None = None,
    options: ReadOptions | None = None,
    existing: Existing = "refuse",
    workers: int = 1,
    show_progress: bool = False,
) -> list[Converted]:
    """Convert files, each of them whole or not at all; a file that is refused stops no other.

    Args:
        jobs: of `plan_conversion`.
        format: what to write.
        fps: rate of the outputs; by default the one that readers of the format take for granted, if there is one, else
            each clip's own.
        options: what the files may leave untold.
        existing: as of `plan_conversion`, for the outputs of files that turn out to hold several clips.
        workers: processes; 1 is this one.
        show_progress: whether to show a bar on a terminal.

    Returns:
        What became of each file, in the order of the jobs.

    Raises:
        UserError: a process was killed, as for want of memory.
        KeyboardInterrupt: after the files that were begun have been written.
    """
    targets = frozenset(job.target for job in jobs)
    convert = partial(convert_file, format=format, fps=fps, options=options or {}, existing=existing, reserved=targets)
    results = dict[Job, Converted]()
    bar = tqdm(total=len(jobs), unit="file", desc="convert", disable=None if show_progress else True)
    with bar:
        for job, result in _run(jobs, convert, min(workers, len(jobs))):
            results[job] = result
            bar.update()
            bar.set_postfix(refused=sum(bool(done.refused) for done in results.values()), refresh=False)
    return [results[job] for job in jobs]


def convert_file(
    job: Job,
    format: SaveFormat | HumanFormat,
    fps: float | None = None,
    options: ReadOptions | None = None,
    existing: Existing = "refuse",
    reserved: frozenset[Path] = frozenset(),
) -> Converted:
    """Convert one file. What a user can mend is told in the result, not raised; `reserved` are others' outputs."""
    written, frames, odd = list[Path](), 0, list[str]()
    try:
        examined = examine_motion(job.source, **(options or {}))
        odd += examined.warnings
        clips = examined.clips
        targets = [job.target] if len(clips) == 1 else _targets_of(clips, job, suffix_of(format), existing, reserved)
        for clip, target in zip(clips, targets, strict=True):
            if existing == "resume" and target.exists():
                continue
            at = fps or rate_of(format) or clip.fps
            made = clip if at == clip.fps else resample(cast(RobotClip, clip), at)  # of either kind
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                save_motion(made, target, format)
            odd += [str(warning.message) for warning in caught]
            written.append(target)
            frames += len(made)
    except UserError as error:
        reason = _line(str(error))
        if str(job.source) not in reason:  # what cannot be written is told by the clip's name
            reason = f"{job.source}: {reason}"
        if written:
            reason += f" ({len(written)} of its clips were written)"
        return Converted(job.source, tuple(written), frames, refused=reason)
    return Converted(job.source, tuple(written), frames, tuple(map(_line, odd)))


def _line(text: str) -> str:
    return " ".join(text.split())


def _targets_of(
    clips: Sequence[RobotClip | HumanClip], job: Job, suffix: str, existing: Existing, reserved: frozenset[Path]
) -> list[Path]:
    folder = job.target.with_name(job.target.name.removesuffix(suffix))
    names = [_UNFIT.sub("_", clip.name) or "clip" for clip in clips]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MotionError(f"{job.source} holds several clips called {twice[0]}: give each its name")
    targets = [folder / f"{name}{suffix}" for name in names]
    for target in targets:
        if target in reserved:
            raise UserError(f"{job.source}: {target} is the output of another file, too; convert it by itself")
        if existing == "refuse" and target.exists():
            raise UserError(f"{target} exists: write it anew with --overwrite, or leave it with --resume")
    return targets


def _run(jobs: Sequence[Job], convert: partial[Converted], workers: int) -> Iterator[tuple[Job, Converted]]:
    if workers <= 1:
        for job in jobs:
            yield job, convert(job)
        return
    # a process that has run torch must not be forked; the server is asked for forks before it has
    context = multiprocessing.get_context(
        "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else None
    )
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        pending: dict[Future[Converted], Job] = {pool.submit(convert, job): job for job in jobs}
        for future in as_completed(pending):
            yield pending[future], future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a process was killed, most likely for want of memory: go on with fewer --jobs and --resume"
        ) from error
    finally:
        # what was begun is finished, so that no file is cut short
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    # Ctrl-C reaches all processes of a terminal; the first one decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _files(entry: str | Path, out: Path, passed_over: list[Path]) -> Iterator[tuple[Path, Path]]:
    """The files that an input names, with their place below it, which has no suffix."""
    path = Path(entry)
    if path.is_file() or _is_motion_folder(path):
        yield path, _place(path, path.parent)
    elif path.is_dir():
        for file in _walk(path, out):
            if _is_motion(file):
                yield file, _place(file, path)
            else:
                passed_over.append(file)
    elif not glob.has_magic(str(entry)):
        raise UserError(f"{path}: no such file or folder")
    else:
        wild = next(index for index, part in enumerate(path.parts) if glob.has_magic(part))
        matches = [Path(match) for match in sorted(glob.glob(str(entry), recursive=True))]
        files = [
            match for match in matches if (match.is_file() or _is_motion_folder(match)) and not _within(match, out)
        ]
        if not files:
            raise UserError(f"{entry}: no file matches")
        yield from ((file, _place(file, Path(*path.parts[:wild]))) for file in files)


def _place(file: Path, base: Path) -> Path:
    place = file.relative_to(base)
    return place if file.is_dir() else place.with_suffix("")


def _walk(folder: Path, out: Path) -> Iterator[Path]:
    """The files below a folder, and the folders that are one motion each."""
    for parent, folders, files in os.walk(folder):
        below = [Path(parent, name) for name in sorted(folders) if not name.startswith(".")]
        below = [path for path in below if not _same(path, out)]
        motions = [path for path in below if _is_motion_folder(path)]
        folders[:] = [path.name for path in below if path not in motions]
        yield from motions
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def _within(file: Path, folder: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def _same(first: Path, second: Path) -> bool:
    return first.resolve() == second.resolve()


def _is_motion_folder(path: Path) -> bool:
    """Whether a folder is one motion, as those of SONIC are."""
    try:
        return path.is_dir() and format_of(path) is not None
    except UserError:  # a folder like any other
        return False


def _is_motion(path: Path) -> bool:
    try:
        return format_of(path) is not None
    except UserError:  # empty or damaged: to be refused with its reason, not passed over
        return True


def _require_separate(jobs: Sequence[Job]) -> None:
    """Refuse two inputs with one output, and an output that is an input."""
    taken = dict[Path, Path]()
    sources = {job.source.resolve() for job in jobs}
    for job in jobs:
        if job.target in taken:
            raise UserError(
                f"{taken[job.target]} and {job.source} would both be written to {job.target}: convert them apart"
            )
        taken[job.target] = job.source
        if job.target.resolve() in sources:
            raise UserError(f"{job.target} is an input and would be written over: choose another --out")
    for job in jobs:  # where outputs are folders
        inside = next((taken[parent] for parent in job.target.parents if parent in taken), None)
        if inside is not None:
            raise UserError(f"{job.source} would be written into {inside}'s folder, {job.target}: convert them apart")
