"""G1 Moves as training pairs: which motion capture belongs to which robot motion, and what is held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from g1_vq_retarget.data.process import ClipFiles, WindowConfig, process
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.robot import RobotModel

# Of the clips, so many parts; one of them is the test split and one the val split.
PARTS = 10


class Pairs(NamedTuple):
    """Clips that stand on both sides, frame by frame.

    Attributes:
        clips: name -> robot and human.
        dropped: name -> why a clip of the folder is not among them.
    """

    clips: dict[str, tuple[RobotClip, HumanClip]]
    dropped: dict[str, str]


def load_pairs(folder: Path, fps: float, licence: str, robot: RobotModel) -> Pairs:
    """All pairs of a folder: `NAME.bvh` and `NAME.csv` (or `.pkl`), in whatever folders below.

    Args:
        folder: where to look.
        fps: frames a second that both sides must have. A CSV does not tell its own: frame by frame, it is the BVH's.
        licence: of the motion.
        robot: whose motion the robot files hold.

    Raises:
        UserError: fewer pairs than three, which train, val and test need.
    """
    humans, robots = _by_stem(folder, "bvh"), _by_stem(folder, "pkl") | _by_stem(folder, "csv")
    clips: dict[str, tuple[RobotClip, HumanClip]] = {}
    dropped = dict.fromkeys(robots.keys() - humans.keys(), "no BVH of this name")
    dropped |= dict.fromkeys(humans.keys() - robots.keys(), "no robot motion of this name")
    for name in tqdm(sorted(humans.keys() & robots.keys()), unit="clip", desc="pairs", disable=None):
        several = [*humans[name][1:], *robots[name][1:]]
        if several:
            dropped[name] = f"{several[0].relative_to(folder)} has the name of another"
            continue
        try:
            clips[name] = _load_pair(folder, robots[name][0], humans[name][0], fps, licence, robot)
        except UserError as error:
            dropped[name] = str(error)
    if len(clips) < 3:
        told = "; ".join(f"{name}: {why}" for name, why in list(dropped.items())[:3])
        raise UserError(f"{folder}: {len(clips)} pairs, expected 3 or more{f' ({told})' if told else ''}")
    return Pairs(clips, dict(sorted(dropped.items())))


def split_by_name(names: Iterable[str]) -> dict[str, list[str]]:
    """Train, val and test by clip: a tenth each (one clip at least) for test and for val, the rest for training.

    Names are ordered by their SHA-256, so that the split hangs on nothing but them.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    tenth = max(1, round(len(order) / PARTS))
    parts = {"train": order[2 * tenth :], "val": order[tenth : 2 * tenth], "test": order[:tenth]}
    return {split: sorted(members) for split, members in parts.items()}


def process_pairs(pairs: Pairs, out: Path, config: WindowConfig, robot: RobotModel) -> dict:
    """`process` of pairs in memory, split by `split_by_name`; the manifest also says what was dropped."""
    splits = {
        split: [ClipFiles(name, Path(name), Path(name)) for name in names]
        for split, names in split_by_name(pairs.clips).items()
    }
    return process(
        splits,
        out,
        config,
        robot,
        lambda path: pairs.clips[path.name][0],
        lambda path: pairs.clips[path.name][1],
        {"dropped": pairs.dropped},
    )


def _by_stem(folder: Path, suffix: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob(f"*.{suffix}")):
        if not path.name.startswith("."):
            found.setdefault(path.stem, []).append(path)
    return found


def _load_pair(
    folder: Path, robot_path: Path, human_path: Path, fps: float, licence: str, robot: RobotModel
) -> tuple[RobotClip, HumanClip]:
    """Both sides. Raises MotionError if they are not one motion, frame by frame."""
    human = load_motion(human_path, licence=licence)
    motion = load_motion(robot_path, robot=robot, fps=fps, quat_order="xyzw", licence=licence)
    if not isinstance(human, HumanClip) or not isinstance(motion, RobotClip):
        raise MotionError(f"{robot_path.name} and {human_path.name} are not a robot and a human")
    if abs(human.fps / fps - 1) > 1e-3:
        raise MotionError(f"{human_path.name} has {human.fps:g} fps, expected {fps:g}")
    if len(human) != len(motion):
        raise MotionError(f"{human_path.name} has {len(human)} frames, {robot_path.name} {len(motion)}")
    return (
        replace(motion, provenance=_origin(motion, folder, robot_path)),
        replace(human, provenance=_origin(human, folder, human_path)),
    )


def _origin(clip: RobotClip | HumanClip, folder: Path, path: Path) -> Provenance:
    """Where a clip comes from, with its path below the folder in the place of the file's name."""
    return replace(clip.provenance, source=path.relative_to(folder).as_posix())
