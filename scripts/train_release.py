"""Train a checkpoint that may be shared: fetch G1 Moves (CC BY 4.0), pair, train, measure, write what to pass on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from g1_vq_retarget.configuration import preset_folder, read_preset
from g1_vq_retarget.data.download import MANIFEST, accept_licence, download
from g1_vq_retarget.data.process import WindowConfig
from g1_vq_retarget.data.sources import SOURCES
from g1_vq_retarget.errors import reporting
from g1_vq_retarget.training.config import TrainConfig
from g1_vq_retarget.training.release import FIGURES, shareable_source, train_release


@dataclass
class Args:
    """A release."""

    data: Path = Path("data/raw/g1_moves")
    """Download to train on; fetched first if it is not there."""
    out: Path = Path("outputs/release")
    """Folder to write: data/ and run/, and in release/ what to pass on. An interrupted training goes on."""
    accept_licence: bool = False
    """Accept the licence of G1 Moves without being asked."""
    config: Path = field(default_factory=lambda: preset_folder() / "vq" / "predictive.yaml")
    """Preset of the training."""
    windows: Annotated[WindowConfig, tyro.conf.arg(name="")] = field(default_factory=WindowConfig)


def main(args: Args) -> None:
    config = read_preset(TrainConfig, args.config)
    if not (args.data / MANIFEST).is_file():
        source = SOURCES["g1_moves"]
        accept_licence(source, args.accept_licence)
        download(source, args.data)
    source = shareable_source(args.data)
    release = train_release(args.data, args.out, config, args.windows)
    for name, why in release.dropped.items():
        print(f"left out: {name}: {why}")
    for key in FIGURES:
        if key in release.metrics:
            print(f"  {key:28s}{release.metrics[key]:.5g}")
    print(f"wrote {release.folder}: pass it on as it is, with LICENSE.md")
    print(f"licence: {release.licence}\ncredit: {source.credit}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
