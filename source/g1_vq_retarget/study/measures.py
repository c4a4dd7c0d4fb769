"""The figures that variants are compared by: where a log holds them, what they are called, which way is better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Measure:
    """One figure of `training.metrics.evaluate`."""

    name: str
    """Short name, in headers and file names."""
    key: str
    """Its key among the metrics."""
    axis: str
    """What an axis of it says."""
    better: Literal["lower", "higher", "one"]
    """Which way is better; `one`: nearer to 1, by ratio."""
    decimals: int
    """Of a figure in a table."""
    log: bool = True
    """Whether an axis of it is logarithmic."""
    scale: float = 1.0
    """What the metric is multiplied with."""

    @property
    def title(self) -> str:
        """As the field writes it."""
        return self.name.upper() if self.name in ("ppl", "dcr") else self.name

    def of(self, metrics: Mapping) -> float | None:
        """The figure, the mean over levels where there is one a level; None where it is absent or no finite number."""
        value = metrics.get(self.key)
        if value is None:
            return None
        value = self.scale * float(np.mean(value))
        return value if math.isfinite(value) else None

    def shown(self, value: float, beside: float | None = None) -> str:
        """A figure in a table: with its decimals, or with more where they would say nothing but 0.

        Args:
            value: the figure.
            beside: the figure that decides the number of decimals; itself unless told.
        """
        size = abs(value if beside is None else beside)
        digits = -math.floor(math.log10(size)) if size else 0
        return f"{value:.{max(self.decimals, min(digits, 8))}f}"

    def badness(self, value: float) -> float:
        """The less, the better."""
        if self.better == "one":
            return abs(math.log(value)) if value > 0 else math.inf
        return value if self.better == "lower" else -value


_ERROR = "mean squared error of normalised joints"
MEASURES = {
    measure.name: measure
    for measure in (
        Measure("recon", "recon", f"recon: {_ERROR},\nrobot to robot", "lower", 4),
        Measure("cross", "cross", f"cross: {_ERROR},\nhuman to robot", "lower", 4),
        Measure("align", "align_mse", "align: mean squared distance of the two latents", "lower", 4),
        Measure("vel", "vel", f"vel: {_ERROR}' differences,\nframe to frame", "lower", 4),
        Measure("vq", "commitment", "vq: commitment", "lower", 4),
        # Less jerk than the truth's is not better: motion is over-smoothed then.
        Measure("jerk", "jerk_ratio", "jerk over the truth's\n(1 is right; less is over-smoothed)", "one", 2),
        Measure("ppl", "perplexity", "PPL: perplexity, mean over levels", "higher", 1),
        Measure("dcr", "dead_code_ratio", "DCR: dead codes, %, mean over levels", "lower", 1, log=False, scale=100),
    )
}
# Only tables tell these.
JERK = Measure("jerk", "jerk", "jerk: mean squared third difference of normalised joints", "lower", 4)
BODIES = Measure("bodies", "body_error_mm", "bodies in the pelvis frame, mm", "lower", 1)
HUMAN_BODIES = Measure("bodies, human", "cross_body_error_mm", "the same, from the human's tokens, mm", "lower", 1)

# Terms of the training loss, `training.losses`.
LOSS_TERMS = ("recon", "vq", "vel", "cross", "align")
