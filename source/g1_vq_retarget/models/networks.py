"""Encoders and decoders.

`resnet`: both are sums of a linear path and a residual network that starts at zero. The linear path can be set to a
Karhunen-Loève transform of the data, so that training starts from a transform coder and only has to improve on it.
Everything is convolutional: windows in training and whole clips in use go through the same code, and causal networks
take clips piece by piece, too, with a `Past`.

`simple`: plain strided convolutions, the baseline of the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from g1_vq_retarget.models.past import Past, StepConv, StepDeconv, TimeConv


@dataclass
class NetworkConfig:
    """Shape of the encoders and of the decoder."""

    kind: Literal["simple", "resnet"] = "resnet"
    """simple: plain convolutions; resnet: a linear path beside dilated residual blocks."""
    latent_dim: int = 96
    """Channels of the latent sequence."""
    width: int = 320
    """Channels inside the residual blocks."""
    depth: int = 4
    """Residual blocks (simple: convolutions) in each encoder and in the decoder."""
    downsample: Literal[1, 2, 4, 8] = 8
    """Frames of motion behind one step of the latent sequence."""
    dropout: float = 0.0
    """Dropout inside the residual blocks."""
    smoothing: int = 128
    """resnet: channels of the filter at full rate that joins what neighbouring latents decode to; 0 for none."""
    robot_encoder: Literal["learned", "klt"] = "learned"
    """resnet: klt: the robot's encoder stays the Karhunen-Loève transform that it starts from, of single patches."""
    causal: bool = False
    """resnet: see nothing that is later than the step at hand, so that motion can be sent through while it happens."""
    knows_levels: bool = False
    """resnet: tell the decoder which share of the levels it sees, for vocabularies that are used in part."""


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each step, (B, C, T): steps do not see one another."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.mT).mT


class ResidualBlock(nn.Module):
    """x + conv1(gelu(conv3(norm(x)))), the inner convolution dilated."""

    def __init__(self, dilation: int, config: NetworkConfig) -> None:
        super().__init__()
        self.norm = ChannelNorm(config.width)
        self.mix = TimeConv(config.width, config.width, 3, dilation, config.causal)
        self.dropout = nn.Dropout(config.dropout)
        self.out = StepConv(config.width, config.width)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        return x + self.out(self.dropout(nn.functional.gelu(self.mix(self.norm(x), past))))


class ResidualStack(nn.Sequential):
    """`depth` residual blocks whose dilation grows as 1, 2, 4, 1, 2, 4, …"""

    def __init__(self, config: NetworkConfig) -> None:
        blocks = [ResidualBlock(2 ** (level % 3), config) for level in range(config.depth)]
        super().__init__(*blocks, ChannelNorm(config.width))

    def forward(self, input: Tensor, past: Past | None = None) -> Tensor:
        past = past or Past()
        for layer in self:
            input = layer(input, past) if isinstance(layer, ResidualBlock) else layer(input)
        return input


class Encoder(nn.Module):
    """Motion features (B, T, D) to latents (B, T / downsample, latent_dim); T is a multiple of downsample."""

    def __init__(self, features: int, config: NetworkConfig) -> None:
        super().__init__()
        step = config.downsample
        self.linear = StepConv(features, config.latent_dim, step)
        self.patch = StepConv(features, config.width, step)
        self.blocks = ResidualStack(config)
        self.out = StepConv(config.width, config.latent_dim)
        _start_at_zero(self.out)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        x = x.mT
        return (self.linear(x) + self.out(self.blocks(self.patch(x), past))).mT


class KLTEncoder(nn.Module):
    """As `Encoder`, its linear path alone, which does not learn."""

    def __init__(self, features: int, config: NetworkConfig) -> None:
        super().__init__()
        self.linear = StepConv(features, config.latent_dim, config.downsample)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mT).mT


class Decoder(nn.Module):
    """Latents (B, T', latent_dim) to motion features (B, T' * downsample, D)."""

    def __init__(self, features: int, config: NetworkConfig) -> None:
        super().__init__()
        step = config.downsample
        self.linear = StepDeconv(config.latent_dim, features, step)
        self.inlet = TimeConv(config.latent_dim, config.width, 3, causal=config.causal)
        self.blocks = ResidualStack(config)
        self.patch = StepDeconv(config.width, features, step)
        _start_at_zero(self.patch)
        # each latent decodes to frames of its own; without this the motion jumps where they meet
        self.smoothing = _Smoothing(features, config) if config.smoothing else None
        self.untold = nn.Parameter(torch.zeros(config.width, 1)) if config.knows_levels else None

    def forward(self, z: Tensor, told: float = 1.0, past: Past | None = None) -> Tensor:
        """`told` is the share of the levels that the latents were told with."""
        past = past or Past()
        z = z.mT
        hidden = self.inlet(z, past)
        if self.untold is not None:
            hidden = hidden + (1 - told) * self.untold
        motion = self.linear(z) + self.patch(self.blocks(hidden, past))
        return (motion if self.smoothing is None else self.smoothing(motion, past)).mT


class _Smoothing(nn.Module):
    """x + conv9(gelu(conv9(x))) over frames (B, D, T)."""

    def __init__(self, features: int, config: NetworkConfig) -> None:
        super().__init__()
        self.mix = TimeConv(features, config.smoothing, 9, causal=config.causal)
        self.out = TimeConv(config.smoothing, features, 9, causal=config.causal)
        _start_at_zero(self.out)

    def forward(self, x: Tensor, past: Past) -> Tensor:
        return x + self.out(nn.functional.gelu(self.mix(x, past)), past)


class SimpleEncoder(nn.Sequential):
    """As `Encoder`: a strided convolution, then convolutions over 3 steps with ReLU between them."""

    def __init__(self, features: int, config: NetworkConfig) -> None:
        step = config.downsample
        super().__init__(
            nn.Conv1d(features, config.width, step, stride=step),
            *_plain_stack(config),
            nn.ReLU(),
            nn.Conv1d(config.width, config.latent_dim, 1),
        )

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.mT).mT


class SimpleDecoder(nn.Sequential):
    """As `Decoder`: the encoder's convolutions in reverse."""

    def __init__(self, features: int, config: NetworkConfig) -> None:
        step = config.downsample
        super().__init__(
            nn.Conv1d(config.latent_dim, config.width, 1),
            *_plain_stack(config),
            nn.ReLU(),
            nn.ConvTranspose1d(config.width, features, step, stride=step),
        )

    def forward(self, input: Tensor, told: float = 1.0) -> Tensor:
        """`told` makes no difference to it."""
        return super().forward(input.mT).mT


def _plain_stack(config: NetworkConfig) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(config.depth):
        layers += [nn.ReLU(), TimeConv(config.width, config.width, 3)]
    return layers


def build_encoder(features: int, config: NetworkConfig) -> nn.Module:
    """An encoder of so many features."""
    return (SimpleEncoder if config.kind == "simple" else Encoder)(features, config)


def build_decoder(features: int, config: NetworkConfig) -> nn.Module:
    """A decoder to so many features."""
    return (SimpleDecoder if config.kind == "simple" else Decoder)(features, config)


@torch.no_grad()
def start_from_klt(encoder: Encoder | KLTEncoder, decoder: Decoder, patches: Tensor, scale: Tensor) -> None:
    """Set the linear paths to the Karhunen-Loève transform of patches of motion.

    Args:
        patches: (N, downsample, D) normalised features.
        scale: (D,) what each feature's errors count in the latents, against another of the same size.

    Channels are ordered by falling variance. If the patches have fewer dimensions than the latent has channels, the
    rest of the channels stays empty.
    """
    _, step, features = patches.shape
    flat = (patches * scale).reshape(len(patches), -1).double()
    mean = patches.double().mean((0, 1))  # one for all frames of a patch, as the decoder has one bias for them
    _, basis = torch.linalg.eigh(torch.cov(flat.T))
    latent_dim = encoder.linear.out_channels
    kept = min(latent_dim, step * features)
    basis = basis.flip(-1)[:, :kept]  # eigh sorts upwards

    # the sign of an eigenvector is arbitrary: make the result the same on every machine
    basis = basis * torch.where(basis.abs().amax(0) == basis.amax(0), 1.0, -1.0)
    directions = basis.T.reshape(kept, step, features).transpose(1, 2)  # latent, feature, frame: a kernel
    scale = scale.double()[:, None]
    for layer, kernels in ((encoder.linear, directions * scale), (decoder.linear, directions / scale)):
        layer.weight.zero_()
        layer.weight[:kept] = kernels.to(layer.weight)
    assert encoder.linear.bias is not None
    assert decoder.linear.bias is not None
    encoder.linear.bias.zero_()
    encoder.linear.bias[:kept] = -(basis.T @ (mean * scale[:, 0]).repeat(step)).to(encoder.linear.bias)
    decoder.linear.bias.copy_(mean)


# Ridge of the frame-wise regression, as a share of the number of frames; features have unit variance.
RIDGE = 1e-3


@torch.no_grad()
def start_from_regression(
    human: Encoder, robot: Encoder | KLTEncoder, human_windows: Tensor, robot_windows: Tensor
) -> None:
    """Set the human encoder's linear path to: regress robot features on human ones, then the robot's linear path.

    Args:
        human_windows, robot_windows: (P, T, H) and (P, T, D) normalised features of the same motions.
    """
    x = human_windows.flatten(0, 1).double()
    y = robot_windows.flatten(0, 1).double()
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    ridge = RIDGE * len(x) * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weight = torch.linalg.solve(x.T @ x + ridge, x.T @ y).to(robot.linear.weight)  # (H, D)
    bias = y_mean.to(weight) - x_mean.to(weight) @ weight
    assert human.linear.bias is not None
    assert robot.linear.bias is not None
    human.linear.weight.copy_(torch.einsum("hd,cdt->cht", weight, robot.linear.weight))
    human.linear.bias.copy_(robot.linear.bias + torch.einsum("d,cdt->c", bias, robot.linear.weight))


def _start_at_zero(layer: nn.Conv1d | nn.ConvTranspose1d) -> None:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
