"""The triple view in Isaac Lab, read back from its stage and its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pxr", reason="needs Isaac Lab: make test-isaaclab")

import gymnasium
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.robot import forward_kinematics, load_robot
from g1_vq_retarget.tasks.isaaclab import PLAYBACK_TASK
from g1_vq_retarget.tasks.playback import Playback
from isaac_environments import run
from isaac_standin import simulation
from isaac_standin.assets import write_urdf
from synthetic import data_folder, save_started, write_motion_files

FRAMES = 12


@pytest.fixture(params=[False, True], ids=["isaac's robot", "urdf"])
def env(request: pytest.FixtureRequest, playbacks: list[Path], tmp_path: Path) -> Any:
    from g1_vq_retarget.tasks.isaaclab.playback import PlaybackEnvCfg

    cfg: Any = PlaybackEnvCfg()
    cfg.scene.num_envs, cfg.sim.device = 3, "cpu"
    cfg.show(*map(str, playbacks), urdf=str(write_urdf(tmp_path / "g1.urdf")) if request.param else None)
    env = gymnasium.make(PLAYBACK_TASK, cfg=cfg).unwrapped
    yield env
    env.close()


def test_several_environments_show_several_clips_without_physics(env: Any, playbacks: list[Path]) -> None:
    robot, clips = load_robot(), [Playback.load(path) for path in playbacks]
    env.reset()
    assert env.step_dt == pytest.approx(1 / 30)
    for step in range(FRAMES + 3):  # round the end
        frame = step % FRAMES
        for number, origin in enumerate(env.scene.env_origins):
            playback = clips[number % 2]
            for name, track in playback.robots.items():
                state = (track.joint_pos, track.root_pos_w, track.root_quat_w)
                poses = forward_kinematics(robot, *(torch.from_numpy(np.array(part[frame])) for part in state))
                shown = env.scene[name]
                bodies = [shown.body_names.index(link) for link in robot.link_names]
                got = shown.data.body_link_pos_w[number, bodies] - origin
                assert (got - poses.pos).norm(dim=-1).max() < 1e-3
                turns = shown.data.body_link_quat_w[number, 0], torch.tensor(track.root_quat_w[frame]).float()
                assert torch.dot(*turns).abs() > 1 - 1e-6  # w x y z on both sides
        env.step(torch.zeros(env.action_space.shape))
    assert simulation.SimulationContext.instance().steps == 0


def test_the_human_is_marked_by_joints_and_bones(env: Any, playbacks: list[Path]) -> None:
    clips = [Playback.load(path) for path in playbacks]
    env.reset()
    env.step(torch.zeros(env.action_space.shape))
    marks = env.scene.stage.GetPrimAtPath("/Visuals/human")
    positions, scales, kinds, turns = (
        np.array(marks.GetAttribute(name).Get()) for name in ("positions", "scales", "protoIndices", "orientations")
    )
    origins, parents = env.scene.env_origins.numpy(), clips[0].human_parents
    joints = np.stack([clips[n % 2].human_pos_w[1] + origins[n] for n in range(3)])
    np.testing.assert_allclose(positions[kinds == 0], joints.reshape(-1, 3), atol=1e-4)
    # a bone's cylinder goes from its parent to its joint: about its middle, half its length along its z each way
    starts, ends = (joints[:, each].reshape(-1, 3) for each in (parents[parents >= 0], parents >= 0))
    along = Rotation.from_quat(turns[kinds == 1].astype(float)).apply((0, 0, 1))  # USD has them x y z w in memory
    half = along * scales[kinds == 1][:, 2:] / 2
    np.testing.assert_allclose(positions[kinds == 1] + half, ends, atol=5e-3)  # turns are of half precision
    np.testing.assert_allclose(positions[kinds == 1] - half, starts, atol=5e-3)


def test_rates_that_contradict_one_another_are_refused(playbacks: list[Path], tmp_path: Path) -> None:
    from dataclasses import replace

    from g1_vq_retarget.tasks.isaaclab.playback import PlaybackEnvCfg

    replace(Playback.load(playbacks[0]), fps=50.0).save(tmp_path / "fast.npz")
    cfg = PlaybackEnvCfg()
    with pytest.raises(UserError, match=r"fast\.npz: has 50 frames a second, .* 30; show them one by one"):
        cfg.show(str(playbacks[0]), str(tmp_path / "fast.npz"))
    cfg.commands.motion.files, cfg.sim.device = [str(playbacks[0])], "cpu"
    with pytest.raises(UserError, match="has 30 frames a second, the environment takes 50 steps"):
        gymnasium.make(PLAYBACK_TASK, cfg=cfg)


def test_frames_are_counted_and_not_summed_up(env: Any) -> None:
    """After a day at 30 fps it is still frame for frame."""
    env.reset()
    command = env.command_manager.get_term("motion")
    command.frame[:] = 24 * 3600 * 30
    for frame in range(FRAMES):
        assert [shown for _, shown in command.shown] == [frame] * 3
        env.step(torch.zeros(env.action_space.shape))
    torch.testing.assert_close(command.command, torch.full((3, 1), 24 * 3600 + FRAMES / 30))


def test_the_script_shows_a_models_triple_view(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = data_folder(tmp_path / "data")
    model = save_started(tmp_path / "model.safetensors", folder)
    motion = write_motion_files(tmp_path / "motion", frames=32)
    flags = ("--sim", "isaaclab", "--checkpoint", model, "--data", motion / "g1", "--num-envs", 2, "--headless")
    done = run("play_triple_view", *flags, capture=capfd)
    assert done.code == 0, done.err
    assert "showed 102 frames of 2 clips" in done.out  # once round the longer, 62 frames at 30 fps
    lame = write_urdf(tmp_path / "lame.urdf", without="left_knee_joint")
    done = run("play_triple_view", *flags, "--urdf", lame, capture=capfd)
    assert done.code == 2
    assert "lacks left_knee_joint" in done.err
