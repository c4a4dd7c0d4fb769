"""The scripts one after the other, on made-up motion files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.motion import HumanClip, RobotClip, path_length
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.retarget import MotionTokens, Retargeter
from g1_vq_retarget.robot import load_robot
from running import SCRIPTS, Script, World

FORMATS = ["npz", "csv", "tracking-isaac", "tracking-mjlab"]


def human(path: Path) -> HumanClip:
    clip = load_motion(path)
    assert isinstance(clip, HumanClip)
    return clip


def robot(path: Path, **options: object) -> RobotClip:
    clip = load_motion(path, **options)  # type: ignore[arg-type]
    assert isinstance(clip, RobotClip)
    return clip


# Windows and training


def test_windows_are_made_of_files_of_both_sides(world: World) -> None:
    folder = DataFolder(world.data)
    assert folder.splits == ["train", "val", "test"]
    assert folder.manifest["licences"] == ["CC BY-NC-ND 4.0 (LAFAN1, Ubisoft La Forge)"]
    assert {clip["name"] for clip in folder.manifest["clips"] if "human" in clip} == {"dance", "jump"}
    assert folder.manifest["clips"][0]["human"]["file"] == "dance.bvh"
    assert len(folder.split("train").human) > 0


def test_the_seed_protocol_needs_no_split(world: World, script: Script, tmp_path: Path) -> None:
    out = tmp_path / "new" / "seed"
    outcome = script(
        "data/process_data", "--robot-dir", world.motion / "g1", "--protocol", "seed", "--out", out, "--window", "20"
    )
    assert outcome.code == 0, outcome.err
    folder = DataFolder(out)
    assert folder.splits == ["train"]
    assert (folder.window, folder.manifest["interpolation"]) == (20, "linear")
    assert f"train: {len(folder.split('train'))} windows, 0 with a human side" in outcome.out


def test_training_takes_a_preset_and_flags(world: World, script: Script, tmp_path: Path) -> None:
    outcome = script(
        "train_vq", "--data", world.data, "--config", world.config, "--run", tmp_path / "run", "--seed", "3",
        "--model.quantizer.codebook-size", "4", "--model.no-root",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert f"--checkpoint {tmp_path / 'run'}" in outcome.out
    card = json.loads((tmp_path / "run" / "best.json").read_text())
    assert card["codebook_sizes"] == [20, 3, 4, 4]
    assert card["label"] == "tiny"
    assert card["seed"] == 3


# Evaluation


def test_figures_go_to_the_screen_and_to_a_file_with_a_picture(world: World, script: Script, tmp_path: Path) -> None:
    report = tmp_path / "new" / "figures.json"
    outcome = script("evaluate", "--checkpoint", world.run, "--data", world.data, "--split", "test", "--json", report)
    assert outcome.code == 0, outcome.err
    figures = json.loads(report.read_text())
    metrics = figures["metrics"]
    for name in ("recon", "cross", "vel", "jerk_ratio", "perplexity", "dead_code_ratio", "bits_per_second",
                 "joint_error_deg", "body_error_mm", "feet_error_mm", "cross_body_error_mm", "align_mse"):  # fmt: skip
        assert name in metrics
        assert f"  {name} " in outcome.out
    assert set(figures["physical"]) == {"truth", "robot", "its_truth", "human"}
    for name, value in figures["physical"]["robot"].items():
        (line,) = [line for line in outcome.out.splitlines() if line.split()[:1] == [f"physical.{name}"]]
        assert line.split()[2] == ("-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value))
    assert (figures["split"], figures["protocol"]) == ("test", "heldout")
    assert figures["weights_sha256"] == json.loads((world.run / "best.json").read_text())["weights_sha256"]
    errors = [window["recon"] for window in figures["worst_windows"]]
    assert len(errors) == 10
    assert errors == sorted(errors, reverse=True)
    assert {window["clip"] for window in figures["worst_windows"]} <= {"jump", "sit"}
    assert report.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in report.parent.iterdir()) == ["figures.json", "figures.png"]


def test_figures_on_val_are_those_of_the_training_log(world: World, script: Script) -> None:
    outcome = script("evaluate", "--checkpoint", world.run, "--data", world.data, "--split", "val")
    shown = dict(line.split(maxsplit=1) for line in outcome.out.splitlines() if line.startswith("  "))
    expected = json.loads((world.run / "log.json").read_text())[-1]["val"]
    numbers = {name: value for name, value in expected.items() if isinstance(value, int | float)}
    assert {"recon", "vel", "jerk_ratio", "body_error_mm", "bits_per_second"} < numbers.keys()
    for name, value in numbers.items():
        assert float(shown[name]) == pytest.approx(value, rel=1e-3), name


# Retargeting


@pytest.mark.parametrize("format", FORMATS)
def test_human_motion_becomes_robot_motion_in_every_format(
    format: str, world: World, script: Script, tmp_path: Path
) -> None:
    source, out = world.motion / "bvh" / "crawl.bvh", tmp_path / "new" / "motion.out"
    outcome = script("retarget", "--checkpoint", world.run, "--input", source, "--output", out, "--format", format)
    assert outcome.code == 0, outcome.err
    fps = 30.0 if format == "csv" else 50.0  # a CSV cannot tell its rate: it is Unitree's
    expected = Retargeter(world.run).retarget(human(source), fps).motion
    # what this model makes does not stand on the ground, which would tell the order
    motion = robot(out, quat_order="xyzw" if format == "csv" else None)
    assert len(motion) == len(expected)
    np.testing.assert_allclose(motion.with_joint_order(expected.joint_names).joint_pos, expected.joint_pos, atol=1e-5)
    np.testing.assert_allclose(motion.root_pos_w, expected.root_pos_w, atol=1e-5)
    assert f"{len(expected)} frames at {fps:g} fps" in outcome.out
    assert "licence of the motion: CC BY-NC-ND 4.0" in outcome.out
    assert [path.name for path in out.parent.iterdir()] == ["motion.out"]


@pytest.mark.parametrize("fps", ["25", "120", "50"])
def test_the_rate_of_the_output_is_what_is_asked_for(fps: str, world: World, script: Script, tmp_path: Path) -> None:
    source, out = world.motion / "bvh" / "dance.bvh", tmp_path / "motion.npz"
    args = ("--checkpoint", world.run, "--input", source, "--output", out, "--fps", fps)
    assert script("retarget", *args).code == 0
    motion = robot(out)
    assert motion.fps == float(fps)
    assert motion.duration == pytest.approx(human(source).duration, abs=1 / 50 + 1 / float(fps))


def test_robot_motion_goes_in_too_at_the_rate_it_is_said_to_have(world: World, script: Script, tmp_path: Path) -> None:
    source, out = world.motion / "g1" / "walk.csv", tmp_path / "motion.npz"
    outcome = script(
        "retarget", "--checkpoint", world.run, "--input", source, "--output", out, "--from", "robot",
        "--input-fps", "60",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    clip, motion = robot(source, fps=60), robot(out)
    assert motion.duration == pytest.approx(clip.duration, abs=1 / 50 + 1e-9)
    np.testing.assert_allclose(motion.root_pos_w[0, :2], clip.root_pos_w[0, :2], atol=1e-6)
    assert f"of the input's {path_length(clip):.2f} m" in outcome.out


def test_motion_written_is_motion_that_can_go_in_again(world: World, script: Script, tmp_path: Path) -> None:
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    source = world.motion / "bvh" / "dance.bvh"
    assert script("retarget", "--checkpoint", world.run, "--input", source, "--output", one).code == 0
    assert script("retarget", "--checkpoint", world.run, "--input", one, "--output", two, "--from", "robot").code == 0
    assert len(robot(two)) == len(robot(one))


def test_tokens_written_decode_to_the_motion_written(world: World, script: Script, tmp_path: Path) -> None:
    source, out, tokens = world.motion / "bvh" / "crawl.bvh", tmp_path / "motion.npz", tmp_path / "tokens.npz"
    args = ("--checkpoint", world.run, "--input", source, "--output", out, "--tokens", tokens)
    assert script("retarget", *args).code == 0
    motion = robot(out)
    decoded, _ = Retargeter(world.run).decode(MotionTokens.load(tokens))
    np.testing.assert_array_equal(decoded.joint_pos, motion.joint_pos)
    np.testing.assert_array_equal(decoded.root_pos_w, motion.root_pos_w)
    again = tmp_path / "again.npz"
    assert script("decode_tokens", "--checkpoint", world.run, "--tokens", tokens, "--output", again).code == 0
    np.testing.assert_array_equal(robot(again).joint_pos, motion.joint_pos)
    # a CSV cannot tell its rate, and is read at Unitree's: it lasts as long all the same
    again = tmp_path / "again.csv"
    args = ("--checkpoint", world.run, "--tokens", tokens, "--output", again, "--format", "csv")
    assert script("decode_tokens", *args).code == 0
    assert robot(again, quat_order="xyzw").duration == pytest.approx(motion.duration, abs=1 / 30)


def test_projected_motion_is_told_of_and_the_same_from_its_tokens(world: World, script: Script, tmp_path: Path) -> None:
    source, out, tokens = world.motion / "bvh" / "crawl.bvh", tmp_path / "motion.npz", tmp_path / "tokens.npz"
    args = ("--checkpoint", world.run, "--input", source, "--output", out, "--tokens", tokens, "--project")
    outcome = script("retarget", *args)
    assert outcome.code == 0, outcome.err
    assert "projected: joints by" in outcome.out
    again = tmp_path / "again.npz"
    args = ("--checkpoint", world.run, "--tokens", tokens, "--output", again, "--project")
    outcome = script("decode_tokens", *args)
    assert outcome.code == 0, outcome.err
    assert "projected: joints by" in outcome.out
    np.testing.assert_array_equal(robot(again).joint_pos, robot(out).joint_pos)
    retargeter = Retargeter(world.run)
    plain, _ = retargeter.decode(MotionTokens.load(tokens))
    np.testing.assert_array_equal(retargeter.project(plain).motion.joint_pos, robot(out).joint_pos)


def test_joints_stay_within_their_limits(world: World, script: Script, tmp_path: Path) -> None:
    source, out = world.motion / "bvh" / "jump.bvh", tmp_path / "motion.npz"
    script("retarget", "--checkpoint", world.run, "--input", source, "--output", out)
    lower, upper = load_robot().limits.T
    joints = robot(out).joint_pos
    assert np.isfinite(joints).all()
    assert (joints >= lower).all()
    assert (joints <= upper).all()


# From a shell


@pytest.mark.parametrize("name", ["data/process_data", "train_vq", "evaluate", "retarget"])
def test_every_script_explains_itself(name: str, script: Script) -> None:
    outcome = script(name, "--help")
    assert outcome.code == 0
    assert "usage:" in outcome.out


def test_scripts_run_in_a_shell_from_any_folder(world: World, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "retarget.py"), "--checkpoint", str(world.run), "--output", "motion.npz"]
    source = world.motion / "bvh" / "dance.bvh"
    good = subprocess.run([*command, "--input", str(source)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    assert len(robot(tmp_path / "motion.npz")) == len(Retargeter(world.run).retarget(human(source)).motion)
    (tmp_path / "motion.npz").unlink()
    bad = subprocess.run([*command, "--input", "gone.bvh"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout, bad.stderr) == (2, "", "error: gone.bvh: no such file\n")
    assert list(tmp_path.iterdir()) == []
