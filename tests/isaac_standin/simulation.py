"""Isaac Sim's core: the application, the simulation context below Isaac Lab's, the simulation manager, the cloner."""

from __future__ import annotations

import enum
import itertools
import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pxr
from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics

from isaac_standin import kit
from isaac_standin.physics import SimulationView

VERSION = ("5.1.0", "", "5", "1", "0", "", "", "")


class IsaacEvents(enum.Enum):
    PRIM_DELETION = 1
    PHYSICS_READY = 2
    TIMELINE_STOP = 3


class SimulationManager:
    """Holds the physics view; there is one for the process.

    Attributes:
        kind: of view that the next simulation gets.
    """

    view: SimulationView | None = None
    kind: type[SimulationView] = SimulationView
    callbacks: dict[int, tuple[Any, Callable[..., None]]] = {}  # noqa: RUF012
    _numbers = itertools.count(1)

    @classmethod
    def get_physics_sim_view(cls) -> SimulationView | None:
        return cls.view

    @classmethod
    def get_backend(cls) -> str:
        return "torch"

    @classmethod
    def get_physics_sim_device(cls) -> str:
        return "cpu"

    @classmethod
    def set_physics_sim_device(cls, device: str) -> None:
        pass

    @classmethod
    def assets_loading(cls) -> bool:
        return False

    @classmethod
    def enable_stage_open_callback(cls, enable: bool) -> None:
        pass

    @classmethod
    def register_callback(cls, call: Callable[..., None], event: Any = None, **_: Any) -> int:
        number = next(cls._numbers)
        cls.callbacks[number] = (event, call)
        return number

    @classmethod
    def deregister_callback(cls, number: int) -> None:
        cls.callbacks.pop(number, None)


class _PhysicsContext:
    def __init__(self, stage: Usd.Stage, path: str) -> None:
        self._physics_scene = UsdPhysics.Scene.Define(stage, path)
        schema = pxr.PhysxSchema.PhysxSceneAPI  # type: ignore[attr-defined]
        self._physx_scene_api = schema.Apply(self._physics_scene.GetPrim())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


class SimulationContext:
    """isaacsim's, as far as Isaac Lab's own, which inherits from it, asks.

    Attributes:
        steps: of physics so far; a playback takes none.
    """

    _instance: Any = None

    def __new__(cls, *_: Any, **__: Any) -> Any:
        if SimulationContext._instance is None:
            SimulationContext._instance = object.__new__(cls)
        return SimulationContext._instance

    def __init__(
        self,
        physics_dt: float = 0.01,
        rendering_dt: float | None = None,
        physics_prim_path: str = "/physicsScene",
        stage: Usd.Stage | None = None,
        backend: str = "torch",
        sim_params: Any = None,
        **_: Any,
    ) -> None:
        self._physics_dt, self._stage, self.backend, self.sim_params = physics_dt, stage, backend, sim_params
        self._app, self._settings, self._timeline = kit.APP, kit.SETTINGS, kit.TIMELINE
        self._physics_prim_path, self.current_time, self.steps = physics_prim_path, 0.0, 0
        self._init_stage()

    def _init_stage(self, *_: Any, **__: Any) -> Any:
        self._physics_context = _PhysicsContext(self._stage, self._physics_prim_path)
        return self._stage

    @classmethod
    def instance(cls) -> Any:
        return SimulationContext._instance

    @classmethod
    def clear_instance(cls) -> None:
        SimulationContext._instance = SimulationManager.view = None

    @property
    def stage(self) -> Any:
        return self._stage

    @property
    def app(self) -> kit.App:
        return self._app

    @property
    def physics_sim_view(self) -> Any:
        return SimulationManager.view

    def get_physics_dt(self) -> float:
        return self._physics_dt

    def get_rendering_dt(self) -> float:
        return self._physics_dt

    def get_physics_context(self) -> _PhysicsContext:
        return self._physics_context

    def is_playing(self) -> bool:
        return kit.TIMELINE.playing

    def is_stopped(self) -> bool:
        return kit.TIMELINE.stopped

    def play(self) -> None:
        if SimulationManager.view is None:
            SimulationManager.view = SimulationManager.kind(self._stage, self._physics_dt)
        kit.TIMELINE.play()

    def pause(self) -> None:
        kit.TIMELINE.pause()

    def stop(self) -> None:
        kit.TIMELINE.stop()

    def reset(self, soft: bool = False) -> None:
        if not soft and not self.is_stopped():
            self.stop()
        self.play()

    def step(self, render: bool = True) -> None:
        assert SimulationManager.view is not None
        SimulationManager.view.step()
        self.steps += 1
        self.current_time += self._physics_dt
        if render:
            kit.APP.update()

    def add_physics_callback(self, *_: Any) -> None:
        pass

    def clear(self) -> None:
        pass

    def clear_all_callbacks(self) -> None:
        pass

    def __del__(self) -> None:
        pass


class Cloner:
    """Copies of an environment's prims; nothing is left to the physics engine to replicate."""

    def __init__(self, stage: Usd.Stage | None = None) -> None:
        self._stage = stage

    @property
    def stage(self) -> Usd.Stage:
        return self._stage or kit.CONTEXT.stage

    def define_base_env(self, path: str) -> None:
        self.stage.DefinePrim(path, "Scope")

    def generate_paths(self, root: str, count: int) -> list[str]:
        return [f"{root}_{number}" for number in range(count)]

    def clone(
        self,
        source_prim_path: str,
        prim_paths: Sequence[str],
        positions: Sequence[Sequence[float]] | None = None,
        **_: Any,
    ) -> None:
        layer = self.stage.GetRootLayer()
        for number, path in enumerate(prim_paths):
            if path != source_prim_path:
                Sdf.CreatePrimInLayer(layer, path)
                Sdf.CopySpec(layer, source_prim_path, layer, path)
            if positions is not None:
                place = UsdGeom.Xformable(self.stage.GetPrimAtPath(path))
                place.ClearXformOpOrder()
                place.AddTranslateOp().Set(Gf.Vec3d(*map(float, positions[number])))

    def replicate_physics(self, **_: Any) -> None:
        pass

    def filter_collisions(self, *_: Any, **__: Any) -> None:
        pass


class GridCloner(Cloner):
    """Environments on a grid about the origin."""

    def __init__(self, spacing: float, num_per_row: int = -1, stage: Usd.Stage | None = None) -> None:
        super().__init__(stage)
        self.spacing = spacing

    def clone(self, source_prim_path: str, prim_paths: Sequence[str], **told: Any) -> Any:  # type: ignore[override]
        count = len(prim_paths)
        columns = math.ceil(count / int(math.sqrt(count) or 1))
        rows = math.ceil(count / columns)
        places = [
            [
                -(number // columns - (rows - 1) / 2) * self.spacing,
                (number % columns - (columns - 1) / 2) * self.spacing,
                0.0,
            ]
            for number in range(count)
        ]
        told.pop("position_offsets", None)
        told.pop("orientation_offsets", None)
        super().clone(source_prim_path, prim_paths, positions=places, **told)
        return places


class SimulationApp:
    """What AppLauncher starts.

    Attributes:
        frames_left: after so many turns `is_running` says no, as if somebody closed the window; None is never.
        launches: what each was told.
    """

    frames_left: int | None = None
    launches: list[dict[str, Any]] = []  # noqa: RUF012

    def __init__(self, config: dict[str, Any] | None = None, experience: str = "", **_: Any) -> None:
        self.config, self.experience, self.app = config, experience, kit.APP
        SimulationApp.launches.append(dict(config or {}))
        self._start_app()

    def _start_app(self) -> None:
        pass

    def is_running(self) -> bool:
        if SimulationApp.frames_left is None:
            return True
        SimulationApp.frames_left -= 1
        return SimulationApp.frames_left >= 0

    def update(self) -> None:
        kit.APP.update()

    def close(self, *_: Any, **__: Any) -> None:
        """The end of the process, on the spot and with code 0."""
        sys.exit(0)


# Where cameras look from and to.
CAMERA: dict[str, tuple[float, ...]] = {}


def _set_camera_view(eye: Sequence[float], target: Sequence[float], *_: Any, **__: Any) -> None:
    CAMERA.update(eye=tuple(eye), target=tuple(target))


def install() -> None:
    """Put these in the places of isaacsim's."""
    import isaacsim
    import isaacsim.core.api.simulation_context as context
    import isaacsim.core.cloner as cloner
    import isaacsim.core.simulation_manager as manager
    import isaacsim.core.utils.viewports as viewports
    import isaacsim.core.version as version

    version.get_version = lambda: VERSION
    manager.SimulationManager, manager.IsaacEvents = SimulationManager, IsaacEvents
    context.SimulationContext = SimulationContext
    cloner.Cloner, cloner.GridCloner = Cloner, GridCloner
    viewports.set_camera_view = _set_camera_view
    isaacsim.SimulationApp = SimulationApp
    # Isaac Lab reads VERSION two folders above the package
    package = Path(tempfile.mkdtemp(prefix="isaacsim-")) / "python_packages" / "isaacsim"
    package.mkdir(parents=True)
    (package.parents[1] / "VERSION").write_text("5.1.0-rc.1+standin", encoding="utf-8")
    isaacsim.__file__ = str(package / "__init__.py")
    os.environ.setdefault("EXP_PATH", "/nonexistent")
    os.environ.setdefault("ISAAC_PATH", "/nonexistent")
