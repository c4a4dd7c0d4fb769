from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from g1_vq_retarget.models import DualEncoderVQVAE
from synthetic import tiny_model

ROBOT, HUMAN = 12, 10
ROOT = 2
DOWNSAMPLES = [1, 2, 4, 8]


def motion(batch: int, frames: int, columns: int, seed: int = 0) -> Tensor:
    """(B, T, columns) smooth numbers about zero."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(batch, frames, columns, generator=generator)
    return torch.nn.functional.avg_pool1d(steps.mT, 5, stride=1, padding=2).mT * 2


def build(downsample: int = 4, random: bool = True, **quantizer: Any) -> DualEncoderVQVAE:
    """A model whose codes are placed on data; with `random`, no layer is zero any more."""
    torch.manual_seed(0)
    model = DualEncoderVQVAE(ROBOT, HUMAN, tiny_model(downsample=downsample, **quantizer))
    if random:
        for parameter in (
            *model.robot_encoder.parameters(),
            *model.human_encoder.parameters(),
            *model.decoder.parameters(),
        ):
            torch.nn.init.normal_(parameter, std=0.3)
        with torch.no_grad():
            latent = model.robot_encoder(motion(16, 32, ROBOT))
        model.quantizer.place_codes(latent)
    return model.eval()


@pytest.fixture(params=DOWNSAMPLES)
def downsample(request: pytest.FixtureRequest) -> int:
    return request.param


# Lengths


@pytest.mark.parametrize("frames", [1, 7, 16, 33])
def test_motion_of_any_length_goes_through(frames: int, downsample: int) -> None:
    model = build(downsample)
    steps = -(-frames // downsample)
    for encode, columns in ((model.encode_robot, ROBOT), (model.encode_human, HUMAN)):
        out = encode(motion(2, frames, columns))
        assert out.tokens.shape == (2, steps, len(model.quantizer.codebook_sizes))
        assert out.latent.shape == (2, steps, 8)
        decoded = model.decode(out.tokens, frames)
        assert decoded.shape == (2, frames, ROBOT)
        assert torch.isfinite(decoded).all()


def test_a_last_step_is_filled_up_with_the_last_frame(downsample: int) -> None:
    model, features = build(downsample), motion(1, 9, ROBOT)
    filled = torch.cat([features, features[:, -1:].expand(-1, 7, -1)], dim=1)
    tokens = model.encode_robot(features).tokens
    torch.testing.assert_close(model.encode_robot(filled).tokens[:, : tokens.shape[1]], tokens)


def test_a_window_decodes_as_it_does_inside_its_clip(downsample: int) -> None:
    model, clip = build(downsample), motion(1, 40 * downsample, ROBOT)
    whole = model.decode(model.encode_robot(clip).tokens, clip.shape[1])
    first, last = 8 * downsample, 32 * downsample
    window = clip[:, first:last]
    alone = model.decode(model.encode_robot(window).tokens, window.shape[1])
    # one block: three steps of the latent sequence and eight frames of the smoothing are all that it sees around it
    margin = 4 * downsample + 8
    torch.testing.assert_close(alone[:, margin:-margin], whole[:, first + margin : last - margin], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(alone[:, :1], whole[:, first : first + 1], atol=1e-3)


def test_an_encoder_sees_neighbours_and_no_further(downsample: int) -> None:
    model, clip = build(downsample), motion(1, 20 * downsample, ROBOT)
    nudged = clip.clone()
    nudged[:, 10 * downsample] += 1
    with torch.no_grad():
        moved = (model.robot_encoder(nudged) - model.robot_encoder(clip)).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.nonzero().flatten().tolist() == [9, 10, 11]


def test_rate_is_bits_a_step_times_steps_a_second(downsample: int) -> None:
    model = build(downsample)
    assert model.bits_per_second(50) == pytest.approx(model.quantizer.bits * 50 / downsample)


# Two sides, one vocabulary


def test_both_sides_at_once_are_each_side_alone() -> None:
    model, robot, human = build(), motion(5, 16, ROBOT, 1), motion(2, 16, HUMAN, 2)
    out = model(robot, human)
    for latent, tokens, decoded, alone in (
        (out.robot_latent, out.robot_tokens, out.robot_motion, model.encode_robot(robot)),
        (out.human_latent, out.human_tokens, out.human_motion, model.encode_human(human)),
    ):
        torch.testing.assert_close(tokens, alone.tokens)
        torch.testing.assert_close(decoded, model.decode(alone.tokens, 16), atol=1e-4, rtol=1e-4)
        assert latent.shape == alone.latent.shape


def test_robot_windows_alone_are_enough() -> None:
    model, robot = build(), motion(3, 16, ROBOT)
    out = model.train()(robot, torch.zeros(0, 16, HUMAN))
    assert len(out.human_motion) == len(out.human_latent) == len(out.human_tokens) == 0
    out.robot_motion.square().mean().backward()
    assert torch.isfinite(out.commitment)


@pytest.mark.parametrize("kind", ["ema", "rvq", "hybrid"])
def test_either_side_moves_the_codes(kind: str) -> None:
    robot, human = motion(8, 16, ROBOT), motion(8, 16, HUMAN)
    for windows in ((robot, human[:0]), (robot[:0], human)):
        model = build(kind=kind, decay=0.5)
        before = {name: value.clone() for name, value in model.quantizer.state_dict().items()}
        model.train()(*windows)
        assert any(not torch.equal(value, before[name]) for name, value in model.quantizer.state_dict().items())


def test_gradients_reach_every_part() -> None:
    model = build().train()
    out = model(motion(4, 16, ROBOT), motion(2, 16, HUMAN))
    (out.robot_motion.square().mean() + out.human_motion.square().mean() + out.commitment).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:  # scalar quantizers are fixed
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


# The start


def unquantized(model: DualEncoderVQVAE, features: Tensor) -> Tensor:
    with torch.no_grad():
        return model.decoder(model.robot_encoder(features))


def start(
    downsample: int, robot: Tensor, human: Tensor | None = None, latent_dim: int = 8, root_scale: float = 1.0
) -> DualEncoderVQVAE:
    torch.manual_seed(0)
    config = tiny_model(downsample=downsample)
    config.root_scale = root_scale
    config.network.latent_dim = latent_dim
    model = DualEncoderVQVAE(robot.shape[-1], HUMAN, config)
    human = torch.zeros(0, robot.shape[1], HUMAN) if human is None else human
    model.start_from_data(robot, robot.shape[-1] - ROOT, robot[: len(human)], human)
    return model.eval()


@pytest.mark.parametrize("root_scale", [1.0, 0.25])
def test_with_all_dimensions_the_start_gives_the_motion_back(downsample: int, root_scale: float) -> None:
    data = motion(40, 16, ROBOT) + torch.linspace(-1, 1, ROBOT)
    model = start(downsample, data, latent_dim=ROBOT * downsample, root_scale=root_scale)
    torch.testing.assert_close(unquantized(model, data), data, atol=1e-4, rtol=1e-4)


def test_with_fewer_dimensions_the_start_loses_the_least_that_a_linear_path_can(downsample: int) -> None:
    data = motion(200, 16, ROBOT)
    model = start(downsample, data)
    patches = data.reshape(-1, ROBOT * downsample).double()
    # Eckart and Young: what is left is the sum of the small eigenvalues of the covariance
    left = torch.linalg.eigvalsh(torch.cov(patches.T, correction=0))[:-8].sum() / patches.shape[1]
    assert float((unquantized(model, data) - data).square().mean()) == pytest.approx(float(left), rel=0.01)


def test_what_counts_less_is_lost_first(downsample: int) -> None:
    data = motion(200, 16, ROBOT)
    joints, root = (
        [
            float((unquantized(start(downsample, data, root_scale=scale), data) - data)[..., columns].square().mean())
            for scale in (1.0, 0.1)
        ]
        for columns in (slice(-ROOT), slice(-ROOT, None))
    )
    assert joints[1] < joints[0]
    assert root[1] > root[0]


def test_the_first_channels_of_the_start_vary_most() -> None:
    data = motion(100, 16, ROBOT)
    model = start(4, data)
    with torch.no_grad():
        latent = model.robot_encoder(data).flatten(0, 1)
    deviation = latent.std(0)
    assert (deviation.diff() <= 1e-6).all()
    # one mean for all frames of a patch is taken off, which leaves a trace of how they differ
    assert latent.mean(0).abs().max() < 0.01 * deviation.max()
    uncorrelated = torch.cov(latent.T) - torch.diag(deviation.square())
    assert uncorrelated.abs().max() < 1e-3 * float(deviation.max() ** 2)


def test_more_channels_than_dimensions_stay_empty() -> None:
    data = motion(60, 16, 3)
    model = start(1, data, latent_dim=8)
    with torch.no_grad():
        assert model.robot_encoder(data)[..., 3:].abs().max() == 0
    torch.testing.assert_close(unquantized(model, data), data, atol=1e-4, rtol=1e-4)


def test_a_human_that_tells_the_robot_linearly_starts_with_its_latents() -> None:
    human = motion(100, 16, HUMAN, 3) + 2
    mixing = torch.randn(HUMAN, ROBOT, generator=torch.Generator().manual_seed(0))
    robot = human @ mixing * 0.3 + 1
    model = start(4, robot, human)
    with torch.no_grad():
        expected, got = model.robot_encoder(robot), model.human_encoder(human)
    assert (got - expected).square().mean() < 1e-3 * expected.square().mean()
