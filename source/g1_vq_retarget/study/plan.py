"""What a study is told, and the training runs that it comes to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Literal

from g1_vq_retarget.configuration import preset_folder, read_preset
from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models.quantizers import build_quantizer
from g1_vq_retarget.study.log import FINAL_SPLIT, Protocol, StudyLog, log_path, read_log
from g1_vq_retarget.training.config import Precision, TrainConfig
from g1_vq_retarget.training.run_folder import STATE, check_config, check_data

VARIANTS = ("simple_ema", "resnet_ema", "resnet_rvq", "resnet_fsq", "resnet_lfq", "resnet_hybrid")
# What the log of a run, begun or finished, must have in common with the run that is asked for.
SETTINGS = ("label", "quantizer", "protocol", "data", "budget", "precision", "bits_per_second", "codebook_sizes")
# What stands in labels and not in the names of folders.
NO_NAME = re.compile(r"[^\w.()+-]+")
# Rates that differ by less than this share are equal.
EQUAL_RATE = 0.01


@dataclass
class Study:
    """Variants side by side: each is trained with every seed, on the same data with the same budget."""

    variants: list[str] = field(default_factory=lambda: list(VARIANTS))
    """Names of presets in config/vq, or YAML files."""
    seeds: list[int] = field(default_factory=lambda: [42, 999, 1024])
    """Seeds."""
    protocol: Protocol = "heldout"
    """heldout: measured on the test split. equal-rate: the same, with the presets of config/vq/equal_rate. seed: the
    original's, measured on the windows that were trained on, in the settings of config/vq/seed_hybrid.yaml; needs data
    made with --protocol seed."""
    data: Path = Path("data/lafan1")
    """Folder made by scripts/data/process_data.py."""
    epochs: int | None = None
    """Budget of a run: passes over the data; 24 where neither this nor --minutes is told."""
    minutes: float | None = None
    """Budget of a run: time to train, validation not counted."""
    precision: Precision = "32-true"
    """Arithmetic of the networks in training; figures are measured in float32."""
    workers: int | None = None
    """Runs at a time, which share cores and GPUs; by default as many as there are GPUs (ray: or machines), else 1."""
    engine: Literal["local", "ray"] = "local"
    """local: processes on this machine. ray: the Ray cluster that RAY_ADDRESS names; all folders are shared by it."""
    results: Path = Path("results")
    """Folder for log_<experiment>_seed_<n>.json."""
    checkpoints: Path = Path("checkpoints")
    """Folder for the runs' folders, <Label>_<quantizer>_seed_<n>."""


@dataclass
class Run:
    """One training run of a study."""

    config: TrainConfig
    log: StudyLog
    """As it is before the first epoch."""
    results: Path
    """Folder of the log."""

    @property
    def folder(self) -> Path:
        """Where the training is, with its checkpoints."""
        return self.config.run

    def logged(self) -> StudyLog:
        """The log as it now is."""
        path = log_path(self.results, self.log.experiment, self.log.seed)
        return read_log(path) if path.exists() else self.log


def plan(study: Study) -> list[Run]:
    """The runs of a study, all variants with the first seed first.

    Raises:
        UserError: data of another protocol, an unknown variant, rates that are not equal where they should be, settings
            that cannot be, or that differ from those a run began with.
    """
    if study.epochs is not None and study.minutes is not None:
        raise UserError("--epochs and --minutes are both a budget: give one of them")
    if study.workers is not None and study.workers < 1:
        raise UserError(f"--workers must be at least 1, it is {study.workers}")
    for flag in ("variants", "seeds"):
        values = getattr(study, flag)
        if not values or len(set(values)) < len(values):
            raise UserError(f"--{flag}: expected one or more, each once, not {values}")
    folder = _data_folder(study)
    trainings = [_training(study, variant) for variant in study.variants]
    runs = [_run(study, folder, *training, seed) for seed, training in product(study.seeds, trainings)]
    names = [run.folder.name for run in runs]
    twice = next((run for run in runs if names.count(run.folder.name) > 1), None)
    if twice is not None:
        raise UserError(f"--variants: two of them would train in {twice.folder}; give each preset its own label")
    if study.protocol == "equal-rate":
        _require_equal_rate(runs)
    for run in runs:
        _require_same_settings(run)
        check_config(run.config)  # of a finished one too: it stands beside those still to come
        if not run.logged().complete:
            check_data(run.config, folder, folder.spec(run.config.model.root).robot_model())
    return runs


def _data_folder(study: Study) -> DataFolder:
    folder = DataFolder(study.data)
    needed, found = ("seed" if study.protocol == "seed" else "heldout"), folder.manifest["protocol"]
    if found != needed:
        raise UserError(
            f"--data {study.data}: is of protocol {found}, --protocol {study.protocol} needs one of protocol {needed}; "
            f"make it with: scripts/data/process_data.py --protocol {needed}"
        )
    folder.split(FINAL_SPLIT[study.protocol])
    return folder


def _training(study: Study, variant: str) -> tuple[str, Path, TrainConfig]:
    """Name of the experiment, file of the preset, and how it is trained under the study's protocol."""
    presets = preset_folder() / "vq"
    twins = presets / "equal_rate" if study.protocol == "equal-rate" else presets
    is_file = Path(variant).suffix in (".yaml", ".yml")
    path = Path(variant) if is_file else twins / f"{variant}.yaml"
    if not is_file and not path.is_file():
        known = ", ".join(sorted(preset.stem for preset in twins.glob("*.yaml")))
        raise UserError(f"--variants {variant}: expected a YAML file or one of {known}")
    config = read_preset(TrainConfig, path)
    experiment = f"equal_rate-{path.stem}" if study.protocol == "equal-rate" else path.stem
    if study.protocol == "seed":
        original = read_preset(TrainConfig, presets / "seed_hybrid.yaml")
        config = in_original_settings(config, original)
        if path.resolve() == (presets / "resnet_hybrid.yaml").resolve():  # sized for another down-sampling
            config.model.quantizer = original.model.quantizer
    return experiment, path, config


def in_original_settings(config: TrainConfig, original: TrainConfig) -> TrainConfig:
    """A preset's network and vocabulary, all else as the original had it: features, latent size, losses, no mirroring.

    Args:
        config: the preset.
        original: `config/vq/seed_hybrid.yaml`.
    """
    wanted = original.model.network
    network = replace(config.model.network, latent_dim=wanted.latent_dim, downsample=wanted.downsample)
    model = replace(config.model, network=network, root=original.model.root)
    return replace(config, model=model, loss=original.loss, mirror=original.mirror)


def _run(study: Study, folder: DataFolder, experiment: str, preset: Path, config: TrainConfig, seed: int) -> Run:
    model = config.model
    quantizer = build_quantizer(model.network.latent_dim, model.quantizer)
    label = config.label or preset.stem
    run = study.checkpoints / f"{NO_NAME.sub('-', label)}_{model.quantizer.kind}_seed_{seed}"
    epochs = TrainConfig().epochs if study.epochs is None else study.epochs
    config = replace(config, data=study.data, run=run, label=label, seed=seed)
    config = replace(config, epochs=epochs, minutes=study.minutes, precision=study.precision)
    # what began and has not come to its first checkpoint is begun again
    resume = (run / STATE).is_file()
    config = replace(config, resume=resume, overwrite=not resume and not (run / "last.safetensors").exists())
    log = StudyLog(
        experiment=experiment,
        label=label,
        quantizer=model.quantizer.kind,
        preset=_shown(preset),
        seed=seed,
        protocol=study.protocol,
        data=str(study.data),
        budget={"epochs": epochs} if study.minutes is None else {"minutes": study.minutes},
        bits_per_second=quantizer.bits * folder.fps / model.network.downsample,
        codebook_sizes=list(quantizer.codebook_sizes),
        checkpoint=str(run),
        precision=study.precision,
    )
    return Run(config, log, study.results)


def _shown(preset: Path) -> str:
    """A preset of ours from the folder that holds config/, another as it was given."""
    home = preset_folder().parent
    return str(preset.relative_to(home)) if preset.is_relative_to(home) else str(preset)


def _require_equal_rate(runs: list[Run]) -> None:
    rates = {run.log.experiment: run.log.bits_per_second for run in runs}
    if max(rates.values()) > (1 + EQUAL_RATE) * min(rates.values()):
        told = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
        raise UserError(f"--protocol equal-rate: rates are not equal (bits/s: {told}); change the presets")


def _require_same_settings(run: Run) -> None:
    before = run.logged()
    changed = [name for name in SETTINGS if getattr(before, name) != getattr(run.log, name)]
    if changed:
        told = ", ".join(f"{name} ({getattr(before, name)} → {getattr(run.log, name)})" for name in changed)
        raise UserError(
            f"{log_path(run.results, run.log.experiment, run.log.seed)}: the study there began with another {told}; "
            "go on with the same flags and presets, or name other folders with --results and --checkpoints"
        )
