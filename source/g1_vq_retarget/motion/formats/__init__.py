"""Motion files: one module a format, recognised by what they hold and not by their suffix."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from g1_vq_retarget.files import existing_file
from g1_vq_retarget.motion.clip import HumanClip, MotionError, RobotClip, require_rate
from g1_vq_retarget.motion.formats.bvh import Unit, UpAxis, read_bvh
from g1_vq_retarget.motion.formats.clip_npz import read_clip_npz, write_clip_npz
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.motionvqvae_npy import read_motionvqvae_npy, write_motionvqvae_npy
from g1_vq_retarget.motion.formats.tracking_npz import JointOrder, read_tracking_npz, write_tracking_npz
from g1_vq_retarget.motion.formats.unitree_csv import FPS, QuatOrder, read_unitree_csv, write_unitree_csv
from g1_vq_retarget.robot.model import RobotModel, load_robot

__all__ = [
    "Examined",
    "Finding",
    "JointOrder",
    "QuatOrder",
    "ReadOptions",
    "SaveFormat",
    "Unit",
    "UpAxis",
    "examine_motion",
    "load_motion",
    "load_motions",
    "rate_of",
    "read_bvh",
    "read_clip_npz",
    "read_motionvqvae_npy",
    "read_tracking_npz",
    "read_unitree_csv",
    "save_motion",
    "write_clip_npz",
    "write_motionvqvae_npy",
    "write_tracking_npz",
    "write_unitree_csv",
]

SaveFormat = Literal["npz", "csv", "tracking-isaac", "tracking-mjlab", "motionvqvae"]


@dataclass(frozen=True)
class Glance:
    """What one look at a file tells: its first line if it is text, its keys if it is an NPZ."""

    line: str
    keys: frozenset[str]


class ReadOptions(TypedDict, total=False):
    """What a file may leave untold. What a format tells itself needs none of it; a rate must agree with the file's.

    robot: the robot of a robot's motion, by default the G1.
    fps: frames a second, for a format that does not tell its rate (a CSV is at 30 unless told).
    licence: licence of the motion, for its provenance.
    joint_order: order of the joints in a tracking NPZ without names, see `read_tracking_npz`.
    quat_order: order of the quaternion in a CSV, see `read_unitree_csv`.
    up, unit: up axis and unit of a BVH, see `read_bvh`.
    """

    robot: RobotModel | None
    fps: float | None
    licence: str
    joint_order: JointOrder | None
    quat_order: QuatOrder | None
    up: UpAxis | None
    unit: Unit | None


@dataclass(frozen=True)
class Options:
    """`ReadOptions` as readers get them, with the list that they add their findings to."""

    robot: RobotModel
    fps: float | None
    licence: str
    joint_order: JointOrder | None
    quat_order: QuatOrder | None
    up: UpAxis | None
    unit: Unit | None
    findings: list[Finding]


@dataclass(frozen=True)
class Examined:
    """A motion file as it was read.

    Attributes:
        format: title of the format.
        clips: one or, in a few formats, several.
        findings: what the file left open, and what settled it.
        warnings: what is odd and was accepted, a line each.
    """

    format: str
    clips: Sequence[RobotClip | HumanClip]
    findings: Sequence[Finding]
    warnings: Sequence[str]


@dataclass(frozen=True)
class Format:
    """How a kind of file is recognised and read. Most hold one clip."""

    title: str
    recognises: Callable[[Glance], bool]
    read: Callable[[Path, Options], Sequence[RobotClip | HumanClip]]


def _read_csv(path: Path, options: Options) -> list[RobotClip]:
    fps = FPS if options.fps is None else options.fps
    return [
        read_unitree_csv(path, robot=options.robot, fps=fps, licence=options.licence, quat_order=options.quat_order)
    ]


def _begins_with_number(line: str) -> bool:
    try:
        float(line.split(",")[0])
    except ValueError:
        return False
    return "," in line


# The first that recognises a file reads it. A new format is a module and an entry here.
_FORMATS = (
    Format(
        "BVH",
        lambda glance: glance.line.startswith("HIERARCHY"),
        lambda path, options: [read_bvh(path, up=options.up, unit=options.unit, licence=options.licence)],
    ),
    Format(
        "clip NPZ", lambda glance: "format" in glance.keys, lambda path, options: [read_clip_npz(path, options.robot)]
    ),
    Format(
        "tracking NPZ",
        lambda glance: "body_pos_w" in glance.keys,
        lambda path, options: [
            read_tracking_npz(
                path, options.robot, options.joint_order, licence=options.licence, findings=options.findings
            )
        ],
    ),
    Format("Unitree CSV", lambda glance: _begins_with_number(glance.line), _read_csv),
    Format(
        "MotionVQVAE NPY",
        lambda glance: glance.line[1:6] == "NUMPY",  # behind a byte that is no text
        lambda path, options: read_motionvqvae_npy(path, licence=options.licence),
    ),
)


def load_motion(path: str | Path, **options: Unpack[ReadOptions]) -> RobotClip | HumanClip:
    """Read a motion file of any known format; its contents decide the format, never its suffix.

    Args:
        path: the file.
        options: what the file may leave untold, see `ReadOptions`.

    Raises:
        UserError: no file there, a file of no known format or of several clips, or the format's reader refuses it.
    """
    clips = load_motions(path, **options)
    if len(clips) > 1:
        raise MotionError(f"{path} holds {len(clips)} clips, expected one: write each to a file of its own")
    return clips[0]


def load_motions(path: str | Path, **options: Unpack[ReadOptions]) -> Sequence[RobotClip | HumanClip]:
    """All clips of a motion file, at one rate: `load_motion` for formats that hold several, too."""
    return _read(path, options)[1]


def examine_motion(path: str | Path, **options: Unpack[ReadOptions]) -> Examined:
    """As `load_motions`, and tells what the file is, what it left open, and what is odd."""
    findings = list[Finding]()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        chosen, clips = _read(path, options, findings)
    return Examined(chosen.title, clips, findings, [str(warning.message) for warning in caught])


def _read(
    path: str | Path, options: ReadOptions, findings: list[Finding] | None = None
) -> tuple[Format, Sequence[RobotClip | HumanClip]]:
    path = existing_file(path)
    fps = options.get("fps")
    if fps is not None:
        require_rate(fps)
    glance = _glance(path)
    chosen = next((known for known in _FORMATS if known.recognises(glance)), None)
    if chosen is None:
        held = (
            f"holds the keys {', '.join(sorted(glance.keys))}" if glance.keys else f"begins with {glance.line[:40]!r}"
        )
        raise MotionError(f"{path} is no motion file known here ({', '.join(f.title for f in _FORMATS)}): it {held}")
    told = Options(
        robot=options.get("robot") or load_robot(),
        fps=fps,
        licence=options.get("licence", ""),
        joint_order=options.get("joint_order"),
        quat_order=options.get("quat_order"),
        up=options.get("up"),
        unit=options.get("unit"),
        findings=[] if findings is None else findings,
    )
    clips = chosen.read(path, told)
    # 1e-3: a BVH tells its frame time in a few digits
    if fps is not None and abs(clips[0].fps / fps - 1) > 1e-3:
        raise MotionError(f"{path} tells its own rate, {clips[0].fps:g} fps, and not {fps:g}: leave the rate away")
    return chosen, clips


def rate_of(format: SaveFormat) -> float | None:
    """The rate that readers of a format take for granted, where the file cannot tell it; else None."""
    return FPS if format == "csv" else None


def save_motion(
    clip: RobotClip | HumanClip, path: str | Path, format: SaveFormat = "npz", robot: RobotModel | None = None
) -> None:
    """Write a motion file; parent folders are created and nothing half-written is left.

    Args:
        clip: the motion; only "npz" holds a human's.
        path: the file, taken as it is: no suffix is added.
        format: "npz" is the package's own and loses nothing; "csv" is Unitree's and does not tell the rate;
            "tracking-isaac" and "tracking-mjlab" are what BeyondMimic and mjlab train on; "motionvqvae" is
            MotionVQVAE's NPY, which does not tell the joints.
        robot: the robot of the clip, by default the G1; "npz" and "motionvqvae" hold any other's, too.

    Raises:
        MotionError: the format cannot hold this clip.
        UserError: the file cannot be written.
    """
    robot = robot or load_robot()
    if format == "npz":
        write_clip_npz(clip, path)
    elif isinstance(clip, HumanClip):
        raise MotionError(f"{format} holds motion of robots, and {clip.name!r} is a human's: write npz")
    elif format == "motionvqvae":
        write_motionvqvae_npy([clip], path)
    elif format == "csv":
        write_unitree_csv(clip, path, robot)
    else:
        write_tracking_npz(clip, path, robot, "isaac" if format == "tracking-isaac" else "mjlab")


def _glance(path: Path) -> Glance:
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as file:
                return Glance("", frozenset(name.removesuffix(".npy") for name in file.namelist()))
        except zipfile.BadZipFile as error:
            raise MotionError(f"{path} is a damaged NPZ ({error}): fetch or write it again") from error
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"PK"):
        raise MotionError(f"{path} is an NPZ that was cut short: fetch or write it again")
    lines = head.decode("utf-8-sig", errors="replace").lstrip().splitlines()
    return Glance(lines[0] if lines else "", frozenset())
