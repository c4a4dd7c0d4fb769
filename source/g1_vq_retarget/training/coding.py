"""A split sent through a model, window by window or, as in use, clip by clip."""

from __future__ import annotations

from collections import abc
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.data.sequences import Sequence, human_side_of, paired_sequences, robot_sequences, truth_of
from g1_vq_retarget.models import DualEncoderVQVAE, Quantized

BATCH = 128
# Frames of whole clips, filled up to the longest of them, that are coded at once.
CLIP_FRAMES = 200_000


class Coded(NamedTuple):
    """Some windows of a split before and after a model.

    Attributes:
        rows: (B,) rows of `split.robot` that the motion is of.
        target: (B, W, D) normalised features of the truth.
        motion: (B, W, D) decoded from tokens.
        tokens: (N, L) tokens of all steps, whichever window they are of.
        loss: the quantizer's.
    """

    rows: np.ndarray
    target: Tensor
    motion: Tensor
    tokens: Tensor
    loss: float


class DecodedClip(NamedTuple):
    """Windows that follow one another, coded as the one clip that they were cut from.

    Attributes:
        sequence: rows are those of `split.robot`, or with `human` of `split.human`.
        motion: (frames, D) decoded from tokens.
        tokens: (T', L).
        loss: the quantizer's.
    """

    sequence: Sequence
    motion: Tensor
    tokens: Tensor
    loss: float


def coded_robot(
    model: DualEncoderVQVAE, split: Split, spec: FeatureSpec, whole_clips: bool = False, levels: int | None = None
) -> Iterator[Coded]:
    """Every robot window, decoded from the robot's tokens.

    Args:
        whole_clips: code whole clips and cut the windows from what is decoded, instead of coding each window for
            itself, as if nothing had been before it.
        levels: only so many tokens a step.
    """
    return _coded(model, split, spec, False, whole_clips, levels)


def coded_human(
    model: DualEncoderVQVAE, split: Split, spec: FeatureSpec, whole_clips: bool = False, levels: int | None = None
) -> Iterator[Coded]:
    """Every window that has a human side, decoded from the human's tokens; arguments as for `coded_robot`."""
    return _coded(model, split, spec, True, whole_clips, levels)


@torch.no_grad()
def decoded_clips(
    model: DualEncoderVQVAE, split: Split, spec: FeatureSpec, human: bool = False, levels: int | None = None
) -> Iterator[DecodedClip]:
    """The whole clips of a split, or of what has a human side in it, decoded from the robot's or the human's tokens."""
    encoder = model.human_latent if human else model.robot_latent
    for group in _grouped(paired_sequences(split) if human else robot_sequences(split)):
        features = [
            human_side_of(split, spec, sequence) if human else truth_of(split, spec, sequence) for sequence in group
        ]
        for sequence, quantized in zip(group, coded_alike(model, encoder, features, levels), strict=True):
            motion = model.motion_of(quantized)[0, : sequence.frames].cpu()
            yield DecodedClip(sequence, motion, quantized.tokens[0].cpu(), quantized.loss.item())


@torch.no_grad()
def coded_alike(
    model: DualEncoderVQVAE,
    encoder: abc.Callable[[Tensor], Tensor],
    features: abc.Sequence[np.ndarray],
    levels: int | None = None,
) -> list[Quantized]:
    """Features (T, D) of some sequences, each coded as it would be alone: a closed loop goes through them only once.

    Returns:
        For each, latents (1, T', C) decoded from the tokens alone, tokens (1, T', L) and the loss of all.
    """
    device = next(model.parameters()).device
    latents = [encoder(model.fill(torch.from_numpy(one).to(device)[None]))[0] for one in features]
    longest = max(len(latent) for latent in latents)
    # what stands behind the end of a sequence changes nothing in it
    filled = [latent[torch.arange(longest, device=device).clamp(max=len(latent) - 1)] for latent in latents]
    coded = model.quantize(torch.stack(filled), levels)
    decoded = model.quantizer.decode(coded.tokens)
    return [
        Quantized(decoded[row, None, : len(latent)], coded.tokens[row, None, : len(latent)], coded.loss)
        for row, latent in enumerate(latents)
    ]


@torch.no_grad()
def _coded(
    model: DualEncoderVQVAE, split: Split, spec: FeatureSpec, human: bool, whole_clips: bool, levels: int | None
) -> Iterator[Coded]:
    robot_rows = np.asarray(split.human_rows) if human else np.arange(len(split))

    def beside_truth(rows: np.ndarray, motion: Tensor, tokens: Tensor, loss: float) -> Coded:
        truth = torch.from_numpy(split.robot_features(robot_rows[rows], spec))
        return Coded(robot_rows[rows], truth, motion, tokens, loss)

    if whole_clips:
        for clip in decoded_clips(model, split, spec, human, levels):
            windows = torch.from_numpy(clip.sequence.cut(clip.motion.numpy()))
            yield beside_truth(clip.sequence.rows, windows, clip.tokens, clip.loss)
        return
    device = next(model.parameters()).device
    features = split.human_features if human else split.robot_features
    encode = model.encode_human if human else model.encode_robot
    for rows in np.array_split(np.arange(len(robot_rows)), -(-len(robot_rows) // BATCH) or 1):
        if len(rows):
            quantized = encode(torch.from_numpy(features(rows, spec)).to(device), levels)
            motion = model.decode(quantized.tokens, split.robot.shape[1]).cpu()
            yield beside_truth(rows, motion, quantized.tokens.flatten(0, 1).cpu(), quantized.loss.item())


def _grouped(sequences: list[Sequence]) -> list[list[Sequence]]:
    """Sequences of similar length together."""
    groups: list[list[Sequence]] = []
    for sequence in sorted(sequences, key=lambda sequence: -sequence.frames):
        if groups and (len(groups[-1]) + 1) * groups[-1][0].frames <= CLIP_FRAMES:
            groups[-1].append(sequence)
        else:
            groups.append([sequence])
    return groups
