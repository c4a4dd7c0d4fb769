"""The folder of a tracking policy's training: what it was told, its checkpoints, and policies from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from mjlab.envs import ManagerBasedRlEnvCfg
from mjlab.rl import MjlabOnPolicyRunner, RslRlOnPolicyRunnerCfg, RslRlVecEnvWrapper
from mjlab.utils.os import dump_yaml
from mjlab.viewer.base import PolicyProtocol
from rsl_rl.models import MLPModel  # pyright: ignore[reportMissingImports]
from torch import Tensor

from g1_vq_retarget.configuration import read_preset, to_dict
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing
from g1_vq_retarget.tasks.mjlab.command import TrackingCommand
from g1_vq_retarget.tasks.mjlab.tracking import tracking_env_cfg, tracking_rl_cfg
from g1_vq_retarget.tasks.motion_library import MotionLibrary
from g1_vq_retarget.tasks.tracking_config import (
    CONFIG,
    NO_STATE_ESTIMATION_TASK,
    TrackingRunConfig,
    Untrained,
    checkpoints,
)
from g1_vq_retarget.tasks.tracking_run import (
    MANIFEST,
    manifest_of,
    read_manifest,
    reading_checkpoint,
    with_failures,
    write_manifest,
)
from g1_vq_retarget.training.run_folder import write_origin, write_text

_SCRIPT = "scripts/mjlab/train.py"
# What a training leaves besides its checkpoints.
_FILES = (CONFIG, MANIFEST, "env.yaml", "agent.yaml", "origin.json")


class TrackingRunner(MjlabOnPolicyRunner):
    """rsl_rl's, whose checkpoints are written whole, hold what was sampled by, and are read without running code."""

    def __init__(
        self,
        env: RslRlVecEnvWrapper,
        train_cfg: dict,
        log_dir: str | None = None,
        device: str = "cpu",
        registry_name: str
        | None = None,  # which mjlab's own script tells a tracking runner, and is of Weights & Biases
    ) -> None:
        super().__init__(env, train_cfg, log_dir, device)
        # else rsl_rl writes the diff of whatever checkout it finds around itself; origin.json has the revision
        self.logger.git_status_repos.clear()

    @property
    def command(self) -> TrackingCommand:
        """What is tracked."""
        term = self.env.unwrapped.command_manager.get_term("motion")
        assert isinstance(term, TrackingCommand)
        return term

    def save(self, path: str, infos: dict | None = None) -> None:
        """Write a checkpoint."""
        with replacing(path) as temporary:
            super().save(str(temporary), with_failures(infos, self.command.cursor.sampler))

    def load(
        self, path: str, load_cfg: dict | None = None, strict: bool = True, map_location: str | None = None
    ) -> dict:
        """Take over what a checkpoint holds: of `load_cfg`, by default everything.

        Returns:
            What was saved beside the networks.

        Raises:
            UserError: no checkpoint of a policy, or one for other observations.
        """
        place = map_location or self.device
        with reading_checkpoint(path, _SCRIPT):
            loaded: dict[str, Any] = torch.load(existing_file(path), map_location=place, weights_only=True)
            infos = loaded["infos"]
            if self.alg.load(loaded, load_cfg, strict):
                self.current_learning_iteration = loaded["iter"]
        if load_cfg is None:
            self.env.unwrapped.common_step_counter = infos["env_state"]["common_step_counter"]
        return infos


def read_run(path: Path) -> TrackingRunConfig:
    """What the training of a run folder, or of a checkpoint in one, was told.

    Raises:
        UserError: there is no such run.
    """
    return read_preset(TrackingRunConfig, _folder(path) / CONFIG)


def newest_checkpoint(path: Path) -> Path:
    """The checkpoint of a run folder that was trained longest; a checkpoint is its own.

    Raises:
        UserError: there is none.
    """
    if not path.is_dir():
        return existing_file(path)
    found = list(checkpoints(path).values())
    if not found:
        raise UserError(f"{path}: holds no model_*.pt; train a policy with {_SCRIPT} --run {path}")
    return found[-1]


def env_cfg_of(
    config: TrackingRunConfig,
    *,
    play: bool = False,
    num_envs: int | None = None,
    motion: Sequence[Path] = (),
    from_tokens: Sequence[Path] = (),
) -> ManagerBasedRlEnvCfg:
    """The environments of a run; with `motion`, and `from_tokens` beside it, they track something else.

    Raises:
        UserError: `from_tokens` without `motion`, or as of `tracking_env_cfg`.
    """
    if from_tokens and not motion:
        raise UserError("--from-tokens needs --motion: the trained model that decodes it")
    return tracking_env_cfg(
        motion or config.motion,
        from_tokens if motion else config.from_tokens,
        motion_fps=config.motion_fps,
        num_envs=config.num_envs if num_envs is None else num_envs,
        state_estimation=config.task != NO_STATE_ESTIMATION_TASK,
        play=play,
        observe=config.observe,
        future_frames=config.future_frames,
    )


def rl_cfg_of(config: TrackingRunConfig) -> RslRlOnPolicyRunnerCfg:
    """How a run learns: mjlab's hyperparameters."""
    cfg = tracking_rl_cfg()
    cfg.max_iterations, cfg.num_steps_per_env, cfg.save_interval = config.iterations, config.steps, config.save_every
    cfg.seed, cfg.run_name = config.seed, config.run.name
    return cfg


def load_policy(path: Path, env: RslRlVecEnvWrapper, device: str) -> MLPModel:
    """The policy of a run folder's newest checkpoint, or of a checkpoint: observations in, mean actions out.

    Args:
        path: of the run or the checkpoint.
        env: environments that the policy can act in: what it observes is that of `env_cfg_of(read_run(path))`.
        device: of the environments.

    Raises:
        UserError: no checkpoint, one for other observations, or for tokens of other weights.
    """
    runner = TrackingRunner(env, asdict(tracking_rl_cfg()), device=device)
    runner.load(str(newest_checkpoint(path)), load_cfg={"actor": True}, map_location=device)
    check_tokenizer(path, runner.command.library)
    return runner.get_inference_policy(device)


def untrained_policy(kind: Untrained, env: RslRlVecEnvWrapper, seed: int = 0) -> PolicyProtocol:
    """What to be better than: the default pose held, or targets at random (a standard deviation of one action)."""
    shape, random = (env.num_envs, env.num_actions), torch.Generator().manual_seed(seed)

    def act(obs: object) -> Tensor:
        return (torch.zeros(shape) if kind == "zero" else torch.randn(shape, generator=random)).to(env.device)

    return act


def check_folder(config: TrackingRunConfig) -> None:
    """Refuse a folder that cannot be trained in.

    Raises:
        UserError: it holds another run, or, to be resumed, none or one that was told otherwise.
    """
    if config.run.exists() and not config.run.is_dir():
        raise UserError(f"{config.run}: is a file; name a folder with --run")
    if config.resume:
        before, now = to_dict(read_run(config.run)), to_dict(config)
        newest_checkpoint(config.run)
        free = ("run", "resume", "overwrite", "num_envs", "iterations", "save_every", "device", "gpus")
        changed = [key for key in now if key not in free and now[key] != before[key]]
        if changed:
            flags = ", ".join(f"--{key.replace('_', '-')}" for key in changed)
            raise UserError(
                f"{config.run / CONFIG}: the run began with another {flags}; leave it out, or begin another"
            )
    elif not config.overwrite and (any((config.run / name).exists() for name in _FILES) or checkpoints(config.run)):
        raise UserError(f"{config.run}: already holds a run; name another with --run, or add --resume or --overwrite")


def open_run(
    config: TrackingRunConfig, env: ManagerBasedRlEnvCfg, agent: RslRlOnPolicyRunnerCfg, library: MotionLibrary
) -> None:
    """Write down what is about to be done; a resumed run keeps what it has, but for how long it goes on.

    Raises:
        UserError: a run is resumed on other clips than it began with.
    """
    if config.resume:
        check_motion(config.run, library)
    else:
        for stale in [*checkpoints(config.run).values(), *(config.run.glob("events.out.tfevents.*"))]:
            stale.unlink()
        write_manifest(config.run, library)
        write_origin(config.run, ("mjlab", "mujoco", "mujoco-warp", "warp-lang", "rsl-rl-lib"))
    kept = to_dict(config) | {"resume": False, "overwrite": False}
    write_text(config.run / CONFIG, yaml.safe_dump(kept, sort_keys=False))
    for name, values in (("env.yaml", env), ("agent.yaml", agent)):
        with replacing(config.run / name) as temporary:
            dump_yaml(temporary, asdict(values))


def check_motion(path: Path, library: MotionLibrary) -> None:
    """Is the library what the run (or the checkpoint in one) was trained on: names, frames, rates, tokens' weights?

    Raises:
        UserError: it is not, or the run's manifest is not there.
    """
    before, now = _manifest_in(path), manifest_of(library)
    if any(before.get(key) != now[key] for key in ("fps", "clips")):
        raise UserError(
            f"{_folder(path) / MANIFEST}: the run began with other clips than these; give those it began with"
        )
    check_tokenizer(path, library)


def check_tokenizer(path: Path, library: MotionLibrary) -> None:
    """Are the latents that a library shows those that the policy of a run has learnt to read?

    Raises:
        UserError: they are of other weights.
    """
    seen = library.tokenizer_sha256
    if seen and seen != (trained := _manifest_in(path).get("tokenizer_sha256", "")):
        raise UserError(
            f"{_folder(path) / MANIFEST}: the policy was trained on tokens of the weights {trained[:12] or 'none'}, "
            f"these are of {seen[:12]}; give the model that it was trained with as --motion"
        )


def _manifest_in(path: Path) -> dict[str, Any]:
    return read_manifest(_folder(path), _SCRIPT)


def _folder(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"{path}: no run folder or checkpoint there; {_SCRIPT} makes them")
    return path if path.is_dir() else path.parent
