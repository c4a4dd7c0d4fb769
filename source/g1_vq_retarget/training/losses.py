"""What training minimises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from g1_vq_retarget.models import Forward
from g1_vq_retarget.training.alignment import infonce, latent_mse


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
    jerk: float = 0.0
    """Squared logarithm of the jerk of decoded joints over the truth's, of a batch without its first `onset` frames:
    what the tokens cannot tell is to be as lively as the truth, not smoothed away. It hardly costs: jerk is of fast
    and small motion. Where data was resampled linearly, truth is without the kinks that this has put in."""
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
    onset: int = 0
    """Frames at the beginning of each example that count a tenth, for vocabularies that go by what was before; fewer
    than an example has, by four."""
    root: float = 3.0
    """Weight of the root stream against the joints in recon, vel and cross. Errors of its velocity add up to a way:
    a body at rest must not drift."""


# Jerk (normalised joints, frame units) that is none: a batch that stands still.
LEAST_JERK = 1e-6
# What the first `LossConfig.onset` frames count.
ONSET_WEIGHT = 0.1


def motion_error(motion: Tensor, target: Tensor, joints: int, root_weight: float, onset: int = 0) -> Tensor:
    """Mean squared error of the first `joints` columns, plus that of the root stream's columns, if any, weighted.

    The first `onset` frames count a tenth.
    """
    frames = torch.ones(motion.shape[1], 1, device=motion.device)
    frames[:onset] = ONSET_WEIGHT
    squares = (motion - target).square() * (frames / frames.mean())
    error = squares[..., :joints].mean()
    if motion.shape[-1] > joints:
        error = error + root_weight * squares[..., joints:].mean()
    return error


def way_error(motion: Tensor, target: Tensor) -> Tensor:
    """Mean square of the summed errors of velocities (B, T, V), over T.

    For errors of mean square s that come and go it is s / 2, for one that stays the same s T / 3.
    """
    return (motion - target).cumsum(1).square().mean() / motion.shape[1]


def losses(out: Forward, robot: Tensor, joints: int, config: LossConfig, jerk_share: float = 1.0) -> dict[str, Tensor]:
    """Unweighted terms and their weighted sum `total`.

    Args:
        out: the model's output; its human rows belong to the first rows of `robot`.
        robot: (B, T, D) normalised robot features.
        joints: J, the columns before the root stream.
        jerk_share: how much of `robot`'s jerk is the truth's, see `metrics.jerk_share`.
    """
    pairs = len(out.human_motion)
    terms = {
        "recon": motion_error(out.robot_motion, robot, joints, config.root, config.onset),
        "vq": out.commitment,
        "vel": motion_error(out.robot_motion.diff(dim=1), robot.diff(dim=1), joints, config.root, config.onset),
    }
    if config.jerk:  # coarse codes of an onset jerk, and would have all else smoothed to make up for them
        settled = (motion[:, config.onset :, :joints] for motion in (out.robot_motion, robot))
        lively, truth = (motion.diff(n=3, dim=1).square().mean() for motion in settled)
        terms["jerk"] = torch.log((lively + LEAST_JERK) / (jerk_share * truth + LEAST_JERK)).square()
    if pairs:
        latent = out.robot_latent[:pairs]
        latent = latent if config.align_moves_robot else latent.detach()
        terms["cross"] = motion_error(out.human_motion, robot[:pairs], joints, config.root, config.onset)
        terms["align"] = latent_mse(out.human_latent, latent) + config.infonce * infonce(
            out.human_latent, latent, config.temperature
        )
    terms["total"] = torch.stack([getattr(config, name) * value for name, value in terms.items()]).sum()
    return terms
