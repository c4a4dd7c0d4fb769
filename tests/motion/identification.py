"""Files that say one thing and hold another, in every format of robots, and what becomes of them when they are read.

A file is right, or one thing in it is: its joints stand in another order, its quaternions' components do, its rate is
another, its linear velocities are those of another point. Reading it gives the motion it was made of, or it is refused.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion import MotionError, RobotClip, mirror, resample
from g1_vq_retarget.motion.formats import SaveFormat, examine_motion, save_motion, suffix_of
from g1_vq_retarget.motion.formats.body_states import states_of
from g1_vq_retarget.motion.formats.csv_table import read_headed_table, write_table
from g1_vq_retarget.motion.formats.npz import write_arrays
from g1_vq_retarget.robot import RobotModel, load_robot

Outcome = Literal["rightly", "refused", "wrongly"]
Table = dict[tuple[str, str], Counter[Outcome]]

NO_NAMES = " without names"
FORMATS = (
    *("csv", "kimodo", "bones-seed", "sonic", "sonic, root only"),
    *(f"{format}{names}" for format in ("tracking-isaac", "tracking-mjlab") for names in ("", NO_NAMES)),
    *("holosoma", "amp"),
)
AS_WRITTEN = "as written"
RATES = {"rate halved": 0.5, "rate doubled": 2.0, "rate 5/3 (50 for 30)": 5 / 3}
CORRUPTIONS = (AS_WRITTEN, "joints shuffled", "quaternions swapped", *RATES, "velocity point exchanged")


@dataclass(frozen=True)
class Written:
    """A motion file, and what is in it.

    Attributes:
        path: the file or folder.
        clip: the motion that it holds.
        point: whose linear velocities it holds, None where it holds none.
    """

    path: Path
    clip: RobotClip
    point: str | None


def matrix(clips: Iterable[RobotClip], folder: Path, formats: Iterable[str] = FORMATS) -> Table:
    """What becomes of every format and corruption of some clips of the G1."""
    table: Table = defaultdict(Counter)
    formats = tuple(formats)
    for clip in clips:
        for format in formats:
            for corruption in CORRUPTIONS:
                written = write(clip, folder, format, corruption)
                if written is not None:
                    table[format, corruption][outcome(written)] += 1
    return table


def outcome(written: Written) -> Outcome:
    """What becomes of a file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            examined = examine_motion(written.path)
    except MotionError:
        return "refused"
    (clip,) = examined.clips
    points = [finding for finding in examined.findings if finding.question.startswith("point of")]
    same = isinstance(clip, RobotClip) and _same(clip, written.clip)
    told = all(finding.how == "convention" or finding.answer == written.point for finding in points)
    return "rightly" if same and told else "wrongly"


def report(table: Table) -> str:
    """The table as text: rightly / refused / wrongly."""
    lines = []
    for format in dict.fromkeys(format for format, _ in table):
        for corruption in CORRUPTIONS:
            counts = table.get((format, corruption))
            if counts is not None:
                figures = " / ".join(str(counts[kind]) for kind in ("rightly", "refused", "wrongly"))
                lines.append(f"{format:32} {corruption:26} {figures}")
    return "\n".join(lines)


def write(clip: RobotClip, folder: Path, format: str, corruption: str) -> Written | None:
    """A clip as a file with one thing changed; None where the format has nothing of the kind."""
    kind: SaveFormat = next(name for name in _CHANGES if format.startswith(name))
    path = folder / f"{kind}{suffix_of(kind)}"
    if kind == "sonic":  # tells no rate: at another than its 50 Hz it is the folder that is wrong
        clip = resample(clip, 50.0 / RATES.get(corruption, 1.0))
    if kind == "bones-seed":
        clip = resample(clip, 120.0)
    save_motion(clip, path, kind)
    return _CHANGES[kind](clip, path, format, corruption)


def _same(one: RobotClip, other: RobotClip) -> bool:
    if one.fps != other.fps or len(one) != len(other) or one.joint_names != other.joint_names:
        return False
    turned = (one.root_rotation.inv() * other.root_rotation).magnitude().max()
    return bool(
        np.abs(one.joint_pos - other.joint_pos).max() < 1e-4
        and np.abs(one.root_pos_w - other.root_pos_w).max() < 1e-4
        and turned < 1e-4
    )


def _shuffled(robot: RobotModel) -> list[int]:
    """Columns that bring joints from MuJoCo's order to Isaac Lab's."""
    return [robot.joint_names.index(name) for name in robot.joint_names_isaac]


def _csv(clip: RobotClip, path: Path, format: str, corruption: str) -> Written | None:
    table = np.loadtxt(path, delimiter=",", ndmin=2)
    if corruption == "joints shuffled":
        table[:, 7:] = table[:, 7:][:, _shuffled(load_robot())]
    elif corruption == "quaternions swapped":
        # a second Unitree or Kimodo: the other format is this one's corruption
        table[:, 3:7] = table[:, [4, 5, 6, 3] if format == "kimodo" else [6, 3, 4, 5]]
    elif corruption != AS_WRITTEN:
        return None  # tells neither rate nor velocities
    write_table(path, table)
    return Written(path, clip, None)


def _bones_seed(clip: RobotClip, path: Path, _: str, corruption: str) -> Written | None:
    columns, table = read_headed_table(path)
    if corruption == "joints shuffled":
        table[:, 7:] = table[:, 7:][:, _shuffled(load_robot())]
    elif corruption == "rate doubled":
        clip, table = replace(clip[::2], fps=clip.fps / 2), table[::2]
    elif corruption != AS_WRITTEN:
        return None  # has no quaternions, no velocities, and no rate but by its frames' numbers
    write_table(path, table, columns)
    return Written(path, clip, None)


def _sonic(clip: RobotClip, path: Path, format: str, corruption: str) -> Written | None:
    robot = load_robot()
    if format.endswith("root only"):
        for name, width in (("body_pos", 3), ("body_quat", 4), ("body_lin_vel", 3), ("body_ang_vel", 3)):
            columns, table = read_headed_table(path / f"{name}.csv")
            write_table(path / f"{name}.csv", table[:, :width], columns[:width])
        (path / "metadata.txt").write_text("Body part indexes:\n[0]\n")
    change: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    point = "centre of mass"
    if corruption == "joints shuffled":
        order = np.argsort(_shuffled(robot))
        change = dict.fromkeys(("joint_pos", "joint_vel"), lambda table: table[:, order])
    elif corruption == "quaternions swapped":
        change = {"body_quat": lambda table: table.reshape(-1, 4)[:, [1, 2, 3, 0]].reshape(table.shape)}
    elif corruption == "velocity point exchanged":
        point = "link origin"
        bodies = robot.tracked[: 1 if format.endswith("root only") else None]
        stored = states_of(clip, robot, "isaac", point, link_names=bodies).body_lin_vel
        assert stored is not None
        change = {"body_lin_vel": lambda table: stored.reshape(table.shape)}
    for name, changed in change.items():
        columns, table = read_headed_table(path / f"{name}.csv")
        write_table(path / f"{name}.csv", changed(table), columns)
    return Written(path, clip, point)


def _arrays(clip: RobotClip, path: Path, format: str, corruption: str) -> Written | None:
    robot = load_robot()
    isaac = "isaac" in format or format == "amp"
    keys = {"joint_pos": "joint_pos", "joint_vel": "joint_vel", "quat": "body_quat_w", "vel": "body_lin_vel_w"}
    if format == "amp":
        keys = {
            "joint_pos": "dof_positions",
            "joint_vel": "dof_velocities",
            "quat": "body_rotations",
            "vel": "body_linear_velocities",
        }
    point = "link origin" if "mjlab" in format else "centre of mass"
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    if format.endswith(NO_NAMES):
        arrays = {key: values for key, values in arrays.items() if not key.endswith("_names")}
    if corruption == "joints shuffled":
        columns = np.argsort(_shuffled(robot)) if isaac else np.array(_shuffled(robot))
        for key in (keys["joint_pos"], keys["joint_vel"]):
            front = arrays[key].shape[1] - len(columns)
            arrays[key] = np.hstack([arrays[key][:, :front], arrays[key][:, front:][:, columns]])
    elif corruption == "quaternions swapped":
        arrays[keys["quat"]] = arrays[keys["quat"]][..., [1, 2, 3, 0]]
        if format == "holosoma":
            arrays["joint_pos"][:, 3:7] = arrays["joint_pos"][:, [4, 5, 6, 3]]
    elif corruption in RATES:
        arrays["fps"] = arrays["fps"] * RATES[corruption]
    elif corruption == "velocity point exchanged":
        point = "centre of mass" if point == "link origin" else "link origin"
        stored = states_of(clip, robot, "isaac" if isaac else "mujoco", point).body_lin_vel
        assert stored is not None
        arrays[keys["vel"]] = np.concatenate([arrays[keys["vel"]][:, : -len(robot.links)], stored], axis=1)
    write_arrays(path, arrays)
    return Written(path, clip, point)


_CHANGES: dict[SaveFormat, Callable[[RobotClip, Path, str, str], Written | None]] = {
    "csv": _csv,
    "kimodo": _csv,
    "bones-seed": _bones_seed,
    "sonic": _sonic,
    "tracking-isaac": _arrays,
    "tracking-mjlab": _arrays,
    "holosoma": _arrays,
    "amp": _arrays,
}


def turned(clip: RobotClip, yaw: float, *, left_right: bool = False) -> RobotClip:
    """The motion turned about the world's z by an angle, rad, and mirrored before, if wanted."""
    clip = mirror(clip, load_robot()) if left_right else clip
    turn = Rotation.from_euler("z", yaw)
    return replace(
        clip,
        root_pos_w=turn.apply(clip.root_pos_w),
        root_quat_w=(turn * clip.root_rotation).as_quat(scalar_first=True),
    )


def facing(clip: RobotClip) -> float:
    """Median heading, rad."""
    return float(np.median(clip.root_rotation.as_euler("ZYX")[:, 0]))


if __name__ == "__main__":  # python tests/motion/identification.py FOLDER_OF_CSV OUT [PER_CLIP] [SEED] [FORMAT...]
    from g1_vq_retarget.motion.formats import load_motion

    source, out, count, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    rng = np.random.default_rng(seed)

    def cuts() -> Iterable[RobotClip]:
        for path in sorted(source.glob("*.csv")):
            whole = load_motion(path)
            assert isinstance(whole, RobotClip)
            for number in range(count):
                frames = int(rng.choice([64, 120, 250, 500]))
                start = int(rng.integers(0, len(whole) - frames + 1))
                cut = whole[start : start + frames]
                yaw = (0.0, -facing(cut), np.pi - facing(cut), rng.uniform(-np.pi, np.pi))[number % 4]
                yield turned(cut, yaw, left_right=bool(rng.integers(2)))

    print(report(matrix(cuts(), out, sys.argv[5:] or FORMATS)))
