"""Step a task of this package in Isaac Sim with actions of zero: does it build, and what does it look like?"""

from __future__ import annotations

import argparse

from g1_vq_retarget.errors import reporting


def main() -> None:
    # here, so that it is told in a line where Isaac Lab is not installed
    from g1_vq_retarget.tasks.isaaclab import PLAYBACK_TASK, TASKS
    from g1_vq_retarget.tasks.isaaclab.flags import add_motion_flags, check_flags
    from g1_vq_retarget.tasks.isaaclab.launch import read_flags, running

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default=PLAYBACK_TASK, help="one of scripts/list_tasks.py")
    parser.add_argument("--num_envs", type=int, help="environments at once")
    parser.add_argument("--steps", type=int, help="stop after so many steps")
    add_motion_flags(parser)
    args, overrides = read_flags(parser)
    check_flags(args, TASKS)
    with running(args) as launcher:
        from g1_vq_retarget.tasks.isaaclab.play import step_without_policy

        step_without_policy(args, overrides, launcher.app)


if __name__ == "__main__":
    with reporting():
        main()
