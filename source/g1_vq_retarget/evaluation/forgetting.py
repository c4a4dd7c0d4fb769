"""How soon a decoder that remembers forgets a spoiled token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.models.quantizer import Quantizer
from g1_vq_retarget.training.coding import decoded_clips

# When it is looked at what is left, s after the spoiled step. The last is how far apart spoiled steps are, too.
SECONDS = (1.0, 3.0, 10.0)


@dataclass(frozen=True)
class Forgetting:
    """What is left of the error of a step all of whose tokens are others.

    Attributes:
        seconds: how long after it.
        left: share of the error of latents at the spoiled step itself, the median.
        left_worst: the largest.
        spoiled: how many steps were spoiled, each alone.
    """

    seconds: tuple[float, ...]
    left: tuple[float, ...]
    left_worst: tuple[float, ...]
    spoiled: int


@torch.no_grad()
def forgetting(model: DualEncoderVQVAE, split: Split, spec: FeatureSpec, human: bool = False) -> Forgetting | None:
    """Forgetting over a split's whole clips, robot's tokens and human's; None where no clip lasts long enough.

    Args:
        human: whether to spoil the human's tokens, too.
    """
    steps = [round(seconds * spec.fps / model.downsample) for seconds in SECONDS]
    shares = [
        share
        for path in ((False, True) if human else (False,))
        for clip in decoded_clips(model, split, spec, path)
        for share in _shares(model.quantizer, clip.tokens.to(next(model.parameters()).device), steps)
    ]
    if not shares:
        return None
    left = torch.stack(shares)
    return Forgetting(
        seconds=SECONDS,
        left=tuple(left.median(0).values.tolist()),
        left_worst=tuple(left.amax(0).tolist()),
        spoiled=len(left),
    )


def _shares(quantizer: Quantizer, tokens: Tensor, steps: list[int]) -> list[Tensor]:
    """(len(steps),) of each step that is spoiled of a clip's tokens (T', L): what is left so many steps after it."""
    if len(tokens) <= quantizer.reach + steps[-1]:
        return []
    # not before there is something to remember: what is told there is larger than anywhere
    at = torch.arange(quantizer.reach, len(tokens) - steps[-1], steps[-1], device=tokens.device)
    sizes = torch.tensor(quantizer.codebook_sizes, device=tokens.device)
    rows = tokens.repeat(len(at) + 1, 1, 1)
    numbers = torch.arange(len(at), device=tokens.device)
    rows[numbers, at] = (tokens[at] + sizes // 2) % sizes
    latents = quantizer.decode(rows)
    error = (latents[:-1] - latents[-1:]).norm(dim=-1)
    left = torch.stack([error[numbers, at + step] for step in steps], 1) / error[numbers, at, None]
    return list(left[error[numbers, at] > 0])  # codes may be alike
