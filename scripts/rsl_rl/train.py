"""Train a policy that tracks motion, in Isaac Lab: from files, or decoded from tokens by a trained model.

Overrides in Hydra's way may follow the flags: env.rewards.motion_body_pos.weight=2.0 agent.algorithm.entropy_coef=0.01
"""

from __future__ import annotations

import argparse

from g1_vq_retarget.errors import reporting


def main() -> None:
    # here, so that it is told in a line where Isaac Lab is not installed
    from g1_vq_retarget.tasks.isaaclab import TRACKING_TASK, TRACKING_TASKS
    from g1_vq_retarget.tasks.isaaclab.flags import add_motion_flags, add_training_flags, check_flags, take_over
    from g1_vq_retarget.tasks.isaaclab.launch import read_flags, running

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", help=f"one of scripts/list_tasks.py, by default {TRACKING_TASK}")
    add_motion_flags(parser)
    add_training_flags(parser)
    args, overrides = read_flags(parser)
    if args.checkpoint is not None:
        overrides = take_over(args, overrides)
    args.task = args.task or TRACKING_TASK
    check_flags(args, TRACKING_TASKS)
    with running(args) as launcher:
        from g1_vq_retarget.tasks.isaaclab.training import configure_torch, train

        configure_torch()
        train(args, overrides, launcher)


if __name__ == "__main__":
    with reporting():
        main()
