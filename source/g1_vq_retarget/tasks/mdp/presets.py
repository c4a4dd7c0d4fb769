"""Which terms make a tracking task, with what weights: BeyondMimic's, and mjlab's as a difference from it.

They differ in these:

|                | BeyondMimic (whole_body_tracking)             | mjlab 1.6.0                                 |
|----------------|-----------------------------------------------|---------------------------------------------|
| anchor rewards | motion_global_anchor_pos, …_ori               | motion_global_root_pos, …_ori, the same     |
| contacts       | undesired_contacts: bodies but feet and hands | self_collisions: the robot with itself,     |
|                | touched by more than 1 N, -0.1 each           | by more than 10 N, -10 for each substep     |
| velocities     | of the links' centres of mass                 | of the links' origins                       |
| base_*_vel     | the root's                                    | of an IMU in the pelvis                     |
| joint_pos      | joints whose defaults are offset at random    | the actor's read by biased encoders         |
| groups         | policy, critic                                | actor, critic                               |

Weights, widths, thresholds and noise are otherwise the same. The library's velocities are of the links' origins, so an
adapter compares the robot's `body_link_lin_vel_w` with them in either simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from g1_vq_retarget.tasks.mdp import rewards, terminations


@dataclass(frozen=True)
class Reward:
    """A term of the reward: its function, what to multiply it by (and by the step's seconds), its parameters."""

    function: Callable[..., Tensor]
    weight: float
    params: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Termination:
    """A failure: its function and threshold."""

    function: Callable[..., Tensor]
    threshold: float


@dataclass(frozen=True)
class Preset:
    """The terms of a task by name.

    Attributes:
        rewards: in their order.
        terminations: failures; the end of an episode's time is none.
        noise: of what the actor observes, in its order, the half width of the uniform noise on each.
        without_state_estimation: what of it an actor lacks that does not know where it is.
    """

    rewards: Mapping[str, Reward]
    terminations: Mapping[str, Termination]
    noise: Mapping[str, float]
    without_state_estimation: tuple[str, ...] = ("motion_anchor_pos_b", "base_lin_vel")


BEYONDMIMIC = Preset(
    rewards={
        "motion_global_anchor_pos": Reward(rewards.motion_global_anchor_position_error_exp, 0.5, {"std": 0.3}),
        "motion_global_anchor_ori": Reward(rewards.motion_global_anchor_orientation_error_exp, 0.5, {"std": 0.4}),
        "motion_body_pos": Reward(rewards.motion_relative_body_position_error_exp, 1.0, {"std": 0.3}),
        "motion_body_ori": Reward(rewards.motion_relative_body_orientation_error_exp, 1.0, {"std": 0.4}),
        "motion_body_lin_vel": Reward(rewards.motion_global_body_linear_velocity_error_exp, 1.0, {"std": 1.0}),
        "motion_body_ang_vel": Reward(rewards.motion_global_body_angular_velocity_error_exp, 1.0, {"std": 3.14}),
        "action_rate_l2": Reward(rewards.action_rate_l2, -0.1),
        "joint_limit": Reward(rewards.joint_pos_limits, -10.0),
        "undesired_contacts": Reward(rewards.undesired_contacts, -0.1, {"threshold": 1.0}),
    },
    terminations={
        "anchor_pos": Termination(terminations.bad_anchor_pos_z_only, 0.25),
        "anchor_ori": Termination(terminations.bad_anchor_ori, 0.8),
        # of feet and hands
        "ee_body_pos": Termination(terminations.bad_motion_body_pos_z_only, 0.25),
    },
    noise={
        "command": 0.0,
        "motion_anchor_pos_b": 0.25,
        "motion_anchor_ori_b": 0.05,
        "base_lin_vel": 0.5,
        "base_ang_vel": 0.2,
        "joint_pos": 0.01,
        "joint_vel": 0.5,
        "actions": 0.0,
    },
)

_MJLAB_NAMES = {
    "motion_global_anchor_pos": "motion_global_root_pos",
    "motion_global_anchor_ori": "motion_global_root_ori",
}
MJLAB = replace(
    BEYONDMIMIC,
    rewards={
        _MJLAB_NAMES.get(name, name): term for name, term in BEYONDMIMIC.rewards.items() if name != "undesired_contacts"
    }
    | {"self_collisions": Reward(rewards.self_collision_cost, -10.0, {"force_threshold": 10.0})},
)
