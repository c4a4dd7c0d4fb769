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

    Attributes:
        now: filled while the network runs: what the next piece is to be given.
    """

    def __init__(self, kept: Sequence[Tensor] = ()) -> None:
        self._kept = list(kept)
        self.now: list[Tensor] = []

    def before(self, x: Tensor, length: int) -> Tensor:
        """(B, C, length + T) the last `length` columns before the piece x (B, C, T), and the piece."""
        known = self._kept[len(self.now)] if self._kept else x.new_zeros(*x.shape[:2], length)
        joined = torch.cat([known, x], -1)
        self.now.append(joined[..., joined.shape[-1] - length :])
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
            return super().forward((past or Past()).before(input, self.span))
        return super().forward(F.pad(input, (self.span // 2, self.span // 2), mode="replicate"))
