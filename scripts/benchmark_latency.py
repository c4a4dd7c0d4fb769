"""How long motion takes through tokens, live and in whole clips, beside inverse kinematics on the same motion."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from g1_vq_retarget.data.sample import sample_clips, sample_split
from g1_vq_retarget.devices import check_device
from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.files import check_writable, replacing
from g1_vq_retarget.motion import HumanClip
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.retarget.latency import benchmark
from g1_vq_retarget.retarget.latency_report import latency_table, plot_latency
from g1_vq_retarget.training.checkpoint import load_checkpoint


@dataclass
class Args:
    """Models and a motion in, a table out."""

    checkpoint: list[Path]
    """Run folders or .safetensors files. Causal models are measured frame by frame, too."""
    human: Path | None = None
    """Motion file of a human's clip, of any format; by default one of the built-in sample."""
    seconds: float = 30.0
    """So much of the motion, from its beginning."""
    device: list[Literal["cpu", "cuda"]] | None = None
    """Where networks run; by default cpu, and cuda if there is one."""
    threads: int = 1
    """Of torch on the CPU."""
    warmup: int = 100
    """Frames that go before and are not counted."""
    paced: bool = False
    """Let live frames come a tick apart, as in use, and not one right after another."""
    ik: bool = True
    """Whether to find the motion by inverse kinematics, too; needs pip install -e '.[ik]'."""
    beam: int | None = None
    """Candidates of the search, in place of the model's own; fewer are faster and a little worse."""
    json: Path | None = None
    """File for all figures."""
    out: Path | None = None
    """File for the table, .md."""
    plot: Path | None = None
    """File for the picture of live latencies, .png or .pdf."""


def main(args: Args) -> None:
    if not (math.isfinite(args.seconds) and args.seconds > 0):
        raise UserError(f"--seconds must be a positive number, it is {args.seconds:g}")
    for flag, value, least in (("--threads", args.threads, 1), ("--warmup", args.warmup, 0)):
        if value < least:
            raise UserError(f"{flag} must be at least {least}, it is {value}")
    torch.set_num_threads(args.threads)
    devices = args.device or ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        check_device(device)
    if args.plot is not None and not any(load_checkpoint(path).model.causal for path in args.checkpoint):
        raise UserError(f"--plot {args.plot}: none of the models is causal, so there is no live latency to draw")
    if args.plot is not None and args.plot.suffix not in (".png", ".pdf"):
        raise UserError(f"--plot {args.plot}: expected a name that ends in .png or .pdf")
    for path in (args.json, args.out, args.plot):
        if path is not None:
            check_writable(path)
    human = _sample() if args.human is None else load_motion(args.human)
    if not isinstance(human, HumanClip):
        raise UserError(f"{args.human}: holds a robot's motion, expected a human's")
    human = human[: max(2, round(args.seconds * human.fps))]
    found = benchmark(
        human,
        args.checkpoint,
        devices,
        warmup=args.warmup,
        paced=args.paced,
        ik=args.ik,
        beam=args.beam,
        say=lambda what: print(f"{what} …", flush=True),
    )
    table = latency_table(found)
    print(f"\n{table}")
    for path, text in ((args.json, json.dumps(found.as_dict(), indent=1)), (args.out, table)):
        if path is not None:
            with replacing(path) as file:
                file.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    if args.plot is not None:
        plot_latency(args.plot, found)
        print(f"wrote {args.plot}")


def _sample() -> HumanClip:
    """The clip of the built-in sample that the demo retargets."""
    name = sample_split()["test"][0]
    return next(clip for clip in sample_clips(0) if clip.name == name)


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
