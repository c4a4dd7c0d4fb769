"""The tracking task in mjlab itself, with `make test-mjlab`; skipped where mjlab is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("mujoco_warp", reason="needs all of mjlab: pip install -e '.[mjlab]'")
pytest.importorskip("rsl_rl", reason="needs all of mjlab: pip install -e '.[mjlab]'")

from mjlab.envs import ManagerBasedRlEnv
from mjlab.tasks.registry import list_tasks, load_env_cfg, load_rl_cfg, load_runner_cls
from mjlab.tasks.tracking.config.g1.env_cfgs import unitree_g1_flat_tracking_env_cfg
from mjlab.tasks.tracking.config.g1.rl_cfg import unitree_g1_tracking_ppo_runner_cfg
from torch import Tensor

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.tasks.mjlab.command import TrackingCommand
from g1_vq_retarget.tasks.mjlab.runs import TrackingRunner
from g1_vq_retarget.tasks.mjlab.tracking import tracking_env_cfg
from g1_vq_retarget.tasks.tracking_config import NO_STATE_ESTIMATION_TASK, TRACKING_TASK
from synthetic import data_folder, robot_clip, save_started

LENGTHS = (40, 25, 60)
ENVS = 4
FUTURE = (0, 2, 5)
EVERYONE = torch.arange(ENVS)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number, frames in enumerate(LENGTHS):
        save_motion(robot_clip(frames, number, 50.0), folder / f"clip_{number}.npz")
    return folder


@pytest.fixture(scope="module")
def env(clips: Path) -> Iterator[ManagerBasedRlEnv]:
    env = ManagerBasedRlEnv(tracking_env_cfg([clips], num_envs=ENVS, future_frames=FUTURE), device="cpu")
    yield env
    env.close()


@pytest.fixture
def command(env: ManagerBasedRlEnv) -> TrackingCommand:
    """After a reset; its robots are somewhere in the clips."""
    torch.manual_seed(0)
    env.reset()
    term = env.command_manager.get_term("motion")
    assert isinstance(term, TrackingCommand)
    return term


def step(env: ManagerBasedRlEnv) -> None:
    env.step(torch.zeros(env.action_space.shape))


def test_the_tasks_are_mjlabs_but_for_what_is_tracked() -> None:
    for task, state_estimation in ((TRACKING_TASK, True), (NO_STATE_ESTIMATION_TASK, False)):
        assert task in list_tasks()
        for play in (False, True):
            ours, theirs = load_env_cfg(task, play), unitree_g1_flat_tracking_env_cfg(state_estimation, play)
            for part in ("rewards", "terminations", "events", "actions"):
                assert vars(ours)[part].keys() == vars(theirs)[part].keys()
            assert ours.rewards == theirs.rewards
            assert ours.terminations == theirs.terminations
            for group, want in theirs.observations.items():
                got = ours.observations[group]
                assert list(got.terms) == list(want.terms)
                assert [term.noise for term in got.terms.values()] == [term.noise for term in want.terms.values()]
                assert got.enable_corruption == want.enable_corruption
            motion, file = vars(ours.commands["motion"]), vars(theirs.commands["motion"])
            differ = {name for name in file if motion[name] != file[name]}
            assert differ == ({"joint_position_range"} if play else set())
        agent, mjlabs = vars(load_rl_cfg(task)), vars(unitree_g1_tracking_ppo_runner_cfg())
        # nothing leaves the machine
        assert {name for name in mjlabs if agent[name] != mjlabs[name]} == {"experiment_name", "logger", "upload_model"}
        assert (agent["logger"], agent["upload_model"]) == ("tensorboard", False)
        assert load_runner_cls(task) is TrackingRunner


def test_frames_that_are_past_cannot_be_looked_ahead_to() -> None:
    for frames in ((), (0, -1)):
        with pytest.raises(UserError, match="--future-frames"):
            tracking_env_cfg(future_frames=frames)


@pytest.mark.slow
def test_robots_put_on_frames_are_where_the_clip_has_them(env: ManagerBasedRlEnv, command: TrackingCommand) -> None:
    """Kinematic playback of every frame of every clip; the root moves as there, at its origin."""
    library, origins = command.library, env.scene.env_origins[:, None]
    assert library.length.tolist() == list(LENGTHS)
    states = [(clip, frame) for clip, frames in enumerate(LENGTHS) for frame in range(frames)]
    states += states[: -len(states) % ENVS]
    for clip, frame in torch.tensor(states).T.reshape(2, -1, ENVS).unbind(1):
        command.start_at(EVERYONE, clip, frame)
        want = library.at(clip, frame)
        near(command.robot_body_pos_w, want.body_pos_w + origins, 1e-4)
        near((command.robot_body_quat_w * want.body_quat_w).sum(-1).abs(), torch.ones(ENVS, 14), 1e-5)
        near(command.robot_joint_pos, want.joint_pos, 1e-5)
        near(command.robot_joint_vel, want.joint_vel, 1e-5)
        near(command.robot_body_lin_vel_w[:, 0], want.body_lin_vel_w[:, 0], 1e-3)
        near(command.robot_body_ang_vel_w[:, 0], want.body_ang_vel_w[:, 0], 1e-3)


@pytest.mark.slow
def test_the_command_is_the_next_frame_and_those_ahead(env: ManagerBasedRlEnv, command: TrackingCommand) -> None:
    clip, frame = torch.tensor([0, 1, 2, 1]), torch.tensor([3, 20, 10, 0])
    command.start_at(EVERYONE, clip, frame)
    joints, library = len(command.library.joint_names), command.library
    for after in (1, 2):
        assert command.cursor.frame.tolist() == (frame + after).tolist()
        ahead = library.at(clip[:, None], (frame + after)[:, None] + torch.tensor(FUTURE))
        near(command.joint_pos, ahead.joint_pos[:, 0], 0)
        seen = torch.cat([ahead.joint_pos, ahead.joint_vel], dim=-1).flatten(1)
        near(command.command, seen, 0)
        # the second has 25 frames, and 5 after its 21st is its last
        assert command.frames_left.tolist() == (library.length[clip] - 1 - frame - after).tolist()
        observed = env.observation_manager.compute_group("critic")
        assert isinstance(observed, Tensor)
        near(observed[:, : 2 * joints * len(FUTURE)], seen, 1e-6)
        anchor = observed[:, seen.shape[1] : seen.shape[1] + 3 * len(FUTURE)].unflatten(1, (-1, 3))
        place = ahead.body_pos_w[:, :, library.body_names.index("torso_link")] + env.scene.env_origins[:, None]
        near(anchor.norm(dim=-1), (place - command.robot_anchor_pos_w[:, None]).norm(dim=-1), 1e-5)
        if after == 1:
            env.termination_manager.compute = lambda: torch.zeros(ENVS, dtype=torch.bool)  # type: ignore[method-assign]
            step(env)
    del env.termination_manager.compute


@pytest.mark.slow
def test_at_a_clips_end_the_episode_goes_on_elsewhere(env: ManagerBasedRlEnv, command: TrackingCommand) -> None:
    """The robot is put near the motion there; the others go on where they are."""
    clip, frame = torch.tensor([0, 1, 2, 1]), torch.tensor([3, LENGTHS[1] - 2, 10, 0])
    command.start_at(EVERYONE, clip, frame)
    assert command.frames_left[1] == 0
    age = env.episode_length_buf.clone()
    env.termination_manager.compute = lambda: torch.zeros(ENVS, dtype=torch.bool)  # type: ignore[method-assign]
    step(env)
    del env.termination_manager.compute
    assert env.episode_length_buf.tolist() == (age + 1).tolist()
    others = [0, 2, 3]
    assert command.cursor.frame[others].tolist() == (frame[others] + 2).tolist()
    assert command.frames_left[1] > 0
    # moved by no more than mjlab's random offsets from a frame; the next is to be reached, as after every other start
    begun = command.library.at(command.cursor.clip[1], command.cursor.frame[1] - 1)
    near(command.robot_joint_vel[1], begun.joint_vel, 1e-5)
    offset = command.robot_body_pos_w[1, 0] - env.scene.env_origins[1] - begun.body_pos_w[0]
    assert (offset.abs() <= torch.tensor([0.05, 0.05, 0.01]) + 1e-5).all()
    near(command.body_pos_relative_w[:, 7, :2], command.robot_anchor_pos_w[:, :2], 1e-5)  # of where it is now


@pytest.mark.slow
def test_failures_are_counted_where_they_happen(env: ManagerBasedRlEnv, command: TrackingCommand) -> None:
    """A robot is lifted by a metre, and its clip's bin is likelier from then on."""
    command.start_at(EVERYONE, torch.tensor([0, 1, 2, 2]), torch.tensor([3, 4, 55, 55]))
    sampler = command.cursor.sampler
    sampler.failed.zero_()
    fails = torch.tensor([False, False, True, False])
    before = sampler.probabilities()
    root = torch.cat([command.robot.data.root_link_pose_w, command.robot.data.root_link_vel_w], dim=-1)
    root[2, 2] += 1.0
    command.robot.write_root_state_to_sim(root)
    step(env)
    terminated = env.termination_manager.terminated
    assert terminated.tolist() == fails.tolist()
    hit = int(sampler.bin_of(torch.tensor(2), torch.tensor(56)))
    assert sampler.failed[hit] == pytest.approx(sampler.config.alpha)
    assert sampler.probabilities()[hit] > before[hit]


@pytest.mark.slow
def test_viewers_scrub_through_all_clips(env: ManagerBasedRlEnv, command: TrackingCommand) -> None:
    """Their slider counts through the library: frame 40 is the second clip's first, 64 its last."""
    for frame, clip, within in ((0, 0, 0), (39, 0, 39), (40, 1, 0), (64, 1, 24), (65, 2, 0), (124, 2, 59)):
        command.reset_to_frame(EVERYONE[:1], frame)
        assert (int(command.cursor.clip[0]), int(command.cursor.frame[0])) == (clip, within + 1)
        near(command.robot_body_pos_w[0] - env.scene.env_origins[0], command.library.frames.body_pos_w[frame], 1e-4)


@pytest.mark.slow
def test_steps_are_finite_and_logged(env: ManagerBasedRlEnv, command: TrackingCommand) -> None:
    seen, reward, _, _, extras = env.step(0.1 * torch.randn(env.action_space.shape))
    for values in (*seen.values(), reward):
        assert isinstance(values, Tensor)
        assert values.isfinite().all()
    env.reset()
    log = {name: float(value) for name, value in extras["log"].items()} | env.extras["log"]
    assert 0 < log["Metrics/motion/sampling_entropy"] <= 1
    assert log["Metrics/motion/error_body_pos"] >= 0


@pytest.mark.slow
def test_a_policy_sees_tokens_in_place_of_joints(tmp_path: Path) -> None:
    """Without its place, and with the critic as ever."""
    run = save_started(tmp_path / "run" / "best.safetensors", data_folder(tmp_path / "data")).parent
    save_motion(robot_clip(60, 0, 30.0), tmp_path / "walk.npz")
    cfg = tracking_env_cfg(
        [run], [tmp_path / "walk.npz"], num_envs=2, observe="tokens", state_estimation=False, future_frames=(0, 10)
    )
    env = ManagerBasedRlEnv(cfg, device="cpu")
    env.reset()
    command = env.command_manager.get_term("motion")
    assert isinstance(command, TrackingCommand)
    command.start_at(torch.arange(2), torch.tensor([0, 0]), torch.tensor([3, 40]))
    latents = command.library.embedding
    assert latents is not None
    names, sizes = env.observation_manager.active_terms["actor"], env.observation_manager.group_obs_term_dim["actor"]
    assert names[0] == "token_embedding"
    assert sizes[0] == (2 * latents.shape[1],)
    assert "command" in env.observation_manager.active_terms["critic"]
    seen = env.observation_manager.compute_group("actor")
    assert isinstance(seen, Tensor)
    near(seen[:, : sizes[0][0]], latents[torch.tensor([[4, 14], [41, 51]])].flatten(1), 0)
    env.close()


def near(got: Tensor, want: Tensor, within: float) -> None:
    torch.testing.assert_close(got, want, atol=within, rtol=0)
