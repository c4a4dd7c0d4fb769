"""The training loop: one process by default, engines of Lightning Fabric where there are more."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import yaml
from lightning_fabric import Fabric, seed_everything
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from torch import Tensor
from tqdm import tqdm

from g1_vq_retarget.configuration import to_dict
from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import DataFolder, Split
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import replacing
from g1_vq_retarget.models import DualEncoderVQVAE, ModelConfig
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.training.batches import batches_per_epoch, epoch_batches, load_batch
from g1_vq_retarget.training.checkpoint import build_model, save_checkpoint
from g1_vq_retarget.training.losses import LossConfig, losses
from g1_vq_retarget.training.metrics import evaluate

# Windows that the transform and the codes are placed with before training.
START_WINDOWS = 4096


@dataclass
class OptimizerConfig:
    """AdamW with a warm-up and a cosine to zero."""

    lr: float = 1e-3
    """Highest learning rate."""
    weight_decay: float = 0.01
    """Decoupled weight decay."""
    warmup: float = 0.03
    """Share of all steps in which the learning rate rises from zero."""
    clip: float = 1.0
    """Largest norm of the gradient."""


@dataclass
class TrainConfig:
    """Training of a dual-encoder VQ-VAE."""

    data: Path = Path("data/lafan1")
    """Folder made by scripts/data/process_data.py."""
    run: Path = Path("runs/vq")
    """Folder for checkpoints, log and TensorBoard; made, and refused if it already holds a run."""
    overwrite: bool = False
    """Replace a run that is already in the folder."""
    label: str = ""
    """Name of the variant in tables and plots."""
    seed: int = 42
    """Seed of weights, codes and the order of windows."""
    epochs: int = 24
    """Passes over the robot windows of the train split."""
    batch_size: int = 256
    """Robot windows a step."""
    pairs: int = 64
    """Paired windows a step, beside the robot windows."""
    mirror: bool = True
    """Train on windows with left and right exchanged, too."""
    validate_every: int = 1
    """Epochs between evaluations on the val split."""
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)


def train(config: TrainConfig) -> dict:
    """Train, leaving `best` and `last` checkpoints, `log.json`, `config.yaml` and TensorBoard events in `config.run`.

    Best is by reconstruction plus cross-reconstruction on the val split, where there is one, else by the training
    loss. Ctrl-C leaves the last checkpoint up to date.

    Returns:
        The last line of the log.

    Raises:
        UserError: unusable data, an occupied run folder, or a loss that is no number (names step and term).
    """
    folder = DataFolder(config.data)
    _check_against(folder, config)
    spec = folder.spec(config.model.root)
    robot = load_robot(spec.robot)
    split = folder.split("train")
    validation = folder.split("val") if "val" in folder.splits else None
    _claim(config, folder)

    seed_everything(config.seed, verbose=False)
    fabric = Fabric(accelerator="auto", devices=1, loggers=TensorBoardLogger(root_dir=config.run, name="tensorboard"))
    model = build_model(spec, config.model)
    _start(model, split, spec, config.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.optimizer.lr, weight_decay=config.optimizer.weight_decay, betas=(0.9, 0.99)
    )
    wrapped, optimizer = fabric.setup(model, optimizer)
    steps = batches_per_epoch(split, config.batch_size) * config.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps, config.optimizer.warmup))

    log: list[dict] = []
    best = float("inf")
    licences = folder.manifest["licences"]

    def save(name: str, epoch: int, metrics: dict) -> None:
        info = {"epoch": epoch, "metrics": metrics, "window": folder.window, "licences": licences}
        save_checkpoint(config.run / f"{name}.safetensors", model, spec, {"label": config.label, **info})

    epoch, step, started = 0, 0, time.monotonic()
    progress = tqdm(total=steps, unit="step", desc="train", dynamic_ncols=True, mininterval=1.0)
    try:
        for epoch in range(1, config.epochs + 1):
            model.train()
            means = _Means()
            for batch in epoch_batches(split, spec, config.batch_size, config.pairs, config.seed, epoch, config.mirror):
                windows, human = batch.robot.to(fabric.device), batch.human.to(fabric.device)
                terms = losses(wrapped(windows, human), windows, spec.joints, config.loss)
                _require_finite(terms, step, config.run)
                optimizer.zero_grad()
                fabric.backward(terms["total"])
                fabric.clip_gradients(wrapped, optimizer, max_norm=config.optimizer.clip)
                optimizer.step()
                schedule.step()
                means.add(terms)
                step += 1
                progress.update()
            line = {"epoch": epoch, "step": step, "seconds": round(time.monotonic() - started, 1), "train": means()}
            score = line["train"]["total"]
            if validation is not None and (epoch % config.validate_every == 0 or epoch == config.epochs):
                line["val"] = evaluate(model, validation, spec, robot).metrics
                score = line["val"]["recon"] + line["val"].get("cross", 0.0)
            elif validation is not None:
                score = float("inf")
            log.append(line)
            _write_log(config.run, log)
            _to_tensorboard(fabric, line)
            metrics = line.get("val", line["train"])
            if score < best:
                best = score
                save("best", epoch, metrics)
            save("last", epoch, metrics)
            shown = {key: f"{metrics[key]:.4f}" for key in ("recon", "cross") if key in metrics}
            progress.set_postfix({"epoch": epoch, **shown})
    except KeyboardInterrupt:
        save("last", epoch, {})
        print(f"\nstopped in epoch {epoch}; {config.run}/last.safetensors is up to date", file=sys.stderr)
        raise
    finally:
        progress.close()
    return log[-1]


class _Means:
    """Running means of the loss terms of an epoch."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, terms: dict[str, Tensor]) -> None:
        self.count += 1
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value.detach()

    def __call__(self) -> dict[str, float]:
        return {name: value.item() / self.count for name, value in self.sums.items()}


def _start(model: DualEncoderVQVAE, split: Split, spec: FeatureSpec, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(split), generator=generator)[:START_WINDOWS].numpy()
    pairs = load_batch(split, spec, np.asarray(split.human_rows), np.arange(len(split.human)))
    model.start_from_data(torch.from_numpy(split.robot_features(rows, spec)), pairs.robot, pairs.human)


def _rate(step: int, steps: int, warmup: float) -> float:
    rising = max(1, int(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    progress = min(1.0, (step - rising) / max(1, steps - rising))
    return 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * progress))))


def _require_finite(terms: dict[str, Tensor], step: int, run: Path) -> None:
    if torch.isfinite(terms["total"]):
        return
    names = [name for name, value in terms.items() if name != "total" and not torch.isfinite(value)]
    raise UserError(
        f"training stopped at step {step}: loss term {', '.join(names) or 'total'} is not a finite number; "
        f"lower --optimizer.lr or look at the data; the last checkpoint in {run} is from the epoch before"
    )


def _check_against(folder: DataFolder, config: TrainConfig) -> None:
    robot = load_robot(folder.manifest["robot"])
    if folder.joint_names != list(robot.joint_names):
        raise UserError(
            f"{folder.path}/manifest.json: joint_names are not {robot.title}'s in MuJoCo order; "
            "make the folder again with scripts/data/process_data.py"
        )
    if folder.window % config.model.network.downsample:
        raise UserError(
            f"{folder.path}: windows of {folder.window} frames do not divide by --model.network.downsample "
            f"{config.model.network.downsample}; choose another"
        )
    if config.epochs < 1 or config.batch_size < 1:
        raise UserError("--epochs and --batch-size must be at least 1")


def _claim(config: TrainConfig, folder: DataFolder) -> None:
    """Make the run folder and write down what is about to be done."""
    if (config.run / "config.yaml").exists() and not config.overwrite:
        raise UserError(f"{config.run}: already holds a run; name another with --run or add --overwrite")
    config.run.mkdir(parents=True, exist_ok=True)
    for stale in ("best.safetensors", "best.json", "last.safetensors", "last.json", "log.json"):
        (config.run / stale).unlink(missing_ok=True)
    (config.run / "config.yaml").write_text(yaml.safe_dump(to_dict(config), sort_keys=False), encoding="utf-8")
    (config.run / "data_manifest.json").write_text(json.dumps(folder.manifest, indent=1), encoding="utf-8")
    packages = ("g1_vq_retarget", "torch", "numpy", "scipy", "vector-quantize-pytorch", "lightning-fabric")
    origin = {
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in packages},
        "git_revision": _git_revision(),
        "command": sys.argv,
    }
    (config.run / "origin.json").write_text(json.dumps(origin, indent=1), encoding="utf-8")


def _git_revision() -> str:
    """Revision of the package's checkout, with -dirty for uncommitted changes; empty outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git on this machine
        return ""


def _write_log(run: Path, log: list[dict]) -> None:
    with replacing(run / "log.json") as temporary:
        temporary.write_text(json.dumps(log, indent=1), encoding="utf-8")


def _to_tensorboard(fabric: Fabric, line: dict) -> None:
    scalars = {
        f"{part}/{key}": value
        for part in ("train", "val")
        for key, value in line.get(part, {}).items()
        if isinstance(value, int | float)
    }
    for key in ("perplexity", "entropy_bits", "dead_code_ratio"):
        for level, value in enumerate(line.get("val", {}).get(key, [])):
            scalars[f"codes/{key}_{level}"] = value
    fabric.log_dict(scalars, step=line["step"])
