"""From continuous latents to integer tokens and back.

A quantizer has one vocabulary a level; a step of the latent sequence becomes one token of each level. The codes come
from vector-quantize-pytorch, whose defaults are set here knowingly. How gradients flow is decided here, once for all
kinds: codes that learn see the latents but do not move them; the encoder gets the decoder's gradient straight through,
and a commitment that pulls it to the codes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from vector_quantize_pytorch import FSQ, LFQ, ResidualVQ, VectorQuantize
from vector_quantize_pytorch.vector_quantize_pytorch import rotate_to

from g1_vq_retarget.errors import UserError


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

    kind: Literal["standard", "reset", "ema", "ema_reset", "rvq", "fsq", "lfq", "hybrid"] = "hybrid"
    """standard: codes learn by gradient (van den Oord et al. 2017); ema: codes follow moving averages of the latents
    they are chosen for; reset, ema_reset: the same, and dead codes are replaced; rvq: ema_reset with several levels,
    each coding what the levels before left over (Zeghidour et al. 2021). fsq: finite scalar quantization of the
    directions of largest variance (Mentzer et al. 2024); lfq: their signs (Yu et al. 2024); hybrid: fsq for the
    coarse part, rvq for what is left."""
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
            codes, tokens, code_loss = self._quantize(latent.detach())
            codes, latent = codes.detach(), self._coded(latent)
            loss = self.commitment * F.mse_loss(latent, codes) + code_loss
            through = rotate_to(latent, codes) if self.rotation_trick else latent + (codes - latent).detach()
        return Quantized(through, tokens, loss)

    @abstractmethod
    def decode(self, tokens: Tensor) -> Tensor:
        """Latents (B, T, C) of tokens (B, T, L).

        Tokens of the first levels alone, (B, T, l < L), give a coarser latent: what the others tell stays at its mean.
        """

    @abstractmethod
    def place_codes(self, latents: Tensor) -> None:
        """Place the codes before training, on latents (B, T, C) of the training data."""

    def _coded(self, latent: Tensor) -> Tensor:
        """The part of latents (B, T, C) that tokens can tell: gradients must not push the encoder where none looks."""
        return latent

    @abstractmethod
    def _quantize(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes (B, T, C), tokens (B, T, L) and the loss by which codes learn, of latents without gradient."""


def build_quantizer(dim: int, config: QuantizerConfig) -> Quantizer:
    """The quantizer that a configuration describes, for latents of `dim` channels."""
    kinds = {"fsq": Scalar, "lfq": Sign, "hybrid": Hybrid}
    return kinds.get(config.kind, Residual)(dim, config)


class Residual(Quantizer):
    """Codebooks, each for what the ones before left over; with one level, plain vector quantization."""

    def __init__(self, dim: int, config: QuantizerConfig) -> None:
        super().__init__(config)
        self.codebook_sizes = (config.codebook_size,) * config.levels
        # Codes follow moving averages unless they learn by gradient. `ema_update=False` alone would freeze them.
        by_gradient = config.kind in ("standard", "reset")
        self.residual = ResidualVQ(
            dim=dim,
            num_quantizers=config.levels,
            codebook_size=config.codebook_size,
            ema_update=not by_gradient,
            learnable_codebook=by_gradient,
            decay=config.decay,
            kmeans_init=True,
            kmeans_iters=config.kmeans_iters,
            threshold_ema_dead_code=0 if config.kind in ("standard", "ema") else config.dead_code_threshold,
            # The input carries no gradient, so this is the codes' own loss. Gradients to the encoder are `Quantizer`'s.
            commitment_weight=1.0 if by_gradient else 0.0,
            rotation_trick=False,
            beam_size=1,
            eval_beam_size=config.beam,
        )

    def decode(self, tokens: Tensor) -> Tensor:
        books = [layer for layer in self.residual.layers if isinstance(layer, VectorQuantize)]
        told = zip(books, tokens.unbind(-1), strict=False)
        return torch.stack([book.get_codes_from_indices(level) for book, level in told]).sum(0)

    @torch.no_grad()
    def place_codes(self, latents: Tensor) -> None:
        training = self.training
        self.train()
        self._quantize(latents)  # the first latents that the library sees start its k-means
        self.train(training)

    def _quantize(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        codes, tokens, losses = self.residual(latent)
        return codes, tokens, losses.sum()


class _Projected(Quantizer):
    """Codes of a few directions of the latent: a linear way in and a linear way back."""

    def __init__(self, dim: int, directions: int, config: QuantizerConfig) -> None:
        super().__init__(config)
        if directions > dim:
            raise UserError(
                f"model.quantizer ({config.kind}) codes {directions} directions, more than model.network.latent_dim, "
                f"which is {dim}; code fewer or widen the latent"
            )
        self.project_in = nn.Linear(dim, directions)
        self.project_out = nn.Linear(directions, dim)

    @torch.no_grad()
    def place_codes(self, latents: Tensor) -> None:
        flat = latents.flatten(0, -2).double()
        mean = flat.mean(0)
        variance, basis = torch.linalg.eigh(torch.atleast_2d(torch.cov(flat.T)))
        count = self.project_in.out_features
        basis, deviation = basis.flip(-1)[:, :count], variance.flip(-1)[:count].clamp_min(0).sqrt()
        # the sign of an eigenvector is arbitrary: make the result the same on every machine
        basis = basis * torch.where(basis.abs().amax(0) == basis.amax(0), 1.0, -1.0)
        reach_in, reach_out = self._reach(deviation)
        self.project_in.weight.copy_(basis.T / reach_in.clamp_min(1e-6)[:, None])
        self.project_in.bias.copy_(-self.project_in.weight.double() @ mean)
        self.project_out.weight.copy_(basis * reach_out)
        self.project_out.bias.copy_(mean)

    def _coded(self, latent: Tensor) -> Tensor:
        # orthogonally onto the directions; the encoder moves along them but does not choose them
        directions = self.project_in.weight.detach()
        values = F.linear(latent, directions, self.project_in.bias.detach())
        return F.linear(values, torch.linalg.pinv(directions), self.project_out.bias.detach())

    @abstractmethod
    def _reach(self, deviation: Tensor) -> tuple[Tensor, Tensor]:
        """What 1 stands for in each direction, going in and coming back, of its standard deviation."""


class Scalar(_Projected):
    """Finite scalar quantization of the directions of largest variance.

    Directions and range are placed once and then fixed; the encoder learns to use them, held by the commitment. If they
    learned too, latents outside the range would carry no gradient to bring the range after them, and direction after
    direction would come to rest at one end: seen in training, after some five epochs.
    """

    def __init__(self, dim: int, config: QuantizerConfig) -> None:
        self.scalar_levels = [level for group in config.fsq_levels for level in group]
        super().__init__(dim, len(self.scalar_levels), config)
        self.project_in.requires_grad_(False)
        self.project_out.requires_grad_(False)
        self.groups = [len(group) for group in config.fsq_levels]
        self.codebook_sizes = tuple(math.prod(group) for group in config.fsq_levels)
        # Equal steps on [-1, 1] ends included, clamped: a uniform scalar quantizer. The library's default squashes
        # with tanh, which a linear way back cannot undo, and is lopsided for an even number of levels.
        self.scalar = nn.ModuleList(
            FSQ(levels=list(group), preserve_symmetry=True, bound_hard_clamp=True) for group in config.fsq_levels
        )

    def decode(self, tokens: Tensor) -> Tensor:
        told = zip(self._fsq(), tokens.unbind(-1), strict=False)
        codes = torch.cat([fsq.indices_to_codes(group) for fsq, group in told], -1)
        return self.project_out(F.pad(codes, (0, len(self.scalar_levels) - codes.shape[-1])))

    def _quantize(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = self.project_in(latent).split(self.groups, dim=-1)
        pairs = [fsq(part) for fsq, part in zip(self._fsq(), parts, strict=True)]
        codes = self.project_out(torch.cat([values for values, _ in pairs], -1))
        return codes, torch.stack([indices.long() for _, indices in pairs], -1), latent.new_zeros(())

    def _reach(self, deviation: Tensor) -> tuple[Tensor, Tensor]:
        levels = torch.tensor(self.scalar_levels).to(deviation)
        reach = deviation * (levels - 1) / 2 * uniform_step(levels)
        return reach, reach

    def _fsq(self) -> list[FSQ]:
        return [module for module in self.scalar if isinstance(module, FSQ)]


class Sign(_Projected):
    """Lookup-free quantization: the signs of the directions of largest variance.

    Directions and sizes learn to leave as little of the latents as they can, and the entropy loss spreads the signs.
    """

    def __init__(self, dim: int, config: QuantizerConfig) -> None:
        bits = config.codebook_size.bit_length() - 1
        if 2**bits != config.codebook_size:
            raise UserError(f"model.quantizer.codebook_size must be a power of two for lfq, not {config.codebook_size}")
        super().__init__(dim, bits * config.levels, config)
        self.codebook_sizes = (config.codebook_size,) * config.levels
        self.signs = LFQ(
            codebook_size=config.codebook_size,
            num_codebooks=config.levels,
            dim=bits * config.levels,
            keep_num_codebooks_dim=True,
            entropy_loss_weight=config.entropy,
            commitment_loss_weight=0.0,
            diversity_gamma=1.0,
        )

    def decode(self, tokens: Tensor) -> Tensor:
        told, levels = tokens.shape[-1], len(self.codebook_sizes)
        codes = self.signs.indices_to_codes(F.pad(tokens, (0, levels - told)), project_out=False)
        directions = codes.shape[-1]
        return self.project_out(codes * (torch.arange(directions, device=codes.device) < directions // levels * told))

    def _quantize(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # inputs have about unit variance: the library's inverse temperature of 100 would leave no gradient
        signs, tokens, entropy = self.signs(self.project_in(latent), inv_temperature=1.0)
        codes = self.project_out(signs)
        return codes, tokens.long(), F.mse_loss(codes, latent) + entropy

    def _reach(self, deviation: Tensor) -> tuple[Tensor, Tensor]:
        # the mean of the upper half of a Gaussian
        return deviation, deviation * math.sqrt(2 / math.pi)


class Hybrid(Quantizer):
    """Scalars for the coarse part, residual codebooks for what is left."""

    def __init__(self, dim: int, config: QuantizerConfig) -> None:
        super().__init__(config)
        self.coarse = Scalar(dim, config)
        self.fine = Residual(dim, config)
        self.codebook_sizes = (*self.coarse.codebook_sizes, *self.fine.codebook_sizes)

    def decode(self, tokens: Tensor) -> Tensor:
        groups = len(self.coarse.codebook_sizes)
        coarse = self.coarse.decode(tokens[..., :groups])
        return coarse + self.fine.decode(tokens[..., groups:]) if tokens.shape[-1] > groups else coarse

    @torch.no_grad()
    def place_codes(self, latents: Tensor) -> None:
        self.coarse.place_codes(latents)
        self.fine.place_codes(latents - self.coarse(latents).latent)

    def _quantize(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        coarse, coarse_tokens, coarse_loss = self.coarse._quantize(latent)
        fine, fine_tokens, fine_loss = self.fine._quantize(latent - coarse.detach())
        return coarse + fine, torch.cat([coarse_tokens, fine_tokens], -1), coarse_loss + fine_loss


# Step, in standard deviations, of the uniform quantizer of a Gaussian with the least mean squared error, by number of
# levels (Max 1960, "Quantizing for Minimum Distortion", Table II).
_UNIFORM_STEPS = {2: 1.596, 3: 1.224, 4: 0.9957, 5: 0.8430, 6: 0.7334, 7: 0.6508, 8: 0.5860, 12: 0.4238, 16: 0.3352}
_UNIFORM_STEPS |= {24: 0.2400, 32: 0.1881}


def uniform_step(levels: Tensor) -> Tensor:
    """Best step, in standard deviations, of a uniform quantizer of a Gaussian with so many levels (any shape)."""
    table = torch.tensor(list(_UNIFORM_STEPS.items()), dtype=levels.dtype, device=levels.device)
    above = torch.searchsorted(table[:, 0].contiguous(), levels).clamp(1, len(table) - 1)
    (x0, y0), (x1, y1) = table[above - 1].T, table[above].T
    # between the entries the step falls like a power of the number of levels
    slope = torch.log(y1 / y0) / torch.log(x1 / x0)
    return y0 * (levels / x0) ** slope
