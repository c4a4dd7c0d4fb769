"""From motion files to a folder of training windows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from tqdm import tqdm

from g1_vq_retarget.data.features import deviation, human_root, robot_root
from g1_vq_retarget.data.folder import FORMAT_VERSION
from g1_vq_retarget.data.windows import cut_windows
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import sha256_of
from g1_vq_retarget.motion import HumanClip, MotionError, Orientation, RobotClip, resample, root_columns
from g1_vq_retarget.motion.formats.checks import check_limits, naming
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS
from g1_vq_retarget.motion.time import Interpolation
from g1_vq_retarget.robot import RobotModel

Protocol = Literal["heldout", "seed"]
SPLITS = ("train", "val", "test")


@dataclass
class WindowConfig:
    """How clips become windows."""

    fps: float = 50.0
    """Frames a second that every clip is resampled to."""
    window: int = 64
    """Frames in a window."""
    stride: int = 32
    """Frames from the start of a window to the start of the next."""
    protocol: Protocol = "heldout"
    """heldout: train, val and test apart, normalised by train alone. seed: the original project's, everything is
    training data and resampling is linear; figures over it are not held-out figures."""
    interpolation: Interpolation | None = None
    """Interpolation of positions and joint angles; by default cubic for heldout and linear for seed."""
    orientation: Orientation = "up"
    """How the root streams tell the body's leaning. up: the world's up axis in the body's frame, three numbers;
    expmap: the exponential map of the rotation without its heading, two."""
    joints: list[str] = field(default_factory=list)
    """Joints of the model by name, by default all of the files'. With sim_to_real: names for what it picks, where the
    files tell none."""
    sim_to_real: list[int] = field(default_factory=list)
    """Sim-to-real joint map: for each joint of the model, its column among the joints of the files, from 0."""


@dataclass(frozen=True)
class ClipFiles:
    """One clip to be processed: its robot file and, if it has one, the human file of the same frames."""

    name: str
    robot: Path
    human: Path | None


Suffixes = str | tuple[str, ...]


def pair_by_stem(
    robot_dir: Path, robot_suffix: Suffixes, human_dir: Path | None, human_suffix: Suffixes
) -> list[ClipFiles]:
    """Clips of a folder of robot files; files of the same stem in the human folder are their human side.

    Raises:
        UserError: a folder is missing or holds no such file, or no stem stands on both sides.
    """
    robots = _files_by_stem(robot_dir, robot_suffix)
    humans = {} if human_dir is None else _files_by_stem(human_dir, human_suffix)
    if human_dir is not None and not robots.keys() & humans.keys():
        raise UserError(f"{human_dir}: no file there has the name of one in {robot_dir}; pairs are found by name")
    return [ClipFiles(name, path, humans.get(name)) for name, path in robots.items()]


def read_split(path: Path, clips: list[ClipFiles]) -> dict[str, list[ClipFiles]]:
    """The clips of each split of a JSON file `{"train": [names], "val": [names], "test": [names]}`.

    Raises:
        UserError: not such a file, a name without a clip, or a clip in two splits.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a JSON split ({error})") from error
    by_name = {clip.name: clip for clip in clips}
    split: dict[str, list[ClipFiles]] = {}
    seen: dict[str, str] = {}
    for key in SPLITS:
        names = table.get(key) if isinstance(table, dict) else None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise UserError(f"{path}: key '{key}' must be a list of clip names")
        for name in names:
            if name not in by_name:
                raise UserError(f"{path}: '{name}' of '{key}' has no robot file; correct the split or --robot-dir")
            if name in seen:
                raise UserError(f"{path}: '{name}' stands in '{seen[name]}' and in '{key}'; a clip has one split")
            seen[name] = key
        split[key] = [by_name[name] for name in names]
    return split


def add_pairs(splits: dict[str, list[ClipFiles]], folder: Path) -> dict[str, list[ClipFiles]]:
    """Splits with the pairs of a folder that build_pairs.py wrote added to `train`.

    Raises:
        UserError: no such folder, a pair without a report, or one of a clip that is held out for `val` or `test`
            (by its name, that of its file or the contents of it) or that bears the name of one in `train`.
    """
    if not (folder / "reports").is_dir():
        raise UserError(f"{folder}: holds no reports/; name a folder that scripts/data/build_pairs.py wrote")
    pairs = pair_by_stem(folder / "robot", ".npz", folder / "human", ".npz")
    report_of = {}
    for path in sorted((folder / "reports").glob("*.json")):
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            report_of |= dict.fromkeys((part["name"] for part in report.get("parts", [])), report)
        except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
            raise UserError(f"{path}: no report ({error}); go on with the folder by build_pairs.py") from error
    names = {clip.name: split for split, clips in splits.items() for clip in clips}
    held_out = {
        sha256_of(clip.human): clip.name
        for split in ("val", "test")
        for clip in splits.get(split, [])
        if clip.human is not None
    }
    for pair in pairs:
        if pair.name not in report_of or pair.human is None:
            raise UserError(f"{folder}: {pair.name} has no report or no human side; go on with it by build_pairs.py")
        recording, sha256 = report_of[pair.name]["name"], report_of[pair.name]["sha256"]
        file = Path(report_of[pair.name]["file"]).stem  # the recording is named by its folders, too
        known = next((name for name in (pair.name, recording) if name in names), held_out.get(sha256))
        if names.get(file) in ("val", "test"):
            known = file
        if known is not None:
            raise UserError(
                f"{folder}: {pair.name} is a part of {known}, which stands in '{names[known]}' already; "
                "build the pairs without it (--clips), so that nothing is both trained on and held out"
            )
    return splits | {"train": [*splits["train"], *pairs]}


def process(
    splits: dict[str, list[ClipFiles]],
    out: Path,
    config: WindowConfig,
    robot: RobotModel,
    read_robot: Callable[[Path], RobotClip],
    read_human: Callable[[Path], HumanClip],
    notes: dict | None = None,
) -> dict:
    """Write the windows of all clips, their statistics and a manifest into `out`.

    Files are those `DataFolder` describes. Everything is written beside `out` and moved there at the end, so that
    a folder is whole or absent. An existing folder is replaced only if it is one of these.

    Args:
        splits: clips of each split; statistics come from `train`.
        robot: whose link table goes with the windows if the joints are this robot's; any other joints have none, and
            can have no human side.
        read_robot, read_human: readers of the files, which raise UserError for what they cannot read.
        notes: what else the manifest is to say.

    Returns:
        The manifest.
    """
    check_windows(config)
    target = out.resolve()
    if target.exists() and not _is_replaceable(target):
        raise UserError(f"{out}: exists and is no data folder; name another with --out")
    interpolation = config.interpolation or ("linear" if config.protocol == "seed" else "cubic")
    work = target.with_name(f".{target.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        manifest = {
            "format_version": FORMAT_VERSION,
            "tool_version": version("g1_vq_retarget"),
            "protocol": config.protocol,
            "interpolation": interpolation,
            "fps": float(config.fps),
            "window": config.window,
            "stride": config.stride,
            "orientation": config.orientation,
            "sim_to_real": config.sim_to_real,
            "robot": "",
            "joint_names": [],
            "human_joint_names": list(HUMAN_JOINTS[1:]),
            "clips": [],
            "splits": {},
            **(notes or {}),
        }
        joints = None
        total = sum(len(clips) for clips in splits.values())
        with tqdm(total=total, unit="clip", desc="windows", disable=None) as progress:
            for split, clips in splits.items():
                parts = []
                for clip in clips:
                    source = _model_joints(read_robot(clip.robot), clip.robot, config)
                    joints = joints or _Joints.of(source, robot)
                    parts.append(_process_clip(clip, source, joints, config, interpolation, read_human))
                    parts[-1].entry["split"] = split
                    progress.update()
                manifest["clips"] += [part.entry for part in parts]
                manifest["splits"][split] = _write_split(work, split, parts, config)
        if joints is not None:
            manifest["robot"] = "" if joints.robot is None else joints.robot.name
            manifest["joint_names"] = list(joints.names)
        manifest["licences"] = sorted({c[side]["licence"] for c in manifest["clips"] for side in c if side in _SIDES})
        (work / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        work.rename(target)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest


_SIDES = ("robot", "human")


def check_windows(config: WindowConfig) -> None:
    """Refuse, by a UserError that names the flag, windows that cannot be."""
    if not (np.isfinite(config.fps) and config.fps > 0):
        raise UserError(f"--fps must be a positive number, it is {config.fps:g}")
    if config.window < 4:  # the third difference, by which jerk is measured, needs as many
        raise UserError(f"--window must be at least 4, it is {config.window}")
    if config.stride < 1:
        raise UserError(f"--stride must be at least 1, it is {config.stride}")
    for flag, values in (("--joints", config.joints), ("--sim-to-real", config.sim_to_real)):
        if len(set(values)) != len(values):
            raise UserError(f"{flag} names a joint twice")
    if config.sim_to_real and config.joints and len(config.sim_to_real) != len(config.joints):
        raise UserError(
            f"--sim-to-real picks {len(config.sim_to_real)} joints, --joints names {len(config.joints)}: "
            "give as many names, or none"
        )


def _is_replaceable(out: Path) -> bool:
    """Whether nothing is lost with a folder: it is empty, or a data folder and nothing else."""
    if not out.is_dir():
        return False
    names = {path.name for path in out.iterdir()}
    if not all(name.endswith(".npy") or name == "manifest.json" for name in names):
        return False
    try:
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8")) if names else {"format_version": 0}
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and "format_version" in manifest


class _Joints(NamedTuple):
    """The joints of all clips of a folder, and the link table they belong to, if any."""

    names: tuple[str, ...]
    robot: RobotModel | None

    @classmethod
    def of(cls, clip: RobotClip, robot: RobotModel) -> _Joints:
        """As the first clip has them."""
        if set(clip.joint_names) == set(robot.joint_names):
            return cls(robot.joint_names, robot)
        return cls(clip.joint_names, None)

    def order(self, clip: RobotClip, path: Path) -> RobotClip:
        odd = set(self.names) ^ set(clip.joint_names)
        if odd:
            raise MotionError(
                f"{path}: does not have the joints of the clips before: {', '.join(sorted(odd))}; "
                "choose those that all have with --joints"
            )
        return clip.with_joint_order(self.names)


def _model_joints(clip: RobotClip, path: Path, config: WindowConfig) -> RobotClip:
    """The clip with the joints that the configuration picks."""
    with naming(path):
        if not config.sim_to_real:
            return clip.with_joint_order(config.joints) if config.joints else clip
        beyond = [column for column in config.sim_to_real if not 0 <= column < len(clip.joint_names)]
        if beyond:
            raise MotionError(
                f"--sim-to-real names column {beyond[0]}, the joints are 0 to {len(clip.joint_names) - 1}"
            )
        names = config.joints or [clip.joint_names[column] for column in config.sim_to_real]
        return replace(clip, joint_names=tuple(names), joint_pos=clip.joint_pos[:, config.sim_to_real])


@dataclass
class _Windows:
    """The windows of one clip and its line in the manifest."""

    entry: dict
    robot: np.ndarray
    robot_root: np.ndarray
    robot_cubic: np.ndarray
    human: np.ndarray
    human_root: np.ndarray


def _process_clip(
    files: ClipFiles,
    source: RobotClip,
    joints: _Joints,
    config: WindowConfig,
    interpolation: Interpolation,
    read_human: Callable[[Path], HumanClip],
) -> _Windows:
    source = joints.order(source, files.robot)
    if config.sim_to_real and joints.robot is not None:  # the reader did not know which joint is which
        with naming(files.robot):
            check_limits(source, joints.robot, files.robot)
    human_source = None
    entry: dict = {"name": files.name, "robot": _origin(source)}
    if files.human is not None:
        if joints.robot is None:
            raise UserError(
                f"{files.human}: human motion needs a robot whose links are known; leave the human side out"
            )
        human_source = read_human(files.human)
        # as numbers of the robot's frames, so that sides of different rates can be compared
        human_frames = 1 + human_source.duration * source.fps
        if abs(human_frames - len(source)) > 1 + 1e-6:
            raise UserError(
                f"{files.human} has {len(human_source)} frames at {human_source.fps:g} fps, {files.robot} has "
                f"{len(source)} at {source.fps:g} fps: sides of one name must be the same motion, frame by frame; "
                "rename or remove one"
            )
        entry["human"] = _origin(human_source)
    clip = resample(source, config.fps, interpolation)
    cubic = clip if interpolation == "cubic" else resample(source, config.fps, "cubic")
    human = None if human_source is None else resample(human_source, config.fps, interpolation)
    frames = len(clip) if human is None else min(len(clip), len(human))
    entry["frames"] = frames

    def cut(values: np.ndarray) -> np.ndarray:
        return cut_windows(values[:frames], config.window, config.stride)

    nothing = np.zeros((0, config.window, 0), np.float32)
    windows = _Windows(
        entry,
        robot=cut(clip.joint_pos),
        robot_root=cut(robot_root(clip, config.orientation)),
        robot_cubic=cut(cubic.joint_pos),
        human=nothing if human is None else cut(human.rotation_features()),
        human_root=nothing if human is None else cut(human_root(human, config.orientation)),
    )
    if len(windows.robot) == 0:
        raise MotionError(
            f"{files.robot}: {frames} frames at {config.fps:g} fps are fewer than one window of {config.window}"
        )
    entry["windows"] = len(windows.robot)
    return windows


def _write_split(folder: Path, split: str, parts: list[_Windows], config: WindowConfig) -> dict:
    first_rows = np.cumsum([0, *(len(part.robot) for part in parts)])
    paired = [(first, part) for first, part in zip(first_rows, parts, strict=False) if len(part.human)]

    def joined(arrays: list[np.ndarray], columns: int) -> np.ndarray:
        return np.concatenate(arrays) if arrays else np.zeros((0, config.window, columns), np.float32)

    root = len(root_columns(config.orientation))
    arrays = {
        "g1": joined([part.robot for part in parts], 0),
        "g1_root": joined([part.robot_root for part in parts], root),
        "human": joined([part.human for _, part in paired], 6 * (len(HUMAN_JOINTS) - 1)),
        "human_root": joined([part.human_root for _, part in paired], root),
    }
    rows = [first + np.arange(len(part.human)) for first, part in paired]
    np.save(folder / f"human_rows_{split}.npy", np.concatenate(rows) if rows else np.zeros(0, np.int64))
    for kind, windows in arrays.items():
        np.save(folder / f"{kind}_{split}.npy", windows)
    if split == "train":
        for kind, prefix, floor in (
            ("g1", "", "robot"),
            ("g1_root", "g1_root_", "root"),
            ("human", "human_", "human"),
            ("human_root", "human_root_", "root"),
        ):
            windows = arrays[kind]
            columns = windows.shape[-1]
            paired_here = len(windows) > 0
            mean = windows.reshape(-1, columns).mean(0, dtype=np.float64) if paired_here else np.zeros(columns)
            std = deviation(windows, floor) if paired_here else np.ones(columns)
            np.save(folder / f"{prefix}mean.npy", mean)
            np.save(folder / f"{prefix}std.npy", std)
    cubic = joined([part.robot_cubic for part in parts], 0)
    return {
        "windows": len(arrays["g1"]),
        "human_windows": len(arrays["human"]),
        # per joint, rad^2 a frame^6: the yardstick for jerk, free of the kinks of linear resampling
        "jerk_cubic": (np.diff(cubic, n=3, axis=1) ** 2).mean(axis=(0, 1), dtype=np.float64).tolist(),
    }


def _origin(clip: RobotClip | HumanClip) -> dict:
    return {
        "file": clip.provenance.source,
        "sha256": clip.provenance.sha256,
        "licence": clip.provenance.licence,
        "frames": len(clip),
        "fps": clip.fps,
    }


def _files_by_stem(folder: Path, suffix: Suffixes) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    suffixes = (suffix,) if isinstance(suffix, str) else suffix
    files: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.name.endswith(suffixes)):
        if path.stem in files:
            raise UserError(f"{path}: has the name of {files[path.stem].name}; rename or remove one")
        files[path.stem] = path
    if not files:
        raise UserError(f"{folder}: holds no {' or '.join(suffixes)} file")
    return files
