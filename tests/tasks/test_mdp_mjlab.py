"""The terms and the sampling beside mjlab's own, on the same random states; needs `pip install -e '.[mjlab]'`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("mujoco_warp", reason="needs all of mjlab: pip install -e '.[mjlab]'")
pytest.importorskip("rsl_rl", reason="needs all of mjlab: pip install -e '.[mjlab]'")

from mjlab.tasks.tracking import mdp as theirs
from mjlab.tasks.tracking.config.g1.env_cfgs import unitree_g1_flat_tracking_env_cfg
from mjlab.tasks.tracking.mdp import MotionCommand, MotionCommandCfg
from mjlab.utils.noise import UniformNoiseCfg

from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.tasks.mdp import MJLAB, observations, relative_body_poses, rewards, terminations
from g1_vq_retarget.tasks.sampling import SamplingConfig, StartSampler
from motion_libraries import library

N, L, J = 64, 5, 7
ANCHOR = 2


class State(SimpleNamespace):
    """What mjlab's terms ask of a command, its robot and its environment, at random and not far from one another."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)

        def numbers(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=random)

        def turns(near: torch.Tensor | None = None) -> torch.Tensor:
            quat = numbers(N, L, 4) if near is None else near + 0.2 * numbers(N, L, 4)
            return quat / quat.norm(dim=-1, keepdim=True)

        pos, quat = numbers(N, L, 3), turns()
        super().__init__(
            num_envs=N,
            cfg=SimpleNamespace(body_names=[str(body) for body in range(L)]),
            body_pos_w=pos,
            body_quat_w=quat,
            robot_body_pos_w=pos + 0.2 * numbers(N, L, 3),
            robot_body_quat_w=turns(quat),
            body_lin_vel_w=numbers(N, L, 3),
            body_ang_vel_w=numbers(N, L, 3),
            robot_body_lin_vel_w=numbers(N, L, 3),
            robot_body_ang_vel_w=numbers(N, L, 3),
            joint_pos=numbers(N, J),
            limits=torch.sort(numbers(N, J, 2), dim=-1).values,
            action=numbers(N, J),
            prev_action=numbers(N, J),
            forces=10 * numbers(N, L, 4, 3),
        )
        self.anchor_pos_w, self.anchor_quat_w = self.body_pos_w[:, ANCHOR], self.body_quat_w[:, ANCHOR]
        self.robot_anchor_pos_w = self.robot_body_pos_w[:, ANCHOR]
        self.robot_anchor_quat_w = self.robot_body_quat_w[:, ANCHOR]
        MotionCommand.update_relative_body_poses(self)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def state() -> State:
    return State()


@pytest.fixture(scope="module")
def env(state: State) -> Any:
    data = SimpleNamespace(
        gravity_vec_w=torch.tensor([0.0, 0.0, -1.0]).expand(N, 3),
        soft_joint_pos_limits=state.limits,
        joint_pos=state.joint_pos,
        force_history=state.forces,
    )
    return SimpleNamespace(
        num_envs=N,
        command_manager=SimpleNamespace(get_term=lambda _: state),
        action_manager=SimpleNamespace(action=state.action, prev_action=state.prev_action),
        scene={"robot": SimpleNamespace(data=data)},
    )


ASSET: Any = SimpleNamespace(name="robot", joint_ids=slice(None))


def test_bodies_are_moved_alike(state: State) -> None:
    got = relative_body_poses(
        state.body_pos_w,
        state.body_quat_w,
        state.anchor_pos_w,
        state.anchor_quat_w,
        state.robot_anchor_pos_w,
        state.robot_anchor_quat_w,
    )
    torch.testing.assert_close(got.pos_w, state.body_pos_relative_w, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got.quat_w, state.body_quat_relative_w, atol=1e-5, rtol=1e-5)


def test_rewards_are_the_same(state: State, env: Any) -> None:
    for name, arguments in (
        ("motion_global_anchor_position_error_exp", ("anchor_pos_w", "robot_anchor_pos_w")),
        ("motion_global_anchor_orientation_error_exp", ("anchor_quat_w", "robot_anchor_quat_w")),
        ("motion_relative_body_position_error_exp", ("body_pos_relative_w", "robot_body_pos_w")),
        ("motion_relative_body_orientation_error_exp", ("body_quat_relative_w", "robot_body_quat_w")),
        ("motion_global_body_linear_velocity_error_exp", ("body_lin_vel_w", "robot_body_lin_vel_w")),
        ("motion_global_body_angular_velocity_error_exp", ("body_ang_vel_w", "robot_body_ang_vel_w")),
    ):
        got = getattr(rewards, name)(*(getattr(state, key) for key in arguments), std=0.9)
        torch.testing.assert_close(got, getattr(theirs, name)(env, "motion", 0.9), atol=1e-5, rtol=1e-4)
        assert got.std() > 0.01  # the states tell something
    near = torch.testing.assert_close
    near(rewards.action_rate_l2(state.action, state.prev_action), theirs.action_rate_l2(env))
    near(rewards.joint_pos_limits(state.joint_pos, state.limits), theirs.joint_pos_limits(env, ASSET))
    near(rewards.self_collision_cost(state.forces, 20.0), theirs.self_collision_cost(env, "robot", 20.0))


def test_terminations_are_the_same(state: State, env: Any) -> None:
    anchors, bodies = (
        (state.anchor_pos_w, state.robot_anchor_pos_w),
        (state.body_pos_relative_w, state.robot_body_pos_w),
    )
    quats = (state.anchor_quat_w, state.robot_anchor_quat_w)
    for got, want in (
        (terminations.bad_anchor_pos(*anchors, 0.3), theirs.bad_anchor_pos(env, "motion", 0.3)),
        (terminations.bad_anchor_pos_z_only(*anchors, 0.2), theirs.bad_anchor_pos_z_only(env, "motion", 0.2)),
        (terminations.bad_anchor_ori(*quats, 0.3), theirs.bad_anchor_ori(env, ASSET, "motion", 0.3)),
        (terminations.bad_motion_body_pos(*bodies, 0.9), theirs.bad_motion_body_pos(env, "motion", 0.9)),
        (terminations.bad_motion_body_pos_z_only(*bodies, 0.5), theirs.bad_motion_body_pos_z_only(env, "motion", 0.5)),
    ):
        assert torch.equal(got, want)
        assert 0 < got.sum() < N


def test_observations_are_the_same(state: State, env: Any) -> None:
    pos, quat = state.robot_anchor_pos_w, state.robot_anchor_quat_w
    for got, want in (
        (observations.motion_anchor_pos_b(pos, quat, state.anchor_pos_w), theirs.motion_anchor_pos_b(env, "motion")),
        (observations.motion_anchor_ori_b(quat, state.anchor_quat_w), theirs.motion_anchor_ori_b(env, "motion")),
        (observations.robot_body_pos_b(pos, quat, state.robot_body_pos_w), theirs.robot_body_pos_b(env, "motion")),
        (observations.robot_body_ori_b(quat, state.robot_body_quat_w), theirs.robot_body_ori_b(env, "motion")),
    ):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_the_preset_is_mjlabs_task() -> None:
    cfg, robot = unitree_g1_flat_tracking_env_cfg(), load_robot()
    assert {name: (term.func.__name__, term.weight) for name, term in cfg.rewards.items()} == {
        name: (term.function.__name__, term.weight) for name, term in MJLAB.rewards.items()
    }
    for name, term in MJLAB.rewards.items():
        assert term.params.items() <= cfg.rewards[name].params.items()
    for name, term in MJLAB.terminations.items():
        assert cfg.terminations[name].func.__name__ == term.function.__name__
        assert cfg.terminations[name].params["threshold"] == term.threshold
    assert cfg.terminations["ee_body_pos"].params["body_names"] == (*robot.feet, *robot.hands)
    terms = cfg.observations["actor"].terms
    noise = {name: term.noise.n_max if isinstance(term.noise, UniformNoiseCfg) else 0.0 for name, term in terms.items()}
    assert list(noise.items()) == list(MJLAB.noise.items())
    without = unitree_g1_flat_tracking_env_cfg(has_state_estimation=False).observations["actor"].terms
    assert set(noise) - set(without) == set(MJLAB.without_state_estimation)
    motion = cfg.commands["motion"]
    assert isinstance(motion, MotionCommandCfg)
    assert (motion.body_names, motion.anchor_body_name) == (robot.tracked, robot.anchor)


def test_one_clip_is_sampled_as_mjlab_samples_it() -> None:
    frames, kernel = 503, 3
    config = SamplingConfig(kernel_size=kernel, alpha=0.3)
    sampler = StartSampler(library(frames), config)
    defaults, mine = MotionCommandCfg.__dataclass_fields__, SamplingConfig()
    for name, value in (
        ("kernel_size", mine.kernel_size),
        ("lambda", mine.kernel_decay),
        ("uniform_ratio", mine.uniform_ratio),
        ("alpha", mine.alpha),
    ):
        assert defaults[f"adaptive_{name}"].default == value
    fallen = torch.tensor([100, 101, 250, 502, 500])
    weights = torch.tensor([config.kernel_decay**bins for bins in range(kernel)])
    motion: Any = SimpleNamespace(
        _env=SimpleNamespace(termination_manager=SimpleNamespace(terminated=torch.ones(5, dtype=torch.bool))),
        time_steps=fallen.clone(),
        bin_count=int(frames // 50.0) + 1,
        motion=SimpleNamespace(time_step_total=frames),
        cfg=SimpleNamespace(adaptive_uniform_ratio=config.uniform_ratio, adaptive_kernel_size=kernel),
        kernel=weights / weights.sum(),
        metrics={name: torch.zeros(5) for name in ("sampling_entropy", "sampling_top1_prob", "sampling_top1_bin")},
        device="cpu",
    )
    assert sampler.bins.tolist() == [motion.bin_count]
    motion.bin_failed_count, motion._current_bin_failed = torch.zeros(2, motion.bin_count)
    MotionCommand._adaptive_sampling(motion, torch.arange(5))
    sampler.count_failures(torch.zeros_like(fallen), fallen)
    torch.testing.assert_close(sampler._failed_now, motion._current_bin_failed)
    sampler.step()
    motion.bin_failed_count = sampler.failed
    MotionCommand._adaptive_sampling(motion, torch.arange(5))
    for name, value in sampler.statistics().items():
        assert float(motion.metrics[name][0]) == pytest.approx(float(value), abs=1e-5)
