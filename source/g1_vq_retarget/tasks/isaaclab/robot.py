"""The G1 of 29 joints as an articulation: from a URDF that the user names, or from Isaac's own asset.

Isaac's `G1_29DOF_CFG` is tuned for teleoperation. What of it would spoil tracking is undone here: contact sensors are
off, it stands turned by 90°, arms are held a hundred times too stiffly, and its hands are 14 joints more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import isaaclab.sim as sim_utils
from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import Articulation, ArticulationCfg
from isaaclab.sim.converters import UrdfConverterCfg
from isaaclab_assets.robots.unitree import G1_29DOF_CFG

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.robot import Joint, RobotModel, load_robot
from g1_vq_retarget.tasks.gains import gains_of
from g1_vq_retarget.tasks.isaaclab.urdf import checked_urdf

# Of Dex3 hands, in Isaac's asset.
HANDS = [".*_hand_.*"]
_SOFT_LIMITS = 0.9


def g1_cfg(urdf: str | Path | None = None, prim_path: str = "{ENV_REGEX_NS}/Robot") -> ArticulationCfg:
    """A G1 whose gains follow from its motors (see `gains`), in this package's default pose.

    Args:
        urdf: of a G1 with these 29 joints and no other; by default Isaac's asset, which is downloaded when spawned, and
            whose limbs go through one another, as Isaac Lab has it.
        prim_path: where it stands.

    Raises:
        UserError: no such file, or not all joints in it.
    """
    robot = load_robot()
    if urdf is None:
        hands = {"hands": ImplicitActuatorCfg(joint_names_expr=HANDS, stiffness=20.0, damping=2.0, armature=0.001)}
        spawn = G1_29DOF_CFG.spawn.copy()  # type: ignore[union-attr]
    else:
        hands = {}
        spawn = _urdf_cfg(checked_urdf(urdf))
    spawn.activate_contact_sensors = True
    return ArticulationCfg(
        prim_path=prim_path,
        spawn=spawn,
        init_state=ArticulationCfg.InitialStateCfg(
            pos=(0.0, 0.0, robot.default_root_height), joint_pos=_by_joint(robot, lambda joint: joint.default)
        ),
        soft_joint_pos_limit_factor=_SOFT_LIMITS,
        actuators={
            "body": ImplicitActuatorCfg(
                joint_names_expr=list(robot.joint_names),
                effort_limit_sim=_by_joint(robot, lambda joint: joint.motor.effort),
                velocity_limit_sim=_by_joint(robot, lambda joint: joint.motor.velocity),
                stiffness=_by_joint(robot, lambda joint: gains_of(joint.motor).stiffness),
                damping=_by_joint(robot, lambda joint: gains_of(joint.motor).damping),
                armature=_by_joint(robot, lambda joint: joint.motor.armature),
            ),
            **hands,
        },
    )


def action_scale(robot: RobotModel) -> dict[str, float]:
    """By joint, rad that an action of 1 moves its target."""
    return _by_joint(robot, lambda joint: gains_of(joint.motor).action_scale)


def ghost_cfg(prim_path: str, colour: tuple[float, float, float], urdf: str | Path | None = None) -> ArticulationCfg:
    """A G1 in one colour that nothing touches or pulls; for motion to be shown by.

    Raises:
        UserError: as of `g1_cfg`.
    """
    cfg = g1_cfg(urdf, prim_path)
    spawn = cfg.spawn
    assert isinstance(spawn, sim_utils.UsdFileCfg | sim_utils.UrdfFileCfg)
    spawn.activate_contact_sensors = False
    assert spawn.rigid_props is not None
    assert spawn.articulation_props is not None
    spawn.rigid_props.disable_gravity = True
    spawn.articulation_props.enabled_self_collisions = False
    spawn.collision_props = sim_utils.CollisionPropertiesCfg(collision_enabled=False)
    spawn.visual_material = sim_utils.PreviewSurfaceCfg(diffuse_color=colour)
    return cfg


def joint_indices(robot: Articulation, names: Sequence[str]) -> list[int]:
    """Where joints stand in the simulator's order.

    Raises:
        UserError: the robot lacks one.
    """
    return _indices(robot, "joint", robot.joint_names, names)


def body_indices(robot: Articulation, names: Sequence[str]) -> list[int]:
    """Where bodies stand in the simulator's order.

    Raises:
        UserError: the robot lacks one.
    """
    return _indices(robot, "body", robot.body_names, names)


def _indices(robot: Articulation, kind: str, have: Sequence[str], names: Sequence[str]) -> list[int]:
    missing = [name for name in names if name not in have]
    if missing:
        raise UserError(
            f"{robot.cfg.prim_path}: the robot has no {kind} {', '.join(missing)}; it needs a G1 of 29 joints"
        )
    return [have.index(name) for name in names]


def _by_joint(robot: RobotModel, value: Callable[[Joint], float]) -> dict[str, float]:
    return {joint.name: value(joint) for joint in robot.joints}


def _urdf_cfg(path: Path) -> sim_utils.UrdfFileCfg:
    """As BeyondMimic spawns it, which collides with itself; the actuators' gains stand in the place of the file's."""
    articulation = G1_29DOF_CFG.spawn.articulation_props.copy()  # type: ignore[union-attr]
    articulation.enabled_self_collisions = True
    return sim_utils.UrdfFileCfg(
        asset_path=str(path.resolve()),
        fix_base=False,
        replace_cylinders_with_capsules=True,
        joint_drive=UrdfConverterCfg.JointDriveCfg(
            gains=UrdfConverterCfg.JointDriveCfg.PDGainsCfg(stiffness=0.0, damping=0.0)
        ),
        rigid_props=G1_29DOF_CFG.spawn.rigid_props.copy(),  # type: ignore[union-attr]
        articulation_props=articulation,
    )
