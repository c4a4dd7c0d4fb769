"""Pairs from any human motion: the robot's by inverse kinematics, and of both the parts that are worth training on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import binary_dilation

from g1_vq_retarget.configuration import to_dict
from g1_vq_retarget.data.ik_targets import AS_HUMAN, Place, Posture, ik_targets, require_limbs
from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import sha256_of
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.motion.formats import Unit, UpAxis, load_motion
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.quality import PhysicalQuality, clip_physics, physical_quality, pooled
from g1_vq_retarget.motion.time import runs
from g1_vq_retarget.robot import RobotModel, forward_kinematics, load_robot

# An angle so near to its limit is held by it, rad.
HELD = 1e-3


@dataclass
class KeepConfig:
    """Which parts of a clip become pairs. A frame beyond one of the first five is cut out, with those beside it."""

    max_tracking: float = 0.15
    """Distance of the robot's bodies from where the human has them, mean over the bodies, m."""
    max_float: float = 0.05
    """Height of the robot's lowest point above the floor, m, where it does not fall freely: a human on a box."""
    max_penetration: float = 0.01
    """Depth of the robot's lowest point below the floor, m."""
    max_collision: float = 0.005
    """How deep the robot's capsules may overlap, m."""
    max_held: float = 0.25
    """Share of joints at a limit, 0 to 1."""
    margin: float = 0.2
    """Time that is cut out before and after such a frame, s."""
    min_duration: float = 2.0
    """Shortest part that is kept, s."""
    max_slide: float = 0.3
    """Slide of a part's feet, m/s: a part that slides more is left out."""


@dataclass
class PairConfig:
    """How pairs are made."""

    iterations: int = 4
    """Quadratic programs a frame."""
    refine: bool = True
    """Whether to go over whole clips once they are found, which takes the jerk out and more than as long again."""
    pelvis_lean: float = 0.0
    """How much further forward than the human's the robot's pelvis leans, degrees."""
    torso_lean: float = 0.0
    """How much further forward than the human's the robot's torso leans, degrees."""
    licence: str = ""
    """Licence of the human motion, where the files do not tell theirs; it goes along with the pairs."""
    fps: float | None = None
    """Frames a second of files that do not tell their rate, such as those made from video."""
    up: UpAxis | None = None
    """Up axis, where the motion itself does not settle it."""
    unit: Unit | None = None
    """Unit of BVH files, where the length of the legs does not settle it."""
    smpl_model: Path | None = None
    """Body model that SMPL parameters belong to, for the exact lengths of a body."""
    keep: KeepConfig = field(default_factory=KeepConfig)


class Part(NamedTuple):
    """A stretch of a clip, frames `begin` to `end` (excluded), both sides frame by frame."""

    begin: int
    end: int
    human: HumanClip
    robot: RobotClip


class PairResult(NamedTuple):
    """What became of a file: its parts, and a report that JSON can hold (see `make_pair`)."""

    parts: list[Part]
    report: dict


def make_pair(path: Path, name: str, config: PairConfig) -> PairResult:
    """The pairs of a file of human motion.

    The report's keys: name, file, sha256, licence, settings, status ("kept" or "rejected"), reason (of a rejection),
    frames, fps, kept_frames, cut (frames by cause), tracking_mm, held_share, quality (of the kept parts, see
    `PhysicalQuality`), parts (begin, end, name). What cannot be read is rejected, and says why.
    """
    report: dict = {"name": name, "file": path.name, "sha256": "", "settings": to_dict(config)}
    try:
        report["sha256"] = sha256_of(path)
        human = load_motion(
            path,
            licence=config.licence,
            fps=config.fps,
            up=config.up,
            unit=config.unit,
            smpl_model=config.smpl_model,
        )
        if not isinstance(human, HumanClip):
            raise UserError(f"{path}: holds a robot's motion, expected a human's")
        with naming(path):
            require_limbs(human)
    except UserError as error:
        return PairResult([], report | {"status": "rejected", "reason": str(error), "frames": 0, "kept_frames": 0})
    robot = load_robot()
    licence = human.provenance.licence or config.licence  # this package's own files are not told any
    human = replace(human, name=name, provenance=replace(human.provenance, licence=licence))
    posture = Posture(math.radians(config.pelvis_lean), math.radians(config.torso_lean))
    clip = retarget_by_ik(human, robot, iterations=config.iterations, posture=posture, refine=config.refine)
    return judge(human, clip, tracking_error(human, clip, robot, posture), robot, config.keep, report)


def judge(
    human: HumanClip, clip: RobotClip, tracking: np.ndarray, robot: RobotModel, config: KeepConfig, report: dict
) -> PairResult:
    """The parts of a pair that are worth keeping, and the report with what was found.

    Args:
        tracking: (T,) what `tracking_error` tells, m.
        report: keys to begin with.
    """
    held = held_share(clip, robot)
    beyond = _beyond(clip, robot, tracking, held, config)
    drop = np.any(list(beyond.values()), axis=0)
    margin = round(config.margin * clip.fps)
    # beside a frame, and the frame itself
    drop = binary_dilation(drop, np.ones(2 * margin + 1, dtype=bool))
    parts, qualities, slid = list[Part](), list[PhysicalQuality](), 0
    for begin, end in runs(np.logical_not(drop)):
        if (end - begin - 1) / clip.fps < config.min_duration:
            continue
        part = clip[begin:end]
        quality = physical_quality(part, robot)
        if quality.foot_slide is not None and quality.foot_slide > config.max_slide:
            slid += end - begin
            continue
        whole = end - begin == len(clip)
        name = human.name if whole else f"{human.name}_{begin:05d}-{end:05d}"
        parts.append(Part(begin, end, replace(human[begin:end], name=name), replace(part, name=name)))
        qualities.append(quality)
    kept = sum(part.end - part.begin for part in parts)
    cut = {cause: int(mask.sum()) for cause, mask in beyond.items()} | {"slide": slid}
    report = report | {
        "licence": human.provenance.licence,
        "status": "kept" if parts else "rejected",
        "frames": len(clip),
        "fps": clip.fps,
        "kept_frames": kept,
        "cut": {cause: frames for cause, frames in cut.items() if frames},
        "tracking_mm": 1000 * float(tracking.mean()),
        "held_share": float(held.mean()),
        "parts": [{"name": part.robot.name, "begin": part.begin, "end": part.end} for part in parts],
    }
    if parts:
        report["quality"] = asdict(pooled(qualities))
    else:
        report["reason"] = _reason(report["cut"], len(clip), clip.duration, config)
    return PairResult(parts, report)


def tracking_error(human: HumanClip, clip: RobotClip, robot: RobotModel, posture: Posture = AS_HUMAN) -> np.ndarray:
    """(T,) distance of the robot's bodies from where the human has them, scaled: mean over the bodies, m."""
    pos = body_positions(clip, robot)
    places = [
        target for target in ik_targets(human, robot, posture) if isinstance(target, Place) and target.kind == "body"
    ]
    off = [pos[:, robot.link_names.index(place.frame)] - place.pos for place in places]
    return np.linalg.norm(off, axis=-1).mean(axis=0)


def body_positions(clip: RobotClip, robot: RobotModel) -> np.ndarray:
    """(T, L, 3) where the links are in the world, m."""
    arrays = (clip.with_joint_order(robot.joint_names).joint_pos, clip.root_pos_w, clip.root_quat_w)
    return forward_kinematics(robot, *(torch.from_numpy(np.array(array)) for array in arrays)).pos.numpy()


def held_share(clip: RobotClip, robot: RobotModel) -> np.ndarray:
    """(T,) share of the joints that stand at a limit, 0 to 1."""
    joint_pos, (lower, upper) = clip.with_joint_order(robot.joint_names).joint_pos, robot.limits.T
    return ((joint_pos < lower + HELD) | (joint_pos > upper - HELD)).mean(axis=1)


def _beyond(
    clip: RobotClip, robot: RobotModel, tracking: np.ndarray, held: np.ndarray, config: KeepConfig
) -> dict[str, np.ndarray]:
    """Masks (T,) of the frames that are not to be kept, by cause."""
    physics = clip_physics(clip, robot)
    lowest, apart = physics.lowest.numpy(), physics.clearance.numpy()
    return {
        "tracking": tracking > config.max_tracking,
        "float": (lowest > config.max_float) & ~physics.falling.numpy(),
        "penetration": lowest < -config.max_penetration,
        "collision": apart < -config.max_collision,
        "held": held > config.max_held,
    }


def _reason(cut: dict[str, int], frames: int, duration: float, config: KeepConfig) -> str:
    if duration < config.min_duration:
        return f"{duration:.1f} s are shorter than --keep.min-duration {config.min_duration:g} s"
    shares = ", ".join(f"{cause} in {count / frames:.0%} of the frames" for cause, count in cut.items())
    return f"no part of {config.min_duration:g} s is left: beyond the bounds for {shares}"
