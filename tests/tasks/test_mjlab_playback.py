"""In mjlab itself, with `pip install -e '.[mjlab]'`; skipped where it is not, as beside Isaac Lab's pins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("mujoco_warp", reason="needs all of mjlab: pip install -e '.[mjlab]'")
pytest.importorskip("rsl_rl", reason="needs all of mjlab: pip install -e '.[mjlab]'")

from mjlab.envs import ManagerBasedRlEnv
from mjlab.tasks.registry import list_tasks, load_env_cfg

from g1_vq_retarget.motion.skeleton import HUMAN_PARENTS
from g1_vq_retarget.robot import forward_kinematics, load_robot
from g1_vq_retarget.tasks.mjlab.playback import PLAYBACK_TASK, PlaybackCommand
from g1_vq_retarget.tasks.playback import Playback, RobotTrack
from synthetic import human_clip, robot_clip

FRAMES = 12


@pytest.fixture(scope="module")
def playback() -> Playback:
    robot = load_robot()
    tracks = []
    for seed, lane in ((0, 0.0), (1, 1.2)):
        clip = robot_clip(FRAMES, seed, fps=50.0).with_joint_order(robot.joint_names)
        tracks.append(RobotTrack(clip.root_pos_w + (0.0, lane, 0.0), clip.root_quat_w, clip.joint_pos))
    human = human_clip(FRAMES, 0, fps=50.0).joint_pos_w
    return Playback("made up", 50.0, "", robot.joint_names, tracks[0], tracks[1], human, np.array(HUMAN_PARENTS))


@pytest.fixture(scope="module")
def env(playback: Playback, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerBasedRlEnv]:
    path: Path = tmp_path_factory.mktemp("mjlab") / "playback.npz"
    playback.save(path)
    assert PLAYBACK_TASK in list_tasks()
    cfg = load_env_cfg(PLAYBACK_TASK, play=True)
    cfg.commands["motion"].motion_file = str(path)  # type: ignore[attr-defined]
    cfg.scene.num_envs = 2
    env = ManagerBasedRlEnv(cfg, device="cpu")
    yield env
    env.close()


@pytest.mark.slow
def test_bodies_are_where_forward_kinematics_puts_them(env: ManagerBasedRlEnv, playback: Playback) -> None:
    robot = load_robot()
    env.reset()
    for step in range(2 * FRAMES):  # round the end
        for name, track in playback.robots.items():
            frame = step % FRAMES
            state = (track.joint_pos, track.root_pos_w, track.root_quat_w)
            poses = forward_kinematics(robot, *(torch.from_numpy(values[frame]) for values in state))
            entity = env.scene[name]
            bodies = [entity.body_names.index(link) for link in robot.link_names]
            for number, origin in enumerate(env.scene.env_origins):
                got = entity.data.body_link_pos_w[number, bodies] - origin
                np.testing.assert_allclose(got, poses.pos, atol=1e-5)
        env.step(torch.zeros(env.action_space.shape))


@pytest.mark.slow
def test_the_human_is_marked_by_joints_and_bones(env: ManagerBasedRlEnv, playback: Playback) -> None:
    class Markers:
        def __init__(self) -> None:
            self.spheres: list[np.ndarray] = []
            self.bones = 0

        def get_env_indices(self, count: int) -> list[int]:
            return [1]

        def add_sphere(self, center: np.ndarray, *_: object) -> None:
            self.spheres.append(center)

        def add_cylinder(self, *_: object) -> None:
            self.bones += 1

    env.reset()
    env.step(torch.zeros(env.action_space.shape))
    term, markers = env.command_manager.get_term("motion"), Markers()
    assert isinstance(term, PlaybackCommand)
    term.debug_vis(markers)  # type: ignore[arg-type]
    want = playback.human_pos_w[1] + env.scene.env_origins[1].numpy()
    np.testing.assert_allclose(markers.spheres, want, atol=1e-6)
    assert markers.bones == len(HUMAN_PARENTS) - 1
