"""Robots and grounds to spawn: a G1 as URDF, made of this package's link table, and a folder that plays Nucleus."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pxr import Usd, UsdGeom, UsdPhysics, UsdShade
from scipy.spatial.transform import Rotation

from g1_vq_retarget.robot import Capsule, RobotModel, load_robot
from isaac_standin.urdf import write_usd

# Joints of a Dex3 hand: Isaac's g1.usd has two.
_FINGERS = (("thumb", 3), ("middle", 2), ("index", 2))


def write_urdf(path: Path, robot: RobotModel | None = None, hands: bool = False, without: str = "") -> Path:
    """A robot as URDF, its capsules as cylinders, which is how Isaac's importer takes them.

    Args:
        path: of the file.
        robot: by default the G1.
        hands: with fingers, a rough stand-in of Dex3's.
        without: a joint to leave out, its link being fixed.
    """
    robot = robot or load_robot()
    top = ET.Element("robot", name=robot.name)
    for link in robot.links:
        body = ET.SubElement(top, "link", name=link.name)
        _inertial(body, link.mass, link.inertia_diagonal, link.com, link.inertia_quat_wxyz)
        for capsule in link.capsules:
            _collision(body, capsule)
        if link.joint is None:
            continue
        fixed = link.joint.name == without
        joint = _joint(top, link.joint.name, str(link.parent), link.name, fixed)
        turn = Rotation.from_quat(link.quat_wxyz, scalar_first=True)
        ET.SubElement(joint, "origin", xyz=_text(link.pos), rpy=_text(turn.as_euler("xyz")))
        ET.SubElement(joint, "axis", xyz=_text(link.joint.axis))
        ET.SubElement(joint, "limit", lower=f"{link.joint.lower:.9g}", upper=f"{link.joint.upper:.9g}")
    for hand in robot.hands if hands else ():
        side = hand.split("_")[0]
        for finger, count in _FINGERS:
            parent = hand
            for number in range(count):
                name = f"{side}_hand_{finger}_{number}"
                body = ET.SubElement(top, "link", name=f"{name}_link")
                _inertial(body, 0.05, (2e-5, 2e-5, 2e-5))
                _collision(body, Capsule((0.0, 0.0, 0.0), (0.03, 0.0, 0.0), 0.01))
                joint = _joint(top, f"{name}_joint", parent, f"{name}_link")
                ET.SubElement(joint, "origin", xyz="0.04 0 0")
                ET.SubElement(joint, "axis", xyz="0 1 0")
                ET.SubElement(joint, "limit", lower="-1", upper="1")
                parent = f"{name}_link"
    path.write_text(ET.tostring(top, encoding="unicode"), encoding="utf-8")
    return path


def make_nucleus(folder: Path) -> None:
    """What stock configurations load: Isaac's G1 with hands, and the ground plane."""
    robot = folder / "Isaac/Robots/Unitree/G1/g1.usd"
    ground = folder / "Isaac/Environments/Grid/default_environment.usd"
    for path in (robot, ground):
        path.parent.mkdir(parents=True)
    write_usd(write_urdf(folder / "g1_with_hands.urdf", hands=True), robot)
    stage = Usd.Stage.CreateNew(str(ground))
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/World").GetPrim())
    UsdPhysics.CollisionAPI.Apply(UsdGeom.Plane.Define(stage, "/World/CollisionPlane").GetPrim())
    UsdGeom.Xform.Define(stage, "/World/Environment").AddScaleOp()
    UsdShade.Shader.Define(stage, "/World/Looks/theGrid/Shader")
    stage.GetRootLayer().Save()


def _joint(top: ET.Element, name: str, parent: str, child: str, fixed: bool = False) -> ET.Element:
    joint = ET.SubElement(top, "joint", name=name, type="fixed" if fixed else "revolute")
    ET.SubElement(joint, "parent", link=parent)
    ET.SubElement(joint, "child", link=child)
    return joint


def _inertial(
    body: ET.Element,
    mass: float,
    diagonal: Iterable[float],
    com: Iterable[float] = (0.0, 0.0, 0.0),
    quat_wxyz: Iterable[float] = (1.0, 0.0, 0.0, 0.0),
) -> None:
    inertial = ET.SubElement(body, "inertial")
    ET.SubElement(inertial, "mass", value=f"{mass:.9g}")
    ET.SubElement(inertial, "origin", xyz=_text(com))
    axes = Rotation.from_quat(list(quat_wxyz), scalar_first=True).as_matrix()
    tensor = axes @ np.diag(list(diagonal)) @ axes.T
    places = {f"i{'xyz'[i]}{'xyz'[j]}": f"{tensor[i, j]:.9g}" for i in range(3) for j in range(i, 3)}
    ET.SubElement(inertial, "inertia", **places)


def _collision(body: ET.Element, capsule: Capsule) -> None:
    """A sphere, or a cylinder along z of its origin."""
    start, end = np.array(capsule.start), np.array(capsule.end)
    x, y, z = (end - start).tolist()
    collision = ET.SubElement(body, "collision")
    turn = 0.0, math.atan2(math.hypot(x, y), z), math.atan2(y, x)
    ET.SubElement(collision, "origin", xyz=_text((start + end) / 2), rpy=_text(turn))
    geometry, radius = ET.SubElement(collision, "geometry"), f"{capsule.radius:.9g}"
    length = math.hypot(x, y, z)
    if length:
        ET.SubElement(geometry, "cylinder", radius=radius, length=f"{length:.9g}")
    else:
        ET.SubElement(geometry, "sphere", radius=radius)


def _text(values: Iterable[float]) -> str:
    return " ".join(f"{value:.9g}" for value in values)
