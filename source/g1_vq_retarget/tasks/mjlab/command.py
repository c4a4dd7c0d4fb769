"""The motion that mjlab's robots track: mjlab's own command, over a library of clips in place of one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mjlab.entity import Entity
from mjlab.envs import ManagerBasedRlEnv
from mjlab.managers.command_manager import CommandTerm
from mjlab.tasks.tracking.mdp import MotionCommand, MotionCommandCfg
from mjlab.tasks.tracking.mdp.commands import MotionLoader
from torch import Tensor

from g1_vq_retarget.tasks.mdp import observations
from g1_vq_retarget.tasks.motion_library import MotionLibrary
from g1_vq_retarget.tasks.motion_source import load_library
from g1_vq_retarget.tasks.sampling import MotionCursor, SamplingConfig
from g1_vq_retarget.tasks.tracking_config import METRICS


class _Frames(MotionLoader):
    """All frames of a library, by the names that mjlab's command looks for in a file."""

    def __init__(self, library: MotionLibrary) -> None:
        frames = library.frames
        self.joint_pos, self.joint_vel = frames.joint_pos, frames.joint_vel
        self.body_pos_w, self.body_quat_w = frames.body_pos_w, frames.body_quat_w
        self.body_lin_vel_w, self.body_ang_vel_w = frames.body_lin_vel_w, frames.body_ang_vel_w
        self.time_step_total = len(frames.joint_pos)


class TrackingCommand(MotionCommand):
    """Every environment follows a clip of the library, frame by frame, and goes on elsewhere at the clip's end.

    Reference and robot have the names that they have in mjlab's `MotionCommand` (`joint_pos`, `robot_joint_pos`, …), so
    that mjlab's rewards, terminations and observations read either.

    Attributes:
        library: the clips, at the environments' rate, joints and bodies in mjlab's order.
        cursor: clip and frame of each environment.
        time_steps: (N,) the same as one index into the library's frames.
    """

    cfg: TrackingCommandCfg  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, cfg: TrackingCommandCfg, env: ManagerBasedRlEnv) -> None:
        CommandTerm.__init__(self, cfg, env)  # not MotionCommand's, which reads one file
        self.robot: Entity = env.scene[cfg.entity_name]
        bodies, _ = self.robot.find_bodies(cfg.body_names, preserve_order=True)
        self.body_indexes = torch.tensor(bodies, device=self.device)
        self.robot_anchor_body_index = self.robot.body_names.index(cfg.anchor_body_name)
        self.motion_anchor_body_index = cfg.body_names.index(cfg.anchor_body_name)
        self.library = cfg.load_library(1 / env.step_dt, self.robot.joint_names, self.device)
        if self.library.root != 0:
            raise ValueError(f"body_names: the root must come first, as mjlab has it, not {cfg.body_names[0]}")
        self.motion = _Frames(self.library)
        self.cursor = MotionCursor(
            self.library,
            self.num_envs,
            SamplingConfig(
                mode=cfg.sampling_mode,
                kernel_size=cfg.adaptive_kernel_size,
                kernel_decay=cfg.adaptive_lambda,
                uniform_ratio=cfg.adaptive_uniform_ratio,
                alpha=cfg.adaptive_alpha,
            ),
        )
        self.time_steps = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self.body_pos_relative_w, self.body_quat_relative_w = self.body_pos_w, self.body_quat_w
        self.metrics.update({name: torch.zeros(self.num_envs, device=self.device) for name in METRICS})
        self._future = torch.tensor(cfg.future_frames, device=self.device)
        # mjlab's, of how it draws the motion
        self._ghost_model = None
        self._ghost_color = np.array(cfg.viz.ghost_color, dtype=np.float32)
        self._pending_forward = False

    @property
    def command(self) -> Tensor:
        """(N, H * 2J) joint angles and velocities of the H frames that the policy sees, rad, rad/s."""
        frames = self.cursor.ahead(self._future)
        return observations.command(self.motion.joint_pos[frames], self.motion.joint_vel[frames])

    @property
    def anchor_pos_ahead_w(self) -> Tensor:
        """(N, H, 3) place of the anchor in those frames, m."""
        places = self.motion.body_pos_w[self.cursor.ahead(self._future), self.motion_anchor_body_index]
        return places + self._env.scene.env_origins[:, None]

    @property
    def anchor_quat_ahead_w(self) -> Tensor:
        """(N, H, 4) its orientation there."""
        return self.motion.body_quat_w[self.cursor.ahead(self._future), self.motion_anchor_body_index]

    @property
    def token_embedding(self) -> Tensor:
        """(N, H * D) the quantized latents that those frames were decoded from."""
        assert self.library.embedding is not None, "the configuration does not ask for the embedding"
        return self.library.embedding[self.cursor.ahead(self._future)].flatten(1)

    @property
    def frames_left(self) -> Tensor:
        """(N,) frames of the clip that are still to come."""
        return self.library.length[self.cursor.clip] - 1 - self.cursor.frame

    def start_at(self, env_ids: Tensor, clip: Tensor, frame: Tensor) -> None:
        """Put robots exactly where frames of clips have them, moving as there; after a reset of these environments.

        As after mjlab's own resets, the reference is the next frame then, the one to be reached by the next step.

        Args:
            env_ids: (n,) which.
            clip, frame: (n,) of the library.
        """
        self.cursor.clip[env_ids], self.cursor.frame[env_ids] = clip, frame
        self._follow()
        # not mjlab's own way of writing a state, which holds joints within 90 % of their ranges
        self.robot.write_joint_state_to_sim(self.joint_pos[env_ids], self.joint_vel[env_ids], env_ids=env_ids)
        root = (self.body_pos_w, self.body_quat_w, self.body_lin_vel_w, self.body_ang_vel_w)
        # both have the velocity of the root's origin, and not of its centre of mass
        self.robot.write_root_state_to_sim(torch.cat([part[env_ids, 0] for part in root], dim=-1), env_ids=env_ids)
        self.robot.reset(env_ids)
        self._env.sim.forward()
        self.cursor.frame[env_ids] += 1
        self._follow()
        self.update_relative_body_poses()

    def reset_to_frame(self, env_ids: Tensor, frame: int) -> None:
        """mjlab's viewers count through all frames of the library."""
        index = torch.full_like(env_ids, frame)
        clip = torch.searchsorted(self.library.first, index, right=True) - 1
        self.start_at(env_ids, clip, index - self.library.first[clip])

    def _resample_command(self, env_ids: Tensor) -> None:
        self.cursor.restart(env_ids, self._env.termination_manager.terminated[env_ids])
        self._place(env_ids)

    def _update_command(self, env_ids: Tensor | None = None) -> None:
        if env_ids is None:
            ended = self.cursor.advance()
            self._follow()
            if len(ended):
                self._place(ended)
                self.cursor.frame[ended] += 1
                self._follow()
        else:
            self.cursor.frame[env_ids] += 1
            self._follow()
        if self._pending_forward:  # robots were moved since the simulation last told where bodies are
            self._pending_forward = False
            self._env.sim.forward()
        self.update_relative_body_poses()

    def _place(self, env_ids: Tensor) -> None:
        """Put robots near where the motion has them: mjlab's resampling, which asks `_adaptive_sampling` where."""
        self._follow()
        super()._resample_command(env_ids)
        for name, value in self.cursor.sampler.statistics().items():
            self.metrics[name][:] = value

    def _adaptive_sampling(self, env_ids: Tensor) -> None:
        pass  # the cursor has drawn

    _uniform_sampling = _adaptive_sampling

    def _follow(self) -> None:
        self.time_steps = self.library.index(self.cursor.clip, self.cursor.frame)


@dataclass(kw_only=True)
class TrackingCommandCfg(MotionCommandCfg):
    """What to track; the sampling's parameters are mjlab's, see `tasks.sampling`."""

    motion_file: str = ""
    """In place of `motion`, so that mjlab's own scripts take `--motion-file`."""
    motion: tuple[str, ...] = ()
    """Files or folders of robot motion; with `from_tokens` a trained model."""
    from_tokens: tuple[str, ...] = ()
    """What that model decodes: token files, or motion that it encodes before."""
    motion_fps: float | None = None
    """Rate of files that do not tell it."""
    embedding: bool = False
    """Keep the quantized latents of motion from tokens."""
    future_frames: tuple[int, ...] = (0,)
    """The frames that the policy sees, counted from the one to be reached next."""

    def load_library(self, fps: float, joint_names: tuple[str, ...], device: str) -> MotionLibrary:
        """The clips that it names, at a rate, joints in an order.

        Raises:
            UserError: as of `motion_source.load_library`.
        """
        motion = self.motion or ((self.motion_file,) if self.motion_file else ())
        return load_library(
            [Path(path) for path in motion],
            fps,
            from_tokens=[Path(path) for path in self.from_tokens],
            embedding=self.embedding,
            joint_names=joint_names,
            body_names=self.body_names,
            device=device,
            options={"fps": self.motion_fps},
        )

    def build(self, env: ManagerBasedRlEnv) -> TrackingCommand:
        return TrackingCommand(self, env)
