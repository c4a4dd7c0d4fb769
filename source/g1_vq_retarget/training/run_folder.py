"""The folder of a training run: whether it may begin there, and what is written down before it does."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import yaml

from g1_vq_retarget.configuration import read_preset, to_dict
from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.motion_files import process_motion
from g1_vq_retarget.data.sequences import paired_sequences, robot_sequences
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing
from g1_vq_retarget.robot import RobotModel
from g1_vq_retarget.training.config import TrainConfig

STATE = "state.safetensors"
RUN_FILES = ("config.yaml", "best.safetensors", "best.json", "last.safetensors", "last.json", "log.json", STATE)


def is_first_process() -> bool:
    """Whether this is the process that writes and prints, alone or under torchrun."""
    return int(os.environ.get("RANK", 0)) == 0


def check_config(config: TrainConfig) -> None:
    """Refuse what cannot be before anything is written."""
    if config.motion:
        _check_steps(config.windows.window, "--windows.window", config)
    for flag in ("epochs", "batch_size", "validate_every"):
        if getattr(config, flag) < 1:
            raise UserError(f"--{flag.replace('_', '-')} must be at least 1, it is {getattr(config, flag)}")
    if config.minutes is not None and not (np.isfinite(config.minutes) and config.minutes > 0):
        raise UserError(f"--minutes must be a positive number, it is {config.minutes}")
    for flag in ("pairs", "seed", "crop"):
        if getattr(config, flag) < 0:
            raise UserError(f"--{flag} must not be negative, it is {getattr(config, flag)}")
    for flag in ("lr", "prediction_share"):
        value = getattr(config.optimizer, flag)
        if not (np.isfinite(value) and value > 0):
            name = flag.replace("_", "-")
            raise UserError(f"--optimizer.{name} must be a positive number, it is {value}")
    if not 0 < config.model.quantizer.growth < 1:
        raise UserError(
            f"--model.quantizer.growth must be between 0 and 1, it is {config.model.quantizer.growth}: what is "
            "remembered must fade"
        )
    for flag in ("levels", "beam", "training_beam", "memory", "predictor_width"):
        if getattr(config.model.quantizer, flag) < 1:
            name = flag.replace("_", "-")
            raise UserError(
                f"--model.quantizer.{name} must be at least 1, it is {getattr(config.model.quantizer, flag)}"
            )
    if not 0 <= config.model.quantizer.least_levels <= config.model.quantizer.levels:
        raise UserError(
            f"--model.quantizer.least-levels must be 0 to {config.model.quantizer.levels}, the number of levels; "
            f"it is {config.model.quantizer.least_levels}"
        )
    if not (np.isfinite(config.model.root_scale) and config.model.root_scale > 0):
        raise UserError(f"--model.root-scale must be a positive number, it is {config.model.root_scale}")
    if config.model.network.robot_encoder == "klt" and config.model.network.kind != "resnet":
        raise UserError(
            f"--model.network.robot-encoder klt goes with --model.network.kind resnet, not {config.model.network.kind}"
        )
    if config.model.network.causal and config.model.network.kind != "resnet":
        raise UserError(
            f"--model.network.causal goes with --model.network.kind resnet, not {config.model.network.kind}"
        )
    if config.crop:
        _check_steps(config.crop, "--crop", config)
    if config.run.exists() and not config.run.is_dir():
        raise UserError(f"{config.run}: is a file; name a folder with --run")
    if config.resume:
        _check_same_run(config)
    elif not config.overwrite and any((config.run / name).exists() for name in RUN_FILES):
        raise UserError(f"{config.run}: already holds a run; name another with --run, or add --resume or --overwrite")


def check_data(config: TrainConfig, folder: DataFolder, robot: RobotModel | None) -> None:
    _check_steps(folder.window, str(folder.path), config)
    split = folder.split("train")
    longest, longest_pair = (
        max((sequence.frames for sequence in sequences), default=0)
        for sequences in (robot_sequences(split), paired_sequences(split))
    )
    example = config.crop or folder.window
    if not 0 <= config.loss.onset <= example - 4:
        raise UserError(
            f"--loss.onset must be 0 to {example - 4}, four frames fewer than an example has; it is {config.loss.onset}"
        )
    if config.crop > longest:
        raise UserError(f"--crop {config.crop}: the longest clip in {folder.path} has {longest} frames; choose fewer")
    if config.pairs and 0 < longest_pair < config.crop:
        raise UserError(
            f"--crop {config.crop}: the longest clip with a human side in {folder.path} has {longest_pair} frames; "
            "choose fewer, or --pairs 0"
        )
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


def make_windows(config: TrainConfig) -> Path:
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


def open_run(config: TrainConfig, folder: DataFolder) -> None:
    """Make the run folder and write down what is about to be done; a resumed run keeps what it has."""
    if config.wandb:
        _open_wandb(config)
    if config.resume:
        return
    for stale in RUN_FILES:
        (config.run / stale).unlink(missing_ok=True)
    shutil.rmtree(config.run / "tensorboard", ignore_errors=True)
    write_text(config.run / "config.yaml", yaml.safe_dump(to_dict(config), sort_keys=False))
    write_text(config.run / "data_manifest.json", json.dumps(folder.manifest, indent=1))
    write_origin(config.run, ("scipy", "vector-quantize-pytorch", "lightning-fabric"))


def write_origin(folder: Path, packages: Sequence[str]) -> None:
    """Write `origin.json`: versions of Python, this package, torch, numpy and others, git revision, command line."""
    origin = {
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in ("g1_vq_retarget", "torch", "numpy", *packages)},
        "git_revision": _git_revision(),
        "command": sys.argv,
    }
    write_text(folder / "origin.json", json.dumps(origin, indent=1))


def _open_wandb(config: TrainConfig) -> None:
    """Have Weights & Biases read along what TensorBoard gets; before the first of it is written."""
    try:
        import wandb  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError("--wandb needs the package wandb; install it with: pip install wandb") from error
    config.run.mkdir(parents=True, exist_ok=True)  # it would write somewhere else
    try:
        wandb.init(
            project=config.wandb, name=config.run.name, dir=config.run, config=to_dict(config), sync_tensorboard=True
        )
    except wandb.Error as error:
        raise UserError(
            f"--wandb {config.wandb}: {error} (or set WANDB_MODE=offline, which needs no account)"
        ) from error


def close_run(config: TrainConfig) -> None:
    """End what `open_run` began, once the last figures are on disk. A run that failed ends with its process."""
    if config.wandb:
        import wandb  # pyright: ignore[reportMissingImports]

        wandb.finish()


def _git_revision() -> str:
    """Revision of the package's checkout, with -dirty for uncommitted changes; empty outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git on this machine
        return ""


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
