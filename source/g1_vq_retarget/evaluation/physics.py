"""Physical quality of what a model decodes, beside that of the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from g1_vq_retarget.data.features import FeatureSpec, RootStart
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.data.sequences import truth_of
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.motion import Provenance, RobotClip
from g1_vq_retarget.motion.projection import project_clip
from g1_vq_retarget.motion.quality import PhysicalQuality, Physics, physics, pooled, quality_of
from g1_vq_retarget.robot import RobotModel
from g1_vq_retarget.training.batches import load_batch
from g1_vq_retarget.training.coding import decoded_clips

BATCH = 128


class _Coded(NamedTuple):
    """Stretches of motion, (B, T, D) normalised features: the truth, and what is decoded from tokens."""

    truth: np.ndarray
    decoded: np.ndarray


def decoded_quality(
    model: DualEncoderVQVAE,
    split: Split,
    spec: FeatureSpec,
    robot: RobotModel,
    human: bool = True,
    whole_clips: bool = False,
) -> dict[str, PhysicalQuality]:
    """How physical the motion of a split is, what is decoded from its tokens, and that projected.

    No frame counts twice; each stretch is placed in the world by its own root stream. The jerk's yardstick is the
    truth. Joints are as they were decoded, not yet held at their limits, but for what is projected.

    Args:
        spec: of features that hold the root stream.
        robot: `spec.robot_model()`.
        human: whether the model was trained with human motion.
        whole_clips: code and measure whole clips, instead of windows that do not overlap, each for itself.

    Returns:
        `truth`; `robot`, decoded from the robot's tokens; where there are pairs `human`, from the human's tokens, and
        `its_truth`, of what has a human side; with whole clips `robot_projected` and `human_projected`, after
        `project_clip`.
    """
    if not spec.root:
        raise ValueError("physical quality needs a root stream")
    parts: dict[str, list[PhysicalQuality]] = {}
    coded = _coded_clips if whole_clips else _coded_windows
    training = model.training
    model.eval()
    for path, of in (("robot", "truth"), ("human", "its_truth"))[: 2 if human else 1]:
        for some in coded(model, split, spec, path == "human"):
            truth = _physics(_clips(some.truth, spec, robot), robot)
            decoded = _clips(some.decoded, spec, robot)
            parts.setdefault(of, []).append(quality_of(truth))
            parts.setdefault(path, []).append(quality_of(_physics(decoded, robot), truth.jerk))
            if whole_clips:  # footholds last longer than windows do
                projected = [project_clip(clip, robot).motion for clip in decoded]
                quality = quality_of(_physics(projected, robot), truth.jerk)
                parts.setdefault(f"{path}_projected", []).append(quality)
    model.train(training)
    return {path: pooled(measured) for path, measured in parts.items()}


def _coded_clips(model: DualEncoderVQVAE, split: Split, spec: FeatureSpec, human: bool) -> Iterator[_Coded]:
    """Clip by clip."""
    for clip in decoded_clips(model, split, spec, human):
        yield _Coded(truth_of(split, spec, clip.sequence, human)[None], clip.motion.numpy()[None])


@torch.no_grad()
def _coded_windows(model: DualEncoderVQVAE, split: Split, spec: FeatureSpec, human: bool) -> Iterator[_Coded]:
    """Windows that do not overlap, as many as a batch holds."""
    device = next(model.parameters()).device
    chosen, pairs = apart_rows(split), np.zeros(0, dtype=int)
    if human:
        pair_of_row = {int(row): pair for pair, row in enumerate(split.human_rows)}
        chosen = np.array([row for row in chosen if int(row) in pair_of_row], dtype=int)
        pairs = np.array([pair_of_row[int(row)] for row in chosen], dtype=int)
    for places in np.array_split(np.arange(len(chosen)), max(1, len(chosen) // BATCH)):
        if not len(places):
            continue
        batch = load_batch(split, spec, chosen[places], pairs[places] if human else pairs)
        side = model.encode_human(batch.human.to(device)) if human else model.encode_robot(batch.robot.to(device))
        yield _Coded(batch.robot.numpy(), model.decode(side.tokens, batch.robot.shape[1]).cpu().numpy())


def apart_rows(split: Split) -> np.ndarray:
    """Rows of windows of a split, as many as do not overlap, clip by clip."""
    step = -(-split.folder.window // split.folder.manifest["stride"])
    seen = Counter[str]()
    rows = []
    for row, clip in enumerate(split.clip_of_row):
        if seen[clip] % step == 0:
            rows.append(row)
        seen[clip] += 1
    return np.array(rows, dtype=int)


def _clips(features: np.ndarray, spec: FeatureSpec, robot: RobotModel) -> list[RobotClip]:
    """Stretches (B, T, D) of normalised features, placed in the world one by one."""
    return [
        spec.robot_clip(one.astype(float), "decoded", RootStart(), Provenance()).with_joint_order(robot.joint_names)
        for one in features
    ]


def _physics(clips: list[RobotClip], robot: RobotModel) -> Physics:
    """Of clips of one length and rate."""
    joints, pos, quat = (
        torch.from_numpy(np.stack([getattr(clip, part) for clip in clips]))
        for part in ("joint_pos", "root_pos_w", "root_quat_w")
    )
    return physics(robot, joints, pos, quat, fps=clips[0].fps)
