"""The dual-encoder VQ-VAE: a human and a robot encoder, one vocabulary, one robot decoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from g1_vq_retarget.models.networks import (
    Decoder,
    Encoder,
    KLTEncoder,
    NetworkConfig,
    build_decoder,
    build_encoder,
    start_from_klt,
    start_from_regression,
)
from g1_vq_retarget.models.past import Past
from g1_vq_retarget.models.quantizer import Quantized, QuantizerConfig
from g1_vq_retarget.models.quantizers import build_quantizer
from g1_vq_retarget.models.way import RootRates, as_known, way_correction, way_feedback


@dataclass
class ModelConfig:
    """The network and its vocabulary."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    root: bool = True
    """Send the root stream through the model beside the joints; without it only joint angles are coded."""
    root_scale: float = 1.0
    """What an error of the root stream counts in the latents that a model starts from, against one of a joint."""


class Forward(NamedTuple):
    """One pass of robot windows and of the human windows that belong to some of them.

    Attributes:
        robot_latent: (B, T', C) of the robot encoder, before quantization.
        human_latent: (P, T', C) of the human encoder, before quantization.
        robot_motion: (B, T, D) decoded from the robot's tokens.
        human_motion: (P, T, D) decoded from the human's tokens.
        robot_tokens: (B, T', L).
        human_tokens: (P, T', L).
        commitment: scalar, the quantizer's loss over both.
    """

    robot_latent: Tensor
    human_latent: Tensor
    robot_motion: Tensor
    human_motion: Tensor
    robot_tokens: Tensor
    human_tokens: Tensor
    commitment: Tensor


class DualEncoderVQVAE(nn.Module):
    """Works on normalised features; see `data.features` for what they are.

    Args:
        robot_features: D, columns of the robot's features.
        human_features: columns of the human's features.
        config: shape of the network and of the vocabulary.
        rates: where features tell the root's velocities; with a linear robot encoder, latents then lead where they
            should.
    """

    def __init__(
        self,
        robot_features: int,
        human_features: int,
        config: ModelConfig,
        rates: RootRates | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.rates = rates
        self.downsample = config.network.downsample
        self.causal = config.network.causal
        fixed = config.network.robot_encoder == "klt"
        self.robot_encoder = (KLTEncoder if fixed else build_encoder)(robot_features, config.network)
        self.human_encoder = build_encoder(human_features, config.network)
        self.quantizer = build_quantizer(config.network.latent_dim, config.quantizer)
        self.decoder = build_decoder(robot_features, config.network)

    def bits_per_second(self, fps: float) -> float:
        """Nominal rate of all tokens together, the root's included."""
        return self.quantizer.bits * fps / self.downsample

    @torch.no_grad()
    def start_from_data(self, robot: Tensor, joints: int, paired_robot: Tensor, paired_human: Tensor) -> None:
        """Start from what has a closed form: training then only has to improve on it.

        With `resnet` networks the robot path becomes a transform coder of training windows: KLT in, KLT out. The
        human encoder becomes the linear regression, frame by frame, of robot features on human features, followed by
        that KLT. Codes are placed on the latents.

        Args:
            robot: (N, T, D) robot windows of the training split.
            joints: the columns before the root stream's.
            paired_robot, paired_human: (P, T, D) and (P, T, H) windows of the same motions; P may be 0.
        """
        if isinstance(self.robot_encoder, Encoder | KLTEncoder) and isinstance(self.decoder, Decoder):
            patches = robot.unflatten(1, (-1, self.downsample)).flatten(0, 1)
            scale = torch.ones_like(robot[0, 0])
            scale[joints:] = self.config.root_scale
            start_from_klt(self.robot_encoder, self.decoder, patches, scale)
            if len(paired_human) and isinstance(self.human_encoder, Encoder):
                start_from_regression(self.human_encoder, self.robot_encoder, self.known(paired_human), paired_robot)
        self.quantizer.place_codes(self.robot_encoder(robot))

    def forward(self, robot: Tensor, human: Tensor) -> Forward:
        """Both paths at once, through the same codes.

        Args:
            robot: (B, T, D) normalised robot features.
            human: (P, T, H) normalised human features; P may be 0.
        """
        robot_latent = self.robot_encoder(robot)
        human_latent = self.human_latent(human)
        quantized = self.quantizer(torch.cat([robot_latent, human_latent]), followers=len(human))
        motion = self.motion_of(quantized)
        windows = len(robot)
        return Forward(
            robot_latent=robot_latent,
            human_latent=human_latent,
            robot_motion=motion[:windows],
            human_motion=motion[windows:],
            robot_tokens=quantized.tokens[:windows],
            human_tokens=quantized.tokens[windows:],
            commitment=quantized.loss,
        )

    def encode_robot(self, robot: Tensor, levels: int | None = None) -> Quantized:
        """Tokens of robot features (B, T, D) of any length; the last step is filled up by repeating the last frame.

        `levels`: only so many tokens a step, for a lower rate.
        """
        return self.quantize(self.robot_latent(self.fill(robot)), levels)

    def encode_human(self, human: Tensor, levels: int | None = None) -> Quantized:
        """Tokens of human features (B, T, H) of any length; `levels` as in `encode_robot`."""
        return self.quantize(self.human_latent(self.fill(human)), levels)

    def human_latent(self, human: Tensor) -> Tensor:
        """Latents (B, T', C) of human features (B, T, H) of whole steps, before quantization."""
        human = self.known(human)
        latent = self.human_encoder(human)
        return latent + self._of_steps(self.human_way(human, latent, self._past()))

    def known(self, human: Tensor) -> Tensor:
        """Human features (B, T, H) as the human encoder sees them: a causal one no velocity that is not known yet."""
        return as_known(self.rates, human) if self.causal and self.rates is not None else human

    def human_way(self, human: Tensor, latent: Tensor, past: Past | None) -> Tensor:
        """What `way_correction` adds to the human encoder's latents, zeros where it has nothing to go by.

        Args:
            human: (B, T, H), what `known` gives.
            latent: (B, T', C) what the human encoder makes of it.
            past: of a causal network, what was before.
        """
        if (linear := self._linear_paths()) is None:
            return torch.zeros_like(latent)
        rates, encoder, decoder = linear
        turning = human[..., rates.human_turning, None] * rates.scale + rates.shift
        return way_correction(rates, latent, turning, encoder, decoder, past)

    def robot_latent(self, robot: Tensor) -> Tensor:
        """Latents (B, T', C) of robot features (B, T, D) of whole steps, before quantization. Not for training."""
        latent = self.robot_encoder(robot)
        if (linear := self._linear_paths()) is None:
            return latent
        rates, encoder, decoder = linear
        velocities = robot[..., list(rates.velocities)]
        return latent + self._of_steps(way_correction(rates, latent, velocities, encoder, decoder, self._past()))

    def _past(self) -> Past | None:
        return Past() if self.causal else None

    def _of_steps(self, way: Tensor) -> Tensor:
        """What to add to each step, (B, T', C), of a `way_correction`, which a causal network gives for the next one.

        A robot's, too, though it is in no hurry: both sides' tokens are then led alike.
        """
        return nn.functional.pad(way[:, :-1], (0, 0, 1, 0)) if self.causal else way

    def quantize(self, latent: Tensor, levels: int | None = None) -> Quantized:
        """Tokens of latents (B, T', C); `levels` as in `encode_robot`. Not for training."""
        return self.quantizer(latent, levels, feedback=self.feedback())

    def feedback(self) -> Tensor | None:
        """(C, C) what of the summed errors of codes so far is added to the next latent, see `way_feedback`."""
        linear = self._linear_paths()
        return None if linear is None else way_feedback(*linear)

    def _linear_paths(self) -> tuple[RootRates, KLTEncoder, Decoder] | None:
        """What corrections of the root go through, where there are such."""
        if self.rates is None or not isinstance(self.robot_encoder, KLTEncoder):
            return None
        assert isinstance(self.decoder, Decoder)
        return self.rates, self.robot_encoder, self.decoder

    def motion_of(self, quantized: Quantized) -> Tensor:
        """Robot features (B, T, D) of what a quantizer returned; as `decode`, which starts from the tokens alone."""
        return self.decoder(quantized.latent, quantized.tokens.shape[-1] / len(self.quantizer.codebook_sizes))

    def decode(self, tokens: Tensor, frames: int) -> Tensor:
        """The first `frames` frames of robot features (B, frames, D) of tokens (B, T', L).

        Tokens of the first levels alone, (B, T', l < L), give a coarser motion.
        """
        return self.motion_of(Quantized(self.quantizer.decode(tokens), tokens, tokens.new_zeros(())))[:, :frames]

    def fill(self, features: Tensor) -> Tensor:
        """Features (B, T, D), the last frame repeated until whole steps of latents come of them."""
        missing = -features.shape[1] % self.downsample
        return torch.cat([features, features[:, -1:].expand(-1, missing, -1)], dim=1)
