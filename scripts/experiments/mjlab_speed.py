"""Steps a second of the tracking task beside mjlab's own, in one run; needs pip install -e '.[mjlab]'."""

from __future__ import annotations

import tyro

from g1_vq_retarget.errors import reporting
from g1_vq_retarget.tasks.tracking_config import SpeedConfig


def main(config: SpeedConfig) -> None:
    # here, since mjlab may not be installed
    from g1_vq_retarget.tasks.mjlab.speed import compare_speed

    told = compare_speed(config)
    print(f"ours {told['ours']:,.0f} steps/s, mjlab's {told['mjlab']:,.0f} steps/s, ratio {told['ratio']:.3f}")


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(SpeedConfig, description=__doc__))
