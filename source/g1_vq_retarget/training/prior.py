"""Training of a prior over a trained model's tokens. The model stays as it is."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models.prior import PriorConfig, TokenPrior, build_prior
from g1_vq_retarget.training.checkpoint import Checkpoint
from g1_vq_retarget.training.prior_file import save_prior
from g1_vq_retarget.training.token_sequences import (
    MeasuredRate,
    TokenSequence,
    code_sequences,
    measured_rate,
    whole_sequences,
)

# Share of the budget in which the learning rate rises.
WARMUP = 0.03
# Steps of a sequence that are judged together in training.
CROP = 64


@dataclass
class PriorTrainConfig:
    """Training of a prior."""

    minutes: float = 5.0
    """Time to train; encoding the data and validating come on top. The learning rate follows it."""
    epochs: int | None = None
    """Passes over the tokens, in place of `minutes`."""
    levels: int | None = None
    """Only the first levels of the vocabulary, for a lower rate; by default all."""
    batch_size: int = 32
    """Pieces of 64 steps that one step of the optimizer sees."""
    parts: int = 12
    """How many tokens of each step are judged, if there are more: drawn anew every time. Validating judges all."""
    lr: float = 2e-3
    """Highest learning rate of AdamW."""
    weight_decay: float = 0.05
    """Decoupled weight decay."""
    seed: int = 42
    """Seed of weights and order."""
    network: PriorConfig = field(default_factory=PriorConfig)


def train_prior(checkpoint: Checkpoint, folder: DataFolder, path: Path, config: PriorTrainConfig) -> dict:
    """Train the prior of a model and write it to `path` (.safetensors, a JSON beside it).

    The weights with the least bits on the val split are kept, after Ctrl-C too; where there is no val split, they are
    chosen on the train split itself.

    Returns:
        What the JSON says of them: measured bits/s, bits of each level, when they were found.

    Raises:
        UserError: a flag that cannot be, or a folder without data.
    """
    _check(config, checkpoint)
    spec, model = checkpoint.spec, checkpoint.model
    chosen_on = "val" if "val" in folder.splits and len(folder.split("val")) else "train"
    sequences, held_out = (whole_sequences(folder.split(name), spec) for name in ("train", chosen_on))
    if not sequences:
        raise UserError(f"{folder.path}: its train split is empty; make a larger folder")
    if spec.robot:
        mirror, _ = spec.mirrors()
        sequences += [mirror(torch.from_numpy(sequence)).numpy() for sequence in sequences]
    coded, validation = (code_sequences(model, part, spec.fps, config.levels) for part in (sequences, held_out))
    torch.manual_seed(config.seed)
    prior = build_prior(model, config.network, config.levels)
    told = {"chosen_on": chosen_on, "data": str(folder.path), "seed": config.seed}
    told["licences"] = sorted({*checkpoint.info["licences"], *folder.manifest["licences"]})
    best: dict = {}
    for fitted in fit_prior(prior, coded, validation, config):
        if not best or fitted.rate.bits_per_second < best["bits_per_second"]:
            best = told | fitted.rate._asdict() | {"epoch": fitted.epoch, "minutes": round(fitted.seconds / 60, 2)}
            save_prior(path, prior, checkpoint, best)
    return best


class Fitted(NamedTuple):
    """How far a prior has come: epochs, seconds of training, and the rate of what it is not trained on."""

    epoch: int
    seconds: float
    rate: MeasuredRate


def fit_prior(
    prior: TokenPrior, coded: Sequence[TokenSequence], validation: Sequence[TokenSequence], config: PriorTrainConfig
) -> Iterator[Fitted]:
    """Train a prior on sequences; after every epoch, and before the first, say where it stands."""
    prior.start_from_data(torch.cat([one.tokens for one in coded]), torch.cat([one.latents for one in coded]))
    stream = _Stream(prior, coded)
    steps = None if config.epochs is None else config.epochs * stream.batches(config.batch_size)
    optimizer = torch.optim.AdamW(prior.parameters(), lr=config.lr, weight_decay=config.weight_decay, betas=(0.9, 0.99))
    spent = 0.0
    with tqdm(total=steps, unit="step", desc="prior", dynamic_ncols=True, mininterval=1.0) as bar:
        for epoch in itertools.count():
            rate = measured_rate(prior, validation)
            bar.set_postfix({"epoch": epoch, "bits/s": f"{rate.bits_per_second:.1f}"})
            yield Fitted(epoch, spent, rate)
            if epoch == config.epochs or (steps is None and spent >= 60 * config.minutes):
                return
            started = time.monotonic() - spent  # validation and saving are no training
            prior.train()
            for crop in stream.epoch(config.batch_size):
                share = spent / (60 * config.minutes) if steps is None else bar.n / steps
                for group in optimizer.param_groups:
                    group["lr"] = config.lr * _learning_rate(share)
                # a few parts at a time: on average this is the loss of all of them, at a fraction of the work
                chosen = torch.randperm(len(prior.sizes))[: config.parts].sort().values
                bits = prior(crop.history, crop.parts, chosen.tolist()).sum(-1) * crop.is_step
                optimizer.zero_grad()
                (bits.sum() / crop.is_step.sum().clamp_min(1)).backward()
                torch.nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
                optimizer.step()
                bar.update()
                spent = time.monotonic() - started


class _Crops(NamedTuple):
    """What `TokenPrior.forward` takes, and which of the steps (B, T) are any."""

    history: Tensor
    parts: Tensor
    is_step: Tensor


class _Stream:
    """Sequences one after the other, each behind the steps that are none: history and parts of every step."""

    def __init__(self, prior: TokenPrior, coded: Sequence[TokenSequence]) -> None:
        blank = torch.zeros(prior.reach, len(prior.sizes), dtype=torch.long)
        self.reach = prior.reach
        self.history = torch.cat([prior.history(one.latents[None])[0] for one in coded])
        self.parts = torch.cat([part for one in coded for part in (blank, prior.split(one.tokens))])
        self.length = min(CROP, len(self.history) - self.reach)

    def batches(self, batch_size: int) -> int:
        """How many an epoch has."""
        return -(-len(self._begins(0)) // batch_size)

    def epoch(self, batch_size: int) -> Iterator[_Crops]:
        """Nearly every step once, in pieces that begin elsewhere every time, in random order."""
        begins = self._begins(int(torch.randint(self.length, ())))
        for chosen in begins[torch.randperm(len(begins))].split(batch_size):
            rows = chosen[:, None] + torch.arange(self.length)
            before = chosen[:, None] + torch.arange(-self.reach, self.length - 1)
            yield _Crops(self.history[before], self.parts[rows], self.history[rows][..., -1] == 0)

    def _begins(self, phase: int) -> Tensor:
        # the first and the last overlap others, so that the ends are seen as often as the rest
        last = len(self.history) - self.length
        pieces = torch.arange(-1, -(-(last - self.reach) // self.length) + 1)
        return (self.reach + phase + self.length * pieces).clamp(self.reach, last)


def _learning_rate(share: float) -> float:
    """Of the highest, when a share of the budget is spent: a rise, then a cosine to zero."""
    if share < WARMUP:
        return (share + WARMUP / 10) / (1.1 * WARMUP)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (share - WARMUP) / (1 - WARMUP))))


def _check(config: PriorTrainConfig, checkpoint: Checkpoint) -> None:
    for flag in ("minutes", "lr"):
        if not (math.isfinite(getattr(config, flag)) and getattr(config, flag) > 0):
            raise UserError(f"--{flag} must be a positive number, it is {getattr(config, flag)}")
    for flag, value in (
        ("epochs", config.epochs), ("batch-size", config.batch_size), ("parts", config.parts),
        ("width", config.network.width), ("depth", config.network.depth),
    ):  # fmt: skip
        if value is not None and value < 1:
            raise UserError(f"--{flag} must be at least 1, it is {value}")
    if not 0 <= config.network.dropout < 1:
        raise UserError(f"--dropout must be at least 0 and below 1, it is {config.network.dropout}")
    levels = len(checkpoint.model.quantizer.codebook_sizes)
    if config.levels is not None and not 1 <= config.levels <= levels:
        raise UserError(f"--levels must be 1 to {levels}, as {checkpoint.path} has, it is {config.levels}")
