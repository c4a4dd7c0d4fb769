"""From files to scenes: checkpoints by name, a motion with its reference, and the clips of a folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.motion.formats import JointOrder, QuatOrder, Unit, UpAxis, load_motion
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.viewer.scene import MAX_MODELS, Scene, build_scene

SUFFIXES = (".bvh", ".csv", ".npz", ".npy", ".pkl", ".pt")
# Of formats that tell no rate; nor does SONIC's folder.
_UNTIMED = (".csv", ".pkl", ".pt")


@dataclass
class FileOptions:
    """What motion files may leave untold."""

    input_fps: float | None = None
    """Rate of files whose format tells none (CSV: 30 if not given; a video's results)."""
    bvh_up: UpAxis | None = None
    """Up axis of a BVH or of SMPL parameters, where the motion itself does not settle it."""
    bvh_unit: Unit | None = None
    """Unit of a BVH, where the length of the legs does not settle it."""
    smpl_model: Path | None = None
    """SMPL model as NPZ, for the exact lengths of a body given by SMPL parameters."""
    quat_order: QuatOrder | None = None
    """Order of a quaternion's components in robot motion, where evidence does not settle it."""
    joint_order: JointOrder | None = None
    """Order of the joints' columns, where neither names nor evidence settle it."""
    start: float = 0.0
    """Where to begin in the clip, s."""
    end: float | None = None
    """Where to end, s; by default with the clip."""


def load_models(checkpoints: Sequence[Path]) -> dict[str, Retargeter]:
    """Models by what to call them: the run folder's name, or the whole path where two have the same.

    Raises:
        UserError: none, too many or twice the same, or no usable checkpoint there.
    """
    if not 1 <= len(checkpoints) <= MAX_MODELS:
        raise UserError(f"--checkpoint: {len(checkpoints)} are given, the triple view shows one to {MAX_MODELS}")
    if len({path.resolve() for path in checkpoints}) < len(checkpoints):
        raise UserError("--checkpoint: one is given twice")
    names = [path.resolve().name if path.is_dir() else path.resolve().parent.name for path in checkpoints]
    return {
        name if names.count(name) == 1 else str(path): Retargeter(path)
        for name, path in zip(names, checkpoints, strict=True)
    }


def load_scene(models: Mapping[str, Retargeter], motion: Path, reference: Path | None, options: FileOptions) -> Scene:
    """The scene of a motion file and, if there is one, its true robot motion.

    Raises:
        UserError: a file cannot be read, the reference is no robot's, or nothing lies between start and end.
    """
    truth = None if reference is None else _read(reference, models, options)
    if isinstance(truth, HumanClip):
        raise UserError(f"{reference}: holds human motion; --reference is the true motion of the robot")
    return build_scene(models, _read(motion, models, options), truth)


def find_clips(folder: Path) -> dict[str, list[Path]]:
    """Motion files in a folder and below, by clip: files of the same name, without suffix, are the same motion.

    Raises:
        UserError: no such folder, one of training windows, or one without motion files.
    """
    if not folder.is_dir():
        raise UserError(f"--data {folder}: no such folder")
    if (folder / "manifest.json").is_file():
        raise UserError(f"--data {folder}: holds training windows; give the folder of the motion files they are of")
    clips: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            clips.setdefault(path.stem, []).append(path)
    if not clips:
        raise UserError(f"--data {folder}: no motion files in it ({', '.join(SUFFIXES)})")
    return dict(sorted(clips.items()))


def load_clip(models: Mapping[str, Retargeter], paths: Sequence[Path], options: FileOptions) -> Scene:
    """The scene of a clip's files: the human's is the input, the robot's the reference; the latter alone is both.

    Raises:
        UserError: more than one file of a side, or one that cannot be read.
    """
    human: HumanClip | None = None
    robot: RobotClip | None = None
    for path in paths:
        clip = _read(path, models, options)
        if (human if isinstance(clip, HumanClip) else robot) is not None:
            files = ", ".join(map(str, paths))
            raise UserError(f"{files}: of a name, one may be a human's motion and one a robot's; rename the others")
        if isinstance(clip, HumanClip):
            human = clip
        else:
            robot = clip
    motion = human or robot
    assert motion is not None  # a clip has a file
    return build_scene(models, motion, robot)


def _read(path: Path, models: Mapping[str, Retargeter], options: FileOptions) -> HumanClip | RobotClip:
    """The motion of a file between the options' start and end."""
    clip = load_motion(
        path,
        robot=next(iter(models.values())).robot,
        fps=options.input_fps if path.is_dir() or path.suffix.lower() in _UNTIMED else None,
        up=options.bvh_up,
        unit=options.bvh_unit,
        smpl_model=options.smpl_model,
        quat_order=options.quat_order,
        joint_order=options.joint_order,
    )
    if not all(math.isfinite(time) for time in (options.start, options.end or 0.0)):
        raise UserError("--start and --end must be finite numbers, in seconds")
    first = round(options.start * clip.fps)
    last = len(clip) if options.end is None else round(options.end * clip.fps) + 1
    if not 0 <= first < min(last, len(clip)):
        end = "the end" if options.end is None else f"--end {options.end:g} s"
        raise UserError(f"{path} lasts {clip.duration:.2f} s: nothing lies from --start {options.start:g} s to {end}")
    return clip[first:last]
