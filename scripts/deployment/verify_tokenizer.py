"""Does an exported tokenizer do what the checkpoint does that it was made of? Runs ONNX and TorchScript beside torch on
whole clips. Needs the extra `deployment`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from g1_vq_retarget.errors import reporting
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.retarget.exported import ExportedTokenizer
from g1_vq_retarget.retarget.exported_check import check, table, verify
from g1_vq_retarget.training.checkpoint import load_checkpoint


@dataclass
class Args:
    """A folder of export_tokenizer.py, its checkpoint, and motion files."""

    tokenizer: Path
    """Folder of scripts/deployment/export_tokenizer.py."""
    checkpoint: Path
    """The run folder or .safetensors file that it was made of."""
    clips: tuple[Path, ...]
    """Motion files of one clip, a human's or a robot's; each goes through the parts that take it."""


def main(args: Args) -> None:
    checkpoint, exported = load_checkpoint(args.checkpoint), ExportedTokenizer(args.tokenizer)
    robot = checkpoint.spec.robot_model()
    found = verify(checkpoint, exported, [load_motion(path, robot=robot) for path in args.clips])
    print(table(found))
    check(found, exported)


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
