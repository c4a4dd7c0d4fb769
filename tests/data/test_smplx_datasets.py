"""`process_data.py --source smplx_datasets`, on files written in the layout that the archive unpacks to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.data.download import MANIFEST
from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik
from g1_vq_retarget.data.sample import sample_clips
from g1_vq_retarget.data.smplx_datasets import LAYOUT
from g1_vq_retarget.motion import HumanClip, RobotClip, resample
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.motion.formats.tracking_npz import write_tracking_npz
from g1_vq_retarget.robot import load_robot
from running import Outcome, run_script
from synthetic import human_clip, robot_clip

NAMES = ("dance1", "run1", "walk1")


def write(folder: Path, name: str, robot: RobotClip, human: HumanClip) -> None:
    """A file as the producer of the set writes it: Isaac's order, two columns a rotation, row by row."""
    path = folder / LAYOUT / f"{name}.npz"
    write_tracking_npz(robot, path, load_robot(), "isaac")
    with np.load(path) as file:
        arrays: dict = {key: file[key] for key in file if key not in ("joint_names", "body_names", "licence")}
    matrices = human.local_rotations.as_matrix().reshape(len(human), 21, 3, 3)
    arrays["smplx_pose_body"] = matrices[..., :2].reshape(len(human), 21, 6).astype(np.float32)
    arrays["robot_keypoints_trans"] = np.zeros((len(robot), 5, 3), np.float32)
    np.savez(path, **arrays)


def process(folder: Path, out: Path, capsys: pytest.CaptureFixture[str], *more: object) -> Outcome:
    split = folder / "split.json"
    split.write_text(json.dumps({"train": [NAMES[0]], "val": [NAMES[1]], "test": [NAMES[2]]}))
    args = ("--source", "smplx_datasets", "--robot-dir", folder, "--split", split, "--out", out)
    return run_script("data/process_data", (*args, *more), capsys)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips at 50 fps, and beside them what their human side looks like to a model."""
    folder = tmp_path_factory.mktemp("made_up")
    for seed, name in enumerate(NAMES):
        human = human_clip(80, seed, fps=50.0)
        write(folder, name, robot_clip(80, seed, fps=50.0), human)
        np.save(folder / f"{name}.npy", human.rotation_features())
    return folder


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of the built-in sample, a stretch of three of its clips."""
    pytest.importorskip("mink")
    folder, robot = tmp_path_factory.mktemp("sample"), load_robot()
    for name, clip in zip(NAMES, sample_clips(0), strict=False):
        human = clip[: int(1.5 * clip.fps)]
        write(folder, name, resample(retarget_by_ik(human, robot), 50), resample(human, 50))
        np.save(folder / f"{name}.npy", resample(human, 50).rotation_features())
    return folder


@pytest.mark.parametrize("clips", ["made_up", pytest.param("sample", marks=pytest.mark.slow)])
def test_windows_are_made_of_files_in_this_layout(
    clips: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = request.getfixturevalue(clips)
    out = tmp_path / "data"
    outcome = process(source, out, capsys)
    assert outcome.code == 0, outcome.err
    assert "licence of the data: unknown (ModelScope seulzx/smplx_datasets, made of LAFAN1)" in outcome.out
    folder = DataFolder(out)
    assert folder.manifest["human_root"].startswith("the robot's")
    assert {clip["human"]["file"] for clip in folder.manifest["clips"]} == {f"{name}.npz" for name in NAMES}
    split = folder.split("train")
    assert len(split.human) == len(split.robot)
    np.testing.assert_allclose(split.human[0], np.load(source / f"{NAMES[0]}.npy")[:64], atol=1e-4)
    # the root is the robot's: it leans, travels and turns alike, heights and velocities up to the size of a body
    robot, human = np.asarray(split.robot_root), np.asarray(split.human_root)
    np.testing.assert_allclose(human[..., 1:4], robot[..., 1:4], atol=1e-4)
    np.testing.assert_allclose(human[..., -1], robot[..., -1], atol=1e-3)


def test_real_pairs_in_this_layout_are_read_as_they_were(
    lafan1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [path for path in (lafan1 / "bvh").glob("*.bvh") if (lafan1 / "g1" / f"{path.stem}.csv").is_file()]
    shortest = min(pairs, key=lambda path: path.stat().st_size)
    robot, human = load_motion(lafan1 / "g1" / f"{shortest.stem}.csv"), load_motion(shortest)
    assert isinstance(robot, RobotClip)
    assert isinstance(human, HumanClip)
    firsts = dict(zip(NAMES, (300, 900, 1500), strict=True))
    for name, first in firsts.items():
        write(tmp_path, name, robot[first : first + 100], human[first : first + 100])
    outcome = process(tmp_path, tmp_path / "data", capsys, "--fps", 30)
    assert outcome.code == 0, outcome.err
    folder = DataFolder(tmp_path / "data")
    for split, first in zip(folder.splits, firsts.values(), strict=True):
        part = slice(first, first + 64)
        np.testing.assert_allclose(folder.split(split).robot[0], robot.joint_pos[part], atol=1e-5)
        np.testing.assert_allclose(folder.split(split).human[0], human[part].rotation_features(), atol=1e-4)


def test_a_download_tells_its_licence_and_files_of_a_mac_are_passed_over(
    made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(made_up, tmp_path / "raw")
    (folder / LAYOUT / "._dance1.npz").write_bytes(b"\0\5\26\7 a Mac's")
    manifest = {"format_version": 1, "source": "smplx", "licence": "as told", "revision": "master", "files": []}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    outcome = process(folder, tmp_path / "data", capsys)
    assert outcome.code == 0, outcome.err
    assert "licence of the data: as told" in outcome.out


def test_the_seed_protocol_needs_no_split_and_takes_the_folder_itself(
    made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = (
        "--source",
        "smplx_datasets",
        "--robot-dir",
        made_up / LAYOUT,
        "--protocol",
        "seed",
        "--out",
        tmp_path / "d",
    )
    assert run_script("data/process_data", args, capsys).code == 0
    assert DataFolder(tmp_path / "d").splits == ["train"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--robot-dir", "nowhere"), "nowhere: holds no extended_datasets/lafan1_dataset/g1/train/*.npz"),
        (("--human-dir", "bvh"), "--human-dir has no meaning"),
        (("--joint-order", "mujoco"), "dance1.npz: "),
        (("--rotation-order", "rows"), "no rotations in the order rows"),
    ],
)
def test_what_cannot_be_read_makes_no_windows(
    flags: tuple[str, ...], told: str, made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = process(made_up, tmp_path / "data", capsys, *flags)
    assert outcome.code == 2
    assert told in outcome.err
    assert not (tmp_path / "data").exists()
