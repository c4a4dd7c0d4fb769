"""Run an exported tracking policy in plain MuJoCo on the processor, and measure it."""

from __future__ import annotations

import sys

from g1_vq_retarget.configuration import parse
from g1_vq_retarget.errors import reporting
from g1_vq_retarget.tasks.evaluation_config import Sim2SimConfig


def main(config: Sim2SimConfig) -> int:
    # here, so that it is told in a line where MuJoCo is not installed
    from g1_vq_retarget.tasks.mujoco.sim2sim import sim2sim

    return 0 if sim2sim(config) else 1


if __name__ == "__main__":
    with reporting():
        sys.exit(main(parse(Sim2SimConfig, __doc__ or "")))
