"""Further training of a model's human encoder, on pairs. Vocabulary, decoder and robot encoder stay as they are.

The target is the robot's latent, which needs no search for codes: what quantization adds is the same whoever's latent
it is. The motion that latents decode to is compared, too, and where its velocities lead to: a turning rate that is off
by two degrees a second hardly counts in a mean square, and turns a robot round in three minutes.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from g1_vq_retarget.configuration import to_dict
from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import DataFolder, Split
from g1_vq_retarget.data.sequences import human_side_of, paired_sequences, truth_of
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.training.alignment import latent_mse
from g1_vq_retarget.training.batches import Batch, crop_batches, crops_per_epoch
from g1_vq_retarget.training.checkpoint import Checkpoint, save_checkpoint
from g1_vq_retarget.training.losses import way_error
from g1_vq_retarget.training.run_folder import RUN_FILES, write_origin, write_text

# Share of the steps in which the learning rate rises.
WARMUP = 0.05
# In the run folder; not config.yaml, which tells of the training of a whole model.
CONFIG = "human.yaml"
# What the JSON beside the weights goes on telling.
KEPT = ("epoch", "window", "label", "seed", "crop")


@dataclass
class HumanTrainConfig:
    """Training of a human encoder alone."""

    epochs: int = 12
    """Passes over the pairs."""
    batch_size: int = 32
    """Stretches that one step of the optimizer sees."""
    crop: int = 144
    """Frames of a stretch; it begins anywhere in the clips."""
    lr: float = 1e-3
    """Highest learning rate of AdamW."""
    weight_decay: float = 0.01
    """Decoupled weight decay."""
    drift: float = 0.3
    """Weight of where the root's velocities lead to, against the latents' error."""
    mirror: bool = True
    """Train on stretches with left and right exchanged, too."""
    keep: Literal["best", "last"] = "best"
    """Which weights: the best on the pairs of the val split, or the last, longest taught by the train split's."""
    seed: int = 42
    """Seed of the order."""


class HumanErrors(NamedTuple):
    """How far a human encoder is from the robot's.

    Attributes:
        align: mean squared distance of the latents.
        cross: mean squared error of motion decoded from the human's latents, root stream and joints alike.
        drift: of the root's velocities, see `way_error`; 0 without a root stream.
    """

    align: Tensor
    cross: Tensor
    drift: Tensor

    def total(self, drift: float) -> Tensor:
        """What is minimised, `drift` the weight of the last."""
        return self.align + self.cross + drift * self.drift

    def told(self, drift: float) -> dict[str, float]:
        return {name: value.item() for name, value in (*self._asdict().items(), ("total", self.total(drift)))}


def train_human(checkpoint: Checkpoint, folder: DataFolder, run: Path, config: HumanTrainConfig) -> list[dict]:
    """Train the human encoder on the train split's pairs, and write the model to the folder `run`.

    Kept is what is best on the pairs of the val split, be it what there was before; where there are none, or if so
    asked, the last.

    Returns:
        A line an epoch, from before the first: `step`, `train` (mean over the epoch) and `val`, with the fields of
        `HumanErrors` and their weighted sum `total`.

    Raises:
        UserError: a flag that cannot be, an occupied folder, or data without pairs of such a length.
    """
    split = folder.split("train")
    _check(config, checkpoint, folder, split, run)
    validation = folder.split("val") if "val" in folder.splits else None
    stretches = None if validation is None else _stretches(validation, checkpoint.spec, config.crop)
    model, spec = checkpoint.model, checkpoint.spec
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device).requires_grad_(False)
    encoder = model.human_encoder.requires_grad_(True)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    steps_each = crops_per_epoch(split, 0, config.crop, config.batch_size)
    steps = config.epochs * steps_each

    write_text(run / CONFIG, yaml.safe_dump({"checkpoint": str(checkpoint.path), **to_dict(config)}))
    write_text(run / "data_manifest.json", json.dumps(folder.manifest, indent=1))
    write_origin(run, ())
    info = {key: checkpoint.info[key] for key in KEPT if key in checkpoint.info}
    info |= {"human_windows": checkpoint.info["human_windows"], "taught_windows": len(split.human)}
    info["licences"] = sorted({*checkpoint.info["licences"], *folder.manifest["licences"]})
    info["taught_from"] = checkpoint.info["weights_sha256"]
    log, best = [], math.inf

    with tqdm(total=steps, unit="step", desc="human", dynamic_ncols=True, mininterval=1.0) as bar:
        for epoch in range(config.epochs + 1):
            line: dict = {"epoch": epoch, "step": bar.n}
            if epoch:
                model.train()
                sums: Counter[str] = Counter()
                for batch in crop_batches(
                    split,
                    spec,
                    0,
                    config.crop,
                    config.batch_size,
                    config.seed,
                    epoch,
                    config.mirror and bool(spec.robot),
                ):
                    for group in optimizer.param_groups:
                        group["lr"] = config.lr * _rate(bar.n / steps)
                    errors = _errors(checkpoint, batch)
                    loss = errors.total(config.drift)
                    optimizer.zero_grad()
                    loss.backward()
                    norm = torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
                    if not torch.isfinite(loss + norm):
                        raise UserError(
                            f"--lr {config.lr:g}: the loss is no number at step {bar.n}; choose a smaller one"
                        )
                    optimizer.step()
                    sums.update(errors.told(config.drift))
                    bar.update()
                line |= {"step": bar.n, "train": {name: value / steps_each for name, value in sums.items()}}
            if stretches is not None:
                model.eval()
                with torch.no_grad():
                    line["val"] = _errors(checkpoint, stretches).told(config.drift)
                bar.set_postfix({name: f"{value:.4f}" for name, value in line["val"].items()})
            log.append(line)
            judged = stretches is not None and config.keep == "best"
            score = line["val"]["total"] if judged else -epoch
            if score < best:
                best = score
                save_checkpoint(run / "best.safetensors", model, spec, info | {"metrics": line})
            write_text(run / "log.json", json.dumps(log, indent=1))
    return log


def _errors(checkpoint: Checkpoint, batch: Batch) -> HumanErrors:
    model = checkpoint.model
    device = next(model.parameters()).device
    robot, human = batch.robot.to(device), batch.human.to(device)
    latent = model.human_latent(human)
    motion = model.decoder(latent)
    drift = latent.new_zeros(())
    if model.rates is not None:
        columns = list(model.rates.velocities)
        drift = way_error(motion[..., columns], robot[..., columns])
    return HumanErrors(latent_mse(latent, model.robot_encoder(robot)), F.mse_loss(motion, robot), drift)


def _stretches(split: Split, spec: FeatureSpec, crop: int) -> Batch | None:
    """What of a split has both sides, cut into stretches."""
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for sequence in paired_sequences(split):
        whole = sequence.frames // crop
        for side, features in zip(
            sides, (truth_of(split, spec, sequence, human=True), human_side_of(split, spec, sequence)), strict=True
        ):
            side.append(features[: whole * crop].reshape(whole, crop, -1))
    if not sum(len(part) for part in sides[0]):
        return None
    return Batch(*(torch.from_numpy(np.concatenate(side)) for side in sides))


def _rate(share: float) -> float:
    """Of the highest learning rate, when a share of the steps is taken: a rise, then a cosine to zero."""
    if share < WARMUP:
        return (share + WARMUP / 10) / (1.1 * WARMUP)
    return 0.5 * (1 + math.cos(math.pi * (share - WARMUP) / (1 - WARMUP)))


def _check(config: HumanTrainConfig, checkpoint: Checkpoint, folder: DataFolder, split: Split, run: Path) -> None:
    for flag in ("epochs", "batch_size", "crop"):
        if getattr(config, flag) < 1:
            raise UserError(f"--{flag.replace('_', '-')} must be at least 1, it is {getattr(config, flag)}")
    if not (math.isfinite(config.lr) and config.lr > 0):
        raise UserError(f"--lr must be a positive number, it is {config.lr}")
    for flag in ("weight_decay", "drift"):
        if not (math.isfinite(getattr(config, flag)) and getattr(config, flag) >= 0):
            raise UserError(f"--{flag.replace('_', '-')} must not be negative, it is {getattr(config, flag)}")
    step = checkpoint.model.downsample
    if config.crop % step:
        raise UserError(f"--crop {config.crop}: does not divide by {step}, the model's frames a step; choose another")
    longest = max((sequence.frames for sequence in paired_sequences(split)), default=0)
    if longest < config.crop:
        raise UserError(
            f"{folder.path}: its longest train clip with a human side has {longest} frames, --crop {config.crop}; "
            "choose fewer, or data with pairs"
        )
    if any((run / name).exists() for name in (*RUN_FILES, CONFIG)):
        raise UserError(f"--run {run}: already holds a run; name another folder")
