from __future__ import annotations

import importlib.util

import numpy as np
import pytest

pytest.importorskip("trimesh")
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.viewer import shapes
from g1_vq_retarget.viewer.shapes import Mesh, find_mesh_model, link_meshes


def distance_to_segment(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    way = end - start
    along = ((points - start) @ way / max(way @ way, 1e-12)).clip(0, 1)
    return np.linalg.norm(points - start - along[:, None] * way, axis=1)


def test_capsules_are_those_of_the_link_table() -> None:
    robot = load_robot()
    meshes = link_meshes(robot, "capsules")
    assert set(meshes) == {link.name for link in robot.links if link.capsules}
    for link in robot.links:
        if link.capsules:
            vertices = meshes[link.name].vertices
            off = [
                distance_to_segment(vertices, np.array(capsule.start), np.array(capsule.end)) - capsule.radius
                for capsule in link.capsules
            ]
            # every vertex lies on one of the capsules, and every capsule has some
            np.testing.assert_allclose(np.abs(off).min(axis=0), 0.0, atol=1e-6)
            assert (np.abs(off).min(axis=1) < 1e-6).all()


def test_meshes_are_the_published_ones_coarsened() -> None:
    robot = load_robot()
    if find_mesh_model(robot) is None:
        pytest.skip("mjlab is not installed")
    meshes = link_meshes(robot, "meshes")
    assert set(meshes) == set(robot.link_names)
    assert sum(len(mesh.faces) for mesh in meshes.values()) < 150_000
    for link in robot.links:
        # coarse capsules and meshes are the same bodies: their middles agree within centimetres
        if link.capsules:
            ends = np.array([end for capsule in link.capsules for end in (capsule.start, capsule.end)])
            assert np.linalg.norm(meshes[link.name].vertices.mean(axis=0) - ends.mean(axis=0)) < 0.15, link.name


def test_coarsening_joins_what_shares_a_cell() -> None:
    # two triangles over a square of side 1, and a sliver within a cell
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.01, 0.01, 0], [0.02, 0, 0]], dtype=float) + 0.04
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 4, 5], [2, 4, 1]])
    coarse = shapes._coarsened(Mesh(vertices, faces), 0.1)
    assert len(coarse.vertices) == 4
    assert len(coarse.faces) == 2  # the sliver is gone, and the last one is the first


def test_meshes_that_are_not_installed_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    robot = load_robot()
    assert find_mesh_model(robot) is None
    with pytest.raises(UserError, match="--shape capsules"):
        link_meshes(robot, "meshes")
    assert set(link_meshes(robot, "auto")) == set(link_meshes(robot, "capsules"))
