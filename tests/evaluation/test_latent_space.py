from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.evaluation import latent_space
from g1_vq_retarget.evaluation.latent_space import (
    PairedLatents,
    action_of,
    action_silhouette,
    count_apart,
    domain_accuracy,
    draw_apart,
    knn_mixing,
    measure,
    paired_latents,
    retrieval,
    share_found,
)
from g1_vq_retarget.training.checkpoint import Checkpoint, load_checkpoint
from g1_vq_retarget.training.metrics import evaluate
from synthetic import data_folder, save_started

WINDOW = 64


def made_up(
    human: np.ndarray, robot: np.ndarray, clips: tuple[str, ...] = ("walk", "run"), stride: int = WINDOW
) -> PairedLatents:
    """Latents (P, C) of one step as those of windows of some clips, equally many of each."""
    each = len(human) // len(clips)
    left, right = (torch.tensor(side, dtype=torch.float32)[:, None] for side in (human, robot))
    return PairedLatents(left, right, np.repeat(clips, each), np.tile(stride * np.arange(each), len(clips)), WINDOW)


def normal(windows: int, seed: int, columns: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(windows, columns))


# Domains


def test_identical_domains_overlap_in_every_measure() -> None:
    latents = made_up(normal(240, 0), normal(240, 0))
    assert domain_accuracy(latents) == {"logistic": 0.5, "kernel": 0.5}
    assert knn_mixing(latents) == pytest.approx(1)
    found = retrieval(latents)
    assert found.windows == 200
    for way in (found.human_to_robot, found.robot_to_human):
        assert {name: spread.mean for name, spread in way.items()} == {"top1": 1, "top5": 1}
        assert way["top1"].std == 0


def test_domains_overlap_without_their_windows_meeting() -> None:
    latents = made_up(normal(600, 0), normal(600, 1))
    assert all(0.44 < accuracy < 0.56 for accuracy in domain_accuracy(latents).values())
    assert knn_mixing(latents) == pytest.approx(1, abs=0.05)
    found = retrieval(latents)
    for way in (found.human_to_robot, found.robot_to_human):
        assert way["top1"].mean == pytest.approx(1 / 200, abs=0.006)
        assert way["top5"].mean == pytest.approx(5 / 200, abs=0.012)
        assert way["top5"].std > 0


def test_domains_apart_are_told_and_do_not_mix() -> None:
    latents = made_up(normal(100, 0), normal(100, 0) + [10, 0, 0, 0, 0, 0, 0, 0])
    assert domain_accuracy(latents) == {"logistic": 1, "kernel": 1}
    assert knn_mixing(latents) == 0


def test_a_shell_about_a_core_is_told_by_the_kernel_alone() -> None:
    shell = normal(200, 1)
    shell *= 8 / np.linalg.norm(shell, axis=1, keepdims=True)
    accuracy = domain_accuracy(made_up(normal(200, 0), shell))
    assert accuracy["logistic"] < 0.6
    assert accuracy["kernel"] > 0.95


def test_classifiers_are_asked_about_clips_that_they_have_not_seen() -> None:
    # the robot is off in one direction in one clip and in another in the other: neither clip teaches of the other's
    human = normal(100, 0, columns=2)
    robot = human + np.repeat([[20.0, 0.0], [0.0, 20.0]], 50, axis=0)
    assert domain_accuracy(made_up(human, robot))["logistic"] < 0.6
    mixed = np.arange(100).reshape(2, 50).T.ravel()  # both ways in both clips
    assert domain_accuracy(made_up(human[mixed], robot[mixed]))["logistic"] > 0.95


def test_neighbours_that_share_frames_do_not_count() -> None:
    # six windows on a line, the robot's a little further on; each overlaps those before and after it, and the nearest
    # that is left is two steps away. Backwards that is the robot's, forwards the human's: the other domain for four of
    # six human windows and four of six robot windows.
    place = np.arange(6.0)[:, None]
    latents = made_up(place, place + 0.1, clips=("walk",), stride=WINDOW // 2)
    assert knn_mixing(latents, neighbours=1) == pytest.approx((8 / 12) / 0.5)


# Retrieval


def test_of_equal_windows_each_is_as_likely_the_first() -> None:
    assert share_found(np.ones((4, 4)), 1) == 1 / 4
    # own scores are third, first, and second beside an equal
    assert share_found(np.array([[1, 2, 3], [0, 9, 0], [7, 5, 5.0]]), 1) == pytest.approx((0 + 1 + 0) / 3)
    assert share_found(np.array([[1, 2, 3], [0, 9, 0], [7, 5, 5.0]]), 2) == pytest.approx((0 + 1 + 1 / 2) / 3)
    collapsed = retrieval(made_up(np.ones((240, 3)), np.ones((240, 3))))
    assert collapsed.human_to_robot["top1"].mean == pytest.approx(1 / 200)


def test_both_ways_of_retrieval_worked_by_hand() -> None:
    # the human's third window looks like its second; the robot's are all different
    human, robot = np.eye(5), np.eye(5)
    human[2] = human[1]
    found = retrieval(made_up(human, robot, clips=("walk",)), windows=5, draws=2)
    assert found.human_to_robot["top1"].mean == pytest.approx(4 / 5)
    # its second robot window finds two that are equal, its third none better than another three
    assert found.robot_to_human["top1"].mean == pytest.approx((3 + 1 / 2 + 1 / 5) / 5)


@pytest.mark.parametrize("seed", range(8))
def test_no_two_windows_of_a_draw_share_a_frame(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stride = int(rng.integers(1, 100))
    latents = made_up(normal(90, seed), normal(90, seed), clips=("walk", "run", "jump"), stride=stride)
    kept = np.sort(rng.choice(90, 60, replace=False))  # with gaps
    latents = replace(
        latents, human=latents.human[kept], robot=latents.robot[kept],
        clips=latents.clips[kept], starts=latents.starts[kept],
    )  # fmt: skip
    count = count_apart(latents.clips, latents.starts, WINDOW)
    assert 0 < count <= 60
    for _ in range(20):
        rows = draw_apart(latents, count, rng)
        assert len(set(rows)) == count
        assert (latents.share_frames[np.ix_(rows, rows)] == np.eye(count)).all()


def test_every_window_is_drawn_now_and_then() -> None:
    latents = made_up(normal(40, 0), normal(40, 0), stride=WINDOW // 4)
    rng = np.random.default_rng(0)
    assert set(np.concatenate([draw_apart(latents, 10, rng) for _ in range(60)])) == set(range(40))


def test_every_second_window_of_lafan1s_test_clips_can_be_drawn() -> None:
    starts = np.concatenate([32 * np.arange(204), 32 * np.arange(261)])
    assert count_apart(np.repeat(["dance", "fall"], [204, 261]), starts, 64) == 102 + 130


def test_fewer_windows_than_asked_for_are_told() -> None:
    assert retrieval(made_up(normal(60, 0), normal(60, 0), stride=WINDOW // 2)).windows == 30


# Actions


@pytest.mark.parametrize(
    ("clip", "action"),
    [
        ("dance1_subject2", "dance"),
        ("fallAndGetUp1_subject5", "fallAndGetUp"),
        ("ground1_subject1_00000-01030", "ground"),
        ("side_step_2", "side_step"),
        ("walk", "walk"),
        ("0017", "0017"),
    ],
)
def test_the_action_is_the_clips_name_without_number_and_subject(clip: str, action: str) -> None:
    assert action_of(clip) == action


def test_actions_far_apart_have_a_silhouette_near_one_and_mixed_ones_near_zero() -> None:
    far = np.repeat([[0.0] * 8, [100.0] * 8], 30, axis=0)
    apart = action_silhouette(made_up(normal(60, 0) + far, normal(60, 1) + far))
    assert apart is not None
    assert min(apart.values()) > 0.95
    mixed = action_silhouette(made_up(normal(60, 0), normal(60, 1)))
    assert mixed is not None
    assert max(map(abs, mixed.values())) < 0.05


def test_one_action_has_no_silhouette() -> None:
    assert action_silhouette(made_up(normal(20, 0), normal(20, 1), clips=("walk1_subject1", "walk2_subject3"))) is None


# Models


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return data_folder(tmp_path_factory.mktemp("latents") / "data")


@pytest.fixture(scope="module")
def checkpoint(folder: DataFolder, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load_checkpoint(save_started(tmp_path_factory.mktemp("model") / "model.safetensors", folder))


def test_the_alignment_is_what_evaluate_says(folder: DataFolder, checkpoint: Checkpoint) -> None:
    split = folder.split("test")
    measures = measure(paired_latents(checkpoint, split))
    metrics = evaluate(checkpoint.model, split, checkpoint.spec, None).metrics
    assert measures.align_mse == pytest.approx(metrics["align_mse"], rel=1e-5)
    assert measures.align_infonce == pytest.approx(metrics["align_infonce"], rel=1e-4)
    assert measures.windows == len(split.human)
    assert measures.clips == ["jump"]
    assert measures.folds == "parts of a clip"
    assert measures.silhouette is None


def test_latents_know_where_their_windows_are(
    folder: DataFolder, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latent_space, "MOST_WINDOWS", 12)
    split = folder.split("test")
    latents = paired_latents(checkpoint, split, seed=3)
    assert len(latents) == 12
    assert len(set(latents.starts)) == 12
    first = split.clip_of_row.index("jump")
    for row, start in enumerate(latents.starts):
        window = torch.from_numpy(split.robot_features(np.array([first + start // 8]), checkpoint.spec))
        with torch.no_grad():
            torch.testing.assert_close(latents.robot[row], checkpoint.model.robot_encoder(window)[0])
    np.testing.assert_allclose(latents.points[12:], latents.robot.mean(1).numpy(), rtol=1e-5, atol=1e-6)


def test_a_model_without_humans_and_a_split_without_pairs_are_refused(
    folder: DataFolder, checkpoint: Checkpoint
) -> None:
    with pytest.raises(UserError, match="trained without human motion"):
        paired_latents(replace(checkpoint, info=checkpoint.info | {"human_windows": 0}), folder.split("test"))
    with pytest.raises(UserError, match=r"split 'val' has 0 windows with a human side.*choose another --split"):
        paired_latents(checkpoint, folder.split("val"))


def test_a_library_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(UserError, match=r"needs sklearn.svm: pip install -e '.\[analysis\]'"):
        domain_accuracy(made_up(normal(20, 0), normal(20, 1)))
