from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.models import DualEncoderVQVAE, ModelConfig, NetworkConfig, Quantized, QuantizerConfig
from g1_vq_retarget.motion import RobotClip
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.training import metrics
from g1_vq_retarget.training.batches import load_batch
from g1_vq_retarget.training.metrics import Evaluation, evaluate
from synthetic import data_folder, robot_clip, started, tiny_model

Tokens = Callable[[Tensor], Tensor]


class Transparent(nn.Module):
    """A quantizer that lets latents through; its tokens are what it is told, for a vocabulary of 4 and one of 3."""

    codebook_sizes = (4, 3)
    bits = math.log2(4) + math.log2(3)

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(
        self, latent: Tensor, levels: int | None = None, followers: int = 0, feedback: None = None
    ) -> Quantized:
        self.latent = latent
        return Quantized(latent, self.tokens(latent), latent.new_tensor(0.25))

    def decode(self, tokens: Tensor) -> Tensor:
        return self.latent


class Twin(nn.Module):
    """A human encoder that knows each human window's robot window and encodes that."""

    def __init__(self, robot_encoder: nn.Module, human: Tensor, robot: Tensor) -> None:
        super().__init__()
        self.robot_encoder, self.human, self.robot = robot_encoder, human, robot

    def forward(self, human: Tensor) -> Tensor:
        rows = (human[:, None] == self.human).all(dim=(2, 3)).long().argmax(1)
        return self.robot_encoder(self.robot[rows])


class Changed(nn.Module):
    """A decoder whose motion is changed afterwards."""

    def __init__(self, decoder: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.decoder, self.change = decoder, change

    def forward(self, latent: Tensor, told: float = 1.0) -> Tensor:
        return self.change(self.decoder(latent, told))


def zeros(latent: Tensor) -> Tensor:
    return torch.zeros(*latent.shape[:2], 2, dtype=torch.long)


def perfect(
    split: Split, spec: FeatureSpec, tokens: Tokens = zeros, change: Callable[[Tensor], Tensor] = lambda x: x
) -> DualEncoderVQVAE:
    """A model that decodes the truth from either side, or the truth changed."""
    columns = len(spec.robot_mean)
    network = NetworkConfig(latent_dim=columns, width=8, depth=1, downsample=1, smoothing=0)
    model = started(split.folder, ModelConfig(network, QuantizerConfig("rvq", levels=1, codebook_size=2), spec.root))
    pairs = load_batch(split, spec, np.asarray(split.human_rows), np.arange(len(split.human)))
    model.quantizer = Transparent(tokens)  # type: ignore[assignment]
    model.human_encoder = Twin(model.robot_encoder, pairs.human, pairs.robot)  # type: ignore[assignment]
    model.decoder = Changed(model.decoder, change)  # type: ignore[assignment]
    return model


def everything(split: Split, spec: FeatureSpec) -> Tensor:
    return load_batch(split, spec, np.arange(len(split)), np.arange(0)).robot


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return data_folder(tmp_path_factory.mktemp("metrics") / "data").split("test")


@pytest.fixture
def spec(split: Split) -> FeatureSpec:
    return split.folder.spec(root=True)


def run(model: DualEncoderVQVAE, split: Split, spec: FeatureSpec) -> Evaluation:
    return evaluate(model, split, spec, load_robot())


# Laws


@pytest.mark.parametrize("root", [True, False])
def test_a_perfect_model_has_no_error_and_all_the_jerk(split: Split, root: bool) -> None:
    spec = split.folder.spec(root)
    result = run(perfect(split, spec), split, spec)
    errors = ["recon", "vel", "joint_error_deg", "body_error_mm", "feet_error_mm", *(["root_mse"] if root else [])]
    for name in errors + ["cross" if name == "recon" else f"cross_{name}" for name in errors]:
        assert result.metrics[name] == pytest.approx(0, abs=2e-3), name
    assert ("root_mse" in result.metrics) == root
    assert result.metrics["jerk_ratio"] == pytest.approx(1, rel=1e-2)
    assert result.metrics["align_mse"] == pytest.approx(0, abs=1e-8)
    assert result.metrics["commitment"] == pytest.approx(0.25)
    assert result.recon_per_window.shape == (len(split),)
    assert result.cross_per_window.shape == (len(split.human),)


def test_a_model_that_always_says_the_mean_misses_by_the_variance(split: Split, spec: FeatureSpec) -> None:
    result = run(perfect(split, spec, change=torch.zeros_like), split, spec)
    truth = everything(split, spec)
    joints, root = truth[..., :29], truth[..., 29:]
    paired = joints[np.array(split.human_rows)]
    m = result.metrics
    assert m["recon"] == pytest.approx(float(joints.square().mean()), rel=1e-5)
    assert m["root_mse"] == pytest.approx(float(root.square().mean()), rel=1e-5)
    assert m["vel"] == pytest.approx(float(joints.diff(dim=1).square().mean()), rel=1e-4)
    assert m["cross"] == pytest.approx(float(paired.square().mean()), rel=1e-5)
    assert m["recon_of_pairs"] == pytest.approx(result.recon_per_window[np.asarray(split.human_rows)].mean())
    assert m["recon_of_pairs"] != m["recon"]
    assert m["jerk"] == m["jerk_ratio"] == 0
    degrees = torch.rad2deg((joints * torch.tensor(spec.robot_std[:29])).abs().mean())
    assert m["joint_error_deg"] == pytest.approx(float(degrees), rel=1e-5)
    np.testing.assert_allclose(result.recon_per_window, joints.square().mean(dim=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(result.cross_per_window, paired.square().mean(dim=(1, 2)), rtol=1e-4)


def test_figures_do_not_depend_on_the_size_of_batches(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, model = split.folder.spec(root=True), started(split.folder, tiny_model())
    expected = run(model, split, spec)
    monkeypatch.setattr(metrics, "BATCH", 3)
    again = run(model, split, spec)
    assert again.metrics.keys() == expected.metrics.keys()
    for name, value in expected.metrics.items():
        np.testing.assert_allclose(again.metrics[name], value, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(again.recon_per_window, expected.recon_per_window, rtol=1e-4)


def test_measuring_leaves_the_model_as_it_was(split: Split, spec: FeatureSpec) -> None:
    model = started(split.folder, tiny_model())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for training in (True, False):
        model.train(training)
        run(model, split, spec)
        assert model.training == training
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_jerk_scales_with_the_square_of_the_motion(split: Split, spec: FeatureSpec) -> None:
    result = run(perfect(split, spec, change=lambda motion: 0.5 * motion), split, spec)
    assert result.metrics["jerk_ratio"] == pytest.approx(0.25, rel=1e-2)


def test_without_pairs_there_are_no_cross_figures(split: Split, spec: FeatureSpec) -> None:
    alone = split.folder.split("val")
    result = run(perfect(alone, spec), alone, spec)
    assert not [name for name in result.metrics if name.startswith(("cross", "align"))]
    assert len(result.cross_per_window) == 0
    assert result.metrics["human_windows"] == 0


# Cases worked by hand


@pytest.mark.parametrize("batch", [128, 4])
def test_codes_are_counted_over_the_whole_split(batch: int, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    # First vocabulary: a quarter of the windows says 0, the rest 1; a small batch says one thing. Second: always 2.
    seen = 0

    def tokens(latent: Tensor) -> Tensor:
        nonlocal seen
        first = (torch.arange(len(latent)) + seen >= len(split) / 4).long()
        seen += len(latent)
        return torch.stack([first, torch.full_like(first, 2)], -1)[:, None].expand(-1, latent.shape[1], -1)

    monkeypatch.setattr(metrics, "BATCH", batch)
    spec = split.folder.spec(root=True)
    quarter = math.ceil(len(split) / 4) / len(split)
    entropy = -quarter * math.log2(quarter) - (1 - quarter) * math.log2(1 - quarter)
    m = run(perfect(split, spec, tokens), split, spec).metrics
    assert m["codebook_sizes"] == [4, 3]
    assert m["perplexity"] == pytest.approx([2**entropy, 1])
    assert m["entropy_bits"] == pytest.approx([entropy, 0], abs=1e-6)
    assert m["dead_code_ratio"] == pytest.approx([2 / 4, 2 / 3])
    first, _, _, _, half, *_, last = m["usage_deciles"][0]  # of four codes, the most used one and all that are used
    assert (first, half, last) == pytest.approx((1 - quarter, 1, 1), abs=1e-4)
    assert m["entropy_bits_per_second"] == pytest.approx(50 * entropy, rel=1e-5)
    assert m["bits_per_second"] == pytest.approx(50 * (2 + math.log2(3)))


def test_a_knee_that_is_off_moves_the_ankle_by_its_arc(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Only the hip moves; the left knee is decoded 0.1 rad too far. Everything below it lies on a circle about it.
    robot = load_robot()
    hip, knee = (robot.joint_names.index(f"left_{name}_joint") for name in ("hip_pitch", "knee"))
    clip = robot_clip(60)
    joint_pos = np.zeros_like(clip.joint_pos)
    joint_pos[:, hip] = clip.joint_pos[:, hip]
    still: RobotClip = replace(clip, joint_pos=joint_pos)
    folder = data_folder(tmp_path_factory.mktemp("knee") / "data", {"train": [(still, None)]})
    split, spec = folder.split("train"), folder.spec(root=True)
    off = torch.zeros(36)
    off[knee] = 0.1 / spec.robot_std[knee]
    m = run(perfect(split, spec, change=lambda motion: motion + off), split, spec).metrics

    ankle, roll = (robot.links[robot.link_names.index(f"left_ankle_{axis}_link")].pos for axis in ("pitch", "roll"))
    # the knee turns about y, so lengths across it count
    radius = [math.hypot(ankle[0], ankle[2]), math.hypot(ankle[0] + roll[0], ankle[2] + roll[2])]
    chord = [1000 * 2 * math.sin(0.05) * r for r in radius]
    assert m["feet_error_mm"] == pytest.approx(chord[1] / 2, rel=1e-3)
    assert m["body_error_mm"] == pytest.approx(sum(chord) / 29, rel=1e-3)  # of 30 links, the pelvis is the frame
    assert m["joint_error_deg"] == pytest.approx(math.degrees(0.1) / 29, rel=1e-3)
    assert m["recon"] == pytest.approx(float(off[knee]) ** 2 / 29, rel=1e-3)
    assert m["vel"] == pytest.approx(0, abs=1e-3)
