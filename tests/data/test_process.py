from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from g1_vq_retarget.data.features import MIN_STD, human_root, robot_root
from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.process import ClipFiles, WindowConfig, pair_by_stem, process, read_split
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, RobotClip, resample, resampled_length
from g1_vq_retarget.motion.formats import read_bvh, read_unitree_csv
from g1_vq_retarget.motion.time import Interpolation
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.training.metrics import jerk_share
from synthetic import data_folder, human_clip, pair, robot_clip

Clips = dict[str, list[tuple[RobotClip, HumanClip | None]]]
SMALL = WindowConfig(window=16, stride=8)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def clips() -> Clips:
    return {
        "train": [pair("dance", 90, 0), (robot_clip(80, 1, name="run"), None), pair("hop", 70, 2)],
        "val": [(robot_clip(60, 3, name="walk"), None)],
        "test": [(robot_clip(70, 4, name="sit"), None), pair("jump", 80, 5)],
    }


# What is written


def test_a_clip_gives_the_windows_that_fit_into_it(clips: Clips, tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "data", clips, SMALL)
    for split, entries in clips.items():
        frames = [resampled_length(len(robot), robot.fps, 50) for robot, _ in entries]
        assert len(folder.split(split)) == sum((count - 16) // 8 + 1 for count in frames)


def test_windows_are_those_of_the_resampled_clips_in_order(clips: Clips, tmp_path: Path) -> None:
    split = data_folder(tmp_path / "data", clips, SMALL).split("train")
    row = 0
    for robot, _ in clips["train"]:
        clip = resample(robot, 50, "cubic")
        root = robot_root(clip)
        for start in range(0, len(clip) - 15, 8):
            np.testing.assert_allclose(split.robot[row], clip.joint_pos[start : start + 16], atol=1e-6)
            np.testing.assert_allclose(split.robot_root[row], root[start : start + 16], atol=1e-5)
            assert split.clip_of_row[row] == robot.name
            row += 1
    assert row == len(split)


def test_human_rows_point_to_the_robot_windows_of_the_same_clip_and_time(clips: Clips, tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "data", clips, SMALL)
    for name, entries in clips.items():
        split, first, pairs = folder.split(name), 0, 0
        for robot, human in entries:
            windows = split.clip_of_row.count(robot.name)
            if human is not None:
                clip = resample(human, 50)
                rotations, root = clip.rotation_features(), human_root(clip)
                for window in range(windows):
                    assert split.human_rows[pairs] == first + window
                    here = slice(8 * window, 8 * window + 16)
                    np.testing.assert_allclose(split.human[pairs], rotations[here], atol=1e-6)
                    np.testing.assert_allclose(split.human_root[pairs], root[here], atol=1e-5)
                    pairs += 1
            first += windows
        assert len(split.human) == len(split.human_rows) == pairs


@pytest.mark.parametrize(("fps", "window", "stride"), [(50, 64, 32), (30, 20, 20), (24, 4, 1), (120, 100, 7)])
def test_rate_window_and_stride_come_from_the_configuration(
    fps: float, window: int, stride: int, clips: Clips, tmp_path: Path
) -> None:
    folder = data_folder(tmp_path / "data", clips, WindowConfig(fps=fps, window=window, stride=stride))
    assert (folder.fps, folder.window, folder.manifest["stride"]) == (fps, window, stride)
    split = folder.split("test")
    frames = [resampled_length(len(robot), robot.fps, fps) for robot, _ in clips["test"]]
    assert split.robot.shape == (sum((count - window) // stride + 1 for count in frames), window, 29)
    assert split.human.shape[1:] == (window, 126)
    assert folder.spec(root=True).fps == fps


def test_every_robot_frame_is_normalised_over_the_windows_of_train(clips: Clips, tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "data", clips, SMALL)
    split = folder.split("train")
    for root in (True, False):
        spec = folder.spec(root)
        robot = split.robot_features(np.arange(len(split)), spec)
        human = split.human_features(np.arange(len(split.human)), spec)
        assert robot.shape[-1] == 29 + 7 * root
        assert human.shape[-1] == 126 + 7 * root
        for features in (robot, human):
            np.testing.assert_allclose(features.mean(axis=(0, 1)), 0, atol=1e-4)
        np.testing.assert_allclose(robot.std(axis=(0, 1)), 1, atol=1e-4)
        assert human.std(axis=(0, 1)).max() < 1 + 1e-4  # columns that hardly move are not blown up
        assert min(spec.human_std[:126]) == MIN_STD["human"]


def test_held_out_clips_leave_the_normalisation_as_it_is(clips: Clips, tmp_path: Path) -> None:
    one = data_folder(tmp_path / "one", clips, SMALL)
    other = data_folder(
        tmp_path / "other",
        clips | {"val": [pair("leap", 95, 8)], "test": [(robot_clip(60, 9, name="lie"), None)]},
        SMALL,
    )
    moved = data_folder(tmp_path / "moved", clips | {"train": clips["train"][:2]}, SMALL)
    for root in (True, False):
        assert one.spec(root) == other.spec(root)
        assert one.spec(root) != moved.spec(root)
    np.testing.assert_array_equal(one.split("train").robot, other.split("train").robot)


def test_statistics_of_a_side_that_is_not_there_leave_numbers_as_they_are(tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "data", {"train": [(robot_clip(60), None)]}, SMALL)
    spec = folder.spec(root=True)
    assert (spec.human_mean, spec.human_std) == ([0.0] * 133, [1.0] * 133)
    split = folder.split("train")
    assert split.human_features(np.arange(0), spec).shape == (0, 16, 133)


@pytest.mark.parametrize(
    ("config", "interpolation"),
    [
        (WindowConfig(), "cubic"),
        (WindowConfig(protocol="seed"), "linear"),
        (WindowConfig(protocol="seed", interpolation="cubic"), "cubic"),
        (WindowConfig(interpolation="linear"), "linear"),
    ],
)
def test_the_protocol_chooses_the_interpolation_unless_told(
    config: WindowConfig, interpolation: Interpolation, tmp_path: Path
) -> None:
    clip = robot_clip(60)
    folder = data_folder(tmp_path / "data", {"train": [(clip, None)]}, replace(config, window=16, stride=8))
    assert folder.manifest["interpolation"] == interpolation
    expected = resample(clip, 50, interpolation).joint_pos[:16]
    np.testing.assert_allclose(folder.split("train").robot[0], expected, atol=1e-6)


def test_jerk_is_measured_on_the_cubic_resampled_truth(tmp_path: Path) -> None:
    clip = robot_clip(60)
    yardsticks = [
        data_folder(tmp_path / protocol, {"train": [(clip, None)]}, WindowConfig(50, 16, 8, protocol)).split("train")
        for protocol in ("seed", "heldout")
    ]
    np.testing.assert_array_equal(yardsticks[0].jerk_cubic, yardsticks[1].jerk_cubic)
    # worked by hand: third differences x3 - 3 x2 + 3 x1 - x0 within each window
    x = yardsticks[1].robot.astype(float)
    third = x[:, 3:] - 3 * x[:, 2:-1] + 3 * x[:, 1:-2] - x[:, :-3]
    np.testing.assert_allclose(yardsticks[0].jerk_cubic, (third**2).mean(axis=(0, 1)), rtol=1e-2)
    np.testing.assert_allclose(yardsticks[1].jerk, (third**2).mean(axis=(0, 1)))


@pytest.mark.parametrize("protocol", ["seed", "heldout"])
def test_jerk_of_linear_interpolation_is_not_the_truths(protocol: Literal["seed", "heldout"], tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "data", {"train": [(robot_clip(60), None)]}, WindowConfig(50, 16, 8, protocol))
    split, spec = folder.split("train"), folder.spec(True)
    share = jerk_share(split, spec)
    assert share < 0.8 if protocol == "seed" else share == pytest.approx(1.0, abs=0.02)
    # of a mean over joints in standard deviations, worked out here
    weights = 1 / np.square(spec.robot_std[: spec.joints])
    assert share == pytest.approx((weights * split.jerk_cubic).sum() / (weights * split.jerk).sum())


def test_the_manifest_tells_what_went_in(clips: Clips, tmp_path: Path) -> None:
    manifest = data_folder(tmp_path / "data", clips, SMALL).manifest
    assert manifest["joint_names"] == list(load_robot().joint_names)
    assert [clip["name"] for clip in manifest["clips"]] == ["dance", "run", "hop", "walk", "sit", "jump"]
    assert [clip["split"] for clip in manifest["clips"]] == ["train"] * 3 + ["val"] + ["test"] * 2
    assert manifest["licences"] == ["CC0 human", "CC0 robot"]
    assert manifest["clips"][0]["human"] == {
        "file": "dance.bvh", "sha256": "", "licence": "CC0 human", "frames": 90, "fps": 30.0,
    }  # fmt: skip
    assert "human" not in manifest["clips"][1]
    assert sum(clip["windows"] for clip in manifest["clips"]) == sum(s["windows"] for s in manifest["splits"].values())


def test_the_same_clips_give_the_same_bytes(clips: Clips, tmp_path: Path) -> None:
    data_folder(tmp_path / "one", clips, SMALL)
    data_folder(tmp_path / "two", clips, SMALL)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


# Pairs


@pytest.mark.parametrize("human_frames", [59, 61])
def test_sides_one_frame_apart_are_cut_to_the_shorter(human_frames: int, tmp_path: Path) -> None:
    config = WindowConfig(fps=30, window=16, stride=1)
    folder = data_folder(tmp_path / "data", {"train": [(robot_clip(60), human_clip(human_frames))]}, config)
    split = folder.split("train")
    assert len(split.robot) == len(split.human) == min(60, human_frames) - 15
    assert folder.manifest["clips"][0]["frames"] == min(60, human_frames)


@pytest.mark.parametrize("human_frames", [58, 62])
def test_sides_further_apart_are_refused_by_both_names(human_frames: int, tmp_path: Path) -> None:
    clips: Clips = {"train": [(robot_clip(60, name="walk"), human_clip(human_frames))]}
    with pytest.raises(UserError, match=rf"walk\.bvh has {human_frames} frames .*walk\.csv has 60") as caught:
        data_folder(tmp_path / "data", clips, SMALL)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_sides_of_different_rates_are_compared_by_time(tmp_path: Path) -> None:
    twice = human_clip(119, fps=60)
    folder = data_folder(tmp_path / "data", {"train": [(robot_clip(60), twice)]}, SMALL)
    split = folder.split("train")
    np.testing.assert_allclose(split.human[1], resample(twice, 50).rotation_features()[8:24], atol=1e-6)
    with pytest.raises(UserError, match=r"60 fps.*30 fps"):
        data_folder(tmp_path / "data2", {"train": [(robot_clip(60), human_clip(60, fps=60))]}, SMALL)


def test_stems_pair_files_and_what_is_alone_stays_alone(tmp_path: Path) -> None:
    for name in ("g1/a.csv", "g1/b.csv", "g1/notes.txt", "bvh/b.bvh", "bvh/c.bvh"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    robots, humans = tmp_path / "g1", tmp_path / "bvh"
    expected = [ClipFiles("a", robots / "a.csv", None), ClipFiles("b", robots / "b.csv", humans / "b.bvh")]
    assert pair_by_stem(robots, ".csv", humans, ".bvh") == expected
    assert all(clip.human is None for clip in pair_by_stem(robots, ".csv", None, ".bvh"))
    (humans / "b.bvh").unlink()
    with pytest.raises(UserError, match=r"bvh: no file there has the name of one in .*g1"):
        pair_by_stem(robots, ".csv", humans, ".bvh")
    with pytest.raises(UserError, match=r"g1: holds no \.bvh file"):
        pair_by_stem(robots, ".csv", robots, ".bvh")
    with pytest.raises(UserError, match="gone: no such folder"):
        pair_by_stem(tmp_path / "gone", ".csv", None, ".bvh")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"train": ["a"], "val": ["b"], "test": ["nobody"]}', "'nobody' of 'test' has no robot file"),
        ('{"train": ["a", "b"], "val": ["b"], "test": ["c"]}', "'b' stands in 'train' and in 'val'"),
        ('{"train": ["a", "a"], "val": ["b"], "test": ["c"]}', "'a' stands in 'train' and in 'train'"),
        ('{"train": ["a"], "val": ["b"]}', "key 'test' must be a list"),
        ('{"train": ["a"], "val": [], "test": ["c"]}', "key 'val' must be a list"),
        ('{"train": ["a"], "val": [["b"]], "test": ["c"]}', "key 'val' must be a list of clip names"),
        ('["a"]', "key 'train' must be a list"),
        ('{"train": ["a"', "cannot be read as a JSON split"),
    ],
)
def test_a_split_that_cannot_be_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_text(text)
    clips = [ClipFiles(name, Path(name), None) for name in "abc"]
    with pytest.raises(UserError, match=rf"split\.json: {told}".replace("[", r"\[")):
        read_split(path, clips)
    with pytest.raises(UserError, match=r"gone\.json: cannot be read"):
        read_split(tmp_path / "gone.json", clips)


# Whole or absent


def test_clips_without_a_window_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run\.csv: 15 frames at 50 fps are fewer than one window of 16"):
        data_folder(tmp_path / "data", {"train": [(robot_clip(10, name="run"), None)]}, SMALL)


def test_an_error_half_way_leaves_nothing(clips: Clips, tmp_path: Path) -> None:
    robots = {robot.name: robot for split in clips.values() for robot, _ in split}

    def read(path: Path) -> RobotClip:
        assert [file.name for file in tmp_path.iterdir()] == [".data.partial"]
        if path.stem == "walk":  # train is written by then
            assert (tmp_path / ".data.partial" / "g1_train.npy").is_file()
            raise UserError(f"{path}: spoiled")
        return robots[path.stem]

    splits = {name: [ClipFiles(r.name, Path(r.name), None) for r, _ in entries] for name, entries in clips.items()}
    with pytest.raises(UserError, match="walk: spoiled"):
        process(splits, tmp_path / "data", SMALL, load_robot(), read, human_only)
    assert list(tmp_path.iterdir()) == []


def human_only(path: Path) -> HumanClip:
    raise AssertionError(path)


def test_an_error_leaves_the_folder_that_was_there(clips: Clips, tmp_path: Path) -> None:
    data_folder(tmp_path / "data", clips, SMALL)
    before = contents(tmp_path)
    short: Clips = {"train": clips["train"], "val": [(robot_clip(5), None)], "test": clips["test"]}
    with pytest.raises(UserError, match="fewer than one window"):
        data_folder(tmp_path / "data", short, SMALL)
    assert contents(tmp_path) == before


def test_a_data_folder_is_replaced_as_a_whole(clips: Clips, tmp_path: Path) -> None:
    data_folder(tmp_path / "data", clips, SMALL)
    folder = data_folder(tmp_path / "data", {"train": [(robot_clip(60), None)]}, SMALL)
    assert folder.splits == ["train"]
    assert not (tmp_path / "data" / "g1_val.npy").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "years of work"},
        {"manifest.json": '{"name": "a web page"}', "index.html": "hello"},
        {"manifest.json": '{"name": "a web page"}'},
        {"manifest.json": "no JSON"},
        {"manifest.json": '{"format_version": 1}', "thesis.tex": "beside the windows"},
        {"numbers.npy": "somebody's"},
    ],
)
def test_a_folder_of_something_else_is_refused_and_stays(files: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "precious"
    out.mkdir()
    for name, text in files.items():
        (out / name).write_text(text)
    with pytest.raises(UserError, match="precious: exists and is no data folder"):
        data_folder(out)
    assert {path.name: path.read_text() for path in out.iterdir()} == files
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_file_in_the_place_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("here first")
    with pytest.raises(UserError, match="data: exists"):
        data_folder(tmp_path / "data")
    with pytest.raises(UserError, match="windows cannot be written"):
        data_folder(tmp_path / "data" / "windows")
    assert contents(tmp_path) == {"data": b"here first"}


def test_an_empty_folder_is_taken_also_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "elsewhere")
    data_folder(tmp_path / "data")
    assert DataFolder(tmp_path / "elsewhere").splits == ["train", "val", "test"]
    assert (tmp_path / "data").is_symlink()


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (WindowConfig(fps=0), "--fps must be a positive number, it is 0"),
        (WindowConfig(fps=-50), "--fps"),
        (WindowConfig(fps=float("nan")), "--fps"),
        (WindowConfig(fps=float("inf")), "--fps"),
        (WindowConfig(window=3), "--window must be at least 4"),
        (WindowConfig(stride=0), "--stride must be at least 1"),
    ],
)
def test_windows_that_cannot_be_are_refused(config: WindowConfig, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        data_folder(tmp_path / "data", config=config)
    assert list(tmp_path.iterdir()) == []


# Real motion


@pytest.fixture(scope="session")
def seed_folder(lafan1: Path, tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    """The seed protocol on all of LAFAN1; some ten seconds."""
    out, robot = tmp_path_factory.mktemp("lafan1") / "data", load_robot()
    splits = {"train": pair_by_stem(lafan1 / "g1", ".csv", lafan1 / "bvh", ".bvh")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of joints a little beyond their limits
        process(
            splits,
            out,
            WindowConfig(protocol="seed"),
            robot,
            lambda path: read_unitree_csv(path, robot=robot),
            read_bvh,
        )
    return DataFolder(out)


def test_the_seed_protocol_gives_the_windows_of_the_original_project(seed_folder: DataFolder) -> None:
    assert np.load(seed_folder.path / "g1_train.npy", mmap_mode="r").shape == (13726, 64, 29)
    assert seed_folder.splits == ["train"]
    split = seed_folder.split("train")
    assert split.human.shape == (1859, 64, 126)
    assert len(split) == 13726
    assert len(np.unique(split.human_rows)) == 1859
    clips = {split.clip_of_row[row] for row in split.human_rows}
    assert len(clips) == 8
    manifest = json.loads((seed_folder.path / "manifest.json").read_text())
    assert len(manifest["clips"]) == 40
    assert sum(clip["robot"]["frames"] for clip in manifest["clips"]) == 264_705
    assert sum(resampled_length(clip["robot"]["frames"], 30, 50) for clip in manifest["clips"]) == 441_120
    assert all(len(clip["robot"]["sha256"]) == 64 for clip in manifest["clips"])


def test_pairs_of_real_motion_move_alike(seed_folder: DataFolder) -> None:
    # the robot's path is the human's, shrunk; leg lengths stand in the human's root stream
    split = seed_folder.split("train")
    robot = np.asarray(split.robot_root)[np.asarray(split.human_rows)].reshape(-1, 7)
    human = np.asarray(split.human_root).reshape(-1, 7)
    for column, least in ((0, 0.9), (4, 0.9), (5, 0.9), (6, 0.9)):  # height, velocities, turning
        assert np.corrcoef(robot[:, column], human[:, column])[0, 1] > least
