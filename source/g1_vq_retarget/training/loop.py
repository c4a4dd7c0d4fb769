"""The training loop: one process by default, engines of Lightning Fabric where there are more."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
import yaml
from lightning_fabric import Fabric
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from torch import Tensor
from tqdm import tqdm

from g1_vq_retarget.configuration import read_preset, to_dict
from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import DataFolder, Split
from g1_vq_retarget.data.motion_files import MotionWindowConfig, process_motion
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing
from g1_vq_retarget.models import ModelConfig
from g1_vq_retarget.robot import RobotModel
from g1_vq_retarget.training.batches import batches_per_epoch, epoch_batches, load_batch
from g1_vq_retarget.training.checkpoint import build_model, save_checkpoint
from g1_vq_retarget.training.losses import LossConfig, losses
from g1_vq_retarget.training.metrics import evaluate
from g1_vq_retarget.training.state import Progress, load_state, save_state

# Windows that the transform and the codes are placed with before training.
START_WINDOWS = 4096
STATE = "state.safetensors"
RUN_FILES = ("config.yaml", "best.safetensors", "best.json", "last.safetensors", "last.json", "log.json", STATE)


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
    """Folder made by scripts/data/process_data.py; not used with --motion."""
    motion: list[Path] = field(default_factory=list)
    """Motion files of a robot to train on directly, without humans; their windows are made in the run folder."""
    licence: str = ""
    """Licence of the --motion files that do not tell theirs."""
    run: Path = Path("runs/vq")
    """Folder for checkpoints, log and TensorBoard; made, and refused if it already holds a run."""
    overwrite: bool = False
    """Replace a run that is already in the folder."""
    resume: bool = False
    """Go on with the run in the folder after its last whole epoch; the result is that of an uninterrupted run."""
    label: str = ""
    """Name of the variant in tables and plots."""
    seed: int = 42
    """Seed of weights, codes and the order of windows."""
    epochs: int = 24
    """Passes over the robot windows of the train split."""
    batch_size: int = 64
    """Robot windows a step, over all processes."""
    pairs: int = 16
    """Paired windows a step, beside the robot windows, over all processes."""
    mirror: bool = True
    """Train on windows with left and right exchanged, too."""
    validate_every: int = 1
    """Epochs between evaluations on the val split."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Arithmetic of the networks; the quantizer always computes in float32."""
    wandb: str = ""
    """Weights & Biases project that the TensorBoard figures are also sent to (needs `pip install wandb`)."""
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    windows: MotionWindowConfig = field(default_factory=MotionWindowConfig)

    @property
    def windows_folder(self) -> Path:
        """Where the windows are: `data`, or with `motion` the folder made of it."""
        return self.run / "data" if self.motion else self.data


def is_first_process() -> bool:
    """Whether this is the process that writes and prints, alone or under torchrun."""
    return int(os.environ.get("RANK", 0)) == 0


def train(config: TrainConfig) -> dict:
    """Train, leaving `best` and `last` checkpoints, `log.json`, `config.yaml` and TensorBoard events in `config.run`.

    Best is by reconstruction plus cross-reconstruction on the val split, where there is one, else by the training
    loss. Ctrl-C leaves the last checkpoint up to date. Under torchrun the processes share each batch.

    Returns:
        The last line of the log.

    Raises:
        UserError: unusable data, an occupied run folder, nothing to resume, or a loss that is no number (names step
            and term).
    """
    _check(config)
    folder = DataFolder(_make_windows(config))
    spec = folder.spec(config.model.root)
    robot = spec.robot_model()
    _check_data(config, folder, robot)
    split = folder.split("train")
    validation = folder.split("val") if "val" in folder.splits else None
    # before the processes know of one another: each starts from the same weights by computing the same
    weights = None if config.resume else _starting_weights(config, split, spec)

    fabric = _fabric(config)
    if fabric.is_global_zero:
        _open_run(config, folder)
    fabric.barrier()
    model = build_model(spec, config.model)
    if weights is not None:
        model.load_state_dict(weights)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.optimizer.lr, weight_decay=config.optimizer.weight_decay, betas=(0.9, 0.99)
    )
    wrapped, optimizer = fabric.setup(model, optimizer)
    progress = Progress()
    if config.resume:
        progress = load_state(config.run / STATE, model, optimizer)
    elif fabric.is_global_zero:
        save_state(config.run / STATE, model, optimizer, progress)
    fabric.barrier()
    human_windows = len(split.human) if config.pairs else 0
    steps = batches_per_epoch(split, config.batch_size) * config.epochs

    def save(name: str, metrics: dict) -> None:
        info = {"epoch": progress.epoch, "metrics": metrics, "window": folder.window, "label": config.label}
        info |= {"licences": folder.manifest["licences"], "seed": config.seed, "human_windows": human_windows}
        save_checkpoint(config.run / f"{name}.safetensors", model, spec, info)

    started = time.monotonic() - progress.seconds
    bar = tqdm(
        total=steps, initial=progress.step, unit="step", desc="train", dynamic_ncols=True, mininterval=1.0,
        disable=not fabric.is_global_zero,
    )  # fmt: skip
    try:
        while progress.epoch < config.epochs:
            epoch = progress.epoch + 1
            torch.manual_seed(_seed_of(config.seed, epoch))
            model.train()
            means = _Means()
            for batch in epoch_batches(
                split, spec, config.batch_size, config.pairs, config.seed, epoch,
                config.mirror and robot is not None,
                fabric.global_rank, fabric.world_size,
            ):  # fmt: skip
                for group in optimizer.param_groups:
                    group["lr"] = config.optimizer.lr * _rate(progress.step, steps, config.optimizer.warmup)
                windows, human = batch.robot.to(fabric.device), batch.human.to(fabric.device)
                terms = losses(wrapped(windows, human), windows, spec.joints, config.loss)
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
                bar.update()
            progress.epoch = epoch
            progress.seconds = round(time.monotonic() - started, 1)
            line = {"epoch": epoch, "step": progress.step, "seconds": progress.seconds, "train": means(fabric)}
            progress.log.append(line)
            if fabric.is_global_zero:
                score = line["train"]["total"]
                if validation is not None:
                    score = float("inf")
                    if epoch % config.validate_every == 0 or epoch == config.epochs:
                        line["val"] = evaluate(model, validation, spec, robot, human=human_windows > 0).metrics
                        score = line["val"]["recon"] + line["val"].get("cross", 0.0)
                        _warn_of_collapse(line["val"], epoch)
                metrics = line.get("val", line["train"])
                if score < progress.best:
                    progress.best = score
                    save("best", metrics)
                save("last", metrics)
                _write(config.run / "log.json", json.dumps(progress.log, indent=1))
                _to_tensorboard(fabric, line)
                save_state(config.run / STATE, model, optimizer, progress)
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


def _starting_weights(config: TrainConfig, split: Split, spec: FeatureSpec) -> dict[str, Tensor]:
    torch.manual_seed(_seed_of(config.seed, 0))
    model = build_model(spec, config.model)
    rows = torch.randperm(len(split))[:START_WINDOWS].numpy()
    pairs = load_batch(split, spec, np.asarray(split.human_rows), np.arange(len(split.human)))
    model.start_from_data(torch.from_numpy(split.robot_features(rows, spec)), pairs.robot, pairs.human)
    return model.state_dict()


def _seed_of(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _rate(step: int, steps: int, warmup: float) -> float:
    """Share of the highest learning rate at a step."""
    rising = max(1, int(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + float(np.cos(np.pi * min(1.0, (step - rising) / max(1, steps - rising)))))


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


def _check(config: TrainConfig) -> None:
    """Refuse what cannot be before anything is written."""
    if config.motion:
        _check_steps(config.windows.window, "--windows.window", config)
    for flag in ("epochs", "batch_size", "validate_every"):
        if getattr(config, flag) < 1:
            raise UserError(f"--{flag.replace('_', '-')} must be at least 1, it is {getattr(config, flag)}")
    for flag in ("pairs", "seed"):
        if getattr(config, flag) < 0:
            raise UserError(f"--{flag} must not be negative, it is {getattr(config, flag)}")
    if not (np.isfinite(config.optimizer.lr) and config.optimizer.lr > 0):
        raise UserError(f"--optimizer.lr must be a positive number, it is {config.optimizer.lr}")
    if config.model.quantizer.levels < 1:
        raise UserError(f"--model.quantizer.levels must be at least 1, it is {config.model.quantizer.levels}")
    if config.run.exists() and not config.run.is_dir():
        raise UserError(f"{config.run}: is a file; name a folder with --run")
    if config.resume:
        _check_same_run(config)
    elif not config.overwrite and any((config.run / name).exists() for name in RUN_FILES):
        raise UserError(f"{config.run}: already holds a run; name another with --run, or add --resume or --overwrite")


def _check_data(config: TrainConfig, folder: DataFolder, robot: RobotModel | None) -> None:
    _check_steps(folder.window, str(folder.path), config)
    if robot is None:
        if is_first_process():
            warnings.warn(
                "the joints are of no robot with a link table: no mirrored windows, no distances of links, no limits",
                stacklevel=3,
            )
    elif folder.joint_names != list(robot.joint_names):
        raise UserError(
            f"{folder.path}/manifest.json: joint_names are not {robot.title}'s in MuJoCo order; "
            "make the folder again with scripts/data/process_data.py"
        )


def _check_steps(window: int, where: str, config: TrainConfig) -> None:
    step = config.model.network.downsample
    if window % step:
        raise UserError(
            f"{where}: windows of {window} frames do not divide by --model.network.downsample {step}; choose another"
        )


def _make_windows(config: TrainConfig) -> Path:
    """The folder of windows; of motion files it is made first, a resumed run has it."""
    if config.resume or not config.motion:
        return config.windows_folder
    out = config.windows_folder
    if not is_first_process():
        # processes cannot wait for one another yet, and the same files give the same windows: each makes its own
        temporary = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        out = temporary / "data"
    process_motion(config.motion, out, config.windows, config.licence)
    return out


def _check_same_run(config: TrainConfig) -> None:
    """A run goes on with the configuration it began with."""
    path = config.run / "config.yaml"
    before = to_dict(read_preset(TrainConfig, path))
    existing_file(config.run / STATE)
    now = to_dict(config)
    free = ("run", "data", "overwrite", "resume", "wandb")
    changed = [key for key in now if key not in free and now[key] != before[key]]
    if changed:
        raise UserError(
            f"{path}: {', '.join(changed)} differ from what the run began with; resume with the same "
            "--config and flags, or begin another run"
        )
    manifest = existing_file(config.run / "data_manifest.json").read_text(encoding="utf-8")
    if manifest != json.dumps(DataFolder(config.windows_folder).manifest, indent=1):
        raise UserError(
            f"{config.windows_folder}: is not the data that {config.run} began with (its data_manifest.json); "
            "make that again, or begin another run"
        )


def _open_run(config: TrainConfig, folder: DataFolder) -> None:
    """Make the run folder and write down what is about to be done; a resumed run keeps what it has."""
    if config.wandb:
        try:
            import wandb  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise UserError("--wandb needs the package wandb; install it with: pip install wandb") from error
        wandb.init(project=config.wandb, name=config.run.name, dir=config.run, sync_tensorboard=True)
    if config.resume:
        return
    for stale in RUN_FILES:
        (config.run / stale).unlink(missing_ok=True)
    shutil.rmtree(config.run / "tensorboard", ignore_errors=True)
    _write(config.run / "config.yaml", yaml.safe_dump(to_dict(config), sort_keys=False))
    _write(config.run / "data_manifest.json", json.dumps(folder.manifest, indent=1))
    packages = ("g1_vq_retarget", "torch", "numpy", "scipy", "vector-quantize-pytorch", "lightning-fabric")
    origin = {
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in packages},
        "git_revision": _git_revision(),
        "command": sys.argv,
    }
    _write(config.run / "origin.json", json.dumps(origin, indent=1))


def _git_revision() -> str:
    """Revision of the package's checkout, with -dirty for uncommitted changes; empty outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git on this machine
        return ""


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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
    for level, deciles in enumerate(line.get("val", {}).get("usage_deciles", [])):
        scalars[f"codes/share_of_most_used_tenth_{level}"] = deciles[0]
    fabric.log_dict(scalars, step=line["step"])
