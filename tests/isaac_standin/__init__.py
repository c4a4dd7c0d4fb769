"""Stand-ins for Kit and PhysX, over which the real Isaac Lab 2.3.2 runs on a CPU, without Isaac Sim.

Isaac Lab is Python over Isaac Sim, and only Isaac Sim needs a large GPU. Here everything of Isaac Lab is its own:
configurations, managers, assets, sensors, markers, environments, AppLauncher's arguments, wrappers, and rsl_rl's
runner; USD is Pixar's. What stands in is what lies below:

    inert.py           modules that are only there (carb, omni, isaacsim, …)
    kit.py             settings, events, time line, application, stage, commands
    physx_schema.py    PhysX's USD schemas
    simulation.py      isaacsim's simulation context, manager, cloner, application
    physics.py         PhysX's tensor views, of robots that move without forces
    mujoco_physics.py  the same, of robots that MuJoCo steps: gravity, drives, contacts with the ground
    urdf.py            the importer of URDF
    assets.py          a G1 made of this package's link table, and a folder that plays Nucleus

Proven over it: that configurations build, that names, indices, shapes, orders and frames are right, what happens at
resets, whole scripts, training's mechanics, export; over MuJoCo, that robots are driven, fall, touch the ground and are
pushed. Not proven: PhysX's own dynamics and contacts, GPUs, rendering, video, downloads of assets, conversion of
meshes, PhysX's own types, or how well a policy trains.
Where Isaac Sim differs from what is assumed here, this says nothing: breadth-first order of joints and links, 43 joints
in Isaac's g1.usd, velocities at centres of mass.

`install` comes before Isaac Lab is first imported; `new_world` before each simulation context.
"""

from __future__ import annotations

import builtins
import os
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isaac_standin.physics import SimulationView


def install(assets: Path) -> None:
    """Put the stand-ins in place, for the rest of the process.

    Args:
        assets: an empty folder for what Nucleus would serve.
    """
    from isaac_standin import inert, physx_schema

    inert.install()
    physx_schema.install()
    from isaac_standin import kit, simulation, urdf
    from isaac_standin.assets import make_nucleus

    kit.install(str(assets))
    simulation.install()
    urdf.install()
    make_nucleus(assets)
    builtins.ISAAC_LAUNCHED_FROM_TERMINAL = False  # type: ignore[attr-defined]
    builtins.ISAACLAB_CALLBACK_EXCEPTION = None  # type: ignore[attr-defined]
    # the wheel's own top level starts Kit; what Kit would put on the path is below it
    source = Path(sysconfig.get_paths()["purelib"], "isaaclab", "source")
    for name in ("isaaclab", "isaaclab_assets", "isaaclab_tasks", "isaaclab_rl", "isaaclab_contrib"):
        sys.path.insert(0, str(source / name))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # in the real application isaaclab_tasks has done so, and other orders end in a circular import
    import isaaclab.envs  # noqa: F401


def new_world(physics: type[SimulationView] | None = None) -> None:
    """Forget the simulation and its stage.

    Args:
        physics: what moves robots in the next one; by default `physics.SimulationView`, without forces.
    """
    from isaaclab.sim import SimulationContext

    from isaac_standin import kit, simulation

    kit.TIMELINE.stream.subscribers.clear()
    kit.APP.post.subscribers.clear()
    kit.TIMELINE.playing, kit.TIMELINE.stopped = False, True
    if simulation.SimulationContext.instance() is not None:
        SimulationContext.clear_instance()
    simulation.SimulationManager.callbacks.clear()
    simulation.SimulationManager.view = None
    simulation.SimulationManager.kind = physics or simulation.SimulationView
    simulation.SimulationApp.frames_left = None
    kit.CONTEXT.new_stage()
    kit.COMMANDS.clear()
