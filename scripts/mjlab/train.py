"""Train a policy that tracks motion, in mjlab: from files, or decoded from tokens by a trained model."""

from __future__ import annotations

import sys

from g1_vq_retarget.configuration import parse
from g1_vq_retarget.errors import reporting
from g1_vq_retarget.tasks.tracking_config import CONFIG, TrackingRunConfig


def main() -> None:
    config = parse(TrackingRunConfig, __doc__ or "")
    if config.resume:  # what is not said is as the run began
        began = ["--config", str(config.run / CONFIG)]
        config = parse(TrackingRunConfig, __doc__ or "", [*began, *sys.argv[1:]])
    # here, since mjlab may not be installed
    from g1_vq_retarget.tasks.mjlab.training import train

    train(config)


if __name__ == "__main__":
    with reporting():
        main()
