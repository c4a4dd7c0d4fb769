"""New motion, drawn token after token from a prior."""

from __future__ import annotations

from dataclasses import replace

import torch

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.retarget.retargeter import Retargeted, Retargeter
from g1_vq_retarget.training.prior_file import PriorFile


def sample_motion(
    retargeter: Retargeter,
    prior: PriorFile,
    seconds: float,
    count: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
    prompt: HumanClip | RobotClip | None = None,
) -> list[Retargeted]:
    """Clips that the prior finds likely, joints held at their limits; the same seed gives the same.

    Args:
        retargeter: the model that the prior was trained for.
        seconds: of new motion, to the next whole step.
        count: how many clips; they differ by what is drawn.
        temperature: below 1 likelier motion than the data's, 0 the likeliest token every time.
        prompt: motion to go on from; it stands at the beginning of every clip.

    Raises:
        UserError: a prior for fewer levels than the model has, or a prompt that the model cannot encode.
    """
    model = retargeter.model
    if prior.prior.codebook_sizes != tuple(model.quantizer.codebook_sizes):
        raise UserError(
            f"{prior.path}: knows {len(prior.prior.parts)} of the model's {len(model.quantizer.codebook_sizes)} "
            "levels; train a prior without --levels"
        )
    steps = -int(-seconds * retargeter.spec.fps // model.downsample)
    begin = None if prompt is None else retargeter.encode(prompt)
    prefix = None
    if begin is not None:
        # a last step that is filled up with the last frame would stand still
        prefix = torch.from_numpy(begin.tokens[: begin.frames // model.downsample])
    generator = torch.Generator().manual_seed(seed)
    drawn = prior.prior.sample(model.quantizer, steps, temperature, prefix, generator, batch=count)
    results = []
    for number, numbers in enumerate(drawn.cpu().numpy()):
        tokens = retargeter.tokens_from(numbers, f"sample_{number}")
        licences = {*tokens.licence.split("; "), *prior.info["licences"]}
        source = f"a prior, seed {seed}"
        if begin is not None:
            licences |= set(begin.licence.split("; "))
            tokens, source = replace(tokens, start=begin.start), f"{source}, after {begin.source or begin.name}"
        tokens = replace(tokens, source=source, licence="; ".join(sorted(licences - {""})))
        motion, held = retargeter.decode(tokens)
        results.append(Retargeted(motion, tokens, held))
    return results
