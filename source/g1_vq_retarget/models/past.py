"""Convolutions over time, and what causal ones remember, so that a clip may come piece by piece."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Past:
    """What was before a piece of a sequence, wherever a causal network looks back, in the order in which it does.

    Args:
        kept: `now` of the piece before; nothing at the beginning, where zeros stand for what was before.
        foretold: of each of these what `foretell` made of it, where it could, or nothing at all.

    Attributes:
        now: filled while the network runs: what the next piece is to be given.
        lookers: filled alike: the convolution that looked back, if it was one, and on how many columns of the piece.
    """

    def __init__(self, kept: Sequence[Tensor] = (), foretold: Sequence[Tensor | None] = ()) -> None:
        self._kept, self._foretold = list(kept), list(foretold)
        self.now: list[Tensor] = []
        self.lookers: list[tuple[TimeConv | None, int]] = []

    @property
    def continues(self) -> bool:
        """Whether anything was before."""
        return bool(self._kept)

    @property
    def foretold(self) -> Tensor | None:
        """What is known beforehand of what looks back next."""
        return self._foretold[len(self.now)] if self._foretold else None

    def before(self, x: Tensor, length: int, looker: TimeConv | None = None) -> Tensor:
        """(B, C, length + T) the last `length` columns before the piece x (B, C, T), and the piece."""
        known = self._kept[len(self.now)] if self._kept else x.new_zeros(*x.shape[:2], length)
        joined = torch.cat([known, x], -1)
        self.now.append(joined[..., joined.shape[-1] - length :])
        self.lookers.append((looker, x.shape[-1]))
        return joined


class TimeConv(nn.Conv1d):
    """A convolution (B, C, T) to (B, C', T), kernel of odd length.

    Args:
        causal: see nothing later, and zeros before the beginning. Otherwise look to both sides, edges repeated: a clip
            does not seem to come from and return to the mean pose.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int = 1, causal: bool = False) -> None:
        self.causal = causal
        self.span = (kernel - 1) * dilation
        super().__init__(inputs, outputs, kernel, dilation=dilation)

    def forward(self, input: Tensor, past: Past | None = None) -> Tensor:
        if self.causal:
            past = past or Past()
            foretold = past.foretold
            seen = past.before(input, self.span, self)
            if foretold is not None:
                return foretold + F.linear(input.mT, self.weight[..., -1].contiguous()).mT
            return self._of_few(seen) if past.continues else super().forward(seen)
        return super().forward(F.pad(input, (self.span // 2, self.span // 2), mode="replicate"))

    def foretell(self, kept: Tensor) -> Tensor:
        """(B, C', 1) what the columns before, (B, C, span), are to add to the one that comes: most of the work."""
        taps = kept[..., :: self.dilation[0]]
        return F.linear(taps.flatten(1), self.weight[..., :-1].flatten(1), self.bias)[..., None]

    def _of_few(self, seen: Tensor) -> Tensor:
        """The same as one product, which over a few steps is faster: weights are read as they lie."""
        windows = seen.unfold(-1, self.span + 1, 1)[..., :: self.dilation[0]]
        return F.linear(windows.transpose(1, 2).flatten(2), self.weight.flatten(1), self.bias).mT


class StepConv(nn.Conv1d):
    """A convolution of each step alone, (B, C, T' * length) to (B, C', T'): its stride is as long as its kernel."""

    def __init__(self, inputs: int, outputs: int, length: int = 1) -> None:
        super().__init__(inputs, outputs, length, stride=length)

    def forward(self, input: Tensor) -> Tensor:
        if input.shape[-1] == self.stride[0]:  # a single step, as one product: see `TimeConv`
            return F.linear(input.flatten(1), self.weight.flatten(1), self.bias)[..., None]
        return super().forward(input)


class StepDeconv(nn.ConvTranspose1d):
    """The way back, (B, C, T') to (B, C', T' * length)."""

    def __init__(self, inputs: int, outputs: int, length: int) -> None:
        super().__init__(inputs, outputs, length, stride=length)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if input.shape[-1] == 1:
            assert self.bias is not None
            frames = (input[..., 0] @ self.weight.flatten(1)).unflatten(1, (-1, self.stride[0]))
            return frames + self.bias[:, None]
        return super().forward(input, output_size)
