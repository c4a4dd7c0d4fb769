"""Watch a policy that tracks motion, in Isaac Sim, or the robots without one; and export it."""

from __future__ import annotations

import argparse

from g1_vq_retarget.errors import reporting


def main() -> None:
    # here, so that it is told in a line where Isaac Lab is not installed
    from g1_vq_retarget.tasks.isaaclab import PLAY_TASK, TRACKING_TASKS
    from g1_vq_retarget.tasks.isaaclab.flags import add_motion_flags, add_play_flags, check_flags, take_over
    from g1_vq_retarget.tasks.isaaclab.launch import read_flags, running

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--task", help=f"one of scripts/list_tasks.py, by default the variant to play of the policy's, or {PLAY_TASK}"
    )
    add_motion_flags(parser)
    add_play_flags(parser)
    args, overrides = read_flags(parser)
    if args.checkpoint is not None:
        overrides = take_over(args, overrides, play=True)
    args.task = args.task or PLAY_TASK
    check_flags(args, TRACKING_TASKS)
    with running(args) as launcher:
        from g1_vq_retarget.tasks.isaaclab.play import play

        play(args, overrides, launcher.app)


if __name__ == "__main__":
    with reporting():
        main()
