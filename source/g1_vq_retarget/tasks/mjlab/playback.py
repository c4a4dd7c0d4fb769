"""The triple view in mjlab: truth and model as articulations, the human as markers, moved frame by frame.

    python scripts/deployment/export_playback.py --checkpoint RUN --input HUMAN --reference ROBOT --output playback.npz
    play Mjlab-G1-VQ-Playback --agent zero --motion-file playback.npz

Nothing is simulated: both robots are put where the motion has them at every step, so there is no policy either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from mjlab.asset_zoo.robots.unitree_g1.g1_constants import get_spec
from mjlab.entity import EntityCfg
from mjlab.envs import ManagerBasedRlEnv, ManagerBasedRlEnvCfg
from mjlab.managers.command_manager import CommandTerm
from mjlab.managers.observation_manager import ObservationGroupCfg, ObservationTermCfg
from mjlab.rl import RslRlOnPolicyRunnerCfg
from mjlab.scene import SceneCfg
from mjlab.sim import MujocoCfg, SimulationCfg
from mjlab.tasks.tracking.mdp import MotionCommandCfg
from mjlab.terrains import TerrainEntityCfg
from mjlab.viewer import ViewerConfig

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.tasks.playback import (
    BONE_RADIUS,
    HUMAN_COLOUR,
    JOINT_RADIUS,
    ROBOT_COLOURS,
    ROBOTS,
    Playback,
)

if TYPE_CHECKING:
    from mjlab.viewer.debug_visualizer import DebugVisualizer

PLAYBACK_TASK = "Mjlab-G1-VQ-Playback"
# Of the steps, s; the motion is shown at its own rate.
STEP_S = 0.02


class PlaybackCommand(CommandTerm):
    """Puts both robots where a playback has them, and marks the human's joints and bones.

    Attributes:
        playback: what is played.
        time: (N,) s since the reset, for each environment.
    """

    cfg: PlaybackCommandCfg

    def __init__(self, cfg: PlaybackCommandCfg, env: ManagerBasedRlEnv) -> None:
        super().__init__(cfg, env)
        if not cfg.motion_file:
            raise UserError("--motion-file is needed: scripts/deployment/export_playback.py writes one")
        self.playback = Playback.load(cfg.motion_file)
        # of double precision, in which steps add up for days
        self.time = torch.zeros(self.num_envs, dtype=torch.float64, device=self.device)
        self._robots = {name: env.scene[name] for name in ROBOTS}
        self._joints = {
            name: robot.find_joints(self.playback.joint_names, preserve_order=True)[0]
            for name, robot in self._robots.items()
        }

    @property
    def command(self) -> torch.Tensor:
        """(N, 1) the time, s."""
        return self.time[:, None].float()

    @property
    def frames(self) -> list[int]:
        """The frame of each environment."""
        return [self.playback.frame_at(time) for time in self.time.tolist()]

    def _update_metrics(self) -> None:
        pass

    def _resample_command(self, env_ids: torch.Tensor) -> None:
        self.time[env_ids] = 0.0

    def _update_command(self, env_ids: torch.Tensor | None) -> None:
        if env_ids is None:
            self.time += self._env.step_dt
        frames, origins = self.frames, self._env.scene.env_origins
        for name, track in self.playback.robots.items():
            place, turn, joints = (
                torch.as_tensor(values[frames], dtype=torch.float32, device=self.device)
                for values in (track.root_pos_w, track.root_quat_w, track.joint_pos)
            )
            still = torch.zeros(self.num_envs, 6, device=self.device)
            robot = self._robots[name]
            robot.write_root_state_to_sim(torch.cat([place + origins, turn, still], dim=1))
            robot.write_joint_state_to_sim(joints, torch.zeros_like(joints), joint_ids=self._joints[name])
        # the step computed positions before this: see `ManagerBasedRlEnv.step`
        self._env.sim.forward()

    def _debug_vis_impl(self, visualizer: DebugVisualizer) -> None:
        human = (*HUMAN_COLOUR, 1.0)
        for env in visualizer.get_env_indices(self.num_envs):
            joints = self.playback.human_pos_w[self.frames[env]] + self._env.scene.env_origins[env].cpu().numpy()
            for joint, parent in zip(joints, self.playback.human_parents.tolist(), strict=True):
                visualizer.add_sphere(joint, JOINT_RADIUS, human)
                if parent >= 0:
                    visualizer.add_cylinder(joints[parent], joint, BONE_RADIUS, human)


@dataclass(kw_only=True)
class PlaybackCommandCfg(MotionCommandCfg):
    """What to play. As a motion command it takes `--motion-file` of mjlab's `play`; the rest of one is not used."""

    motion_file: str = ""
    entity_name: str = "model"
    anchor_body_name: str = ""
    body_names: tuple[str, ...] = ()
    resampling_time_range: tuple[float, float] = (1e9, 1e9)
    debug_vis: bool = True

    def build(self, env: ManagerBasedRlEnv) -> PlaybackCommand:  # type: ignore[override]
        return PlaybackCommand(self, env)


def playback_env_cfg(motion_file: str = "") -> ManagerBasedRlEnvCfg:
    """The task: two G1s that nothing moves but the playback, on a floor, seen from ahead.

    Args:
        motion_file: written by `Playback.save`; it may be set later, in `commands["motion"]`.
    """
    return ManagerBasedRlEnvCfg(
        decimation=1,
        scene=SceneCfg(
            num_envs=1,
            env_spacing=6.0,
            terrain=TerrainEntityCfg(terrain_type="plane"),
            entities={name: EntityCfg(spec_fn=_painted((*ROBOT_COLOURS[name], 1.0)), collisions=()) for name in ROBOTS},
        ),
        observations={"actor": ObservationGroupCfg(terms={"time": ObservationTermCfg(func=playback_time)})},
        commands={"motion": PlaybackCommandCfg(motion_file=motion_file)},
        sim=SimulationCfg(mujoco=MujocoCfg(timestep=STEP_S, disableflags=("contact", "gravity", "constraint"))),
        viewer=ViewerConfig(
            origin_type=ViewerConfig.OriginType.ASSET_ROOT,
            entity_name="truth",
            distance=4.5,
            elevation=-10.0,
            azimuth=180.0,
            width=960,
            height=540,
        ),
    )


def playback_rl_cfg() -> RslRlOnPolicyRunnerCfg:
    """mjlab wants one for every task; there is nothing to train in this one."""
    return RslRlOnPolicyRunnerCfg(experiment_name="g1_vq_playback")


def playback_time(env: ManagerBasedRlEnv) -> torch.Tensor:
    """(N, 1) time in the motion, s."""
    term = env.command_manager.get_term("motion")
    assert isinstance(term, PlaybackCommand)
    return term.command


def _painted(colour: tuple[float, float, float, float]) -> Callable[[], Any]:
    return partial(_painted_spec, colour)


def _painted_spec(colour: tuple[float, float, float, float]) -> Any:
    """mjlab's G1 in one colour, without anything that collides or is driven."""
    spec = get_spec()
    for geom in spec.geoms:
        geom.contype = geom.conaffinity = 0
        geom.material, geom.rgba = "", colour
    return spec
