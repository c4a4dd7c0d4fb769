"""Compress a token file by a model's prior (scripts/train_prior.py), and give it back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from g1_vq_retarget.errors import reporting
from g1_vq_retarget.files import existing_file, replacing
from g1_vq_retarget.retarget import MotionTokens, Retargeter
from g1_vq_retarget.retarget.compression import compress, decompress, is_compressed, overhead
from g1_vq_retarget.training.prior_file import load_prior


@dataclass
class Args:
    """A token file in, its compressed form out; or the other way round, as the input is."""

    checkpoint: Path
    """Run folder (its best checkpoint) or .safetensors file."""
    input: Path
    """Token file of retarget.py (NPZ), or what this script made of one."""
    output: Path
    """File to write."""
    prior: Path | None = None
    """File of scripts/train_prior.py; by default prior.safetensors beside the checkpoint."""


def main(args: Args) -> None:
    retargeter = Retargeter(args.checkpoint)
    prior = load_prior(args.prior or retargeter.checkpoint.path.parent, retargeter.checkpoint)
    data = existing_file(args.input).read_bytes()
    if is_compressed(data):
        tokens = decompress(data, retargeter, prior, str(args.input))
        tokens.save(args.output)
        print(f"wrote {args.output}: {len(tokens.tokens)} steps of {len(tokens.codebook_sizes)} tokens")
        return
    tokens = MotionTokens.load(args.input)
    data = compress(tokens, retargeter, prior)
    with replacing(args.output) as temporary:
        temporary.write_bytes(data)
    code, seconds = len(data) - overhead(data), tokens.frames / tokens.fps
    print(
        f"wrote {args.output}: {code} bytes of code, {8 * code / seconds:.0f} bits/s in place of "
        f"{tokens.bits / seconds:.0f}, and {overhead(data)} bytes that tell name, start, source and licence"
    )


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
