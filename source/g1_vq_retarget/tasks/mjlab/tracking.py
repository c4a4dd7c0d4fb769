"""The tracking task in mjlab, as differences from mjlab's own for the G1: what is tracked, and what is seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from mjlab.envs import ManagerBasedRlEnv, ManagerBasedRlEnvCfg
from mjlab.managers.observation_manager import ObservationTermCfg
from mjlab.rl import RslRlOnPolicyRunnerCfg
from mjlab.tasks.tracking.config.g1.env_cfgs import unitree_g1_flat_tracking_env_cfg
from mjlab.tasks.tracking.config.g1.rl_cfg import unitree_g1_tracking_ppo_runner_cfg
from mjlab.tasks.tracking.mdp import MotionCommandCfg
from torch import Tensor

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.tasks.mdp import observations
from g1_vq_retarget.tasks.mjlab.command import TrackingCommand, TrackingCommandCfg
from g1_vq_retarget.tasks.tracking_config import Observe


def tracking_env_cfg(
    motion: Sequence[str | Path] = (),
    from_tokens: Sequence[str | Path] = (),
    *,
    motion_fps: float | None = None,
    num_envs: int = 1,
    state_estimation: bool = True,
    play: bool = False,
    observe: Observe = "frames",
    future_frames: Sequence[int] = (0,),
) -> ManagerBasedRlEnvCfg:
    """The task: G1s on a floor, each following a clip of a motion library.

    Args:
        motion, from_tokens: what is tracked, see `motion_source.load_library`; they may be set later, in
            `commands["motion"]`.
        motion_fps: rate of files that do not tell it.
        num_envs: robots at once.
        state_estimation: whether the policy sees where it is and how fast it goes.
        play: to look at and not to train: without end, noise, pushes and random starts.
        observe: what the policy sees of the motion: joint angles and velocities, and the anchor from the robot's, or,
            in place of the joints, the quantized latents that they were decoded from, and the anchor.
        future_frames: of which frames, counted from the one to be reached next.

    Raises:
        UserError: no frame to be seen, or one that is past.
    """
    if not future_frames or min(future_frames) < 0:
        raise UserError(f"--future-frames: expected frames ahead, 0 for the next, they are {list(future_frames)}")
    cfg = unitree_g1_flat_tracking_env_cfg(has_state_estimation=state_estimation, play=play)
    cfg.scene.num_envs = num_envs
    theirs = cfg.commands["motion"]
    assert isinstance(theirs, MotionCommandCfg)
    command = TrackingCommandCfg(**{field.name: getattr(theirs, field.name) for field in fields(theirs)})
    command.motion, command.from_tokens = tuple(map(str, motion)), tuple(map(str, from_tokens))
    command.motion_fps, command.future_frames = motion_fps, tuple(future_frames)
    command.embedding = observe == "tokens"
    if play:
        command.joint_position_range = (0.0, 0.0)
    cfg.commands["motion"] = command
    actor = cfg.observations["actor"]
    if observe == "tokens":
        seen = ObservationTermCfg(func=token_embedding, params={"command_name": "motion"})
        terms = {("token_embedding" if name == "command" else name): term for name, term in actor.terms.items()}
        actor.terms = terms | {"token_embedding": seen}
    else:
        for name, function in (
            ("motion_anchor_pos_b", motion_anchor_pos_b),
            ("motion_anchor_ori_b", motion_anchor_ori_b),
        ):
            for group in cfg.observations.values():
                if name in group.terms:
                    group.terms[name].func = function
    return cfg


def tracking_rl_cfg() -> RslRlOnPolicyRunnerCfg:
    """mjlab's PPO for this robot, which writes to a folder and nowhere else."""
    cfg = unitree_g1_tracking_ppo_runner_cfg()
    cfg.experiment_name, cfg.logger, cfg.upload_model = "g1_vq_tracking", "tensorboard", False
    return cfg


def motion_anchor_pos_b(env: ManagerBasedRlEnv, command_name: str) -> Tensor:
    """(N, H * 3) the motion's anchor in the frame of the robot's, m, in the frames that the policy sees."""
    term = _tracking(env, command_name)
    return observations.motion_anchor_pos_b(term.robot_anchor_pos_w, term.robot_anchor_quat_w, term.anchor_pos_ahead_w)


def motion_anchor_ori_b(env: ManagerBasedRlEnv, command_name: str) -> Tensor:
    """(N, H * 6) its orientation there."""
    term = _tracking(env, command_name)
    return observations.motion_anchor_ori_b(term.robot_anchor_quat_w, term.anchor_quat_ahead_w)


def token_embedding(env: ManagerBasedRlEnv, command_name: str) -> Tensor:
    """(N, H * D) the quantized latents of the frames that the policy sees."""
    return _tracking(env, command_name).token_embedding


def _tracking(env: ManagerBasedRlEnv, command_name: str) -> TrackingCommand:
    term = env.command_manager.get_term(command_name)
    assert isinstance(term, TrackingCommand)
    return term
