"""Motion files: one module a format, recognised by what they hold and not by their suffix."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file
from g1_vq_retarget.motion.clip import HumanClip, MotionError, RobotClip, require_rate
from g1_vq_retarget.motion.formats.amass_npz import is_amass, read_amass_npz, write_amass_npz
from g1_vq_retarget.motion.formats.amp_npz import read_amp_npz, write_amp_npz
from g1_vq_retarget.motion.formats.bones_seed_csv import FPS as BONES_SEED_FPS
from g1_vq_retarget.motion.formats.bones_seed_csv import read_bones_seed_csv, write_bones_seed_csv
from g1_vq_retarget.motion.formats.bvh import Unit, UpAxis, read_bvh, write_bvh
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.formats.clip_npz import read_clip_npz, write_clip_npz
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.gmr_pkl import read_gmr_pkl, write_gmr_pkl
from g1_vq_retarget.motion.formats.holosoma_npz import write_holosoma_npz
from g1_vq_retarget.motion.formats.motionvqvae_npy import read_motionvqvae_npy, write_motionvqvae_npy
from g1_vq_retarget.motion.formats.npz import read_keys, some_of
from g1_vq_retarget.motion.formats.orders import JointOrder, QuatOrder
from g1_vq_retarget.motion.formats.phc_pkl import read_phc_pkl, write_phc_pkl
from g1_vq_retarget.motion.formats.safe_pickle import is_pickle, is_torch_archive, pickled_keys
from g1_vq_retarget.motion.formats.smpl_params import VIDEO_KEYS, read_smpl_params
from g1_vq_retarget.motion.formats.sonic_folder import FPS as SONIC_FPS
from g1_vq_retarget.motion.formats.sonic_folder import MARK, read_sonic_folder, write_sonic_folder
from g1_vq_retarget.motion.formats.tracking_npz import read_tracking_npz, write_tracking_npz
from g1_vq_retarget.motion.formats.unitree_csv import FPS, read_unitree_csv, write_unitree_csv
from g1_vq_retarget.robot.model import RobotModel, load_robot

__all__ = [
    "Examined",
    "Finding",
    "HumanFormat",
    "JointOrder",
    "QuatOrder",
    "ReadOptions",
    "SaveFormat",
    "Unit",
    "UpAxis",
    "examine_motion",
    "format_of",
    "load_motion",
    "load_motions",
    "rate_of",
    "read_amass_npz",
    "read_amp_npz",
    "read_bones_seed_csv",
    "read_bvh",
    "read_clip_npz",
    "read_gmr_pkl",
    "read_motionvqvae_npy",
    "read_phc_pkl",
    "read_smpl_params",
    "read_sonic_folder",
    "read_tracking_npz",
    "read_unitree_csv",
    "save_motion",
    "suffix_of",
    "write_amass_npz",
    "write_amp_npz",
    "write_bones_seed_csv",
    "write_bvh",
    "write_clip_npz",
    "write_gmr_pkl",
    "write_holosoma_npz",
    "write_motionvqvae_npy",
    "write_phc_pkl",
    "write_sonic_folder",
    "write_tracking_npz",
    "write_unitree_csv",
]

SaveFormat = Literal[
    "npz", "csv", "tracking-isaac", "tracking-mjlab", "motionvqvae", "kimodo", "bones-seed", "holosoma", "amp",
    "sonic", "gmr", "twist", "phc",
]  # fmt: skip
# What a human's motion is written to; "npz" holds both kinds.
HumanFormat = Literal["bvh", "amass"]


@dataclass(frozen=True)
class Glance:
    """What one look tells: the first line of a text, the keys of an NPZ or of a pickle, the files of a folder."""

    line: str
    keys: frozenset[str]
    files: frozenset[str] = frozenset()
    pickled: frozenset[str] = frozenset()


class ReadOptions(TypedDict, total=False):
    """What a file may leave untold. What a format tells itself needs none of it; a rate must agree with the file's.

    robot: the robot of a robot's motion, by default the G1.
    fps: frames a second, for a format that does not tell its rate (see `rate_of` for what it is unless told).
    licence: licence of the motion, for its provenance, where the file does not tell it.
    joint_order: order of the joints' columns, in place of names and evidence, see `read_tracking_npz`.
    quat_order: order of the quaternions' components, in place of evidence, see `read_unitree_csv`.
    up: up axis of a BVH or of SMPL parameters, in place of evidence, see `read_bvh`.
    unit: unit of a BVH, in place of evidence.
    smpl_model: the body model that SMPL parameters belong to, see `read_amass_npz`.
    """

    robot: RobotModel | None
    fps: float | None
    licence: str
    joint_order: JointOrder | None
    quat_order: QuatOrder | None
    up: UpAxis | None
    unit: Unit | None
    smpl_model: Path | None


class _Open(TypedDict):
    """What every reader takes that settles orders by evidence."""

    joint_order: JointOrder | None
    quat_order: QuatOrder | None
    licence: str
    findings: list[Finding]


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
    smpl_model: Path | None
    findings: list[Finding]

    @property
    def orders(self) -> _Open:
        """The part that readers of robot motion have in common."""
        return _Open(
            joint_order=self.joint_order, quat_order=self.quat_order, licence=self.licence, findings=self.findings
        )


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


def _read_video(path: Path, options: Options) -> list[HumanClip]:
    return read_smpl_params(
        path,
        fps=options.fps,
        up=options.up,
        smpl_model=options.smpl_model,
        licence=options.licence,
        findings=options.findings,
    )


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
        lambda path, options: [
            read_bvh(path, up=options.up, unit=options.unit, licence=options.licence, findings=options.findings)
        ],
    ),
    Format(
        "clip NPZ", lambda glance: "format" in glance.keys, lambda path, options: [read_clip_npz(path, options.robot)]
    ),
    Format(
        "tracking NPZ",
        lambda glance: "body_pos_w" in glance.keys,
        lambda path, options: [read_tracking_npz(path, options.robot, **options.orders)],
    ),
    Format(
        "AMP NPZ",
        lambda glance: "dof_positions" in glance.keys,
        lambda path, options: [read_amp_npz(path, options.robot, **options.orders)],
    ),
    Format(
        "SONIC folder",
        lambda glance: MARK in glance.files,
        lambda path, options: [read_sonic_folder(path, options.robot, fps=options.fps, **options.orders)],
    ),
    Format(
        "BONES-SEED CSV",
        lambda glance: "root_translateX" in glance.line.split(","),
        lambda path, options: [
            read_bones_seed_csv(
                path, robot=options.robot, fps=options.fps, licence=options.licence, findings=options.findings
            )
        ],
    ),
    Format(
        "Unitree or Kimodo CSV",
        lambda glance: _begins_with_number(glance.line),
        lambda path, options: [read_unitree_csv(path, robot=options.robot, fps=options.fps, **options.orders)],
    ),
    Format(
        "GMR or TWIST PKL",
        lambda glance: "dof_pos" in glance.pickled,
        lambda path, options: [read_gmr_pkl(path, options.robot, **options.orders)],
    ),
    Format(
        "PHC PKL",
        lambda glance: bool({"root_trans_offset", "*/root_trans_offset"} & glance.pickled),
        lambda path, options: read_phc_pkl(path, options.robot, **options.orders),
    ),
    Format(
        "AMASS NPZ",
        lambda glance: is_amass(glance.keys),
        lambda path, options: [
            read_amass_npz(
                path,
                up=options.up,
                fps=options.fps,
                smpl_model=options.smpl_model,
                licence=options.licence,
                findings=options.findings,
            )
        ],
    ),
    Format("GVHMR or WHAM", lambda glance: bool(VIDEO_KEYS & glance.pickled), _read_video),
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
    path = _existing(path)
    fps = options.get("fps")
    if fps is not None:
        require_rate(fps)
    glance = _glance(path)
    chosen = next((known for known in _FORMATS if known.recognises(glance)), None)
    if chosen is None:
        keys = glance.keys or glance.pickled
        held = f"holds the keys {some_of(keys)}" if keys else f"begins with {glance.line[:40]!r}"
        raise MotionError(f"{path} is no motion file known here ({', '.join(f.title for f in _FORMATS)}): it {held}")
    told = Options(
        robot=options.get("robot") or load_robot(),
        fps=fps,
        licence=options.get("licence", ""),
        joint_order=options.get("joint_order"),
        quat_order=options.get("quat_order"),
        up=options.get("up"),
        unit=options.get("unit"),
        smpl_model=options.get("smpl_model"),
        findings=[] if findings is None else findings,
    )
    clips = [_licensed(clip, told.licence) for clip in chosen.read(path, told)]
    # 1e-3: a BVH tells its frame time in a few digits
    if fps is not None and abs(clips[0].fps / fps - 1) > 1e-3:
        raise MotionError(f"{path} tells its own rate, {clips[0].fps:g} fps, and not {fps:g}: leave the rate away")
    return chosen, clips


def _licensed(clip: RobotClip | HumanClip, licence: str) -> RobotClip | HumanClip:
    """The clip, with this licence where its file tells none."""
    if clip.provenance.licence or not licence:
        return clip
    return replace(clip, provenance=replace(clip.provenance, licence=licence))


def rate_of(format: SaveFormat | HumanFormat) -> float | None:
    """The rate that readers of a format take for granted, where the file cannot tell it; else None."""
    return {"csv": FPS, "kimodo": FPS, "bones-seed": BONES_SEED_FPS, "sonic": SONIC_FPS}.get(format)


def suffix_of(format: SaveFormat | HumanFormat) -> str:
    """The suffix that files of a format go by, empty for a folder; it decides nothing when they are read."""
    suffixes = {"csv": ".csv", "kimodo": ".csv", "bones-seed": ".csv", "sonic": "", "motionvqvae": ".npy"}
    suffixes |= dict.fromkeys(("gmr", "twist", "phc"), ".pkl")
    return ".bvh" if format == "bvh" else suffixes.get(format, ".npz")


def format_of(path: str | Path) -> str | None:
    """Title of the format that a file seems to be of, by a look at its keys or first line; None if none known here.

    Raises UserError for a file that cannot be looked at.
    """
    glance = _glance(_existing(path))
    return next((known.title for known in _FORMATS if known.recognises(glance)), None)


def save_motion(
    clip: RobotClip | HumanClip,
    path: str | Path,
    format: SaveFormat | HumanFormat = "npz",
    robot: RobotModel | None = None,
) -> None:
    """Write a motion file; parent folders are created and nothing half-written is left.

    Args:
        clip: the motion; "npz", "bvh" and "amass" hold a human's, the last two nothing else.
        path: the file, or for "sonic" the folder, taken as it is: no suffix is added.
        format: "npz" is the package's own and loses nothing; "csv" is Unitree's, "kimodo" Kimodo's and "bones-seed"
            BONES-SEED's, and none of them tells the rate; nor does "sonic", a folder for SONIC's controller;
            "tracking-isaac", "tracking-mjlab", "holosoma" and "amp" are what BeyondMimic, mjlab, holosoma and
            Isaac Lab's AMP train on; "gmr", "twist" and "phc" are pickles for GMR, TWIST, and PHC, ASAP and PBHC, the
            last two without the wrists; "motionvqvae" is MotionVQVAE's NPY, which does not tell the joints.
        robot: the robot of the clip, by default the G1; "npz" and "motionvqvae" hold any other's, too.

    Raises:
        MotionError: the format cannot hold this clip.
        UserError: the file cannot be written.
    """
    robot = robot or load_robot()
    if format == "npz":
        write_clip_npz(clip, path)
    elif isinstance(clip, HumanClip):
        if format not in ("bvh", "amass"):
            raise MotionError(
                f"{format} holds motion of robots, and {clip.name!r} is a human's: write npz, bvh or amass"
            )
        (write_bvh if format == "bvh" else write_amass_npz)(clip, path)
    elif format in ("bvh", "amass"):
        raise MotionError(f"{format} holds motion of humans, and {clip.name!r} is a robot's: write npz")
    elif format == "motionvqvae":
        write_motionvqvae_npy([clip], path)
    elif format in ("csv", "kimodo"):
        write_unitree_csv(clip, path, robot, "xyzw" if format == "csv" else "wxyz")
    elif format == "bones-seed":
        write_bones_seed_csv(clip, path, robot)
    elif format == "holosoma":
        write_holosoma_npz(clip, path, robot)
    elif format == "amp":
        write_amp_npz(clip, path, robot)
    elif format == "sonic":
        write_sonic_folder(clip, path, robot)
    elif format in ("gmr", "twist"):
        write_gmr_pkl(clip, path, robot, "gmr" if format == "gmr" else "twist")
    elif format == "phc":
        write_phc_pkl([clip], path, robot)
    else:
        write_tracking_npz(clip, path, robot, "isaac" if format == "tracking-isaac" else "mjlab")


def _existing(path: str | Path) -> Path:
    """The path of a file with contents, or of a folder that a format is kept in. Raises UserError if it is neither."""
    path = Path(path)
    if path.is_dir() and not (path / MARK).is_file():
        raise UserError(f"{path} is a folder, expected a file, or a folder of SONIC's with {MARK}")
    return path if path.is_dir() else existing_file(path)


def _glance(path: Path) -> Glance:
    if path.is_dir():
        return Glance("", frozenset(), frozenset(file.name for file in path.iterdir()))
    if zipfile.is_zipfile(path):
        with naming(path):
            keys = read_keys(path)
            return Glance("", frozenset(), pickled=pickled_keys(path)) if is_torch_archive(keys) else Glance("", keys)
    with path.open("rb") as file:
        head = file.read(4096)
    if is_pickle(head):
        with naming(path):
            return Glance("", frozenset(), pickled=pickled_keys(path))
    if head.startswith(b"PK"):
        raise MotionError(f"{path} is an NPZ that was cut short: fetch or write it again")
    lines = head.decode("utf-8-sig", errors="replace").lstrip().splitlines()
    return Glance(lines[0] if lines else "", frozenset())
