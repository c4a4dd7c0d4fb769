"""Human latents that lead to the human's heading.

What an encoder misses of the turning rate is little at any moment and adds up: after ten seconds the robot faces
elsewhere. But how fast the robot should turn is known outright, for it turns as the human does. So what the decoded
turning rate misses on a second's average is told, through the robot's encoder, which is linear.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g1_vq_retarget.models.networks import KLTEncoder


class TurningRate(NamedTuple):
    """Where normalised features tell the turning rate: robot = human * scale + shift.

    Attributes:
        robot_column, human_column: of the features.
        scale, shift: from the human's normalised one to the robot's.
        frames: that the rates are averaged over.
    """

    robot_column: int
    human_column: int
    scale: float
    shift: float
    frames: int


@torch.no_grad()
def heading_correction(
    rate: TurningRate, latent: Tensor, human: Tensor, encoder: KLTEncoder, decoder: nn.Module
) -> Tensor:
    """(B, T', C) what to add to latents so that the heading they lead to is the human's.

    Args:
        rate: of the features.
        latent: (B, T', C) of the human.
        human: (B, T, H) normalised human features, T = T' * downsample.
        encoder: the robot's.
        decoder: latents to robot features.
    """
    told = decoder(latent)[..., rate.robot_column]
    missed = human[..., rate.human_column] * rate.scale + rate.shift - told
    before, after = rate.frames // 2, rate.frames - 1 - rate.frames // 2
    padded = F.pad(missed[:, None], (before, after), mode="replicate")
    slow = F.avg_pool1d(padded, rate.frames, stride=1)
    kernel = encoder.linear.weight[:, rate.robot_column, None]
    return F.conv1d(slow, kernel, stride=encoder.linear.stride).mT
