"""Do human and robot motion share one latent space? Maps to look at, and numbers that say so."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tyro

from g1_vq_retarget.configuration import read_preset
from g1_vq_retarget.errors import UserError, reporting
from g1_vq_retarget.evaluation.inputs import folder_for
from g1_vq_retarget.evaluation.latent_plot import (
    LatentView,
    Method,
    flat_map,
    measures_table,
    plot_before_after,
    plot_latent_space,
)
from g1_vq_retarget.evaluation.latent_space import RETRIEVAL_WINDOWS, measure, paired_latents
from g1_vq_retarget.files import replacing
from g1_vq_retarget.training.checkpoint import load_checkpoint
from g1_vq_retarget.training.config import TrainConfig


@dataclass
class Args:
    """A model and windows in, pictures and figures out."""

    checkpoint: Path
    """Run folder (its best checkpoint) or .safetensors file."""
    data: Path
    """Folder made by scripts/data/process_data.py."""
    before: Path | None = None
    """A run to set beside it, such as one with another --loss.align; both are drawn as one figure."""
    split: str = "test"
    """Split whose paired windows are looked at."""
    out: Path = Path("outputs/latent_space")
    """Folder for latent_space.json, .png and .pdf, and with --before also before_after.png and .pdf."""
    methods: tuple[Method, ...] = ("t-sne", "umap")
    """Maps to draw."""
    seed: int = 0
    """Seed of the maps and of the draws for retrieval."""


def main(args: Args) -> None:
    if not args.methods:
        raise UserError("--methods: expected t-sne, umap or both")
    runs = [args.checkpoint] if args.before is None else [args.before, args.checkpoint]
    views, report = [], []
    for run in runs:
        checkpoint = load_checkpoint(run)
        folder = folder_for(checkpoint, args.data)
        latents = paired_latents(checkpoint, folder.split(args.split), args.seed)
        measures = measure(latents, args.seed)
        weight = alignment_weight(run)
        title = f"{run}" if weight is None else f"{run}, λ_align = {weight:g}"
        maps: dict[Method, np.ndarray] = {
            method: flat_map(latents.points, method, args.seed) for method in args.methods
        }
        views.append(LatentView(title, latents, measures, maps))
        report.append(
            {
                "checkpoint": str(checkpoint.path),
                "weights_sha256": checkpoint.info["weights_sha256"],
                "lambda_align": weight,
                "data": str(args.data),
                "protocol": folder.manifest["protocol"],
                "split": args.split,
                "seed": args.seed,
                "measures": asdict(measures),
            }
        )
    found = views[-1].measures.retrieval.windows
    if found < RETRIEVAL_WINDOWS:
        print(f"only {found} paired windows of {args.split} share no frame: retrieval is among these")
    print(measures_table({view.title: view.measures for view in views}))
    written = plot_latent_space(args.out / "latent_space", views[-1])
    if args.before is not None:
        written += plot_before_after(args.out / "before_after", *views)
    numbers = args.out / "latent_space.json"
    with replacing(numbers) as temporary:
        temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(f"wrote {', '.join(map(str, [numbers, *written]))}")


def alignment_weight(run: Path) -> float | None:
    """λ_align of a run, by its configuration; a checkpoint without its run folder does not tell."""
    config = run / "config.yaml"
    return read_preset(TrainConfig, config).loss.align if config.is_file() else None


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
