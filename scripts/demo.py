"""The whole pipeline in minutes, with nothing to download: sample, training, retargeting, pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from g1_vq_retarget.configuration import read_preset
from g1_vq_retarget.demo import FORMATS, run_demo
from g1_vq_retarget.errors import reporting
from g1_vq_retarget.training.config import TrainConfig

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Args:
    """Where the results go."""

    out: Path = ROOT / "outputs" / "demo"
    """Folder to write."""
    config: Path = ROOT / "config" / "vq" / "demo.yaml"
    """Preset of the training."""
    seed: int = 0
    """Seed of the sample."""


def main(args: Args) -> None:
    metrics = run_demo(args.out, read_preset(TrainConfig, args.config), args.seed)
    out = args.out
    robot, human = (
        f"joints {metrics[path + 'joint_error_deg']:.1f}°, bodies {metrics[path + 'body_error_mm']:.0f} mm off"
        for path in ("", "cross_")
    )
    print(
        f"""
On motion that was not trained on, at {metrics["bits_per_second"]:.0f} bits/s:
  robot → tokens → robot   {robot}
  human → tokens → robot   {human}

Look at    {out}/figures.png (human, truth, model side by side) and {out}/joints.png
Motion     {", ".join(f"{out}/{file}" for file in FORMATS)}
Figures    {out}/metrics.json; the run, its log and TensorBoard curves: {out}/run

Next, with this model:
  python scripts/retarget.py --checkpoint {out}/run --input YOUR.bvh --output yours.npz
or with real motion capture: see "From motion capture to a G1" in README.md"""
    )


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
