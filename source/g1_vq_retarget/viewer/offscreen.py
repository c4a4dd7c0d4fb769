"""Pictures of a MuJoCo model without a window, by whichever OpenGL there is."""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np

from g1_vq_retarget.errors import UserError

# Run in a process of its own: a GL that fails leaves PyOpenGL unusable for the next, and may take the process along.
_PROBE = """
import importlib, sys
import mujoco
context = importlib.import_module(f"mujoco.{sys.argv[1]}").GLContext(16, 16)
context.make_current()
drawing = mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), 100)
drawing.free()
context.free()
"""
_FIX = "apt-get install -y libegl1 libgl1-mesa-dri (EGL) or libosmesa6 (OSMesa)"
_HINT = "or let MUJOCO_GL name another (egl, osmesa, glfw)"
# A picture whose brightest and darkest values are nearer than this shows nothing.
_BLANK = 16
VERTICAL_VIEW_DEG = 35.0


def require_mujoco() -> Any:
    """The module `mujoco`.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("mujoco")
    except ImportError as error:
        raise UserError(f"video and image need {error.name}: pip install -e '.[viewer]'") from error


def find_gl() -> str:
    """The OpenGL that works here: what the variable MUJOCO_GL names, otherwise EGL, else OSMesa, else a window's.

    Raises:
        UserError: none does; the message tells why, and what to install.
    """
    require_mujoco()
    asked = os.environ.get("MUJOCO_GL", "").strip().lower()
    if asked:
        names = [asked]
    elif platform.system() == "Linux":
        names = ["egl", "osmesa", *(["glfw"] if os.environ.get("DISPLAY") else [])]
    else:
        names = ["cgl" if platform.system() == "Darwin" else "glfw"]
    failed = {}
    for name in names:
        failed[name] = _failure(name)
        if not failed[name]:
            return name
    reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    raise UserError(f"no OpenGL to draw with ({reasons}): {_FIX}{', ' + _HINT if asked else ''}")


class Canvas:
    """Draws a MuJoCo model, seen from anywhere, into arrays.

    Close it, or use it in a `with` block: an OpenGL that is left to the end of Python complains.

    Args:
        model: an `mujoco.MjModel`; its buffer must be as large as the picture (`vis.global_.offwidth`, `offheight`).
        size: width and height, pixels.

    Attributes:
        gl: which OpenGL draws: "egl", "osmesa", "glfw", …

    Raises:
        UserError: mujoco or an OpenGL is missing.
    """

    def __init__(self, model: Any, size: tuple[int, int]) -> None:
        self.gl = find_gl()
        # MuJoCo's renderer asks for it when mujoco is first imported, which may have been long ago
        os.environ["MUJOCO_GL"] = self.gl
        mujoco = self._mujoco = require_mujoco()
        self._model = model
        self._context = importlib.import_module(f"mujoco.{_module(self.gl)}").GLContext(*size)
        self._context.make_current()
        self._scene = mujoco.MjvScene(model, maxgeom=2000)
        self._drawing = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._drawing)
        self._place = mujoco.MjrRect(0, 0, *size)
        self._size = size
        self._camera = mujoco.MjvCamera()
        self._options = mujoco.MjvOption()

    def draw(self, data: Any, look_at: np.ndarray, distance: float, elevation_deg: float) -> np.ndarray:
        """(H, W, 3) uint8 of the model as it is in `data`, seen from +x towards -x, so that y runs to the right.

        Args:
            data: an `mujoco.MjData` with its kinematics done.
            look_at: (3,) what is in the middle, m.
            distance: of the camera from there, m.
            elevation_deg: of the camera above it.

        Raises:
            UserError: the picture came out blank, which is how drivers that do not work show.
        """
        mujoco, camera = self._mujoco, self._camera
        camera.lookat[:], camera.distance = look_at, distance
        camera.azimuth, camera.elevation = 180.0, -elevation_deg
        mujoco.mjv_updateScene(self._model, data, self._options, None, camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene)
        mujoco.mjr_render(self._place, self._scene, self._drawing)
        picture = np.empty((self._size[1], self._size[0], 3), np.uint8)
        mujoco.mjr_readPixels(picture, None, self._place, self._drawing)
        if int(picture.max()) - int(picture.min()) < _BLANK:
            raise UserError(f"{self.gl} draws blank pictures: {_FIX}, {_HINT}")
        return picture[::-1]

    def project(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) where points (N, 3) of the world lie in the last picture: pixels from the left and from the top."""
        eyes = self._scene.camera
        # a left and a right eye
        place, forward, up = (
            np.mean([getattr(eye, name) for eye in eyes], axis=0) for name in ("pos", "forward", "up")
        )
        right = np.cross(forward, up)
        seen = points - place
        scale = self._size[1] / 2 / (eyes[0].frustum_top / eyes[0].frustum_near) / (seen @ forward)
        return np.array(self._size) / 2 + np.stack([seen @ right * scale, -(seen @ up) * scale], axis=1)

    def close(self) -> None:
        """Free what OpenGL holds."""
        self._drawing.free()
        self._context.free()

    def __enter__(self) -> Canvas:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _module(name: str) -> str:
    """Which of mujoco's modules opens it."""
    if name in ("egl", "osmesa", "cgl"):
        return name
    return "cgl" if platform.system() == "Darwin" else "glfw"


@cache
def _failure(name: str) -> str:
    """Why an OpenGL does not work here; nothing if it does."""
    command = [sys.executable, "-c", _PROBE, _module(name)]
    try:
        run = subprocess.run(
            command, env={**os.environ, "MUJOCO_GL": name}, capture_output=True, text=True, timeout=120
        )
    except subprocess.TimeoutExpired:
        return "does not answer"
    if run.returncode == 0:
        return ""
    lines = run.stderr.strip().splitlines()
    return lines[-1][:100] if lines else f"exit code {run.returncode}"
