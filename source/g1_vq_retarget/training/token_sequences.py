"""Whole clips as tokens, and what these cost under a prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.data.sequences import robot_sequences, truth_of
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.models.prior import TokenPrior
from g1_vq_retarget.training.coding import coded_alike


class TokenSequence(NamedTuple):
    """A sequence's tokens (T', L), the latents (T', C) that they decode to, and how long it lasts, s."""

    tokens: Tensor
    latents: Tensor
    seconds: float


def whole_sequences(split: Split, spec: FeatureSpec) -> list[np.ndarray]:
    """(T, D) normalised robot features of each clip of a split, its windows joined again."""
    return [truth_of(split, spec, sequence) for sequence in robot_sequences(split)]


@torch.no_grad()
def code_sequences(
    model: DualEncoderVQVAE, sequences: Sequence[np.ndarray], fps: float, levels: int | None = None
) -> list[TokenSequence]:
    """Tokens of whole sequences (T, D) of robot features, side by side."""
    coded = coded_alike(model, model.robot_latent, sequences, levels)
    return [
        TokenSequence(one.tokens[0].cpu(), one.latent[0].cpu(), len(sequence) / fps)
        for one, sequence in zip(coded, sequences, strict=True)
    ]


class MeasuredRate(NamedTuple):
    """What tokens cost under a prior, by ideal arithmetic coding.

    Attributes:
        bits_per_second: of all levels together, over the true length of the motion.
        bits_per_level: mean bits of a token of each level.
    """

    bits_per_second: float
    bits_per_level: list[float]


@torch.no_grad()
def measured_rate(prior: TokenPrior, coded: Sequence[TokenSequence]) -> MeasuredRate:
    """The rate of whole sequences; each is told from its beginning, of which nothing is known."""
    training = prior.training
    prior.eval()
    bits = torch.cat([prior.bits(one.tokens[None], one.latents[None])[0] for one in coded])
    prior.train(training)
    rate = float(bits.sum()) / sum(one.seconds for one in coded)
    return MeasuredRate(rate, bits.mean(0).tolist())
