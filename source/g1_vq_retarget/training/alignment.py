"""How near the latents of the two encoders are, before quantization.

Training minimises these measures, validation reports them, and the analysis of the latent space uses the same.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather
from torch.nn import functional as F

# InfoNCE depends on how many windows are told apart, so the number is fixed where it is reported.
INFONCE_WINDOWS = 64
INFONCE_TEMPERATURE = 0.1


def latent_mse(human: Tensor, robot: Tensor) -> Tensor:
    """Mean squared distance of (P, T, C) latents, step by step; the same row is the same motion."""
    return F.mse_loss(human, robot)


def pooled(latent: Tensor) -> Tensor:
    """(P, C) mean over time of (P, T, C) latents."""
    return latent.mean(1)


def directions(latent: Tensor) -> Tensor:
    """(P, C) pooled latents of (P, T, C) at unit length; their products are the cosines that InfoNCE compares."""
    return F.normalize(pooled(latent), dim=-1)


def infonce(human: Tensor, robot: Tensor, temperature: float) -> Tensor:
    """InfoNCE between windows, both ways (van den Oord et al. 2018, eq. 4), over cosines of time-pooled latents.

    Args:
        human, robot: (P, T, C) latents; the same row is the same motion.
    """
    human, robot = directions(human), directions(robot)
    if dist.is_available() and dist.is_initialized() and human.requires_grad:
        # tell each window from those of all processes; gathering carries gradients back to where they belong
        human, robot = (torch.cat(list(all_gather(latent.contiguous()))) for latent in (human, robot))
    logits = human @ robot.T / temperature
    same = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2


def alignment(human: Tensor, robot: Tensor) -> dict[str, float]:
    """Figures of (P, T, C) latents of a whole split.

    Returns:
        align_mse: mean squared distance of the two latents.
        align_infonce: InfoNCE among 64 windows at temperature 0.1, mean over groups of consecutive windows, nats.
    """
    groups = (
        slice(start, start + INFONCE_WINDOWS)
        for start in range(0, max(1, len(human) - INFONCE_WINDOWS + 1), INFONCE_WINDOWS)
    )
    contrast = [infonce(human[group], robot[group], INFONCE_TEMPERATURE).item() for group in groups]
    return {"align_mse": latent_mse(human, robot).item(), "align_infonce": float(np.mean(contrast))}
