"""Write human, true robot and model's robot as one file that a simulator can play, without a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from g1_vq_retarget.errors import reporting
from g1_vq_retarget.tasks.playback import playback_of
from g1_vq_retarget.viewer.sources import FileOptions, load_models, load_scene


@dataclass
class Args:
    """The triple view of one model, for `play Mjlab-G1-VQ-Playback --agent zero --motion-file OUTPUT` in mjlab."""

    checkpoint: Path
    """Run folder (its best checkpoint) or .safetensors file."""
    input: Path
    """Motion file: a human's, or a robot's, which then is the truth as well."""
    output: Path
    """NPZ to write."""
    reference: Path | None = None
    """The robot's true motion for a human's input."""
    read: tyro.conf.OmitArgPrefixes[FileOptions] = field(default_factory=FileOptions)


def main(args: Args) -> None:
    scene = load_scene(load_models([args.checkpoint]), args.input, args.reference, args.read)
    playback = playback_of(scene)
    playback.save(args.output)
    print(f"wrote {args.output}: {len(playback)} frames at {playback.fps:g} fps")
    if playback.licence:
        print(f"licence of the motion: {playback.licence}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
