"""From continuous latents to integer tokens and back.

A quantizer has one vocabulary a level; a step of the latent sequence becomes one token of each level. The codes come
from vector-quantize-pytorch, whose defaults are set here knowingly; how their gradients flow is decided here too, once
for all quantizers: straight through to the encoder, a commitment that pulls the encoder to the codes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from vector_quantize_pytorch import FSQ, ResidualVQ
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
    """The vocabulary.

    `rvq`: residual vector quantization, each level codes what the levels before left over (Zeghidour et al. 2021).
    `hybrid`: finite scalar quantization (Mentzer et al. 2024) of a few directions for the coarse part, then RVQ of
    what is left.
    """

    kind: Literal["rvq", "hybrid"] = "hybrid"
    """Family of quantizer."""
    fsq_levels: list[list[int]] = field(default_factory=lambda: [[16, 16, 16], [8, 8, 8, 8]])
    """Scalar levels of each direction, in groups: a group is one token, its vocabulary the product of its levels
    (hybrid only)."""
    levels: int = 8
    """Number of residual levels."""
    codebook_size: int = 1024
    """Codes of each level."""
    decay: float = 0.99
    """Decay of the moving averages that the codes follow; the library's 0.8 forgets within a few batches."""
    dead_code_threshold: float = 0.1
    """A code used less often than this a batch (moving average) is replaced by a latent of the batch; 0 never does."""
    kmeans_iters: int = 10
    """Iterations of k-means that place the codes on the first latents they see."""
    beam: int = 1
    """Candidates kept from level to level outside training; 1 is the greedy search."""
    rotation_trick: bool = False
    """Turn gradients with the rotation from latent to code (Fifty et al. 2024) instead of copying them."""
    commitment: float = 1.0
    """Weight of the commitment inside the quantizer's loss."""


class Quantizer(nn.Module, ABC):
    """Latents to tokens and back. Always computes in float32."""

    codebook_sizes: tuple[int, ...]

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.rotation_trick = config.rotation_trick
        self.commitment = config.commitment

    @property
    def bits(self) -> float:
        """Nominal bits a step: the sum of log2 of the codebook sizes."""
        return sum(math.log2(size) for size in self.codebook_sizes)

    def forward(self, latent: Tensor) -> Quantized:
        """Quantize (B, T, C)."""
        with torch.autocast(latent.device.type, enabled=False):
            latent = latent.float()
            codes, tokens, code_loss = self._quantize(latent)
            loss = self.commitment * nn.functional.mse_loss(latent, codes.detach()) + code_loss
            codes = codes.detach()
            through = rotate_to(latent, codes) if self.rotation_trick else latent + (codes - latent).detach()
        return Quantized(through, tokens, loss)

    @abstractmethod
    def decode(self, tokens: Tensor) -> Tensor:
        """Latents (B, T, C) of tokens (B, T, L)."""

    @abstractmethod
    def _quantize(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes (B, T, C), tokens (B, T, L) and the loss by which codes learn."""

    def place_codes(self, latents: Tensor, deviation: Tensor) -> None:
        """Place the codes before training.

        Args:
            latents: (B, T, C) latents of the training data.
            deviation: (C,) standard deviation of each channel, falling.
        """
        del deviation
        training = self.training
        self.train()
        with torch.no_grad():
            self(latents)  # the first latents seen start the k-means
        self.train(training)


class RVQ(Quantizer):
    """Residual vector quantization whose codes follow moving averages."""

    def __init__(self, dim: int, config: QuantizerConfig) -> None:
        super().__init__(config)
        self.codebook_sizes = (config.codebook_size,) * config.levels
        self.residual = _residual_vq(dim, config)

    def decode(self, tokens: Tensor) -> Tensor:
        return self.residual.get_output_from_indices(tokens)

    def _quantize(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        codes, tokens, _ = self.residual(latent.detach())
        return codes, tokens, latent.new_zeros(())


class Hybrid(Quantizer):
    """FSQ of a learned projection, then RVQ of the rest.

    The projection in and out of the scalar levels is a codebook like any other: it learns to leave as little as it can
    (a mean squared error against the latents, which it does not move); the encoder is moved by the commitment only.
    """

    def __init__(self, dim: int, config: QuantizerConfig) -> None:
        super().__init__(config)
        self.groups = [len(levels) for levels in config.fsq_levels]
        self.scalar_levels = [level for group in config.fsq_levels for level in group]
        coarse_dim = len(self.scalar_levels)
        if coarse_dim > dim:
            raise ValueError(f"fsq_levels has {coarse_dim} directions, the latent only {dim} channels")
        self.project_in = nn.Linear(dim, coarse_dim)
        self.project_out = nn.Linear(coarse_dim, dim)
        # Equal steps on [-1, 1] ends included, clamped: a uniform scalar quantizer. The library's default squashes
        # with tanh, which a linear way back cannot undo, and has no level to spare for one end when L is even.
        self.scalar = nn.ModuleList(
            FSQ(levels=list(levels), preserve_symmetry=True, bound_hard_clamp=True) for levels in config.fsq_levels
        )
        self.residual = _residual_vq(dim, config)
        self.codebook_sizes = (
            *(math.prod(levels) for levels in config.fsq_levels),
            *(config.codebook_size,) * config.levels,
        )

    def decode(self, tokens: Tensor) -> Tensor:
        groups = len(self.groups)
        scalars = [fsq.indices_to_codes(tokens[..., i]) for i, fsq in enumerate(self._fsq())]
        return self.project_out(torch.cat(scalars, -1)) + self.residual.get_output_from_indices(tokens[..., groups:])

    def _quantize(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        target = latent.detach()
        scaled = self.project_in(target).split(self.groups, dim=-1)
        pairs = [fsq(part) for fsq, part in zip(self._fsq(), scaled, strict=True)]
        coarse = self.project_out(torch.cat([codes for codes, _ in pairs], -1))
        fine, fine_tokens, _ = self.residual(target - coarse.detach())
        tokens = torch.cat([torch.stack([tokens.long() for _, tokens in pairs], -1), fine_tokens], -1)
        return coarse.detach() + fine, tokens, nn.functional.mse_loss(coarse, target)

    @torch.no_grad()
    def place_codes(self, latents: Tensor, deviation: Tensor) -> None:
        # The first channels have the largest variance: give each its own scalar, its levels spread over the range
        # in which the error of a uniform quantizer of a Gaussian is smallest (Max 1960, Table II).
        levels = torch.tensor(self.scalar_levels).to(deviation)
        reach = deviation[: len(levels)] * (levels - 1) / 2 * _uniform_step(levels)
        for layer in (self.project_in, self.project_out):
            layer.weight.zero_()
            layer.bias.zero_()
        channel = torch.arange(len(levels))
        self.project_in.weight[channel, channel] = 1 / reach.clamp_min(1e-6)
        self.project_out.weight[channel, channel] = reach
        super().place_codes(latents, deviation)

    def _fsq(self) -> list[FSQ]:
        return [module for module in self.scalar if isinstance(module, FSQ)]


def build_quantizer(dim: int, config: QuantizerConfig) -> Quantizer:
    """The quantizer that a configuration describes, for latents of `dim` channels."""
    return {"rvq": RVQ, "hybrid": Hybrid}[config.kind](dim, config)


def _residual_vq(dim: int, config: QuantizerConfig) -> ResidualVQ:
    return ResidualVQ(
        dim=dim,
        num_quantizers=config.levels,
        codebook_size=config.codebook_size,
        decay=config.decay,
        kmeans_init=True,
        kmeans_iters=config.kmeans_iters,
        threshold_ema_dead_code=config.dead_code_threshold,
        # gradients and commitment are the Quantizer's own, once over all levels
        rotation_trick=False,
        commitment_weight=0.0,
        beam_size=1,
        eval_beam_size=config.beam,
    )


def _uniform_step(levels: Tensor) -> Tensor:
    """Step, in standard deviations, of the best uniform quantizer of a Gaussian with so many levels (Max 1960)."""
    known = {2: 1.596, 3: 1.224, 4: 0.9957, 5: 0.8430, 6: 0.7334, 7: 0.6508, 8: 0.5860, 12: 0.4238, 16: 0.3352}
    known |= {24: 0.2400, 32: 0.1881}
    table = torch.tensor(sorted(known.items()), dtype=levels.dtype, device=levels.device)
    above = torch.searchsorted(table[:, 0].contiguous(), levels).clamp(1, len(table) - 1)
    (x0, y0), (x1, y1) = table[above - 1].T, table[above].T
    # between the entries the step falls like a power of the number of levels
    slope = torch.log(y1 / y0) / torch.log(x1 / x0)
    return y0 * (levels / x0) ** slope
