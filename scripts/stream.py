"""Human frames in while they happen, G1 frames out at 50 Hz: for teleoperation, and for TWIST's controllers."""

from __future__ import annotations

import gc
import json
import math
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import tyro

from g1_vq_retarget.devices import check_device
from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.files import check_writable, replacing
from g1_vq_retarget.motion import HumanClip, resample
from g1_vq_retarget.motion.formats import Unit, UpAxis, load_motion
from g1_vq_retarget.retarget.frame_clock import ClockConfig, FrameClock
from g1_vq_retarget.retarget.live import LiveRetargeter, live_checkpoint
from g1_vq_retarget.streaming.addresses import parse_address
from g1_vq_retarget.streaming.loop import run
from g1_vq_retarget.streaming.pace import Pace
from g1_vq_retarget.streaming.robot_stream import RobotStream, SafetyConfig, Standing, warm_up
from g1_vq_retarget.streaming.sinks import redis_client, sink
from g1_vq_retarget.streaming.sources import FileSource, network_source
from g1_vq_retarget.streaming.stopping import stopping
from g1_vq_retarget.streaming.twist import LayoutName, layout


@dataclass
class Args:
    """Live motion in, live G1 motion out. Ctrl-C leads the robot to its default pose and ends."""

    checkpoint: Path
    """Run folder (its best checkpoint) or .safetensors file, of a causal preset."""
    source: str
    """Motion file of one clip, played at its rate; or udp://HOST:PORT or tcp://HOST:PORT to listen at; or
    redis://HOST:PORT/CHANNEL to subscribe to."""
    sink: list[str] = field(default_factory=list)
    """Where robot frames go: redis://HOST:PORT, tcp://HOST:PORT, udp://HOST:PORT; several may be given."""
    layout: LayoutName = "twist"
    """Whose keys are set in Redis."""
    skeleton: Path | None = None
    """Motion file of the actor, for the lengths of the bones where the source does not tell them."""
    seconds: float | None = None
    """How long to stream, by default until the file ends, or Ctrl-C."""
    loop: bool = False
    """Begin the file again when it ends, after a second."""
    levels: int | None = None
    """Only so many tokens a step, for a lower rate; by default all of the model's."""
    beam: int | None = None
    """Candidates of the search, in place of the model's own; fewer are faster and a little worse."""
    device: str = "cpu"
    """Where the network runs."""
    clock: ClockConfig = field(default_factory=ClockConfig)
    """What is done about late and missing frames. A file has none: its delay is 0."""
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    """How the robot comes into motion, and out of it."""
    json: Path | None = None
    """Also write what the stream was like to this file."""
    input_fps: float | None = None
    """Rate of a file whose format tells none."""
    bvh_up: UpAxis | None = None
    """Up axis of a BVH or of SMPL parameters, where the motion itself does not settle it."""
    bvh_unit: Unit | None = None
    """Unit of a BVH, where the length of the legs does not settle it."""
    smpl_model: Path | None = None
    """SMPL model as NPZ, for the exact lengths of a body given by SMPL parameters."""


def main(args: Args) -> None:
    if args.seconds is not None and not (math.isfinite(args.seconds) and args.seconds > 0):
        raise UserError(f"--seconds must be a positive number, it is {args.seconds:g}")
    if len(set(args.sink)) != len(args.sink):
        raise UserError("--sink names an address twice; leave one out")
    check_device(args.device)
    if args.json is not None:
        check_writable(args.json)
    if "://" not in args.source and args.skeleton is not None:
        raise UserError("--skeleton is for sources that are no file; leave it out")
    sinks = [parse_address(text, "--sink") for text in args.sink]
    if any(address.path for address in sinks):
        raise UserError("--sink takes no path behind the port; --layout says which keys are set")
    torch.set_num_threads(1)  # the steps are small, and threads would only wait for one another
    with stopping() as stop, ExitStack() as opened:
        if "://" in args.source:
            if args.loop:
                raise UserError("--loop is for files; leave it out")
            # told before a skeleton is waited for
            live_checkpoint(args.checkpoint, args.levels, args.beam)
            for address in sinks:
                if address.scheme == "redis":
                    redis_client(address)
            clip = None if args.skeleton is None else human_clip(args.skeleton, args)
            source = network_source(parse_address(args.source, "--source"))
            opened.callback(source.close)
            if clip is None:
                print(f"waiting for rest_offsets at {source.name}; --skeleton FILE does without", flush=True)
            offsets = source.skeleton(stop) if clip is None else clip.rest_offsets
            if offsets is None:
                return
            clock = args.clock
        else:
            clip = human_clip(Path(args.source), args)
            source, offsets, clock = None, clip.rest_offsets, replace(args.clock, delay=0.0)
        live = LiveRetargeter(args.checkpoint, offsets, args.device, args.levels, args.beam)
        if source is None:
            assert clip is not None
            source = FileSource(
                resample(clip, live.fps), wait=args.safety.stand, loop=args.loop, pause=max(1.0, 2 * clock.gap)
            )
        told = layout(args.layout)
        standing = told.standing if any(address.scheme == "redis" for address in sinks) else Standing.of(live.robot)
        stream = RobotStream(live, live.robot, standing, FrameClock(live.fps, clock), args.safety)
        senders = [sink(address, live.joint_names, live.fps, told) for address in sinks]
        warm_up(live)
        gc.freeze()  # what is there by now stays: collecting garbage need not look at it again
        report = run(source, stream, senders, Pace(live.fps), stop, args.seconds)
    if args.json is not None:
        with replacing(args.json) as path:
            path.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    print(f"{report.ticks} robot frames in {report.seconds:.1f} s; {stream.limits}")
    if source.bad:
        print(f"{source.bad} messages were no frames; the first: {source.complaint}")
    for sender in senders:
        if sender.last_error:
            print(f"{sender.name}: {sender.failures} failures, the last: {sender.last_error}")


def human_clip(path: Path, args: Args) -> HumanClip:
    clip = load_motion(path, fps=args.input_fps, up=args.bvh_up, unit=args.bvh_unit, smpl_model=args.smpl_model)
    if not isinstance(clip, HumanClip):
        raise UserError(f"{path}: holds robot motion; a human's is needed")
    return clip


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
