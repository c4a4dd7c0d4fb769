"""What is added to latents leads the robot where it should go, and changes nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.models.networks import Decoder, KLTEncoder, NetworkConfig, start_from_klt
from g1_vq_retarget.models.past import Past
from g1_vq_retarget.models.quantizers import build_quantizer
from g1_vq_retarget.models.way import FEEDBACK, RootRates, way_correction, way_feedback
from g1_vq_retarget.training.checkpoint import HEADING_SECONDS, build_model
from synthetic import tiny_model

FEATURES, STEP = 5, 4
# all channels there are, so that the transform loses nothing
NETWORK = NetworkConfig(latent_dim=FEATURES * STEP, width=8, depth=1, downsample=STEP, smoothing=0)


@pytest.fixture
def coder() -> tuple[KLTEncoder, Decoder]:
    torch.manual_seed(0)
    encoder, decoder = KLTEncoder(FEATURES, NETWORK), Decoder(FEATURES, NETWORK)
    start_from_klt(encoder, decoder, torch.randn(400, STEP, FEATURES), torch.tensor([1.0, 1.0, 1.0, 0.5, 0.5]))
    return encoder, decoder


@pytest.mark.parametrize("frames", [5, 10])
def test_the_average_of_the_turning_rate_is_made_up_for_and_nothing_else(
    frames: int, coder: tuple[KLTEncoder, Decoder]
) -> None:
    encoder, decoder = coder
    rates = RootRates((-2, -1), human_turning=2, scale=3.0, shift=0.5, frames=frames)
    robot, turning = torch.randn(2, 40, FEATURES), torch.randn(2, 40, 1)
    latent = encoder(robot)
    with torch.no_grad():
        change = decoder(latent + way_correction(rates, latent, turning, encoder, decoder)) - decoder(latent)
    missed = (turning[..., 0] - robot[..., -1]).numpy()
    around = (frames // 2, frames - 1 - frames // 2)

    def averaged(rows: np.ndarray) -> np.ndarray:
        padded = np.pad(rows, ((0, 0), around), mode="edge")
        return np.stack([np.convolve(row, np.ones(frames) / frames, "valid") for row in padded])

    once = averaged(missed)
    np.testing.assert_allclose(change[..., -1], once + averaged(missed - once), atol=1e-4)
    np.testing.assert_allclose(change[..., :-1], 0, atol=1e-4)


def test_live_it_is_made_up_for_a_step_later_over_half_the_time(coder: tuple[KLTEncoder, Decoder]) -> None:
    encoder, decoder = coder
    rates = RootRates((-2, -1), human_turning=2, scale=3.0, shift=0.5, frames=12)
    robot, turning = torch.randn(2, 40, FEATURES), torch.randn(2, 40, 1)
    latent = encoder(robot)
    with torch.no_grad():
        added = way_correction(rates, latent, turning, encoder, decoder, Past())
        change = decoder(latent[:, 1:] + added[:, :-1]) - decoder(latent[:, 1:])
    missed = np.pad((turning[..., 0] - robot[..., -1]).numpy(), ((0, 0), (5, 0)))
    before = np.stack([np.convolve(row, np.ones(6) / 6, "valid") for row in missed])
    np.testing.assert_allclose(change[..., -1], before[:, :-STEP], atol=1e-4)
    np.testing.assert_allclose(change[..., :-1], 0, atol=1e-4)


def test_an_encoder_that_misses_no_turn_is_left_alone(coder: tuple[KLTEncoder, Decoder]) -> None:
    encoder, decoder = coder
    rates = RootRates((-1,), -1, 1.0, 0.0, 10)
    robot = torch.randn(1, 40, FEATURES)
    latent = encoder(robot)
    torch.testing.assert_close(
        way_correction(rates, latent, robot[..., -1:], encoder, decoder), torch.zeros_like(latent), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("causal", [False, True])
def test_a_decoder_that_leans_one_way_leads_where_the_robot_goes(causal: bool) -> None:
    """A velocity that decodes to too little all the time adds up to a way that is too short."""
    torch.manual_seed(0)
    config = tiny_model("predictive")
    config.network.robot_encoder = "klt"
    config.network.causal = causal
    features = len(spec().robot_mean)
    config.network.latent_dim = config.network.downsample * features
    model = build_model(spec(), config).eval()
    model.start_from_data(torch.randn(64, 16, features), features - 7, torch.zeros(0, 16, features), torch.zeros(0))
    decoder = model.decoder
    assert isinstance(decoder, Decoder)
    robot = torch.nn.functional.avg_pool1d(torch.randn(1, features, 420), 21, stride=1).mT * 4
    with torch.no_grad():
        decoder.linear.weight[:, -3:] *= 0.8
        decoder.linear.bias[-3:] += 0.1  # type: ignore[index]
        short, right = (
            (decoder(latent) - robot)[0, 100:, -3:].sum(0).abs()
            for latent in (model.robot_encoder(robot), model.robot_latent(robot))
        )
    # live there is one look, and no later frame
    assert (right < (0.35 if causal else 0.1) * short).all()


def spec(root: bool = True) -> FeatureSpec:
    rng = np.random.default_rng(0)
    robot, human = (3 + 7, 126 + 7) if root else (3, 126)
    numbers = [rng.uniform(0.5, 2, size).tolist() for size in (robot, robot, human, human)]
    return FeatureSpec("", ["a", "b", "c"], 50.0, root, *numbers)


def test_rates_of_both_are_one_number_in_radians_a_second() -> None:
    made = spec()
    config = tiny_model("predictive")
    config.network.robot_encoder = "klt"
    rate = build_model(made, config).rates
    assert rate is not None
    assert rate.velocities == (-3, -2, -1)
    assert rate.frames == HEADING_SECONDS * 50
    human = (0.7 - made.human_mean[-1]) / made.human_std[-1]
    assert human * rate.scale + rate.shift == pytest.approx((0.7 - made.robot_mean[-1]) / made.robot_std[-1])
    assert build_model(spec(root=False), config).rates is None


@pytest.mark.parametrize("robot_encoder", ["klt", "learned"])
def test_where_the_robots_encoder_is_linear_humans_latents_are_corrected(robot_encoder: str) -> None:
    config = tiny_model("predictive")
    config.network.robot_encoder = robot_encoder  # type: ignore[assignment]
    model: DualEncoderVQVAE = build_model(spec(), config).eval()
    nn.init.normal_(model.robot_encoder.linear.weight)  # type: ignore[union-attr]
    human = torch.randn(2, 16, 133)
    with torch.no_grad():
        raw, latent = model.human_encoder(human), model.human_latent(human)
        tokens = model.encode_human(human).tokens
        torch.testing.assert_close(tokens, model.quantize(latent).tokens)
    assert torch.equal(raw, latent) == (robot_encoder == "learned")


def test_what_is_missed_is_asked_for_again_where_it_adds_up(coder: tuple[KLTEncoder, Decoder]) -> None:
    encoder, decoder = coder
    feedback = way_feedback(RootRates((-2, -1), -1, 1.0, 0.0, 1), encoder, decoder)
    off = encoder(torch.tensor([9.0, 9.0, 9.0, 2.0, -1.0]).repeat(1, STEP, 1)) - encoder(torch.zeros(1, STEP, FEATURES))
    with torch.no_grad():
        asked = decoder(off @ feedback.T) - decoder(torch.zeros_like(off))
    torch.testing.assert_close(asked, FEEDBACK * torch.tensor([0, 0, 0, 2.0, -1.0]).repeat(1, STEP, 1))


def test_with_feedback_errors_of_codes_do_not_add_up() -> None:
    torch.manual_seed(0)
    config = tiny_model("predictive", codebook_size=4, levels=1)
    quantizer = build_quantizer(8, config.quantizer)
    latents = torch.randn(16, 400, 8)
    quantizer.place_codes(latents)
    quantizer.eval()
    with torch.no_grad():
        ways = [
            (quantizer(latents, feedback=feedback).latent - latents)[..., 0].sum(1).square().mean()
            for feedback in (None, 0.3 * torch.eye(8))
        ]
    assert ways[1] < 0.5 * ways[0]
