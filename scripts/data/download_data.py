"""Fetch a public motion set, once its licence is accepted: checked, resumed where it was cut off, unpacked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from g1_vq_retarget.data.download import accept_licence, download
from g1_vq_retarget.data.sources import SOURCES
from g1_vq_retarget.errors import reporting


@dataclass
class Args:
    """A public motion set in a folder."""

    source: Literal["smplx_datasets", "g1_moves", "lafan1_g1"]
    """smplx_datasets: what the original project trained on, from ModelScope. g1_moves: dance and karate with motion
    capture, CC BY 4.0, from Hugging Face. lafan1_g1: Unitree's LAFAN1, from Hugging Face."""
    out: Path | None = None
    """Folder to make; data/raw/SOURCE if none is named."""
    accept_licence: bool = False
    """Accept the licence without being asked."""
    only: list[str] = field(default_factory=list)
    """Patterns of the files to fetch, such as 'dance/*'; all that the source offers if none is named."""
    keep_archives: bool = False
    """Leave archives beside what was in them."""


def main(args: Args) -> None:
    source = SOURCES[args.source]
    out = args.out or Path("data/raw") / source.name
    accept_licence(source, args.accept_licence)
    manifest = download(source, out, args.only, args.keep_archives)
    size = sum(file["size"] for file in manifest["files"]) / 2**20
    print(f"{out}: {len(manifest['files'])} files, {size:.1f} MB, revision {manifest['revision']}, checked")
    print(f"next: {source.usage.format(out=out)}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
