"""The robot's motion for a human's, found frame by frame by inverse kinematics.

After mink (Zakka 2025, https://github.com/kevinzakka/mink) and GMR (Araujo et al. 2025, arXiv 2510.02252): targets for
the robot's links are made from the human's joints, and quadratic programs move the robot towards them within its
limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from g1_vq_retarget.data.ik_clearance import Clearance
from g1_vq_retarget.data.ik_refine import refine_clip
from g1_vq_retarget.data.ik_targets import (
    AS_HUMAN,
    Place,
    Posture,
    Sole,
    Turn,
    ik_targets,
    require_limbs,
    rest_positions,
    toe_site,
)
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.robot import Joint, Link, RobotModel, build_mjcf

# What a radian off the default pose and a radian a step cost, against wandering where the targets leave freedom.
POSTURE_COST, DAMPING_COST = 0.1, 1.0
SOLVER = "daqp"
FIRST_FRAME_STEPS = 100


def retarget_by_ik(
    human: HumanClip,
    robot: RobotModel,
    *,
    iterations: int = 4,
    posture: Posture = AS_HUMAN,
    refine: bool = False,
    show_progress: bool = False,
) -> RobotClip:
    """The robot's motion for a human's, at the human's rate.

    The ground the human covers and the heights above it are scaled by the ratio of the legs, arms segment by segment;
    the floor is where the balls of the human's feet stand, and z = 0 for the robot. Joint limits and the motors'
    speeds are kept, no capsule of the robot goes below the floor, and none into another. The same clip gives the
    same motion.

    Args:
        human: motion on a level floor. Feet on boxes or stairs are followed but not anchored.
        iterations: quadratic programs a frame.
        posture: how the robot carries itself against the human.
        refine: whether to go over the whole clip afterwards, which takes the jerk out (see `refine_clip`); it takes
            longer than that again, and bounds are then kept to a millimetre and not to the last digit.
        show_progress: whether to show a bar on a terminal, a unit a frame.

    Raises:
        UserError: mink, mujoco or the solver is not installed, or no iterations are asked for.
        MotionError: a bone of the human has no length.
    """
    if iterations < 1:
        raise UserError(f"--iterations must be at least 1, it is {iterations}")
    require_limbs(human)
    mink, mujoco = _import_solver()
    spec = mujoco.MjSpec.from_string(build_mjcf(robot, floor=False))
    for foot in robot.feet:
        spec.body(foot).add_site(name=toe_site(foot), pos=Sole.of(robot, foot).toe)
    model = spec.compile()

    targets = ik_targets(human, robot, posture)
    places = [target for target in targets if isinstance(target, Place)]
    turns = [target for target in targets if isinstance(target, Turn)]
    place_tasks = [mink.FrameTask(place.frame, place.kind, place.cost, 0.0) for place in places]
    turn_tasks = [mink.FrameTask(turn.frame, turn.kind, 0.0, turn.cost) for turn in turns]
    quats = [turn.rotation.as_quat(scalar_first=True) for turn in turns]

    start = np.concatenate([places[0].pos[0], quats[0][0], robot.default_joint_pos])
    configuration = mink.Configuration(model, start)
    default = mink.PostureTask(model, POSTURE_COST)
    default.set_target_from_configuration(configuration)
    tasks = [*place_tasks, *turn_tasks, default, mink.DampingTask(model, DAMPING_COST)]
    ranges = mink.ConfigurationLimit(model)
    for joint, lower, upper in _human_limits(robot):
        address = model.joint(joint).qposadr[0]
        ranges.lower[address] = max(ranges.lower[address], lower)
        ranges.upper[address] = min(ranges.upper[address], upper)
    speeds = mink.VelocityLimit(model, {joint.name: joint.motor.velocity for joint in robot.joints})
    clearance = Clearance(robot, model)

    qpos = np.empty((len(human), model.nq))
    dt = 1 / (human.fps * iterations)
    frames = tqdm(range(len(human)), unit="frame", desc=human.name, disable=None if show_progress else True)
    for frame in frames:
        for place, task in zip(places, place_tasks, strict=True):
            # turned as the frame is already: mink's way to a place bends with what is off in turning
            pose = configuration.get_transform_frame_to_world(place.frame, place.kind)
            task.set_target(mink.SE3.from_rotation_and_translation(pose.rotation(), place.pos[frame]))
        for quat, task in zip(quats, turn_tasks, strict=True):
            task.set_target(mink.SE3.from_rotation(mink.SO3(quat[frame])))
        # no frame stands before the first, to be near to
        steps, limits = (iterations, [ranges, speeds]) if frame else (FIRST_FRAME_STEPS, [ranges])
        for _ in range(steps):
            clearance.yielding = False
            try:
                step = mink.solve_ik(configuration, tasks, dt, SOLVER, limits=[*limits, clearance])
            except mink.NoSolutionFound:  # out of one capsule would be into another, or too fast
                clearance.yielding = True
                step = mink.solve_ik(configuration, tasks, dt, SOLVER, limits=[*limits, clearance])
            configuration.integrate_inplace(step, dt)
        qpos[frame] = configuration.q
    clip = RobotClip(
        name=human.name,
        fps=human.fps,
        root_pos_w=qpos[:, :3],
        root_quat_w=qpos[:, 3:7],
        joint_names=robot.joint_names,
        # the solver keeps limits up to rounding
        joint_pos=qpos[:, 7:].clip(*robot.limits.T),
        provenance=replace(human.provenance, source=f"inverse kinematics of {human.provenance.source or human.name}"),
    )
    return refine_clip(human, clip, robot, posture) if refine else clip


def _import_solver() -> tuple[Any, Any]:
    try:
        import daqp  # noqa: F401
        import mink
        import mujoco
    except ImportError as error:
        raise UserError(f"inverse kinematics needs {error.name}: pip install -e '.[ik]'") from error
    return mink, mujoco


def _human_limits(robot: RobotModel) -> Iterator[tuple[str, float, float]]:
    """Joints of the arms with the limits, rad, between which they move as a human's do.

    An elbow bends no further back than straight. An arm raised sideways beyond the axis of the shoulder's first joint
    would come down on the far side of it, where it meets a limit and stays.
    """
    rest = rest_positions(robot)
    links = {link.name: link for link in robot.links}
    for shoulder, elbow, hand in robot.arms:
        upper, fore = rest[elbow] - rest[shoulder], rest[hand] - rest[elbow]
        outwards = np.sign(rest[shoulder][1])
        first = links[str(links[shoulder].parent)]
        first_axis = Rotation.from_quat(first.quat_wxyz, scalar_first=True).apply(_hinge(first).axis)
        raised = _angle(upper, outwards * first_axis, np.array(_hinge(links[shoulder]).axis))
        straight = _angle(fore, upper, np.array(_hinge(links[elbow]).axis))
        yield _hinge(links[shoulder]).name, min(raised, -outwards * np.inf), max(raised, -outwards * np.inf)
        yield _hinge(links[elbow]).name, -np.inf, straight


def _hinge(link: Link) -> Joint:
    assert link.joint is not None
    return link.joint


def _angle(start: np.ndarray, end: np.ndarray, axis: np.ndarray) -> float:
    """Angle about an axis from one direction (3,) to another, rad."""
    return float(np.arctan2(np.cross(start, end) @ axis, start @ end - (start @ axis) * (end @ axis)))
