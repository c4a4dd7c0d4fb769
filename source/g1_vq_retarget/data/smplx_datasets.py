"""The folder that `seulzx/smplx_datasets` unpacks to: robot and human in one NPZ a clip."""

from __future__ import annotations

from pathlib import Path

from g1_vq_retarget.data.download import MANIFEST, read_download
from g1_vq_retarget.data.process import ClipFiles
from g1_vq_retarget.data.sources import SOURCES
from g1_vq_retarget.errors import UserError

# Where the clips lie below the folder that the archive was unpacked in.
LAYOUT = Path("extended_datasets/lafan1_dataset/g1/train")

# What a data folder made of them says of the human's root.
NOTES = {"human_root": "the robot's, enlarged to a human's height: the files hold none"}


def find_clips(folder: Path) -> list[ClipFiles]:
    """The clips of a download, or of any folder of such NPZ; each is its own human side.

    Raises:
        UserError: no such folder, or no NPZ in it.
    """
    inside = folder / LAYOUT
    place = inside if inside.is_dir() else folder
    # archives made on a Mac hold a ._NAME beside each NAME
    paths = [path for path in sorted(place.glob("*.npz")) if not path.name.startswith(".")]
    if not paths:
        raise UserError(
            f"{folder}: holds no {LAYOUT}/*.npz, and no NPZ itself; fetch it with scripts/data/download_data.py "
            "--source smplx_datasets, or name the folder with --robot-dir"
        )
    return [ClipFiles(path.stem, path, path) for path in paths]


def licence_of(folder: Path) -> str:
    """The licence that a download's manifest tells; without one, the source's."""
    if (folder / MANIFEST).is_file():
        return read_download(folder)["licence"]
    return SOURCES["smplx_datasets"].licence
