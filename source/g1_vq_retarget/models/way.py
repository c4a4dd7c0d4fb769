"""Latents that lead where the motion goes: small errors of the root's velocities, which add up to a way.

How fast a robot goes and turns is known outright, and of a human how fast the robot should turn, for it turns as the
human does. What the decoder, which learns to make squares small, misses of that on a second's average is told, through
the robot's encoder, which is linear. What codes have missed of the velocities so far is asked for again (noise shaping:
Cutler 1960, US patent 2,927,962; as in sigma-delta conversion): errors of quantization then come and go, in place of
adding up.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from g1_vq_retarget.models.networks import Decoder, KLTEncoder
from g1_vq_retarget.models.past import Past

# Share of the velocities missed so far that is asked for at each step. More shortens ways no further and costs recon.
FEEDBACK = 0.3
# What was added is looked at again, for the decoder is not linear, and an average misses the ends of a turn (twicing:
# Tukey 1977, "Exploratory Data Analysis", ch. 16). Live there is no time for it.
LOOKS = 2
# An average of the time before is late by half of that: live it is over a shorter one than where both sides are seen.
LIVE_SHARE = 0.5


class RootRates(NamedTuple):
    """Where normalised features tell the root's velocities; of the turning rate, robot = human * scale + shift.

    Attributes:
        velocities: the robot's columns, the turning rate last.
        human_turning: the human's column of the turning rate.
        scale, shift: from the human's normalised turning rate to the robot's.
        frames: that velocities are averaged over, where both sides of a frame are seen.
    """

    velocities: tuple[int, ...]
    human_turning: int
    scale: float
    shift: float
    frames: int


def as_known(rates: RootRates, human: Tensor) -> Tensor:
    """Human features (B, T, H) as far as they are known at each frame: velocities are those of the frame before.

    They are forward differences, so that a frame's own would take the next. At the first frame they are average ones.
    """
    width = len(rates.velocities)
    return torch.cat([human[..., :-width], F.pad(human[:, :-1, -width:], (0, 0, 1, 0))], -1)


@torch.no_grad()
def way_correction(
    rates: RootRates, latent: Tensor, known: Tensor, encoder: KLTEncoder, decoder: Decoder, past: Past | None = None
) -> Tensor:
    """(B, T', C) what to add to latents so that the velocities they lead to are the known ones, on the average.

    Of a causal decoder it is what to add to the latents of the step after each: to look at a step takes as long as to
    decode it, and so it happens when its motion is on its way.

    Args:
        rates: of the features.
        latent: (B, T', C).
        known: (B, T, k) the last k of the robot's velocities as they are to be, normalised; T = T' * downsample.
        encoder: the robot's.
        decoder: latents to robot features.
        past: of a causal decoder; with it averages are of the time before, without it of both sides.
    """
    columns = list(rates.velocities[-known.shape[-1] :])
    frames = rates.frames if past is None else max(1, round(LIVE_SHARE * rates.frames))
    added = torch.zeros_like(latent)
    for _ in range(LOOKS if past is None else 1):
        missed = (known - decoder(latent + added, past=past)[..., columns]).mT
        if past is None:
            before, after = frames // 2, frames - 1 - frames // 2
            missed = F.pad(missed, (before, after), mode="replicate")
        else:
            missed = past.before(missed, frames - 1)
        slow = F.avg_pool1d(missed, frames, stride=1)
        added = added + F.conv1d(slow, encoder.linear.weight[:, columns], stride=encoder.linear.stride).mT
    return added


@torch.no_grad()
def way_feedback(rates: RootRates, encoder: KLTEncoder, decoder: Decoder) -> Tensor:
    """(C, C) what to add to the next latent for the sum of errors so far: of their part in the velocities, `FEEDBACK`.

    Args:
        encoder: the robot's.
        decoder: latents to robot features, of which the linear path is looked at.
    """
    columns = list(rates.velocities)
    tell = encoder.linear.weight[:, columns].sum(-1)  # latents of one more of each velocity, all frames of a step alike
    told = decoder.linear.weight[:, columns].mean(-1)
    return FEEDBACK * tell @ told.T
