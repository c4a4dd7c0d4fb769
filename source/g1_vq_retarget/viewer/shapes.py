"""What a robot's links look like: meshes of an installed asset, or the capsules of the link table."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.robot import Capsule, RobotModel

Shape = Literal["auto", "capsules", "meshes"]
# Vertices nearer than this become one, m: the published meshes have 400,000 triangles, a browser wants a tenth.
MESH_GRID = 0.003


class Mesh(NamedTuple):
    """Triangles in a link's frame: vertices (V, 3), m, and faces (F, 3)."""

    vertices: np.ndarray
    faces: np.ndarray


def link_meshes(robot: RobotModel, shape: Shape = "auto") -> dict[str, Mesh]:
    """A mesh for every link that has a shape, by the link's name.

    Args:
        robot: the link table.
        shape: "meshes" are those of mjlab's model of the robot, coarsened; "capsules" those of the link table;
            "auto" is meshes where they are installed, else capsules.

    Raises:
        UserError: meshes are asked for and not installed.
    """
    asset = None if shape == "capsules" else find_mesh_model(robot)
    if asset is not None:
        return _asset_meshes(asset, robot)
    if shape == "meshes":
        raise UserError(
            "--shape meshes needs the G1 of mjlab and mujoco: pip install -e '.[mjlab]', or --shape capsules"
        )
    return {
        link.name: _joined([_capsule(capsule) for capsule in link.capsules]) for link in robot.links if link.capsules
    }


def find_mesh_model(robot: RobotModel) -> Path | None:
    """The MJCF of the robot with meshes that mjlab ships, where it and mujoco are installed; mjlab is not imported."""
    mjlab, mujoco = importlib.util.find_spec("mjlab"), importlib.util.find_spec("mujoco")
    if robot.name != "g1" or mjlab is None or mjlab.origin is None or mujoco is None:
        return None
    path = Path(mjlab.origin).parent / "asset_zoo/robots/unitree_g1/xmls/g1.xml"
    return path if path.is_file() else None


def _asset_meshes(path: Path, robot: RobotModel) -> dict[str, Mesh]:
    mujoco: Any = importlib.import_module("mujoco")
    model = mujoco.MjModel.from_xml_path(str(path))
    parts: dict[str, list[Mesh]] = {}
    for geom in np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_MESH):
        name, mesh = model.body(model.geom_bodyid[geom]).name, model.geom_dataid[geom]
        first_vertex, first_face = model.mesh_vertadr[mesh], model.mesh_faceadr[mesh]
        vertices = model.mesh_vert[first_vertex : first_vertex + model.mesh_vertnum[mesh]]
        faces = model.mesh_face[first_face : first_face + model.mesh_facenum[mesh]]
        turn = Rotation.from_quat(model.geom_quat[geom], scalar_first=True)
        part = Mesh(turn.apply(vertices) + model.geom_pos[geom], faces)
        parts.setdefault(name, []).append(part)
    return {name: _coarsened(_joined(parts[name]), MESH_GRID) for name in robot.link_names if name in parts}


def _coarsened(mesh: Mesh, grid: float) -> Mesh:
    """The mesh with all vertices of a cell of a grid (m) at their mean (Rossignac and Borrel 1993)."""
    cells = np.floor(mesh.vertices / grid).astype(int)
    _, cell_of, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    cell_of = cell_of.reshape(-1)
    vertices = np.stack([np.bincount(cell_of, column) for column in mesh.vertices.T], axis=1) / count[:, None]
    faces = cell_of[mesh.faces]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    # rotated to begin with the least index, so that a triangle that stands twice is one
    first = np.argmin(faces[whole], axis=1)[:, None]
    faces = np.take_along_axis(faces[whole], (first + np.arange(3)) % 3, axis=1)
    return Mesh(vertices, np.unique(faces, axis=0))


def ball(radius: float) -> Mesh:
    """A ball about the origin."""
    return _mesh(_trimesh().creation.icosphere(subdivisions=2, radius=radius))


def rod(radius: float, height: float, sections: int = 12) -> Mesh:
    """A cylinder about the origin, along z."""
    return _mesh(_trimesh().creation.cylinder(radius, height, sections=sections))


def _capsule(capsule: Capsule) -> Mesh:
    start, end = np.array(capsule.start), np.array(capsule.end)
    length = float(np.linalg.norm(end - start))
    # along z, from one centre of its balls at the origin
    upright = _mesh(_trimesh().creation.capsule(height=length, radius=capsule.radius, count=(12, 16)))
    middle = (upright.vertices.min(axis=0) + upright.vertices.max(axis=0)) / 2
    axis = (end - start) / length if length > 1e-9 else np.array([0.0, 0.0, 1.0])
    turn = Rotation.align_vectors(axis[None], np.array([[0.0, 0.0, 1.0]]))[0]
    return Mesh(turn.apply(upright.vertices - middle) + (start + end) / 2, upright.faces)


def _trimesh() -> Any:
    try:
        import trimesh.creation
    except ImportError as error:
        raise UserError(f"shapes need {error.name}: pip install -e '.[viewer]'") from error
    return trimesh


def _mesh(mesh: Any) -> Mesh:
    return Mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces))


def _joined(parts: list[Mesh]) -> Mesh:
    first = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    faces = [part.faces + start for part, start in zip(parts, first, strict=True)]
    return Mesh(np.concatenate([part.vertices for part in parts]), np.concatenate(faces))
