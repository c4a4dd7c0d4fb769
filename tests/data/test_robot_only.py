"""Windows of motion files: held out by time, of any joints, with the root's orientation told in either way."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.data.features import FeatureSpec, RootStart
from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.motion_files import MotionWindowConfig, process_motion
from g1_vq_retarget.data.process import WindowConfig
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import (
    Orientation,
    Provenance,
    RobotClip,
    integrate_root,
    mirror,
    root_columns,
    root_features,
)
from g1_vq_retarget.motion.formats import save_motion, write_motionvqvae_npy
from g1_vq_retarget.motion.root import heading
from g1_vq_retarget.robot import load_robot
from synthetic import data_folder, human_clip, other_robot_clip, pair, robot_clip

FPS = 50.0
SMALL = MotionWindowConfig(window=16, stride=8)


# The exponential map in the root stream


def about(axis: str, degrees: float | np.ndarray) -> Rotation:
    return Rotation.from_euler(axis, np.reshape(degrees, (-1, 1)), degrees=True)


def assert_returns(pos: np.ndarray, rotation: Rotation) -> None:
    features = root_features(pos, rotation, FPS, "expmap")
    assert features.shape == (len(pos), 6)
    start = (pos[0, 0], pos[0, 1])
    back_pos, back = integrate_root(features, FPS, start, heading(rotation)[0], "expmap")
    np.testing.assert_allclose(back_pos, pos, atol=1e-9)
    assert (back.inv() * rotation).magnitude().max() < 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_integrating_the_stream_returns_to_the_same_poses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert_returns(rng.normal(size=(200, 3)), Rotation.random(200, rng))


@pytest.mark.parametrize("tilt", [("y", 90), ("y", -90), ("x", 90), ("x", -150), ("y", 179.9), ("x", 180)])
def test_lying_and_upside_down_poses_return_too(tilt: tuple[str, float]) -> None:
    assert_returns(np.ones((30, 3)), about("z", np.linspace(-170, 170, 30)) * about(*tilt))


def test_the_columns_worked_by_hand() -> None:
    assert root_columns("expmap") == ("height", "swing_x", "swing_y", "vel_forward", "vel_left", "yaw_rate")
    # facing -x, bowing by 30 degrees, walking along -y (to the left) at 1 m/s, not turning
    pos = np.stack([np.zeros(3), -np.arange(3) / FPS, np.full(3, 0.8)], axis=1)
    features = root_features(pos, about("z", np.full(3, 180.0)) * about("y", 30.0), FPS, "expmap")
    np.testing.assert_allclose(features, np.tile([0.8, 0, np.deg2rad(30), 0, 1, 0], (3, 1)), atol=1e-9)


def test_heading_leaves_no_trace() -> None:
    rng = np.random.default_rng(0)
    pos, rotation, turn = rng.normal(size=(50, 3)), Rotation.random(50, rng), about("z", 123.0)
    expected = root_features(pos, rotation, FPS, "expmap")
    np.testing.assert_allclose(root_features(turn.apply(pos), turn * rotation, FPS, "expmap"), expected, atol=1e-6)


def spec(orientation: Orientation) -> FeatureSpec:
    """Features with a mean and a deviation of their own in every column."""
    rng, root = np.random.default_rng(0), len(root_columns(orientation))

    def columns(count: int, low: float) -> list[float]:
        return rng.uniform(low, 2, count + root).tolist()

    return FeatureSpec(
        robot="g1",
        joint_names=list(load_robot().joint_names),
        fps=FPS,
        root=True,
        robot_mean=columns(29, -2),
        robot_std=columns(29, 0.1),
        human_mean=columns(126, -2),
        human_std=columns(126, 0.1),
        orientation=orientation,
    )


def test_mirroring_features_is_mirroring_the_motion() -> None:
    features, robot = spec("expmap"), load_robot()
    mirror_robot, mirror_human = features.mirrors()
    clip, human = robot_clip(30, 5, FPS), human_clip(30, 5, FPS)
    for turn, here, there in (
        (mirror_robot, features.robot_features(clip), features.robot_features(mirror(clip, robot))),
        (mirror_human, features.human_features(human), features.human_features(mirror(human, robot))),
    ):
        np.testing.assert_allclose(turn(torch.from_numpy(here)).numpy(), there, atol=1e-9)


@pytest.mark.parametrize("degrees", [0, 90, -90], ids=["upright", "on the belly", "on the back"])
def test_a_clip_comes_back_from_its_features(degrees: float) -> None:
    clip = robot_clip(40, 3, FPS)
    lying = (clip.root_rotation * about("y", degrees)).as_quat(scalar_first=True)
    clip = replace(clip, root_quat_w=lying)
    features = spec("expmap")
    back = features.robot_clip(features.robot_features(clip), "", RootStart.of(clip, 0.8), Provenance())
    np.testing.assert_allclose(back.root_pos_w, clip.root_pos_w, atol=1e-9)
    assert (back.root_rotation.inv() * clip.root_rotation).magnitude().max() < 1e-6


def test_a_spec_tells_its_orientation_and_older_ones_mean_up() -> None:
    values = spec("expmap").to_dict()
    assert FeatureSpec.from_dict(values) == spec("expmap")
    older = {key: value for key, value in spec("up").to_dict().items() if key != "orientation"}
    assert FeatureSpec.from_dict(older) == spec("up")


def test_a_folder_of_pairs_may_use_it(tmp_path: Path) -> None:
    config = WindowConfig(fps=30, window=16, stride=8, orientation="expmap")
    robot, human = pair("dance", 60, 0)
    folder = data_folder(tmp_path / "data", {"train": [(robot, human)]}, config)
    split, made = folder.split("train"), folder.spec(root=True)
    assert (made.orientation, split.robot_root.shape[-1], split.human_root.shape[-1]) == ("expmap", 6, 6)
    np.testing.assert_allclose(split.robot_features(np.arange(1), made)[0], made.robot_features(robot)[:16], atol=1e-4)
    np.testing.assert_allclose(split.human_features(np.arange(1), made)[0], made.human_features(human)[:16], atol=1e-4)


def test_an_unknown_orientation_is_refused(tmp_path: Path) -> None:
    path = data_folder(tmp_path / "data").path / "manifest.json"
    path.write_text(path.read_text().replace('"orientation": "up"', '"orientation": "down"'))
    with pytest.raises(UserError, match=r"manifest\.json: orientation is 'down'"):
        DataFolder(path.parent)


# Motion files


def written(folder: Path, clips: Sequence[RobotClip], name: str = "motion") -> Path:
    path = folder / f"{name}.npy"
    write_motionvqvae_npy(clips, path)
    return path


def counting(frames: int, fps: float = FPS, joints: int = 3) -> RobotClip:
    """Joint k holds k and, behind the point, the frame: 2.0017 is joint 2 at frame 17."""
    joint_pos = np.arange(joints) + np.arange(frames)[:, None] / 10000
    return replace(other_robot_clip(frames, 0, joints, fps), joint_pos=joint_pos)


def frames_of(folder: DataFolder, split: str) -> set[int]:
    return set(np.rint(10000 * (folder.split(split).robot[..., 0] % 1)).astype(int).ravel().tolist())


def test_the_last_tenth_of_each_clip_is_val_and_never_trained_on(tmp_path: Path) -> None:
    path = written(tmp_path, [counting(400)])
    process_motion([path], tmp_path / "data", replace(SMALL, stride=1))
    folder = DataFolder(tmp_path / "data")
    assert frames_of(folder, "train") == set(range(360))
    assert frames_of(folder, "val") == set(range(360, 400))
    assert [(clip["name"], clip["split"]) for clip in folder.manifest["clips"]] == [
        ("motion", "train"),
        ("motion_end", "val"),
    ]


@pytest.mark.parametrize("fps", [30.0, 60.0, 120.0])
def test_nor_is_it_by_way_of_resampling(fps: float, tmp_path: Path) -> None:
    # a jump where val begins: a spline across it would ring into train
    clip = counting(1200, 120.0)
    clip.joint_pos[1080:] += 1
    process_motion([written(tmp_path, [clip])], tmp_path / "data", replace(SMALL, fps=fps))
    folder = DataFolder(tmp_path / "data")
    assert folder.split("train").robot[..., 0].max() < 0.1080
    assert folder.split("val").robot[..., 0].min() >= 1.1080


def test_a_clip_whose_tenth_holds_no_window_is_all_for_training(tmp_path: Path) -> None:
    path = written(tmp_path, [counting(159), counting(160)])
    process_motion([path], tmp_path / "data", replace(SMALL, stride=1))
    clips = DataFolder(tmp_path / "data").manifest["clips"]
    assert [(clip["name"], clip["split"], clip["frames"]) for clip in clips] == [
        ("motion_0", "train", 159),
        ("motion_1", "train", 144),
        ("motion_1_end", "val", 16),
    ]


def test_without_any_such_clip_there_is_no_val(tmp_path: Path) -> None:
    process_motion([written(tmp_path, [counting(60)])], tmp_path / "data", SMALL)
    assert DataFolder(tmp_path / "data").splits == ["train"]


def test_the_seed_protocol_trains_on_everything(tmp_path: Path) -> None:
    path = written(tmp_path, [counting(400)])
    process_motion([path], tmp_path / "data", replace(SMALL, protocol="seed"))
    assert DataFolder(tmp_path / "data").splits == ["train"]


def test_clips_shorter_than_a_window_are_left_out_and_told(tmp_path: Path) -> None:
    path = written(tmp_path, [counting(60), counting(15), counting(16)])
    with pytest.warns(UserWarning, match="1 of 3 clips are shorter than a window of 16 frames at 50 fps .*motion_1"):
        process_motion([path], tmp_path / "data", SMALL)
    assert [clip["name"] for clip in DataFolder(tmp_path / "data").manifest["clips"]] == ["motion_0", "motion_2"]
    with pytest.raises(UserError, match=r"motion\.npy: no clip is as long as .*--windows\.window"):
        process_motion([path], tmp_path / "none", replace(SMALL, window=64))
    assert not (tmp_path / "none").exists()


def test_the_rate_is_that_of_the_first_clip_unless_told(tmp_path: Path) -> None:
    files = [written(tmp_path, [counting(60, fps)], f"{fps:g}") for fps in (40.0, 80.0)]
    process_motion(files, tmp_path / "data", SMALL)
    folder = DataFolder(tmp_path / "data")
    assert (folder.fps, folder.split("train").clip_of_row) == (40.0, ["40"] * 6 + ["80"] * 2)
    process_motion(files, tmp_path / "data", replace(SMALL, fps=25.0))
    assert DataFolder(tmp_path / "data").fps == 25.0


def test_the_joints_of_the_g1_have_its_link_table_and_no_others(tmp_path: Path) -> None:
    save_motion(robot_clip(60), tmp_path / "g1.csv", "csv")
    save_motion(robot_clip(60), tmp_path / "g1.npz", "npz")
    process_motion([tmp_path / "g1.csv", tmp_path / "g1.npz"], tmp_path / "g1", SMALL, licence="CC0")
    g1 = DataFolder(tmp_path / "g1")
    assert (g1.robot, g1.joint_names) == ("g1", list(load_robot().joint_names))
    assert g1.manifest["licences"] == ["CC0", "CC0 robot"]  # what a file tells stands
    assert g1.spec(root=True).robot_model() is load_robot("g1")
    process_motion([written(tmp_path, [other_robot_clip(60)])], tmp_path / "other", SMALL)
    other = DataFolder(tmp_path / "other")
    assert (other.robot, other.joint_names) == ("", [f"joint_{joint:02d}" for joint in range(24)])
    assert other.spec(root=True).robot_model() is None
    assert other.split("train").robot.shape[1:] == (16, 24)


# Which joints


def test_the_joint_map_picks_the_columns_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, [counting(40, joints=5)])
    manifest = process_motion([path], tmp_path / "data", replace(SMALL, sim_to_real=[4, 0, 2]))
    folder = DataFolder(tmp_path / "data")
    assert (manifest["sim_to_real"], folder.joint_names) == ([4, 0, 2], ["joint_04", "joint_00", "joint_02"])
    np.testing.assert_allclose(folder.split("train").robot[0, 0], [4, 0, 2], atol=1e-6)


def test_the_joint_map_and_names_make_the_g1_of_a_file_in_the_simulators_order(tmp_path: Path) -> None:
    robot = load_robot()
    clip = robot_clip(60)
    path = written(tmp_path, [clip.with_joint_order(robot.joint_names_isaac)])
    columns = [robot.joint_names_isaac.index(name) for name in robot.joint_names]
    config = replace(SMALL, sim_to_real=columns, joints=list(robot.joint_names))
    process_motion([path], tmp_path / "data", config)
    folder = DataFolder(tmp_path / "data")
    assert folder.robot == "g1"
    np.testing.assert_allclose(folder.split("train").robot[0], clip.joint_pos[:16], atol=1e-6)
    # the limits of the robot tell a wrong map
    with pytest.raises(UserError, match=r"motion\.npy/motion: .* rad beyond its limits"):
        process_motion([path], tmp_path / "wrong", replace(config, sim_to_real=list(range(29))))


def test_joints_may_be_picked_by_name(tmp_path: Path) -> None:
    save_motion(robot_clip(60), tmp_path / "g1.npz", "npz")
    names = ["right_knee_joint", "left_knee_joint"]
    process_motion([tmp_path / "g1.npz"], tmp_path / "data", replace(SMALL, joints=names))
    folder = DataFolder(tmp_path / "data")
    assert (folder.robot, folder.joint_names) == ("", names)
    expected = robot_clip(60).with_joint_order(names).joint_pos[:16]
    np.testing.assert_allclose(folder.split("train").robot[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sim_to_real": [0, 3]}, r"motion\.npy/motion: --sim-to-real names column 3, the joints are 0 to 2"),
        ({"sim_to_real": [0, -1]}, "names column -1"),
        ({"sim_to_real": [0, 0]}, "--sim-to-real names a joint twice"),
        ({"joints": ["a", "a"]}, "--joints names a joint twice"),
        ({"joints": ["elbow"]}, r"motion\.npy/motion: joint order: elbow not among joint_00"),
        ({"sim_to_real": [0, 1], "joints": ["hip"]}, "--sim-to-real picks 2 joints, --joints names 1"),
        ({"fps": -1.0}, "--fps"),
        ({"window": 3}, "--window"),
    ],
)
def test_windows_that_cannot_be_are_refused(changes: dict, told: str, tmp_path: Path) -> None:
    path = written(tmp_path, [counting(60)])
    with pytest.raises(UserError, match=told):
        process_motion([path], tmp_path / "data", replace(SMALL, **changes))
    assert not (tmp_path / "data").exists()


def test_files_of_different_joints_are_refused(tmp_path: Path) -> None:
    files = [written(tmp_path, [counting(60, joints=joints)], f"of_{joints}") for joints in (3, 4)]
    with pytest.raises(UserError, match=r"of_4\.npy/of_4: .*joint_03; .*--joints"):
        process_motion(files, tmp_path / "data", SMALL)


def test_humans_are_refused(tmp_path: Path) -> None:
    save_motion(human_clip(60), tmp_path / "human.npz", "npz")
    with pytest.raises(UserError, match=r"human\.npz: holds human motion"):
        process_motion([tmp_path / "human.npz"], tmp_path / "data", SMALL)
    robot, human = pair("dance", 60, 0)
    config = WindowConfig(window=16, stride=8, joints=["left_knee_joint"])
    with pytest.raises(UserError, match=r"dance\.bvh: human motion needs a robot whose links are known"):
        data_folder(tmp_path / "data", {"train": [(robot, human)]}, config)


def test_known_joints_within_their_limits_need_no_warning(tmp_path: Path) -> None:
    save_motion(robot_clip(60), tmp_path / "g1.csv", "csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        process_motion([tmp_path / "g1.csv"], tmp_path / "data", SMALL)
