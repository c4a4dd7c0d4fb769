"""Starting Isaac Sim from a script, and leaving it: nothing of Isaac Lab can be imported before it runs.

Isaac Lab reads its flags with argparse, and what is left of the command line are overrides of configurations in
Hydra's way (`env.rewards.motion_body_pos.weight=2.0`); so these scripts do as Isaac Lab's own.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from g1_vq_retarget.errors import UserError, reporting

# Overrides, which may stand anywhere between flags; ~ takes something away, + adds.
_OVERRIDE = re.compile(r"(\+{0,2}(env|agent)\..+=.*|~(env|agent)\..+)", re.DOTALL)


def read_flags(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, list[str]]:
    """The command line: flags, Isaac Lab's besides the parser's own, and overrides.

    Raises:
        UserError: no Isaac Lab here, or words that are neither.
    """
    _app_launcher().add_app_launcher_args(parser)
    words = sys.argv[1:]
    # before flags are read, of which some take all words that follow
    overrides = [word for word in words if _OVERRIDE.fullmatch(word)]
    args, rest = parser.parse_known_args([word for word in words if not _OVERRIDE.fullmatch(word)])
    if rest:
        raise UserError(f"{rest[0]}: no such flag; --help lists them, overrides are like env.scene.num_envs=64")
    return args, overrides


@contextmanager
def running(args: argparse.Namespace) -> Iterator[Any]:
    """Isaac Lab's AppLauncher, whose `app` runs within the block; with it ends the process.

    Closing Isaac Sim 5.1 ends the process with code 0 on the spot, whatever Python was about to do. So nothing can
    come after this, and what goes wrong within ends the process before: a `UserError` in a line and with code 2.

    Args:
        args: Isaac Lab's flags; `video` switches cameras on.

    Raises:
        UserError: no Isaac Lab here.
    """
    if getattr(args, "video", False):
        args.enable_cameras = True
    told, sys.argv = sys.argv, sys.argv[:1]  # Kit reads them, too
    launcher = _app_launcher()(args)
    sys.argv = told
    code = 0
    try:
        with reporting():
            yield launcher
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    except Exception:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if code:
        os._exit(code)
    launcher.app.close()


def _app_launcher() -> Any:
    try:
        from isaaclab.app import AppLauncher
    except ImportError as error:
        raise UserError(f"Isaac Lab is needed ({error}): run this by isaaclab.sh -p") from error
    return AppLauncher
