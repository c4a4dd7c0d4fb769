"""Does an exported policy fit its deploy.yaml: observations, joints, scales, gains and rate? Needs the extra
`deployment`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from g1_vq_retarget.errors import reporting
from g1_vq_retarget.tasks.deployment import DEPLOY, POLICY, Deployment, OnnxPolicy, verify


@dataclass
class Args:
    """A policy, and what it is to be run by."""

    policy: Path
    """Folder of scripts/deployment/export_policy.py, or an ONNX file."""
    deploy: Path | None = None
    """Another deploy.yaml than the one beside the policy."""


def main(args: Args) -> None:
    path = args.policy / POLICY if args.policy.is_dir() else args.policy
    source = args.deploy or path.with_name(DEPLOY)
    deployment = Deployment.load(source)
    verify(OnnxPolicy(path), deployment, source)
    print(
        f"{path} fits {source}: {deployment.observation_size} observations "
        f"({', '.join(observed.name for observed in deployment.observations)}), {len(deployment.joints)} joints, "
        f"{deployment.fps:g} actions a second; trained on {deployment.motion.clips} clips"
    )


if __name__ == "__main__":
    with reporting():
        main(tyro.cli(Args, description=__doc__))
