"""The whole pipeline on the built-in sample: made-up motion in, trained model, retargeted motion and pictures out."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.data.process import WindowConfig
from g1_vq_retarget.data.sample import process_sample, sample_clips, sample_split
from g1_vq_retarget.evaluation.comparison import plot_joint_curves, plot_side_by_side
from g1_vq_retarget.files import replacing
from g1_vq_retarget.motion import resample
from g1_vq_retarget.motion.formats import SaveFormat, rate_of, save_motion
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.training.config import TrainConfig
from g1_vq_retarget.training.loop import train
from g1_vq_retarget.training.metrics import evaluate

FORMATS: dict[str, SaveFormat] = {"retargeted.npz": "npz", "retargeted.csv": "csv", "tracking.npz": "tracking-mjlab"}


def run_demo(out: Path, config: TrainConfig, seed: int = 0) -> dict:
    """Make the sample, train on it, measure and retarget a clip that was not trained on.

    Leaves in `out`: `data/` (windows), `run/` (the training run), the retargeted motion in three formats with its
    tokens, `metrics.json`, and the pictures `figures.png` (human, truth, model) and `joints.png`.

    Args:
        out: folder to write.
        config: the training; its data, run and overwrite are set here.
        seed: of the sample.

    Returns:
        The metrics on the test split.
    """
    begun = time.monotonic()
    robot = load_robot()

    def say(step: int, what: str) -> None:
        print(f"[{step}/4 · {time.monotonic() - begun:.0f} s] {what}", flush=True)

    say(1, "making six minutes of human motion, and the robot's by inverse kinematics")
    process_sample(seed, out / "data", WindowConfig(), robot)
    say(2, "training the tokenizer")
    train(replace(config, data=out / "data", run=out / "run", overwrite=True))
    say(3, "measuring on clips that were not trained on")
    retargeter = Retargeter(out / "run")
    split = DataFolder(out / "data").split("test")
    metrics = evaluate(retargeter.model, split, retargeter.spec, robot, whole_clips=config.crop > 0).metrics
    with replacing(out / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=1), encoding="utf-8")

    say(4, "retargeting one of them")
    name = sample_split()["test"][0]
    human = next(clip for clip in sample_clips(seed) if clip.name == name)
    truth = resample(retarget_by_ik(human, robot), retargeter.spec.fps)
    result = retargeter.retarget(human)
    for file, format in FORMATS.items():
        motion, _ = retargeter.decode(result.tokens, rate_of(format))
        save_motion(motion, out / file, format, robot=robot)
    result.tokens.save(out / "tokens.npz")
    plot_side_by_side(out / "figures.png", resample(human, truth.fps), truth, result.motion, robot)
    plot_joint_curves(out / "joints.png", truth, result.motion)
    say(4, "done")
    return metrics
