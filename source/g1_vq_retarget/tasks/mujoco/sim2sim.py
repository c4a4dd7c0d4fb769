"""An exported policy in plain MuJoCo, from the same starts and by the same measure as in mjlab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.tasks.deployment import DEPLOY, POLICY, ROBOT, Deployment, OnnxPolicy, motion_sha256, verify
from g1_vq_retarget.tasks.evaluation import evaluate
from g1_vq_retarget.tasks.evaluation_config import Sim2SimConfig
from g1_vq_retarget.tasks.evaluation_report import agreement, described, load_report, report, save_report, table
from g1_vq_retarget.tasks.motion_source import load_library
from g1_vq_retarget.tasks.mujoco.simulation import MujocoSimulation


def sim2sim(config: Sim2SimConfig) -> bool:
    """Verify the policy, run it, print the table; whether it agrees with what it was compared with (or with nothing).

    Raises:
        UserError: files that are not there or do not belong together, or a policy that does not fit.
    """
    if not config.motion:
        raise UserError("--motion is needed: files or folders of robot motion that the policy follows")
    model = config.model or config.policy / ROBOT
    if config.model is None and config.policy.is_dir() and not model.exists():
        raise UserError(f"--model is needed: there is no {model}, as Isaac Lab's export has no model of the robot")
    before = None if config.compare is None else load_report(config.compare)
    deployment, policy = verified(config.policy)
    wanted: dict[str, Any] = {
        "joint_names": deployment.joint_names,
        "body_names": deployment.body_names,
        "options": {"fps": config.motion_fps},
    }
    followed = load_library(
        config.motion, deployment.fps, from_tokens=config.from_tokens, embedding=deployment.sees_tokens, **wanted
    )
    if motion_sha256(followed) != deployment.motion.sha256:
        print("note: the policy was trained on other motion")
    truth = load_library(config.against, deployment.fps, **wanted) if config.against else followed
    simulation = MujocoSimulation(model, deployment, followed)
    evaluation = evaluate(simulation, policy, truth, config, followed=followed)
    figures = report(
        evaluation,
        policy=str(config.policy / POLICY),
        motion=", ".join(map(str, config.motion)),
        against=", ".join(map(str, config.against)),
        simulator=f"MuJoCo {mujoco.__version__}",
    )
    print(f"{described(figures)}\n\n{table(figures)}")
    if config.out is not None:
        print("wrote " + ", ".join(map(str, save_report(figures, config.out))))
    if before is None:
        return True
    told = agreement(figures, before)
    for name, alike in told.items():
        here, there = (each["all"][name] for each in (figures, before))
        print(f"{name}: {here:.4g} here, {there:.4g} there, {'alike' if alike else 'NOT alike'}")
    return all(told.values())


def verified(folder: Path) -> tuple[Deployment, OnnxPolicy]:
    """Deployment and policy of an exported folder, which fit one another.

    Raises:
        UserError: they do not, or are not there.
    """
    deployment, policy = Deployment.load(folder / DEPLOY), OnnxPolicy(folder / POLICY)
    verify(policy, deployment, folder / DEPLOY)
    return deployment, policy
