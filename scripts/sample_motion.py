"""Draw new motion from a model's prior (scripts/train_prior.py), or go on from a motion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import tyro

from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.files import replacing_folder
from g1_vq_retarget.motion import resample
from g1_vq_retarget.motion.formats import SaveFormat, load_motion, rate_of, save_motion, suffix_of
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.retarget.sampling import sample_motion
from g1_vq_retarget.training.prior_file import load_prior


@dataclass
class Args:
    """A checkpoint and its prior in, new motion out."""

    checkpoint: Path
    """Run folder (its best checkpoint) or .safetensors file."""
    out: Path
    """Folder to write the clips into; replaced if it holds nothing but such clips."""
    prior: Path | None = None
    """File of scripts/train_prior.py; by default prior.safetensors beside the checkpoint."""
    seconds: float = 10.0
    """Length of the new motion."""
    count: int = 4
    """How many clips."""
    temperature: float = 0.9
    """1 draws as the data is; below, likelier and calmer motion."""
    seed: int = 0
    """The same seed draws the same motion."""
    prompt: Path | None = None
    """Motion file, a human's or a robot's, that every clip begins with."""
    prompt_seconds: float | None = None
    """Only so much of the beginning of --prompt; by default all."""
    format: SaveFormat = "npz"
    """As in scripts/retarget.py."""


def main(args: Args) -> None:
    for flag in ("seconds", "prompt_seconds"):
        value = getattr(args, flag)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UserError(f"--{flag.replace('_', '-')} must be a positive number, it is {value:g}")
    if not (math.isfinite(args.temperature) and args.temperature >= 0):
        raise UserError(f"--temperature must not be negative, it is {args.temperature:g}")
    if args.count < 1:
        raise UserError(f"--count must be at least 1, it is {args.count}")
    if args.prompt_seconds is not None and args.prompt is None:
        raise UserError("--prompt-seconds is of --prompt; give that, too")
    retargeter = Retargeter(args.checkpoint)
    prior = load_prior(args.prior or retargeter.checkpoint.path.parent, retargeter.checkpoint)
    prompt = None if args.prompt is None else load_motion(args.prompt, robot=retargeter.robot)
    if prompt is not None and args.prompt_seconds is not None:
        prompt = prompt[: math.ceil(args.prompt_seconds * prompt.fps) + 1]
    samples = sample_motion(retargeter, prior, args.seconds, args.count, args.temperature, args.seed, prompt)
    suffix = suffix_of(args.format)
    with replacing_folder(args.out) as folder:
        for sample in samples:
            fps = rate_of(args.format)
            motion = sample.motion if fps is None else resample(sample.motion, fps)
            save_motion(motion, folder / f"{motion.name}{suffix}", args.format, robot=retargeter.robot)
    for sample in samples:
        held = f", {100 * sample.held.share:.2f} % of joint values held at limits" if sample.held.share else ""
        print(f"wrote {args.out / sample.motion.name}{suffix}: {len(sample.motion)} frames{held}")
    if samples[0].tokens.licence:
        print(f"licence of the motion: {samples[0].tokens.licence}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
