"""What a rate buys: trained models beside classical coding, on the same windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import DataFolder, Split
from g1_vq_retarget.evaluation.transform_coder import RatePoint, TransformCoder, at_rate, kept_frames
from g1_vq_retarget.files import replacing
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.training.coding import coded_robot

# Rates of the table, bits/s.
RATES = (300, 400, 500, 600, 800, 1000, 1200, 1600)
KEPT = (2, 4, 8, 16)


@dataclass(frozen=True)
class RateDistortion:
    """Curves over one split; errors are mean squared errors of joint angles, normalised by the folder's train split.

    Attributes:
        gaussian: lower bound for Gaussian data of the training covariance.
        variable, fixed: the transform coder with one step for all windows (rate: ideal entropy, mean over windows), and
            with the finest step that keeps each window within the rate.
        kept: k -> error of every k-th frame, unquantized, and straight lines between.
        models: label -> nominal rate and error with the first 1, 2, … levels of the vocabulary; the last point is the
            model as it is trained.
        measured: the same over the measured rate: zeroth-order entropy of each level.
        root: whether models and transform coder also spend bits on the root stream.
    """

    gaussian: Sequence[RatePoint]
    variable: Sequence[RatePoint]
    fixed: Sequence[RatePoint]
    kept: Mapping[int, float]
    models: Mapping[str, Sequence[RatePoint]]
    measured: Mapping[str, Sequence[RatePoint]]
    root: bool


def model_curve(
    model: DualEncoderVQVAE, split: Split, spec: FeatureSpec, std: Sequence[float], whole_clips: bool = False
) -> tuple[list[RatePoint], list[RatePoint]]:
    """Error with the first 1, 2, … levels over the nominal rate, and over the measured one (zeroth-order entropy).

    Errors are over `std`, the joints' standard deviations in rad: a model that was trained on other data has others.
    `whole_clips` as for `training.coding.coded_robot`.
    """
    scale = torch.tensor(spec.robot_std[: spec.joints]) / torch.tensor(std[: spec.joints])
    sizes = model.quantizer.codebook_sizes
    steps_per_second = spec.fps / model.downsample
    rates = np.cumsum(np.log2(sizes)) * steps_per_second
    nominal, measured = [], []
    for levels, rate in enumerate(rates, start=1):
        error = 0.0
        counts = [np.zeros(size) for size in sizes[:levels]]
        for part in coded_robot(model, split, spec, whole_clips, levels):
            missed = (part.motion - part.target)[..., : spec.joints] * scale
            error += missed.square().mean(dim=(1, 2)).sum().item() / len(split)
            for level, count in enumerate(counts):
                count += np.bincount(part.tokens[:, level].numpy(), minlength=len(count))
        shares = [count / count.sum() for count in counts]
        entropy = sum(-(share[share > 0] * np.log2(share[share > 0])).sum() for share in shares)
        nominal.append(RatePoint(float(rate), error))
        measured.append(RatePoint(float(entropy * steps_per_second), error))
    return nominal, measured


def rate_distortion(
    folder: DataFolder,
    split: Split,
    models: Mapping[str, tuple[DualEncoderVQVAE, FeatureSpec]],
    root: bool,
    whole_clips: bool = False,
) -> RateDistortion:
    """All curves over one split.

    Args:
        folder: its train split fits the transform coder.
        split: what is coded.
        models: label -> a trained model and its features.
        root: whether the transform coder codes the root stream, too, and pays for it; a model's features decide.
        whole_clips: models code whole clips, as in use; the transform coder always codes windows.

    Raises:
        UserError: too little to fit the coder on.
    """
    spec = folder.spec(root)

    def features(part: Split) -> np.ndarray:
        return part.robot_features(np.arange(len(part)), spec)

    windows = features(split)
    coder = TransformCoder(features(folder.split("train")), spec.fps, spec.joints)
    variable, fixed = coder.curves(windows)
    joints = windows[..., : spec.joints]
    curves = {
        label: model_curve(model, split, own, spec.robot_std, whole_clips) for label, (model, own) in models.items()
    }
    return RateDistortion(
        gaussian=coder.gaussian(),
        variable=variable,
        fixed=fixed,
        kept={every: float(np.square(kept_frames(joints, every) - joints).mean()) for every in KEPT},
        models={label: curve for label, (curve, _) in curves.items()},
        measured={label: curve for label, (_, curve) in curves.items()},
        root=root,
    )


def rate_table(result: RateDistortion) -> str:
    """Markdown: the classical curves at round rates, and for each model a line a level beside the coder there."""
    lines = ["| bits/s | Gaussian reference | transform coder, variable rate | transform coder, fixed rate |"]
    lines += ["|---|---|---|---|"]
    for rate in RATES:
        errors = (at_rate(curve, rate) for curve in (result.gaussian, result.variable, result.fixed))
        lines.append(f"| {rate} | " + " | ".join(_shown(error) for error in errors) + " |")
    if result.models:
        lines += [
            "",
            "| model | levels | bits/s | error | transform coder there, fixed rate | measured bits/s | variable rate |",
        ]
        lines += ["|---|---|---|---|---|---|---|"]
    for label, curve in result.models.items():
        for levels, (nominal, measured) in enumerate(zip(curve, result.measured[label], strict=True), start=1):
            beside = (
                at_rate(result.fixed, nominal.bits_per_second),
                at_rate(result.variable, measured.bits_per_second),
            )
            lines.append(
                f"| {label} | {levels} | {nominal.bits_per_second:.0f} | {nominal.mse:.4f} | {_shown(beside[0])} "
                f"| {measured.bits_per_second:.0f} | {_shown(beside[1])} |"
            )
    return "\n".join(lines)


def _shown(error: float) -> str:
    return "" if np.isnan(error) else f"{error:.4f}"


def plot_rate_distortion(path: Path, result: RateDistortion) -> None:
    """Draw the curves, both axes logarithmic; lower and further left is better. The suffix decides PNG or PDF."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.6), layout="constrained")
    classical = {
        "Gaussian reference": (result.gaussian, ":"),
        "transform coder, variable rate": (result.variable, "--"),
        "transform coder, fixed rate a window": (result.fixed, "-"),
    }
    for label, (curve, style) in classical.items():
        axes.plot(*np.array(curve).T, style, color="0.3", label=label, linewidth=1.5)
    for index, (label, curve) in enumerate(result.models.items()):
        (line,) = axes.plot(*np.array(curve).T, marker="os^Dv<>P"[index % 8], label=f"{label} (first levels, nominal)")
        axes.plot(*result.measured[label][-1], marker="*", markersize=12, color=line.get_color(), linestyle="none")
    for every, error in result.kept.items():
        axes.axhline(error, color="0.75", linewidth=0.8)
        axes.annotate(f"one frame in {every} kept", (0.995, error), xycoords=("axes fraction", "data"),
                      ha="right", va="bottom", fontsize=7, color="0.4")  # fmt: skip
    rates = [point.bits_per_second for curve in result.models.values() for point in curve]
    axes.set(xscale="log", yscale="log", xlim=(min([100.0, *rates]) * 0.9, max([2500.0, *rates]) * 1.1), ylim=(3e-4, 2))
    axes.set_xlabel("bits/s" + (", the root's included" if result.root else "") + " (star: measured, all levels)")
    axes.set_ylabel("mean squared error of normalised joints")
    axes.legend(fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix.lstrip("."))
    plt.close(figure)
