"""What training and watching of a tracking policy are told; no simulator is needed to read it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from g1_vq_retarget.errors import UserError

TRACKING_TASK = "Mjlab-G1-VQ-Tracking"
NO_STATE_ESTIMATION_TASK = f"{TRACKING_TASK}-No-State-Estimation"
# In the folder of a run.
CONFIG = "config.yaml"
# What the command terms of all simulators log for each environment, by mjlab's names.
METRICS = (
    *(f"error_{part}_{what}" for part in ("anchor", "body") for what in ("pos", "rot", "lin_vel", "ang_vel")),
    "error_joint_pos",
    "error_joint_vel",
    "sampling_entropy",
    "sampling_top1_prob",
)
NO_MOTION = "--motion is needed: a file or folder of robot motion, or a trained model with --from-tokens"
_CHECKPOINT = re.compile(r"model_(\d+)\.pt")

Observe: TypeAlias = Literal["frames", "tokens"]
Device: TypeAlias = Literal["auto", "cpu", "cuda"]
# What acts where there is no policy: the default pose held, or targets at random.
Untrained: TypeAlias = Literal["zero", "random"]


@dataclass
class TrackingRunConfig:
    """Training of a tracking policy."""

    motion: list[Path] = field(default_factory=list)
    """What to track: files or folders of robot motion, of any format; with --from-tokens a trained model (run folder or
    .safetensors file)."""
    from_tokens: list[Path] = field(default_factory=list)
    """What that model decodes: token files, or human or robot motion that it encodes before; files or folders."""
    motion_fps: float | None = None
    """Frames a second of motion files that do not tell it."""
    run: Path = Path("runs/tracking")
    """Folder for checkpoints and TensorBoard; made, and refused if it already holds a run."""
    overwrite: bool = False
    """Replace a run that is already in the folder."""
    resume: bool = False
    """Go on with the run in the folder after its last checkpoint, with its configuration."""
    task: Literal["Mjlab-G1-VQ-Tracking", "Mjlab-G1-VQ-Tracking-No-State-Estimation"] = TRACKING_TASK
    """Whether the policy sees where it is and how fast it goes."""
    observe: Observe = "frames"
    """What the policy sees of the motion: the joints in the frames ahead, or the quantized latents that these were
    decoded from."""
    future_frames: list[int] = field(default_factory=lambda: [0])
    """Which frames: 0 is the one to be reached by the next step; 0 5 10, too, looks 0.2 s ahead."""
    num_envs: int = 4096
    """Robots at once, on each GPU."""
    iterations: int = 30_000
    """Updates of the policy, those before a --resume included."""
    steps: int = 24
    """Steps of every robot between updates."""
    save_every: int = 500
    """Iterations between checkpoints."""
    seed: int = 42
    """Seed of weights, starts, noise and pushes; of the first process, the next has the next."""
    device: Device = "auto"
    """Where to simulate and train; auto: a GPU if there is one."""
    gpus: int = 1
    """Number of GPUs, each a process of its own."""


@dataclass
class PlayConfig:
    """A policy and what it tracks."""

    policy: Path | None = None
    """Run folder of scripts/mjlab/train.py (its newest checkpoint), or one of its model_*.pt; without it, see
    --agent."""
    agent: Untrained = "zero"
    """What acts without a policy."""
    motion: list[Path] = field(default_factory=list)
    """What to track, as of scripts/mjlab/train.py; by default what the policy was trained on."""
    from_tokens: list[Path] = field(default_factory=list)
    """With --motion, as there."""
    motion_fps: float | None = None
    """Frames a second of motion files that do not tell it."""
    num_envs: int = 1
    """Robots at once."""
    terminations: bool = True
    """Whether a robot that has lost the motion begins again."""
    viewer: Literal["auto", "native", "viser", "none"] = "auto"
    """mjlab's window, or its page for a browser; auto: the window where there is a screen."""
    frames: int | None = None
    """Stop after so many steps of 0.02 s."""
    device: Device = "auto"
    """Where to simulate."""


def checkpoints(run: Path) -> dict[int, Path]:
    """Those in the folder of a run by their iterations, the newest last; none where there is no such folder."""
    found = {int(match[1]): path for path in run.glob("model_*.pt") if (match := _CHECKPOINT.fullmatch(path.name))}
    return dict(sorted(found.items()))


@dataclass
class SpeedConfig:
    """A comparison of speed with mjlab's own task."""

    motion: Path
    """A file of robot motion, which both follow."""
    num_envs: int = 4096
    """Robots at once."""
    steps: int = 200
    """Steps of a round."""
    rounds: int = 3
    """Rounds of each, by turns; the best counts."""
    device: Device = "auto"
    """Where to simulate."""

    def __post_init__(self) -> None:
        for flag in ("num_envs", "steps", "rounds"):
            if getattr(self, flag) < 1:
                raise UserError(f"--{flag.replace('_', '-')} must be at least 1, it is {getattr(self, flag)}")
