"""The importer of URDF: links and hinges as a bare USD articulation, fixed links merged into what they are fixed to.

Cylinders become capsules whose straight part is as long. No meshes are read: a small box stands for each.
"""

from __future__ import annotations

import math
import types
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pxr import Gf, Usd, UsdGeom, UsdPhysics
from scipy.spatial.transform import Rotation

from isaac_standin import kit
from isaac_standin.inert import Inert

BOX = 0.05


def write_usd(urdf: str | Path, usd: str | Path) -> None:
    """Convert a file; the USD's default prim is the robot, with a prim a link and the joints below `joints`."""
    robot = ET.parse(urdf).getroot()
    links = {_get(link, "name"): link for link in robot.findall("link")}
    joints = {_get(_child(joint, "child"), "link"): joint for joint in robot.findall("joint")}
    (root,) = links.keys() - joints.keys()
    stage = Usd.Stage.CreateNew(str(usd))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    top = f"/{_get(robot, 'name')}"
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, top).GetPrim())
    UsdGeom.Scope.Define(stage, f"{top}/joints")

    def add(link: str, world: Gf.Matrix4d) -> None:
        _define_link(stage, f"{top}/{link}", links[link], world)
        if link == root:
            UsdPhysics.ArticulationRootAPI.Apply(stage.GetPrimAtPath(f"{top}/{link}"))
        for child, joint in joints.items():
            if _get(_child(joint, "parent"), "link") == link and joint.get("type") != "fixed":
                _define_hinge(stage, top, link, child, joint)
                add(child, _local(joint) * world)

    add(root, Gf.Matrix4d(1.0))
    stage.GetRootLayer().Save()


def _define_link(stage: Usd.Stage, path: str, link: ET.Element, world: Gf.Matrix4d) -> None:
    form = UsdGeom.Xform.Define(stage, path)
    form.AddTranslateOp().Set(world.ExtractTranslation())
    form.AddOrientOp(UsdGeom.XformOp.PrecisionDouble).Set(world.ExtractRotationQuat())
    UsdPhysics.RigidBodyAPI.Apply(form.GetPrim())
    inertial = link.find("inertial")
    if inertial is not None:
        mass = UsdPhysics.MassAPI.Apply(form.GetPrim())
        mass.CreateMassAttr(float(_get(_child(inertial, "mass"), "value")))
        mass.CreateCenterOfMassAttr(Gf.Vec3f(*_numbers(_child(inertial, "origin").get("xyz"))))
        _set_inertia(mass, inertial)
    UsdGeom.Scope.Define(stage, f"{path}/collisions")
    for number, collision in enumerate(link.findall("collision")):
        _define_shape(stage, f"{path}/collisions/shape_{number}", collision)


def _set_inertia(mass: UsdPhysics.MassAPI, inertial: ET.Element) -> None:
    told = inertial.find("inertia")
    if told is None:
        return
    xx, yy, zz, xy, xz, yz = (float(_get(told, key)) for key in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz"))
    turn = Rotation.from_euler("xyz", _numbers(_child(inertial, "origin").get("rpy"))).as_matrix()
    moments, axes = np.linalg.eigh(turn @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ turn.T)
    axes[:, 0] *= np.linalg.det(axes)  # right-handed
    w, x, y, z = Rotation.from_matrix(axes).as_quat(scalar_first=True).tolist()
    mass.CreateDiagonalInertiaAttr(Gf.Vec3f(*moments.tolist()))
    mass.CreatePrincipalAxesAttr(Gf.Quatf(w, x, y, z))


def _define_shape(stage: Usd.Stage, path: str, collision: ET.Element) -> None:
    (shape,) = _child(collision, "geometry")
    size = [1.0, 1.0, 1.0]
    if shape.tag == "cylinder":
        form = UsdGeom.Capsule.Define(stage, path)
        form.CreateRadiusAttr(float(_get(shape, "radius")))
        form.CreateHeightAttr(float(_get(shape, "length")))
    elif shape.tag == "sphere":
        form = UsdGeom.Sphere.Define(stage, path)
        form.CreateRadiusAttr(float(_get(shape, "radius")))
    else:
        form = UsdGeom.Cube.Define(stage, path)
        form.CreateSizeAttr(1.0)
        size = _numbers(shape.get("size")) if shape.tag == "box" else [BOX] * 3
    local = _local(collision)
    form.AddTranslateOp().Set(local.ExtractTranslation())
    form.AddOrientOp(UsdGeom.XformOp.PrecisionDouble).Set(local.ExtractRotationQuat())
    form.AddScaleOp().Set(Gf.Vec3f(*size))
    UsdPhysics.CollisionAPI.Apply(form.GetPrim())


def _define_hinge(stage: Usd.Stage, top: str, parent: str, child: str, joint: ET.Element) -> None:
    axis = _numbers(_child(joint, "axis").get("xyz"))
    if sorted(axis) != [0.0, 0.0, 1.0] or joint.get("type") != "revolute":
        raise NotImplementedError(f"{_get(joint, 'name')}: only hinges about x, y or z are read here")
    hinge = UsdPhysics.RevoluteJoint.Define(stage, f"{top}/joints/{_get(joint, 'name')}")
    hinge.CreateAxisAttr("XYZ"[axis.index(1.0)])
    limit = _child(joint, "limit")
    hinge.CreateLowerLimitAttr(math.degrees(float(_get(limit, "lower"))))
    hinge.CreateUpperLimitAttr(math.degrees(float(_get(limit, "upper"))))
    UsdPhysics.DriveAPI.Apply(hinge.GetPrim(), "angular")
    hinge.CreateBody0Rel().SetTargets([f"{top}/{parent}"])
    hinge.CreateBody1Rel().SetTargets([f"{top}/{child}"])
    local = _local(joint)
    hinge.CreateLocalPos0Attr(Gf.Vec3f(*local.ExtractTranslation()))
    hinge.CreateLocalRot0Attr(Gf.Quatf(local.ExtractRotationQuat()))


def _local(element: ET.Element) -> Gf.Matrix4d:
    """A joint's or a shape's frame in its link's."""
    origin = _child(element, "origin")
    w, x, y, z = Rotation.from_euler("xyz", _numbers(origin.get("rpy"))).as_quat(scalar_first=True).tolist()
    turn = Gf.Matrix4d().SetRotate(Gf.Quatd(w, x, y, z))
    return turn * Gf.Matrix4d().SetTranslate(Gf.Vec3d(*_numbers(origin.get("xyz"))))


def _numbers(text: str | None) -> list[float]:
    return [float(number) for number in (text or "0 0 0").split()]


def _child(element: ET.Element, name: str) -> ET.Element:
    found = element.find(name)
    return ET.Element(name) if found is None else found


def _get(element: ET.Element, key: str) -> str:
    return element.attrib[key]


class _Model:
    """What the importer has parsed: joints by name, whose drives can be told anything."""

    def __init__(self, path: str) -> None:
        names: Iterator[str] = (_get(joint, "name") for joint in ET.parse(path).getroot().findall("joint"))
        self.joints: dict[str, Any] = {name: types.SimpleNamespace(drive=Inert(), type=None) for name in names}
        self.root_link: str | None = None


def install() -> None:
    """Have Kit's commands for URDF executed here."""
    kit.HANDLERS.update(
        {
            "URDFCreateImportConfig": lambda **_: Inert(),
            "URDFParseFile": lambda urdf_path, **_: _Model(urdf_path),
            "URDFImportRobot": lambda urdf_path, dest_path, **_: write_usd(urdf_path, dest_path),
        }
    )
