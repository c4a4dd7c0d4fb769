"""Is decoded motion good enough for physics? Policies trained on it beside policies trained on the truth.

The same clips, budget and seeds for each arm of the experiment, which differ in the motion that a policy is trained on,
and follows when it is evaluated; errors and failures of all are measured by the truth:

- `ground_truth`: the robot's own motion files;
- `robot_tokens`: decoded from tokens of the robot's motion;
- `human_tokens`: decoded from tokens of the human's motion;
- `ik`: from the human's motion by this package's inverse kinematics.

Each arm's motion is also evaluated as it is, by a robot that is exactly where it is: what no policy can make up for.
Trainings and evaluations are processes of scripts/mjlab/{train,evaluate}.py; what is done already is not done again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import yaml
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation
from torch import Tensor

from g1_vq_retarget.configuration import to_dict
from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.data.process import pair_by_stem
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import replacing
from g1_vq_retarget.motion import HumanClip, RobotClip, resample
from g1_vq_retarget.motion.formats import load_motion, save_motion
from g1_vq_retarget.motion.root import heading
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.tasks.evaluation import EvaluationConfig, RobotState, evaluate
from g1_vq_retarget.tasks.evaluation_report import JSON, compared, load_report, report
from g1_vq_retarget.tasks.motion_library import MotionLibrary
from g1_vq_retarget.tasks.motion_source import load_library
from g1_vq_retarget.tasks.tracking_config import checkpoints

Arm = Literal["ground_truth", "robot_tokens", "human_tokens", "ik"]
ARMS: tuple[Arm, ...] = get_args(Arm)
TITLES: Mapping[Arm, str] = {
    "ground_truth": "(a) ground truth",
    "robot_tokens": "(b) from robot tokens",
    "human_tokens": "(c) from human tokens",
    "ik": "(d) inverse kinematics",
}
# Of the policy, and with it of the libraries that are compared without one.
FPS = 50.0
# Arms whose motion the tokenizer decodes.
DECODED: tuple[Arm, ...] = ("robot_tokens", "human_tokens")
# Steps of the environment that a processor takes in an hour or so; more of them want a GPU.
STEPS_WITHOUT_GPU = 200_000
STEPS_AN_UPDATE = 24
_LOOKS = {  # Okabe and Ito's, and one of the two dark ones is hatched in grey's stead
    "ground_truth": ("#000000", "-", ""),
    "robot_tokens": ("#E69F00", "--", "//"),
    "human_tokens": ("#56B4E9", "-.", ".."),
    "ik": ("#009E73", ":", "xx"),
}


@dataclass
class ExperimentConfig:
    """Motion, arms and budget."""

    robot: Path = Path("robot")
    """Folder of the robot's true motion (.csv or .npz)."""
    human: Path = Path("human")
    """Folder of the human's motion (.bvh or .npz) that it was made of; files of one name are the same motion."""
    checkpoint: Path = Path("run")
    """Trained tokenizer: run folder or .safetensors file."""
    clips: list[str] = field(default_factory=list)
    """Names of the files to use, without suffix; by default all that both folders have."""
    arms: list[Arm] = field(default_factory=lambda: list(ARMS))
    """What policies are trained on."""
    seeds: list[int] = field(default_factory=lambda: [42])
    """A training each, for every arm."""
    iterations: int = 10_000
    """Updates of each policy."""
    num_envs: int = 4096
    """Robots at once in training."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Starts of the evaluation."""
    evaluation_envs: int = 128
    """Robots at once in evaluation."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    out: Path = Path("runs/decoded_vs_ground_truth")
    """Folder for motion, runs, table and plot; what is in it already is not done again."""


# What of a configuration makes no other experiment of it.
_FREE = ("out", "device", "arms", "seeds", "evaluation_envs")
# Of the tokenizer, beside what was told.
_WEIGHTS = "weights_sha256"


def run_experiment(config: ExperimentConfig, scripts: Path) -> list[Path]:
    """Do what is not done yet; returns the table, figures and plot that were written.

    Args:
        config: what to do.
        scripts: folder of train.py and evaluate.py.

    Raises:
        UserError: files that are not there, a folder of another experiment, a budget that needs a GPU where there is
            none, or a process that failed.
    """
    _check(config)
    files = _files(config)
    model = Retargeter(config.checkpoint) if any(arm in DECODED for arm in config.arms) else None
    _write_down(config, model)
    folder = config.out / "motion"
    for arm, clips in _missing_motion(config, files, model, folder).items():
        for clip in clips:
            save_motion(clip, folder / arm / f"{clip.name}.npz")
            print(f"{TITLES[arm]}: {clip.name}, {len(clip) / clip.fps:.1f} s", flush=True)
    truth = load_library(folder / "ground_truth", FPS)
    reports: dict[str, dict[str, Any]] = {}
    for arm in config.arms:
        reports[f"{TITLES[arm]}: the motion itself"] = motion_report(
            truth, load_library(folder / arm, FPS), config.evaluation
        )
    for seed in config.seeds:
        for arm in config.arms:
            run = config.out / arm / f"seed_{seed}"
            _train(config, scripts, arm, seed, run)
            reports[f"{TITLES[arm]}, seed {seed}"] = _evaluate(config, scripts, arm, run)
    return _write(config, reports)


def motion_report(truth: MotionLibrary, followed: MotionLibrary, config: EvaluationConfig) -> dict[str, Any]:
    """How far one motion is from another of the same clips, as an evaluation without physics."""
    simulation = _Puppets(followed)
    return report(evaluate(simulation, lambda seen: seen, truth, config, followed=followed), simulator="none")


def placed_like(clip: RobotClip, truth: RobotClip) -> RobotClip:
    """The clip turned about the vertical and moved along the floor, so that both begin at one place and heading."""
    ours, theirs = (heading(Rotation.from_quat(each.root_quat_w[:1], scalar_first=True))[0] for each in (clip, truth))
    turn = Rotation.from_rotvec([0.0, 0.0, theirs - ours])
    place = turn.apply(clip.root_pos_w)
    place[:, :2] += truth.root_pos_w[0, :2] - place[0, :2]
    quat = (turn * Rotation.from_quat(clip.root_quat_w, scalar_first=True)).as_quat(scalar_first=True)
    return replace(clip, root_pos_w=place, root_quat_w=quat)


class _Puppets:
    """Robots that are exactly where the motion is."""

    num_envs = 64

    def __init__(self, library: MotionLibrary) -> None:
        self.library = library
        self.clip = self.frame = torch.zeros(self.num_envs, dtype=torch.long)

    def begin(self, clip: Tensor, frame: Tensor) -> tuple[Tensor, RobotState]:
        self.clip, self.frame = clip, frame
        return self._state().joint_pos, self._state()

    def step(self, actions: Tensor) -> tuple[Tensor, RobotState]:
        self.frame = self.frame + 1
        return actions, self._state()

    def _state(self) -> RobotState:
        frames = self.library.at(self.clip, self.frame)
        return RobotState(frames.joint_pos, frames.body_pos_w, frames.body_quat_w)


def _check(config: ExperimentConfig) -> None:
    if config.iterations < 1 or config.num_envs < 1 or not config.arms or not config.seeds:
        raise UserError("--iterations and --num-envs must be at least 1, and --arms and --seeds name one at least")
    steps = config.iterations * config.num_envs * STEPS_AN_UPDATE
    if config.device != "cuda" and not torch.cuda.is_available() and steps > STEPS_WITHOUT_GPU:
        raise UserError(
            f"--iterations {config.iterations} --num-envs {config.num_envs}: {steps:,} steps for each policy need a "
            "GPU, and there is none here; --iterations 2 --num-envs 16 tries the chain"
        )


def _files(config: ExperimentConfig) -> Mapping[str, tuple[Path, Path]]:
    """The robot's and the human's file of each clip, by its name."""
    found = pair_by_stem(config.robot, (".csv", ".npz"), config.human, (".bvh", ".npz"))
    pairs = {each.name: (each.robot, each.human) for each in found if each.human is not None}
    unknown = [name for name in config.clips if name not in pairs]
    if unknown:
        raise UserError(f"--clips: no '{unknown[0]}' in both {config.robot} and {config.human}")
    return {name: pairs[name] for name in config.clips or pairs}


def _write_down(config: ExperimentConfig, model: Retargeter | None) -> None:
    """Keep in the folder what makes this experiment; refuse one that began with something else."""
    told = {key: value for key, value in to_dict(config).items() if key not in _FREE}
    path, weights = config.out / "experiment.yaml", model and model.checkpoint.info["weights_sha256"]
    if path.exists():
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
        other = [key for key, value in told.items() if before.get(key) != value]
        if other:
            raise UserError(
                f"{path}: the experiment began with another --{other[0].replace('_', '-')}, "
                f"{before.get(other[0])} and not {told[other[0]]}; name another folder with --out"
            )
        # none so far where nothing was decoded yet
        began = before.get(_WEIGHTS)
        if began and weights and began != weights:
            raise UserError(
                f"{path}: --checkpoint {config.checkpoint} was trained again since the experiment began (weights "
                f"{weights[:12]}, and not {began[:12]}); name another folder with --out"
            )
        if began or not weights:
            return
    with replacing(path) as file:
        file.write_text(yaml.safe_dump({**told, _WEIGHTS: weights}, sort_keys=False), encoding="utf-8")


def _missing_motion(
    config: ExperimentConfig, files: Mapping[str, tuple[Path, Path]], model: Retargeter | None, folder: Path
) -> Mapping[Arm, Iterator[RobotClip]]:
    """The motion of each arm that has no files yet, clip after clip; the truth is always needed."""
    robot = load_robot()

    def true(name: str) -> RobotClip:
        clip = load_motion(files[name][0], robot=robot)
        if not isinstance(clip, RobotClip):
            raise UserError(f"{files[name][0]}: holds a human's motion, expected a robot's")
        return clip

    def human(name: str) -> HumanClip:
        clip = load_motion(files[name][1])
        if not isinstance(clip, HumanClip):
            raise UserError(f"{files[name][1]}: holds a robot's motion, expected a human's")
        return clip

    def decoded(clip: HumanClip | RobotClip) -> RobotClip:
        assert model is not None, "the arm is not among those asked for"
        return model.retarget(clip).motion

    def by_ik(name: str) -> RobotClip:
        clip, rate = human(name), true(name).fps
        return retarget_by_ik(clip if clip.fps == rate else resample(clip, rate), robot, refine=True)

    make: Mapping[Arm, Callable[[str], RobotClip]] = {
        "ground_truth": true,
        "robot_tokens": lambda name: decoded(true(name)),
        "human_tokens": lambda name: decoded(human(name)),
        "ik": by_ik,
    }

    def clips(arm: Arm) -> Iterator[RobotClip]:
        for name in files:
            if not (folder / arm / f"{name}.npz").exists():
                yield replace(placed_like(make[arm](name), true(name)), name=name)

    return {arm: clips(arm) for arm in ARMS if arm in config.arms or arm == "ground_truth"}


def _train(config: ExperimentConfig, scripts: Path, arm: Arm, seed: int, run: Path) -> None:
    done = max(checkpoints(run), default=None)
    if done is not None and done >= config.iterations - 1:
        return
    words = ["--run", run, "--iterations", config.iterations, "--num-envs", config.num_envs, "--device", config.device]
    if done is not None:
        words += ["--resume"]
    else:  # what was begun and has no checkpoint yet is begun again
        words += ["--overwrite", "--motion", config.out / "motion" / arm, "--seed", seed]
    _run(scripts / "train.py", words)


def _evaluate(config: ExperimentConfig, scripts: Path, arm: Arm, run: Path) -> dict[str, Any]:
    path = run / "evaluation" / JSON
    if not path.exists():
        look, motion = config.evaluation, config.out / "motion"
        words = ["--policy", run, "--motion", motion / arm, "--against", motion / "ground_truth"]
        words += ["--starts", look.starts, "--seconds", look.seconds, "--seed", look.seed]
        words += ["--num-envs", config.evaluation_envs, "--device", config.device]
        _run(scripts / "evaluate.py", words)
    return load_report(path)


def _run(script: Path, words: Sequence[object]) -> None:
    command = [sys.executable, str(script), *map(str, words)]
    print(" ".join(command[1:]), flush=True)
    code = subprocess.run(command).returncode
    if code:
        raise UserError(f"{script.name} ended with exit code {code}; what is done is kept, run the same command again")


def _write(config: ExperimentConfig, reports: Mapping[str, dict[str, Any]]) -> list[Path]:
    budget = (
        f"{config.iterations} iterations of {config.num_envs} environments, seeds {', '.join(map(str, config.seeds))}; "
        f"{config.evaluation.starts} starts a clip, {config.evaluation.seconds:g} s, seed {config.evaluation.seed}; "
        "errors until the failure, measured by the ground truth"
    )
    paths = [config.out / f"comparison.{suffix}" for suffix in ("json", "md", "png")]
    with replacing(paths[0]) as file:
        file.write_text(json.dumps({"budget": budget, "reports": reports}, indent=1), encoding="utf-8")
    with replacing(paths[1]) as file:
        file.write_text(f"{budget}\n\n{compared(reports)}", encoding="utf-8")
    curves: dict[Arm, list[np.ndarray]] = {}
    for arm in config.arms:
        curves[arm] = [reward_curve(config.out / arm / f"seed_{seed}") for seed in config.seeds]
    with replacing(paths[2]) as file:
        draw(config.arms, reports, curves, budget).savefig(file, dpi=110)
    print(f"{budget}\n\n{compared(reports)}\nwrote {', '.join(map(str, paths))}")
    return paths


def reward_curve(run: Path) -> np.ndarray:
    """(E, 2) iteration and mean reward of an episode, from the TensorBoard files of a tracking run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    if "Train/mean_reward" not in events.Tags()["scalars"]:
        return np.zeros((0, 2))  # no episode has ended yet
    return np.array([[event.step, event.value] for event in events.Scalars("Train/mean_reward")])


def draw(
    arms: Sequence[Arm],
    reports: Mapping[str, Mapping[str, Any]],
    curves: Mapping[Arm, Sequence[np.ndarray]],
    budget: str,
) -> Figure:
    """Success, root-relative error, and the way there, of every arm; dots are seeds, ticks the motion itself."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    success, error, way = figure.subplots(1, 3, width_ratios=[1, 1, 1.4])
    for axes, name, scale, label in (
        (success, "success", 100, "success, % of starts"),
        (error, "relative_mm", 1, "root-relative error, mm"),
    ):
        for place, arm in enumerate(arms):
            colour, _, hatch = _LOOKS[arm]
            mine = [each["all"][name] for title, each in reports.items() if title.startswith(f"{TITLES[arm]}, seed")]
            known = [scale * value for value in mine if value is not None]
            itself = reports[f"{TITLES[arm]}: the motion itself"]["all"][name]
            if known:
                axes.bar(place, np.mean(known), 0.6, facecolor="white", edgecolor=colour, hatch=hatch, linewidth=1.5)
                axes.plot([place] * len(known), known, "o", color=colour, markersize=4)
            if itself is not None:
                axes.plot(
                    [place - 0.38, place + 0.38], [scale * itself] * 2, color="#D55E00", linewidth=2, clip_on=False
                )
        axes.set_xticks(range(len(arms)), [TITLES[arm].replace(") ", ")\n") for arm in arms], fontsize=7)
        axes.set_title(label, loc="left", fontsize=9)
        axes.set_ylim(0, 105 if name == "success" else None)
    for arm in arms:
        colour, line, _ = _LOOKS[arm]
        for number, curve in enumerate(curves[arm]):
            way.plot(*curve.T, color=colour, linestyle=line, label=None if number else TITLES[arm])
    way.set_title("mean reward of an episode over iterations", loc="left", fontsize=9)
    if any(len(curve) for each in curves.values() for curve in each):
        way.legend(fontsize=7, frameon=False)
    for axes in (success, error, way):
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{budget}\ndots: seeds; orange lines: the motion itself, without physics", fontsize=7)
    return figure
