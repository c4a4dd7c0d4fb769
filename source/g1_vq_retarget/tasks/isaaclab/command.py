"""The motion that Isaac Lab's robots track: a library of clips, each environment somewhere in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, replace
from pathlib import Path
from typing import NamedTuple

import isaaclab.sim as sim_utils
import torch
from isaaclab.assets import Articulation
from isaaclab.envs import ManagerBasedRLEnv
from isaaclab.managers import CommandTerm, CommandTermCfg
from isaaclab.markers import VisualizationMarkers, VisualizationMarkersCfg
from isaaclab.utils import configclass
from isaaclab.utils.math import quat_from_euler_xyz
from torch import Tensor

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.robot import index_by_name
from g1_vq_retarget.tasks.isaaclab.robot import body_indices, joint_indices
from g1_vq_retarget.tasks.mdp import observations, relative_body_poses
from g1_vq_retarget.tasks.mdp.frames import angle_between, multiply, rotate
from g1_vq_retarget.tasks.motion_library import MotionFrames, MotionLibrary
from g1_vq_retarget.tasks.motion_source import load_library
from g1_vq_retarget.tasks.sampling import MotionCursor, SamplingConfig
from g1_vq_retarget.tasks.tracking_config import METRICS

_AXES = ("x", "y", "z", "roll", "pitch", "yaw")


class Bodies(NamedTuple):
    """Bodies in the world: (..., 3) m, (..., 4) w x y z, (..., 3) m/s of their links' origins, (..., 3) rad/s."""

    pos_w: Tensor
    quat_w: Tensor
    lin_vel_w: Tensor
    ang_vel_w: Tensor

    def at(self, body: int | slice) -> Bodies:
        """One of them, of those in the second dimension."""
        return Bodies(*(values[:, body] for values in self))


class RobotBodies:
    """Bodies of a robot by the same names, read when asked for.

    PhysX tells velocities of centres of mass. Isaac Lab's own of the links' origins would have it tell those centres at
    every step, too, by way of the CPU (which cost 100 thousand steps a second 70, says Isaac Lab's pull request 966);
    here `find_centres` reads them.
    """

    def __init__(self, robot: Articulation, bodies: Tensor | int) -> None:
        self._robot, self._data, self._bodies = robot, robot.data, bodies
        self.find_centres()

    def find_centres(self) -> None:
        """Read anew where the links' centres of mass are; they move when they are randomised and not otherwise."""
        centres = self._robot.root_physx_view.get_coms().to(self._robot.device)
        self._centres = centres[:, self._bodies, :3]

    @property
    def pos_w(self) -> Tensor:
        return self._data.body_link_pos_w[:, self._bodies]

    @property
    def quat_w(self) -> Tensor:
        return self._data.body_link_quat_w[:, self._bodies]

    @property
    def lin_vel_w(self) -> Tensor:
        velocity = self._velocity
        return velocity[..., :3] - torch.linalg.cross(velocity[..., 3:], rotate(self.quat_w, self._centres))

    @property
    def ang_vel_w(self) -> Tensor:
        return self._velocity[..., 3:]

    @property
    def _velocity(self) -> Tensor:
        return self._data.body_com_vel_w[:, self._bodies]


class RobotRoot(RobotBodies):
    """The root, where a push shows at once; among the bodies that PhysX tells of it does with the next step."""

    def write(self, env_ids: Tensor, state: Tensor) -> None:
        """Put roots (n, 13) somewhere: place, turn, and velocities of the links' origins."""
        arm = rotate(state[:, 3:7], self._centres[env_ids])
        velocity = state[:, 7:10] + torch.linalg.cross(state[:, 10:], arm)
        self._robot.write_root_link_pose_to_sim(state[:, :7], env_ids)
        self._robot.write_root_com_velocity_to_sim(torch.cat([velocity, state[:, 10:]], dim=-1), env_ids)

    @property
    def _velocity(self) -> Tensor:
        return self._data.root_com_vel_w


class TrackingCommand(CommandTerm):
    """Every environment follows a clip of the library, frame by frame, and goes on elsewhere at the clip's end.

    Attributes:
        robot: that follows.
        joint_ids: of the library's joints, in the simulator's order.
        library: the clips, at the environments' rate.
        cursor: clip and frame of each environment: the frame to be reached by the next step.
        reference: (N, L, ...) the tracked bodies where the motion has them then, at each environment's place.
        actual, actual_anchor, actual_root: (N, L, ...) the tracked bodies where the robot has them, and (N, ...) its
            anchor and root.
        relative: the reference moved to where the robot was a step ago, as BeyondMimic has it; see
            `relative_body_poses`.
    """

    cfg: TrackingCommandCfg

    def __init__(self, cfg: TrackingCommandCfg, env: ManagerBasedRLEnv) -> None:
        super().__init__(cfg, env)
        ahead = cfg.future_frames
        if not ahead or min(ahead) < 0:
            raise UserError(f"env.commands.motion.future_frames: expected frames ahead, 0 for the next, not {ahead}")
        sampling = replace(cfg.sampling)  # which is checked anew: Hydra has set its fields
        self.robot: Articulation = env.scene[cfg.asset_name]
        self.library = cfg.load_library(1 / env.step_dt, self.device)
        joints = joint_indices(self.robot, self.library.joint_names)
        bodies = body_indices(self.robot, self.library.body_names)
        self.joint_ids = torch.tensor(joints, device=self.device)
        self._anchor = index_by_name(cfg.body_names, [cfg.anchor_body_name])[0]
        self.actual = RobotBodies(self.robot, torch.tensor(bodies, device=self.device))
        self.actual_anchor = RobotBodies(self.robot, bodies[self._anchor])
        self.actual_root = RobotRoot(self.robot, bodies[self.library.root])
        self._body_ids: dict[tuple[str, ...], Tensor] = {}
        self._future = torch.tensor(ahead, device=self.device)
        self.cursor = MotionCursor(self.library, self.num_envs, sampling)
        # the step in which a robot was last put somewhere
        self._placed = torch.full((self.num_envs,), -1, device=self.device)
        self.metrics.update({name: torch.zeros(self.num_envs, device=self.device) for name in METRICS})
        self._follow()

    @property
    def command(self) -> Tensor:
        """(N, H * 2J) joint angles and velocities of the H frames that the policy sees, rad, rad/s."""
        frames, ahead = self.library.frames, self.cursor.ahead(self._future)
        return observations.command(frames.joint_pos[ahead], frames.joint_vel[ahead])

    @property
    def frames(self) -> MotionFrames:
        """(N, ...) the motion where each environment is, in the clip's own world."""
        return self._frames

    @property
    def anchor(self) -> Bodies:
        """(N, ...) the motion's anchor."""
        return self.reference.at(self._anchor)

    @property
    def anchor_pos_ahead_w(self) -> Tensor:
        """(N, H, 3) place of the motion's anchor in the frames that the policy sees, m."""
        places = self.library.frames.body_pos_w[self.cursor.ahead(self._future), self._anchor]
        return places + self._env.scene.env_origins[:, None]

    @property
    def anchor_quat_ahead_w(self) -> Tensor:
        """(N, H, 4) its orientation there."""
        return self.library.frames.body_quat_w[self.cursor.ahead(self._future), self._anchor]

    def body_ids(self, names: Sequence[str]) -> Tensor:
        """Where bodies stand among those tracked; ValueError names one that is not."""
        key = tuple(names)
        if key not in self._body_ids:
            self._body_ids[key] = torch.tensor(index_by_name(self.library.body_names, names), device=self.device)
        return self._body_ids[key]

    def start_at(self, env_ids: Tensor, clip: Tensor, frame: Tensor) -> None:
        """Put robots exactly where frames of clips have them, moving as there; after a reset of these environments.

        As after every other start the reference is the next frame then, the one to be reached by the next step.

        Args:
            env_ids: (n,) which.
            clip, frame: (n,) of the library.
        """
        self.cursor.clip[env_ids], self.cursor.frame[env_ids] = clip, frame
        self._follow()
        root = self.reference.at(self.library.root)
        self._write(env_ids, torch.cat([values[env_ids] for values in root], dim=-1), *self._joints(env_ids))
        self._go_on(env_ids)
        self._relate()

    def _update_metrics(self) -> None:
        reference = self.reference
        for part, one, other in (
            ("anchor", self.anchor, self.actual_anchor),
            ("body", Bodies(*self.relative, *reference[2:]), self.actual),
        ):
            errors = {
                "pos": (one.pos_w - other.pos_w).norm(dim=-1),
                "rot": angle_between(one.quat_w, other.quat_w),
                "lin_vel": (one.lin_vel_w - other.lin_vel_w).norm(dim=-1),
                "ang_vel": (one.ang_vel_w - other.ang_vel_w).norm(dim=-1),
            }
            for what, error in errors.items():
                self.metrics[f"error_{part}_{what}"][:] = error if part == "anchor" else error.mean(-1)
        data, ids = self.robot.data, self.joint_ids
        self.metrics["error_joint_pos"][:] = (self._frames.joint_pos - data.joint_pos[:, ids]).norm(dim=-1)
        self.metrics["error_joint_vel"][:] = (self._frames.joint_vel - data.joint_vel[:, ids]).norm(dim=-1)

    def _resample_command(self, env_ids: Sequence[int] | Tensor) -> None:
        ids = torch.arange(self.num_envs, device=self.device)[env_ids]
        if len(ids) == self.num_envs:  # as at the beginning, behind what is randomised at startup
            for bodies in (self.actual, self.actual_anchor, self.actual_root):
                bodies.find_centres()
        self.cursor.restart(ids, self._env.termination_manager.terminated[ids])
        self._follow()
        self._place(ids)
        self._go_on(ids)
        self._relate()
        self._placed[ids] = self._env.common_step_counter

    def _update_command(self) -> None:
        # who was put somewhere within this step has gone on already; a reset from outside is in the step before
        ended = self.cursor.advance(self._placed < self._env.common_step_counter)
        self._follow()
        if len(ended):
            self._place(ended)
            self._go_on(ended)
        self._relate()

    def _go_on(self, placed: Tensor) -> None:
        """Have those who were put on a frame follow the next."""
        self.cursor.frame[placed] += 1
        self._follow()

    def _follow(self) -> None:
        self._frames = frames = self.cursor.now()
        places = frames.body_pos_w + self._env.scene.env_origins[:, None]
        self.reference = Bodies(places, frames.body_quat_w, frames.body_lin_vel_w, frames.body_ang_vel_w)

    def _relate(self) -> None:
        anchor, actual = self.anchor, self.actual_anchor
        self.relative = relative_body_poses(
            self.reference.pos_w, self.reference.quat_w, anchor.pos_w, anchor.quat_w, actual.pos_w, actual.quat_w
        )

    def _place(self, env_ids: Tensor) -> None:
        """Put robots near where the motion has them, moving about as there."""
        cfg, root = self.cfg, self.reference.at(self.library.root)
        off, speed = self._random(cfg.pose_range, len(env_ids)), self._random(cfg.velocity_range, len(env_ids))
        turn = quat_from_euler_xyz(*off[:, 3:].unbind(-1))
        velocity = torch.cat([root.lin_vel_w, root.ang_vel_w], dim=-1)[env_ids] + speed
        place = [root.pos_w[env_ids] + off[:, :3], multiply(turn, root.quat_w[env_ids]), velocity]
        joint_pos, joint_vel = self._joints(env_ids)
        joint_pos = joint_pos + torch.empty_like(joint_pos).uniform_(*cfg.joint_position_range)
        lower, upper = self.robot.data.soft_joint_pos_limits[env_ids][:, self.joint_ids].unbind(-1)
        self._write(env_ids, torch.cat(place, dim=-1), joint_pos.clamp(lower, upper), joint_vel)
        for name, value in self.cursor.sampler.statistics().items():
            self.metrics[name][:] = value

    def _joints(self, env_ids: Tensor) -> tuple[Tensor, Tensor]:
        return self._frames.joint_pos[env_ids], self._frames.joint_vel[env_ids]

    def _random(self, ranges: Mapping[str, tuple[float, float]], count: int) -> Tensor:
        """(count, 6) along and about x, y and z."""
        lower, upper = torch.tensor([ranges.get(axis, (0.0, 0.0)) for axis in _AXES], device=self.device).unbind(-1)
        return lower + (upper - lower) * torch.rand(count, len(_AXES), device=self.device)

    def _write(self, env_ids: Tensor, root: Tensor, joint_pos: Tensor, joint_vel: Tensor) -> None:
        # joints come second, since writing them has Isaac Lab read the bodies anew
        self.actual_root.write(env_ids, root)
        self.robot.write_joint_state_to_sim(joint_pos, joint_vel, joint_ids=self.joint_ids, env_ids=env_ids)

    def _set_debug_vis_impl(self, debug_vis: bool) -> None:
        if debug_vis and not hasattr(self, "_markers"):
            self._markers = VisualizationMarkers(self.cfg.markers)
        if hasattr(self, "_markers"):
            self._markers.set_visibility(debug_vis)

    def _debug_vis_callback(self, event: object) -> None:
        if self.robot.is_initialized:
            self._markers.visualize(self.reference.pos_w.flatten(0, 1))


@configclass
class TrackingCommandCfg(CommandTermCfg):
    """What to track, and how far from it robots begin."""

    class_type: type = TrackingCommand
    asset_name: str = "robot"
    motion: list[str] = []
    """Files or folders of robot motion; with `from_tokens` a trained model."""
    from_tokens: list[str] = []
    """What that model decodes: token files, or motion that it encodes before."""
    motion_fps: float | None = None
    """Rate of files that do not tell it."""
    joint_names: list[str] = MISSING  # type: ignore[assignment]
    """Of the library, the policy's order."""
    body_names: list[str] = MISSING  # type: ignore[assignment]
    """That are tracked; the robot's root is among them."""
    anchor_body_name: str = MISSING  # type: ignore[assignment]
    future_frames: list[int] = [0]
    """The frames that the policy sees, counted from the one to be reached next."""
    pose_range: dict[str, tuple[float, float]] = {}
    """By x, y, z (m), roll, pitch and yaw (rad), how far from the motion's a robot's root begins."""
    velocity_range: dict[str, tuple[float, float]] = {}
    """By the same, m/s and rad/s."""
    joint_position_range: tuple[float, float] = (0.0, 0.0)
    """And its joints, rad."""
    sampling: SamplingConfig = SamplingConfig()
    """Where in the library."""
    resampling_time_range: tuple[float, float] = (1e9, 1e9)
    markers: VisualizationMarkersCfg = VisualizationMarkersCfg(
        prim_path="/Visuals/Command/motion",
        markers={
            "body": sim_utils.SphereCfg(
                radius=0.03, visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.33, 0.33, 0.33))
            )
        },
    )

    def load_library(self, fps: float, device: str) -> MotionLibrary:
        """The clips that it names, at a rate.

        Raises:
            UserError: as of `motion_source.load_library`.
        """
        return load_library(
            [Path(path) for path in self.motion],
            round(fps, 6),
            from_tokens=[Path(path) for path in self.from_tokens],
            joint_names=self.joint_names,
            body_names=self.body_names,
            device=device,
            options={"fps": self.motion_fps},
        )
