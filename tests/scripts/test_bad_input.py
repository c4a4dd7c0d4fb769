"""What a user can get wrong: one line on stderr that names file and cause, exit code 2, nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from running import Outcome, Script, World

Damage = Callable[[Path], object]


def assert_refused(outcome: Outcome, *words: str) -> None:
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("error: "), outcome.err
    assert outcome.err.count("\n") == 1
    for word in words:
        assert word in outcome.err
    assert outcome.out == ""


def cut(path: Path) -> None:
    """Leave the first two thirds, to the middle of a line."""
    content = path.read_bytes().rstrip()
    path.write_bytes(content[: 2 * len(content) // 3])


def with_line(number: int, change: Callable[[str], str]) -> Damage:
    def damage(path: Path) -> None:
        lines = path.read_text().splitlines()
        lines[number] = change(lines[number])
        path.write_text("\n".join(lines) + "\n")

    return damage


def with_text(old: str, new: str) -> Damage:
    return lambda path: path.write_text(path.read_text().replace(old, new))


def edited(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


GONE: Damage = lambda path: path.unlink()  # noqa: E731
EMPTY: Damage = lambda path: path.write_text("")  # noqa: E731
BAD_BVH = [
    (EMPTY, "empty"),
    (cut, ""),
    (with_text("JOINT", "KNEE"), "hierarchy"),
    (with_line(-1, lambda line: line + " 1.0"), "values"),
    (with_line(-1, lambda line: "nan " + line.partition(" ")[2]), "nan"),
    (with_text("Frame Time: 0.033333333", "Frame Time: 0.0"), "Frame Time"),
    (lambda path: path.write_text("HIERARCHY\n"), "MOTION"),
]
BAD_CSV = [
    (EMPTY, "empty"),
    (cut, "columns, expected 36"),
    (with_line(3, lambda line: line.rpartition(",")[0]), "line 4 (frame 3) has 35 columns, expected 36"),
    (with_line(3, lambda line: line + ",0.0"), "line 4 (frame 3) has 37 columns, expected 36"),
    (with_line(5, lambda line: "nan," + line.partition(",")[2]), "line 6 (frame 5), column 1 (x) holds 'nan'"),
    (with_line(5, lambda line: line.rpartition(",")[0] + ",left"), "holds 'left'"),
]


# Motion files into windows


@pytest.fixture
def motion(world: World, tmp_path: Path) -> Path:
    """Motion files to be damaged."""
    return shutil.copytree(world.motion, tmp_path / "motion")


def process(script: Script, motion: Path, *more: object) -> Outcome:
    return script(
        "data/process_data", "--robot-dir", motion / "g1", "--human-dir", motion / "bvh",
        "--split", motion / "split.json", "--window", 16, "--out", motion.parent / "data", *more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("file", "damage", "told"),
    [
        *(("bvh/dance.bvh", damage, told) for damage, told in BAD_BVH),
        *(("g1/walk.csv", damage, told) for damage, told in BAD_CSV),
        ("g1/walk.csv", GONE, "'walk' of 'val' has no robot file"),
        ("g1", shutil.rmtree, "no such folder"),
        ("bvh", shutil.rmtree, "no such folder"),
        ("split.json", GONE, "cannot be read"),
        ("split.json", cut, "cannot be read"),
        ("split.json", with_text("walk", "fly"), "'fly' of 'val' has no robot file"),
    ],
)
def test_bad_motion_files_make_no_windows(file: str, damage: Damage, told: str, motion: Path, script: Script) -> None:
    damage(motion / file)
    name = "split.json" if "has no robot file" in told else Path(file).name
    assert_refused(process(script, motion), name, told)
    assert [path.name for path in motion.parent.iterdir()] == ["motion"]


def test_sides_of_other_lengths_make_no_windows(motion: Path, script: Script) -> None:
    longer = (motion / "g1" / "walk.csv").read_text()
    (motion / "g1" / "dance.csv").write_text(longer)
    assert_refused(process(script, motion), "dance.bvh", "dance.csv", "120 frames", "140")
    assert not (motion.parent / "data").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--fps", "0"), "--fps must be a positive number"),
        (("--window", "1"), "--window must be at least 4"),
        (("--stride", "0"), "--stride must be at least 1"),
        (("--protocol", "seed"), "--split has no meaning in the seed protocol"),
        (("--window", "4096"), "fewer than one window of 4096"),
    ],
)
def test_windows_that_cannot_be_are_not_made(flags: tuple[str, ...], told: str, motion: Path, script: Script) -> None:
    assert_refused(process(script, motion, *flags), told)
    assert not (motion.parent / "data").exists()


def test_the_heldout_protocol_asks_for_its_split(motion: Path, script: Script) -> None:
    outcome = script("data/process_data", "--robot-dir", motion / "g1", "--out", motion.parent / "data")
    assert_refused(outcome, "--split FILE")


# Windows into a model


@pytest.fixture
def data(world: World, tmp_path: Path) -> Path:
    """Windows to be damaged."""
    return shutil.copytree(world.data, tmp_path / "data")


def spoil_train(data: Path) -> None:
    windows = np.load(data / "g1_train.npy")
    windows[3, 5, 7] = np.nan
    np.save(data / "g1_train.npy", windows)


def reorder(data: Path) -> None:
    names = json.loads((data / "manifest.json").read_text())["joint_names"]
    edited(data / "manifest.json", joint_names=names[::-1])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (shutil.rmtree, ("data: no manifest.json",)),
        (lambda data: edited(data / "manifest.json", format_version=99), ("manifest.json", "format_version is 99")),
        (reorder, ("manifest.json", "joint_names are not Unitree G1")),
        (spoil_train, ("g1_train.npy: window 3", "no finite number")),
        (lambda data: cut(data / "g1_train.npy"), ("g1_train.npy", "not a whole NPY file")),
        (lambda data: (data / "human_mean.npy").unlink(), ("human_mean.npy", "missing")),
    ],
)
def test_bad_windows_train_no_model(
    damage: Damage, told: tuple[str, ...], data: Path, world: World, script: Script
) -> None:
    damage(data)
    run = data.parent / "run"
    assert_refused(script("train_vq", "--config", world.config, "--data", data, "--run", run), *told)
    assert not run.exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("epoch: 3\n", "unknown key epoch"),
        ("model: {network: {wings: 2}}\n", "unknown key wings"),
        ("epochs: many\n", "epochs"),
        ("epochs: [", "not YAML"),
        ("", "is empty"),
    ],
)
def test_a_bad_preset_trains_no_model(text: str, told: str, world: World, script: Script, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    outcome = script("train_vq", "--config", tmp_path / "odd.yaml", "--data", world.data, "--run", tmp_path / "run")
    assert_refused(outcome, "odd.yaml", told)
    assert not (tmp_path / "run").exists()


def test_an_occupied_run_is_not_trained_over(world: World, script: Script) -> None:
    before = (world.run / "best.safetensors").read_bytes()
    outcome = script("train_vq", "--config", world.config, "--data", world.data, "--run", world.run)
    assert_refused(outcome, str(world.run), "already holds a run")
    assert (world.run / "best.safetensors").read_bytes() == before


# A model into figures


@pytest.fixture
def run(world: World, tmp_path: Path) -> Path:
    """A trained model to be damaged."""
    return shutil.copytree(world.run, tmp_path / "run")


BAD_RUN: list[tuple[Damage, tuple[str, ...]]] = [
    (shutil.rmtree, ("run", "no such file")),
    (lambda run: [path.unlink() for path in run.glob("*.safetensors")], ("run: holds no best.safetensors",)),
    (lambda run: cut(run / "best.safetensors"), ("best.safetensors", "damaged")),
    (lambda run: EMPTY(run / "best.safetensors"), ("best.safetensors",)),
    (lambda run: GONE(run / "best.json"), ("best.json", "no such file")),
    (lambda run: edited(run / "best.json", format_version=99), ("best.json", "format_version is 99")),
]


@pytest.mark.parametrize(("damage", "told"), BAD_RUN)
def test_a_bad_checkpoint_is_not_measured(
    damage: Damage, told: tuple[str, ...], run: Path, world: World, script: Script
) -> None:
    damage(run)
    report = run.parent / "figures.json"
    assert_refused(script("evaluate", "--checkpoint", run, "--data", world.data, "--json", report), *told)
    assert not report.exists()
    assert not report.with_suffix(".png").exists()


def spoil_test(data: Path) -> None:
    windows = np.load(data / "human_root_test.npy")
    windows[2, 1, 0] = np.nan
    np.save(data / "human_root_test.npy", windows)


@pytest.mark.parametrize(
    ("damage", "flags", "told"),
    [
        (reorder, (), ("data", "joint order differs")),
        (lambda data: edited(data / "manifest.json", fps=30.0), (), ("data: 30 fps", "works at 50")),
        (lambda data: edited(data / "manifest.json", robot="h1"), (), ("data: motion of h1", "for g1")),
        (spoil_test, (), ("human_root_test.npy: window 2", "no finite number")),
        (lambda data: cut(data / "g1_test.npy"), (), ("g1_test.npy", "not a whole NPY file")),
        (lambda data: None, ("--split", "dev"), ("no split 'dev' in it, only train, val, test",)),
        (lambda data: None, ("--json", "figures.png"), ("--json figures.png",)),
    ],
)
def test_a_model_is_not_measured_on_bad_windows(
    damage: Damage, flags: tuple[str, ...], told: tuple[str, ...], data: Path, world: World, script: Script
) -> None:
    damage(data)
    report = data.parent / "figures.json"
    assert_refused(script("evaluate", "--checkpoint", world.run, "--data", data, "--json", report, *flags), *told)
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_windows_that_do_not_divide_into_steps_are_not_measured(
    motion: Path, world: World, script: Script, tmp_path: Path
) -> None:
    assert process(script, motion, "--window", "18").code == 0
    outcome = script("evaluate", "--checkpoint", world.run, "--data", tmp_path / "data")
    assert_refused(outcome, "windows of 18 frames do not divide into", "steps of 4")


# A model and motion into motion


def retarget(script: Script, checkpoint: Path, source: Path, *more: object) -> Outcome:
    return script(
        "retarget", "--checkpoint", checkpoint, "--input", source, "--output", source.parents[1] / "out.npz",
        "--tokens", source.parents[1] / "tokens.npz", *more,
    )  # fmt: skip


def assert_nothing_written(folder: Path) -> None:
    assert not [path.name for path in folder.iterdir() if path.name not in ("motion", "run", "bvh", "g1", "split.json")]


@pytest.mark.parametrize(
    ("file", "damage", "told"),
    [
        *(("bvh/dance.bvh", damage, told) for damage, told in BAD_BVH),
        *(("g1/walk.csv", damage, told) for damage, told in BAD_CSV),
        ("bvh/dance.bvh", GONE, "no such file"),
        ("g1/walk.csv", GONE, "no such file"),
        ("g1/walk.csv", lambda path: path.write_text("hello\n"), "no motion file known here"),
    ],
)
def test_bad_motion_is_not_retargeted(
    file: str, damage: Damage, told: str, motion: Path, world: World, script: Script
) -> None:
    damage(motion / file)
    side = ("--from", "robot") if file.startswith("g1") else ()
    assert_refused(retarget(script, world.run, motion / file, *side), Path(file).name, told)
    assert_nothing_written(motion)


@pytest.mark.parametrize(
    ("file", "flags", "told"),
    [
        ("g1/walk.csv", (), ("walk.csv", "holds robot motion; use --from robot")),
        ("bvh/dance.bvh", ("--from", "robot"), ("dance.bvh", "holds human motion; use --from human")),
        ("bvh/dance.bvh", ("--fps", "0"), ("--fps must be a positive number, it is 0",)),
        ("bvh/dance.bvh", ("--fps", "nan"), ("--fps must be a positive number, it is nan",)),
        ("bvh/dance.bvh", ("--input-fps", "0"), ("--input-fps must be a positive number",)),
        ("g1/walk.csv", ("--from", "robot", "--input-fps", "-30"), ("--input-fps must be a positive number",)),
        ("bvh/dance.bvh", ("--input-fps", "50"), ("dance.bvh", "30 fps")),
        ("bvh/dance.bvh", ("--bvh-unit", "mm", "--output", "/dev/null/out.npz"), ("out.npz cannot be written",)),
    ],
)
def test_flags_that_do_not_fit_the_motion_are_refused(
    file: str, flags: tuple[str, ...], told: tuple[str, ...], motion: Path, world: World, script: Script
) -> None:
    assert_refused(retarget(script, world.run, motion / file, *flags), *told)
    assert_nothing_written(motion)


@pytest.mark.parametrize(("damage", "told"), BAD_RUN)
def test_a_bad_checkpoint_does_not_retarget(
    damage: Damage, told: tuple[str, ...], run: Path, motion: Path, script: Script
) -> None:
    damage(run)
    assert_refused(retarget(script, run, motion / "bvh" / "dance.bvh"), *told)
    assert_nothing_written(motion)
