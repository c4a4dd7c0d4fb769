"""Watch a policy that tracks motion, in mjlab's viewers."""

from __future__ import annotations

import tyro

from g1_vq_retarget.errors import reporting
from g1_vq_retarget.tasks.tracking_config import PlayConfig


def main(config: PlayConfig) -> None:
    # here, since mjlab may not be installed
    from g1_vq_retarget.tasks.mjlab.play import play

    play(config)


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(PlayConfig, description=__doc__))
