from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.process import WindowConfig
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.retarget.export import export_window, find_run
from g1_vq_retarget.training.batches import load_batch
from synthetic import data_folder, robot_clip, save_started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return data_folder(tmp_path_factory.mktemp("export") / "data")


@pytest.fixture(scope="module")
def retargeter(folder: DataFolder) -> Retargeter:
    return Retargeter(save_started(folder.path.parent / "run" / "best.safetensors", folder))


def test_the_true_motion_is_the_window_and_the_others_are_its_tokens(
    retargeter: Retargeter, folder: DataFolder
) -> None:
    split = folder.split("test")
    for sample in (0, 3):
        row = int(split.human_rows[sample])
        clips = export_window(retargeter, folder, "test", sample)
        assert list(clips) == ["gt", "recon", "cross"]
        np.testing.assert_allclose(clips["gt"].joint_pos, split.robot[row])
        assert clips["gt"].name.startswith(split.clip_of_row[row])
        assert {clip.fps for clip in clips.values()} == {folder.fps}
        assert {len(clip) for clip in clips.values()} == {folder.window}
        assert {clip.provenance.licence for clip in clips.values()} == {"CC0 human; CC0 robot"}
    # the untrained model's robot path is a transform coder: nearer to the truth than its mean pose is
    truth = clips["gt"].joint_pos
    assert np.abs(clips["recon"].joint_pos - truth).mean() < np.abs(truth - retargeter.spec.robot_mean[:29]).mean()
    assert np.abs(clips["recon"].joint_pos - clips["cross"].joint_pos).max() > 1e-3


def test_they_are_what_training_decodes_for_the_same_pair(retargeter: Retargeter, folder: DataFolder) -> None:
    split, spec = folder.split("test"), retargeter.spec
    batch = load_batch(split, spec, np.asarray(split.human_rows), np.arange(len(split.human)))
    with torch.inference_mode():
        forward = retargeter.model(*batch)
    assert retargeter.robot is not None
    for sample in (0, 4):
        clips = export_window(retargeter, folder, "test", sample)
        for kind, features in (("recon", forward.robot_motion), ("cross", forward.human_motion)):
            joints = (features[sample].numpy() * spec.robot_std + spec.robot_mean)[:, : spec.joints]
            held = np.clip(joints, *retargeter.robot.limits.T)
            np.testing.assert_allclose(clips[kind].joint_pos, held, atol=1e-4)


def test_joints_stay_within_their_limits(retargeter: Retargeter, folder: DataFolder) -> None:
    assert retargeter.robot is not None
    lower, upper = retargeter.robot.limits.T
    for sample in range(4):
        for kind, clip in export_window(retargeter, folder, "test", sample).items():
            if kind != "gt":
                assert ((clip.joint_pos >= lower) & (clip.joint_pos <= upper)).all()


def test_without_a_human_side_there_is_no_cross(retargeter: Retargeter, folder: DataFolder) -> None:
    clips = export_window(retargeter, folder, "val", 1)
    assert list(clips) == ["gt", "recon"]
    np.testing.assert_allclose(clips["gt"].joint_pos, folder.split("val").robot[1])


@pytest.mark.parametrize(
    ("split", "sample", "told"), [("test", 999, "--sample_idx 999.*0 to"), ("test", -1, "idx -1"), ("nope", 0, "nope")]
)
def test_what_is_not_there_is_told(
    retargeter: Retargeter, folder: DataFolder, split: str, sample: int, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        export_window(retargeter, folder, split, sample)


def test_windows_of_another_length_of_steps_are_told(retargeter: Retargeter, tmp_path: Path) -> None:
    clips = {split: [(robot_clip(60, seed, name=split), None)] for seed, split in enumerate(("train", "val", "test"))}
    other = data_folder(tmp_path / "data", clips, WindowConfig(window=18, stride=9))
    with pytest.raises(UserError, match=r"windows of 18 frames .* in steps of 4"):
        export_window(retargeter, other, "test", 0)


def test_a_pth_is_the_run_of_its_stem(tmp_path: Path) -> None:
    name = "Ours(Dual-Enc+Hybrid)_v1.5_seed_42"
    asked = tmp_path / "checkpoints" / f"{name}.pth"
    with pytest.raises(UserError, match=r"--ckpt .*seed_42\.pth: no run of that name"):
        find_run(asked, tmp_path / "runs")
    run = tmp_path / "runs" / name
    run.mkdir(parents=True)
    assert find_run(asked, tmp_path / "runs") == run
    beside = tmp_path / "checkpoints" / name
    beside.mkdir(parents=True)
    assert find_run(asked, tmp_path / "runs") == beside
    assert find_run(run) == run
