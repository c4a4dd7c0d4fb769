"""Measure how long a motion library takes to load and how much memory it takes, with made-up clips in files."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import tyro

from g1_vq_retarget.devices import check_device
from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.motion import RobotClip
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.tasks.motion_library import MIN_FRAMES
from g1_vq_retarget.tasks.motion_source import load_library
from g1_vq_retarget.tasks.sampling import MotionCursor

# So many clips differ; the others are further names of the same files, to spare the disk.
DISTINCT = 20


@dataclass
class Args:
    """Files of the package's own NPZ, read, checked and put through forward kinematics."""

    clips: int = 10000
    """Number of clips."""
    seconds: float = 10.0
    """Length of each."""
    fps: float = 50.0
    """Rate of the library, frames a second."""
    source_fps: float = 50.0
    """Rate of the files; another than the library's is resampled."""
    environments: int = 4096
    """How many environments look into the library at once."""
    device: str = "cpu"
    """Where the library is kept."""


def main(args: Args) -> None:
    frames = round(args.seconds * args.source_fps)
    if args.clips < 1 or args.environments < 1 or frames < MIN_FRAMES:
        raise UserError("--clips and --environments must be at least 1, and --seconds must be a few frames")
    check_device(args.device)
    with TemporaryDirectory() as folder:
        _write(Path(folder), args.clips, frames, args.source_fps)
        wall, cpu = time.perf_counter(), time.process_time()
        library = load_library(Path(folder), args.fps, device=args.device)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(library.summary())
    print(f"loaded in {wall:.1f} s, {cpu:.1f} s of processor time: {1e3 * cpu / args.clips:.1f} ms a clip")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"memory: {library.bytes / args.clips / 1e3:.0f} kB a clip; the process at most {peak / 1e9:.2f} GB")
    cursor = MotionCursor(library, args.environments)
    cursor.restart(torch.arange(args.environments, device=args.device))
    for told, look in (("a step of", cursor.advance), ("the motion now for", cursor.now)):
        print(f"{told} {args.environments} environments: {_milliseconds(look):.1f} ms")


def _write(folder: Path, clips: int, frames: int, fps: float) -> None:
    robot, rng = load_robot(), np.random.default_rng(0)
    middle, half = robot.limits.mean(axis=1), np.ptp(robot.limits, axis=1) / 2
    upright = np.tile((1.0, 0.0, 0.0, 0.0), (frames, 1))
    when = np.arange(frames)[:, None] / fps
    for number in range(min(clips, DISTINCT)):
        rates, phases = rng.uniform(0.2, 1.0, len(middle)), rng.uniform(0, 2 * np.pi, len(middle))
        joints = middle + 0.5 * half * np.sin(2 * np.pi * rates * when + phases)
        place = np.column_stack([when, 0 * when, np.full(frames, robot.default_root_height)])
        clip = RobotClip(f"{number}", fps, place, upright, robot.joint_names, joints)
        save_motion(clip, folder / f"{number:06d}.npz")
    for number in range(DISTINCT, clips):
        os.link(folder / f"{number % DISTINCT:06d}.npz", folder / f"{number:06d}.npz")


def _milliseconds(work: Callable[[], object]) -> float:
    repeats = 20
    begin = time.perf_counter()
    for _ in range(repeats):
        work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - begin) / repeats


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
