from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from g1_vq_retarget.motion.formats import load_motion, save_motion
from running import Outcome, Script
from synthetic import human_clip, robot_clip, write_bvh


def assert_refused(outcome: Outcome, *words: str) -> None:
    """One line on stderr that says all of this, and nothing else."""
    assert (outcome.code, outcome.out) == (2, ""), outcome
    assert outcome.err.startswith("error: "), outcome.err
    assert outcome.err.count("\n") == 1
    for word in words:
        assert word in outcome.err


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """`walk.npz` of a robot, `wave.bvh` of a human, `cut.npz` cut short."""
    save_motion(robot_clip(40, name="walk"), tmp_path / "walk.npz", "tracking-mjlab")
    write_bvh(human_clip(30), tmp_path / "wave.bvh")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "walk.npz").read_bytes()[:3000])
    return tmp_path


# inspect_motion


@pytest.mark.parametrize("name", ["inspect_motion", "inspect_npz"])
def test_inspect_says_what_a_file_holds(script: Script, files: Path, name: str) -> None:
    told = script(f"data/{name}", files / "walk.npz")
    assert told.code == 0, told.err
    contents = ("tracking NPZ", "joint_pos", "(40, 29)", "float32", "40 frames at 30 fps", "settled: joint order")
    figures = ("left_knee_joint", "foot_slide", "penetration_mm", "self_collision_share", "floor by the feet")
    for line in contents + figures:
        assert line in told.out, line


def test_inspect_draws_a_part_and_writes_json(script: Script, files: Path) -> None:
    told = script("data/inspect_motion", files / "walk.npz", "--plot", files / "a.png", "--json", files / "a.json",
                  "--seconds", 0.5, 1)  # fmt: skip
    assert told.code == 0, told.err
    assert min(matplotlib.image.imread(files / "a.png").shape[:2]) > 400
    (report,) = json.loads((files / "a.json").read_text())
    assert report["clips"][0]["physical"]["frames"] == 40  # the report is of all, whatever is drawn
    assert report["contents"][0]["key"] == "fps"
    assert {finding["question"] for finding in report["findings"]} >= {"joint order"}


def test_inspect_goes_on_after_a_refused_file(script: Script, files: Path) -> None:
    told = script("data/inspect_motion", files / "cut.npz", files / "wave.bvh", "--json", files / "a.json")
    assert told.code == 2
    assert told.err.startswith("error: ")
    assert "cut.npz" in told.err
    assert "human clip wave" in told.out
    refused, read = json.loads((files / "a.json").read_text())
    assert "cut.npz" in refused["refused"]
    assert read["clips"][0]["kind"] == "human"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["cut.npz"], ["cut.npz"]),
        (["gone.npz"], ["gone.npz", "no such file"]),
        (["walk.npz", "wave.bvh", "--plot", "a.png"], ["--plot", "2"]),
        (["walk.npz", "--source-fps", "0"], ["--source-fps"]),
        (["walk.npz", "--source-fps", "50"], ["walk.npz", "30"]),
        (["walk.npz", "--seconds", "3", "2"], ["--seconds"]),
    ],
)
def test_inspect_refuses_in_a_line(
    script: Script, files: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(files)
    assert_refused(script("data/inspect_motion", *args), *words)
    assert sorted(path.name for path in files.iterdir()) == ["cut.npz", "walk.npz", "wave.bvh"]


# convert_motion


def test_convert_sums_up_what_it_did(script: Script, files: Path) -> None:
    args = ["data/convert_motion", files, "--to", "npz", "--out", files / "out", "--fps", 50, "--jobs", 1]
    told = script(*args)
    assert told.code == 0, told.err
    counts = {line[:20].strip(): line.split()[-1] for line in told.out.splitlines()}
    assert "2 clips" in told.out
    assert counts["refused"] == "1"
    assert told.err.startswith("refused: ")
    assert "cut.npz" in told.err
    clip = load_motion(files / "out" / "walk.npz")
    assert clip.fps == 50
    np.testing.assert_allclose(clip.root_pos_w[0], robot_clip(40).root_pos_w[0], atol=1e-6)
    assert script(*args, "--overwrite", "--strict").code == 2
    resumed = script(*args, "--resume")
    assert resumed.code == 0
    assert "finished before            2" in resumed.out


def test_convert_tells_the_rate_that_a_csv_cannot(script: Script, files: Path) -> None:
    told = script("data/convert_motion", files / "walk.npz", "--to", "csv", "--out", files / "out")
    assert told.code == 0, told.err
    assert "csv does not tell its rate, which is 30 fps" in told.out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["cut.npz", "--to", "npz"], ["cut.npz"]),
        (["wave.bvh", "--to", "csv"], ["wave.bvh", "human"]),
        (["gone.npz", "--to", "npz"], ["gone.npz", "no such file"]),
        (["*.csv", "--to", "npz"], ["*.csv", "no file matches"]),
        (["walk.npz", "--to", "npz", "--fps", "-5"], ["--fps", "-5"]),
        (["walk.npz", "--to", "npz", "--jobs", "-1"], ["--jobs"]),
        (["walk.npz", "--to", "npz", "--resume", "--overwrite"], ["--resume", "--overwrite"]),
        (["walk.npz", "--to", "npz", "--out", "."], ["walk.npz is an input"]),
        (["empty", "--to", "npz"], ["empty", "no motion file"]),
    ],
)
def test_convert_refuses_in_a_line_and_writes_nothing(
    script: Script, files: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(files)
    (files / "empty").mkdir()
    out = [] if "--out" in args else ["--out", "out"]
    assert_refused(script("data/convert_motion", *args, *out), *words)
    assert sorted(path.name for path in files.iterdir()) == ["cut.npz", "empty", "walk.npz", "wave.bvh"]
