from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.sequences import human_side_of, robot_sequences
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.training.coding import Coded, coded_human, coded_robot, decoded_clips
from synthetic import data_folder, pair, started, tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return data_folder(tmp_path_factory.mktemp("coding") / "data")


@pytest.fixture(scope="module", params=["rvq", "predictive", "predictive, klt"])
def model(folder: DataFolder, request: pytest.FixtureRequest) -> DualEncoderVQVAE:
    kind, _, encoder = request.param.partition(", ")
    config = tiny_model(kind)
    config.network.robot_encoder = encoder or "learned"
    return started(folder, config).eval()


def by_row(parts: list[Coded]) -> dict[int, Tensor]:
    return {int(row): motion for part in parts for row, motion in zip(part.rows, part.motion, strict=True)}


def test_every_window_comes_once_beside_its_truth(folder: DataFolder, model: DualEncoderVQVAE) -> None:
    spec, split = folder.spec(True), folder.split("test")
    for whole_clips in (False, True):
        for coded, rows in ((coded_robot, np.arange(len(split))), (coded_human, np.asarray(split.human_rows))):
            parts = list(coded(model, split, spec, whole_clips))
            assert sorted(np.concatenate([part.rows for part in parts])) == sorted(rows)
            for part in parts:
                np.testing.assert_array_equal(part.target, split.robot_features(part.rows, spec))
                assert part.motion.shape == part.target.shape


def test_windows_of_whole_clips_are_cut_from_what_the_clip_decodes_to(
    folder: DataFolder, model: DualEncoderVQVAE
) -> None:
    spec, split = folder.spec(True), folder.split("train")
    decoded = by_row(list(coded_robot(model, split, spec, whole_clips=True)))
    sequence = robot_sequences(split)[-1]
    rows, offsets = sequence.locate(np.arange(sequence.frames))
    clip = torch.from_numpy(split.robot_features(rows, spec, offsets))[None]
    with torch.no_grad():
        alone = model.decode(model.encode_robot(clip).tokens, sequence.frames)[0]
    for row, window in zip(sequence.rows, sequence.cut(alone.numpy()), strict=True):
        torch.testing.assert_close(decoded[int(row)], torch.from_numpy(window), atol=1e-5, rtol=1e-5)


def test_whole_clips_are_decoded_from_their_tokens_alone(
    folder: DataFolder, model: DualEncoderVQVAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    # not from the latents that the encoder remembers: a decoder on its own might go astray, and no figure tell
    nothing = torch.zeros(1, 1, model.config.network.latent_dim)
    monkeypatch.setattr(model.quantizer, "decode", lambda tokens: nothing.expand(*tokens.shape[:2], -1))
    for clip in decoded_clips(model, folder.split("test"), folder.spec(True)):
        with torch.no_grad():
            still = model.decoder(nothing.expand(1, len(clip.tokens), -1))[0, : clip.sequence.frames]
        torch.testing.assert_close(clip.motion, still, atol=1e-5, rtol=1e-5)


def test_humans_of_unlike_length_are_coded_side_by_side_as_alone(tmp_path: Path, model: DualEncoderVQVAE) -> None:
    clips = {"train": [pair("long", 150, 0), pair("short", 70, 1)], "test": [pair("sit", 90, 4)]}
    folder = data_folder(tmp_path / "data", clips)
    spec, split = folder.spec(True), folder.split("train")
    found = list(decoded_clips(model, split, spec, human=True))
    assert len({clip.sequence.frames for clip in found}) == 2
    for clip in found:
        human = torch.from_numpy(human_side_of(split, spec, clip.sequence))[None]
        with torch.no_grad():
            tokens = model.encode_human(human).tokens
            alone = model.decode(tokens, clip.sequence.frames)[0]
        assert torch.equal(clip.tokens, tokens[0])
        torch.testing.assert_close(clip.motion, alone, atol=1e-4, rtol=1e-4)


def test_whole_clips_have_the_tokens_of_their_length(folder: DataFolder, model: DualEncoderVQVAE) -> None:
    spec, split = folder.spec(True), folder.split("train")
    steps = sum(-(-sequence.frames // model.downsample) for sequence in robot_sequences(split))
    parts = list(coded_robot(model, split, spec, whole_clips=True))
    assert sum(len(part.tokens) for part in parts) == steps


def test_fewer_levels_are_told(folder: DataFolder, model: DualEncoderVQVAE) -> None:
    spec, split = folder.spec(True), folder.split("test")
    few, all_ = (next(iter(coded_robot(model, split, spec, True, levels))) for levels in (1, None))
    assert few.tokens.shape[1] == 1 < all_.tokens.shape[1]
    assert (few.motion - few.target).square().mean() > (all_.motion - all_.target).square().mean()
