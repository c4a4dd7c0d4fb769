"""What the scripts are told, checked before the minute that Isaac Sim takes to start; and what a run was told."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from g1_vq_retarget.configuration import read_preset, to_dict
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import sha256_of
from g1_vq_retarget.tasks.isaaclab import PLAYBACK_TASK, play_task
from g1_vq_retarget.tasks.isaaclab.urdf import checked_urdf
from g1_vq_retarget.tasks.tracking_config import NO_MOTION
from g1_vq_retarget.training.run_folder import write_text

# Below it are experiments, and runs in these.
RUNS = Path("logs/rsl_rl")
# In a run's folder.
FLAGS = "params/flags.yaml"
# Overrides that say what a policy sees, does and is, so that it is played with them, too.
_OF_THE_POLICY = ("agent.", "env.commands.motion.future_frames", "env.observations.", "env.actions.")


def add_motion_flags(parser: argparse.ArgumentParser) -> None:
    """What is tracked, and by which robot."""
    parser.add_argument(
        "--motion",
        nargs="+",
        default=[],
        metavar="PATH",
        help="files or folders of robot motion, of any format; with --from-tokens a trained model (run folder or "
        ".safetensors file)",
    )
    parser.add_argument(
        "--from-tokens",
        nargs="+",
        default=[],
        metavar="PATH",
        help="what that model decodes: token files, or human or robot motion that it encodes before",
    )
    parser.add_argument("--motion-fps", type=float, help="frames a second of motion files that do not tell it")
    parser.add_argument(
        "--urdf", help="of the G1 with 29 joints (g1_29dof_rev_1_0); by default Isaac's own asset, which has hands"
    )


def add_training_flags(parser: argparse.ArgumentParser) -> None:
    """Of scripts/rsl_rl/train.py, besides those of the motion; by the names of Isaac Lab's own script."""
    parser.add_argument("--num_envs", type=int, help="robots at once, on each GPU")
    parser.add_argument("--seed", type=int, help="of weights, starts, noise and pushes")
    parser.add_argument("--max_iterations", type=int, help="updates of the policy")
    parser.add_argument("--experiment_name", help=f"folder below {RUNS} for runs of a kind")
    parser.add_argument("--run_name", default="", help="ends the name of the run's folder, which begins with the time")
    parser.add_argument(
        "--checkpoint", help="run folder or model_*.pt to go on from, with what it was told unless flags say otherwise"
    )
    parser.add_argument("--distributed", action="store_true", help="one process of several, started by torchrun")
    parser.add_argument("--video", action="store_true", help="record videos while training")
    parser.add_argument("--video_length", type=int, default=200, help="steps of each")
    parser.add_argument("--video_interval", type=int, default=2000, help="steps from one to the next")
    # of Isaac Lab's workflows with Ray, which tell processes apart by it
    parser.add_argument("--ray-proc-id", "-rid", type=int, default=None, help="set by Ray's workflows")


def add_play_flags(parser: argparse.ArgumentParser) -> None:
    """Of scripts/rsl_rl/play.py, besides those of the motion; by the names of Isaac Lab's own script."""
    parser.add_argument("--num_envs", type=int, help="robots at once")
    parser.add_argument("--checkpoint", help="run folder (its newest checkpoint) or model_*.pt; without it nobody acts")
    parser.add_argument("--export", help="new folder for policy.onnx, policy.pt and deploy.yaml")
    parser.add_argument("--steps", type=int, help="stop after so many steps of 0.02 s")
    parser.add_argument("--video", action="store_true", help="record a video, of --video_length steps, and stop")
    parser.add_argument("--video_length", type=int, default=200, help="steps")


def check_flags(args: argparse.Namespace, tasks: Sequence[str]) -> None:
    """Refuse what cannot be done.

    Raises:
        UserError: a task that is not there, no motion or only what a model would decode, a path where nothing is,
            flags of tracking beside a playback, or a URDF of another robot.
    """
    if args.task not in tasks:
        raise UserError(f"--task {args.task}: expected one of {', '.join(tasks)}")
    if not args.motion:
        raise UserError(NO_MOTION)
    if args.task == PLAYBACK_TASK and (args.from_tokens or args.motion_fps):
        raise UserError("--from-tokens and --motion-fps: not of a playback, which is decoded and tells its rate")
    for path in (*args.motion, *args.from_tokens):
        if not Path(path).exists():
            raise UserError(f"{path}: no such file or folder")
    if args.urdf is not None:
        checked_urdf(args.urdf)


@dataclass(frozen=True)
class RunFlags:
    """What a training was told: of the motion, the robot and the task, files by their absolute paths."""

    task: str
    motion: list[str]
    from_tokens: list[str]
    motion_fps: float | None
    urdf: str | None
    urdf_sha256: str | None
    overrides: list[str]


def save_flags(folder: Path, args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Write what a training was told into its run's folder, for `take_over`."""
    motion, tokens = ([str(Path(path).resolve()) for path in paths] for paths in (args.motion, args.from_tokens))
    urdf = None if args.urdf is None else str(Path(args.urdf).resolve())
    told = RunFlags(args.task, motion, tokens, args.motion_fps, urdf, _sha256(args.urdf), list(overrides))
    write_text(folder / FLAGS, yaml.safe_dump(to_dict(told), sort_keys=False))


def take_over(args: argparse.Namespace, overrides: Sequence[str], *, play: bool = False) -> list[str]:
    """Complete flags and overrides by what the run of `--checkpoint` was told.

    Args:
        args: changed: motion, robot and task, where none is named.
        overrides: which come after the run's.
        play: take the task's variant to play, and only overrides that say what the policy sees, does and is.

    Returns:
        The overrides.

    Raises:
        UserError: no run there, or one of another robot than --urdf.
    """
    path = Path(args.checkpoint)
    if not path.exists():
        raise UserError(f"--checkpoint {path}: no such file or folder")
    file = (path if path.is_dir() else path.parent) / FLAGS
    told = read_preset(RunFlags, file)
    if not args.motion and not args.from_tokens:
        args.motion, args.from_tokens = told.motion, told.from_tokens
        args.motion_fps = args.motion_fps or told.motion_fps
    args.urdf = args.urdf or told.urdf
    if _sha256(args.urdf) != told.urdf_sha256:
        was = f"{told.urdf} as it was then" if told.urdf else "Isaac's own asset"
        raise UserError(f"--urdf {args.urdf}: is another robot than the policy's, which is {was} ({file})")
    before = told.overrides
    if play:
        before = [each for each in before if each.lstrip("+~").startswith(_OF_THE_POLICY)]
    args.task = args.task or (play_task(told.task) if play else told.task)
    return [*before, *overrides]


def _sha256(urdf: str | None) -> str | None:
    return None if urdf is None else sha256_of(urdf)
