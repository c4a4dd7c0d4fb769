"""A robot in MuJoCo that is driven by what `deploy.yaml` says, for a policy to be tried and measured.

The model is any MJCF of the robot on a floor with a free root: the scene that mjlab has compiled, saved beside the
policy at export, or one's own. Joints, links and sensors are found by name; a prefix before a slash, as mjlab's
`robot/`, does not matter. Gains are the deployment's: each joint's actuator is made a position servo with them,
whatever it was, which MuJoCo integrates implicitly as mjlab does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mujoco as mujoco_module
import numpy as np
import torch
from torch import Tensor

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file
from g1_vq_retarget.robot import index_by_name
from g1_vq_retarget.tasks.deployment import TOKENS, Deployment
from g1_vq_retarget.tasks.evaluation import RobotState
from g1_vq_retarget.tasks.mdp import observations
from g1_vq_retarget.tasks.motion_library import MotionFrames, MotionLibrary

# of a compiled module, whose names a type checker does not see
mujoco: Any = mujoco_module


class MujocoSimulation:
    """One robot following a library: a `TrackingSimulation`.

    Args:
        path: MJCF of robot and floor.
        deployment: of the policy.
        library: what it follows, joints and bodies in the deployment's order, at its rate.

    Attributes:
        model, data: MuJoCo's.
        clip, frame: of the library, where the motion is: the frame to be reached next.

    Raises:
        UserError: the model cannot be read or lacks something, the library is of another rate, or the policy sees
            tokens and these are of other weights.
        ValueError: the library has another order.
    """

    num_envs = 1

    def __init__(self, path: Path, deployment: Deployment, library: MotionLibrary) -> None:
        if library.fps != deployment.fps:
            raise UserError(f"the motion has {library.fps:g} fps, the policy {deployment.fps:g}")
        if (library.joint_names, library.body_names) != (deployment.joint_names, tuple(deployment.body_names)):
            raise ValueError("the library's joints and bodies must be the deployment's, in its order")
        if deployment.sees_tokens and library.tokenizer_sha256 != deployment.motion.tokenizer_sha256:
            raise UserError(
                f"the policy sees tokens of the weights {deployment.motion.tokenizer_sha256[:12]}, the motion's are of "
                f"{library.tokenizer_sha256[:12] or 'none'}: give the model that it was trained with as --motion"
            )
        self.deployment, self.library = deployment, library
        try:
            self.model = mujoco.MjModel.from_xml_path(str(existing_file(path)))
        except ValueError as error:
            raise UserError(f"{path}: cannot be read as a MuJoCo model ({error})") from error
        self.model.opt.timestep = deployment.timestep
        self.data = mujoco.MjData(self.model)
        find = _Finder(self.model, path)
        joints = [find("joint", name) for name in deployment.joint_names]
        self._bodies = [find("body", name) for name in deployment.body_names]
        self._anchor = index_by_name(deployment.body_names, [deployment.anchor_body])[0]
        self._qpos, self._qvel = self.model.jnt_qposadr[joints], self.model.jnt_dofadr[joints]
        self._root = self._free_joint(path)
        self._actuators = self._servos(joints, path)
        self._sensors = {
            observed.name: find("sensor", observed.sensor) for observed in deployment.observations if observed.sensor
        }
        self._default = deployment.of_joints("default_pos")
        self._action_scale = deployment.of_joints("action_scale")
        self._future = torch.tensor(deployment.future_frames)
        # who sees tokens of the frames ahead sees the anchor in the next alone, see `mjlab.tracking`
        self._anchor_future = torch.zeros(1, dtype=torch.long) if deployment.sees_tokens else self._future
        self._action = torch.zeros(1, len(joints))
        self.clip = self.frame = torch.zeros(1, dtype=torch.long)
        self._parts = [(observed.name, self._part(observed.name, path)) for observed in deployment.observations]
        for (name, part), observed in zip(self._parts, deployment.observations, strict=True):
            size = part().shape[1]
            if size != observed.size:
                raise UserError(f"the policy sees {observed.size} of {name}, in MuJoCo there are {size}")

    def begin(self, clip: Tensor, frame: Tensor) -> tuple[Tensor, RobotState]:
        """Put the robot on a frame; see `TrackingSimulation`."""
        at = self.library.at(clip, frame)
        mujoco.mj_resetData(self.model, self.data)
        root, free = self.library.root, self._root
        place, turn = at.body_pos_w[0, root].double().numpy(), at.body_quat_w[0, root].double().numpy()
        self.data.qpos[free.qpos : free.qpos + 7] = np.concatenate([place, turn])
        # MuJoCo has a free joint's turning in the body's frame, the rest in the world's
        spin = observations.base_ang_vel(at.body_quat_w[:, root], at.body_ang_vel_w[:, root])
        self.data.qvel[free.qvel : free.qvel + 6] = torch.cat([at.body_lin_vel_w[0, root], spin[0]]).numpy()
        self.data.qpos[self._qpos], self.data.qvel[self._qvel] = at.joint_pos[0].numpy(), at.joint_vel[0].numpy()
        self._action.zero_()
        self.clip, self.frame = clip, frame + 1
        mujoco.mj_forward(self.model, self.data)
        return self.observe(), self.state()

    def step(self, actions: Tensor) -> tuple[Tensor, RobotState]:
        """Hold the action's targets for a step of the policy; see `TrackingSimulation`."""
        self._action = actions
        self.data.ctrl[self._actuators] = (self._default + self._action_scale * actions[0]).numpy()
        for _ in range(self.deployment.decimation):
            mujoco.mj_step(self.model, self.data)
        # what follows from the state lags a step behind, see mjlab's `ManagerBasedRlEnv.step`
        mujoco.mj_forward(self.model, self.data)
        self.frame = self.frame + 1
        return self.observe(), self.state()

    def observe(self) -> Tensor:
        """(1, D) what the policy sees now."""
        parts = [
            observed.scale * part()
            for (_, part), observed in zip(self._parts, self.deployment.observations, strict=True)
        ]
        return torch.cat(parts, dim=1)

    def state(self) -> RobotState:
        """Where the robot is."""
        return RobotState(
            _row(self.data.qpos[self._qpos]), _row(self.data.xpos[self._bodies]), _row(self.data.xquat[self._bodies])
        )

    def _part(self, name: str, path: Path) -> Callable[[], Tensor]:
        """What computes a part of the observations, by the name that the task gives it."""
        if name in self._sensors:
            sensor = self._sensors[name]
            first, size = self.model.sensor_adr[sensor], self.model.sensor_dim[sensor]
            return lambda: _row(self.data.sensordata[first : first + size])
        known: dict[str, Callable[[], Tensor]] = {
            "command": self._command,
            "motion_anchor_pos_b": self._anchor_pos,
            "motion_anchor_ori_b": self._anchor_ori,
            # of the root's origin, where no sensor measures them
            "base_lin_vel": self._base_lin_vel,
            "base_ang_vel": lambda: _row(self.data.qvel[self._root.qvel + 3 : self._root.qvel + 6]),
            "joint_pos": lambda: observations.joint_pos_rel(_row(self.data.qpos[self._qpos]), self._default),
            "joint_vel": lambda: observations.joint_vel_rel(_row(self.data.qvel[self._qvel])),
            "actions": lambda: self._action,
        }
        if self.library.embedding is not None:
            known[TOKENS] = self._embedding
        if name not in known:
            raise UserError(f"{path}: nothing here shows a policy '{name}'; there are {', '.join(sorted(known))}")
        return known[name]

    def _ahead(self, future: Tensor) -> MotionFrames:
        """The motion in frames from the next on, (1, H, ...)."""
        return self.library.at(self.clip[:, None], self.frame[:, None] + future)

    def _command(self) -> Tensor:
        ahead = self._ahead(self._future)
        return observations.command(ahead.joint_pos, ahead.joint_vel)

    def _anchor_pos(self) -> Tensor:
        there = self._ahead(self._anchor_future).body_pos_w[:, :, self._anchor]
        return observations.motion_anchor_pos_b(*self._anchor_pose(), there)

    def _anchor_ori(self) -> Tensor:
        there = self._ahead(self._anchor_future).body_quat_w[:, :, self._anchor]
        return observations.motion_anchor_ori_b(self._anchor_pose()[1], there)

    def _base_lin_vel(self) -> Tensor:
        qpos, qvel = self.data.qpos[self._root.qpos + 3 :], self.data.qvel[self._root.qvel :]
        return observations.base_lin_vel(_row(qpos[:4]), _row(qvel[:3]))

    def _embedding(self) -> Tensor:
        assert self.library.embedding is not None
        return self.library.embedding[
            self.library.index(self.clip[:, None], self.frame[:, None] + self._future)
        ].flatten(1)

    def _anchor_pose(self) -> tuple[Tensor, Tensor]:
        body = self._bodies[self._anchor]
        return _row(self.data.xpos[body]), _row(self.data.xquat[body])

    def _free_joint(self, path: Path) -> _Address:
        body = self.model.body_rootid[self._bodies[self.library.root]]
        joint = self.model.body_jntadr[body]
        free = joint >= 0 and self.model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE
        if not free or body != self._bodies[self.library.root]:
            raise UserError(f"{path}: {self.deployment.body_names[self.library.root]} must move freely (a free joint)")
        return _Address(int(self.model.jnt_qposadr[joint]), int(self.model.jnt_dofadr[joint]))

    def _servos(self, joints: list[int], path: Path) -> list[int]:
        """Actuators of the joints, each made a position servo; what else is in the model, as a hand's, has none."""
        model, moved = self.model, list[int]()
        driven = model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT
        for joint, control in zip(joints, self.deployment.joints, strict=True):
            found = np.flatnonzero(driven & (model.actuator_trnid[:, 0] == joint))
            if len(found) != 1:
                raise UserError(f"{path}: {control.name} has {len(found)} actuators, expected 1")
            (actuator,) = found
            model.actuator_dyntype[actuator] = mujoco.mjtDyn.mjDYN_NONE
            model.actuator_gaintype[actuator] = mujoco.mjtGain.mjGAIN_FIXED
            model.actuator_biastype[actuator] = mujoco.mjtBias.mjBIAS_AFFINE
            model.actuator_gainprm[actuator, :3] = control.stiffness, 0.0, 0.0
            model.actuator_biasprm[actuator, :3] = 0.0, -control.stiffness, -control.damping
            model.actuator_gear[actuator] = (1.0, *[0.0] * 5)
            model.actuator_ctrllimited[actuator] = 0  # a target may lie beyond a joint's range
            model.actuator_forcelimited[actuator] = 1
            model.actuator_forcerange[actuator] = -control.effort_limit, control.effort_limit
            moved.append(int(actuator))
        return moved


class _Address(NamedTuple):
    """Where a free joint begins in qpos and in qvel."""

    qpos: int
    qvel: int


class _Finder:
    """Indices by name, of the whole or of what stands behind the last slash."""

    def __init__(self, model: Any, path: Path) -> None:
        self.model, self.path = model, path

    def __call__(self, kind: str, name: str) -> int:
        count = getattr(self.model, {"joint": "njnt", "body": "nbody", "sensor": "nsensor"}[kind])
        names = [getattr(self.model, kind)(index).name for index in range(count)]
        wanted = name.rsplit("/", 1)[-1]
        found = [index for index, each in enumerate(names) if each.rsplit("/", 1)[-1] == wanted]
        if len(found) != 1:
            many = "has none" if not found else f"has {len(found)}"
            raise UserError(
                f"{self.path}: the policy needs the {kind} '{wanted}', the model {many} of that name; "
                f"export_policy.py saves one that fits"
            )
        return found[0]


def _row(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))[None]
