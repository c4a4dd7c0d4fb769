"""How likely tokens are: an autoregressive prior over the tokens of a trained model.

Causal in time: a step is judged by the decoded latents of the steps before it, through dilated convolutions that look
back a fixed number of steps and nowhere else (van den Oord et al. 2016, "WaveNet"). Within a step, level after level:
each by what the levels before it say. By the chain rule the probabilities of all sequences sum to one, so that minus
the logarithm is what an arithmetic coder needs to tell them (Cover and Thomas 2006, ch. 13), and drawing token after
token makes new motion.

A level of scalars is told scalar by scalar: its vocabulary, a product, is far too large to be seen whole in training,
and neighbours in it are alike. These smaller tokens are called parts here; a level of any other kind is one part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g1_vq_retarget.models.quantizer import Quantizer
from g1_vq_retarget.models.vqvae import DualEncoderVQVAE

Choose = Callable[[int, int, Tensor], Tensor]
"""Step, part and logits (B, codes) to the parts (B,) that are told next."""


@dataclass
class PriorConfig:
    """Shape of the prior."""

    width: int = 192
    """Channels of the network and of the embeddings."""
    depth: int = 4
    """Convolutions over the past, the n-th with a dilation of 2^n steps: together they look back 2^(depth+1) - 1."""
    dropout: float = 0.1
    """Dropout inside the network."""


class _LookBack(nn.Module):
    """x + out(gelu(conv3(norm(x)))) over (B, T, W), without padding: the first 2 * dilation steps fall away."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.lost = 2 * dilation
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Conv1d(width, width, 3, dilation=dilation)
        self.out = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.lost :] + self.out(self.mix(self.norm(x).mT).mT)


class TokenPrior(nn.Module):
    """Probabilities of tokens (B, T, L), given the latents (B, T, C) that they decode to.

    Args:
        dim: C, channels of the latents.
        parts: for each level the sizes of its parts, whose product is its vocabulary; the first part counts fastest.
        config: shape of the network.

    Attributes:
        sizes: of all parts of a step, P of them, level after level.
        reach: steps looked back on. What lies before the beginning is a state of its own.
    """

    def __init__(self, dim: int, parts: Sequence[Sequence[int]], config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        self.parts = tuple(tuple(level) for level in parts)
        self.sizes = tuple(size for level in self.parts for size in level)
        self.reach = 2 ** (config.depth + 1) - 1
        width = config.width
        self.mean, self.std = nn.Buffer(torch.zeros(dim)), nn.Buffer(torch.ones(dim))
        self.inlet = nn.Linear(dim + 1, width)
        self.past = nn.Sequential(*(_LookBack(width, 2**level, config.dropout) for level in range(config.depth)))
        self.embedding = nn.Embedding(sum(self.sizes), width)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.place = nn.Parameter(0.1 * torch.randn(len(self.sizes), width))
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(2 * width, width)
        )
        self.last_norm = nn.LayerNorm(width)
        self.heads = nn.ModuleList(nn.Linear(width, size) for size in self.sizes)
        for head in self._heads():  # all tokens equally likely
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        starts = torch.tensor((0, *self.sizes[:-1])).cumsum(0)
        self.starts = nn.Buffer(starts, persistent=False)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Vocabulary of each level."""
        return tuple(math.prod(level) for level in self.parts)

    @torch.no_grad()
    def start_from_data(self, tokens: Tensor, latents: Tensor) -> None:
        """Normalise latents (N, C) as they are spread, and start from how often each part of tokens (N, L) occurs."""
        self.mean.copy_(latents.mean(0))
        # channels that hardly move are not blown up
        spread = latents.std(0)
        self.std.copy_(spread.clamp_min(1e-3 * float(spread.max()) + 1e-6))
        for head, part in zip(self._heads(), self.split(tokens).unbind(-1), strict=True):
            counts = torch.bincount(part, minlength=head.out_features) + 0.5
            head.bias.copy_((counts / counts.sum()).log())

    def bits(self, tokens: Tensor, latents: Tensor) -> Tensor:
        """(B, T, L) bits that each token of whole sequences costs.

        Args:
            tokens: (B, T, L).
            latents: (B, T, C) what the model's quantizer decodes them to; that of a step only serves those after it.
        """
        parts = self(self.history(latents)[:, :-1], self.split(tokens))
        return torch.stack([level.sum(-1) for level in parts.split([len(level) for level in self.parts], -1)], -1)

    def forward(self, history: Tensor, parts: Tensor, chosen: Sequence[int] | None = None) -> Tensor:
        """(B, T, len(chosen)) bits of some parts, by default of all.

        Args:
            history: (B, reach - 1 + T, C + 1) of the steps before each, see `history`.
            parts: (B, T, P) of tokens, see `split`.
            chosen: which of the P, rising; the more, the longer it takes.
        """
        context = self.context(history)
        bits, told, before = [], torch.zeros_like(context), 0
        for part in range(len(self.sizes)) if chosen is None else chosen:
            told = told + self._embedded(parts, before, part)
            before = part
            logits = self.logits(context, told, part)
            nats = F.cross_entropy(logits.flatten(0, -2), parts[..., part].flatten(), reduction="none")
            bits.append(nats.view(parts.shape[:-1]) / math.log(2))
        return torch.stack(bits, -1)

    def context(self, history: Tensor) -> Tensor:
        """(B, T, W) what is known before each step, of a history (B, reach - 1 + T, C + 1)."""
        return self.past(self.inlet(history))

    def logits(self, context: Tensor, told: Tensor, part: int) -> Tensor:
        """(B, T, codes) of one part; `told` (B, T, W) is the sum of the embeddings of the parts before it."""
        x = context + told + self.place[part]
        return self.heads[part](self.last_norm(x + self.mix(self.norm(x))))

    def history(self, latents: Tensor) -> Tensor:
        """(B, reach + T, C + 1) normalised latents after `reach` steps that are no steps, as the last channel says."""
        normalised = F.pad((latents - self.mean) / self.std, (0, 1))
        before = F.pad(normalised.new_zeros(len(latents), self.reach, latents.shape[-1]), (0, 1), value=1.0)
        return torch.cat([before, normalised], 1)

    def split(self, tokens: Tensor) -> Tensor:
        """(..., P) parts of tokens (..., L)."""
        parts = []
        for token, sizes in zip(tokens.unbind(-1), self.parts, strict=True):
            for size in sizes:
                parts.append(token % size)
                token = token // size
        return torch.stack(parts, -1)

    def join(self, parts: Tensor) -> Tensor:
        """(..., L) tokens of parts (..., P), the inverse of `split`."""
        tokens = []
        for level, sizes in zip(parts.split([len(level) for level in self.parts], -1), self.parts, strict=True):
            weights = torch.tensor([1, *sizes[:-1]], device=parts.device).cumprod(0)
            tokens.append((level * weights).sum(-1))
        return torch.stack(tokens, -1)

    @torch.no_grad()
    def tell(self, quantizer: Quantizer, steps: int, choose: Choose, batch: int = 1) -> Tensor:
        """(batch, steps, L) tokens, told part after part: what coding, decoding and sampling have in common.

        The arithmetic is the same whatever `choose` does, so that a decoder sees an encoder's probabilities to the bit.

        Args:
            quantizer: of the model that the prior was trained for.
            steps: how many.
            choose: is asked for every part in turn.
        """
        training = self.training
        self.eval()
        latents = self.mean.new_zeros(batch, 0, len(self.mean))
        history = self.history(latents)
        tokens = []
        for step in range(steps):
            context = self.context(history)
            told = torch.zeros_like(context)
            parts: list[Tensor] = []
            for part in range(len(self.sizes)):
                parts.append(choose(step, part, self.logits(context, told, part)[:, 0]))
                told = told + self._embedded(torch.stack(parts, -1)[:, None], part, part + 1)
            tokens.append(self.join(torch.stack(parts, -1)))
            latent = quantizer.decode_next(tokens[-1], latents)
            latents = torch.cat([latents, latent[:, None]], 1)[:, -max(self.reach, quantizer.reach) :]
            history = self.history(latents)[:, -self.reach :]
        self.train(training)
        return torch.stack(tokens, 1) if tokens else torch.zeros(batch, 0, len(self.parts), dtype=torch.long)

    def sample(
        self,
        quantizer: Quantizer,
        steps: int,
        temperature: float = 1.0,
        prefix: Tensor | None = None,
        generator: torch.Generator | None = None,
        batch: int = 1,
    ) -> Tensor:
        """(batch, prefix + steps, L) tokens drawn one after the other; a CPU generator's seed decides which.

        Args:
            quantizer: of the model that the prior was trained for.
            steps: how many to draw.
            temperature: below 1 likely tokens are drawn more often than they occur; 0 draws the likeliest.
            prefix: (steps, L) tokens that come first.
        """
        given = self.split(prefix) if prefix is not None else torch.zeros(0, len(self.sizes), dtype=torch.long)

        def draw(step: int, part: int, logits: Tensor) -> Tensor:
            if step < len(given):
                return given[step, part].expand(batch).to(logits.device)
            if temperature == 0:
                return logits.argmax(-1)
            shares = (logits.double() / temperature).softmax(-1).cpu()
            return torch.multinomial(shares, 1, generator=generator)[:, 0].to(logits.device)

        return self.tell(quantizer, len(given) + steps, draw, batch)

    def _embedded(self, parts: Tensor, first: int, last: int) -> Tensor:
        """(B, T, W) sum of the embeddings of the parts from `first` to before `last`, of parts (B, T, P)."""
        if first == last:
            return parts.new_zeros((), dtype=self.place.dtype)
        rows = parts[..., first:last] + self.starts[first:last]
        summed = F.embedding_bag(rows.flatten(0, -2), self.embedding.weight, mode="sum")
        return summed.view(*parts.shape[:-1], -1)

    def _heads(self) -> list[nn.Linear]:
        return [head for head in self.heads if isinstance(head, nn.Linear)]


def build_prior(model: DualEncoderVQVAE, config: PriorConfig, levels: int | None = None) -> TokenPrior:
    """An untrained prior for a model's tokens, or for those of its first `levels` levels; all equally likely."""
    quantizer = model.config.quantizer
    scalars = quantizer.fsq_levels if quantizer.kind in ("fsq", "hybrid") else []
    parts = [*scalars, *([size] for size in model.quantizer.codebook_sizes[len(scalars) :])]
    return TokenPrior(model.config.network.latent_dim, parts[:levels], config)
