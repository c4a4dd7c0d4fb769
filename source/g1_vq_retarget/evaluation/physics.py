"""Physical quality of what a model decodes, beside that of the truth."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from g1_vq_retarget.data.features import FeatureSpec, RootStart
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.motion import Provenance
from g1_vq_retarget.motion.quality import PhysicalQuality, Physics, physics, pooled, quality_of
from g1_vq_retarget.robot import RobotModel
from g1_vq_retarget.training.batches import load_batch

BATCH = 128


@torch.no_grad()
def decoded_quality(
    model: DualEncoderVQVAE, split: Split, spec: FeatureSpec, robot: RobotModel, human: bool = True
) -> dict[str, PhysicalQuality]:
    """How physical the windows of a split are, and what is decoded from their tokens.

    Windows that do not overlap, so that no frame counts twice, each placed in the world by its own root stream. The
    jerk's yardstick is the truth. Joints are as they were decoded, not yet held at their limits.

    Args:
        spec: of features that hold the root stream.
        robot: `spec.robot_model()`.
        human: whether the model was trained with human motion.

    Returns:
        `truth`; `robot`, decoded from the robot's tokens; and `human`, from the human's, where there are pairs: of
        the windows that have a human side.
    """
    if not spec.root:
        raise ValueError("physical quality needs a root stream")
    chosen = apart_rows(split)
    pair_of_row = {int(row): pair for pair, row in enumerate(split.human_rows)} if human else {}
    parts: dict[str, list[PhysicalQuality]] = {"truth": [], "robot": [], "human": []}
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    for rows in np.array_split(chosen, max(1, len(chosen) // BATCH)):
        paired = [place for place, row in enumerate(rows) if int(row) in pair_of_row]
        pairs = np.array([pair_of_row[int(rows[place])] for place in paired], dtype=int)
        batch = load_batch(split, spec, rows, pairs)
        truth = _physics(batch.robot.numpy(), spec, robot)
        parts["truth"].append(quality_of(truth))
        decoded = model.decoder(model.encode_robot(batch.robot.to(device)).latent).cpu().numpy()
        parts["robot"].append(quality_of(_physics(decoded, spec, robot), truth.jerk))
        if paired:
            latent = model.quantizer(model.human_encoder(batch.human.to(device))).latent
            decoded = model.decoder(latent).cpu().numpy()
            parts["human"].append(quality_of(_physics(decoded, spec, robot), truth.jerk[paired]))
    model.train(training)
    return {path: pooled(measured) for path, measured in parts.items() if measured}


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


def _physics(features: np.ndarray, spec: FeatureSpec, robot: RobotModel) -> Physics:
    """Of windows (B, T, D) of normalised features, placed in the world one by one."""
    clips = [
        spec.robot_clip(window.astype(float), "window", RootStart(), Provenance()).with_joint_order(robot.joint_names)
        for window in features
    ]
    joints, pos, quat = (
        torch.from_numpy(np.stack([getattr(clip, part) for clip in clips]))
        for part in ("joint_pos", "root_pos_w", "root_quat_w")
    )
    return physics(robot, joints, pos, quat, fps=spec.fps)
