"""The experiment's chain: with stand-ins for training and evaluation everywhere, and in mjlab where that is."""

from __future__ import annotations

import json
import shutil
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.tasks.evaluation import EvaluationConfig
from g1_vq_retarget.tasks.experiment import FPS, TITLES, ExperimentConfig, motion_report, placed_like, run_experiment
from g1_vq_retarget.tasks.motion_library import MotionLibrary
from running import Script, World
from synthetic import data_folder, robot_clip, save_started

# what a training leaves, and what an evaluation of it says
TRAIN = """
    import sys
    from pathlib import Path
    words = sys.argv[1:]
    run = Path(words[words.index("--run") + 1])
    run.mkdir(parents=True, exist_ok=True)
    (run / f"model_{int(words[words.index('--iterations') + 1]) - 1}.pt").touch()
    (run / "calls").open("a").write(" ".join(words) + "\\n")
"""
EVALUATE = """
    import shutil, sys
    from pathlib import Path
    run = Path(sys.argv[sys.argv.index("--policy") + 1])
    (run / "evaluation").mkdir()
    shutil.copy(Path(__file__).with_name("evaluation.json"), run / "evaluation")
    (run / "calls").open("a").write("evaluated " + " ".join(sys.argv[1:]) + "\\n")
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "train.py").write_text(textwrap.dedent(TRAIN))
    (folder / "evaluate.py").write_text(textwrap.dedent(EVALUATE))
    library = MotionLibrary.of([robot_clip(60, 0, fps=FPS)], FPS)
    said = motion_report(library, library, EvaluationConfig(starts=2, seconds=0.4))
    (folder / "evaluation.json").write_text(json.dumps(said))
    return folder


def experiment(world: World, out: Path, **changed: object) -> ExperimentConfig:
    config = ExperimentConfig(
        robot=world.motion / "g1",
        human=world.motion / "bvh",
        checkpoint=world.run,
        clips=["dance"],
        arms=["ground_truth", "robot_tokens", "human_tokens"],
        iterations=2,
        num_envs=16,
        evaluation=EvaluationConfig(starts=2, seconds=0.4),
        out=out,
    )
    return replace(config, **changed)  # type: ignore[arg-type]


def test_every_arm_is_trained_on_its_motion_and_measured_by_the_truth(
    world: World, scripts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "experiment"
    paths = run_experiment(experiment(world, out, seeds=[1, 2]), scripts)
    assert [path.name for path in paths] == ["comparison.json", "comparison.md", "comparison.png"]
    reports = json.loads(paths[0].read_text())["reports"]
    assert len(reports) == 3 + 2 * 3
    truth = reports[f"{TITLES['ground_truth']}: the motion itself"]["all"]
    assert truth["success"] == 1.0
    assert truth["relative_mm"] == pytest.approx(0.0, abs=0.01)
    assert reports[f"{TITLES['human_tokens']}: the motion itself"]["all"]["global_mm"] > 1
    rows = paths[1].read_text()
    assert "2 iterations of 16 environments, seeds 1, 2; 2 starts a clip, 0.4 s" in rows
    trained, evaluated = (out / "human_tokens" / "seed_2" / "calls").read_text().splitlines()
    assert trained.endswith(f"--overwrite --motion {out / 'motion' / 'human_tokens'} --seed 2")
    motion = out / "motion"
    assert f"--motion {motion / 'human_tokens'} --against {motion / 'ground_truth'} --starts 2" in evaluated


def test_what_is_done_is_not_done_again(world: World, scripts: Path, tmp_path: Path) -> None:
    out = tmp_path / "experiment"
    config = experiment(world, out, arms=["ground_truth"])
    first = run_experiment(config, scripts)[0].read_text()
    run = out / "ground_truth" / "seed_42"
    run_experiment(config, scripts)
    assert len((run / "calls").read_text().splitlines()) == 2
    # a training that was broken off goes on
    (run / "model_1.pt").rename(run / "model_0.pt")
    shutil.rmtree(run / "evaluation")
    assert run_experiment(config, scripts)[0].read_text() == first
    again = (run / "calls").read_text().splitlines()[2]
    assert "--resume" in again
    assert "--overwrite" not in again
    with pytest.raises(UserError, match="began with another --iterations, 2 and not 3"):
        run_experiment(replace(config, iterations=3), scripts)


def test_a_process_that_fails_is_told(world: World, scripts: Path, tmp_path: Path) -> None:
    (scripts / "train.py").write_text("import sys; sys.exit(2)")
    with pytest.raises(UserError, match=r"train.py ended with exit code 2; what is done is kept"):
        run_experiment(experiment(world, tmp_path / "out", arms=["ground_truth"]), scripts)


def test_a_budget_for_a_gpu_is_refused_without_one(
    world: World, scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"983,040,000 steps for each policy need a GPU.*--iterations 2"):
        run_experiment(experiment(world, tmp_path / "out", iterations=10_000, num_envs=4096), scripts)
    assert not (tmp_path / "out").exists()


def test_clips_that_nobody_has_are_refused(world: World, scripts: Path, tmp_path: Path) -> None:
    """As are folders and a tokenizer: and the folder is free for the command with the right ones."""
    for changed, message in (
        ({"clips": ["nothing"]}, "--clips: no 'nothing' in both"),
        ({"robot": tmp_path / "nowhere"}, "nowhere"),
        ({"checkpoint": tmp_path / "nowhere"}, "nowhere"),
    ):
        with pytest.raises(UserError, match=message):
            run_experiment(experiment(world, tmp_path / "out", **changed), scripts)
        assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_was_trained_again_is_another_experiment(world: World, scripts: Path, tmp_path: Path) -> None:
    """Under the same path; an arm that needs none does not mind."""
    checkpoint, out = tmp_path / "tokenizer.safetensors", tmp_path / "out"
    folder = data_folder(tmp_path / "data")
    save_started(checkpoint, folder)
    config = experiment(world, out, checkpoint=checkpoint)
    run_experiment(replace(config, arms=["ground_truth"]), scripts)
    run_experiment(replace(config, arms=["human_tokens"]), scripts)
    save_started(checkpoint, folder, seed=1)
    run_experiment(replace(config, arms=["ground_truth"]), scripts)
    with pytest.raises(UserError, match=r"tokenizer\.safetensors was trained again since the experiment began"):
        run_experiment(config, scripts)


def test_motion_is_placed_where_the_truth_begins() -> None:
    truth = robot_clip(20, 0)
    quarter = Rotation.from_rotvec([0, 0, np.pi / 2])
    quat = (quarter * Rotation.from_quat(truth.root_quat_w, scalar_first=True)).as_quat(scalar_first=True)
    elsewhere = replace(truth, root_pos_w=quarter.apply(truth.root_pos_w) + (3, 4, 0.1), root_quat_w=quat)
    back = placed_like(elsewhere, truth)
    np.testing.assert_allclose(back.root_pos_w, truth.root_pos_w + (0, 0, 0.1), atol=1e-9)
    np.testing.assert_allclose(np.abs((back.root_quat_w * truth.root_quat_w).sum(-1)), 1, atol=1e-9)


@pytest.mark.slow
def test_inverse_kinematics_is_an_arm(world: World, scripts: Path, tmp_path: Path) -> None:
    pytest.importorskip("mink", reason="needs pip install -e '.[ik]'")
    out = tmp_path / "out"
    run_experiment(experiment(world, out, arms=["ik"]), scripts)
    clip, truth = (load_motion(out / "motion" / arm / "dance.npz") for arm in ("ik", "ground_truth"))
    assert len(clip) == len(truth)


@pytest.mark.slow
def test_the_chain_in_mjlab(world: World, script: Script, tmp_path: Path) -> None:
    pytest.importorskip("mujoco_warp", reason="needs all of mjlab: pip install -e '.[mjlab]'")
    words = ["--robot", world.motion / "g1", "--human", world.motion / "bvh", "--checkpoint", world.run]
    words += ["--clips", "dance", "--arms", "human_tokens", "--iterations", 2, "--num-envs", 4]
    words += ["--evaluation.starts", 2, "--evaluation.seconds", 0.2, "--evaluation-envs", 2, "--device", "cpu"]
    outcome = script("experiments/decoded_vs_ground_truth", *words, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    figures = json.loads((tmp_path / "out" / "comparison.json").read_text())["reports"]
    assert len(figures) == 2
    assert all(each["all"]["starts"] == 2 for each in figures.values())
