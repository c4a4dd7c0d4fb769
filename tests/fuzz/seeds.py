"""Whole files of every format that can be read, to be damaged: made-up ones always, real ones of at most 64 frames.

A format of `motion/formats` without an entry in `SEEDS` fails a test: add a function that writes a file or two of it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import re
import tarfile
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from fuzz.mutations import Files
from fuzz.reader import Task, list_contents, load_smplx, load_tokens, unpack_beside
from g1_vq_retarget.data.features import RootStart
from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.data.sample import sample_clips
from g1_vq_retarget.motion import HumanClip, RobotClip, resample
from g1_vq_retarget.motion.formats import SaveFormat, UpAxis, rate_of, save_motion, suffix_of, write_motionvqvae_npy
from g1_vq_retarget.motion.formats.bvh import WORLD_AXES
from g1_vq_retarget.retarget import MotionTokens
from g1_vq_retarget.robot import load_robot
from synthetic import other_robot_clip, write_bvh

FRAMES = 64


class Seed(NamedTuple):
    """A whole file, or folder of files.

    Attributes:
        name: what the file or folder is called.
        kinds: of the damages that fit it, see `mutations.BY_KIND`.
        files: contents by name; of a file alone, its own name.
        options: what has to be said for it to be read.
    """

    name: str
    kinds: tuple[str, ...]
    files: Files
    options: Mapping[str, Any] = {}


@cache
def human() -> HumanClip:
    """A walk of the built-in sample: where the ground tells what a file leaves open, it has to be one that could be."""
    return next(clip for clip in sample_clips(0) if clip.name == "walk_1")[60:100]


@cache
def robot() -> RobotClip:
    return retarget_by_ik(human(), load_robot())


def _seed(path: Path, kind: str, **options: Any) -> Seed:
    return Seed(path.name, (kind,), {path.name: path.read_bytes()}, options)


def _bvh(folder: Path) -> list[Seed]:
    return [_seed(write_bvh(human(), folder / "made.bvh"), "bvh")]


def _saved(folder: Path, format: SaveFormat, kind: str, clip: HumanClip | RobotClip | None = None) -> Seed:
    path = folder / f"{format}{suffix_of(format)}"
    save_motion(clip or resample(robot(), rate_of(format) or robot().fps), path, format)
    if path.is_dir():
        return Seed(path.name, (kind,), {file.name: file.read_bytes() for file in path.iterdir()})
    return _seed(path, kind)


def _clip_npz(folder: Path) -> list[Seed]:
    clips = {"robot": robot(), "human": human(), "other": other_robot_clip(24)}
    seeds = {name: _saved(folder, "npz", "npz", clip) for name, clip in clips.items()}
    return [Seed(f"{name}.npz", one.kinds, {f"{name}.npz": one.files[one.name]}) for name, one in seeds.items()]


def _tracking_npz(folder: Path) -> list[Seed]:
    """With names, and without them as numpy packs it."""
    seeds = [_saved(folder, "holosoma", "npz")]
    for flavour in ("tracking-isaac", "tracking-mjlab"):
        seeds.append(_saved(folder, flavour, "npz"))
        with np.load(folder / f"{flavour}.npz") as arrays:
            plain = {key: arrays[key] for key in arrays if not key.endswith("_names") and key != "licence"}
        np.savez_compressed(folder / f"{flavour}-plain.npz", **plain)
        seeds.append(_seed(folder / f"{flavour}-plain.npz", "npz"))
    return seeds


def _motionvqvae_npy(folder: Path) -> list[Seed]:
    write_motionvqvae_npy([robot()[:12], robot()[12:30], robot()[30:]], folder / "made.npy")
    return [_seed(folder / "made.npy", "npy")]


def _pickles(folder: Path, *formats: SaveFormat) -> list[Seed]:
    """As we write them, and as numpy and joblib do."""
    seeds = [_saved(folder, format, "pickle") for format in formats]
    for one in list(seeds):
        contents = pickle.loads(one.files[one.name])
        others = {
            f"old-{one.name}": pickle.dumps(contents, 2),
            f"new-{one.name}": pickle.dumps(contents, 5),
            f"zlib-{one.name}": zlib.compress(pickle.dumps(contents)),
        }
        seeds += [Seed(name, one.kinds, {name: content}) for name, content in others.items()]
    return seeds


def _smpl(up: UpAxis) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SMPL's parameters of the walk, float32: root (T, 3) and joints (T, 63) as rotation vectors, root position."""
    clip = human()
    root = Rotation.from_matrix(WORLD_AXES[up].T @ clip.root_rotation.as_matrix()).as_rotvec()
    joints = clip.local_rotations.as_rotvec().reshape(len(clip), 63)
    return root.astype(np.float32), joints.astype(np.float32), (clip.root_pos_w @ WORLD_AXES[up]).astype(np.float32)


def _amass_npz(folder: Path) -> list[Seed]:
    root, joints, pos = _smpl("z")
    hands = np.zeros((len(pos), 90))
    told = {"betas": np.zeros(16), "gender": np.array("neutral"), "trans": pos}
    poses = np.concatenate([root, joints, hands], axis=1)
    np.savez(folder / "smplh.npz", poses=poses, mocap_framerate=np.array(30.0), **told)
    np.savez(folder / "smplx.npz", root_orient=root, pose_body=joints, mocap_frame_rate=np.array(30.0), **told)
    return [_seed(folder / name, "npz", up="z") for name in ("smplh.npz", "smplx.npz")]


def _video(folder: Path) -> list[Seed]:
    """GVHMR's `.pt`, WHAM's pickle."""
    root, joints, pos = _smpl("y")
    world = {"body_pose": joints, "global_orient": root, "transl": pos, "betas": np.zeros((len(pos), 10))}
    tensors = {key: torch.from_numpy(value) for key, value in world.items()}
    torch.save({"smpl_params_global": tensors, "K_fullimg": torch.eye(3)}, folder / "gvhmr.pt")
    pose = np.concatenate([root, joints, np.zeros((len(pos), 6))], axis=1)
    subject = {"pose_world": pose, "trans_world": pos, "betas": world["betas"], "frame_ids": np.arange(len(pos))}
    (folder / "wham.pkl").write_bytes(pickle.dumps({0: subject, 1: subject}, 4))
    return [_seed(folder / "gvhmr.pt", "torch", fps=30.0), _seed(folder / "wham.pkl", "pickle", fps=30.0)]


# By the title of the format.
SEEDS: dict[str, Callable[[Path], list[Seed]]] = {
    "BVH": _bvh,
    "clip NPZ": _clip_npz,
    "tracking NPZ": _tracking_npz,
    "AMP NPZ": lambda folder: [_saved(folder, "amp", "npz")],
    "SONIC folder": lambda folder: [_saved(folder, "sonic", "text")],
    "BONES-SEED CSV": lambda folder: [_saved(folder, "bones-seed", "text")],
    "Unitree or Kimodo CSV": lambda folder: [_saved(folder, "csv", "text"), _saved(folder, "kimodo", "text")],
    "MotionVQVAE NPY": _motionvqvae_npy,
    "GMR or TWIST PKL": lambda folder: _pickles(folder, "gmr", "twist"),
    "PHC PKL": lambda folder: _pickles(folder, "phc"),
    "AMASS NPZ": _amass_npz,
    "GVHMR or WHAM": _video,
}


def real_seeds(lafan1: Path, folder: Path) -> dict[str, list[Seed]]:
    """The first frames of real files, and what is made of them in the formats of robots."""
    with (lafan1 / "bvh" / "dance1_subject1.bvh").open(newline="") as file:
        text = file.read(2**16)
        head, rows = text.split("Frame Time:")
        rate, *rows = rows.splitlines(keepends=True)
    head = re.sub(r"Frames: *\d+", f"Frames: {FRAMES}", head)
    bvh = folder / "real.bvh"
    assert len(rows) > FRAMES
    bvh.write_text(f"{head}Frame Time:{rate}{''.join(rows[:FRAMES])}", newline="")
    with (lafan1 / "g1" / "dance1_subject1.csv").open("rb") as lines:
        csv = folder / "real.csv"
        csv.write_bytes(b"".join(islice(lines, FRAMES)))
    return {"BVH": [_seed(bvh, "bvh")], "Unitree or Kimodo CSV": [_seed(csv, "text", quat_order="xyzw")]}


def _smplx_npz(folder: Path) -> list[Seed]:
    """As in `seulzx/smplx_datasets`: the robot's tracking NPZ without names, and the human's poses beside."""
    save_motion(robot(), folder / "robot.npz", "tracking-isaac")
    with np.load(folder / "robot.npz") as arrays:
        plain = {key: arrays[key] for key in arrays if not key.endswith("_names")}
    poses = {
        "vectors": _smpl("z")[1],
        "six": human().rotation_features().astype(np.float32),
    }
    for name, values in poses.items():
        np.savez(folder / f"{name}.npz", smplx_pose_body=values, **plain)
    return [_seed(folder / f"{name}.npz", "npz") for name in poses]


def _tokens(folder: Path) -> list[Seed]:
    tokens = MotionTokens(
        name="walk",
        tokens=np.random.default_rng(0).integers(0, 8, (10, 3)),
        codebook_sizes=(8, 8, 8),
        frames=40,
        fps=50.0,
        start=RootStart(),
        weights_sha256="0" * 64,
        source="walk.bvh",
        licence="CC0",
    )
    tokens.save(folder / "tokens.npz")
    return [_seed(folder / "tokens.npz", "npz")]


def _archives(folder: Path) -> list[Seed]:
    """Archives of a few files, as they are downloaded."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        for name in ("set/a.npz", "set/inner/ö.npz", "set/" + "long/" * 30 + "b.csv"):
            info = tarfile.TarInfo(name)
            info.size = 700
            tar.addfile(info, io.BytesIO(bytes(700)))
    packings = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    return [
        Seed(f"set.tar{end}", ("tar",), {f"set.tar{end}": pack(buffer.getvalue())}) for end, pack in packings.items()
    ]


def _everything(folder: Path) -> list[Seed]:
    return [one for make in SEEDS.values() for one in make(folder)]


# What reads files beside the formats: a function of `reader`, and files for it.
OTHERS: dict[str, tuple[Task, Callable[[Path], list[Seed]]]] = {
    "SMPL-X poses": (load_smplx, _smplx_npz),
    "tokens": (load_tokens, _tokens),
    "contents": (list_contents, _everything),
    "archive": (unpack_beside, _archives),
}
