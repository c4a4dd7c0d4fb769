from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.data.convert import Job, convert_file, convert_files, plan_conversion
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import RobotClip, resample
from g1_vq_retarget.motion.formats import load_motion, save_motion, write_motionvqvae_npy, write_phc_pkl
from g1_vq_retarget.robot import load_robot
from running import SCRIPTS
from synthetic import human_clip, other_robot_clip, robot_clip, write_bvh


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`in/` with a robot's clip on top, one below, a human's, and a file that holds no motion."""
    source = tmp_path / "in"
    save_motion(robot_clip(40, 0, name="walk"), source / "walk.npz", "tracking-isaac")
    save_motion(robot_clip(30, 1, name="run"), source / "fast" / "run.npz", "npz")
    write_bvh(human_clip(20), source / "wave.bvh")
    (source / "README.md").write_text("nothing here\n")
    (source / ".hidden.npz").write_text("half written")
    return source


def names(paths: list[Path], below: Path) -> list[str]:
    return [path.relative_to(below).as_posix() for path in paths]


def robot(path: Path) -> RobotClip:
    clip = load_motion(path, quat_order="xyzw") if path.suffix == ".csv" else load_motion(path)
    assert isinstance(clip, RobotClip)
    return clip


# What to convert, and where to


def test_files_of_a_folder_keep_their_place(folder: Path, tmp_path: Path) -> None:
    plan = plan_conversion([folder], tmp_path / "out", "csv")
    assert names([job.target for job in plan.jobs], tmp_path / "out") == ["walk.csv", "wave.csv", "fast/run.csv"]
    assert names([job.source for job in plan.jobs], folder) == ["walk.npz", "wave.bvh", "fast/run.npz"]
    assert names(plan.passed_over, folder) == ["README.md"]
    assert plan.finished == []


@pytest.mark.parametrize(
    ("pattern", "targets"),
    [
        ("in/*.npz", ["walk.npy"]),
        ("in/**/*.npz", ["fast/run.npy", "walk.npy"]),
        ("in/*/*.npz", ["fast/run.npy"]),
        ("i?/fast/*", ["in/fast/run.npy"]),
    ],
)
def test_files_that_match_keep_their_place_below_the_first_wildcard(
    folder: Path, tmp_path: Path, pattern: str, targets: list[str]
) -> None:
    plan = plan_conversion([str(tmp_path / pattern)], tmp_path / "out", "motionvqvae")
    assert names([job.target for job in plan.jobs], tmp_path / "out") == targets


def test_a_file_goes_to_the_folder_and_is_converted_once(folder: Path, tmp_path: Path) -> None:
    file = folder / "fast" / "run.npz"
    plan = plan_conversion([file, file, str(folder / "fast" / "*.npz")], tmp_path / "out", "npz")
    assert plan.jobs == [Job(file, tmp_path / "out" / "run.npz")]


def test_a_name_with_a_bracket_is_a_file_if_it_is_there(tmp_path: Path) -> None:
    save_motion(robot_clip(20), tmp_path / "take[1].npz", "npz")
    assert plan_conversion([tmp_path / "take[1].npz"], tmp_path / "out", "csv").jobs[0].target.name == "take[1].csv"


def test_only_the_last_suffix_is_replaced(tmp_path: Path) -> None:
    for name in ("walk.v2.npz", "walk.v3.npz"):
        save_motion(robot_clip(20), tmp_path / "in" / name, "npz")
    plan = plan_conversion([tmp_path / "in"], tmp_path / "out", "csv")
    assert [job.target.name for job in plan.jobs] == ["walk.v2.csv", "walk.v3.csv"]


def test_a_folder_that_is_one_motion_is_converted_as_one(tmp_path: Path) -> None:
    for place in ("take.1", "more/take.2"):
        save_motion(robot_clip(20, fps=50.0), tmp_path / "in" / place, "sonic")
    save_motion(robot_clip(20), tmp_path / "in" / "run.npz", "npz")
    out = tmp_path / "out"
    plan = plan_conversion([tmp_path / "in"], out, "npz")
    assert names([job.target for job in plan.jobs], out) == ["take.1.npz", "run.npz", "more/take.2.npz"]
    assert not plan.passed_over
    assert plan_conversion([tmp_path / "in" / "take.1"], out, "npz").jobs == plan.jobs[:1]
    assert plan_conversion([str(tmp_path / "in" / "t*")], out, "npz").jobs == plan.jobs[:1]


def test_outputs_that_are_folders_do_not_lie_in_one_another(tmp_path: Path) -> None:
    save_motion(robot_clip(20), tmp_path / "in" / "walk.npz", "npz")
    plan = plan_conversion([tmp_path / "in"], tmp_path / "out", "sonic")
    assert names([job.target for job in plan.jobs], tmp_path / "out") == ["walk"]
    save_motion(robot_clip(20), tmp_path / "in" / "walk" / "on.npz", "npz")
    with pytest.raises(UserError, match=r"on\.npz would be written into .*walk\.npz's folder"):
        plan_conversion([tmp_path / "in"], tmp_path / "out", "sonic")


def test_outputs_among_the_inputs_are_not_inputs(folder: Path) -> None:
    for entry in (folder, str(folder / "**" / "*.csv")):
        save_motion(robot_clip(20), folder / "out" / "old.csv", "csv")
        if entry is folder:
            assert not [job for job in plan_conversion([entry], folder / "out", "csv").jobs if job.source.stem == "old"]
        else:
            with pytest.raises(UserError, match="no file matches"):
                plan_conversion([entry], folder / "out", "csv")


@pytest.mark.parametrize(("what", "message"), [("gone.npz", "no such file or folder"), ("*.bin", "no file matches")])
def test_an_input_that_is_not_there_is_named(folder: Path, tmp_path: Path, what: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        plan_conversion([folder, str(folder / what)], tmp_path / "out", "npz")
    assert what in str(raised.value)


def test_two_inputs_of_one_output_are_refused_before_the_start(folder: Path, tmp_path: Path) -> None:
    write_bvh(human_clip(20), folder / "walk.bvh")
    with pytest.raises(UserError, match=r"walk\.bvh and .*walk\.npz would both be written to .*walk\.csv"):
        plan_conversion([folder], tmp_path / "out", "csv")


def test_no_input_is_written_over(folder: Path) -> None:
    with pytest.raises(UserError, match=r"walk\.npz is an input"):
        plan_conversion([folder / "walk.npz"], folder, "npz", "overwrite")


def test_outputs_that_exist_are_refused_written_anew_or_left(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert_files(plan_conversion([folder / "walk.npz"], out, "npz").jobs, "npz")
    with pytest.raises(UserError, match=r"1 of 3 outputs exist, .*walk\.npz first: .*--overwrite.*--resume"):
        plan_conversion([folder], out, "npz")
    assert len(plan_conversion([folder], out, "npz", "overwrite").jobs) == 3
    plan = plan_conversion([folder], out, "npz", "resume")
    assert names(plan.finished, folder) == ["walk.npz"]
    assert names([job.source for job in plan.jobs], folder) == ["wave.bvh", "fast/run.npz"]


# Converting


def test_motion_is_the_same_at_its_own_rate(folder: Path, tmp_path: Path) -> None:
    results = convert_files(plan_conversion([folder], tmp_path / "out", "npz").jobs, "npz")
    assert [(result.source.stem, result.frames, result.refused) for result in results] == [
        ("walk", 40, ""), ("wave", 20, ""), ("run", 30, ""),
    ]  # fmt: skip
    before, after = robot(folder / "walk.npz"), robot(tmp_path / "out" / "walk.npz")
    assert after.fps == before.fps
    np.testing.assert_allclose(after.joint_pos, before.joint_pos, atol=1e-6)
    np.testing.assert_allclose(after.root_quat_w, before.root_quat_w, atol=1e-6)


@pytest.mark.parametrize(("fps", "written"), [(50.0, 50.0), (None, 30.0)])
def test_the_rate_is_the_one_asked_for_or_the_one_readers_expect(
    tmp_path: Path, fps: float | None, written: float
) -> None:
    clip = robot_clip(80, fps=60.0)
    save_motion(clip, tmp_path / "a.npz", "npz")
    convert_file(Job(tmp_path / "a.npz", tmp_path / "out" / "a.csv"), "csv", fps)
    made, expected = robot(tmp_path / "out" / "a.csv"), resample(clip, written)
    np.testing.assert_allclose(made.joint_pos, expected.joint_pos, atol=1e-6)


def test_a_refused_file_is_told_and_stops_no_other(folder: Path, tmp_path: Path) -> None:
    content = (folder / "walk.npz").read_bytes()
    (folder / "damaged.npz").write_bytes(content[: len(content) // 2])
    (folder / "empty.npz").touch()
    results = {result.source.name: result for result in
               convert_files(plan_conversion([folder], tmp_path / "out", "csv").jobs, "csv")}  # fmt: skip
    assert "empty" in results["empty.npz"].refused
    assert "damaged.npz" in results["damaged.npz"].refused
    assert "is a human's" in results["wave.bvh"].refused
    assert "wave.bvh" in results["wave.bvh"].refused
    assert not results["walk.npz"].refused
    written = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert names(written, tmp_path / "out") == ["fast/run.csv", "walk.csv"]


def test_warnings_are_kept(tmp_path: Path) -> None:
    clip = robot_clip(30)
    beyond = clip.joint_pos.copy()
    beyond[3, 3] = 2.8798 + 0.1
    save_motion(replace(clip, joint_pos=beyond), tmp_path / "a.npz", "npz")
    result = convert_file(Job(tmp_path / "a.npz", tmp_path / "b.csv"), "csv")
    assert not result.refused
    assert any("left_knee_joint is 0.100 rad beyond" in line for line in result.warnings)


def test_what_a_format_cannot_hold_is_told(tmp_path: Path) -> None:
    save_motion(robot_clip(30), tmp_path / "a.npz", "npz")
    result = convert_file(Job(tmp_path / "a.npz", tmp_path / "a.pkl"), "phc")
    assert not result.refused
    assert any("wrist" in line for line in result.warnings)


def test_what_files_leave_open_is_passed_on(tmp_path: Path) -> None:
    save_motion(robot_clip(30, fps=25.0), tmp_path / "a.csv", "csv")
    options = {"fps": 25.0, "quat_order": "xyzw", "licence": "CC0"}
    result = convert_file(Job(tmp_path / "a.csv", tmp_path / "a.npz"), "npz", options=options)  # type: ignore[arg-type]
    assert not result.refused
    assert robot(tmp_path / "a.npz").fps == 25
    assert robot(tmp_path / "a.npz").provenance.licence == "CC0"


def test_a_file_of_several_clips_becomes_a_folder(tmp_path: Path) -> None:
    clips = [other_robot_clip(30, seed) for seed in range(3)]
    write_motionvqvae_npy(clips, tmp_path / "many.npy")
    job = Job(tmp_path / "many.npy", tmp_path / "out" / "many.npz")
    result = convert_file(job, "npz")
    assert result.frames == 90
    assert {path.parent for path in result.written} == {tmp_path / "out" / "many"}
    assert len({path.name for path in result.written}) == 3
    for path, clip in zip(result.written, clips, strict=True):
        np.testing.assert_allclose(robot(path).joint_pos, clip.joint_pos, atol=1e-6)
    assert "exists" in convert_file(job, "npz").refused
    result.written[1].unlink()
    assert convert_file(job, "npz", existing="resume").written == (result.written[1],)
    assert len(convert_file(job, "npz", existing="overwrite").written) == 3


@pytest.mark.parametrize("suffix", [".npz", ""])
def test_several_clips_go_into_the_folder_whatever_the_suffix(tmp_path: Path, suffix: str) -> None:
    clips = [robot_clip(30, seed, name=name) for seed, name in enumerate(["../../up", "a/b", "c"])]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*wrist")
        write_phc_pkl(clips, tmp_path / "many.v1.pkl", load_robot())
    format = "npz" if suffix else "sonic"
    (job,) = plan_conversion([tmp_path / "many.v1.pkl"], tmp_path / "out", format).jobs
    result = convert_file(job, format)
    assert not result.refused
    folder = tmp_path / "out" / "many.v1"
    assert {path.parent for path in result.written} == {folder}  # wherever a clip's name leads
    assert result.written[2] == folder / f"c{suffix}"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "many.v1.pkl", tmp_path / "out"]


def test_clips_do_not_take_the_place_of_another_files_output(tmp_path: Path) -> None:
    write_motionvqvae_npy([other_robot_clip(30, seed) for seed in range(2)], tmp_path / "in" / "many.npy")
    job = Job(tmp_path / "in" / "many.npy", tmp_path / "out" / "many.npz")
    taken = convert_file(job, "npz").written[0]
    for path in (tmp_path / "out" / "many").iterdir():
        path.unlink()
    save_motion(robot_clip(20), tmp_path / "in" / "many" / taken.name, "npz")
    results = convert_files(plan_conversion([tmp_path / "in"], tmp_path / "out", "npz").jobs, "npz")
    assert [bool(result.refused) for result in results] == [True, False]
    assert "output of another file" in results[0].refused
    assert len(robot(taken)) == 20


def test_processes_give_what_one_gives(folder: Path, tmp_path: Path) -> None:
    jobs = plan_conversion([folder], tmp_path / "one", "csv").jobs
    alone = convert_files(jobs, "csv", fps=50)
    jobs = plan_conversion([folder], tmp_path / "two", "csv").jobs
    together = convert_files(jobs, "csv", fps=50, workers=2)
    assert [result.frames for result in together] == [result.frames for result in alone]
    assert [bool(result.refused) for result in together] == [False, True, False]
    for path in (tmp_path / "one").rglob("*.csv"):
        assert (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes() == path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_leaves_whole_files_and_the_rest_can_be_resumed(tmp_path: Path, jobs: int) -> None:
    total, frames = 60, 1000
    for number in range(total):
        save_motion(robot_clip(frames, number), tmp_path / "in" / f"{number}.npz", "npz")
    command = [sys.executable, str(SCRIPTS / "data" / "convert_motion.py"), str(tmp_path / "in"), "--to", "csv",
               "--out", str(tmp_path / "out"), "--jobs", str(jobs)]  # fmt: skip
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(list((tmp_path / "out").glob("[0-9]*.csv"))) < 5:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130, error
    written = list((tmp_path / "out").iterdir())
    assert 5 <= len(written) < total
    assert not [path for path in written if path.name.startswith(".")]
    assert all(len(path.read_text().splitlines()) == frames for path in written)
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert len(list((tmp_path / "out").iterdir())) == total
