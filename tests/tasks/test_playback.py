from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import RobotClip
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.tasks.playback import ROBOTS, Playback, playback_of
from g1_vq_retarget.viewer.scene import Scene, build_scene
from synthetic import data_folder, human_clip, robot_clip, save_started


@pytest.fixture(scope="module")
def retargeter(tmp_path_factory: pytest.TempPathFactory) -> Retargeter:
    folder = tmp_path_factory.mktemp("playback")
    return Retargeter(save_started(folder / "tiny" / "best.safetensors", data_folder(folder / "data")))


@pytest.fixture(scope="module")
def scene(retargeter: Retargeter) -> Scene:
    """Of two models; the truth is shorter."""
    return build_scene({"one": retargeter, "two": retargeter}, human_clip(60, 0), robot_clip(40, 0))


def test_everything_stands_where_the_scene_has_it(scene: Scene) -> None:
    """Side by side as the triple view of the first model alone, and an ended figure holds its last frame."""
    playback = playback_of(scene)
    assert len(playback) == scene.frames
    assert (playback.fps, playback.joint_names) == (scene.fps, scene.robot.joint_names)
    alone = Scene(scene.name, scene.robot, scene.fps, scene.figures[:3])
    human, truth, model = alone.figures
    for frame in (0, 33, scene.frames - 1):
        shift = alone.offsets(frame)
        np.testing.assert_allclose(playback.human_pos_w[frame], human.at(frame).pos + shift["human"])
        for figure, track in ((truth, playback.truth), (model, playback.model)):
            assert isinstance(figure.clip, RobotClip)
            own = min(frame, len(figure) - 1)
            np.testing.assert_allclose(track.root_pos_w[frame], figure.clip.root_pos_w[own] + shift[figure.name])
            np.testing.assert_allclose(track.root_quat_w[frame], figure.clip.root_quat_w[own])
            np.testing.assert_allclose(track.joint_pos[frame], figure.clip.joint_pos[own])
    assert len(truth) < scene.frames
    place = [np.median(track.root_pos_w[:, 1]) for track in playback.robots.values()]
    assert place[1] - place[0] > 0.5


def test_a_file_gives_the_same_again(scene: Scene, tmp_path: Path) -> None:
    playback = playback_of(scene)
    playback.save(tmp_path / "p.npz")
    back = Playback.load(tmp_path / "p.npz")
    assert (back.name, back.fps, back.licence) == (playback.name, playback.fps, "CC0 human; CC0 robot")
    assert back.joint_names == playback.joint_names
    np.testing.assert_array_equal(back.human_parents, playback.human_parents)
    for robot in ROBOTS:
        for field, values in vars(playback.robots[robot]).items():
            np.testing.assert_array_equal(getattr(back.robots[robot], field), values)


def test_time_becomes_frames_and_begins_again(scene: Scene) -> None:
    playback = playback_of(scene)
    step = np.float32(0)
    for frame in range(2 * len(playback)):  # 0.02 s a step, summed up in float32, as simulators do
        assert playback.frame_at(float(step)) == frame % len(playback)
        step += np.float32(0.02)


def test_a_robots_motion_has_no_human_and_is_the_truth(retargeter: Retargeter) -> None:
    playback = playback_of(build_scene({"one": retargeter}, robot_clip(30, 2)))
    assert playback.human_pos_w.shape == (len(playback), 0, 3)
    assert playback.human_parents.shape == (0,)


def test_what_is_no_playback_is_told(retargeter: Retargeter, scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--reference"):
        playback_of(build_scene({"one": retargeter}, human_clip(20, 0)))
    with pytest.raises(UserError, match=r"name it \.npz"):
        playback_of(scene).save(tmp_path / "p.npy")
    np.savez(tmp_path / "other.npz", fps=np.array(50.0))
    with pytest.raises(UserError, match=r"other\.npz: no playback .*export_playback\.py"):
        Playback.load(tmp_path / "other.npz")
    with pytest.raises(UserError, match="no such file"):
        Playback.load(tmp_path / "absent.npz")


def test_mjlab_finds_the_task_by_the_metadata() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["mjlab.tasks"] == {"g1_vq_retarget": "g1_vq_retarget.tasks.mjlab"}
