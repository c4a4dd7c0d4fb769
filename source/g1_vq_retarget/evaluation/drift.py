"""How far a decoded root strays: its velocities are decoded, and their errors add up to a way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g1_vq_retarget.data.features import FeatureSpec, RootStart
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.data.sequences import truth_of
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.motion import Provenance
from g1_vq_retarget.motion.root import heading
from g1_vq_retarget.training.coding import decoded_clips


@dataclass(frozen=True)
class RootDrift:
    """Where the decoded root is after some time, both having begun together.

    Attributes:
        seconds: that time.
        stretches: how many were looked at, one after the other in every clip.
        place_m, place_worst_m: distance on the floor, m: mean, and of the worst twentieth at least.
        heading_deg, heading_worst_deg: difference of heading, degrees, likewise.
        way_m: mean length of the true way from beginning to end, m.
    """

    seconds: float
    stretches: int
    place_m: float
    place_worst_m: float
    heading_deg: float
    heading_worst_deg: float
    way_m: float


def root_drift(
    model: DualEncoderVQVAE,
    split: Split,
    spec: FeatureSpec,
    human: bool = False,
    seconds: float = 10.0,
    levels: int | None = None,
) -> RootDrift | None:
    """Drift over stretches of whole decoded clips; None where no clip lasts so long.

    Args:
        spec: of features that hold the root stream.
        human: decode from the human's tokens, of the clips that have a human side.
        levels: only so many tokens a step.
    """
    if not spec.root:
        raise ValueError("drift needs a root stream")
    length = round(seconds * spec.fps)
    found = []
    for clip in decoded_clips(model, split, spec, human, levels):
        truth = truth_of(split, spec, clip.sequence, human)
        decoded = clip.motion.numpy()
        for begin in range(0, clip.sequence.frames - length + 1, length):
            stretch = slice(begin, begin + length)
            found.append(_strayed(truth[stretch], decoded[stretch], spec))
    if not found:
        return None
    place, turn, way = np.array(found).T
    return RootDrift(
        seconds=seconds,
        stretches=len(found),
        place_m=float(place.mean()),
        place_worst_m=float(np.quantile(place, 0.95)),
        heading_deg=float(turn.mean()),
        heading_worst_deg=float(np.quantile(turn, 0.95)),
        way_m=float(way.mean()),
    )


def _strayed(truth: np.ndarray, decoded: np.ndarray, spec: FeatureSpec) -> tuple[float, float, float]:
    """Distance (m), difference of heading (degrees) and true way (m) at the end of features (T, D)."""
    ends = []
    for features in (truth, decoded):
        clip = spec.robot_clip(features.astype(float), "stretch", RootStart(), Provenance())
        ends.append((clip.root_pos_w[-1, :2] - clip.root_pos_w[0, :2], heading(clip.body_rotation[-1:])[0]))
    (place, turn), (other_place, other_turn) = ends
    apart = (other_turn - turn + np.pi) % (2 * np.pi) - np.pi
    return (
        float(np.linalg.norm(other_place - place)),
        float(np.degrees(abs(apart))),
        float(np.linalg.norm(place)),
    )
