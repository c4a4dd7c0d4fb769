"""Evaluation and export in mjlab itself, and the exported policy in plain MuJoCo beside it; `pip install -e
'.[mjlab,deployment]'`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("mujoco_warp", reason="needs all of mjlab: pip install -e '.[mjlab]'")
pytest.importorskip("rsl_rl", reason="needs all of mjlab: pip install -e '.[mjlab]'")
pytest.importorskip("onnxruntime", reason="needs pip install -e '.[deployment]'")

from mjlab.envs import ManagerBasedRlEnv
from mjlab.rl import RslRlVecEnvWrapper

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import RobotClip
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.tasks.deployment import DEPLOY, POLICY, ROBOT, Deployment, OnnxPolicy, verify
from g1_vq_retarget.tasks.evaluation import EvaluationConfig, evaluate
from g1_vq_retarget.tasks.evaluation_config import EvaluationRunConfig
from g1_vq_retarget.tasks.evaluation_report import agreement, report
from g1_vq_retarget.tasks.mjlab.evaluation import (
    MjlabSimulation,
    run_evaluation,
    without_chance,
)
from g1_vq_retarget.tasks.mjlab.export import export_policy
from g1_vq_retarget.tasks.mjlab.runs import TrackingRunner, untrained_policy
from g1_vq_retarget.tasks.mjlab.tracking import tracking_env_cfg, tracking_rl_cfg
from g1_vq_retarget.tasks.mujoco.simulation import MujocoSimulation
from synthetic import robot_clip

pytestmark = pytest.mark.slow
LENGTHS = (60, 80, 60)
# the last falls from where it touches nothing, itself included
HEIGHTS = (0.0, 0.0, 1.5)
CLIP, FRAME = torch.tensor([0, 1, 2]), torch.tensor([3, 20, 3])


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motion")
    for number in range(len(LENGTHS)):
        save_motion(clip_of(number), folder / f"clip_{number}.npz")
    return folder


def clip_of(number: int, above: float = 0.0) -> RobotClip:
    clip = robot_clip(LENGTHS[number], number, fps=50.0)
    still = 0.3 if HEIGHTS[number] else 1.0
    lifted = clip.root_pos_w + (0, 0, HEIGHTS[number] + above)
    return replace(clip, root_pos_w=lifted, joint_pos=still * clip.joint_pos)


@pytest.fixture(scope="module")
def simulation(motion: Path) -> Iterator[MjlabSimulation]:
    cfg = without_chance(tracking_env_cfg([motion], play=True, num_envs=3, future_frames=(0, 5)))
    env = RslRlVecEnvWrapper(ManagerBasedRlEnv(cfg, device="cpu"))
    yield MjlabSimulation(env)
    env.close()


@pytest.fixture(scope="module")
def policy(simulation: MjlabSimulation) -> torch.nn.Module:
    """That has learnt nothing, but gives every observation a say."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        runner = TrackingRunner(simulation.env, asdict(tracking_rl_cfg()), device="cpu")
    return runner.get_inference_policy("cpu")


@pytest.fixture(scope="module")
def folder(policy: torch.nn.Module, simulation: MjlabSimulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "policy"
    export_policy(policy, simulation.env.unwrapped, "made up", path)
    return path


@pytest.fixture(scope="module")
def twin(folder: Path, simulation: MjlabSimulation) -> MujocoSimulation:
    return MujocoSimulation(folder / ROBOT, Deployment.load(folder / DEPLOY), simulation.command.library)


def seen_alike(twin: MujocoSimulation, one: torch.Tensor, other: torch.Tensor, tolerance: float) -> None:
    sizes = [observed.size for observed in twin.deployment.observations]
    for observed, a, b in zip(twin.deployment.observations, one.split(sizes), other.split(sizes), strict=True):
        torch.testing.assert_close(
            a, b, atol=tolerance, rtol=tolerance, msg=lambda said, of=observed.name: f"{of}: {said}"
        )


def test_both_simulators_show_the_policy_the_same(simulation: MjlabSimulation, twin: MujocoSimulation) -> None:
    """Also where steps of physics end: of the robot that touches nothing exactly, as far as single precision goes."""
    random = torch.Generator().manual_seed(0)
    actions = [0.3 * torch.randn(3, 29, generator=random) for _ in range(6)]
    begun = simulation.begin(CLIP, FRAME)
    there = [simulation.step(action) for action in actions]
    for robot in range(3):
        seen, _ = twin.begin(CLIP[robot : robot + 1], FRAME[robot : robot + 1])
        seen_alike(twin, begun[0]["actor"][robot], seen[0], 2e-5)
        # solvers stop after ten iterations, and where limbs press into one another, elsewhere in single precision
        steps, tolerance = (len(actions), 1e-5) if HEIGHTS[robot] else (1, 1e-3)
        for action, (seen_there, state_there) in zip(actions[:steps], there, strict=False):
            seen, state = twin.step(action[robot : robot + 1])
            for ours, theirs in zip(state, state_there, strict=True):
                torch.testing.assert_close(ours[0], theirs[robot], atol=tolerance, rtol=tolerance)
            seen_alike(twin, seen_there["actor"][robot], seen[0], 100 * tolerance)
        if HEIGHTS[robot]:
            assert twin.data.ncon == 0


def test_robots_begin_where_the_motion_is(simulation: MjlabSimulation) -> None:
    _, state = simulation.begin(CLIP, FRAME)
    at = simulation.command.library.at(CLIP, FRAME)
    torch.testing.assert_close(state.joint_pos, at.joint_pos, atol=1e-5, rtol=0)
    torch.testing.assert_close(state.body_pos_w, at.body_pos_w, atol=1e-4, rtol=0)


def test_the_exported_policy_is_the_policy(simulation: MjlabSimulation, policy: torch.nn.Module, folder: Path) -> None:
    seen, _ = simulation.begin(CLIP, FRAME)
    onnx = OnnxPolicy(folder / POLICY)
    verify(onnx, Deployment.load(folder / DEPLOY), DEPLOY)
    with torch.no_grad():
        torch.testing.assert_close(onnx(seen["actor"]), policy(seen), atol=1e-4, rtol=1e-4)


def test_the_deployment_is_what_mjlab_has(simulation: MjlabSimulation, folder: Path) -> None:
    told = Deployment.load(folder / DEPLOY)
    assert (told.fps, told.timestep, told.decimation, told.future_frames) == (50.0, 0.005, 4, [0, 5])
    assert told.motion.clips == len(LENGTHS)
    knee = next(joint for joint in told.joints if joint.name == "left_knee_joint")
    # mjlab's constants: armature (2π 10 Hz)², a quarter of the effort over that
    assert knee.effort_limit == 139.0
    assert knee.action_scale == pytest.approx(0.25 * 139.0 / knee.stiffness, rel=1e-6)
    assert knee.default_pos == pytest.approx(0.669)
    assert [each.sensor for each in told.observations if each.sensor] == ["imu_lin_vel", "imu_ang_vel"]


def test_both_simulators_evaluate_alike(
    simulation: MjlabSimulation, twin: MujocoSimulation, policy: torch.nn.Module, folder: Path
) -> None:
    config, library = EvaluationConfig(starts=3, seconds=0.3), simulation.command.library
    one = report(evaluate(simulation, policy, library, config))
    other = report(evaluate(twin, OnnxPolicy(folder / POLICY), library, config))
    assert all(agreement(other, one).values())
    assert other["all"]["relative_mm"] == pytest.approx(one["all"]["relative_mm"], rel=1e-2)


def test_random_actions_depend_on_the_seed_alone(simulation: MjlabSimulation) -> None:
    def actions(seed: int) -> torch.Tensor:
        policy = untrained_policy("random", simulation.env, seed)
        return torch.stack([policy(torch.empty(0)) for _ in range(3)])

    assert actions(1).shape == (3, 3, 29)
    assert torch.equal(actions(1), actions(1))
    assert not torch.equal(actions(1), actions(2))
    assert (untrained_policy("zero", simulation.env)(torch.empty(0)) == 0).all()


def test_a_history_cannot_be_exported(simulation: MjlabSimulation, policy: torch.nn.Module, tmp_path: Path) -> None:
    env = simulation.env.unwrapped
    term = env.observation_manager.get_term_cfg("actor", "joint_vel")
    term.history_length = 3
    try:
        with pytest.raises(UserError, match="'joint_vel' clipped, with a history"):
            export_policy(policy, env, "made up", tmp_path / "policy")
    finally:
        term.history_length = 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("untrained", ["zero", "random"])
def test_an_evaluation_is_written(
    untrained: str, motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On motion that is measured by motion 5 cm above it."""
    above = tmp_path / "above"
    for number in range(len(LENGTHS)):
        save_motion(clip_of(number, 0.05), above / f"clip_{number}.npz")
    run_evaluation(
        EvaluationRunConfig(
            policy=untrained,
            motion=[motion],
            against=[above],
            starts=2,
            seconds=0.1,
            num_envs=3,
            device="cpu",
            out=tmp_path / "out",
        )
    )
    figures = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert (figures["policy"], figures["all"]["starts"]) == (untrained, 6)
    assert figures["all"]["global_mm"] > 50
    assert "| **all starts** | 6 |" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "evaluation.json", "evaluation.md", "evaluation.png"
    }  # fmt: skip
