"""Training on motion files alone, of a robot that nothing is known of but its motion."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.configuration import read_preset
from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.motion_files import MotionWindowConfig
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import MotionError, RobotClip
from g1_vq_retarget.motion.formats import load_motion, save_motion, write_motionvqvae_npy
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.training import loop, run_folder
from g1_vq_retarget.training.config import TrainConfig
from g1_vq_retarget.training.loop import train
from running import run_script
from synthetic import human_clip, other_robot_clip, robot_clip, tiny_training

CLIP = other_robot_clip(400, 0)
# a run is not reproached with a robot that is not known, except where that is the question
pytestmark = pytest.mark.filterwarnings("ignore:the joints are of no robot")


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("motion") / "motion.npy"
    write_motionvqvae_npy([CLIP, other_robot_clip(150, 1)], path)
    return path


@pytest.fixture
def config(motion: Path, tmp_path: Path) -> TrainConfig:
    return tiny_training(tmp_path / "no data", tmp_path / "run", motion=[motion], licence="CC0", epochs=1)


@pytest.fixture(scope="module")
def run(motion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(tiny_training(folder / "no data", folder, motion=[motion], licence="CC0", epochs=1))
    return folder


def test_a_robot_of_24_unnamed_joints_is_trained_on(config: TrainConfig) -> None:
    with pytest.warns(UserWarning, match="no mirrored windows, no distances of links, no limits"):
        last = train(config)
    folder = DataFolder(config.run / "data")
    assert (folder.window, folder.manifest["stride"], folder.fps, folder.joints) == (32, 16, 30.0, 24)
    assert last["step"] == max(1, round(len(folder.split("train")) / config.batch_size))
    assert last["val"].keys() >= {"recon", "joint_error_deg", "root_mse", "jerk_ratio"}
    assert not [name for name in last["val"] if name.startswith(("body", "feet", "cross"))]
    card = json.loads((config.run / "last.json").read_text())
    assert (card["features"]["robot"], card["licences"], card["human_windows"]) == ("", ["CC0"], 0)
    assert read_preset(TrainConfig, config.run / "config.yaml") == config


def test_the_joints_of_the_g1_bring_its_links_and_its_mirror(config: TrainConfig, tmp_path: Path) -> None:
    save_motion(robot_clip(400), tmp_path / "g1.csv", "csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        last = train(replace(config, motion=[tmp_path / "g1.csv"]))
    assert {"body_error_mm", "feet_error_mm"} <= last["val"].keys()


def test_motion_of_that_robot_goes_through_the_model(run: Path, tmp_path: Path) -> None:
    retargeter = Retargeter(run)
    assert retargeter.robot is None
    motion, tokens, held = retargeter.retarget(CLIP)
    assert (len(motion), motion.joint_names, held) == (len(CLIP), CLIP.joint_names, (0.0, 0.0))
    assert tokens.licence == "CC0; CC0 robot"
    np.testing.assert_allclose(motion.root_pos_w[0, :2], CLIP.root_pos_w[0, :2])
    # it is this motion, roughly: after a few steps of training, better than standing in the mean pose
    error = np.abs(motion.joint_pos - CLIP.joint_pos).mean()
    assert error < 0.8 * np.abs(CLIP.joint_pos - CLIP.joint_pos.mean(axis=0)).mean()
    for format in ("npz", "motionvqvae"):
        save_motion(motion, tmp_path / format, format, robot=retargeter.robot)
        back = load_motion(tmp_path / format)
        assert isinstance(back, RobotClip)
        np.testing.assert_allclose(back.joint_pos, motion.joint_pos)
    with pytest.raises(MotionError, match="does not have the joints of") as caught:
        save_motion(motion, tmp_path / "csv", "csv", robot=retargeter.robot)
    assert "\n" not in str(caught.value)


def test_tokens_of_ones_own_become_motion(run: Path) -> None:
    retargeter = Retargeter(run)
    numbers = np.zeros((5, len(retargeter.model.quantizer.codebook_sizes)), int)
    motion, held = retargeter.decode(retargeter.tokens_from(numbers, "mine"))
    assert (motion.joint_pos.shape, held.share) == ((5 * retargeter.model.downsample, 24), 0.0)
    assert np.isfinite(motion.root_pos_w).all()


def test_humans_and_other_robots_are_refused(run: Path) -> None:
    retargeter = Retargeter(run)
    with pytest.raises(UserError, match="was trained without human motion"):
        retargeter.encode(human_clip(40))
    with pytest.raises(UserError, match="joint_00"):
        retargeter.encode(robot_clip(40))


def test_a_model_without_a_root_stands_where_it_began(config: TrainConfig) -> None:
    train(replace(config, model=replace(config.model, root=False)))
    motion = Retargeter(config.run).retarget(CLIP).motion
    np.testing.assert_allclose(motion.root_pos_w, np.tile((*CLIP.root_pos_w[0, :2], 0.8), (len(motion), 1)))


def test_the_exponential_map_is_two_columns_all_the_way(config: TrainConfig) -> None:
    train(replace(config, windows=MotionWindowConfig(orientation="expmap")))
    retargeter = Retargeter(config.run)
    assert len(retargeter.spec.robot_mean) == 24 + 6
    motion = retargeter.retarget(CLIP).motion
    lean = (motion.root_rotation.inv().apply((0, 0, 1)) * CLIP.root_rotation.inv().apply((0, 0, 1))).sum(axis=1)
    assert np.rad2deg(np.arccos(lean.clip(-1, 1))).mean() < 15


def test_a_run_can_be_resumed_and_uses_the_windows_it_has(config: TrainConfig, tmp_path: Path) -> None:
    config = replace(config, epochs=2)
    whole = train(replace(config, run=tmp_path / "whole"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "save_state", stopping(loop.save_state))
        with pytest.raises(KeyboardInterrupt):
            train(config)
    made = (config.run / "data" / "manifest.json").stat().st_mtime_ns
    assert train(replace(config, resume=True)) | {"seconds": 0} == whole | {"seconds": 0}
    assert (config.run / "data" / "manifest.json").stat().st_mtime_ns == made


def stopping(function):
    """The function, and Ctrl-C after it."""

    def stopped(*args: object) -> None:
        function(*args)
        raise KeyboardInterrupt

    return stopped


def test_an_occupied_run_keeps_its_windows(config: TrainConfig, tmp_path: Path) -> None:
    train(config)
    before = (config.run / "data" / "g1_train.npy").read_bytes()
    other = tmp_path / "other.npy"
    write_motionvqvae_npy([other_robot_clip(200, 5)], other)
    config = replace(config, motion=[other])
    with pytest.raises(UserError, match="already holds a run"):
        train(config)
    assert (config.run / "data" / "g1_train.npy").read_bytes() == before
    train(replace(config, overwrite=True))
    assert (config.run / "data" / "g1_train.npy").read_bytes() != before


@pytest.mark.parametrize(
    ("windows", "told"),
    [
        (MotionWindowConfig(window=30), r"--windows\.window: windows of 30 frames do not divide by .*downsample 4"),
        (MotionWindowConfig(window=1000), "no clip is as long as a window of 1000 frames"),
        (MotionWindowConfig(sim_to_real=[24]), "--sim-to-real names column 24"),
    ],
)
def test_windows_that_cannot_be_are_refused_before_anything_is_written(
    windows: MotionWindowConfig, told: str, config: TrainConfig
) -> None:
    with pytest.raises(UserError, match=told):
        train(replace(config, windows=windows))
    assert not (config.run / "data").exists()
    assert not (config.run / "config.yaml").exists()


def test_other_processes_make_the_same_windows_elsewhere(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_folder.make_windows(config)
    monkeypatch.setenv("RANK", "1")
    other = run_folder.make_windows(config)
    assert first == config.run / "data"
    assert not other.is_relative_to(config.run)
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    assert all((first / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_the_scripts_train_evaluate_retarget_and_decode(
    motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, one = tmp_path / "run", tmp_path / "one.npy"
    write_motionvqvae_npy([CLIP], one)
    small = (
        "--model.network.latent-dim", 8, "--model.network.width", 16, "--model.network.depth", 1,
        "--model.quantizer.codebook-size", 8, "--batch-size", 16, "--epochs", 1,
    )  # fmt: skip
    preset = Path(__file__).parents[2] / "config" / "vq" / "motionvqvae.yaml"
    trained = run_script("train_vq", ("--config", preset, "--motion", motion, one, "--run", run, *small), capsys)
    assert trained.code == 0
    command = trained.out.strip().splitlines()[-1]
    assert command == f"next: python scripts/evaluate.py --checkpoint {run} --data {run / 'data'} --split val"
    flags = command.partition("evaluate.py ")[2].split()
    assert run_script("evaluate", (*flags, "--json", tmp_path / "val.json"), capsys).code == 0
    assert (tmp_path / "val.png").stat().st_size > 0
    outputs = {"npz": tmp_path / "out.npz", "motionvqvae": tmp_path / "out.npy"}
    for format, out in outputs.items():
        args = ("--checkpoint", run, "--from", "robot", "--input", one, "--output", out, "--format", format)
        assert run_script("retarget", (*args, "--tokens", tmp_path / "tokens.npz"), capsys).code == 0
    args = ("--checkpoint", run, "--tokens", tmp_path / "tokens.npz", "--output", tmp_path / "again.npz")
    assert run_script("decode_tokens", args, capsys).code == 0
    clips = [load_motion(path) for path in (*outputs.values(), tmp_path / "again.npz")]
    for clip in clips:
        assert isinstance(clip, RobotClip)
        assert len(clip) == len(CLIP)
        np.testing.assert_array_equal(clip.root_pos_w, clips[0].root_pos_w)
    refused = run_script("retarget", (*args[:2], "--input", one, "--output", tmp_path / "no.npz"), capsys)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "use --from robot" in refused.err


def test_links_of_the_g1_are_found_by_the_names_of_its_joints(config: TrainConfig, tmp_path: Path) -> None:
    robot = load_robot()
    write_motionvqvae_npy([robot_clip(100)], tmp_path / "g1.npy")
    windows = MotionWindowConfig(sim_to_real=list(range(29)), joints=list(robot.joint_names))
    train(replace(config, motion=[tmp_path / "g1.npy"], windows=windows))
    retargeter = Retargeter(config.run)
    assert retargeter.robot == robot
    save_motion(retargeter.retarget(robot_clip(60)).motion, tmp_path / "out.csv", "csv")
