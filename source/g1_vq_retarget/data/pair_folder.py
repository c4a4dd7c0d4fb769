"""A folder of pairs, made from a folder of human motion: in parallel, to be gone on with, with a report a clip.

human/NAME.npz, robot/NAME.npz   parts of clips, frame by frame the same motion: what process_data.py takes
reports/CLIP.json                what became of each file, see `pairs.make_pair`
summary.md, summary.csv          all reports in a table, and what was rejected
"""

from __future__ import annotations

import csv
import importlib
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from tqdm import tqdm

from g1_vq_retarget.configuration import to_dict
from g1_vq_retarget.data.pairs import PairConfig, PairResult, make_pair
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import replacing, sha256_of
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.motion.quality import PhysicalQuality, pooled

Engine = Literal["local", "ray"]
Job = tuple[Path, str, PairConfig]


def build_pairs(
    human_dir: Path,
    out: Path,
    config: PairConfig,
    *,
    clips: Sequence[str] = (),
    jobs: int = 1,
    engine: Engine = "local",
    resume: bool = False,
) -> list[dict]:
    """Make pairs of all motion files of a folder and those in it. Returns the reports, by name of the clip.

    Files are finished one by one, the report last, so that what is there after an interruption is whole, and the same
    for any number of jobs and either engine.

    Args:
        human_dir: files that `load_motion` reads as human motion. A clip is named by its place in the folder.
        out: folder to write.
        config: how pairs are made.
        clips: names of the clips to take, by default all.
        jobs: processes, with engine "local".
        engine: "ray" for the Ray cluster that `RAY_ADDRESS` names (else one on this machine); on all of its machines
            `human_dir` must hold the same files.
        resume: go on with a folder: what was made of the same file with the same settings is kept.

    Raises:
        UserError: no files there, two of one name, `out` is among them, a folder to be gone on with without `resume`,
            Ray is missing.
    """
    if jobs < 1:
        raise UserError(f"--jobs must be at least 1, it is {jobs}")
    if config.keep.margin < 0:
        raise UserError(f"--keep.margin must not be negative, it is {config.keep.margin:g}")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder with --out")
    if out.resolve().is_relative_to(human_dir.resolve()):
        raise UserError(f"{out}: is in {human_dir}, all of which is taken for human motion; name another with --out")
    files = motion_files(human_dir)
    if clips:
        missing = [name for name in clips if name not in files]
        if missing:
            raise UserError(f"{human_dir}: no clip there has the name {missing[0]!r}; it holds {', '.join(files)}")
        files = {name: path for name, path in files.items() if name in clips}
    if out.exists() and not resume and any(out.iterdir()):
        raise UserError(f"{out}: is not empty; go on with it by --resume, or name another with --out")
    reports = {name: report for name, path in files.items() if (report := finished(out, name, path, config))}
    todo: list[Job] = [(path.resolve(), name, config) for name, path in files.items() if name not in reports]
    # the longest first, so that no process is left alone with it
    sizes = {name: path.stat().st_size if path.is_file() else 0 for path, name, _ in todo}
    todo.sort(key=lambda job: -sizes[job[1]])
    run = {"local": _locally(jobs), "ray": _on_ray}[engine]
    frames, start = 0, monotonic()
    with tqdm(total=sum(sizes.values()), unit="B", unit_scale=True, desc="pairs", disable=None) as progress:
        for name, result in run(todo):
            _write(out, name, result)
            reports[name] = result.report
            frames += result.report["frames"]
            progress.update(sizes[name])
            progress.set_postfix_str(f"{frames / (monotonic() - start):.0f} frames/s")
    everything = [_read_report(path) for path in sorted((out / "reports").glob("*.json"))]
    write_summary(out, [report for report in everything if report])
    return [reports[name] for name in files]


def motion_files(folder: Path) -> dict[str, Path]:
    """The files of a folder and of those in it, under the names of their clips: `a/b.bvh` is `a__b`.

    Raises:
        UserError: no such folder, no file in it, or two files of one name.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_dir() or any(part.startswith(".") for part in place.parts):
            continue
        name = "__".join(place.with_suffix("").parts)
        if name in files:
            raise UserError(f"{path}: has the name of {files[name]} but for the suffix; rename one")
        files[name] = path
    if not files:
        raise UserError(f"{folder}: holds no files, expected human motion")
    return files


def finished(out: Path, name: str, path: Path, config: PairConfig) -> dict | None:
    """The report of a file that is done: the same contents, the same settings, and all parts are there."""
    report = _read_report(_report_path(out, name))
    same = report.get("settings") == to_dict(config) and report.get("tool_version") == version("g1_vq_retarget")
    try:
        sha256 = sha256_of(path)
    except UserError:  # empty, say: it was rejected without a hash
        sha256 = ""
    if not same or report.get("sha256") != sha256:
        return None
    parts = [part["name"] for part in report.get("parts", [])]
    return (
        report if all(_part_path(out, side, part).is_file() for part in parts for side in ("human", "robot")) else None
    )


def write_summary(out: Path, reports: Sequence[dict]) -> None:
    """summary.csv and summary.md of a folder."""
    columns = ("name", "status", "frames", "fps", "kept_frames", "tracking_mm", "held_share")
    figures = [entry.name for entry in fields(PhysicalQuality)]
    rows = [
        [report.get(column, "") for column in columns]
        + [report.get("quality", {}).get(figure, "") for figure in figures]
        + [json.dumps(report.get("cut", {})), report.get("reason", ""), report.get("licence", "")]
        for report in reports
    ]
    with replacing(out / "summary.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[*columns, *figures, "cut", "reason", "licence"], *rows])
    with replacing(out / "summary.md") as temporary:
        temporary.write_text(_markdown(reports), encoding="utf-8")


def _markdown(reports: Sequence[dict]) -> str:
    kept = [report for report in reports if report["status"] == "kept"]
    frames, all_frames = (sum(report[key] for report in reports) for key in ("kept_frames", "frames"))
    lines = [
        "# Pairs",
        "",
        f"{frames:,} of {all_frames:,} frames kept, of {len(kept)} of {len(reports)} files, "
        f"in {sum(len(report['parts']) for report in kept)} parts. Figures are those of the kept parts.",
        "",
        "| clip | frames kept | parts | tracking, mm | held at limits | slide, m/s | penetration / float, mm "
        "| self-collision | jerk, rad/s³ | cut out, frames beyond the bounds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for report in kept:
        quality = PhysicalQuality(**report["quality"])
        lines.append(_row(report["name"], report, quality))
    if kept:
        total = {
            "kept_frames": frames,
            "frames": all_frames,
            "parts": [part for report in kept for part in report["parts"]],
            "tracking_mm": sum(report["tracking_mm"] * report["frames"] for report in kept) / max(all_frames, 1),
            "held_share": sum(report["held_share"] * report["frames"] for report in kept) / max(all_frames, 1),
            "cut": {},
        }
        lines.append(_row("**all**", total, pooled([PhysicalQuality(**report["quality"]) for report in kept])))
    rejected = [report for report in reports if report["status"] == "rejected"]
    lines += ["", "## Rejected", "", *(f"- {report['name']}: {report['reason']}" for report in rejected)]
    return "\n".join([*lines, *([] if rejected else ["None."]), ""])


def _row(name: str, report: dict, quality: PhysicalQuality) -> str:
    cut = ", ".join(f"{cause} {frames:,}" for cause, frames in report["cut"].items())
    slide = "–" if quality.foot_slide is None else f"{quality.foot_slide:.3f}"
    return (
        f"| {name} | {report['kept_frames']:,} of {report['frames']:,} | {len(report['parts'])} "
        f"| {report['tracking_mm']:.0f} | {report['held_share']:.1%} | {slide} "
        f"| {quality.penetration_mm:.2f} / {quality.float_mm:.1f} | {quality.self_collision_share:.2%} "
        f"| {quality.jerk:.0f} | {cut} |"
    )


def _write(out: Path, name: str, result: PairResult) -> None:
    _remove(out, name)
    for part in result.parts:
        save_motion(part.human, _part_path(out, "human", part.human.name))
        save_motion(part.robot, _part_path(out, "robot", part.robot.name))
    result.report["tool_version"] = version("g1_vq_retarget")
    with replacing(_report_path(out, name)) as temporary:
        temporary.write_text(json.dumps(result.report, indent=1), encoding="utf-8")


def _remove(out: Path, name: str) -> None:
    """What was made of a file before, the report first: without it the parts count as nothing."""
    path = _report_path(out, name)
    if not path.is_file():
        return
    report = _read_report(path)
    path.unlink()
    for part in report.get("parts", []):
        for side in ("human", "robot"):
            _part_path(out, side, part["name"]).unlink(missing_ok=True)


def _read_report(path: Path) -> dict:
    """A report, empty if there is none or it is damaged."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def _report_path(out: Path, name: str) -> Path:
    return out / "reports" / f"{name}.json"


def _part_path(out: Path, side: str, name: str) -> Path:
    return out / side / f"{name}.npz"


Run = Callable[[Sequence[Job]], Iterator[tuple[str, PairResult]]]


def _locally(jobs: int) -> Run:
    def run(todo: Sequence[Job]) -> Iterator[tuple[str, PairResult]]:
        if jobs == 1:
            for job in todo:
                yield job[1], make_pair(*job)
            return
        # spawned: a forked process inherits the threads of torch in whatever state they are
        context = multiprocessing.get_context("spawn")
        with _one_thread(), ProcessPoolExecutor(min(jobs, max(len(todo), 1)), context, _ignore_interrupt) as pool:
            futures = {pool.submit(make_pair, *job): job[1] for job in todo}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            finally:  # after Ctrl-C, too: what runs is of no use any more
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list((pool._processes or {}).values()) if not all(f.done() for f in futures) else []:
                    process.terminate()

    return run


def _on_ray(todo: Sequence[Job]) -> Iterator[tuple[str, PairResult]]:
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise UserError("--engine ray needs ray: pip install -e '.[ray]'") from error
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False)
    try:
        remote: Any = ray.remote(num_cpus=1, runtime_env={"env_vars": _ONE_THREAD})(make_pair)
        pending = {remote.remote(*job): job[1] for job in todo}
        while pending:
            (done, *_), _ = ray.wait(list(pending))
            yield pending.pop(done), ray.get(done)
    finally:
        if started:
            ray.shutdown()


_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started within use one thread each: there is one for each core."""
    before = {key: os.environ.get(key) for key in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key)
            else:
                os.environ[key] = value


def _ignore_interrupt() -> None:
    # Ctrl-C goes to all processes; the first one alone decides what to do
    signal.signal(signal.SIGINT, signal.SIG_IGN)
