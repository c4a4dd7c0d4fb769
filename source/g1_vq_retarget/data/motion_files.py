"""From motion files of any robot straight to training windows: no human side, no list of splits."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from g1_vq_retarget.data.process import ClipFiles, WindowConfig, check_windows, process
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, RobotClip, resampled_length
from g1_vq_retarget.motion.formats import load_motions
from g1_vq_retarget.robot import load_robot

# Share of a clip that is held out for validation.
VAL_SHARE = 0.1


@dataclass
class MotionWindowConfig(WindowConfig):
    """How the clips of motion files become windows."""

    fps: float = 0.0
    """Frames a second that every clip is resampled to; 0 for the rate of the first clip."""
    window: int = 32
    """Frames in a window."""
    stride: int = 16
    """Frames from the start of a window to the start of the next."""


def process_motion(files: list[Path], out: Path, config: MotionWindowConfig, licence: str = "") -> dict:
    """Write the windows of motion files into `out`, as `process` does: the last tenth of each clip is `val`.

    With the seed protocol everything is `train`. Clips shorter than a window are left out, with a warning.

    Args:
        files: motion files of a robot, of any format that `load_motions` knows.
        licence: licence of those that do not tell theirs.

    Returns:
        The manifest.

    Raises:
        UserError: a file that cannot be read or holds human motion, clips of different joints, no clip of a window's
            length, windows that cannot be.
    """
    robot = load_robot()
    clips = [(path, clip) for path in files for clip in load_motions(path, robot=robot, licence=licence)]
    config = replace(config, fps=config.fps or clips[0][1].fps)
    check_windows(config)
    splits: dict[str, list[ClipFiles]] = {"train": [], "val": []}
    parts: dict[Path, RobotClip] = {}
    short = []
    for path, clip in clips:
        if not isinstance(clip, RobotClip):
            raise UserError(f"{path}: holds human motion, expected a robot's; train on pairs with --data instead")
        train, val = split_by_time(clip, config)
        if not _holds_window(train, config):
            short.append(clip.name)
            continue
        for split, part in (("train", train), ("val", val)):
            if part is not None:
                key = path / part.name  # names the part in errors; no file stands there
                parts[key] = part
                splits[split].append(ClipFiles(part.name, key, None))
    told = f"a window of {config.window} frames at {config.fps:g} fps"
    if not splits["train"]:
        raise UserError(
            f"{', '.join(map(str, files))}: no clip is as long as {told}; choose a shorter --windows.window"
        )
    if short:
        warnings.warn(
            f"{len(short)} of {len(clips)} clips are shorter than {told} and left out, {short[0]} first", stacklevel=2
        )
    splits = {split: clips for split, clips in splits.items() if clips}
    return process(splits, out, config, robot, parts.__getitem__, _no_human)


def split_by_time(clip: RobotClip, config: WindowConfig) -> tuple[RobotClip, RobotClip | None]:
    """The part of a clip to train on, and its last tenth, `<name>_end`, to validate on.

    Where either is shorter than a window, the whole clip is to train on.
    """
    first = len(clip) - int(VAL_SHARE * len(clip))
    if config.protocol == "seed" or first == len(clip):
        return clip, None
    train, val = clip[:first], replace(clip[first:], name=f"{clip.name}_end")
    return (train, val) if _holds_window(train, config) and _holds_window(val, config) else (clip, None)


def _holds_window(clip: RobotClip, config: WindowConfig) -> bool:
    return resampled_length(len(clip), clip.fps, config.fps) >= config.window


def _no_human(path: Path) -> HumanClip:
    raise AssertionError(f"{path}: no clip here has a human side")
