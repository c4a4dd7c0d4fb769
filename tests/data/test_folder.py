from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError
from synthetic import data_folder

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_folder(tmp_path_factory.mktemp("folder") / "data").path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return shutil.copytree(whole, tmp_path / "data")


def use(path: Path) -> None:
    """Read everything there is."""
    folder = DataFolder(path)
    spec = folder.spec(root=True)
    for name in folder.splits:
        split = folder.split(name)
        split.robot_features(np.arange(len(split)), spec)
        split.human_features(np.arange(len(split.human)), spec)


def test_a_sample_is_evenly_spaced_and_keeps_pairs_together(whole: Path) -> None:
    folder = DataFolder(whole)
    split, spec = folder.split("train"), folder.spec(root=True)
    sample = split.sample(9)
    rows = [np.flatnonzero((split.robot == window).all(axis=(1, 2)))[0] for window in sample.robot]
    assert (rows[0], rows[-1], len(rows)) == (0, len(split) - 1, 9)
    assert np.ptp(np.diff(rows)) <= 1
    assert sample.clip_of_row == [split.clip_of_row[row] for row in rows]
    paired = dict(zip(split.human_rows.tolist(), split.human, strict=True))
    assert [rows[place] for place in sample.human_rows] == [row for row in rows if row in paired]
    assert 0 < len(sample.human) < len(rows)
    for place, human in zip(sample.human_rows, sample.human, strict=True):
        np.testing.assert_array_equal(human, paired[rows[place]])
    shared = np.arange(len(sample.human))
    everything = split.human_features(np.flatnonzero(np.isin(split.human_rows, rows)), spec)
    np.testing.assert_array_equal(sample.human_features(shared, spec), everything)
    np.testing.assert_array_equal(sample.robot_features(np.arange(9), spec), split.robot_features(np.array(rows), spec))
    assert split.sample(len(split)) is split


def in_manifest(**changes: object) -> Damage:
    """Set keys of the manifest, or take them out where the value is None."""

    def damage(path: Path) -> None:
        manifest = json.loads((path / "manifest.json").read_text()) | changes
        kept = {key: value for key, value in manifest.items() if value is not None}
        (path / "manifest.json").write_text(json.dumps(kept))

    return damage


def stored(file: str, change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    return lambda path: np.save(path / file, change(np.load(path / file)))


def cut(file: str, size: int) -> Damage:
    return lambda path: (path / file).write_bytes((path / file).read_bytes()[:size])


def with_nan(values: np.ndarray) -> np.ndarray:
    values[5, 3, 2] = np.nan
    return values


def test_a_whole_folder_can_be_read(path: Path) -> None:
    use(path)


def test_windows_stay_on_disk(path: Path) -> None:
    split = DataFolder(path).split("train")
    for array in (split.robot, split.robot_root, split.human, split.human_root, split.human_rows):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable


def test_features_are_windows_normalised_root_behind_joints(path: Path) -> None:
    folder = DataFolder(path)
    split, rows = folder.split("test"), np.array([3, 0, 3])
    spec = folder.spec(root=True)
    features = split.robot_features(rows, spec)
    assert features.dtype == np.float32
    raw = np.concatenate([split.robot[rows], split.robot_root[rows]], axis=-1)
    mean = np.concatenate([np.load(path / "mean.npy"), np.load(path / "g1_root_mean.npy")])
    std = np.concatenate([np.load(path / "std.npy"), np.load(path / "g1_root_std.npy")])
    np.testing.assert_allclose(features, (raw - mean) / std, rtol=1e-5, atol=1e-5)
    joints = folder.spec(root=False)
    np.testing.assert_array_equal(split.robot_features(rows, joints), features[..., :29])
    human = split.human_features(rows, spec)
    np.testing.assert_allclose(
        human[..., 126:] * np.load(path / "human_root_std.npy") + np.load(path / "human_root_mean.npy"),
        split.human_root[rows],
        atol=1e-5,
    )
    np.testing.assert_array_equal(split.human_features(rows, joints), human[..., :126])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: (path / "manifest.json").unlink(), "data: no manifest.json in it"),
        (lambda path: (path / "manifest.json").write_text(""), "manifest.json: not JSON"),
        (lambda path: (path / "manifest.json").write_bytes(b"\xff\xfe"), "manifest.json: not JSON"),
        (lambda path: (path / "manifest.json").write_text("[]"), "manifest.json: format_version is None"),
        (cut("manifest.json", 200), "manifest.json: not JSON"),
        (in_manifest(format_version=99), "manifest.json: format_version is 99, this version reads 1"),
        (in_manifest(format_version=None), "manifest.json: format_version is None"),
        (in_manifest(fps=None, stride=None), "manifest.json: lacks fps, stride"),
        (in_manifest(fps=0), "manifest.json: fps must be positive, it is 0"),
        (in_manifest(splits={"train": {"windows": 3}}), "lacks human_windows of train, jerk_cubic of train"),
        (lambda path: (path / "mean.npy").unlink(), "mean.npy: missing"),
        (lambda path: (path / "human_root_test.npy").unlink(), "human_root_test.npy: missing"),
        (cut("g1_train.npy", 0), "g1_train.npy: not a whole NPY file"),
        (cut("g1_train.npy", 20), "g1_train.npy: not a whole NPY file"),
        (cut("g1_train.npy", 4000), "g1_train.npy: not a whole NPY file"),
        (cut("human_std.npy", 500), "human_std.npy: not a whole NPY file"),
        (stored("g1_val.npy", lambda x: x[1:]), r"g1_val.npy: float32 \(.*expected .* by the manifest"),
        (stored("g1_val.npy", lambda x: x[..., 1:]), r"g1_val.npy: float32 \(.*28\), expected .*29\)"),
        (stored("human_root_train.npy", lambda x: x[..., :6]), "human_root_train.npy"),
        (stored("g1_train.npy", lambda x: x.astype(str)), "g1_train.npy: <U32 .*expected floating-point numbers"),
        (stored("g1_train.npy", lambda x: x.astype(object)), "g1_train.npy"),
        (stored("human_rows_train.npy", lambda x: x.astype(float)), "human_rows_train.npy: float64 .*whole numbers"),
        (stored("human_rows_train.npy", lambda x: x + 1000), "human_rows_train.npy: names a window that is not"),
        (stored("human_rows_train.npy", lambda x: x - 1), "human_rows_train.npy: names a window that is not"),
        (stored("std.npy", lambda x: 0 * x), "std.npy: holds a value that cannot be"),
        (stored("human_mean.npy", lambda x: x * np.nan), "human_mean.npy: holds a value that cannot be"),
        (stored("mean.npy", lambda x: x[:5]), r"mean.npy: float64 \(5,\), expected .*\(29,\)"),
        (stored("g1_test.npy", with_nan), "g1_test.npy: window 5 holds a value that is no finite number"),
        (stored("human_root_test.npy", with_nan), "human_root_test.npy: window 5 holds"),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_refused_by_file(damage: Damage, told: str, path: Path) -> None:
    damage(path)
    with pytest.raises(UserError, match=told) as caught:
        use(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_split_is_refused_with_the_choices(path: Path) -> None:
    with pytest.raises(UserError, match="data: no split 'dev' in it, only train, val, test"):
        DataFolder(path).split("dev")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone: no manifest\.json"):
        DataFolder(tmp_path / "gone")
