from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g1_vq_retarget.viewer.scene import Scene

pytest.importorskip("viser")
from g1_vq_retarget.viewer.nodes import WORST_MM, Look, SceneNodes, shade
from g1_vq_retarget.viewer.shapes import link_meshes
from g1_vq_retarget.viewer.web import start_server


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    server = start_server("127.0.0.1", 0)
    yield server
    server.stop()


@pytest.fixture
def nodes(server: Any, scene: Scene) -> Iterator[SceneNodes]:
    nodes = SceneNodes(server, scene, link_meshes(scene.robot, "capsules"), Look())
    yield nodes
    nodes.remove()


def world_pose(server: Any, name: str) -> tuple[np.ndarray, Rotation]:
    """Where a node is, by the poses of all nodes that it hangs on, as a browser finds it."""
    pos, rotation = np.zeros(3), Rotation.identity()
    parts = name.strip("/").split("/")
    for depth in range(1, len(parts) + 1):
        node = server.scene.get_handle_by_name("/" + "/".join(parts[:depth]))
        pos = pos + rotation.apply(node.position)
        rotation = rotation * Rotation.from_quat(node.wxyz, scalar_first=True)
    return pos, rotation


def paths(scene: Scene, figure: str) -> list[str]:
    """Names of the nodes of a robot's links."""
    names: list[str] = []
    for link, parent in zip(scene.robot.links, scene.robot.parents, strict=True):
        names.append(f"{names[parent] if parent >= 0 else f'/scene/{figure}'}/{link.name}")
    return names


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("follow", [True, False])
def test_the_server_is_given_what_forward_kinematics_tells(
    server: Any, scene: Scene, nodes: SceneNodes, share: float, follow: bool
) -> None:
    nodes.look.follow = follow
    state = scene.at(share * scene.duration)
    nodes.show(state)
    offsets = scene.offsets(state.frame)
    centre = np.array([*scene.centre[state.frame], 0.0]) * follow
    for figure in ("truth", "model_1", "model_2"):
        shown = state.figures[figure]
        for link, path in enumerate(paths(scene, figure)):
            pos, rotation = world_pose(server, path)
            np.testing.assert_allclose(pos, shown.pos[link] + offsets[figure] - centre, atol=1e-4)
            expected = Rotation.from_quat(shown.quat_wxyz[link], scalar_first=True)
            assert (rotation.inv() * expected).magnitude() < 1e-4
    joints = server.scene.get_handle_by_name("/scene/human/joints").batched_positions
    human = state.figures["human"].pos + offsets["human"] - centre
    np.testing.assert_allclose(joints, human, atol=1e-4)
    bones = server.scene.get_handle_by_name("/scene/human/bones")
    parents = list(scene.figures[0].parents[1:])
    along = Rotation.from_quat(bones.batched_wxyzs, scalar_first=True).apply([0.0, 0.0, 1.0])
    for end, sign in ((human[1:], 0.5), (human[parents], -0.5)):
        reach = sign * bones.batched_scales[:, 2:] * along
        np.testing.assert_allclose(bones.batched_positions + reach, end, atol=1e-4)


def test_links_redden_with_their_error(server: Any, scene: Scene, nodes: SceneNodes) -> None:
    state = scene.at(0.5)
    nodes.show(state)
    model, truth = scene.models[0], scene.figures[1]
    error = state.figures["model_1"].error_mm
    assert error is not None
    for link, path in enumerate(paths(scene, "model_1")):
        if scene.robot.links[link].capsules:
            colour = server.scene.get_handle_by_name(f"{path}/mesh").color
            assert tuple(colour) == shade(model, error[link])
    assert tuple(server.scene.get_handle_by_name("/scene/truth/pelvis/mesh").color) == truth.rgb
    nodes.look.errors = False
    nodes.show(state)
    assert tuple(server.scene.get_handle_by_name("/scene/model_1/pelvis/mesh").color) == model.rgb
    # the further off, the darker, and no darker than the worst
    shades = [sum(shade(model, error)) for error in (0.0, 0.3 * WORST_MM, 0.7 * WORST_MM, WORST_MM, 9 * WORST_MM)]
    assert shades == sorted(shades, reverse=True)
    assert shades[-1] == shades[-2] < shades[-3]


def test_feet_labels_and_overlay_follow_the_look(server: Any, scene: Scene, nodes: SceneNodes) -> None:
    def handle(name: str) -> Any:
        return server.scene.get_handle_by_name(f"/scene/{name}")

    contact = scene.figures[1].contact
    assert contact is not None
    for frame in (0, int(np.argmax(contact[:, 0])), int(np.argmin(contact[:, 0]))):
        nodes.show(scene.at_frame(frame))
        assert handle("truth/contact_0").visible == bool(contact[frame, 0])
    assert handle("truth/label").text == "ground truth"
    nodes.show(scene.at_frame(scene.frames - 1))
    assert handle("truth/label").text == "ground truth (ended)"
    assert handle("model_1/label").text == "one"
    nodes.look = Look(overlay=True, labels=False, contacts=False)
    nodes.show(scene.at_frame(0))
    assert not handle("truth/label").visible
    assert not handle("truth/contact_0").visible
    assert handle("truth/pelvis/mesh").opacity is not None
    assert handle("model_1/pelvis/mesh").opacity is None
    lanes = [handle(f"{name}/pelvis").position[:2] for name in ("truth", "model_1")]
    np.testing.assert_allclose(*lanes, atol=0.6)  # upon one another, each with its own sway


def test_a_scene_leaves_nothing_behind(server: Any, scene: Scene) -> None:
    nodes = SceneNodes(server, scene, link_meshes(scene.robot, "capsules"), Look())
    nodes.show(scene.at(0.0))
    nodes.remove()
    assert server.scene.get_handle_by_name("/scene/truth/pelvis") is None
    assert server.scene.get_handle_by_name("/scene") is None
