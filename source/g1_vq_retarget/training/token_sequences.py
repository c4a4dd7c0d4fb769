"""Whole clips as tokens, and what these cost under a prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.data.sequences import robot_sequences
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.models.prior import TokenPrior


class TokenSequence(NamedTuple):
    """A sequence's tokens (T', L), the latents (T', C) that they decode to, and how long it lasts, s."""

    tokens: Tensor
    latents: Tensor
    seconds: float


def whole_sequences(split: Split, spec: FeatureSpec) -> list[np.ndarray]:
    """(T, D) normalised robot features of each clip of a split, its windows joined again."""
    joined = []
    for sequence in robot_sequences(split):
        rows, frames = sequence.locate(np.arange(sequence.frames))
        joined.append(split.robot_features(rows[None], spec, frames[None])[0])
    return joined


@torch.no_grad()
def code_sequences(
    model: DualEncoderVQVAE, sequences: Sequence[np.ndarray], fps: float, levels: int | None = None
) -> list[TokenSequence]:
    """Tokens of whole sequences (T, D) of robot features, side by side: a closed loop goes through them only once."""
    device, step = next(model.parameters()).device, model.downsample
    latents = []
    for sequence in sequences:
        filled = np.pad(sequence, ((0, -len(sequence) % step), (0, 0)), mode="edge")
        latents.append(model.robot_encoder(torch.from_numpy(filled).to(device)[None])[0])
    # what stands behind the end of a sequence changes nothing in it
    padded = pad_sequence(latents, batch_first=True)
    coded = model.quantizer(padded, levels)
    lengths = [len(latent) for latent in latents]
    return [
        TokenSequence(coded.tokens[row, :steps].cpu(), coded.latent[row, :steps].cpu(), len(sequences[row]) / fps)
        for row, steps in enumerate(lengths)
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
