"""Training and watching in mjlab by the scripts, with `make test-mjlab`; skipped where mjlab is not installed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("mujoco_warp", reason="needs all of mjlab: pip install -e '.[mjlab]'")
pytest.importorskip("rsl_rl", reason="needs all of mjlab: pip install -e '.[mjlab]'")

import wandb  # pyright: ignore[reportMissingImports]
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.tasks.mjlab import training
from g1_vq_retarget.tasks.mjlab.runs import (
    TrackingRunner,
    check_motion,
    check_tokenizer,
    newest_checkpoint,
    read_run,
)
from g1_vq_retarget.tasks.motion_source import load_library
from g1_vq_retarget.tasks.tracking_run import FAILED
from running import Outcome, run_script
from synthetic import robot_clip

SMALL = ("--num-envs", "4", "--steps", "4", "--device", "cpu")


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("asks for an account")

    monkeypatch.setattr(wandb, "init", forbidden)
    monkeypatch.setattr(wandb, "Api", forbidden)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number, frames in enumerate((40, 60)):
        save_motion(robot_clip(frames, number, 50.0), folder / f"clip_{number}.npz")
    return folder


@pytest.fixture(scope="module")
def run(clips: Path) -> Path:
    """Two iterations."""
    run = clips.parent / "run"
    assert run_script("mjlab/train", ("--motion", clips, "--run", run, "--iterations", "2", *SMALL)).code == 0
    return run


def contents(path: Path) -> dict:
    return torch.load(path, weights_only=True)


@pytest.mark.slow
def test_two_iterations_are_finite_and_written_down(run: Path, clips: Path) -> None:
    assert newest_checkpoint(run) == run / "model_1.pt"
    first, last = contents(run / "model_0.pt"), contents(run / "model_1.pt")
    for name, weights in last["actor_state_dict"].items():
        assert weights.isfinite().all(), name
    assert any(
        (last["actor_state_dict"][name] != first["actor_state_dict"][name]).any() for name in first["actor_state_dict"]
    )
    assert last["infos"][FAILED].shape == (3,)  # bins of the two clips
    events = EventAccumulator(str(run)).Reload()
    for name, least in (("Loss/value", 2), ("Loss/surrogate", 2), ("Metrics/motion/sampling_entropy", 1)):
        values = torch.tensor([event.value for event in events.Scalars(name)])
        assert len(values) >= least  # metrics come when an episode ends
        assert values.isfinite().all()
    manifest = json.loads((run / "motion_manifest.json").read_text())
    assert [(clip["name"], clip["frames"]) for clip in manifest["clips"]] == [("clip_0", 40), ("clip_1", 60)]
    assert "mjlab" in json.loads((run / "origin.json").read_text())["packages"]
    config = read_run(run)
    assert (config.motion, config.iterations, config.resume) == ([clips], 2, False)
    assert "num_mini_batches" in (run / "agent.yaml").read_text()
    assert "motion_body_pos" in (run / "env.yaml").read_text()
    assert not list(run.glob("git/*"))  # nobody's work is kept beside a policy


@pytest.mark.slow
def test_a_run_is_resumed_and_watched(run: Path, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its own configuration, from its last iteration, failures and all."""
    counted = contents(run / "model_1.pt")
    counted["infos"][FAILED] += torch.tensor([1.0, 2.0, 3.0])
    torch.save(counted, run / "model_1.pt")
    done = script(capsys, "train", "--run", run, "--resume", "--iterations", "3")
    assert done.code == 0, done.err
    assert "iterations 2 to 2" in done.out
    last = contents(run / "model_2.pt")
    assert last["iter"] == 2
    assert last["infos"][FAILED].tolist() == pytest.approx([1, 2, 3], abs=0.1)
    steps = [int(state["step"]) for state in last["optimizer_state_dict"]["state"].values()]
    assert set(steps) == {3 * 5 * 4}  # updates by Adam: iterations, epochs, batches
    events = EventAccumulator(str(run)).Reload()
    assert [event.step for event in events.Scalars("Loss/value")] == [0, 1, 2]

    done = script(capsys, "train", "--run", run, "--resume")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "has had its 3 iterations" in done.err
    save_motion(robot_clip(30, 5, 50.0), clips / "clip_2.npz")
    done = script(capsys, "train", "--run", run, "--resume", "--iterations", "4")
    (clips / "clip_2.npz").unlink()
    assert done.code == 2
    assert "the run began with other clips" in done.err

    watch = ("--viewer", "none", "--frames", "3", "--device", "cpu")
    for given in (("--policy", run), ("--policy", run / "model_0.pt", "--motion", clips / "clip_1.npz")):
        done = script(capsys, "play", *given, *watch)
        assert done.code == 0, done.err
        assert "3 steps of 1 robots: reward " in done.out
    damaged = run.parent / "damaged" / "model_0.pt"
    damaged.parent.mkdir()
    damaged.write_bytes((run / "model_0.pt").read_bytes()[:5000])
    (damaged.parent / "config.yaml").write_text((run / "config.yaml").read_text())
    other = run.parent / "other"
    other.mkdir()
    (other / "model_0.pt").write_bytes((run / "model_0.pt").read_bytes())
    told = (run / "config.yaml").read_text().replace("future_frames:\n- 0", "future_frames:\n- 0\n- 1")
    (other / "config.yaml").write_text(told)
    for policy, message in ((damaged, "model_0.pt: "), (other, "observes something else")):
        done = script(capsys, "play", "--policy", policy, *watch)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert message in done.err


@pytest.mark.slow
def test_a_run_is_exported_and_runs_in_mujoco(run: Path, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the scripts, as a user would: what mjlab measures of the policy, MuJoCo does, too."""
    pytest.importorskip("onnxruntime", reason="needs pip install -e '.[deployment]'")
    folder, starts = run.parent / "policy", ("--starts", "1", "--seconds", "0.1")
    words = ("--policy", run, "--out", folder)
    for more, message in (
        (("--motion", clips / "clip_1.npz"), "motion_manifest.json: the run began with other clips than these"),
        (("--from-tokens", clips), "--from-tokens needs --motion"),
    ):
        done = run_script("deployment/export_policy", (*words, *more), capsys)
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert message in done.err
        assert not folder.exists()
    done = run_script("deployment/export_policy", words, capsys)
    assert done.code == 0, done.err
    done = run_script("deployment/verify_policy", ("--policy", folder), capsys)
    assert done.code == 0, done.err
    assert "trained on 2 clips" in done.out
    done = script(capsys, "evaluate", "--policy", run, *starts, "--num-envs", "2", "--device", "cpu")
    assert done.code == 0, done.err
    done = run_script(
        "deployment/sim2sim",
        ("--policy", folder, "--motion", clips, *starts, "--compare", run / "evaluation"),
        capsys,
    )
    assert done.code == 0, done.out + done.err
    assert "trained on other motion" not in done.out
    assert done.out.count(", alike") == 4


def test_a_run_knows_its_motion_and_its_tokenizer(clips: Path, tmp_path: Path) -> None:
    def written(**changed: object) -> None:
        (tmp_path / "motion_manifest.json").write_text(json.dumps(manifest | changed))

    library = load_library(clips, 50.0)
    told = [{"name": f"clip_{number}", "frames": frames, "source_fps": 50.0} for number, frames in enumerate((40, 60))]
    manifest = {"fps": 50.0, "clips": told, "tokenizer_sha256": "a" * 64}
    written()
    check_motion(tmp_path, replace(library, tokenizer_sha256="a" * 64))
    check_tokenizer(tmp_path, library)
    for check in (check_motion, check_tokenizer):
        with pytest.raises(
            UserError, match=r"trained on tokens of the weights a{12}, these are of b{12}; give the model"
        ):
            check(tmp_path, replace(library, tokenizer_sha256="b" * 64))
    for changed in ({"clips": told[:1]}, {"clips": [told[0], told[1] | {"frames": 61}]}, {"fps": 25.0}):
        written(**changed)
        with pytest.raises(UserError, match="began with other clips than these"):
            check_motion(tmp_path, library)
    (tmp_path / "motion_manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"motion_manifest\.json: not JSON"):
        check_motion(tmp_path, library)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_learnt(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the third iteration: two are kept, and gone on with."""
    run = tmp_path / "run"
    learn = TrackingRunner.learn

    def interrupted(self: TrackingRunner, *args: int, **kwargs: bool) -> None:
        step, steps = self.env.step, iter(range(2 * 4 + 1))

        def counting(actions: torch.Tensor) -> object:
            if next(steps, None) is None:
                raise KeyboardInterrupt
            return step(actions)

        monkeypatch.setattr(self.env, "step", counting)
        learn(self, *args, **kwargs)

    monkeypatch.setattr(training.TrackingRunner, "learn", interrupted)
    done = script(capsys, "train", "--motion", clips, "--run", run, "--iterations", "9", *SMALL)
    assert done.code == 130
    assert f"--run {run} --resume" in done.out
    assert newest_checkpoint(run).name == "model_1.pt"
    assert not list(run.glob(".*"))
    monkeypatch.setattr(training.TrackingRunner, "learn", learn)
    assert script(capsys, "train", "--run", run, "--resume", "--iterations", "3").code == 0
    assert newest_checkpoint(run).name == "model_2.pt"


def test_mistakes_are_told_in_a_line_before_anything_is_made(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, taken = tmp_path / "run", tmp_path / "taken"
    taken.mkdir()
    (taken / "model_0.pt").touch()
    (tmp_path / "file").touch()
    start = ("train", "--motion", clips, "--run", run)
    mistakes: tuple[tuple[tuple[object, ...], str], ...] = (
        (("train", "--run", run), "--motion is needed"),
        ((*start, "--num-envs", "0"), "--num-envs must be at least 1"),
        ((*start, "--num-envs", "1", "--steps", "2"), "--num-envs times --steps must be at least 4"),
        ((*start, "--iterations", "0"), "--iterations must be at least 1"),
        ((*start, "--seed", "-1"), "--seed must not be negative"),
        ((*start, "--device", "cpu", "--gpus", "2"), "--gpus 2: there are 0"),
        (("train", "--motion", clips, "--run", taken), "already holds a run"),
        (("train", "--motion", clips, "--run", tmp_path / "file"), "is a file; name a folder"),
        (("train", "--run", run, "--resume"), "config.yaml: no such file"),
        (("play", "--viewer", "none", "--motion", clips), "--viewer none needs --frames"),
        (("play", "--frames", "0"), "must be at least 1"),
        (("play", "--from-tokens", clips), "--from-tokens needs --motion"),
        (("play", "--policy", run), "run: no run folder or checkpoint there"),
    )
    for (name, *arguments), message in mistakes:
        done = script(capsys, str(name), *arguments)
        assert (done.code, done.err.count("\n")) == (2, 1), arguments
        assert message in done.err
        assert not run.exists()


@pytest.mark.slow
def test_mistakes_in_the_motion_are_told_too(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    for motion, flags, message in (
        (tmp_path / "absent", (), "absent: no such file"),
        (clips, ("--observe", "tokens"), "--observe tokens: the motion is not from tokens"),
    ):
        done = script(capsys, "train", "--motion", motion, "--run", run, *SMALL, *flags)
        assert done.code == 2
        assert message in done.err
        assert not run.exists()


def script(capture: pytest.CaptureFixture[str], name: str, *arguments: object) -> Outcome:
    capture.readouterr()
    return run_script(f"mjlab/{name}", arguments, capture)
