"""A MuJoCo model of the robot without meshes, generated from its link table."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from g1_vq_retarget.robot.model import Link, RobotModel


def build_mjcf(robot: RobotModel, floor: bool = True) -> str:
    """MJCF text: free root, hinges with limits and armature, inertias, capsules, a foot and a hand site each.

    The generalised positions are the root's (x y z, quaternion wxyz) and then the joints in `robot.joint_names`
    order. Capsules collide with the floor and not with each other. Needs no mesh files; `mujoco` is not imported.
    """
    root = ET.Element("mujoco", model=robot.name)
    ET.SubElement(root, "compiler", angle="radian", autolimits="true")
    ET.SubElement(root, "option", timestep="0.005")
    default = ET.SubElement(root, "default")
    ET.SubElement(default, "geom", type="capsule", contype="0", conaffinity="1", rgba="0.65 0.68 0.72 1")
    ET.SubElement(default, "site", size="0.01", group="5")
    world = ET.SubElement(root, "worldbody")
    if floor:
        # the capsules' conaffinity meets the floor's contype, and no other capsule's
        ET.SubElement(world, "geom", name="floor", type="plane", size="0 0 0.05", contype="1", rgba="0.9 0.9 0.9 1")
        ET.SubElement(world, "light", pos="0 0 4", directional="true")

    elements: dict[str | None, ET.Element] = {None: world}
    for link in robot.links:
        elements[link.name] = _body(elements[link.parent], link, robot)

    actuators = ET.SubElement(root, "actuator")
    for joint in robot.joints:
        effort = _numbers([-joint.motor.effort, joint.motor.effort])
        ET.SubElement(actuators, "motor", name=joint.name, joint=joint.name, ctrlrange=effort)

    keyframe = ET.SubElement(root, "keyframe")
    pose = [0.0, 0.0, robot.default_root_height, 1.0, 0.0, 0.0, 0.0, *robot.default_joint_pos]
    ET.SubElement(keyframe, "key", name="default", qpos=_numbers(pose))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _body(parent: ET.Element, link: Link, robot: RobotModel) -> ET.Element:
    body = ET.SubElement(parent, "body", name=link.name, pos=_numbers(link.pos), quat=_numbers(link.quat_wxyz))
    ET.SubElement(
        body,
        "inertial",
        pos=_numbers(link.com),
        quat=_numbers(link.inertia_quat_wxyz),
        mass=_numbers([link.mass]),
        diaginertia=_numbers(link.inertia_diagonal),
    )
    if link.joint is None:
        ET.SubElement(body, "freejoint", name="root")
    else:
        ET.SubElement(
            body,
            "joint",
            name=link.joint.name,
            type="hinge",
            axis=_numbers(link.joint.axis),
            range=_numbers([link.joint.lower, link.joint.upper]),
            armature=_numbers([link.joint.motor.armature]),
        )
    for number, capsule in enumerate(link.capsules):
        ET.SubElement(
            body,
            "geom",
            name=f"{link.name}_{number}",
            fromto=_numbers([*capsule.start, *capsule.end]),
            size=_numbers([capsule.radius]),
        )
    if link.name in (*robot.feet, *robot.hands):
        ET.SubElement(body, "site", name=link.name)
    return body


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:.10g}" for value in values)
