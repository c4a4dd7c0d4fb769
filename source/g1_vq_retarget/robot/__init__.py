"""What a robot is: named joints, limits, link table, forward kinematics, a MuJoCo model without meshes."""

from g1_vq_retarget.robot.kinematics import BodyPoses, forward_kinematics
from g1_vq_retarget.robot.mjcf import build_mjcf
from g1_vq_retarget.robot.model import Capsule, Joint, Link, Motor, RobotModel, index_by_name, load_robot

__all__ = [
    "BodyPoses",
    "Capsule",
    "Joint",
    "Link",
    "Motor",
    "RobotModel",
    "build_mjcf",
    "forward_kinematics",
    "index_by_name",
    "load_robot",
]
