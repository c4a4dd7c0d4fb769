"""A causal model sees nothing that is later, and gives the same step by step as at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.models.past import Past, TimeConv
from g1_vq_retarget.models.streaming import StreamingStep
from g1_vq_retarget.models.way import RootRates
from synthetic import tiny_model

ROBOT, HUMAN = 9, 11
RATES = RootRates(velocities=(-3, -2, -1), human_turning=-1, scale=0.8, shift=0.1, frames=10)


def motion(batch: int, frames: int, columns: int, seed: int = 0) -> Tensor:
    steps = torch.randn(batch, frames, columns, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool1d(steps.mT, 5, stride=1, padding=2).mT * 2


def build(kind: str = "predictive", robot_encoder: str = "klt", downsample: int = 4) -> DualEncoderVQVAE:
    """A causal model of which no layer is zero."""
    torch.manual_seed(0)
    config = tiny_model(kind, downsample, beam=4)
    config.network.causal = True
    config.network.depth = 3
    config.network.robot_encoder = robot_encoder  # type: ignore[assignment]
    config.network.knows_levels = True
    model = DualEncoderVQVAE(ROBOT, HUMAN, config, RATES)
    with torch.no_grad():
        for module in (model.robot_encoder, model.human_encoder, model.decoder):
            for parameter in module.parameters():
                parameter.normal_(std=0.2)
        model.quantizer.place_codes(model.robot_encoder(motion(16, 32, ROBOT)))
    return model.eval()


def test_a_causal_convolution_by_hand() -> None:
    conv = TimeConv(1, 1, 3, dilation=2, causal=True)
    conv.weight.data[:] = torch.tensor([100.0, 10.0, 1.0])
    conv.bias.data.zero_()  # type: ignore[union-attr]
    x = torch.arange(1.0, 7.0)[None, None]
    # y[t] = 100 x[t - 4] + 10 x[t - 2] + x[t], nothing before the beginning
    whole = conv(x)
    assert whole[0, 0].tolist() == [1, 2, 13, 24, 135, 246]
    first = Past()
    second_piece = torch.cat([conv(x[..., :3], first), conv(x[..., 3:], Past(first.now))], -1)
    torch.testing.assert_close(second_piece, whole)


def test_a_convolution_to_both_sides_repeats_the_edges() -> None:
    conv = TimeConv(1, 1, 3)
    conv.weight.data[:] = torch.tensor([100.0, 10.0, 1.0])
    conv.bias.data.zero_()  # type: ignore[union-attr]
    assert conv(torch.tensor([[[1.0, 2.0, 3.0]]]))[0, 0].tolist() == [112, 123, 233]


@pytest.mark.parametrize("robot_encoder", ["klt", "learned"])
@pytest.mark.parametrize("downsample", [1, 4])
def test_nothing_later_is_seen(robot_encoder: str, downsample: int) -> None:
    model = build(robot_encoder=robot_encoder, downsample=downsample)
    human, robot = motion(2, 48, HUMAN), motion(2, 48, ROBOT, seed=1)
    for encode, decode, features in (
        (model.human_latent, None, human),
        (model.robot_latent, model.decoder, robot),
    ):
        changed = features.clone()
        changed[:, 24:] += 1
        before, after = encode(features), encode(changed)
        steps = 24 // downsample
        torch.testing.assert_close(before[:, :steps], after[:, :steps])
        assert (before[:, steps] - after[:, steps]).abs().max() > 0.1
        if decode is not None:
            torch.testing.assert_close(decode(before)[:, :24], decode(after)[:, :24])


@pytest.mark.parametrize("downsample", [1, 4])
def test_the_way_is_led_from_the_second_step_on(downsample: int) -> None:
    model = build(downsample=downsample)
    human, robot = motion(2, 16, HUMAN), motion(2, 16, ROBOT, seed=1)
    for led, encoded in (
        (model.human_latent(human), model.human_encoder(model.known(human))),
        (model.robot_latent(robot), model.robot_encoder(robot)),
    ):
        torch.testing.assert_close(led[:, 0], encoded[:, 0])
        assert (led[:, 1] - encoded[:, 1]).abs().amin(0).max() > 1e-3


def test_a_velocity_is_known_a_frame_later() -> None:
    model = build(downsample=1)
    human = motion(1, 12, HUMAN)
    known = model.known(human)
    assert torch.equal(known[..., :-3], human[..., :-3])
    assert torch.equal(known[:, 1:, -3:], human[:, :-1, -3:])
    assert known[:, 0, -3:].abs().max() == 0
    changed = human.clone()
    changed[:, 6, -3:] += 1
    moved = (model.human_latent(changed) - model.human_latent(human)).abs().amax((0, 2)) > 1e-6
    assert moved.nonzero()[0] == 7


@pytest.mark.parametrize("kind", ["predictive", "rvq", "hybrid"])
@pytest.mark.parametrize("downsample", [1, 4])
def test_steps_are_the_whole(kind: str, downsample: int) -> None:
    model = build(kind, "klt", downsample)
    human = motion(3, 64, HUMAN)
    coded = model.encode_human(human)
    whole = model.motion_of(coded)
    step = StreamingStep(model)
    state = step.begin(3)
    motions, tokens = [], []
    for piece in model.known(human).split(downsample, dim=1):
        robot, token, *state = step(piece, *state)
        motions.append(robot)
        tokens.append(token)
    assert (torch.stack(tokens, 1) == coded.tokens).all()
    torch.testing.assert_close(torch.cat(motions, 1), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("levels", [None, 1])
@pytest.mark.parametrize(("kind", "robot_encoder"), [("predictive", "klt"), ("predictive", "learned"), ("rvq", "klt")])
@pytest.mark.parametrize("downsample", [1, 2, 4])
def test_the_parts_of_steps_are_the_whole(kind: str, robot_encoder: str, downsample: int, levels: int | None) -> None:
    model = build(kind, robot_encoder, downsample)
    human = motion(2, 32, HUMAN)
    coded = model.encode_human(human, levels)
    step = StreamingStep(model, levels)
    state = step.begin(2)
    correction, remembered, looking = state[0], state[1 : step.answering], state[step.answering :]
    motions, tokens = [], []
    for piece in model.known(human).split(downsample, dim=1):
        foretold = step.foretell(*remembered)
        assert len(foretold) > 2 * model.config.network.depth  # of both networks' blocks, and more
        robot, token, latent, *remembered = step.answer(piece, correction, *remembered, *foretold)
        correction, *looking = step.look_back(piece, latent, *looking)
        motions.append(robot)
        tokens.append(token)
    assert torch.equal(torch.stack(tokens, 1), coded.tokens)
    torch.testing.assert_close(torch.cat(motions, 1), model.motion_of(coded), atol=1e-5, rtol=0)


def test_fewer_levels_step_by_step() -> None:
    model = build()
    human = motion(2, 32, HUMAN)
    coded = model.encode_human(human, 1)
    step = StreamingStep(model, levels=1)
    state = step.begin(2)
    robot = []
    for piece in model.known(human).split(4, dim=1):
        one, _, *state = step(piece, *state)
        robot.append(one)
    torch.testing.assert_close(torch.cat(robot, 1), model.motion_of(coded), atol=1e-5, rtol=0)


def test_rows_begin_anew_alone() -> None:
    """What a fresh row remembers is zeros, so that one of many can be reset."""
    model = build()
    step = StreamingStep(model)
    human = model.known(motion(2, 16, HUMAN))
    state = step.begin(2)
    for piece in human[:, :8].split(4, dim=1):
        _, _, *state = step(piece, *state)
    fresh = [torch.cat([one[:1], torch.zeros_like(one[1:])]) for one in state]
    robot = step(human[:, 8:12], *fresh)[0]
    alone = step(human[1:, 8:12], *step.begin(1))[0]
    torch.testing.assert_close(robot[1:], alone, atol=1e-5, rtol=0)
    assert all((one == 0).all() for one in step.begin(2))


def test_what_looks_ahead_has_no_steps() -> None:
    model = DualEncoderVQVAE(ROBOT, HUMAN, tiny_model())
    with pytest.raises(ValueError, match="not causal"):
        StreamingStep(model)
