"""A trained model measured on a split: figures, physical quality of what is decoded, and how far its root strays."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Literal

import numpy as np

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.evaluation.drift import RootDrift, root_drift
from g1_vq_retarget.evaluation.entropy import measured_bits
from g1_vq_retarget.evaluation.forgetting import Forgetting, forgetting
from g1_vq_retarget.evaluation.physics import decoded_quality
from g1_vq_retarget.motion.quality import PhysicalQuality
from g1_vq_retarget.training.checkpoint import Checkpoint
from g1_vq_retarget.training.metrics import evaluate
from g1_vq_retarget.training.prior_file import PriorFile

Coding = Literal["windows", "clips"]


@dataclass(frozen=True)
class Report:
    """What `scripts/evaluate.py` tells.

    Attributes:
        checkpoint: the weights' file.
        weights_sha256: its hash.
        data, protocol, split: what it was measured on.
        coding: whether whole clips were coded, or each window for itself.
        metrics: of `training.metrics.evaluate`; with a prior also `measured_bits_per_second` and, of each level,
            `measured_bits`.
        drift: by path (robot, human) that lasts long enough.
        forgetting: of spoiled tokens, where the decoder remembers and clips last long enough.
        physical: of the truth and of each path.
        recon_per_window: (N,).
    """

    checkpoint: str
    weights_sha256: str
    data: str
    protocol: str
    split: str
    coding: Coding
    metrics: dict
    drift: dict[str, RootDrift]
    forgetting: Forgetting | None
    physical: dict[str, PhysicalQuality]
    recon_per_window: np.ndarray

    def to_dict(self) -> dict:
        """All but the figures of single windows."""
        return {name: value for name, value in asdict(self).items() if name != "recon_per_window"}

    def text(self) -> str:
        """Many lines to be read."""
        lines = [f"{self.checkpoint} on {self.split} of {self.data} ({self.protocol} protocol), {self.coding} coded"]
        for name, value in self.metrics.items():
            if name == "usage_deciles":  # ten numbers a level: for the file
                continue
            shown = " ".join(f"{v:.4g}" for v in value) if isinstance(value, list) else f"{value:.5g}"
            lines.append(f"  {name:28s}{shown}")
        if self.physical:
            lines.append(f"  {'physical quality':32s}" + "".join(f"{path:>17s}" for path in self.physical))
        for field in fields(PhysicalQuality) if self.physical else ():
            values = (getattr(quality, field.name) for quality in self.physical.values())
            lines.append(f"  {f'physical.{field.name}':32s}" + "".join(f"{_shown(value):>17s}" for value in values))
        for path, strayed in self.drift.items():
            lines.append(
                f"  root after {strayed.seconds:g} s, {path}: {strayed.place_m:.2f} m and {strayed.heading_deg:.1f}° "
                f"off, the way being {strayed.way_m:.2f} m (mean of {strayed.stretches})"
            )
        if self.forgetting is not None:
            left = ", ".join(
                f"{100 * left:.2g} % after {seconds:g} s"
                for seconds, left in zip(self.forgetting.seconds, self.forgetting.left, strict=True)
            )
            worst = ", ".join(f"{100 * left:.2g}" for left in self.forgetting.left_worst)
            lines.append(f"  left of a spoiled step: {left} (median of {self.forgetting.spoiled}; at most {worst} %)")
        return "\n".join(lines)


def _shown(value: float | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def coding_of(checkpoint: Checkpoint) -> Coding:
    """How a model was trained: on stretches of whole clips, or on windows."""
    return "clips" if checkpoint.info.get("crop") else "windows"


def measure(
    checkpoint: Checkpoint, folder: DataFolder, split_name: str, coding: Coding, prior: PriorFile | None = None
) -> Report:
    """Measure a model on a split of a folder that fits it.

    Raises:
        UserError: there is no such split, or nothing in it.
    """
    model, spec, split = checkpoint.model, checkpoint.spec, folder.split(split_name)
    robot, human, whole_clips = spec.robot_model(), checkpoint.info["human_windows"] > 0, coding == "clips"
    result = evaluate(model, split, spec, robot, human, whole_clips)
    if prior is not None:
        rate = measured_bits(model, prior.prior, split, spec)
        result.metrics["measured_bits_per_second"] = rate.bits_per_second
        result.metrics["measured_bits"] = rate.bits_per_level
    physical = {}
    if robot is not None and spec.root:  # else nothing is known of the floor
        physical = decoded_quality(model, split, spec, robot, human, whole_clips)
    drift = {}
    if spec.root and whole_clips:  # windows are too short to stray
        for path in ("robot", "human") if human and len(split.human) else ("robot",):
            strayed = root_drift(model, split, spec, path == "human")
            drift |= {} if strayed is None else {path: strayed}
    forgets = whole_clips and model.quantizer.reach > 0
    return Report(
        checkpoint=str(checkpoint.path),
        weights_sha256=checkpoint.info["weights_sha256"],
        data=str(folder.path),
        protocol=folder.manifest["protocol"],
        split=split_name,
        coding=coding,
        metrics=result.metrics,
        drift=drift,
        forgetting=forgetting(model, split, spec, human) if forgets else None,
        physical=physical,
        recon_per_window=result.recon_per_window,
    )
