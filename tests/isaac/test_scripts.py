"""Whole scripts as Isaac Lab users call them, through AppLauncher's own reading of flags, over the stand-ins."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("pxr", reason="needs Isaac Lab: make test-isaaclab")

import torch

import isaac_standin
from g1_vq_retarget.tasks.deployment import DEPLOY, POLICY, Deployment, OnnxPolicy, verify
from g1_vq_retarget.tasks.isaaclab import TASKS
from g1_vq_retarget.tasks.isaaclab.export import SCRIPT
from isaac_standin import simulation
from isaac_standin.assets import write_urdf
from running import Outcome, run_script

# Networks and rollouts that take no time.
SMALL = (
    "agent.num_steps_per_env=4",
    "agent.save_interval=1",
    "agent.algorithm.num_learning_epochs=1",
    "agent.algorithm.num_mini_batches=2",
)


def run(script: str, *args: object, capture: pytest.CaptureFixture[str]) -> Outcome:
    isaac_standin.new_world()  # as a process of its own would have
    return run_script(script, args, capture)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_training_leaves_a_run_that_plays_and_exports(
    home: Path, motion: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    urdf = write_urdf(home / "g1.urdf")
    flags = ("--motion", motion, "--urdf", urdf, "--num_envs", 4, "--headless", "--device", "cpu")
    done = run("rsl_rl/train", *flags, "--max_iterations", 2, "--run_name", "short", *SMALL, capture=capfd)
    assert done.code == 0, done.err
    # what Isaac Lab's tuner with Ray reads
    (root,) = re.findall(r"^\[INFO\] Logging experiment in directory: (.+)$", done.out, re.M)
    (name,) = re.findall(r"^Exact experiment name requested from command line: (.+)$", done.out, re.M)
    folder = Path(root, name)
    assert folder.parent == home / "logs/rsl_rl/g1_vq_tracking"
    assert name.endswith("_short")
    have = {path.name for path in folder.iterdir()}
    assert {"model_0.pt", "model_1.pt", "params", "motion_manifest.json", "origin.json"} <= have
    assert any(name.startswith("events.out.tfevents") for name in have)

    # what is tracked, and by which robot, is as the run began
    out = home / "policy"
    flags = ("--checkpoint", folder, "--num_envs", 2, "--steps", 3, "--export", out, "--headless", "--device", "cpu")
    done = run("rsl_rl/play", *flags, capture=capfd)
    assert done.code == 0, done.err
    assert "3 steps of 2 robots" in done.out
    deployment, policy = Deployment.load(out / DEPLOY), OnnxPolicy(out / POLICY)
    verify(policy, deployment, out / DEPLOY)
    seen = 3 * torch.randn(5, deployment.observation_size)
    script = torch.jit.load(str(out / SCRIPT))
    torch.testing.assert_close(policy(seen), script(seen), atol=1e-4, rtol=1e-4)
    state = torch.load(folder / "model_1.pt", weights_only=True)["model_state_dict"]
    normal = (seen - state["actor_obs_normalizer._mean"]) / (state["actor_obs_normalizer._std"] + 1e-2)
    for layer in (0, 2, 4, 6):
        normal = torch.nn.functional.linear(normal, state[f"actor.{layer}.weight"], state[f"actor.{layer}.bias"])
        normal = torch.nn.functional.elu(normal) if layer < 6 else normal
    torch.testing.assert_close(policy(seen), normal, atol=1e-4, rtol=1e-4)

    # and it goes on from there
    again = run(
        "rsl_rl/train", "--checkpoint", folder, "--motion", motion, "--urdf", urdf, "--num_envs", 4, "--headless",
        "--device", "cpu", "--max_iterations", 1, "--experiment_name", "more", *SMALL, capture=capfd,
    )  # fmt: skip
    assert again.code == 0, again.err
    assert list(home.glob("logs/rsl_rl/more/*/model_1.pt"))


def test_tasks_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    done = run("list_tasks", capture=capfd)
    assert done.code == 0
    assert all(task in done.out for task in TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_stepped_without_a_policy(
    task: str, home: Path, motion: Path, playbacks: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    what = playbacks if "Playback" in task else [motion]
    flags = ("--task", task, "--motion", *what, "--num_envs", 2, "--steps", 2, "--headless", "--device", "cpu")
    done = run("zero_agent", *flags, capture=capfd)
    assert done.code == 0, done.err
    assert "2 steps of 2 environments" in done.out
    assert simulation.SimulationApp.launches[-1]["headless"] is True


@pytest.mark.parametrize(
    ("script", "flags", "told"),
    [
        ("rsl_rl/train", "", "--motion is needed"),
        ("rsl_rl/train", "--motion nowhere.npz", "nowhere.npz: no such file or folder"),
        ("rsl_rl/train", "--motion {motion} --motion-fps 30", "tells its own rate, 50 fps, and not 30"),
        ("rsl_rl/train", "--motion {motion} --task G1-VQ-Tracking", "expected one of G1-VQ-Tracking-Flat-v0"),
        ("rsl_rl/train", "--motion {motion} --num-envs 4", "--num-envs: no such flag"),
        ("rsl_rl/train", "--motion {motion} env.rewards.motion_body_poss.weight=2", "motion_body_poss"),
        ("rsl_rl/train", "--motion {motion} agent.algorithm.gama=0.9", "gama"),
        ("rsl_rl/train", "--motion {motion} --urdf {urdf}", "lacks left_knee_joint; expected the 29 joints"),
        ("rsl_rl/train", "--motion {motion} --checkpoint nowhere", "nowhere: no such file"),
        ("rsl_rl/train", "--motion {motion} --checkpoint {urdf}", "not a checkpoint of scripts/rsl_rl/train.py"),
        ("rsl_rl/play", "--checkpoint nowhere", "params/motion.json: no such file"),
        ("zero_agent", "--motion {motion}", "no playback"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    script: str, flags: str, told: str, home: Path, motion: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    urdf = write_urdf(home / "lame.urdf", without="left_knee_joint")
    words = flags.format(motion=motion / "walk.npz", urdf=urdf).split()
    small = () if "num_envs" in flags else ("--num_envs", 1)
    done = run(script, *words, *small, "--headless", "--device", "cpu", capture=capfd)
    lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert done.code == 2, done.err
    assert len(lines) == 1
    assert told in lines[0]
    assert not (home / "logs").exists()
