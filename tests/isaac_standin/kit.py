"""Kit: settings, events, the time line, the application, the stage, and the commands that Isaac Lab has executed."""

from __future__ import annotations

import enum
import os
import types
from collections.abc import Callable
from typing import Any

from pxr import Usd, UsdGeom, UsdShade, UsdUtils


class Settings(dict[str, Any]):
    """carb's settings: paths to values, of any type."""

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key, default)

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    set_bool = set_int = set_float = set_string = set

    def get_as_bool(self, key: str) -> bool:
        return bool(self.get(key))

    def get_as_int(self, key: str) -> int:
        return int(self.get(key) or 0)

    def get_as_string(self, key: str) -> str:
        return str(self.get(key) or "")


class Stream:
    """Events to whoever subscribed, the lowest order first."""

    def __init__(self) -> None:
        self.subscribers: list[tuple[int, Any, Callable[[Any], None]]] = []

    def create_subscription_to_pop(self, call: Callable[[Any], None], order: int = 0, name: str | None = None) -> Any:
        return self.create_subscription_to_pop_by_type(None, call, order, name)

    def create_subscription_to_pop_by_type(
        self, kind: Any, call: Callable[[Any], None], order: int = 0, name: str | None = None
    ) -> Any:
        entry = (order, kind, call)
        self.subscribers.append(entry)

        def unsubscribe() -> None:
            if entry in self.subscribers:
                self.subscribers.remove(entry)

        return types.SimpleNamespace(unsubscribe=unsubscribe)

    def fire(self, kind: Any = None) -> None:
        for _, wanted, call in sorted(self.subscribers, key=lambda entry: entry[0]):
            if wanted is None or wanted == kind:
                call(types.SimpleNamespace(type=kind, payload={}))


class TimelineEventType(enum.IntEnum):
    PLAY = 0
    PAUSE = 1
    STOP = 2


class Timeline:
    """PLAY has Isaac Lab's assets initialise. STOP must never reach a living SimulationContext: it waits for PLAY."""

    def __init__(self) -> None:
        self.stream, self.playing, self.stopped = Stream(), False, True

    def get_timeline_event_stream(self) -> Stream:
        return self.stream

    def is_playing(self) -> bool:
        return self.playing

    def is_stopped(self) -> bool:
        return self.stopped

    def play(self) -> None:
        self.playing, self.stopped = True, False
        self.stream.fire(TimelineEventType.PLAY)

    def pause(self) -> None:
        self.playing = False

    def stop(self) -> None:
        self.playing, self.stopped = False, True
        self.stream.fire(TimelineEventType.STOP)


class App:
    """The application: an update draws a frame, upon which debug visualisations are brought up to date."""

    def __init__(self) -> None:
        self.post, self.updates = Stream(), 0

    def get_post_update_event_stream(self) -> Stream:
        return self.post

    def update(self) -> None:
        self.updates += 1
        self.post.fire()

    def get_extension_manager(self) -> Any:
        return types.SimpleNamespace(
            is_extension_enabled=lambda _: True, set_extension_enabled_immediate=lambda *_: True
        )

    def is_running(self) -> bool:
        return True

    def shutdown(self) -> None:
        pass


class UsdContext:
    """One stage in memory."""

    def __init__(self) -> None:
        self.new_stage()

    def new_stage(self) -> bool:
        self.stage = Usd.Stage.CreateInMemory()
        UsdGeom.SetStageUpAxis(self.stage, UsdGeom.Tokens.z)
        self.stage.DefinePrim("/World", "Xform")
        return True

    def get_stage(self) -> Usd.Stage:
        return self.stage

    def get_stage_id(self) -> int:
        return UsdUtils.StageCache.Get().Insert(self.stage).ToLongInt()

    def get_stage_loading_status(self) -> tuple[str, int, int]:
        return "", 0, 0

    def close_stage(self) -> bool:
        return True


SETTINGS, TIMELINE, APP, CONTEXT = Settings(), Timeline(), App(), UsdContext()
# Names of executed commands, with what they were told.
COMMANDS: list[tuple[str, dict[str, Any]]] = []
# What the robots' importer does, by the commands' names; see `urdf`.
HANDLERS: dict[str, Callable[..., Any]] = {}


def execute(name: str, **told: Any) -> tuple[bool, Any]:
    """omni.kit.commands.execute: what binds materials, deletes prims or imports a robot; the rest is only kept."""
    COMMANDS.append((name, told))
    stage = told.get("stage") or CONTEXT.stage
    if name in ("BindMaterialCommand", "BindMaterial"):
        paths = told["prim_path"]
        for path in [paths] if isinstance(paths, str) else paths:
            UsdShade.MaterialBindingAPI.Apply(stage.GetPrimAtPath(path))
    elif name in ("DeletePrimsCommand", "DeletePrims"):
        for path in told["paths"]:
            stage.RemovePrim(path)
    elif name in HANDLERS:
        return True, HANDLERS[name](**told)
    return True, None


class _MaterialCommand:
    """Both commands that make shaders."""

    def __init__(
        self,
        mtl_path: str | None = None,
        stage: Usd.Stage | None = None,
        parent_path: str | None = None,
        name: str = "Shader",
        **_: Any,
    ) -> None:
        self.stage, self.parent, self.path, self.name = stage or CONTEXT.stage, parent_path, mtl_path, name

    def do(self) -> None:
        if self.parent:
            UsdShade.Shader.Define(self.stage, f"{self.parent}/{self.name}")
        else:
            UsdShade.Material.Define(self.stage, self.path)
            UsdShade.Shader.Define(self.stage, f"{self.path}/Shader")


def _next_free_path(stage: Usd.Stage, path: str, prepend_default_prim: bool = True) -> str:
    free, number = path, 0
    while stage.GetPrimAtPath(free):
        number += 1
        free = f"{path}_{number:02d}"
    return free


async def _stat_async(path: str) -> tuple[int, None]:
    return _stat(path)


def _stat(path: str) -> tuple[int, None]:
    return (0 if os.path.exists(path) else 1), None


def install(assets: str) -> None:
    """Put these in the places of carb's and omni's; `assets` is the folder that plays the Nucleus server."""
    import carb.settings
    import omni.client
    import omni.kit.app
    import omni.kit.commands
    import omni.metrics.assembler.core as metrics
    import omni.timeline
    import omni.usd
    import omni.usd.commands

    SETTINGS.update(
        {
            "/persistent/isaac/asset_root/cloud": assets,
            "/rtx/rendermode": "RaytracedLighting",
            "/app/window/enabled": False,
            "/app/livestream/enabled": False,
            "/app/xr/enabled": False,
        }
    )
    carb.settings.get_settings = lambda: SETTINGS
    omni.timeline.TimelineEventType = TimelineEventType
    omni.timeline.get_timeline_interface = lambda: TIMELINE
    omni.kit.app.get_app_interface = omni.kit.app.get_app = lambda: APP
    omni.kit.commands.execute = execute
    omni.usd.get_context = lambda *_: CONTEXT
    omni.usd.get_stage_next_free_path = _next_free_path
    omni.usd.check_ancestral = lambda _: False
    omni.usd.resolve_paths = lambda *_, **__: None
    omni.usd.commands.CreateShaderPrimFromSdrCommand = _MaterialCommand
    omni.usd.commands.CreateMdlMaterialPrimCommand = _MaterialCommand
    metrics.get_metrics_assembler_interface = lambda: types.SimpleNamespace(check_layers=lambda *_: {"ret_val": []})
    omni.client.stat, omni.client.stat_async = _stat, _stat_async
    omni.client.Result = types.SimpleNamespace(OK=0)
