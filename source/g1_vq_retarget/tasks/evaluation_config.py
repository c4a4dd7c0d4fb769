"""What the scripts that evaluate and export policies are told; nothing here needs a simulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from g1_vq_retarget.tasks.evaluation import EvaluationConfig
from g1_vq_retarget.tasks.tracking_config import Device


@dataclass
class EvaluationRunConfig(EvaluationConfig):
    """A policy, what it follows, and what it is measured by."""

    policy: str = "zero"
    """Run folder of scripts/mjlab/train.py (its newest checkpoint), or one of its model_*.pt; or zero, the default pose
    held, or random, targets at random."""
    motion: list[Path] = field(default_factory=list)
    """What it follows, as of scripts/mjlab/train.py; by default what the policy was trained on."""
    from_tokens: list[Path] = field(default_factory=list)
    """With --motion, as there."""
    motion_fps: float | None = None
    """Frames a second of motion files that do not tell it."""
    against: list[Path] = field(default_factory=list)
    """Robot motion that errors and failures are measured by, clips of the same names; by default what it follows."""
    out: Path | None = None
    """Folder for evaluation.json, .md and .png; of a run by default `evaluation` in it, else nothing is written."""
    num_envs: int = 128
    """Robots at once."""
    device: Device = "auto"
    """Where to simulate."""


@dataclass
class ExportConfig:
    """A trained policy, and where to put it."""

    policy: Path
    """Run folder of scripts/mjlab/train.py (its newest checkpoint), or one of its model_*.pt."""
    out: Path
    """New folder for policy.onnx, deploy.yaml and robot/, the robot's model with its meshes (20 MB)."""
    motion: list[Path] = field(default_factory=list)
    """What the run was trained on, where it lies elsewhere now."""
    from_tokens: list[Path] = field(default_factory=list)
    """With --motion, as of scripts/mjlab/train.py."""


@dataclass
class Sim2SimConfig(EvaluationConfig):
    """An exported policy, and what it follows."""

    policy: Path = Path("policy")
    """Folder of scripts/deployment/export_policy.py."""
    motion: list[Path] = field(default_factory=list)
    """What it follows, as of scripts/mjlab/train.py: files or folders of robot motion."""
    from_tokens: list[Path] = field(default_factory=list)
    """With a trained model as --motion, what that decodes."""
    motion_fps: float | None = None
    """Frames a second of motion files that do not tell it."""
    against: list[Path] = field(default_factory=list)
    """Robot motion that errors and failures are measured by; by default what it follows."""
    model: Path | None = None
    """MJCF of robot and floor, by default robot/scene.xml of the folder."""
    compare: Path | None = None
    """Evaluation of scripts/mjlab/evaluate.py from the same starts: is this one within 3 points of its success and 10 %
    of its errors? Then the exit code is 0, else 1."""
    out: Path | None = None
    """Folder for evaluation.json, .md and .png."""
