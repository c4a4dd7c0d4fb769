"""Whole scripts as Isaac Lab users call them, through AppLauncher's own reading of flags, over the stand-ins."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("pxr", reason="needs Isaac Lab: make test-isaaclab")

import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from g1_vq_retarget.tasks.deployment import DEPLOY, POLICY, Deployment, OnnxPolicy, verify
from g1_vq_retarget.tasks.isaaclab import TASKS
from g1_vq_retarget.tasks.isaaclab.export import SCRIPT
from g1_vq_retarget.tasks.tracking_run import FAILED
from isaac_environments import run
from isaac_standin import simulation
from isaac_standin.assets import write_urdf

# Rollouts that take no time.
SMALL = (
    "agent.num_steps_per_env=4",
    "agent.save_interval=1",
    "agent.algorithm.num_learning_epochs=1",
    "agent.algorithm.num_mini_batches=2",
)
# Without them a policy cannot be played; the last is of training alone.
OVERRIDES = (
    "agent.policy.actor_hidden_dims=[32,16]",
    "env.commands.motion.future_frames=[0,3]",
    "env.rewards.motion_body_pos.weight=2.0",
)
QUIET = ("--headless", "--device", "cpu")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, motion: Path) -> Path:
    """The folder of a run of two iterations, of files that were named from where the script ran."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        write_urdf(home / "g1.urdf")
        (home / "motion").symlink_to(motion)
        flags = ("--num_envs", 4, "--max_iterations", 2, *QUIET, "--urdf", "g1.urdf", "--motion", "motion")
        done = run("rsl_rl/train", *flags, *SMALL, *OVERRIDES)  # right behind what takes several words
    assert done.code == 0
    (folder,) = home.glob("logs/rsl_rl/g1_vq_tracking/*")
    return folder


def told(folder: Path, what: str) -> dict:
    """A configuration of a run, in which Isaac Lab writes tuples and slices as Python's."""
    return yaml.unsafe_load((folder / "params" / f"{what}.yaml").read_text())


def test_a_training_leaves_a_run(trained: Path) -> None:
    have = {path.name for path in trained.iterdir()}
    assert {"model_0.pt", "model_1.pt", "params", "motion_manifest.json", "origin.json"} <= have
    assert told(trained, "env")["rewards"]["motion_body_pos"]["weight"] == 2.0
    assert told(trained, "agent")["policy"]["actor_hidden_dims"] == [32, 16]
    command = json.loads((trained / "origin.json").read_text())["command"]
    assert command[command.index("--motion") + 1 :][: 1 + len(SMALL)] == ["motion", *SMALL]
    losses = EventAccumulator(str(trained)).Reload().Scalars("Loss/value_function")
    assert [event.step for event in losses] == [0, 1]


def test_a_run_is_played_and_exported(
    trained: Path, motion: Path, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As it began, from wherever that is asked for; or with other motion, by the same robot and network."""
    out = home / "policy"
    for clips, other in ((1, ("--motion", motion / "walk.npz")), (3, ())):
        flags = ("--checkpoint", trained, "--num_envs", 2, "--steps", 3, "--export", out, *QUIET)
        done = run("rsl_rl/play", *flags, *other, capture=capfd)
        assert done.code == 0, done.err
        assert "3 steps of 2 robots" in done.out
        deployment = Deployment.load(out / DEPLOY)
        assert (deployment.task, deployment.motion.clips) == ("G1-VQ-Tracking-Flat-Play-v0", clips)
        assert deployment.future_frames == [0, 3]
    policy = OnnxPolicy(out / POLICY)
    verify(policy, deployment, out / DEPLOY)
    seen = 3 * torch.randn(5, deployment.observation_size)
    script = torch.jit.load(str(out / SCRIPT))
    torch.testing.assert_close(policy(seen), script(seen), atol=1e-4, rtol=1e-4)
    state = torch.load(trained / "model_1.pt", weights_only=True)["model_state_dict"]
    normal = (seen - state["actor_obs_normalizer._mean"]) / (state["actor_obs_normalizer._std"] + 1e-2)
    for layer in (0, 2, 4):
        normal = torch.nn.functional.linear(normal, state[f"actor.{layer}.weight"], state[f"actor.{layer}.bias"])
        normal = torch.nn.functional.elu(normal) if layer < 4 else normal
    torch.testing.assert_close(policy(seen), normal, atol=1e-4, rtol=1e-4)


def test_a_run_goes_on_with_what_it_was_told(trained: Path, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "params").mkdir()
    (home / "params/flags.yaml").write_text((trained / "params/flags.yaml").read_text())
    state = torch.load(trained / "model_1.pt", weights_only=True)
    state["infos"][FAILED] += torch.arange(float(len(state["infos"][FAILED])))
    torch.save(state, home / "model_1.pt")
    flags = ("--checkpoint", home, "--num_envs", 4, "--max_iterations", 1, "--run_name", "more", *QUIET)
    done = run("rsl_rl/train", *flags, "env.rewards.motion_body_pos.weight=3.0", capture=capfd)
    assert done.code == 0, done.err
    # what Isaac Lab's tuner with Ray reads
    (root,) = re.findall(r"^\[INFO\] Logging experiment in directory: (.+)$", done.out, re.M)
    (name,) = re.findall(r"^Exact experiment name requested from command line: (.+)$", done.out, re.M)
    folder = Path(root, name)
    assert folder.parent == home / "logs/rsl_rl/g1_vq_tracking"
    assert folder.name.endswith("_more")
    failed = torch.load(folder / "model_1.pt", weights_only=True)["infos"][FAILED]
    torch.testing.assert_close(failed, torch.arange(float(len(failed))), atol=0.1, rtol=0.1)
    env = told(folder, "env")
    assert env["scene"]["robot"]["spawn"]["asset_path"] == str(trained.parents[3] / "g1.urdf")
    assert list(env["commands"]["motion"]["future_frames"]) == [0, 3]
    assert env["rewards"]["motion_body_pos"]["weight"] == 3.0
    assert told(folder, "flags")["overrides"] == [*SMALL, *OVERRIDES, "env.rewards.motion_body_pos.weight=3.0"]


def test_a_run_is_not_gone_on_with_by_another_robot(
    trained: Path, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = write_urdf(home / "other.urdf")
    other.write_text(other.read_text().replace("<robot", "<!-- heavier --><robot"))
    for script in ("train", "play"):
        short = ("--max_iterations", 1) if script == "train" else ("--steps", 1)
        done = run(f"rsl_rl/{script}", "--checkpoint", trained, "--urdf", other, *short, *QUIET, capture=capfd)
        assert done.code == 2
        assert "other.urdf: is another robot than the policy's" in done.err


def test_others_checkpoints_are_refused(trained: Path, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "params").mkdir()
    (home / "params/flags.yaml").write_text((trained / "params/flags.yaml").read_text())
    state = torch.load(trained / "model_1.pt", weights_only=True)
    for number, infos in enumerate((None, {})):
        path = home / f"model_{number}.pt"
        torch.save(state | {"infos": infos}, path)
        done = run("rsl_rl/train", "--checkpoint", path, "--num_envs", 1, "--max_iterations", 1, *QUIET, capture=capfd)
        assert done.code == 2
        assert f"model_{number}.pt: not a checkpoint of scripts/rsl_rl/train.py" in done.err
    (home / "params/flags.yaml").write_text("motion: 3\n")
    done = run("rsl_rl/play", "--checkpoint", home, *QUIET, capture=capfd)
    assert done.code == 2
    assert "flags.yaml: " in done.err


def test_tasks_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    done = run("list_tasks", capture=capfd)
    assert done.code == 0
    assert all(task in done.out for task in TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_stepped_without_a_policy(
    task: str, home: Path, motion: Path, playbacks: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    what = playbacks if "Playback" in task else [motion]
    flags = ("--task", task, "--motion", *what, "--num_envs", 2, "--steps", 2, *QUIET)
    done = run("zero_agent", *flags, capture=capfd)
    assert done.code == 0, done.err
    assert "2 steps of 2 environments" in done.out
    assert simulation.SimulationApp.launches[-1]["headless"] is True


@pytest.mark.parametrize(
    ("script", "flags", "what"),
    [
        ("rsl_rl/train", "", "--motion is needed"),
        ("rsl_rl/train", "--motion nowhere.npz", "nowhere.npz: no such file or folder"),
        ("rsl_rl/train", "--motion {motion} --task G1-VQ-Tracking", "expected one of G1-VQ-Tracking-Flat-v0"),
        ("rsl_rl/train", "--motion {motion} --num-envs 4", "--num-envs: no such flag"),
        ("rsl_rl/train", "--motion {motion} --headless seed=1", "seed=1: no such flag"),
        ("rsl_rl/train", "--motion {motion} --urdf {urdf}", "lacks left_knee_joint; expected the 29 joints"),
        ("rsl_rl/train", "--motion {motion} --checkpoint nowhere", "nowhere: no such file"),
        ("rsl_rl/train", "--motion {motion} --checkpoint {urdf}", "params/flags.yaml: no such file"),
        ("rsl_rl/play", "--checkpoint nowhere", "nowhere: no such file"),
        ("zero_agent", "--motion {motion} --from-tokens {motion}", "--from-tokens and --motion-fps: not of a playback"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(
    script: str, flags: str, what: str, home: Path, motion: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    launches = len(simulation.SimulationApp.launches)
    refused(script, flags, what, home, motion, capfd)
    assert len(simulation.SimulationApp.launches) == launches


@pytest.mark.parametrize(
    ("script", "flags", "what"),
    [
        ("rsl_rl/train", "--motion {motion} --motion-fps 30", "tells its own rate, 50 fps, and not 30"),
        (
            "rsl_rl/train",
            "--motion {motion} env.rewards.motion_body_poss.weight=2.0",
            "Could not override 'env.rewards.motion_body_poss",
        ),
        ("rsl_rl/train", "--motion {motion} agent.algorithm.gama=0.9", "Could not override 'agent.algorithm.gama"),
        ("rsl_rl/train", "--motion {motion} env.rewards.motion_body_pos.weight=2", "Incorrect type"),
        ("rsl_rl/train", "--motion {motion} env.commands.motion.sampling.kernel_size=0", "kernel_size must be"),
        ("rsl_rl/train", "--motion {motion} env.commands.motion.sampling.mode=foo", "mode must be one of adaptive"),
        ("rsl_rl/train", "--motion {motion} env.commands.motion.future_frames=[-3]", "expected frames ahead"),
        ("zero_agent", "--motion {motion}", "no playback"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    script: str, flags: str, what: str, home: Path, motion: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refused(script, flags, what, home, motion, capfd)


def refused(script: str, flags: str, what: str, home: Path, motion: Path, capfd: pytest.CaptureFixture[str]) -> None:
    urdf = write_urdf(home / "lame.urdf", without="left_knee_joint")
    words = flags.format(motion=motion / "walk.npz", urdf=urdf).split()
    short = {"rsl_rl/train": ("--max_iterations", 1), "rsl_rl/play": ("--steps", 1), "zero_agent": ("--steps", 1)}
    done = run(script, *words, "--num_envs", 1, *short[script], *QUIET, capture=capfd)
    lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert done.code == 2, done.err
    assert len(lines) == 1
    assert what in lines[0]
    assert not (home / "logs").exists()


def test_what_is_no_users_mistake_does_not_end_well(
    home: Path, motion: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from g1_vq_retarget.tasks.isaaclab import play

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(play, "configured", broken)
    done = run("zero_agent", "--motion", motion, *QUIET, capture=capfd)
    assert done.code == 1
    assert "ZeroDivisionError" in done.err
