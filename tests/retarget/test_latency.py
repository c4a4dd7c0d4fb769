"""The benchmark counts every frame once, and says what it measured; how fast a machine is, no test asks."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.retarget.latency import Benchmark, Latency, Throughput, benchmark, live_latency
from g1_vq_retarget.retarget.latency_report import latency_table
from running import run_script
from synthetic import human_clip, robot_clip, save_started, tiny_model


@pytest.fixture
def causal(folder: DataFolder, tmp_path: Path) -> Path:
    config = tiny_model("predictive", downsample=4)
    config.network.causal = True
    config.network.robot_encoder = "klt"
    return save_started(tmp_path / "causal.safetensors", folder, config)


def by_hand() -> Benchmark:
    """Eight frames, each fourth with a step: 1 ms, and those 5, 7 ms."""
    seconds = np.array([1, 1, 1, 5, 1, 1, 1, 7]) / 1000
    steps = np.arange(8) % 4 == 3
    parts = np.outer(seconds, (0.25, 0.5, 0.25))
    live = Latency("small", "cpu", 3, 50.0, seconds, parts, steps)
    ik = [Throughput("refined", "cpu", 100, 2.0, 1.0), Throughput("plain", "cpu", 100, 0.5, 0.5)]
    batch = [Throughput("small, one clip", "cpu", 100, 0.1, 0.05)]
    return Benchmark("walk", 100, 3, False, (0.5, 1.5), 1, [live], ik, batch)


def test_figures_by_hand() -> None:
    found = by_hand().as_dict()
    (live,), (batch,) = found["live_ms"], found["batch"]
    assert live["without_step"] == pytest.approx({"p50": 1, "p99": 1, "max": 1})
    assert live["with_step"] == pytest.approx({"p50": 6, "p99": 6.98, "max": 7})
    assert live["all"] == pytest.approx({"p50": 1, "p99": 5 + 0.93 * 2, "max": 7})
    assert live["parts_with_step_p50"] == pytest.approx({"features": 1.5, "network": 3, "placing": 1.5})
    # 1000 frames/s against 50 and 200, by the wall clock; the CPU's time is told beside
    assert batch["times_ik"] == pytest.approx([20, 5])
    assert batch["times_ik_cpu"] == pytest.approx([20, 10])
    assert batch["frames_per_cpu_second"] == pytest.approx(2000)


def test_the_table_by_hand() -> None:
    table = latency_table(by_hand())
    assert "load average 0.5 before and 1.5 after" in table
    assert "3 more to warm up not counted" in table
    rows = [line for line in table.splitlines() if line.startswith("|")]
    (small,) = (row for row in rows if row.startswith("| small | cpu | 60 ms |"))
    assert "| 1.00 / 6.86 / 7.00 | 6.00 / 6.98 / 7.00 | 1.00 / 1.00 / 1.00 | 1.50 / 3.00 / 1.50 |" in small
    assert "| small, one clip | cpu | 1,000 | 2,000 | 20.0 / 20.0 | 5.0 / 10.0 |" in rows


def test_every_frame_counts_once(causal: Path) -> None:
    clip = human_clip(30, 4, fps=50.0)
    live = live_latency("tiny", causal, clip, warmup=7)
    assert len(live.seconds) == len(live.parts) == 30
    np.testing.assert_allclose(live.parts.sum(axis=1), live.seconds)
    assert (live.parts >= 0).all()
    # seven frames to warm up do not shift the steps; only the first frames have no robot to place
    assert live.steps.nonzero()[0].tolist() == [3, 7, 11, 15, 19, 23, 27]
    assert (live.parts[:, 2] == 0).tolist() == [True] * 3 + [False] * 27


def test_models_in_whole_clips(causal: Path, folder: DataFolder, tmp_path: Path) -> None:
    other = save_started(tmp_path / "other.safetensors", folder)
    found = benchmark(human_clip(66, 4, fps=50.0), [causal, other], warmup=8, ik=False)
    name = tmp_path.name
    assert [one.model for one in found.live] == [f"{name}/causal"]
    assert [one.method for one in found.batch] == [
        f"{name}/{model}, {how}" for model in ("causal", "other") for how in ("one clip", "32 such clips at once")
    ]
    assert [one.frames for one in found.batch] == [66, 32 * 66] * 2
    assert found.ik == []
    with pytest.raises(UserError, match="has no predictive codes to search"):
        benchmark(human_clip(66, 4, fps=50.0), [other], warmup=8, ik=False, beam=2)
    with pytest.raises(UserError, match="--beam must be at least 1, it is 0"):
        live_latency("causal", causal, human_clip(66, 4, fps=50.0), beam=0)
    with pytest.raises(UserError, match="has 66 frames, and 70 are for warming up"):
        benchmark(human_clip(66, 4, fps=50.0), [causal], warmup=70, ik=False)


def test_clips_at_once_are_each_as_alone(causal: Path) -> None:
    model = Retargeter(causal)
    clips = [human_clip(frames, seed, fps=50.0, name=f"{seed}") for seed, frames in enumerate((50, 13, 34))]
    clips = [*clips, robot_clip(21, 3, fps=50.0)]
    for together, clip in zip(model.retarget_all(clips), clips, strict=True):
        alone = model.retarget(clip)
        assert together.motion.name == clip.name
        np.testing.assert_array_equal(together.tokens.tokens, alone.tokens.tokens)
        assert together.tokens.start == alone.tokens.start
        np.testing.assert_allclose(together.motion.joint_pos, alone.motion.joint_pos, atol=1e-5)
        np.testing.assert_allclose(together.motion.root_pos_w, alone.motion.root_pos_w, atol=1e-5)
    assert model.retarget_all([]) == []


def test_the_script(causal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mink")
    human = tmp_path / "walk.npz"
    save_motion(human_clip(40, 4, fps=50.0), human)
    out = {flag: tmp_path / name for flag, name in (("json", "a.json"), ("out", "a.md"), ("plot", "a.png"))}
    flags = [word for flag, path in out.items() for word in (f"--{flag}", path)]
    said = run_script(
        "benchmark_latency",
        ("--checkpoint", causal, "--human", human, "--seconds", 0.2, "--warmup", 4, "--device", "cpu", *flags),
        capsys,
    )
    assert said.code == 0, said.err
    figures = json.loads(out["json"].read_text())
    assert figures["frames"] == 10
    assert (figures["cpu_threads"], figures["warmup_frames"]) == (1, 4)
    assert figures["live_ms"][0]["frames"] == 10
    assert [one["method"] for one in figures["ik"]] == ["inverse kinematics, refined", "inverse kinematics"]
    assert all(len(one["times_ik"]) == 2 for one in figures["batch"])
    assert out["out"].read_text() in said.out
    assert matplotlib.image.imread(out["plot"]).std() > 0.01


def test_a_users_mistakes(causal: Path, folder: DataFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = save_started(tmp_path / "other.safetensors", folder)
    robot = tmp_path / "robot.npz"
    save_motion(robot_clip(20), robot)
    for args, told in (
        (("--checkpoint", causal, "--human", robot), "holds a robot's motion, expected a human's"),
        (("--checkpoint", causal, "--seconds", 0), "--seconds must be a positive number"),
        (("--checkpoint", causal, "--threads", 0), "--threads must be at least 1"),
        (("--checkpoint", other, "--plot", tmp_path / "a.png"), "none of the models is causal"),
    ):
        said = run_script("benchmark_latency", args, capsys)
        assert said.code == 2
        assert told in said.err
        assert len(said.err.strip().splitlines()) == 1
