"""Export a trained tracking policy: ONNX, deploy.yaml, and the robot's model with its meshes."""

from __future__ import annotations

import tyro

from g1_vq_retarget.errors import reporting
from g1_vq_retarget.tasks.evaluation_config import ExportConfig


def main(config: ExportConfig) -> None:
    # here, so that it is told in a line where mjlab is not installed
    from g1_vq_retarget.tasks.mjlab.export import export_run

    export_run(config)


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(ExportConfig, description=__doc__))
