"""The triple view in Isaac Lab: truth and model as articulations, the human as markers, moved frame by frame.

    python scripts/play_triple_view.py --sim isaaclab --checkpoint RUN --input HUMAN --reference ROBOT

Nothing is simulated: a step puts the robots where the motion has them and draws them, without a step of physics.
"""

from __future__ import annotations

from typing import Any

import isaaclab.sim as sim_utils
import torch
from isaaclab.assets import Articulation, ArticulationCfg, AssetBaseCfg
from isaaclab.envs import ManagerBasedRLEnv, ManagerBasedRLEnvCfg
from isaaclab.managers import ObservationGroupCfg, ObservationTermCfg
from isaaclab.managers.command_manager import CommandTerm, CommandTermCfg
from isaaclab.markers import VisualizationMarkers, VisualizationMarkersCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.utils import configclass
from torch import Tensor

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.tasks.isaaclab.robot import ghost_cfg, joint_indices
from g1_vq_retarget.tasks.playback import BONE_RADIUS, HUMAN_COLOUR, JOINT_RADIUS, ROBOT_COLOURS, ROBOTS, Playback

# Prototypes of the human's markers, by their place in the configuration.
_JOINT, _BONE = 0, 1


class PlaybackCommand(CommandTerm):
    """Puts both robots where a playback has them, and marks the human's joints and bones.

    Attributes:
        playbacks: what is played; environment i shows the one of number i, and after the last again the first.
        frame: (N,) int64, frames since the reset, for each environment.
    """

    cfg: PlaybackCommandCfg

    def __init__(self, cfg: PlaybackCommandCfg, env: ManagerBasedRLEnv) -> None:
        super().__init__(cfg, env)
        self.playbacks = cfg.load()
        rate = self.playbacks[0].fps
        if abs(env.step_dt * rate - 1) > 1e-6:
            raise UserError(
                f"{cfg.files[0]}: has {rate:g} frames a second, the environment takes {1 / env.step_dt:g} steps; "
                "use PlaybackEnvCfg.show, which sets the rate"
            )
        self.frame = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self._robots: dict[str, Articulation] = {name: env.scene[name] for name in ROBOTS}
        self._joints = {
            name: torch.tensor(joint_indices(robot, self.playbacks[0].joint_names), device=self.device)
            for name, robot in self._robots.items()
        }

    @property
    def command(self) -> Tensor:
        """(N, 1) the time, s."""
        return self.frame[:, None] * self._env.step_dt

    @property
    def shown(self) -> list[tuple[Playback, int]]:
        """The playback and its frame of each environment."""
        several = self.playbacks
        each = (several[number % len(several)] for number in range(self.num_envs))
        return [(playback, frame % len(playback)) for playback, frame in zip(each, self.frame.tolist(), strict=True)]

    def show(self) -> None:
        """Put robots and markers where they are now."""
        origins = self._env.scene.env_origins
        for name, robot in self._robots.items():
            tracks = [(playback.robots[name], frame) for playback, frame in self.shown]
            place, turn, joints = (
                torch.stack([torch.tensor(getattr(track, part)[frame]) for track, frame in tracks])
                .float()
                .to(self.device)
                for part in ("root_pos_w", "root_quat_w", "joint_pos")
            )
            still = torch.zeros(self.num_envs, 6, device=self.device)
            robot.write_root_state_to_sim(torch.cat([place + origins, turn, still], dim=1))
            robot.write_joint_state_to_sim(joints, torch.zeros_like(joints), joint_ids=self._joints[name])
        if hasattr(self, "_markers"):
            self._mark_humans()

    def _mark_humans(self) -> None:
        joints, starts, ends = list[Tensor](), list[Tensor](), list[Tensor]()
        for (playback, frame), origin in zip(self.shown, self._env.scene.env_origins, strict=True):
            pos = torch.tensor(playback.human_pos_w[frame]).float().to(self.device) + origin
            parents = torch.tensor(playback.human_parents, device=self.device)
            bones = (parents >= 0).nonzero()[:, 0]
            joints.append(pos)
            starts.append(pos[parents[bones]])
            ends.append(pos[bones])
        pos, start, end = torch.cat(joints), torch.cat(starts), torch.cat(ends)
        self._markers.set_visibility(len(pos) > 0)
        if not len(pos):
            return
        length = (end - start).norm(dim=-1, keepdim=True)
        one = torch.ones_like(pos)
        self._markers.visualize(
            translations=torch.cat([pos, (start + end) / 2]),
            orientations=torch.cat([one.new_tensor([[1.0, 0, 0, 0]]).repeat(len(pos), 1), _along(end - start)]),
            # a cylinder of 1 m along its own z
            scales=torch.cat([one, torch.cat([torch.ones_like(length), torch.ones_like(length), length], dim=-1)]),
            marker_indices=torch.tensor([_JOINT] * len(pos) + [_BONE] * len(start)),
        )

    def _update_metrics(self) -> None:
        pass

    def _resample_command(self, env_ids: Any) -> None:
        self.frame[env_ids] = 0

    def _update_command(self) -> None:
        self.frame += 1

    def _set_debug_vis_impl(self, debug_vis: bool) -> None:
        if debug_vis and not hasattr(self, "_markers"):
            self._markers = VisualizationMarkers(self.cfg.markers)

    def _debug_vis_callback(self, event: object) -> None:
        pass  # markers move with the robots, whether or not a window draws them


@configclass
class PlaybackCommandCfg(CommandTermCfg):
    """What to play."""

    class_type: type = PlaybackCommand
    files: list[str] = []
    """Written by `Playback.save` (scripts/deployment/export_playback.py), all of one rate."""
    resampling_time_range: tuple[float, float] = (1e9, 1e9)
    debug_vis: bool = True
    markers: VisualizationMarkersCfg = VisualizationMarkersCfg(
        prim_path="/Visuals/human",
        markers={
            "joint": sim_utils.SphereCfg(
                radius=JOINT_RADIUS, visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=HUMAN_COLOUR)
            ),
            "bone": sim_utils.CylinderCfg(
                radius=BONE_RADIUS, height=1.0, visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=HUMAN_COLOUR)
            ),
        },
    )

    def load(self) -> list[Playback]:
        """Read the files.

        Raises:
            UserError: none named, one that cannot be read, or rates or joints that contradict one another.
        """
        if not self.files:
            raise UserError("--motion is needed: a playback of scripts/deployment/export_playback.py")
        first, *rest = playbacks = [Playback.load(file) for file in self.files]
        for file, other in zip(self.files[1:], rest, strict=True):
            if other.fps != first.fps:
                raise UserError(
                    f"{file}: has {other.fps:g} frames a second, {self.files[0]} {first.fps:g}; show them one by one"
                )
            if other.joint_names != first.joint_names:
                raise UserError(f"{file}: has other joints than {self.files[0]}; show them one by one")
        return playbacks


@configclass
class PlaybackSceneCfg(InteractiveSceneCfg):
    """Two robots on a floor."""

    ground = AssetBaseCfg(prim_path="/World/ground", spawn=sim_utils.GroundPlaneCfg())
    light = AssetBaseCfg(prim_path="/World/light", spawn=sim_utils.DomeLightCfg(intensity=750.0))
    truth: ArticulationCfg = ghost_cfg("{ENV_REGEX_NS}/Truth", ROBOT_COLOURS["truth"])
    model: ArticulationCfg = ghost_cfg("{ENV_REGEX_NS}/Model", ROBOT_COLOURS["model"])


@configclass
class PlaybackCommandsCfg:
    """The playback."""

    motion: PlaybackCommandCfg = PlaybackCommandCfg()


def playback_time(env: ManagerBasedRLEnv) -> Tensor:
    """(N, 1) time in the motion, s."""
    return env.command_manager.get_command("motion")


@configclass
class PlaybackObservationsCfg:
    """The time in it."""

    @configclass
    class PolicyCfg(ObservationGroupCfg):
        """There is no policy; Isaac Lab's agents look for this group."""

        time = ObservationTermCfg(func=playback_time)

    policy: PolicyCfg = PolicyCfg()


@configclass
class NothingCfg:
    """No terms."""


@configclass
class PlaybackEnvCfg(ManagerBasedRLEnvCfg):
    """Robots that nothing moves but the playback."""

    scene: PlaybackSceneCfg = PlaybackSceneCfg(num_envs=1, env_spacing=6.0)
    commands: PlaybackCommandsCfg = PlaybackCommandsCfg()
    observations: PlaybackObservationsCfg = PlaybackObservationsCfg()
    actions: NothingCfg = NothingCfg()
    rewards: NothingCfg = NothingCfg()
    terminations: NothingCfg = NothingCfg()
    events: NothingCfg = NothingCfg()

    def __post_init__(self) -> None:
        self.decimation = 1
        self.episode_length_s = 1e9
        self.sim.dt, self.sim.render_interval = 1 / 50, 1
        self.viewer.eye, self.viewer.lookat = (4.5, 0.0, 1.5), (0.0, 0.0, 0.8)

    def show(self, *files: str, urdf: str | None = None) -> None:
        """Play these files, at their rate, by a robot of a URDF or by Isaac's.

        Raises:
            UserError: as of `PlaybackCommandCfg.load` and `robot.g1_cfg`.
        """
        self.commands.motion.files = list(files)
        if urdf:
            for name in ROBOTS:
                robot = getattr(self.scene, name)
                setattr(self.scene, name, ghost_cfg(robot.prim_path, ROBOT_COLOURS[name], urdf))
        self.sim.dt = 1 / self.commands.motion.load()[0].fps


class PlaybackEnv(ManagerBasedRLEnv):
    """Isaac Lab's environment with another step: a frame further, and no physics."""

    cfg: PlaybackEnvCfg

    def reset(self, *args: Any, **kwargs: Any) -> Any:
        """Back to the first frame."""
        result = super().reset(*args, **kwargs)
        self._show()
        return result

    def step(self, action: Tensor) -> Any:
        """Show the next frame; actions are none."""
        self.common_step_counter += 1
        self.episode_length_buf += 1
        self.command_manager.compute(self.step_dt)
        self._show()
        self.obs_buf = self.observation_manager.compute()
        nothing = torch.zeros(self.num_envs, device=self.device)
        return self.obs_buf, nothing, nothing.bool(), nothing.bool(), self.extras

    def _show(self) -> None:
        term = self.command_manager.get_term("motion")
        assert isinstance(term, PlaybackCommand)
        term.show()
        self.scene.write_data_to_sim()
        if self.sim.has_gui() or self.sim.has_rtx_sensors():
            self.sim.render()
        self.scene.update(self.step_dt)


def _along(direction: Tensor) -> Tensor:
    """(n, 4) the shortest turns that lay z along directions (n, 3)."""
    x, y, z = (direction / direction.norm(dim=-1, keepdim=True).clamp(min=1e-9)).unbind(-1)
    # half of z + direction; straight down has no shortest turn, and any about a level axis does
    down = z < -1 + 1e-6
    turn = torch.stack([1 + z, torch.where(down, torch.ones_like(x), -y), x, torch.zeros_like(z)], dim=-1)
    return turn / turn.norm(dim=-1, keepdim=True)
