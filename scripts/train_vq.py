"""Train a dual-encoder VQ-VAE. Starts no simulator, under `isaaclab.sh -p` too."""

from __future__ import annotations

from g1_vq_retarget.configuration import parse
from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import reporting
from g1_vq_retarget.training.config import TrainConfig
from g1_vq_retarget.training.loop import train
from g1_vq_retarget.training.run_folder import is_first_process


def main() -> None:
    config = parse(TrainConfig, __doc__ or "")
    train(config)
    if is_first_process():
        split = DataFolder(config.windows_folder).splits[-1]
        print(
            f"next: python scripts/evaluate.py --checkpoint {config.run} --data {config.windows_folder} --split {split}"
        )


if __name__ == "__main__":
    with reporting():
        main()
