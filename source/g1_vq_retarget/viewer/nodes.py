"""A scene as nodes of a viser server, for the live page and for the recording in the offline one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.viewer.scene import SPACING_M, Figure, FigureState, Scene, SceneState
from g1_vq_retarget.viewer.shapes import Mesh, ball, rod

# The link distance at which a model is as dark red as it gets, mm, and how many shades lead there.
WORST_MM = 100.0
SHADES = 16
_WORST = np.array([130, 0, 20])
# How much white is mixed into a figure's colour where there is no error.
_PALE = 0.45
_JOINT_RADIUS, _BONE_RADIUS, _HEAD_RADIUS = 0.028, 0.016, 0.085
_CONTACT_RADIUS = 0.13
_SEEN_THROUGH = 0.35
# Of a label above the highest joint, m: above the head.
LABEL_RISE = 0.3


@dataclass
class Look:
    """How a scene is shown.

    Attributes:
        overlay: all figures upon one another, human and truth seen through, instead of side by side.
        together: whether the slow drift of a model's place is taken out, see `Scene.offsets`.
        follow: whether the view goes along with the figures: the ground then passes beneath them.
        errors: whether a model's links redden with their distance from the truth's.
        contacts: whether a disc shows under each foot that touches the floor.
        labels: whether names stand over the figures.
    """

    overlay: bool = False
    together: bool = True
    follow: bool = True
    errors: bool = True
    contacts: bool = True
    labels: bool = True


class SceneNodes:
    """Backend for a viser server: makes the nodes of a scene, and moves them.

    Links hang in one another as in the robot, so that a moment is one rotation a link. Nodes are named
    `/scene/FIGURE/LINK/…/LINK`.

    Args:
        server: the `viser.ViserServer`.
        scene: what to show.
        meshes: of the robot's links, in their frames.
        look: how; may be changed between moments.
    """

    def __init__(self, server: Any, scene: Scene, meshes: dict[str, Mesh], look: Look) -> None:
        self.server = server
        self.scene = scene
        self.look = look
        add = server.scene
        # from ahead, a little from above, far enough to see all figures
        server.initial_camera.position = (max(2.6, 1.3 * len(scene.figures)), 0.0, 1.3)
        server.initial_camera.look_at = (0.0, 0.0, 0.65)
        server.initial_camera.fov = 0.75
        self.root = add.add_frame("/scene", show_axes=False)
        self.floor = add.add_grid(
            "/scene/floor",
            infinite_grid=True,
            fade_distance=14.0,
            cell_color=(225, 225, 225),
            section_color=(200, 200, 200),
            cell_size=0.5,
            section_size=1.0,
            plane_color=(250, 250, 250),
            plane_opacity=1.0,
        )
        self.figures: dict[str, _HumanNodes | _RobotNodes] = {
            figure.name: (
                _RobotNodes(server, scene, figure, meshes, number)
                if figure.is_robot
                else _HumanNodes(server, figure, number)
            )
            for number, figure in enumerate(scene.figures)
        }

    def show(self, state: SceneState) -> None:
        """Move every node to where its part is at that moment."""
        offsets = self.scene.offsets(state.frame, 0.0 if self.look.overlay else SPACING_M, self.look.together)
        # not by a node above all: of what a slow browser gets late, parts would then be metres apart
        centre = np.array([*self.scene.centre[state.frame], 0.0]) * self.look.follow
        with self.server.atomic():
            self.floor.position = -centre % (1.0, 1.0, 1.0)  # it looks the same after each metre
            for name, nodes in self.figures.items():
                nodes.show(state.figures[name], offsets[name] - centre, self.look)

    def remove(self) -> None:
        """Take the whole scene off the server."""
        self.root.remove()


def shade(figure: Figure, error_mm: float) -> tuple[int, int, int]:
    """Colour of a link that is so far off, in `SHADES` steps from the figure's own, made paler, to dark red."""
    step = round(min(error_mm / WORST_MM, 1.0) * SHADES) / SHADES
    pale = _PALE * 255 + (1 - _PALE) * np.array(figure.rgb)
    red, green, blue = np.round((1 - step) * pale + step * _WORST).astype(int).tolist()
    return red, green, blue


class _Label:
    def __init__(self, server: Any, figure: Figure, number: int) -> None:
        self.text = figure.label
        self.number = number
        self.node = server.scene.add_label(
            f"/scene/{figure.name}/label", figure.label, anchor="bottom-center", font_screen_scale=1.2
        )

    def show(self, state: FigureState, shift: np.ndarray, look: Look) -> None:
        self.node.visible = look.labels
        # upon one another they would hide one another
        height = 1.2 + 0.08 * self.number if look.overlay else float(state.pos[:, 2].max())
        self.node.position = (*(state.pos[0] + shift)[:2], height + LABEL_RISE)
        self.node.text = f"{self.text} (ended)" if state.ended else self.text


class _HumanNodes:
    """Joints as balls, bones as rods between them."""

    def __init__(self, server: Any, figure: Figure, number: int) -> None:
        self.parents, self.children = list(figure.parents[1:]), list(range(1, len(figure.parts)))
        server.scene.add_frame(f"/scene/{figure.name}", show_axes=False)
        joints, bones = len(figure.parts), len(self.children)
        sizes = np.ones(joints)
        sizes[figure.parts.index("head")] = _HEAD_RADIUS / _JOINT_RADIUS
        self.joints = server.scene.add_batched_meshes_simple(
            f"/scene/{figure.name}/joints",
            *ball(_JOINT_RADIUS),
            np.tile([1.0, 0.0, 0.0, 0.0], (joints, 1)),
            figure.pos[0],
            batched_scales=sizes,
            batched_colors=figure.rgb,
            lod="off",
        )
        place, turn, length = self._bones(figure.pos[0])
        # bones keep their lengths
        self.bones = server.scene.add_batched_meshes_simple(
            f"/scene/{figure.name}/bones",
            *rod(_BONE_RADIUS, 1.0),
            turn,
            place,
            batched_scales=np.stack([np.ones(bones), np.ones(bones), length], axis=1),
            batched_colors=figure.rgb,
            lod="off",
        )
        self.label = _Label(server, figure, number)

    def show(self, state: FigureState, shift: np.ndarray, look: Look) -> None:
        self.joints.batched_positions = (state.pos + shift).astype(np.float32)
        place, turn, _ = self._bones(state.pos + shift)
        self.bones.batched_positions = place.astype(np.float32)
        self.bones.batched_wxyzs = turn.astype(np.float32)
        self.joints.opacity = self.bones.opacity = _SEEN_THROUGH if look.overlay else None
        self.label.show(state, shift, look)

    def _bones(self, pos: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Middle (B, 3), orientation of the z axis (B, 4) wxyz and length (B,) of each bone."""
        start, end = pos[self.parents], pos[self.children]
        length = np.linalg.norm(end - start, axis=1)
        x, y, z = ((end - start) / length.clip(1e-9)[:, None]).T
        # the shortest turn from z: (1 + z . d, z x d); downwards, about x
        quat = np.stack([1 + z, -y, x, np.zeros_like(x)], axis=1)
        quat[quat[:, 0] < 1e-6] = (0.0, 1.0, 0.0, 0.0)
        return (start + end) / 2, quat / np.linalg.norm(quat, axis=1, keepdims=True), length


class _RobotNodes:
    """A frame a link, with its mesh in it."""

    def __init__(self, server: Any, scene: Scene, figure: Figure, meshes: dict[str, Mesh], number: int) -> None:
        self.figure = figure
        server.scene.add_frame(f"/scene/{figure.name}", show_axes=False)
        self.links, self.meshes = [], {}
        paths: list[str] = []
        for index, (link, parent) in enumerate(zip(scene.robot.links, figure.parents, strict=True)):
            paths.append(f"{paths[parent] if index else f'/scene/{figure.name}'}/{link.name}")
            self.links.append(server.scene.add_frame(paths[index], show_axes=False, position=link.pos))
            if link.name in meshes:
                mesh = meshes[link.name]
                self.meshes[index] = server.scene.add_mesh_simple(
                    f"{paths[index]}/mesh", mesh.vertices, mesh.faces, color=figure.rgb, side="double"
                )
        self.feet = scene.robot.link_indices(scene.robot.feet)
        disc = rod(_CONTACT_RADIUS, 0.006, sections=32)
        self.contacts = [
            server.scene.add_mesh_simple(
                f"/scene/{figure.name}/contact_{side}",
                disc.vertices,
                disc.faces,
                color=figure.rgb,
                opacity=0.5,
                cast_shadow=False,
            )
            for side in range(len(self.feet))
        ]
        self.parents = np.array(figure.parents[1:])
        self.label = _Label(server, figure, number)

    def show(self, state: FigureState, shift: np.ndarray, look: Look) -> None:
        outer, turns = (
            Rotation.from_quat(state.quat_wxyz[links], scalar_first=True) for links in (self.parents, slice(1, None))
        )
        local = (outer.inv() * turns).as_quat(scalar_first=True)
        self.links[0].position = state.pos[0] + shift
        for node, quat in zip(self.links, [state.quat_wxyz[0], *local], strict=True):
            node.wxyz = quat
        opacity = _SEEN_THROUGH if look.overlay and self.figure.tokens is None else None
        for index, mesh in self.meshes.items():
            error = state.error_mm[index] if look.errors and state.error_mm is not None else None
            mesh.color = self.figure.rgb if error is None else shade(self.figure, float(error))
            mesh.opacity = opacity
        for side, (node, foot) in enumerate(zip(self.contacts, self.feet, strict=True)):
            node.position = (*(state.pos[foot] + shift)[:2], 0.004)
            node.visible = look.contacts and state.contact is not None and bool(state.contact[side])
        self.label.show(state, shift, look)
