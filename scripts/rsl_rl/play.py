"""Watch a policy that tracks motion, in Isaac Sim, or the robots without one; and export it."""

from __future__ import annotations

import argparse

from g1_vq_retarget.errors import reporting


def main() -> None:
    # here, so that it is told in a line where Isaac Lab is not installed
    from g1_vq_retarget.tasks.isaaclab import PLAY_TASK, TRACKING_TASKS
    from g1_vq_retarget.tasks.isaaclab.launch import add_motion_flags, add_play_flags, check_motion, check_task, launch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default=PLAY_TASK, help="one of scripts/list_tasks.py")
    add_motion_flags(parser)
    add_play_flags(parser)

    def check(args: argparse.Namespace) -> None:
        check_task(args.task, TRACKING_TASKS)
        if args.checkpoint is None:
            check_motion(args)

    args, overrides, launcher = launch(parser, check)
    from g1_vq_retarget.tasks.isaaclab.play import play

    play(args, overrides, launcher.app)
    launcher.app.close()


if __name__ == "__main__":
    with reporting():
        main()
