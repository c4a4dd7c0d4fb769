"""Robot frames as the low-level controllers of TWIST and TWIST2 read them from Redis.

Keys, layouts and default poses are facts of their servers: of TWIST (github.com/YanjieZe/TWIST) `build_mimic_obs` and
the loop in `deploy_real/server_high_level_motion_lib.py`, `extract_mimic_obs_to_body_and_wrist` in
`server_low_level_g1_sim.py` and `DEFAULT_MIMIC_OBS` in `data_utils/params.py`; of TWIST2
(github.com/amazon-far/TWIST2) the same of `deploy_real/server_motion_lib.py` and `params.py`, the keys that
`server_low_level_g1_sim.py` reads, and `t_action`, ms of the wall clock, which its teleoperation tells. Each value is a
JSON list. Both shut down by two seconds' way to the default pose.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.retarget.live import RobotFrame
from g1_vq_retarget.robot import index_by_name, load_robot
from g1_vq_retarget.streaming.robot_stream import Standing

LayoutName = Literal["twist", "twist2"]

_LEG = {"hip_pitch": -0.2, "knee": 0.4, "ankle_pitch": -0.2}


@dataclass(frozen=True)
class Layout:
    """What a controller reads.

    Attributes:
        body: key of the robot's pose.
        others: values of all other keys that it reads: hands and neck, all open and straight.
        time: key of when it was told, ms; None if there is none.
        joint_names: joints of the pose, in their order.
        standing: the default pose.
        planar: the root is told by its speed along the floor, height, roll, pitch and turning rate (TWIST2); otherwise
            by height, roll, pitch, yaw, speed in all three directions and turning rate (TWIST).
    """

    body: str
    others: dict[str, list[float]]
    time: str | None
    joint_names: tuple[str, ...]
    standing: Standing
    planar: bool

    def pose(self, frame: RobotFrame, before: RobotFrame, joint_names: Sequence[str], fps: float) -> np.ndarray:
        """(33,) or (35,) the values of the key `body`.

        The root's velocities are those since the frame before, in the root's own frame, m/s and rad/s; roll, pitch and
        yaw turn about the world's x, y, z, one after the other, rad.

        Args:
            frame, before: a pose and the one of 1/fps before it.
            joint_names: of their joints.
            fps: frames a second.
        """
        rotation = Rotation.from_quat(frame.root_quat_w, scalar_first=True)
        turned = Rotation.from_quat(before.root_quat_w, scalar_first=True).inv() * rotation
        speed = rotation.inv().apply((frame.root_pos_w - before.root_pos_w) * fps)
        rate = turned.as_rotvec()[2] * fps
        roll, pitch, yaw = rotation.as_euler("xyz")
        height = frame.root_pos_w[2]
        joints = np.asarray(frame.joint_pos)[index_by_name(joint_names, self.joint_names)]
        root = [*speed[:2], height, roll, pitch, rate] if self.planar else [height, roll, pitch, yaw, *speed, rate]
        return np.array([*root, *joints])

    def values(self, pose: np.ndarray, milliseconds: int) -> dict[str, str]:
        """JSON by key, of a pose told at some time (ms of the wall clock)."""
        told = {self.body: json.dumps(pose.tolist())} | {key: json.dumps(value) for key, value in self.others.items()}
        return told if self.time is None else told | {self.time: str(milliseconds)}


def layout(name: LayoutName) -> Layout:
    """TWIST's or TWIST2's layout for the G1."""
    joints = load_robot().joint_names
    if name == "twist2":
        robot = "unitree_g1_with_hands"
        hands = {f"action_hand_{side}_{robot}": [0.0] * 7 for side in ("left", "right")}
        others = hands | {f"action_neck_{robot}": [0.0] * 2}
        return Layout(f"action_body_{robot}", others, "t_action", joints, _standing(0.8, 0.4), planar=True)
    # the policy knows 23 joints; of the wrists, the roll is told for the motors alone
    known = tuple(joint for joint in joints if not joint.endswith(("wrist_pitch_joint", "wrist_yaw_joint")))
    return Layout("action_mimic_g1", {"action_hand_g1": [0.0] * 14}, None, known, _standing(0.793, 0.2), planar=False)


def _standing(height: float, shoulder_roll: float) -> Standing:
    """Knees a little bent, forearms forward, upper arms away from the body."""
    angles = dict.fromkeys(load_robot().joint_names, 0.0)
    for side, sign in (("left", 1), ("right", -1)):
        arm = {"shoulder_roll": sign * shoulder_roll, "elbow": 1.2}
        angles |= {f"{side}_{joint}_joint": angle for joint, angle in (_LEG | arm).items()}
    return Standing(height, angles)
