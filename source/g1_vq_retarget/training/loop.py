"""The training loop: one process by default, engines of Lightning Fabric where there are more."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from torch import Tensor, nn
from tqdm import tqdm

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import DataFolder, Split
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.training.batches import (
    Batch,
    batches_per_epoch,
    crop_batches,
    crops_per_epoch,
    epoch_batches,
    load_batch,
)
from g1_vq_retarget.training.checkpoint import build_model, load_checkpoint, save_checkpoint
from g1_vq_retarget.training.config import TrainConfig
from g1_vq_retarget.training.losses import losses
from g1_vq_retarget.training.metrics import evaluate, jerk_share
from g1_vq_retarget.training.run_folder import (
    STATE,
    check_config,
    check_data,
    close_run,
    make_windows,
    open_run,
    write_text,
)
from g1_vq_retarget.training.state import Progress, load_state, save_state

# Windows that the transform and the codes are placed with before training.
START_WINDOWS = 4096
# Windows of the train split that stand in for a val split where there is none.
SAMPLE_WINDOWS = 1024

Watch = Callable[[Progress, float], None]


def train(config: TrainConfig, watch: Watch | None = None) -> dict:
    """Train, leaving `best` and `last` checkpoints, `log.json`, `config.yaml` and TensorBoard events in `config.run`.

    Best is by reconstruction plus cross-reconstruction on the val split; where there is none (protocol seed), on an
    evenly spaced sample of the train split, always the same, and `val` in the log is of that. Ctrl-C leaves the last
    checkpoint up to date. Under torchrun the processes share each batch.

    Args:
        config: what to train on what.
        watch: in place of the progress bar, called after every step and every epoch (by then on disk) with the
            progress and the share of the budget that is spent, 0 to 1.

    Returns:
        The last line of the log.

    Raises:
        UserError: unusable data, an occupied run folder, nothing to resume, or a loss that is no number (names step
            and term).
    """
    check_config(config)
    folder = DataFolder(make_windows(config))
    spec = folder.spec(config.model.root)
    robot = spec.robot_model()
    check_data(config, folder, robot)
    split = folder.split("train")
    validation = folder.split("val") if "val" in folder.splits else split.sample(SAMPLE_WINDOWS)
    whole_clips = config.crop > 0 and "val" in folder.splits  # the windows of a sample do not follow one another
    # before the processes know of one another: each starts from the same weights by computing the same
    weights = None if config.resume else _starting_weights(config, split, spec)

    fabric = _fabric(config)
    if fabric.is_global_zero:
        open_run(config, folder)
    fabric.barrier()
    model = build_model(spec, config.model)
    if weights is not None:
        model.load_state_dict(weights)
    optimizer = torch.optim.AdamW(
        _groups(model, config.optimizer.prediction_share), weight_decay=config.optimizer.weight_decay, betas=(0.9, 0.99)
    )
    wrapped, optimizer = fabric.setup(model, optimizer)
    progress = Progress()
    if config.resume:
        progress = load_state(config.run / STATE, model, optimizer)
    elif fabric.is_global_zero:
        save_state(config.run / STATE, model, optimizer, progress)
    fabric.barrier()
    human_windows = len(split.human) if config.pairs else 0
    steps = _steps_per_epoch(config, split) * config.epochs
    smooth = jerk_share(split, spec) if config.loss.jerk else 1.0
    budget = None if config.minutes is None else 60 * config.minutes

    def save(name: str, metrics: dict) -> None:
        info = {"epoch": progress.epoch, "metrics": metrics, "window": folder.window, "label": config.label}
        info |= {"licences": folder.manifest["licences"], "seed": config.seed, "human_windows": human_windows}
        info["crop"] = config.crop
        save_checkpoint(config.run / f"{name}.safetensors", model, spec, info)

    started = time.monotonic()

    def spent() -> float:
        """Seconds; where they decide, by the clock of the first process, for processes must do the same."""
        seconds = time.monotonic() - started
        return seconds if budget is None else fabric.broadcast(seconds)

    def done() -> tuple[float, float]:
        """How much of how much is spent: steps, or seconds."""
        return (progress.step, steps) if budget is None else (progress.seconds, budget)

    def tell() -> None:
        if watch is not None and fabric.is_global_zero:
            part, whole = done()
            watch(progress, min(1.0, part / whole))

    bar = tqdm(
        total=steps if budget is None else None, initial=progress.step, unit="step", desc="train", dynamic_ncols=True,
        mininterval=1.0, disable=watch is not None or not fabric.is_global_zero,
    )  # fmt: skip
    try:
        while not _is_over(*done()):
            epoch = progress.epoch + 1
            started = time.monotonic() - progress.seconds  # validation and saving are no training
            torch.manual_seed(_seed_of(config.seed, epoch))
            model.train()
            means = _Means()
            for batch in _batches(config, split, spec, epoch, fabric):
                for group in optimizer.param_groups:
                    group["lr"] = group["share"] * config.optimizer.lr * _rate(*done(), config.optimizer.warmup)
                windows, human = batch.robot.to(fabric.device), batch.human.to(fabric.device)
                terms = losses(wrapped(windows, human), windows, spec.joints, config.loss, smooth)
                _require_finite(terms, progress.step, config.run)
                optimizer.zero_grad()
                fabric.backward(terms["total"])
                norm = fabric.clip_gradients(
                    wrapped, optimizer, max_norm=config.optimizer.clip, error_if_nonfinite=False
                )
                _require_finite(
                    {"total": cast(Tensor, norm), "gradient": cast(Tensor, norm)}, progress.step, config.run
                )
                optimizer.step()
                means.add(terms)
                progress.step += 1
                progress.seconds = spent()
                bar.update()
                tell()
            progress.epoch = epoch
            line = {"epoch": epoch, "step": progress.step, "seconds": round(progress.seconds, 1)}
            line["train"] = means(fabric)
            progress.log.append(line)
            if fabric.is_global_zero:
                score, code_counts = float("inf"), ()
                if epoch % config.validate_every == 0 or _is_over(*done()):
                    result = evaluate(model, validation, spec, robot, human=human_windows > 0, whole_clips=whole_clips)
                    line["val"], code_counts = result.metrics, result.code_counts
                    score = line["val"]["recon"] + line["val"].get("cross", 0.0)
                    _warn_of_collapse(line["val"], epoch)
                metrics = line.get("val", line["train"])
                if score < progress.best:
                    progress.best = score
                    save("best", metrics)
                save("last", metrics)
                write_text(config.run / "log.json", json.dumps(progress.log, indent=1))
                _to_tensorboard(fabric, line, code_counts)
                save_state(config.run / STATE, model, optimizer, progress)
                tell()
                shown = {key: f"{metrics[key]:.4f}" for key in ("recon", "cross") if key in metrics}
                bar.set_postfix({"epoch": epoch, **shown})
            fabric.barrier()
    except KeyboardInterrupt:
        if fabric.is_global_zero:
            save("last", {})
            print(
                f"\nstopped after step {progress.step}; {config.run}/last.safetensors is up to date, "
                f"--resume goes on after epoch {progress.epoch}",
                file=sys.stderr,
            )
        raise
    finally:
        bar.close()
    fabric.logger.finalize("success")
    if fabric.is_global_zero:
        close_run(config)
    return progress.log[-1]


class _Means:
    """Running means of the loss terms of an epoch, over the processes' shares of the batches."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, terms: dict[str, Tensor]) -> None:
        self.count += 1
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value.detach()

    def __call__(self, fabric: Fabric) -> dict[str, float]:
        names = list(self.sums)
        mean = fabric.all_reduce(torch.stack([self.sums[name] for name in names]) / self.count)
        return dict(zip(names, cast(Tensor, mean).tolist(), strict=True))


def _fabric(config: TrainConfig) -> Fabric:
    """One process, or as many as torchrun started."""
    world, local = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if config.pairs % world:
        raise UserError(f"--pairs {config.pairs} must divide by the {world} processes that torchrun started")
    fabric = Fabric(
        accelerator="auto",
        devices=local,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision=config.precision,
        loggers=TensorBoardLogger(root_dir=config.run, name="tensorboard", version=""),
    )
    fabric.launch()
    return fabric


def _groups(model: DualEncoderVQVAE, prediction: float) -> list[dict]:
    """Parameters by their `share` of the learning rate."""
    groups: dict[float, list[nn.Parameter]] = {1.0: []}
    for name, parameter in model.named_parameters():
        share = prediction if name.startswith("quantizer.prediction.") else 1.0
        groups.setdefault(share, []).append(parameter)
    return [{"params": parameters, "share": share} for share, parameters in groups.items()]


def _steps_per_epoch(config: TrainConfig, split: Split) -> int:
    if config.crop:
        return crops_per_epoch(split, config.batch_size, config.crop)
    return batches_per_epoch(split, config.batch_size)


def _batches(config: TrainConfig, split: Split, spec: FeatureSpec, epoch: int, fabric: Fabric) -> Iterator[Batch]:
    mirror = config.mirror and bool(spec.robot)
    drawn = (config.pairs, config.seed, epoch, mirror, fabric.global_rank, fabric.world_size)
    if config.crop:
        return crop_batches(split, spec, config.batch_size, config.crop, *drawn)
    return epoch_batches(split, spec, config.batch_size, *drawn)


def _starting_weights(config: TrainConfig, split: Split, spec: FeatureSpec) -> dict[str, Tensor]:
    torch.manual_seed(_seed_of(config.seed, 0))
    model = build_model(spec, config.model)
    if config.start is not None:
        return _weights_of_another(config.start, model, spec)
    rows = torch.randperm(len(split))[:START_WINDOWS].numpy()
    pairs = load_batch(split, spec, np.asarray(split.human_rows), np.arange(len(split.human)))
    model.start_from_data(torch.from_numpy(split.robot_features(rows, spec)), spec.joints, pairs.robot, pairs.human)
    return model.state_dict()


def _weights_of_another(path: Path, model: DualEncoderVQVAE, spec: FeatureSpec) -> dict[str, Tensor]:
    other = load_checkpoint(path)
    theirs, ours = other.spec.to_dict(), spec.to_dict()
    if differing := [key for key in ours if theirs[key] != ours[key]]:
        raise UserError(
            f"--start {path}: its features differ from the data's in {', '.join(differing)}; "
            "name a run that was trained on this data"
        )
    weights = other.model.state_dict()
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in (weights, model.state_dict())]
    unfit = [name for name in shapes[0] | shapes[1] if shapes[0].get(name) != shapes[1].get(name)]
    if unfit:
        raise UserError(
            f"--start {path}: {len(unfit)} of its weights do not fit the model told here, {unfit[0]} among them; "
            "give the --config and --model flags that it was trained with"
        )
    return weights


def _seed_of(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _is_over(spent: float, budget: float) -> bool:
    """Whether an epoch was the last; both are steps, or seconds."""
    return spent >= budget


def _rate(spent: float, budget: float, warmup: float) -> float:
    """Share of the highest learning rate when so much of the budget is spent; both are steps, or seconds."""
    rising = max(1, int(warmup * budget))
    if spent < rising:
        return min(1.0, (spent + 1) / rising)
    return 0.5 * (1 + float(np.cos(np.pi * min(1.0, (spent - rising) / max(1, budget - rising)))))


def _require_finite(terms: dict[str, Tensor], step: int, run: Path) -> None:
    if torch.isfinite(terms["total"]):
        return
    names = [name for name, value in terms.items() if name != "total" and not torch.isfinite(value)]
    raise UserError(
        f"training stopped at step {step}: loss term {', '.join(names) or 'total'} is not a finite number; "
        f"lower --optimizer.lr or look at the data; the checkpoints in {run}, if any, are of the epochs before"
    )


def _warn_of_collapse(metrics: dict, epoch: int) -> None:
    """Say so when a level uses hardly any of its codes."""
    perplexities = metrics["perplexity"]
    # no more codes can be in use than there are tokens
    sizes = [min(size, metrics["tokens"]) for size in metrics["codebook_sizes"]]
    poor = [i for i, (size, ppl) in enumerate(zip(sizes, perplexities, strict=True)) if ppl < max(1.5, 0.01 * size)]
    if poor:
        warnings.warn(
            f"epoch {epoch}: level {', '.join(map(str, poor))} of the vocabulary has collapsed (perplexity "
            f"{', '.join(f'{perplexities[i]:.1f} of {sizes[i]}' for i in poor)}); try a higher "
            "--model.quantizer.dead-code-threshold, a lower --optimizer.lr or fewer codes",
            stacklevel=2,
        )


def _to_tensorboard(fabric: Fabric, line: dict, code_counts: Sequence[np.ndarray]) -> None:
    scalars = {
        f"{part}/{key}": value
        for part in ("train", "val")
        for key, value in line.get(part, {}).items()
        if isinstance(value, int | float)
    }
    for key in ("perplexity", "entropy_bits", "dead_code_ratio"):
        for level, value in enumerate(line.get("val", {}).get(key, [])):
            scalars[f"codes/{key}_{level}"] = value
    for level, deciles in enumerate(line.get("val", {}).get("usage_deciles", [])):
        scalars[f"codes/share_of_most_used_tenth_{level}"] = deciles[0]
    fabric.log_dict(scalars, step=line["step"])
    for level, counts in enumerate(code_counts):
        codes = np.arange(len(counts))
        cast(TensorBoardLogger, fabric.logger).experiment.add_histogram_raw(
            f"codes/usage_{level}",
            min=0,
            max=len(counts) - 1,
            num=int(counts.sum()),
            sum=float(counts @ codes),
            sum_squares=float(counts @ codes**2),
            bucket_limits=(codes + 0.5).tolist(),
            bucket_counts=counts.tolist(),
            global_step=line["step"],
        )
