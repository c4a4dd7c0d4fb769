"""A scene as a MuJoCo model of bodies that go where they are put, for pictures and videos."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.viewer.nodes import Look, shade
from g1_vq_retarget.viewer.offscreen import VERTICAL_VIEW_DEG, Canvas, require_mujoco
from g1_vq_retarget.viewer.scene import SPACING_M, Figure, Scene, SceneState
from g1_vq_retarget.viewer.shapes import Mesh, Shape, link_meshes

JOINT_RADIUS, BONE_RADIUS, HEAD_RADIUS = 0.03, 0.018, 0.085
_CONTACT_RADIUS = 0.13
_SEEN_THROUGH = 0.35
# Above the floor, m: what the camera looks at, and what it has to see above and below that.
_MIDDLE, _HALF_HEIGHT = 0.72, 1.0
_ELEVATION_DEG = 9.0
_LAMP = "lamp"
# Of a label above the highest part of its figure, m.
_LABEL_RISE = 0.04


class Stage:
    """Backend that turns moments into pictures. Use it in a `with` block, see `Canvas`.

    Every part of every figure is a mocap body, so that the links are exactly where the scene says.

    Args:
        scene: what to show.
        shape: what links look like.
        look: how the scene is shown.
        size: width and height of the pictures, pixels.

    Attributes:
        picture: (H, W, 3) uint8 of the last moment shown.
        heads: place of each figure's label in it, pixels from the left and the top, by the figure's name.

    Raises:
        UserError: mujoco or an OpenGL is missing, or there are no meshes.
    """

    def __init__(self, scene: Scene, shape: Shape, look: Look, size: tuple[int, int]) -> None:
        mujoco = self._mujoco = require_mujoco()
        self.scene, self.look = scene, look
        spec = _empty_stage(mujoco, size)
        meshes = link_meshes(scene.robot, shape)
        for name, mesh in meshes.items():
            _add_mesh(mujoco, spec, name, mesh)
        for figure in scene.figures:
            if figure.is_robot:
                _add_robot(mujoco, spec, figure, meshes, len(scene.robot.feet))
            else:
                _add_human(mujoco, spec, figure)
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._mocap = {
            figure.name: self._mocap_of([_body_name(figure, part) for part in figure.parts]) for figure in scene.figures
        }
        (self._lamp,) = self._mocap_of([_LAMP])
        self._feet = scene.robot.link_indices(scene.robot.feet)
        self._discs = {
            figure.name: self._mocap_of([_disc_name(figure, foot) for foot in range(len(self._feet))])
            for figure in scene.figures
            if figure.is_robot
        }
        # the body that a geom hangs on, as an index into the mocap bodies
        self._geom_mocap = self._model.body_mocapid[self._model.geom_bodyid]
        self._geoms = {name: np.isin(self._geom_mocap, mocap) for name, mocap in self._mocap.items()}
        lanes = 1 if look.overlay else len(scene.figures)
        half_width = (lanes * SPACING_M + 0.3) / 2
        view = np.tan(np.radians(VERTICAL_VIEW_DEG / 2))
        self._distance = max(half_width / (view * size[0] / size[1]), _HALF_HEIGHT / view)
        self._canvas = Canvas(self._model, size)
        self.gl = self._canvas.gl
        self.picture = np.zeros((size[1], size[0], 3), np.uint8)
        self.heads: dict[str, tuple[float, float]] = {}

    def show(self, state: SceneState) -> None:
        """Draw a moment.

        Raises:
            UserError: the OpenGL draws blank pictures.
        """
        look, data = self.look, self._data
        offsets = self.scene.offsets(state.frame, 0.0 if look.overlay else SPACING_M, look.together)
        centre = self.scene.centre[state.frame] if look.follow else np.zeros(2)
        heads = []
        for figure in self.scene.figures:
            now, mocap = state.figures[figure.name], self._mocap[figure.name]
            data.mocap_pos[mocap] = now.pos + offsets[figure.name]
            data.mocap_quat[mocap] = now.quat_wxyz
            alpha = _SEEN_THROUGH if look.overlay and figure.tokens is None else 1.0
            coloured = now.error_mm if look.errors else None
            for index, body in enumerate(mocap):
                colour = figure.rgb if coloured is None else shade(figure, float(coloured[index]))
                self._paint(body, colour, alpha)
            if now.contact is not None:
                discs = self._discs[figure.name]
                data.mocap_pos[discs] = (now.pos[self._feet] + offsets[figure.name]) * (1, 1, 0) + (0, 0, 0.004)
                for body, touching in zip(discs, now.contact, strict=True):
                    self._paint(body, figure.rgb, 0.5 * bool(look.contacts and touching))
            heads.append([*(now.pos[0] + offsets[figure.name])[:2], 0.0])
        data.mocap_pos[self._lamp] = (*centre, 0.0)
        self._mujoco.mj_kinematics(self._model, data)
        tops = data.geom_xpos[:, 2] + self._model.geom_rbound
        for head, figure in zip(heads, self.scene.figures, strict=True):
            head[2] = tops[self._geoms[figure.name]].max() + _LABEL_RISE
        self._mujoco.mj_camlight(self._model, data)
        self.picture = self._canvas.draw(data, np.array([*centre, _MIDDLE]), self._distance, _ELEVATION_DEG)
        places = self._canvas.project(np.array(heads)).tolist()
        self.heads = {figure.name: (x, y) for figure, (x, y) in zip(self.scene.figures, places, strict=True)}

    def close(self) -> None:
        """Free what OpenGL holds."""
        self._canvas.close()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _mocap_of(self, names: list[str]) -> np.ndarray:
        return np.array([self._model.body_mocapid[self._model.body(name).id] for name in names])

    def _paint(self, mocap: int, colour: tuple[int, int, int], alpha: float) -> None:
        self._model.geom_rgba[self._geom_mocap == mocap] = (*(np.array(colour) / 255), alpha)


def _empty_stage(mujoco: Any, size: tuple[int, int]) -> Any:
    """An `mujoco.MjSpec` of a floor, light and sky."""
    spec = mujoco.MjSpec()
    visual = spec.visual
    visual.global_.offwidth, visual.global_.offheight = size
    visual.global_.fovy = VERTICAL_VIEW_DEG
    visual.map.znear, visual.map.zfar = 0.05, 60.0
    visual.quality.shadowsize, visual.map.shadowclip = 4096, 2.0
    visual.headlight.ambient[:], visual.headlight.diffuse[:] = (0.42,) * 3, (0.38,) * 3
    visual.headlight.specular[:] = (0.1,) * 3
    spec.stat.center[:], spec.stat.extent = (0.0, 0.0, _MIDDLE), 4.0
    sky = mujoco.mjtTexture.mjTEXTURE_SKYBOX
    gradient = mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
    spec.add_texture(
        name="sky", type=sky, builtin=gradient, rgb1=(1, 1, 1), rgb2=(0.86, 0.89, 0.93), width=64, height=384
    )
    spec.add_texture(
        name="grid",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=(0.93, 0.93, 0.93),
        rgb2=(0.88, 0.88, 0.88),
        width=256,
        height=256,
    )
    floor = spec.add_material(name="floor", texrepeat=(1, 1), texuniform=True)  # two squares a metre
    floor.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "grid"
    spec.worldbody.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0, 0, 0.05), material="floor", **_UNSOLID
    )
    # goes along with the camera: shadows are only drawn around its place
    lamp = spec.worldbody.add_body(name=_LAMP, mocap=True)
    light = lamp.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, pos=(1.0, -0.7, 2.8), dir=(-0.35, 0.25, -1), castshadow=True
    )
    light.diffuse[:], light.specular[:] = (0.5,) * 3, (0.15,) * 3
    spec.add_material(name="body", specular=0.25, shininess=0.4)
    return spec


_UNSOLID = {"contype": 0, "conaffinity": 0}


def _add_mesh(mujoco: Any, spec: Any, name: str, mesh: Mesh) -> None:
    spec.add_mesh(
        name=name,
        uservert=mesh.vertices.astype(np.float32).ravel(),
        userface=mesh.faces.astype(np.int32).ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,  # the meshes have holes, which have no volume
    )


def _add_robot(mujoco: Any, spec: Any, figure: Figure, meshes: dict[str, Mesh], feet: int) -> None:
    for link in figure.parts:
        body = spec.worldbody.add_body(name=_body_name(figure, link), mocap=True)
        if link in meshes:
            body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=link, material="body", **_UNSOLID)
    for foot in range(feet):
        disc = spec.worldbody.add_body(name=_disc_name(figure, foot), mocap=True)
        disc.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=(_CONTACT_RADIUS, 0.003, 0), **_UNSOLID)


def _add_human(mujoco: Any, spec: Any, figure: Figure) -> None:
    """Each joint as a ball, with the bones that begin there."""
    for index, joint in enumerate(figure.parts):
        body = spec.worldbody.add_body(name=_body_name(figure, joint), mocap=True)
        radius = HEAD_RADIUS if joint == "head" else JOINT_RADIUS
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=(radius, 0, 0), material="body", **_UNSOLID)
        turn = Rotation.from_quat(figure.quat_wxyz[0, index], scalar_first=True)
        for child in (child for child, parent in enumerate(figure.parents) if parent == index):
            # bones keep their lengths and move with where they begin
            end = turn.inv().apply(figure.pos[0, child] - figure.pos[0, index])
            if np.linalg.norm(end) > 1e-3:
                body.add_geom(
                    type=mujoco.mjtGeom.mjGEOM_CAPSULE,
                    fromto=(0, 0, 0, *end),
                    size=(BONE_RADIUS, 0, 0),
                    material="body",
                    **_UNSOLID,
                )


def _body_name(figure: Figure, part: str) -> str:
    return f"{figure.name}/{part}"


def _disc_name(figure: Figure, foot: int) -> str:
    return f"{figure.name}/contact_{foot}"
