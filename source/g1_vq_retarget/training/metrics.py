"""How good a model is on a whole split.

Error figures called recon, cross and vel are mean squared errors of normalised joint angles (no unit), comparable
with rate-distortion figures; the root stream has its own. Perplexity and dead codes are counted over the whole split.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.robot import RobotModel, forward_kinematics
from g1_vq_retarget.training.alignment import alignment
from g1_vq_retarget.training.batches import load_batch
from g1_vq_retarget.training.coding import BATCH, coded_human, coded_robot


class Evaluation(NamedTuple):
    """Metrics of a model on a split.

    Attributes:
        metrics: flat numbers and, for figures per level, lists.
        recon_per_window: (N,) mean squared error of each robot window's joints, decoded from the robot's tokens.
        cross_per_window: (M,) the same decoded from the human's tokens, for the windows that have a human side.
        code_counts: per level, (codes,) how often each code stands in the robot's tokens.
    """

    metrics: dict
    recon_per_window: np.ndarray
    cross_per_window: np.ndarray
    code_counts: tuple[np.ndarray, ...] = ()


class _Path:
    """Sums over windows of one path through the model: robot to robot, or human to robot."""

    def __init__(self, spec: FeatureSpec, robot: RobotModel | None) -> None:
        self.joints = spec.joints
        self.std = torch.tensor(spec.robot_std[: spec.joints])
        self.mean = torch.tensor(spec.robot_mean[: spec.joints])
        self.robot = robot
        self.sums: dict[str, float] = defaultdict(float)

    def add(self, motion: Tensor, target: Tensor) -> np.ndarray:
        """Count windows (B, T, D) in; returns each one's error, (B,)."""
        error = (motion - target)[..., : self.joints]
        per_window = error.square().mean(dim=(1, 2))
        windows = len(motion)
        self._add("mse", windows, per_window.mean())
        self._add("vel", windows, error.diff(dim=1).square().mean())
        self._add("jerk", windows, motion[..., : self.joints].diff(n=3, dim=1).square().mean())
        self._add("joint_error_deg", windows, torch.rad2deg((error * self.std).abs().mean()))
        if self.robot is not None:
            bodies = [
                forward_kinematics(self.robot, part[..., : self.joints] * self.std + self.mean).pos
                for part in (motion, target)
            ]
            distance = (bodies[0] - bodies[1]).norm(dim=-1)
            self._add("body_error_mm", windows, 1000 * distance[..., 1:].mean())  # the pelvis is the frame
            feet = self.robot.link_indices(self.robot.feet)
            self._add("feet_error_mm", windows, 1000 * distance[..., feet].mean())
        if motion.shape[-1] > self.joints:
            root = (motion - target)[..., self.joints :]
            self._add("root_mse", windows, root.square().mean())
        self.sums["windows"] += windows
        return per_window.numpy()

    def means(self) -> dict[str, float]:
        windows = self.sums.pop("windows")
        return {key: value / windows for key, value in self.sums.items()}

    def _add(self, key: str, windows: int, mean: Tensor) -> None:
        self.sums[key] += windows * mean.item()


@torch.no_grad()
def evaluate(
    model: DualEncoderVQVAE,
    split: Split,
    spec: FeatureSpec,
    robot: RobotModel | None,
    human: bool = True,
    whole_clips: bool = False,
) -> Evaluation:
    """Every window of a split, through the robot path and, where there is a human side, the human path.

    `robot` is `spec.robot_model()`; without a link table there are no distances of links. `human` is whether the model
    was trained with human motion; without, its human encoder says nothing. `whole_clips`: windows are cut from whole
    decoded clips, as `training.coding` has it, instead of being coded each for itself.

    Raises:
        UserError: the split is empty.

    Metrics, for the path from the robot's tokens:
        recon, vel: mean squared error of normalised joints and of their frame-to-frame differences.
        root_mse: mean squared error of the normalised root stream.
        jerk: mean squared third difference of decoded normalised joints, frame units (not trained).
        jerk_ratio: jerk over that of the cubic-resampled truth; 1 is right, below is over-smoothed.
        joint_error_deg: mean absolute error, degrees.
        body_error_mm, feet_error_mm: mean distance of links in the pelvis frame, mm.
        commitment: the quantizer's loss.
        tokens: robot tokens of each level in the whole split, which the following are counted over.
        perplexity, entropy_bits: per level.
        dead_code_ratio: per level, unused codes among those that so many tokens could have used.
        usage_deciles: per level, the share of tokens that the most used 10 %, 20 %, … 100 % of the codes carry.
        bits_per_second, entropy_bits_per_second: nominal and empirical (per level, zeroth order), root included.
    For the path from the human's tokens, where there are pairs: the same with `cross_` before, and `cross` itself,
        recon_of_pairs: recon of the windows that have a human side, which cross is to be compared with.
        align_mse: mean squared distance of the two latents.
        align_infonce: InfoNCE among 64 windows, nats.
    """
    if not len(split):
        raise UserError(f"{split.folder.path}: its {split.name} split has no windows; name another or make it again")
    training = model.training
    model.eval()
    paths = {"robot": _Path(spec, robot), "human": _Path(spec, robot)}
    counts = [torch.zeros(size, dtype=torch.long) for size in model.quantizer.codebook_sizes]
    commitment = 0.0
    recon_per_window, cross_per_window = np.zeros(len(split)), np.zeros(0)
    for part in coded_robot(model, split, spec, whole_clips):
        recon_per_window[part.rows] = paths["robot"].add(part.motion, part.target)
        commitment += part.loss * len(part.rows)
        for level, count in enumerate(counts):
            count += torch.bincount(part.tokens[:, level], minlength=len(count))
    metrics = _robot_metrics(paths["robot"].means(), counts, model, split, spec)
    metrics["commitment"] = commitment / len(split)

    if human and len(split.human):
        per_row = np.zeros(len(split))
        for part in coded_human(model, split, spec, whole_clips):
            per_row[part.rows] = paths["human"].add(part.motion, part.target)
        cross_per_window = per_row[np.asarray(split.human_rows)]
        cross = {f"cross_{key}": value for key, value in paths["human"].means().items()}
        metrics["cross"] = cross.pop("cross_mse")
        metrics["recon_of_pairs"] = float(recon_per_window[np.asarray(split.human_rows)].mean())
        metrics |= cross
        metrics |= alignment(*_latents(model, split, spec))
    model.train(training)
    return Evaluation(metrics, recon_per_window, cross_per_window, tuple(count.numpy() for count in counts))


def _latents(model: DualEncoderVQVAE, split: Split, spec: FeatureSpec) -> tuple[Tensor, Tensor]:
    """(M, T', C) of the human's and of the robot's encoder, of the windows that have a human side."""
    device = next(model.parameters()).device
    latents = []
    for pairs in np.array_split(np.arange(len(split.human)), max(1, len(split.human) // BATCH)):
        batch = load_batch(split, spec, np.asarray(split.human_rows)[pairs], pairs)
        sides = model.human_latent(batch.human.to(device)), model.robot_encoder(batch.robot.to(device))
        latents.append([side.cpu() for side in sides])
    human, robot = (torch.cat(side) for side in zip(*latents, strict=True))
    return human, robot


def jerk_share(split: Split, spec: FeatureSpec) -> float:
    """Jerk of the cubic-resampled truth over that of the windows: below 1 where linear interpolation put kinks in."""
    jerk, cubic = (_normalised_jerk(one, spec) for one in (split.jerk, split.jerk_cubic))
    return cubic / jerk if jerk else 1.0


def _normalised_jerk(jerk: np.ndarray, spec: FeatureSpec) -> float:
    return float((jerk / np.square(spec.robot_std[: spec.joints])).mean())


def _robot_metrics(
    means: dict[str, float], counts: list[Tensor], model: DualEncoderVQVAE, split: Split, spec: FeatureSpec
) -> dict:
    jerk_truth = _normalised_jerk(split.jerk_cubic, spec)
    tokens = int(counts[0].sum())
    shares = [count / tokens for count in counts]
    entropy = [float(-(share * share.clamp_min(1e-12).log2()).sum()) for share in shares]
    steps_per_second = spec.fps / model.downsample
    return {
        "windows": len(split),
        "human_windows": len(split.human),
        "recon": means.pop("mse"),
        **means,
        "jerk_ratio": means["jerk"] / jerk_truth if jerk_truth else float("nan"),  # where nothing moves
        "bits_per_second": model.bits_per_second(spec.fps),
        "entropy_bits_per_second": sum(entropy) * steps_per_second,
        "codebook_sizes": list(model.quantizer.codebook_sizes),
        "perplexity": [2**bits for bits in entropy],
        "entropy_bits": entropy,
        "tokens": tokens,
        "dead_code_ratio": [1 - int((count > 0).sum()) / min(len(count), tokens) for count in counts],
        "usage_deciles": [_deciles(share) for share in shares],
    }


def _deciles(share: Tensor) -> list[float]:
    carried = share.sort(descending=True).values.cumsum(0)
    return [round(carried[max(0, round(tenth * len(share) / 10) - 1)].item(), 4) for tenth in range(1, 11)]
