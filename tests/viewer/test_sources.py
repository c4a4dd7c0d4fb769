from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.viewer.sources import FileOptions, find_clips, load_clip, load_models, load_scene
from synthetic import human_clip, robot_clip, write_bvh


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`human/` and `g1/` with a clip in common, one of a robot alone, and a file that is no motion."""
    folder = tmp_path_factory.mktemp("motion")
    save_motion(human_clip(60, 0, name="dance"), folder / "human" / "dance.npz")
    save_motion(robot_clip(60, 0, name="dance"), folder / "g1" / "dance.npz")
    save_motion(robot_clip(50, 1, name="run"), folder / "g1" / "run.npz")
    (folder / "notes.txt").write_text("no motion")
    return folder


def test_files_of_a_name_are_a_clip(motion: Path, weights: Path) -> None:
    clips = find_clips(motion)
    assert list(clips) == ["dance", "run"]
    models = load_models([weights.parent])
    dance = load_clip(models, clips["dance"], FileOptions())
    assert [figure.name for figure in dance.figures] == ["human", "truth", "model_1"]
    run = load_clip(models, clips["run"], FileOptions())
    assert [figure.name for figure in run.figures] == ["truth", "model_1"]


def test_two_humans_of_a_name_are_refused(motion: Path, weights: Path, tmp_path: Path) -> None:
    shutil.copytree(motion, tmp_path, dirs_exist_ok=True)
    write_bvh(human_clip(60, 2), tmp_path / "dance.bvh")
    with pytest.raises(UserError, match=r"dance\.bvh"):
        load_clip(load_models([weights]), find_clips(tmp_path)["dance"], FileOptions())


def test_models_are_called_by_their_run(weights: Path, tmp_path: Path) -> None:
    for run in ("a/first", "b/first", "second"):
        shutil.copytree(weights.parent, tmp_path / run)
    paths = [tmp_path / "a/first", tmp_path / "b/first", tmp_path / "second"]
    assert list(load_models(paths)) == [str(paths[0]), str(paths[1]), "second"]
    assert list(load_models([tmp_path / "second/best.safetensors"])) == ["second"]
    with pytest.raises(UserError, match="given twice"):
        load_models([paths[0], tmp_path / "b/../a/first"])


def test_start_and_end_cut_both_sides_by_time(motion: Path, weights: Path) -> None:
    models = load_models([weights])
    whole = load_scene(models, motion / "g1/dance.npz", None, FileOptions())
    part = load_scene(models, motion / "g1/dance.npz", None, FileOptions(start=0.5, end=1.5))
    assert part.duration == pytest.approx(1.0, abs=0.03)
    truth, cut = (scene.figures[0].clip for scene in (whole, part))
    np.testing.assert_allclose(cut.root_pos_w[0, 2], truth.root_pos_w[25, 2], atol=1e-3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (FileOptions(start=99.0), "lasts 1.97 s"),
        (FileOptions(start=-1.0), "--start -1"),
        (FileOptions(start=1.0, end=0.5), "--end 0.5"),
        (FileOptions(start=float("nan")), "finite"),
    ],
)
def test_nothing_between_start_and_end_is_told(motion: Path, weights: Path, options: FileOptions, told: str) -> None:
    with pytest.raises(UserError, match=told):
        load_scene(load_models([weights]), motion / "g1/dance.npz", None, options)


def test_a_reference_is_a_robots(motion: Path, weights: Path) -> None:
    with pytest.raises(UserError, match="holds human motion"):
        load_scene(load_models([weights]), motion / "human/dance.npz", motion / "human/dance.npz", FileOptions())


def test_folders_without_clips_are_told(motion: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        find_clips(tmp_path / "absent")
    with pytest.raises(UserError, match="no motion files"):
        find_clips(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match="training windows"):
        find_clips(tmp_path)


def test_the_rate_told_is_that_of_a_folder_without_one(weights: Path, tmp_path: Path) -> None:
    save_motion(robot_clip(60, 0, fps=25.0), tmp_path / "sonic", "sonic")
    scene = load_scene(load_models([weights]), tmp_path / "sonic", None, FileOptions(input_fps=25.0))
    assert scene.duration == pytest.approx(59 / 25, abs=0.05)
