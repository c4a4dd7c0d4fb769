"""Make a folder of training windows from motion files, or from the built-in sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from g1_vq_retarget.data.process import WindowConfig, pair_by_stem, process, read_split
from g1_vq_retarget.data.sample import process_sample
from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.motion.formats import QuatOrder, Unit, UpAxis, read_bvh, read_unitree_csv
from g1_vq_retarget.robot import load_robot

LAFAN1_LICENCE = "CC BY-NC-ND 4.0 (LAFAN1, Ubisoft La Forge)"


@dataclass
class Args:
    """Motion in, windows out."""

    out: Path
    """Folder to write."""
    source: Literal["lafan1", "sample"] = "lafan1"
    """lafan1: Unitree's CSV at 30 fps and LAFAN1's BVH, paired by name. sample: six minutes of human motion made up
    by this package, and the robot's by inverse kinematics; it needs no files and has its own split."""
    robot_dir: Path | None = None
    """Folder of robot files: Unitree CSV."""
    human_dir: Path | None = None
    """Folder of human files: BVH; without it only robot windows are made."""
    split: Path | None = None
    """JSON with the clip names of train, val and test; the heldout protocol needs it."""
    bvh_up: UpAxis | None = None
    """Up axis of the BVH files, where the motion itself does not settle it."""
    bvh_unit: Unit | None = None
    """Unit of the BVH files, where the length of the legs does not settle it."""
    quat_order: QuatOrder | None = None
    """Order of the quaternion in the CSV files."""
    seed: int = 0
    """What the sample is made up from: the same seed, the same motion."""
    windows: Annotated[WindowConfig, tyro.conf.arg(name="")] = field(default_factory=WindowConfig)


def main(args: Args) -> None:
    manifest = make_sample(args) if args.source == "sample" else read_files(args)
    for name, split in manifest["splits"].items():
        print(f"{name}: {split['windows']} windows, {split['human_windows']} with a human side")
    print(f"licence of the data: {'; '.join(manifest['licences'])}")
    print(f"next: python scripts/train_vq.py --config config/vq/resnet_hybrid.yaml --data {args.out} --run runs/first")


def make_sample(args: Args) -> dict:
    for flag in ("robot_dir", "human_dir", "split"):
        if getattr(args, flag) is not None:
            raise UserError(f"--{flag.replace('_', '-')} has no meaning for --source sample, which needs no files")
    return process_sample(args.seed, args.out, args.windows, load_robot("g1"))


def read_files(args: Args) -> dict:
    if args.robot_dir is None:
        raise UserError("--source lafan1 needs --robot-dir DIR (or choose --source sample, which needs no files)")
    robot = load_robot("g1")
    clips = pair_by_stem(args.robot_dir, ".csv", args.human_dir, ".bvh")
    if args.windows.protocol == "seed":
        if args.split is not None:
            raise UserError("--split has no meaning in the seed protocol, which trains on everything; leave it out")
        splits = {"train": clips}
    else:
        if args.split is None:
            raise UserError("the heldout protocol needs --split FILE (or choose --protocol seed)")
        splits = read_split(args.split, clips)
    return process(
        splits,
        args.out,
        args.windows,
        robot,
        lambda path: read_unitree_csv(path, robot=robot, licence=LAFAN1_LICENCE, quat_order=args.quat_order),
        lambda path: read_bvh(path, licence=LAFAN1_LICENCE, up=args.bvh_up, unit=args.bvh_unit),
    )


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
