from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g1_vq_retarget.data import pair_folder
from g1_vq_retarget.data.pair_folder import Engine, build_pairs, motion_files
from g1_vq_retarget.data.pairs import PairConfig
from g1_vq_retarget.data.process import ClipFiles, WindowConfig, add_pairs, pair_by_stem, process
from g1_vq_retarget.data.sample import sample_clips
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.motion.formats import load_motion, save_motion
from g1_vq_retarget.robot import load_robot
from running import SCRIPTS, Outcome, run_script
from synthetic import human_clip

pytest.importorskip("mink")
ROBOT = load_robot()
QUICK = PairConfig(iterations=2, refine=False)


def human_folder(folder: Path, clips: int = 2, frames: int = 70) -> Path:
    """Made-up human motion in files and in a folder of files, and a file of something else."""
    for clip in sample_clips(0)[:clips]:
        save_motion(clip[:frames], folder / f"{clip.name}.npz")
    save_motion(human_clip(20), folder / "more" / "short.npz")
    (folder / "notes.txt").write_text("not motion")
    (folder / ".hidden").write_text("not even looked at")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[dict]]:
    """A folder of human motion, the pairs of it, the reports."""
    human = human_folder(tmp_path_factory.mktemp("human"))
    out = tmp_path_factory.mktemp("pairs") / "out"
    return human, out, build_pairs(human, out, QUICK)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


NAMES = [clip.name for clip in sample_clips(0)[:2]]


def test_both_sides_are_there_frame_by_frame_under_the_same_name(made: tuple) -> None:
    _, out, _ = made
    assert sorted(path.stem for path in (out / "robot").iterdir()) == sorted(NAMES)
    for name in NAMES:
        human, robot = (load_motion(out / side / f"{name}.npz") for side in ("human", "robot"))
        assert isinstance(human, HumanClip)
        assert isinstance(robot, RobotClip)
        assert (len(human), human.fps) == (len(robot), robot.fps) == (70, 30)
        np.testing.assert_allclose(human.joint_quat, sample_clips(0)[NAMES.index(name)].joint_quat[:70], atol=1e-12)
        assert robot.provenance.licence == human.provenance.licence != ""


def test_every_file_has_a_report_and_a_line_in_the_summary(made: tuple) -> None:
    _, out, reports = made
    by_name = {report["name"]: report for report in reports}
    assert by_name.keys() == {*NAMES, "more__short", "notes"}
    for name, report in by_name.items():
        assert json.loads((out / "reports" / f"{name}.json").read_text()) == report
        assert report["status"] == ("kept" if name in NAMES else "rejected")
    with (out / "summary.csv").open(encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert rows.keys() == by_name.keys()
    assert float(rows[NAMES[0]]["foot_slide"]) == by_name[NAMES[0]]["quality"]["foot_slide"]
    summary = (out / "summary.md").read_text(encoding="utf-8")
    assert "140 of 160 frames kept, of 2 of 4 files" in summary
    assert "- more__short: 0.6 s are shorter" in summary
    assert "- notes: " in summary


def test_the_folder_is_what_windows_are_made_of(made: tuple, tmp_path: Path) -> None:
    _, out, _ = made
    clips = pair_by_stem(out / "robot", (".csv", ".npz"), out / "human", (".bvh", ".npz"))

    def read(path: Path) -> Any:
        return load_motion(path)

    config = WindowConfig(window=16, stride=16)
    manifest = process({"train": clips}, tmp_path / "data", config, ROBOT, read, read)
    windows = manifest["splits"]["train"]
    assert windows["windows"] == windows["human_windows"] > 0


# Going on


def test_what_is_finished_is_kept_and_the_rest_is_made(
    made: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    human, whole, _ = made
    out = tmp_path / "out"
    build_pairs(human, out, QUICK, clips=[NAMES[0]])
    with pytest.raises(UserError, match="not empty; go on with it by --resume"):
        build_pairs(human, out, QUICK)
    done: list[str] = []
    make = pair_folder.make_pair
    monkeypatch.setattr(pair_folder, "make_pair", lambda *job: (done.append(job[1]), make(*job))[1])
    build_pairs(human, out, QUICK, resume=True)
    assert sorted(done) == sorted([NAMES[1], "more__short", "notes"])
    assert contents(out) == contents(whole)
    done.clear()
    build_pairs(human, out, QUICK, resume=True)
    assert done == []
    (out / "robot" / f"{NAMES[1]}.npz").unlink()
    build_pairs(human, out, QUICK, resume=True)
    assert done == [NAMES[1]]
    assert contents(out) == contents(whole)


def test_another_file_or_other_settings_are_made_again_and_leave_nothing_old(tmp_path: Path) -> None:
    human, out = tmp_path / "human", tmp_path / "out"
    clip = sample_clips(0)[0]
    save_motion(clip[:70], human / "walk.npz")
    build_pairs(human, out, QUICK)
    save_motion(clip[5:80], human / "walk.npz")
    build_pairs(human, out, QUICK, resume=True)
    assert len(load_motion(out / "robot" / "walk.npz")) == 75
    strict = PairConfig(iterations=2, refine=False)
    strict.keep.min_duration = 10
    (report,) = build_pairs(human, out, strict, resume=True)
    assert report["status"] == "rejected"
    assert list((out / "robot").iterdir()) == list((out / "human").iterdir()) == []


def test_files_that_cannot_be_read_are_rejected_and_stay_so(tmp_path: Path) -> None:
    human = tmp_path / "human"
    save_motion(replace(human_clip(70), rest_offsets=np.zeros((22, 3))), human / "point.npz")
    (human / "empty.bvh").touch()
    (human / "gone.bvh").symlink_to(tmp_path / "gone.bvh")
    reports = build_pairs(human, tmp_path / "out", QUICK)
    reasons = {report["name"]: report["reason"] for report in reports}
    for name, reason in (("point", "the bone to left_knee has no length"), ("empty", "is empty"), ("gone", "no such")):
        assert reason in reasons[name]
    assert build_pairs(human, tmp_path / "out", QUICK, resume=True) == reports


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same(made: tuple, tmp_path: Path) -> None:
    human, out, _ = made
    build_pairs(human, tmp_path / "out", QUICK, jobs=3)
    assert contents(tmp_path / "out") == contents(out)


@pytest.mark.slow
def test_ray_gives_the_same(made: tuple, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    human, out, _ = made
    engine: Engine = "ray"
    build_pairs(human, tmp_path / "out", QUICK, engine=engine)
    assert contents(tmp_path / "out") == contents(out)


@pytest.mark.slow
def test_ctrl_c_leaves_whole_files_and_the_rest_can_be_made(tmp_path: Path) -> None:
    human, out = human_folder(tmp_path / "human", clips=6, frames=150), tmp_path / "out"
    command = [sys.executable, SCRIPTS / "data" / "build_pairs.py", "--human", human, "--out", out]
    command += ["--no-refine", "--iterations", "8", "--jobs", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and len(list((out / "robot").glob("[!.]*"))) < 1:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]
    done = {path.name: path.stat().st_mtime_ns for path in (out / "reports").glob("*.json")}
    assert len(done) < 8
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    reports = {path.name: path.stat().st_mtime_ns for path in (out / "reports").glob("*.json")}
    assert len(reports) == 8
    assert done.items() <= reports.items()


# Mistakes


def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    human = human_folder(tmp_path / "human", clips=1, frames=4)
    with pytest.raises(UserError, match="no clip there has the name 'walk_9'"):
        build_pairs(human, tmp_path / "out", QUICK, clips=["walk_9"])
    with pytest.raises(UserError, match="--jobs must be at least 1, it is 0"):
        build_pairs(human, tmp_path / "out", QUICK, jobs=0)
    with pytest.raises(UserError, match="no such folder"):
        motion_files(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no files"):
        motion_files(tmp_path / "empty")
    with pytest.raises(UserError, match="--iterations must be at least 1, it is 0"):
        build_pairs(human, tmp_path / "out", PairConfig(iterations=0))
    with pytest.raises(UserError, match="all of which is taken for human motion"):
        build_pairs(human, human / "out", QUICK)
    with pytest.raises(UserError, match="is a file; name a folder with --out"):
        build_pairs(human, human / "notes.txt", QUICK)
    (human / "notes.csv").write_text("1,2")
    with pytest.raises(UserError, match=r"notes\.txt: has the name of .*notes\.csv but for the suffix"):
        motion_files(human)
    (human / "notes.csv").unlink()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"--engine ray needs ray: pip install -e '\.\[ray\]'"):
        build_pairs(human, tmp_path / "out", QUICK, engine="ray")


# Adding pairs to what is trained on


def test_pairs_are_added_to_train_and_to_nothing_else(made: tuple) -> None:
    _, out, _ = made
    walk, sit = (ClipFiles(name, Path(f"{name}.csv"), None) for name in ("walk", "sit"))
    splits = add_pairs({"train": [walk], "val": [sit]}, out)
    assert [clip.name for clip in splits["train"]] == ["walk", *sorted(NAMES)]
    assert splits["val"] == [sit]
    assert all(clip.human is not None for clip in splits["train"][1:])


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_clip_of_the_same_name_is_not_added(split: str, made: tuple) -> None:
    splits = {"train": [], "val": [], "test": []} | {split: [ClipFiles(NAMES[0], Path("a.csv"), None)]}
    with pytest.raises(UserError, match=f"{NAMES[0]} is a part of {NAMES[0]}, which stands in '{split}' already"):
        add_pairs(splits, made[1])


def test_nor_is_a_held_out_recording_under_another_name(made: tuple, tmp_path: Path) -> None:
    human, out, _ = made
    copy = tmp_path / "held_out.npz"
    copy.write_bytes((human / f"{NAMES[1]}.npz").read_bytes())
    with pytest.raises(UserError, match=f"{NAMES[1]} is a part of held_out, which stands in 'test' already"):
        add_pairs({"train": [], "test": [ClipFiles("held_out", Path("a.csv"), copy)]}, out)


def test_nor_is_one_that_lies_in_a_folder_and_is_held_out_without_a_human_side(made: tuple, tmp_path: Path) -> None:
    human, out = tmp_path / "human", tmp_path / "pairs"
    (human / "bvh").mkdir(parents=True)
    (human / "bvh" / f"{NAMES[0]}.npz").write_bytes((made[0] / f"{NAMES[0]}.npz").read_bytes())
    build_pairs(human, out, QUICK)
    with pytest.raises(UserError, match=f"bvh__{NAMES[0]} is a part of {NAMES[0]}, which stands in 'test' already"):
        add_pairs({"train": [], "test": [ClipFiles(NAMES[0], Path("a.csv"), None)]}, out)
    (out / "reports" / "odd.json").write_text("{")
    with pytest.raises(UserError, match=r"odd\.json: no report"):
        add_pairs({"train": []}, out)


def test_a_folder_that_holds_no_reports_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no reports/"):
        add_pairs({"train": []}, tmp_path)


def test_the_commands_make_pairs_and_windows_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = sample_clips(0)[:4]
    for clip in clips:
        save_motion(clip[:70], tmp_path / "human" / f"{clip.name}.npz")
    names = [clip.name for clip in clips]

    def run(script: str, *args: object) -> Outcome:
        return run_script(f"data/{script}", args, capsys)

    quick = ("--human", tmp_path / "human", "--jobs", 1, "--iterations", 2, "--no-refine")
    said = run("build_pairs", *quick, "--out", tmp_path / "data", "--clips", *names[:3])
    assert said.code == 0, said.err
    assert "210 of 210 frames, 3 parts" in said.out
    for name in (names[2], names[3]):
        assert run("build_pairs", *quick, "--out", tmp_path / f"only_{name}", "--clips", name).code == 0

    (tmp_path / "split.json").write_text(
        json.dumps(dict(zip(("train", "val", "test"), ([n] for n in names), strict=False)))
    )
    sides = ("--robot-dir", tmp_path / "data" / "robot", "--human-dir", tmp_path / "data" / "human")
    windows = (
        *sides,
        "--split",
        tmp_path / "split.json",
        "--window",
        16,
        "--stride",
        16,
        "--out",
        tmp_path / "windows",
    )
    said = run("process_data", *windows, "--pairs", tmp_path / f"only_{names[3]}")
    assert said.code == 0, said.err
    assert "train: 14 windows, 14 with a human side" in said.out
    assert "test: 7 windows, 7 with a human side" in said.out
    said = run("process_data", *windows, "--pairs", tmp_path / f"only_{names[2]}")
    assert said.code == 2
    assert f"{names[2]} is a part of {names[2]}, which stands in 'test' already" in said.err
