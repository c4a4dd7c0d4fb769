"""What training minimises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather
from torch.nn import functional as F

from g1_vq_retarget.models import Forward


@dataclass
class LossConfig:
    """Weights of the terms. All compare normalised features."""

    recon: float = 1.0
    """Robot to robot: mean squared error of what is decoded from the robot's own tokens."""
    vq: float = 2.0
    """Commitment of the encoders to the codes. Too little, and latents grow what the codes cannot follow; too much,
    and they cannot move from where they start."""
    vel: float = 20.0
    """Mean squared error of the frame-to-frame differences of what is decoded from the robot's tokens. Differences are
    small, so the weight is large; at 5 decoded motion jerks 2.4 times as much as at 20, at the same recon."""
    cross: float = 1.0
    """Human to robot: mean squared error of what is decoded from the human's tokens."""
    align: float = 1.0
    """Distance of the two encoders' latents on pairs: mean squared error and InfoNCE."""
    infonce: float = 0.1
    """Share of InfoNCE in the alignment."""
    temperature: float = 0.1
    """Temperature of InfoNCE over cosines."""
    align_moves_robot: bool = False
    """Let the alignment pull the robot's latents to the human's too, as the original did; otherwise only the human
    encoder follows, and the robot path is not made worse by what a human pose cannot tell."""
    root: float = 3.0
    """Weight of the root stream against the joints in recon, vel and cross. Errors of its velocity add up to a way:
    a body at rest must not drift."""


def motion_error(motion: Tensor, target: Tensor, joints: int, root_weight: float) -> Tensor:
    """Mean squared error of the first `joints` columns, plus that of the root stream's columns, if any, weighted."""
    error = F.mse_loss(motion[..., :joints], target[..., :joints])
    if motion.shape[-1] > joints:
        error = error + root_weight * F.mse_loss(motion[..., joints:], target[..., joints:])
    return error


def infonce(human: Tensor, robot: Tensor, temperature: float) -> Tensor:
    """InfoNCE between windows, both ways (van den Oord et al. 2018, eq. 4), over cosines of time-pooled latents.

    Args:
        human, robot: (P, T, C) latents; the same row is the same motion.
    """
    human, robot = (F.normalize(latent.mean(1), dim=-1) for latent in (human, robot))
    if dist.is_available() and dist.is_initialized() and human.requires_grad:
        # tell each window from those of all processes; gathering carries gradients back to where they belong
        human, robot = (torch.cat(list(all_gather(latent.contiguous()))) for latent in (human, robot))
    logits = human @ robot.T / temperature
    same = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2


def losses(out: Forward, robot: Tensor, joints: int, config: LossConfig) -> dict[str, Tensor]:
    """Unweighted terms and their weighted sum `total`.

    Args:
        out: the model's output; its human rows belong to the first rows of `robot`.
        robot: (B, T, D) normalised robot features.
        joints: J, the columns before the root stream.
    """
    pairs = len(out.human_motion)
    terms = {
        "recon": motion_error(out.robot_motion, robot, joints, config.root),
        "vq": out.commitment,
        "vel": motion_error(out.robot_motion.diff(dim=1), robot.diff(dim=1), joints, config.root),
    }
    if pairs:
        latent = out.robot_latent[:pairs]
        latent = latent if config.align_moves_robot else latent.detach()
        terms["cross"] = motion_error(out.human_motion, robot[:pairs], joints, config.root)
        terms["align"] = F.mse_loss(out.human_latent, latent) + config.infonce * infonce(
            out.human_latent, latent, config.temperature
        )
    terms["total"] = torch.stack([getattr(config, name) * value for name, value in terms.items()]).sum()
    return terms
