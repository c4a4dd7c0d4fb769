"""The tracking task for any robot: BeyondMimic's, by the preset that all simulators share. `g1` makes it the G1's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from typing import Any

import isaaclab.envs.mdp as isaac_mdp
import isaaclab.sim as sim_utils
from isaaclab.assets import ArticulationCfg, AssetBaseCfg
from isaaclab.envs import ManagerBasedRLEnvCfg
from isaaclab.managers import (
    EventTermCfg,
    ObservationGroupCfg,
    ObservationTermCfg,
    RewardTermCfg,
    SceneEntityCfg,
    TerminationTermCfg,
)
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.sensors import ContactSensorCfg
from isaaclab.terrains import TerrainImporterCfg
from isaaclab.utils import configclass
from isaaclab.utils.noise import AdditiveUniformNoiseCfg

from g1_vq_retarget.tasks.isaaclab import mdp
from g1_vq_retarget.tasks.isaaclab.command import TrackingCommandCfg
from g1_vq_retarget.tasks.mdp import BEYONDMIMIC

# m/s and rad/s, of pushes and of starts.
VELOCITY_RANGE = {
    "x": (-0.5, 0.5),
    "y": (-0.5, 0.5),
    "z": (-0.2, 0.2),
    "roll": (-0.52, 0.52),
    "pitch": (-0.52, 0.52),
    "yaw": (-0.78, 0.78),
}
_MOTION = {"command_name": "motion"}


def _reward(name: str, function: Callable[..., Any], **params: Any) -> RewardTermCfg:
    preset = BEYONDMIMIC.rewards[name]
    return RewardTermCfg(func=function, weight=preset.weight, params={**params, **preset.params})


def _termination(name: str, function: Callable[..., Any], **params: Any) -> TerminationTermCfg:
    threshold = BEYONDMIMIC.terminations[name].threshold
    return TerminationTermCfg(func=function, params={**params, "threshold": threshold})


def _seen(name: str, function: Callable[..., Any], **params: Any) -> ObservationTermCfg:
    """Of the actor, with noise."""
    width = BEYONDMIMIC.noise[name]
    noise = AdditiveUniformNoiseCfg(n_min=-width, n_max=width) if width else None
    return ObservationTermCfg(func=function, params=params, noise=noise)


@configclass
class TrackingSceneCfg(InteractiveSceneCfg):
    """Robots on flat ground."""

    terrain = TerrainImporterCfg(
        prim_path="/World/ground",
        terrain_type="plane",
        collision_group=-1,
        physics_material=sim_utils.RigidBodyMaterialCfg(
            friction_combine_mode="multiply",
            restitution_combine_mode="multiply",
            static_friction=1.0,
            dynamic_friction=1.0,
        ),
    )
    robot: ArticulationCfg = MISSING  # type: ignore[assignment]
    light = AssetBaseCfg(
        prim_path="/World/light", spawn=sim_utils.DistantLightCfg(color=(0.75, 0.75, 0.75), intensity=3000.0)
    )
    sky = AssetBaseCfg(prim_path="/World/sky", spawn=sim_utils.DomeLightCfg(color=(0.13, 0.13, 0.13), intensity=1000.0))
    contact_forces = ContactSensorCfg(
        prim_path="{ENV_REGEX_NS}/Robot/.*", history_length=3, track_air_time=True, force_threshold=10.0
    )


@configclass
class CommandsCfg:
    """What is tracked."""

    motion = TrackingCommandCfg(
        debug_vis=True,
        pose_range={
            "x": (-0.05, 0.05),
            "y": (-0.05, 0.05),
            "z": (-0.01, 0.01),
            "roll": (-0.1, 0.1),
            "pitch": (-0.1, 0.1),
            "yaw": (-0.2, 0.2),
        },
        velocity_range=VELOCITY_RANGE,
        joint_position_range=(-0.1, 0.1),
    )


@configclass
class ActionsCfg:
    """Targets of the joints, about the default pose."""

    joint_pos = isaac_mdp.JointPositionActionCfg(
        asset_name="robot", joint_names=[".*"], use_default_offset=True, preserve_order=True
    )


@configclass
class ObservationsCfg:
    """What actor and critic see."""

    @configclass
    class PolicyCfg(ObservationGroupCfg):
        """The actor, with noise."""

        command = _seen("command", mdp.command, **_MOTION)
        motion_anchor_pos_b = _seen("motion_anchor_pos_b", mdp.motion_anchor_pos_b, **_MOTION)
        motion_anchor_ori_b = _seen("motion_anchor_ori_b", mdp.motion_anchor_ori_b, **_MOTION)
        base_lin_vel = _seen("base_lin_vel", mdp.base_lin_vel, **_MOTION)
        base_ang_vel = _seen("base_ang_vel", mdp.base_ang_vel, **_MOTION)
        joint_pos = _seen("joint_pos", mdp.joint_pos, **_MOTION)
        joint_vel = _seen("joint_vel", mdp.joint_vel, **_MOTION)
        actions = _seen("actions", mdp.actions)

        def __post_init__(self) -> None:
            self.enable_corruption = True
            self.concatenate_terms = True

    @configclass
    class CriticCfg(ObservationGroupCfg):
        """The critic, without noise; it sees the robot's bodies, too."""

        command = ObservationTermCfg(func=mdp.command, params=_MOTION)
        motion_anchor_pos_b = ObservationTermCfg(func=mdp.motion_anchor_pos_b, params=_MOTION)
        motion_anchor_ori_b = ObservationTermCfg(func=mdp.motion_anchor_ori_b, params=_MOTION)
        body_pos = ObservationTermCfg(func=mdp.robot_body_pos_b, params=_MOTION)
        body_ori = ObservationTermCfg(func=mdp.robot_body_ori_b, params=_MOTION)
        base_lin_vel = ObservationTermCfg(func=mdp.base_lin_vel, params=_MOTION)
        base_ang_vel = ObservationTermCfg(func=mdp.base_ang_vel, params=_MOTION)
        joint_pos = ObservationTermCfg(func=mdp.joint_pos, params=_MOTION)
        joint_vel = ObservationTermCfg(func=mdp.joint_vel, params=_MOTION)
        actions = ObservationTermCfg(func=mdp.actions)

        def __post_init__(self) -> None:
            self.enable_corruption = False
            self.concatenate_terms = True

    policy: PolicyCfg = PolicyCfg()
    critic: CriticCfg = CriticCfg()


@configclass
class EventsCfg:
    """What differs from robot to robot, and pushes."""

    physics_material = EventTermCfg(
        func=isaac_mdp.randomize_rigid_body_material,
        mode="startup",
        params={
            "asset_cfg": SceneEntityCfg("robot", body_names=[".*"]),
            "static_friction_range": (0.3, 1.6),
            "dynamic_friction_range": (0.3, 1.2),
            "restitution_range": (0.0, 0.5),
            "num_buckets": 64,
        },
    )
    joint_offsets = EventTermCfg(
        func=mdp.offset_joint_defaults,
        mode="startup",
        params={
            "asset_cfg": SceneEntityCfg("robot", joint_names=[".*"]),
            "offset_range": (-0.01, 0.01),
            "action_name": "joint_pos",
        },
    )
    base_com = EventTermCfg(
        func=isaac_mdp.randomize_rigid_body_com,
        mode="startup",
        params={
            "asset_cfg": SceneEntityCfg("robot", body_names=[".*"]),
            "com_range": {"x": (-0.025, 0.025), "y": (-0.05, 0.05), "z": (-0.05, 0.05)},
        },
    )
    push_robot = EventTermCfg(
        func=isaac_mdp.push_by_setting_velocity,
        mode="interval",
        interval_range_s=(1.0, 3.0),
        params={"velocity_range": VELOCITY_RANGE},
    )


@configclass
class RewardsCfg:
    """Closeness to the motion, and costs."""

    motion_global_anchor_pos = _reward(
        "motion_global_anchor_pos", mdp.motion_global_anchor_position_error_exp, **_MOTION
    )
    motion_global_anchor_ori = _reward(
        "motion_global_anchor_ori", mdp.motion_global_anchor_orientation_error_exp, **_MOTION
    )
    motion_body_pos = _reward("motion_body_pos", mdp.motion_relative_body_position_error_exp, **_MOTION)
    motion_body_ori = _reward("motion_body_ori", mdp.motion_relative_body_orientation_error_exp, **_MOTION)
    motion_body_lin_vel = _reward("motion_body_lin_vel", mdp.motion_global_body_linear_velocity_error_exp, **_MOTION)
    motion_body_ang_vel = _reward("motion_body_ang_vel", mdp.motion_global_body_angular_velocity_error_exp, **_MOTION)
    action_rate_l2 = _reward("action_rate_l2", mdp.action_rate_l2)
    joint_limit = _reward("joint_limit", mdp.joint_pos_limits, **_MOTION)
    undesired_contacts = _reward(
        "undesired_contacts",
        mdp.undesired_contacts,
        sensor_cfg=SceneEntityCfg("contact_forces", body_names=[".*"]),
    )


@configclass
class TerminationsCfg:
    """The end of an episode's time, and failures."""

    time_out = TerminationTermCfg(func=isaac_mdp.time_out, time_out=True)
    anchor_pos = _termination("anchor_pos", mdp.bad_anchor_pos_z_only, **_MOTION)
    anchor_ori = _termination("anchor_ori", mdp.bad_anchor_ori, **_MOTION)
    ee_body_pos = _termination("ee_body_pos", mdp.bad_motion_body_pos_z_only, **_MOTION, body_names=[])


@configclass
class TrackingEnvCfg(ManagerBasedRLEnvCfg):
    """All of the task but the robot."""

    scene: TrackingSceneCfg = TrackingSceneCfg(num_envs=4096, env_spacing=2.5)
    observations: ObservationsCfg = ObservationsCfg()
    actions: ActionsCfg = ActionsCfg()
    commands: CommandsCfg = CommandsCfg()
    rewards: RewardsCfg = RewardsCfg()
    terminations: TerminationsCfg = TerminationsCfg()
    events: EventsCfg = EventsCfg()

    def __post_init__(self) -> None:
        self.decimation = 4
        self.episode_length_s = 10.0
        self.sim.dt = 0.005
        self.sim.render_interval = self.decimation
        self.sim.physics_material = self.scene.terrain.physics_material
        self.sim.physx.gpu_max_rigid_patch_count = 10 * 2**15
        self.viewer.eye = (1.5, 1.5, 1.5)
        self.viewer.origin_type = "asset_root"
        self.viewer.asset_name = "robot"
