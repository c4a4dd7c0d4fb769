"""What every quantizer is: continuous latents to integer tokens and back.

A quantizer has one vocabulary a level; a step of the latent sequence becomes one token of each level. How gradients
flow is decided here, once for all kinds: codes that learn see the latents but do not move them; the encoder gets the
decoder's gradient straight through, and a commitment that pulls it to the codes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from vector_quantize_pytorch.vector_quantize_pytorch import rotate_to


class Quantized(NamedTuple):
    """What a quantizer returns.

    Attributes:
        latent: (B, T, C) the decoded latents; gradients go straight through to the input.
        tokens: (B, T, L) integers, one a level.
        loss: scalar: commitment of the encoder and, where codes learn by gradient, the codes' own loss.
    """

    latent: Tensor
    tokens: Tensor
    loss: Tensor


@dataclass
class QuantizerConfig:
    """The vocabulary."""

    kind: Literal["standard", "reset", "ema", "ema_reset", "rvq", "fsq", "lfq", "hybrid", "predictive"] = "hybrid"
    """standard: codes learn by gradient (van den Oord et al. 2017); ema: codes follow moving averages of the latents
    they are chosen for; reset, ema_reset: the same, and dead codes are replaced; rvq: ema_reset with several levels,
    each coding what the levels before left over (Zeghidour et al. 2021). fsq: finite scalar quantization of the
    directions of largest variance (Mentzer et al. 2024); lfq: their signs (Yu et al. 2024); hybrid: fsq for the
    coarse part, rvq for what is left. predictive: rvq of what the decoded past does not tell (see
    `models/predictive.py`)."""
    levels: int = 8
    """Number of residual levels (lfq: of tokens)."""
    codebook_size: int = 1024
    """Codes of each level; a power of two for lfq. Not used by fsq."""
    fsq_levels: list[list[int]] = field(default_factory=lambda: [[16, 16, 16], [8, 8, 8, 8]])
    """fsq and hybrid: scalar levels of each direction, in groups; a group is one token, its vocabulary the product."""
    decay: float = 0.99
    """Decay of the moving averages that the codes follow; the library's 0.8 forgets within a few batches."""
    dead_code_threshold: float = 0.1
    """A code used less often than this a batch (moving average) is replaced by a latent of the batch, where the kind
    replaces dead codes."""
    kmeans_iters: int = 10
    """Iterations of the k-means that places the codes on latents of the training data."""
    beam: int = 1
    """Candidates kept from level to level outside training; 1 is the greedy search."""
    rotation_trick: bool = False
    """Turn gradients with the rotation from latent to code (Fifty et al. 2024) instead of copying them."""
    commitment: float = 1.0
    """Weight of the commitment inside the quantizer's loss."""
    entropy: float = 0.01
    """lfq: weight of the entropy loss: sure of each sign, and all tokens equally likely."""
    memory: int = 6
    """predictive: steps of decoded latents that the prediction looks back on."""
    predictor_width: int = 512
    """predictive: channels of the network that predicts."""
    training_beam: int = 1
    """predictive: as `beam`, in training."""
    growth: float = 0.98
    """predictive: by how much an error of what is remembered may grow a step, below 1. Training sees to it, so that
    spoiled tokens and rounding are forgotten; the sooner, the more there is to tell. Short steps want more: 0.98 is a
    tenth after 115 steps."""
    least_levels: int = 0
    """predictive: the number of levels told varies in training from this to all, so that fewer of them do as a lower
    rate; 0 for all, always."""


class Quantizer(nn.Module, ABC):
    """Latents to tokens and back. Always computes in float32."""

    codebook_sizes: tuple[int, ...]
    reach: int = 0
    """Steps that `decode` looks back on."""

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.rotation_trick = config.rotation_trick
        self.commitment = config.commitment

    @property
    def bits(self) -> float:
        """Nominal bits a step: the sum of log2 of the codebook sizes."""
        return sum(math.log2(size) for size in self.codebook_sizes)

    @abstractmethod
    def forward(
        self, latent: Tensor, levels: int | None = None, followers: int = 0, feedback: Tensor | None = None
    ) -> Quantized:
        """Quantize (B, T, C) with the first `levels` levels, by default all; fewer carry no gradient.

        Args:
            followers: how many of the last rows are a human's, which kinds may treat apart in training.
            feedback: (C, C) what of the summed errors of the steps before is added to a step's latent, by kinds that
                go from step to step; not in training.
        """

    @abstractmethod
    def decode(self, tokens: Tensor) -> Tensor:
        """Latents (B, T, C) of tokens (B, T, L).

        Tokens of the first levels alone, (B, T, l < L), give a coarser latent: what the others tell stays at its mean.
        """

    @abstractmethod
    def place_codes(self, latents: Tensor) -> None:
        """Place the codes before training, on latents (B, T, C) of the training data."""

    def begin(self, rows: int) -> tuple[Tensor, ...]:
        """What `encode_next` is to know of the steps before the first; rows (B) stand first."""
        return ()

    def expect(self, state: tuple[Tensor, ...], levels: int | None = None) -> tuple[Tensor, ...]:
        """What of `encode_next` can be computed before there is a latent, from the state and for so many levels."""
        return ()

    @abstractmethod
    def encode_next(
        self,
        latent: Tensor,
        state: tuple[Tensor, ...],
        levels: int | None = None,
        feedback: Tensor | None = None,
        expected: tuple[Tensor, ...] = (),
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """One step of `forward`, not in training: decoded latents (B, C), tokens (B, L), and the state after it.

        Args:
            latent: (B, C).
            state: what came of the step before, or of `begin`.
            levels, feedback: as for `forward`.
            expected: what `expect` made of the state, where that has been done.
        """

    @abstractmethod
    def decode_next(self, tokens: Tensor, past: Tensor) -> Tensor:
        """(B, C) the latent of a step's tokens (B, l): the last of `decode` of the whole sequence.

        Args:
            past: (B, t, C) latents decoded from the steps before it, the last `reach` of them at least, if there are so
                many.
        """


class StepQuantizer(Quantizer):
    """Each step is told for itself, whatever was before it."""

    def forward(
        self, latent: Tensor, levels: int | None = None, followers: int = 0, feedback: Tensor | None = None
    ) -> Quantized:
        with torch.autocast(latent.device.type, enabled=False):
            latent = latent.float()
            codes, tokens, code_loss = self._quantize(latent.detach())
            codes, latent = codes.detach(), self._coded(latent)
            loss = self.commitment * F.mse_loss(latent, codes) + code_loss
            through = rotate_to(latent, codes) if self.rotation_trick else latent + (codes - latent).detach()
            if levels is not None:
                tokens = tokens[..., :levels]
                through = self.decode(tokens)
        return Quantized(through, tokens, loss)

    def encode_next(
        self,
        latent: Tensor,
        state: tuple[Tensor, ...],
        levels: int | None = None,
        feedback: Tensor | None = None,
        expected: tuple[Tensor, ...] = (),
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        quantized = self(latent[:, None], levels)
        return quantized.latent[:, 0], quantized.tokens[:, 0], state

    def decode_next(self, tokens: Tensor, past: Tensor) -> Tensor:
        return self.decode(tokens[:, None])[:, 0]

    def _coded(self, latent: Tensor) -> Tensor:
        """The part of latents (B, T, C) that tokens can tell: gradients must not push the encoder where none looks."""
        return latent

    @abstractmethod
    def _quantize(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes (B, T, C), tokens (B, T, L) and the loss by which codes learn, of latents without gradient."""
