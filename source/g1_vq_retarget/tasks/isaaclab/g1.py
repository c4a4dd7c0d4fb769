"""The tracking task of the G1: the base task with its names, and variants to play and without state estimation."""

from __future__ import annotations

import re

from isaaclab.managers import SceneEntityCfg
from isaaclab.utils import configclass

from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.tasks.isaaclab.robot import action_scale, g1_cfg
from g1_vq_retarget.tasks.isaaclab.tracking import TrackingEnvCfg
from g1_vq_retarget.tasks.mdp import BEYONDMIMIC
from g1_vq_retarget.tasks.sampling import SamplingConfig


@configclass
class G1FlatTrackingEnvCfg(TrackingEnvCfg):
    """G1s on flat ground, to be trained."""

    def __post_init__(self) -> None:
        super().__post_init__()
        robot = load_robot()
        joints = list(robot.joint_names)
        self.scene.robot = g1_cfg()
        self.actions.joint_pos.joint_names = joints
        self.actions.joint_pos.scale = action_scale(robot)
        command = self.commands.motion
        command.joint_names, command.body_names = joints, list(robot.tracked)
        command.anchor_body_name = robot.anchor
        self.events.joint_offsets.params["asset_cfg"].joint_names = joints
        self.events.base_com.params["asset_cfg"].body_names = [robot.anchor]
        ends = [*robot.feet, *robot.hands]
        self.terminations.ee_body_pos.params["body_names"] = ends
        # whatever hangs on the hands may be touched as they may
        free = "|".join([*map(re.escape, ends), ".*_hand_.*"])
        self.rewards.undesired_contacts.params["sensor_cfg"] = SceneEntityCfg(
            "contact_forces", body_names=[f"^(?!(?:{free})$).+$"]
        )


@configclass
class G1FlatTrackingWoStateEstimationEnvCfg(G1FlatTrackingEnvCfg):
    """For a policy that does not know where it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in BEYONDMIMIC.without_state_estimation:
            setattr(self.observations.policy, name, None)


def make_playable(cfg: G1FlatTrackingEnvCfg) -> None:
    """To look at and not to train: a few robots from the clips' beginnings, without end, noise and pushes."""
    cfg.scene.num_envs = 16
    cfg.episode_length_s = 1e9
    cfg.observations.policy.enable_corruption = False
    cfg.events.push_robot = None  # type: ignore[assignment]
    command = cfg.commands.motion
    command.pose_range, command.velocity_range, command.joint_position_range = {}, {}, (0.0, 0.0)
    command.sampling = SamplingConfig(mode="start")


@configclass
class G1FlatTrackingPlayEnvCfg(G1FlatTrackingEnvCfg):
    """To look at."""

    def __post_init__(self) -> None:
        super().__post_init__()
        make_playable(self)


@configclass
class G1FlatTrackingWoStateEstimationPlayEnvCfg(G1FlatTrackingWoStateEstimationEnvCfg):
    """To look at, likewise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        make_playable(self)
