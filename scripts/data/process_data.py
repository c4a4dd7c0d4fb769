"""Make a folder of training windows from motion files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from g1_vq_retarget.data.process import WindowConfig, pair_by_stem, process, read_split
from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.motion.formats.bvh import read_bvh
from g1_vq_retarget.motion.formats.unitree_csv import read_unitree_csv
from g1_vq_retarget.robot import load_robot

LAFAN1_LICENCE = "CC BY-NC-ND 4.0 (LAFAN1, Ubisoft La Forge)"


@dataclass
class Args:
    """Motion files in, windows out."""

    robot_dir: Path
    """Folder of robot files: Unitree CSV."""
    out: Path
    """Folder to write."""
    source: Literal["lafan1"] = "lafan1"
    """Layout of the files: lafan1 is Unitree's CSV at 30 fps and LAFAN1's BVH, paired by name."""
    human_dir: Path | None = None
    """Folder of human files: BVH; without it only robot windows are made."""
    split: Path | None = None
    """JSON with the clip names of train, val and test; the heldout protocol needs it."""
    windows: Annotated[WindowConfig, tyro.conf.arg(name="")] = field(default_factory=WindowConfig)


def main(args: Args) -> None:
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
    manifest = process(
        splits,
        args.out,
        args.windows,
        robot,
        lambda path: read_unitree_csv(path, robot=robot, licence=LAFAN1_LICENCE),
        lambda path: read_bvh(path, licence=LAFAN1_LICENCE),
    )
    for name, split in manifest["splits"].items():
        print(f"{name}: {split['windows']} windows, {split['human_windows']} with a human side")
    print(f"licence of the data: {'; '.join(manifest['licences'])}")
    print(f"next: python scripts/train_vq.py --data {args.out} --run runs/first")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
