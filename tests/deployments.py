"""Policies that have learnt nothing, and what they would be run by."""

from __future__ import annotations

import torch

from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.tasks.deployment import SCHEMA, Deployment, JointControl, Observed, TrainedOn

ROBOT = load_robot()


def deployment(future_frames: tuple[int, ...] = (0,)) -> Deployment:
    """The G1 with the observations of mjlab's task, and gains that tell joints apart."""
    joints, frames = len(ROBOT.joints), len(future_frames)
    return Deployment(
        schema=SCHEMA,
        task="made up",
        fps=50.0,
        timestep=0.005,
        decimation=4,
        anchor_body=ROBOT.anchor,
        body_names=list(ROBOT.tracked),
        future_frames=list(future_frames),
        joints=[
            JointControl(name, 0.01 * number, 0.5 - 0.01 * number, 40.1 + number, 2.0 + 0.1 * number, 20.0 + number)
            for number, name in enumerate(ROBOT.joint_names)
        ],
        observations=[
            Observed("command", frames * 2 * joints),
            Observed("motion_anchor_pos_b", frames * 3),
            Observed("motion_anchor_ori_b", frames * 6),
            Observed("base_lin_vel", 3, sensor="imu_lin_vel"),
            Observed("base_ang_vel", 3, sensor="imu_ang_vel"),
            Observed("joint_pos", joints),
            Observed("joint_vel", joints),
            Observed("actions", joints),
        ],
        motion=TrainedOn(1, 50.0, "0" * 64, ["CC0 robot"]),
    )


def perceptron(deployment: Deployment) -> torch.nn.Module:
    """A network of a deployment's size, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Linear(deployment.observation_size, 16),
            torch.nn.ELU(),
            torch.nn.Linear(16, len(deployment.joints)),
        )
