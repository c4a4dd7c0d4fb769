"""Make a folder of training windows from motion files, or from the built-in sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro

from g1_vq_retarget.data.process import ClipFiles, WindowConfig, add_pairs, pair_by_stem, process, read_split
from g1_vq_retarget.data.sample import process_sample
from g1_vq_retarget.data.smplx_datasets import NOTES, find_clips, licence_of
from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.motion.formats import (
    JointOrder,
    QuatOrder,
    Unit,
    UpAxis,
    read_bvh,
    read_clip_npz,
    read_tracking_npz,
    read_unitree_csv,
)
from g1_vq_retarget.motion.formats.smplx_npz import RotationOrder, read_smplx_npz
from g1_vq_retarget.robot import load_robot

AnyClip = TypeVar("AnyClip", HumanClip, RobotClip)
LAFAN1_LICENCE = "CC BY-NC-ND 4.0 (LAFAN1, Ubisoft La Forge)"


@dataclass
class Args:
    """Motion in, windows out."""

    out: Path
    """Folder to write."""
    source: Literal["lafan1", "sample", "smplx_datasets"] = "lafan1"
    """lafan1: Unitree's CSV at 30 fps and LAFAN1's BVH, paired by name. sample: six minutes of human motion made up
    by this package, and the robot's by inverse kinematics; it needs no files and has its own split. smplx_datasets:
    what download_data.py fetches under this name, robot and SMPL-X poses in one NPZ; the human's root is the
    robot's."""
    robot_dir: Path | None = None
    """Folder of robot files: Unitree CSV or this package's NPZ; for smplx_datasets its download, by default
    data/raw/smplx_datasets."""
    human_dir: Path | None = None
    """Folder of human files: BVH, or this package's NPZ; without it only robot windows are made."""
    pairs: list[Path] = field(default_factory=list)
    """Folders that build_pairs.py wrote: their clips are trained on, too, and none is held out."""
    split: Path | None = None
    """JSON with the clip names of train, val and test; the heldout protocol needs it."""
    bvh_up: UpAxis | None = None
    """Up axis of the BVH files, where the motion itself does not settle it."""
    bvh_unit: Unit | None = None
    """Unit of the BVH files, where the length of the legs does not settle it."""
    quat_order: QuatOrder | None = None
    """Order of the quaternion in the CSV files."""
    joint_order: JointOrder | None = None
    """Order of the joints in NPZ without names, where forward kinematics does not settle it."""
    rotation_order: RotationOrder | None = None
    """Order of the six numbers of each SMPL-X rotation, where the files do not settle it."""
    seed: int = 0
    """What the sample is made up from: the same seed, the same motion."""
    windows: Annotated[WindowConfig, tyro.conf.arg(name="")] = field(default_factory=WindowConfig)


def main(args: Args) -> None:
    make = {"lafan1": read_files, "sample": make_sample, "smplx_datasets": read_smplx}
    manifest = make[args.source](args)
    for name, split in manifest["splits"].items():
        print(f"{name}: {split['windows']} windows, {split['human_windows']} with a human side")
    print(f"licence of the data: {'; '.join(manifest['licences'])}")
    print(f"next: python scripts/train_vq.py --config config/vq/predictive.yaml --data {args.out} --run runs/first")


def make_sample(args: Args) -> dict:
    for flag in ("robot_dir", "human_dir", "split", "pairs"):
        if getattr(args, flag):
            raise UserError(f"--{flag.replace('_', '-')} has no meaning for --source sample, which needs no files")
    return process_sample(args.seed, args.out, args.windows, load_robot("g1"))


def read_files(args: Args) -> dict:
    if args.robot_dir is None:
        raise UserError("--source lafan1 needs --robot-dir DIR (or choose --source sample, which needs no files)")
    robot = load_robot("g1")
    clips = pair_by_stem(args.robot_dir, (".csv", ".npz"), args.human_dir, (".bvh", ".npz"))
    return process(
        splits_of(args, clips),
        args.out,
        args.windows,
        robot,
        own_or(
            lambda path: read_unitree_csv(path, robot=robot, licence=LAFAN1_LICENCE, quat_order=args.quat_order),
            RobotClip,
            lambda path: path.suffix == ".npz",
        ),
        own_or(
            lambda path: read_bvh(path, licence=LAFAN1_LICENCE, up=args.bvh_up, unit=args.bvh_unit),
            HumanClip,
            lambda path: path.suffix == ".npz",
        ),
    )


def read_smplx(args: Args) -> dict:
    if args.human_dir is not None:
        raise UserError("--human-dir has no meaning for --source smplx_datasets, whose files hold both sides")
    robot, folder = load_robot("g1"), args.robot_dir or Path("data/raw/smplx_datasets")
    licence = licence_of(folder)
    return process(
        splits_of(args, find_clips(folder)),
        args.out,
        args.windows,
        robot,
        own_or(
            lambda path: read_tracking_npz(path, robot, args.joint_order, licence=licence),
            RobotClip,
            lambda path: path.parents[1] in args.pairs,
        ),
        own_or(
            lambda path: read_smplx_npz(path, robot, args.rotation_order, args.joint_order, licence=licence),
            HumanClip,
            lambda path: path.parents[1] in args.pairs,
        ),
        NOTES,
    )


def own_or(read: Callable[[Path], AnyClip], kind: type[AnyClip], is_own: Callable[[Path], bool]) -> Callable:
    """A reader of this package's NPZ where a file is one, else the one given."""

    def read_either(path: Path) -> AnyClip:
        if not is_own(path):
            return read(path)
        clip = read_clip_npz(path, load_robot("g1"))
        if not isinstance(clip, kind):
            raise UserError(f"{path}: a {type(clip).__name__}, expected a {kind.__name__}; is it in the other folder?")
        return clip

    return read_either


def splits_of(args: Args, clips: list[ClipFiles]) -> dict[str, list[ClipFiles]]:
    splits = splits_of_source(args, clips)
    for folder in args.pairs:
        splits = add_pairs(splits, folder)
    return splits


def splits_of_source(args: Args, clips: list[ClipFiles]) -> dict[str, list[ClipFiles]]:
    if args.windows.protocol == "seed":
        if args.split is not None:
            raise UserError("--split has no meaning in the seed protocol, which trains on everything; leave it out")
        return {"train": clips}
    if args.split is None:
        raise UserError("the heldout protocol needs --split FILE (or choose --protocol seed)")
    return read_split(args.split, clips)


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
