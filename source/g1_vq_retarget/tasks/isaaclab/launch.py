"""Starting Isaac Sim from a script: nothing of Isaac Lab can be imported before it runs.

Isaac Lab reads its flags with argparse, and what is left of the command line are overrides of configurations in
Hydra's way (`env.rewards.motion_body_pos.weight=2.0`); so these scripts do as Isaac Lab's own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from g1_vq_retarget.errors import UserError

# Below it are experiments, and runs in these.
RUNS = Path("logs/rsl_rl")


class Launched(NamedTuple):
    """The flags, the overrides, and Isaac Lab's AppLauncher, whose `app` runs."""

    args: argparse.Namespace
    overrides: list[str]
    launcher: Any


def launch(parser: argparse.ArgumentParser, check: Callable[[argparse.Namespace], None] | None = None) -> Launched:
    """Read the command line, with Isaac Lab's flags besides the parser's own, and start Isaac Sim.

    Args:
        parser: of the script's own flags.
        check: refuses flags before the minute that a start takes.

    Raises:
        UserError: no Isaac Lab here, words on the command line that are no overrides, or as of `check`.
    """
    try:
        from isaaclab.app import AppLauncher
    except ImportError as error:
        raise UserError(f"Isaac Lab is needed ({error}): run this by isaaclab.sh -p") from error
    AppLauncher.add_app_launcher_args(parser)
    args, rest = parser.parse_known_args()
    wrong = [word for word in rest if "=" not in word and not word.startswith("~")]
    if wrong:
        raise UserError(f"{wrong[0]}: no such flag; --help lists them, overrides are like env.scene.num_envs=64")
    if check is not None:
        check(args)
    if getattr(args, "video", False):
        args.enable_cameras = True
    sys.argv = sys.argv[:1]  # Kit reads them, too
    return Launched(args, rest, AppLauncher(args))


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
    parser.add_argument("--checkpoint", help="run folder or model_*.pt to go on from")
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


def check_motion(args: argparse.Namespace) -> None:
    """Refuse to start without motion.

    Raises:
        UserError: none named, only what a model would decode, or a path where nothing is.
    """
    if not args.motion:
        more = " beside --from-tokens" if args.from_tokens else ""
        raise UserError(
            f"--motion is needed{more}: a file or folder of robot motion, or a trained model with --from-tokens"
        )
    for path in (*args.motion, *args.from_tokens):
        if not Path(path).exists():
            raise UserError(f"{path}: no such file or folder")


def check_task(task: str, tasks: Sequence[str]) -> None:
    """Refuse a task that is not there.

    Raises:
        UserError: of another name.
    """
    if task not in tasks:
        raise UserError(f"--task {task}: expected one of {', '.join(tasks)}")
