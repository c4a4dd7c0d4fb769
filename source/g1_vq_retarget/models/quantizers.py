"""The kinds of quantizers. Their codes come from vector-quantize-pytorch, whose defaults are set here knowingly."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from vector_quantize_pytorch import FSQ, LFQ, ResidualVQ, VectorQuantize

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models.predictive import PredictiveResidual
from g1_vq_retarget.models.quantizer import Quantizer, QuantizerConfig, StepQuantizer


def build_quantizer(dim: int, config: QuantizerConfig) -> Quantizer:
    """The quantizer that a configuration describes, for latents of `dim` channels."""
    kinds = {"fsq": Scalar, "lfq": Sign, "hybrid": Hybrid, "predictive": PredictiveResidual}
    return kinds.get(config.kind, Residual)(dim, config)


class Residual(StepQuantizer):
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


class _Projected(StepQuantizer):
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


class Hybrid(StepQuantizer):
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
