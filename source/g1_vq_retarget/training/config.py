"""What a training run is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from g1_vq_retarget.data.motion_files import MotionWindowConfig
from g1_vq_retarget.models import ModelConfig
from g1_vq_retarget.training.losses import LossConfig

Precision = Literal["32-true", "bf16-mixed"]


@dataclass
class OptimizerConfig:
    """AdamW with a warm-up and a cosine to zero."""

    lr: float = 1e-3
    """Highest learning rate."""
    prediction_share: float = 1.0
    """predictive: share of the learning rate at which the prediction learns. Of short steps many tell it nearly the
    same, and their weights all move at once: there it wants less."""
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
    start: Path | None = None
    """Go from the weights of another run (its folder, or a .safetensors file), trained on data that are normalised
    alike, in place of weights that the data give. The model's settings are those told here."""
    resume: bool = False
    """Go on with the run in the folder after its last whole epoch; the result is that of an uninterrupted run."""
    label: str = ""
    """Name of the variant in tables and plots."""
    seed: int = 42
    """Seed of weights, codes and the order of windows."""
    epochs: int = 24
    """Passes over the robot windows of the train split."""
    minutes: float | None = None
    """Time to train, in place of epochs: training ends after the first whole epoch past it, and the learning rate
    follows the time spent. Validation is not counted. Another machine, or another load, gives another result."""
    batch_size: int = 64
    """Robot windows a step, over all processes."""
    pairs: int = 16
    """Paired windows a step, beside the robot windows, over all processes."""
    crop: int = 0
    """Frames of what is trained on: stretches that begin anywhere in whole clips, `batch_size` of them a step, and
    validation codes whole clips. 0: the windows of the data folder."""
    mirror: bool = True
    """Train on windows with left and right exchanged, too."""
    validate_every: int = 1
    """Epochs between evaluations on the val split, or what stands in for it."""
    precision: Precision = "32-true"
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
