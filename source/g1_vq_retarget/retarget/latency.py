"""How long motion takes on its way through tokens: live, frame by frame, and whole clips, beside inverse kinematics."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time, sleep

import numpy as np
import torch

from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, resample
from g1_vq_retarget.retarget.live import HumanFrame, LiveRetargeter, RobotFrame
from g1_vq_retarget.retarget.retargeter import AT_ONCE, Retargeter
from g1_vq_retarget.robot import RobotModel, load_robot

# What a frame's time is made of.
PARTS = ("features", "network", "placing")
# Whole clips are taken so many times, and the median time counts.
REPEATS = 3
# Frames of a clip that warms up.
WARMUP = 64


@dataclass(frozen=True)
class Latency:
    """What each frame of live motion took, from `LiveRetargeter.push` called to its return.

    Attributes:
        model, device: what ran, and where.
        lookahead: frames that a robot frame is later than the human's, whatever the time.
        fps: of the frames.
        seconds: (N,) wall time of each frame.
        parts: (N, 3) of it, in order of `PARTS`.
        steps: (N,) whether the frame completed a step, so that the network answered.
    """

    model: str
    device: str
    lookahead: int
    fps: float
    seconds: np.ndarray
    parts: np.ndarray
    steps: np.ndarray

    def quantiles(self, frames: np.ndarray | slice = slice(None)) -> dict[str, float] | None:
        """p50, p99 and max of some of the frames, ms; None if there are none."""
        chosen = 1000 * self.seconds[frames]
        if not len(chosen):
            return None
        return {
            "p50": float(np.percentile(chosen, 50)),
            "p99": float(np.percentile(chosen, 99)),
            "max": float(chosen.max()),
        }

    def as_dict(self) -> dict:
        """Plain values for JSON, ms."""
        of_steps = 1000 * np.median(self.parts[self.steps], axis=0)
        return {
            "model": self.model,
            "device": self.device,
            "lookahead_frames": self.lookahead,
            "frames": len(self.seconds),
            "all": self.quantiles(),
            "with_step": self.quantiles(self.steps),
            "without_step": self.quantiles(~self.steps),
            "parts_with_step_p50": dict(zip(PARTS, of_steps.tolist(), strict=True)),
        }


@dataclass(frozen=True)
class Throughput:
    """Whole clips.

    Attributes:
        method: what made robot motion of the human's: inverse kinematics, or a model.
        device: where.
        frames: of motion.
        seconds: wall time of all of them.
        cpu_seconds: of this process, all threads together.
    """

    method: str
    device: str
    frames: int
    seconds: float
    cpu_seconds: float

    @property
    def frames_per_second(self) -> float:
        """By the wall clock."""
        return self.frames / self.seconds

    @property
    def frames_per_cpu_second(self) -> float:
        """By the time of the processor."""
        return self.frames / self.cpu_seconds

    def as_dict(self) -> dict:
        """Plain values for JSON."""
        return {
            "method": self.method,
            "device": self.device,
            "frames": self.frames,
            "frames_per_second": self.frames_per_second,
            "frames_per_cpu_second": self.frames_per_cpu_second,
        }


@dataclass(frozen=True)
class Benchmark:
    """One run: all of it on the same motion, in the same process.

    Attributes:
        clip: name of the motion.
        frames: of it, at the models' rate.
        warmup: frames that went before and do not count.
        paced: whether live frames came a tick apart, as in use, or one right after another.
        load: the machine's load average over a minute, before and after; None where it tells none.
        threads: of torch on the CPU.
        live: latencies of causal models.
        ik: inverse kinematics: refined, and not.
        batch: the models.
    """

    clip: str
    frames: int
    warmup: int
    paced: bool
    load: tuple[float, float] | None
    threads: int
    live: Sequence[Latency]
    ik: Sequence[Throughput]
    batch: Sequence[Throughput]

    def as_dict(self) -> dict:
        """Plain values for JSON; `times_ik`: frames a second over those of inverse kinematics, refined and not."""
        return {
            "clip": self.clip,
            "frames": self.frames,
            "warmup_frames": self.warmup,
            "paced": self.paced,
            "load_average": self.load,
            "cpu_threads": self.threads,
            "live_ms": [one.as_dict() for one in self.live],
            "ik": [one.as_dict() for one in self.ik],
            "batch": [
                one.as_dict() | {"times_ik": self.times_ik(one), "times_ik_cpu": self.times_ik_cpu(one)}
                for one in self.batch
            ],
        }

    def times_ik(self, batch: Throughput) -> list[float]:
        """How many times as fast by the wall clock, in order of `ik`."""
        return [batch.frames_per_second / ik.frames_per_second for ik in self.ik]

    def times_ik_cpu(self, batch: Throughput) -> list[float]:
        """The same by the processor's time, which other processes' share does not change."""
        return [batch.frames_per_cpu_second / ik.frames_per_cpu_second for ik in self.ik]


def benchmark(
    human: HumanClip,
    checkpoints: Sequence[Path],
    devices: Sequence[str] = ("cpu",),
    *,
    warmup: int = 100,
    paced: bool = False,
    ik: bool = True,
    beam: int | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Benchmark:
    """Measure models on a human's motion: live those that are causal, and all in whole clips.

    Args:
        human: the motion; resampled to the models' rate, which they must share.
        checkpoints: run folders or .safetensors files.
        devices: torch's names of where networks run.
        warmup: frames that go before and do not count.
        paced: let live frames come a tick apart, as in use.
        ik: whether to find the motion by inverse kinematics, too.
        beam: candidates of the search, in place of each model's own.
        say: is told what is being measured.

    Raises:
        UserError: no usable checkpoint, or models of several rates; motion too short; or for `ik` something is not
            installed.
    """
    before = _load()
    models = [(_label(path), path, Retargeter(path)) for path in checkpoints]
    for _, _, model in models:
        model.checkpoint.search_with(beam)  # what cannot be is told before anything is measured
    rates = {model.spec.fps for _, _, model in models}
    if len(rates) != 1:
        raise UserError(f"--checkpoint: the models' rates are {sorted(rates)} fps; take those of one rate together")
    clip = resample(human, rates.pop())
    if len(clip) < warmup + 2:
        raise UserError(f"{human.name}: has {len(clip)} frames, and {warmup} are for warming up; take more of it")
    live, batch, found = [], [], []
    if ik:
        say("inverse kinematics")
        found = ik_throughput(clip, load_robot("g1"))
    for label, path, loaded in models:
        for device in devices:
            if loaded.model.causal:
                say(f"{label} on {device}, frame by frame")
                live.append(live_latency(label, path, clip, device, warmup, paced, beam))
            say(f"{label} on {device}, whole clips")
            model = Retargeter(path, device)
            model.checkpoint.search_with(beam)
            batch += model_throughput(label, model, clip)
    after = _load()
    return Benchmark(
        clip=clip.name,
        frames=len(clip),
        warmup=warmup,
        paced=paced,
        load=None if before is None or after is None else (before, after),
        threads=torch.get_num_threads(),
        live=live,
        ik=found,
        batch=batch,
    )


def live_latency(
    label: str,
    checkpoint: Path,
    clip: HumanClip,
    device: str = "cpu",
    warmup: int = 0,
    paced: bool = False,
    beam: int | None = None,
) -> Latency:
    """Send a clip through a causal model frame by frame.

    The clip's first `warmup` frames go through once before, and do not count.

    Raises:
        UserError: no usable checkpoint of a causal model there.
    """
    live = _TimedRetargeter(checkpoint, clip.rest_offsets, device, beam=beam)
    frames = [HumanFrame.of(clip, index) for index in range(len(clip))]
    for frame in frames[:warmup]:
        live.push(frame)
    live.reset()
    seconds, parts, begun = np.empty(len(frames)), np.empty((len(frames), len(PARTS))), perf_counter()
    for number, frame in enumerate(frames):
        if paced:
            sleep(max(0.0, begun + number / live.fps - perf_counter()))
        start = perf_counter()
        live.push(frame)
        seconds[number] = perf_counter() - start
        parts[number] = live.features, seconds[number] - live.features - live.placing, live.placing
    step = live.lookahead + 1
    return Latency(
        model=label,
        device=device,
        lookahead=live.lookahead,
        fps=live.fps,
        seconds=seconds,
        parts=parts,
        steps=np.arange(len(frames)) % step == step - 1,
    )


def ik_throughput(clip: HumanClip, robot: RobotModel) -> list[Throughput]:
    """Inverse kinematics of a clip, refined and not.

    Raises:
        UserError: something for it is not installed.
    """
    retarget_by_ik(clip[:2], robot)
    measured = []
    for name, refine in (("inverse kinematics, refined", True), ("inverse kinematics", False)):
        wall, cpu = _timed(lambda refine=refine: retarget_by_ik(clip, robot, refine=refine), 1)
        measured.append(Throughput(name, "cpu", len(clip), wall, cpu))
    return measured


def model_throughput(label: str, model: Retargeter, clip: HumanClip) -> list[Throughput]:
    """A clip by `Retargeter.retarget`, and as many as `AT_ONCE` such clips by `Retargeter.retarget_all`."""
    many = [clip] * AT_ONCE
    model.retarget_all([clip[:WARMUP]] * 2)
    alone = _timed(lambda: model.retarget(clip), REPEATS)
    together = _timed(lambda: model.retarget_all(many), 1)
    return [
        Throughput(f"{label}, one clip", model.device, len(clip), *alone),
        Throughput(f"{label}, {AT_ONCE} such clips at once", model.device, AT_ONCE * len(clip), *together),
    ]


class _TimedRetargeter(LiveRetargeter):
    """Knows what of the latest frame's time went where: seconds of `features` and of `placing`."""

    features = placing = 0.0

    def push(self, frame: HumanFrame) -> RobotFrame | None:
        self.placing = 0.0  # the first frames have none
        return super().push(frame)

    def _known(self, frame: HumanFrame) -> np.ndarray:
        start = perf_counter()
        row = super()._known(frame)
        self.features = perf_counter() - start
        return row

    def _placed(self, features: np.ndarray) -> RobotFrame:
        start = perf_counter()
        robot = super()._placed(features)
        self.placing = perf_counter() - start
        return robot


def _timed(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median wall seconds of a call, and median seconds of this process."""
    times = []
    for _ in range(repeats):
        wall, cpu = perf_counter(), process_time()
        call()
        times.append((perf_counter() - wall, process_time() - cpu))
    wall, cpu = np.median(times, axis=0)
    return float(wall), float(cpu)


def _label(checkpoint: Path) -> str:
    """A run folder's name, or its and the file's."""
    return checkpoint.name if checkpoint.suffix != ".safetensors" else f"{checkpoint.parent.name}/{checkpoint.stem}"


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
