"""Write a window of the data as joint angles: as it is, reconstructed by a model, and out of the human's tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.motion.formats.joint_npy import write_joint_npy
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.retarget.export import export_window, find_run


@dataclass
class Args:
    """demo_{gt,recon,cross}_<exp_id>_idx<N>.npy, (T, 29) rad in MuJoCo order, and a JSON with names and rate each."""

    exp_id: str
    """What to call the model in the files' names."""
    ckpt: Path
    """Run folder or .safetensors file; of a .pth, the run of the same stem beside it or in runs/ is taken."""
    data_dir: Path
    """Folder made by scripts/data/process_data.py."""
    output_dir: Path = Path("motions")
    """Folder to write to."""
    sample_idx: int = 0
    """Which window of the split, counted over those with a human side."""
    split: str = "test"
    """Split of the data."""


def main(args: Args) -> None:
    if not args.exp_id or "/" in args.exp_id or "\\" in args.exp_id:
        raise UserError(f"--exp_id {args.exp_id!r}: becomes part of file names; give a name without slashes")
    retargeter = Retargeter(find_run(args.ckpt))
    if retargeter.robot is None:
        raise UserError(f"{args.ckpt}: its robot has no link table in this package, so its MuJoCo order is not known")
    clips = export_window(retargeter, DataFolder(args.data_dir), args.split, args.sample_idx)
    for kind, clip in clips.items():
        path = args.output_dir / f"demo_{kind}_{args.exp_id}_idx{args.sample_idx}.npy"
        write_joint_npy(clip, path, retargeter.robot)
        print(f"wrote {path}: {clip.name}, {len(clip)} frames at {clip.fps:g} fps")
    if "cross" not in clips:
        print("no cross: the data or the model has no human side")
    licence = clips["recon"].provenance.licence
    if licence:
        print(f"licence of the motion: {licence}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__, use_underscores=True))
