"""Step a task of this package in Isaac Sim with actions of zero: does it build, and what does it look like?"""

from __future__ import annotations

import argparse

from g1_vq_retarget.errors import reporting


def main() -> None:
    # here, so that it is told in a line where Isaac Lab is not installed
    from g1_vq_retarget.tasks.isaaclab import PLAYBACK_TASK, TASKS
    from g1_vq_retarget.tasks.isaaclab.launch import add_motion_flags, check_motion, check_task, launch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default=PLAYBACK_TASK, help="one of scripts/list_tasks.py")
    parser.add_argument("--num_envs", type=int, help="environments at once")
    parser.add_argument("--steps", type=int, help="stop after so many steps")
    add_motion_flags(parser)

    def check(args: argparse.Namespace) -> None:
        check_task(args.task, TASKS)
        check_motion(args)

    args, overrides, launcher = launch(parser, check)
    from g1_vq_retarget.tasks.isaaclab.play import step_without_policy

    step_without_policy(args, overrides, launcher.app)
    launcher.app.close()


if __name__ == "__main__":
    with reporting():
        main()
