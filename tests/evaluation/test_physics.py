"""Physical quality of decoded windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.data.process import WindowConfig
from g1_vq_retarget.evaluation.physics import apart_rows, decoded_quality
from g1_vq_retarget.motion import resample
from g1_vq_retarget.motion.quality import physical_quality
from g1_vq_retarget.robot import load_robot
from synthetic import data_folder, pair, robot_clip, started, tiny_model

CLIPS = {
    "train": [pair("dance", 150, 0)],
    "test": [(robot_clip(100, 4, name="sit"), None), pair("jump", 130, 3)],
}
WINDOW, STRIDE = 16, 8


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    config = WindowConfig(window=WINDOW, stride=STRIDE)
    return data_folder(tmp_path_factory.mktemp("physics") / "data", CLIPS, config).split("test")


class Echo(torch.nn.Module):
    """Gives back what it was given last, whatever it is asked."""

    said: torch.Tensor

    def forward(self, *_: object) -> torch.Tensor:
        return self.said


def test_windows_do_not_overlap_and_leave_nothing_out(split: Split) -> None:
    rows = apart_rows(split)
    names = [split.clip_of_row[row] for row in rows]
    assert rows.tolist() == [*range(0, names.count("sit") * 2, 2),
                             *range(split.clip_of_row.index("jump"), len(split), 2)]  # fmt: skip
    assert (np.diff(split.clip_of_row.index("jump") - rows[: names.count("sit")]) == -WINDOW // STRIDE).all()


def test_the_truth_is_measured_as_the_clip_is(split: Split) -> None:
    spec, robot = split.folder.spec(root=True), load_robot()
    quality = decoded_quality(started(split.folder, tiny_model()), split, spec, robot)["truth"]
    clips = [resample(clip, spec.fps) for clip, _ in CLIPS["test"]]
    cut = [clip[: len(clip) // WINDOW * WINDOW] for clip in clips]
    assert quality.frames == sum(map(len, cut))
    alone = [physical_quality(clip, robot) for clip in cut]
    for figure in ("limit_share", "self_collision_share", "penetration_mm"):  # of frames, and not of steps between
        whole = np.average([getattr(one, figure) for one in alone], weights=[one.frames for one in alone])
        assert getattr(quality, figure) == pytest.approx(whole, rel=1e-3), figure
    assert quality.penetration_max_mm == pytest.approx(max(one.penetration_max_mm for one in alone), rel=1e-3)
    assert quality.speed_max_ratio == pytest.approx(max(one.speed_max_ratio for one in alone), rel=0.05)


def test_what_is_decoded_is_measured_in_its_place(split: Split) -> None:
    """A model that decodes the truth raised by 0.2 m, from the robot's side and from the human's."""
    spec, robot = split.folder.spec(root=True), load_robot()
    model = started(split.folder, tiny_model())
    encoder, echo = model.robot_encoder, Echo()
    raised = torch.zeros(len(spec.robot_std))
    raised[spec.joints] = 0.2 / spec.robot_std[spec.joints]

    class Listening(torch.nn.Module):
        def forward(self, motion: torch.Tensor) -> torch.Tensor:
            echo.said = motion + raised
            return encoder(motion)

    model.robot_encoder = Listening()  # type: ignore[assignment]
    model.decoder = echo  # type: ignore[assignment]
    paths = decoded_quality(model, split, spec, robot, human=False)
    assert set(paths) == {"truth", "robot"}
    truth, decoded = paths["truth"], paths["robot"]
    assert decoded.jerk_ratio == pytest.approx(1, rel=1e-3)
    assert decoded.self_collision_share == truth.self_collision_share
    assert decoded.penetration_max_mm == pytest.approx(max(truth.penetration_max_mm - 200, 0), abs=0.1)
    assert decoded.float_mm > truth.float_mm + 50


def test_the_humans_side_counts_its_own_windows(split: Split) -> None:
    spec, robot = split.folder.spec(root=True), load_robot()
    paths = decoded_quality(started(split.folder, tiny_model()), split, spec, robot)
    paired = sum(split.clip_of_row[row] == "jump" for row in apart_rows(split))
    assert paths["human"].frames == paired * WINDOW
    assert paths["robot"].frames == paths["truth"].frames > paths["human"].frames
    assert paths["human"].jerk_ratio is not None


def test_whole_clips_are_measured_whole(split: Split) -> None:
    spec, robot = split.folder.spec(root=True), load_robot()
    paths = decoded_quality(started(split.folder, tiny_model()), split, spec, robot, whole_clips=True)
    clips = [resample(clip, spec.fps) for clip, _ in CLIPS["test"]]
    cut = [clip[: (len(clip) - WINDOW) // STRIDE * STRIDE + WINDOW] for clip in clips]
    assert paths["truth"].frames == sum(map(len, cut))
    assert paths["human"].frames == paths["its_truth"].frames == len(cut[1])
    assert paths["human_projected"].penetration_mm <= paths["human"].penetration_mm
    alone = [physical_quality(clip, robot) for clip in cut]
    slides = np.array([one.foot_slide for one in alone], dtype=float)
    weights = np.array([one.contact_share * one.frames for one in alone])
    assert paths["truth"].foot_slide == pytest.approx(np.average(slides, weights=weights), rel=0.02)

    assert paths["robot_projected"].penetration_mm < 0.2 * paths["robot"].penetration_mm
    assert paths["robot_projected"].limit_share == 0


def test_without_a_root_there_is_no_floor(split: Split) -> None:
    spec: FeatureSpec = replace(split.folder.spec(root=True), root=False)
    with pytest.raises(ValueError, match="root"):
        decoded_quality(started(split.folder, tiny_model()), split, spec, load_robot())


def test_the_state_of_the_model_is_kept(split: Split, tmp_path: Path) -> None:
    spec = split.folder.spec(root=True)
    for training in (True, False):
        model = started(split.folder, tiny_model()).train(training)
        decoded_quality(model, split, spec, load_robot())
        assert model.training is training
