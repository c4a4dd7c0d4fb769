"""A tracking policy's training: configurations from the command line, the folder of a run, checkpoints."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import hydra
import torch
from hydra.errors import HydraException
from isaaclab.envs import ManagerBasedRLEnvCfg
from isaaclab.utils import replace_strings_with_slices
from isaaclab.utils.io import dump_yaml
from isaaclab_tasks.utils.hydra import register_task_to_hydra
from omegaconf import OmegaConf
from rsl_rl.runners import OnPolicyRunner

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing
from g1_vq_retarget.tasks.isaaclab.command import TrackingCommand
from g1_vq_retarget.tasks.isaaclab.flags import RUNS, save_flags
from g1_vq_retarget.tasks.isaaclab.playback import PlaybackEnvCfg
from g1_vq_retarget.tasks.isaaclab.robot import g1_cfg
from g1_vq_retarget.tasks.motion_library import MotionLibrary
from g1_vq_retarget.tasks.tracking_config import checkpoints
from g1_vq_retarget.tasks.tracking_run import FAILED, reading_checkpoint, with_failures, write_manifest
from g1_vq_retarget.training.run_folder import write_origin

_SCRIPT = "scripts/rsl_rl/train.py"


class TrackingRunner(OnPolicyRunner):
    """rsl_rl's, whose checkpoints are written whole, hold what was sampled by, and are read without running code."""

    @property
    def command(self) -> TrackingCommand:
        """What is tracked."""
        term = self.env.unwrapped.command_manager.get_term("motion")  # type: ignore[attr-defined]
        assert isinstance(term, TrackingCommand)
        return term

    def save(self, path: str, infos: dict | None = None) -> None:
        """Write a checkpoint."""
        with replacing(path) as temporary:
            super().save(str(temporary), with_failures(infos, self.command.cursor.sampler))

    def load(self, path: str, load_optimizer: bool = True, map_location: str | None = None) -> dict:
        """Take over what a checkpoint holds.

        Returns:
            What was saved beside the networks.

        Raises:
            UserError: no checkpoint of a policy, or one for other observations.
        """
        place = map_location or self.device
        with reading_checkpoint(path, _SCRIPT):
            # rsl_rl's own reading runs code, so this is first
            torch.load(existing_file(path), map_location=place, weights_only=True)["infos"][FAILED]
            return super().load(path, load_optimizer, place)


def configured(task: str, overrides: Sequence[str] = ()) -> tuple[Any, Any]:
    """The configurations of a task, of environments and of training (None of the playback), with Hydra's overrides.

    As Isaac Lab's `hydra_task_config`, but for a mistake being told in a line, and no folder `outputs` being left.

    Raises:
        UserError: an override of something that is not there, or by a value that cannot be.
    """
    agent = "rsl_rl_cfg_entry_point"
    env_cfg, agent_cfg = register_task_to_hydra(task, agent if agent in gymnasium.spec(task).kwargs else "")
    try:
        with hydra.initialize(config_path=None, version_base="1.3"):
            composed = hydra.compose(task, list(overrides))
        values: Any = replace_strings_with_slices(OmegaConf.to_container(composed, resolve=True))
        env_cfg.from_dict(values["env"])
        if agent_cfg is not None:
            agent_cfg.from_dict(values["agent"])  # type: ignore[union-attr]
    except (HydraException, KeyError, ValueError, TypeError) as error:
        reason = (str(error).strip("'\"").splitlines() or [type(error).__name__])[0]
        raise UserError(f"{' '.join(overrides)}: {reason}") from error
    return env_cfg, agent_cfg


def follow(env_cfg: Any, args: argparse.Namespace) -> None:
    """Have environments follow what the flags name (see `flags.add_motion_flags`), by the robot that they name.

    Raises:
        UserError: a URDF that is not there, or of another robot; no playbacks of one rate, of the playback.
    """
    if isinstance(env_cfg, PlaybackEnvCfg):
        env_cfg.show(*args.motion, urdf=args.urdf)
        return
    command = env_cfg.commands.motion
    command.motion, command.from_tokens = list(map(str, args.motion)), list(map(str, args.from_tokens))
    command.motion_fps = args.motion_fps
    if args.urdf:
        env_cfg.scene.robot = g1_cfg(args.urdf)


def checkpoint_of(path: Path) -> Path:
    """The checkpoint of a run's folder that was trained longest; a checkpoint is its own.

    Raises:
        UserError: there is none.
    """
    if not path.is_dir():
        return existing_file(path)
    found = checkpoints(path)
    if not found:
        raise UserError(f"{path}: holds no model_*.pt; {_SCRIPT} writes them below {RUNS}")
    return found[max(found)]


def open_run(
    folder: Path,
    env_cfg: ManagerBasedRLEnvCfg,
    agent: Any,
    args: argparse.Namespace,
    overrides: Sequence[str],
    library: MotionLibrary,
) -> None:
    """Write down what is about to be done."""
    for name, values in (("env", env_cfg), ("agent", agent)):
        dump_yaml(str(folder / "params" / f"{name}.yaml"), values.to_dict() if hasattr(values, "to_dict") else values)
    save_flags(folder, args, overrides)
    write_manifest(folder, library)
    write_origin(folder, ("isaaclab", "rsl-rl-lib", "gymnasium"))
