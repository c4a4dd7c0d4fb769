from __future__ import annotations

import math
from typing import Any, get_args, get_type_hints

import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from g1_vq_retarget.models.quantizer import Quantized, Quantizer, QuantizerConfig
from g1_vq_retarget.models.quantizers import Scalar, Sign, build_quantizer

KINDS = get_args(get_type_hints(QuantizerConfig)["kind"])
# kinds whose codes are vectors, and whether those that fall out of use are replaced
REPLACES = {"standard": False, "reset": True, "ema": False, "ema_reset": True, "rvq": True, "hybrid": True}
SMALL: dict[str, Any] = {"fsq_levels": [[5, 4], [3]], "levels": 2, "codebook_size": 8, "kmeans_iters": 5}
DIM = 6


def latents(seed: int = 0, batch: int = 32, steps: int = 8) -> Tensor:
    """(B, T, DIM) numbers whose deviation falls from channel to channel, as after a Karhunen-Loève transform."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, steps, DIM, generator=generator) / torch.arange(1, DIM + 1)


def placed(kind: str, data: Tensor | None = None, **changes: Any) -> Quantizer:
    """A quantizer whose codes have been placed on the data, outside training."""
    torch.manual_seed(0)
    data = latents() if data is None else data
    quantizer = build_quantizer(data.shape[-1], QuantizerConfig(kind=kind, **SMALL | changes))  # type: ignore[arg-type]
    quantizer.place_codes(data)
    return quantizer.eval()


def error(quantizer: Quantizer, data: Tensor) -> float:
    with torch.no_grad():
        return float((quantizer(data).latent - data).square().mean())


def train(quantizer: Quantizer, data: Tensor, steps: int, lr: float) -> None:
    quantizer.train()
    learned = [parameter for parameter in quantizer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True), *learned], lr=lr)
    for _ in range(steps):
        loss = quantizer(data).loss
        if loss.requires_grad:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    quantizer.eval()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


# Tokens


@pytest.mark.parametrize("changes", [{}, {"beam": 3}, {"rotation_trick": True}, {"levels": 1, "codebook_size": 2}])
def test_tokens_decode_to_the_quantized_latent(kind: str, changes: dict[str, Any]) -> None:
    quantizer = placed(kind, **changes)
    out = quantizer(latents(1))
    torch.testing.assert_close(quantizer.decode(out.tokens), out.latent, atol=1e-6, rtol=1e-5)


def test_tokens_are_whole_numbers_within_their_vocabularies(kind: str) -> None:
    quantizer = placed(kind)
    tokens = quantizer(100 * latents(1, 5, 7)).tokens
    assert tokens.shape == (5, 7, len(quantizer.codebook_sizes))
    assert not tokens.is_floating_point()
    assert (tokens >= 0).all()
    assert (tokens < torch.tensor(quantizer.codebook_sizes)).all()


def test_every_token_of_every_level_decodes_to_a_latent_of_its_own(kind: str) -> None:
    quantizer = placed(kind)
    zero = torch.zeros(1, 1, len(quantizer.codebook_sizes), dtype=torch.long)
    for level, size in enumerate(quantizer.codebook_sizes):
        tokens = zero.repeat(1, size, 1)
        tokens[0, :, level] = torch.arange(size)
        decoded = quantizer.decode(tokens)[0]
        assert torch.isfinite(decoded).all()
        assert len(decoded.unique(dim=0)) == size


def test_each_level_more_leaves_less(kind: str) -> None:
    quantizer, data = placed(kind), latents(1)
    tokens = quantizer(data).tokens
    left = [
        float((quantizer.decode(tokens[..., : level + 1]).detach() - data).square().mean())
        for level in range(len(quantizer.codebook_sizes))
    ]
    assert left == sorted(left, reverse=True)
    assert left[0] < float((data - data.mean((0, 1))).square().mean())
    torch.testing.assert_close(left[-1], error(quantizer, data))


def test_bits_are_the_logarithms_of_the_vocabularies(kind: str) -> None:
    scalars = (20, 3) if kind in ("fsq", "hybrid") else ()
    sizes = scalars + (() if kind == "fsq" else (8, 8))
    quantizer = placed(kind)
    assert quantizer.codebook_sizes == sizes
    assert quantizer.bits == pytest.approx(sum(math.log(size) / math.log(2) for size in sizes))


def test_a_step_gets_the_same_tokens_in_any_company(kind: str) -> None:
    quantizer, data = placed(kind), latents(1)
    tokens = quantizer(data).tokens
    torch.testing.assert_close(quantizer(data.flip(0)).tokens, tokens.flip(0))
    if kind != "predictive":  # which goes by the steps before
        torch.testing.assert_close(quantizer(data[3:5, 2:3]).tokens, tokens[3:5, 2:3])
        torch.testing.assert_close(quantizer(data.flip(1)).tokens, tokens.flip(1))


def test_quantizing_outside_training_changes_no_code(kind: str) -> None:
    quantizer = placed(kind)
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(5 + latents(1))
    torch.testing.assert_close(dict(quantizer.state_dict()), before, rtol=0, atol=0)


@pytest.mark.parametrize("kind", REPLACES)
def test_more_levels_leave_less(kind: str) -> None:
    errors = [error(placed(kind, levels=levels), latents()) for levels in (1, 2, 4)]
    assert errors[0] > 1.2 * errors[1] > 1.44 * errors[2]


@pytest.mark.parametrize("kind", REPLACES)
def test_a_wider_search_leaves_no_more(kind: str) -> None:
    quantizers = [placed(kind, levels=4, beam=beam) for beam in (1, 8)]
    quantizers[1].load_state_dict(quantizers[0].state_dict())
    assert error(quantizers[1], latents(1)) < error(quantizers[0], latents(1))


@pytest.mark.parametrize("kind", ["fsq", "lfq"])
def test_directions_are_found_whichever_way_the_latents_are_turned(kind: str) -> None:
    turn, _ = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(5)))
    turned = latents() @ turn + 3
    assert error(placed(kind, turned), turned) == pytest.approx(error(placed(kind), latents()), rel=1e-3)


# Training


def coded(quantizer: Quantizer, data: Tensor) -> tuple[Tensor, Tensor]:
    """The part of latents that tokens can tell, and the orthogonal projection (DIM, DIM) onto its directions."""
    if not isinstance(quantizer, Scalar | Sign):
        return data, torch.eye(DIM)
    basis = torch.linalg.qr(quantizer.project_in.weight.detach().T).Q
    mean = quantizer.project_out.bias.detach()
    return (data - mean) @ basis @ basis.T + mean, basis @ basis.T


def test_gradients_go_straight_through_in_the_directions_that_tokens_tell(kind: str) -> None:
    quantizer, data = placed(kind).train(), latents(1).requires_grad_()
    weight = torch.randn(data.shape)
    (quantizer(data).latent * weight).sum().backward()
    torch.testing.assert_close(data.grad, weight @ coded(quantizer, data)[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["fsq", "lfq"])
def test_no_gradient_pushes_where_no_token_looks(kind: str) -> None:
    quantizer, data = placed(kind, levels=1).train(), latents(1).requires_grad_()
    directions = quantizer.get_submodule("project_in").get_parameter("weight").detach()
    blind = torch.linalg.svd(directions).Vh[len(directions) :]  # orthogonal to all of them
    assert len(blind) > 0
    out = quantizer(data)
    (out.latent.square().sum() + out.loss).backward()
    assert data.grad is not None
    assert (data.grad @ blind.T).abs().max() < 1e-5 * data.grad.abs().max()


def test_the_encoder_is_pulled_to_the_codes_by_the_commitment_alone(kind: str) -> None:
    quantizer, data = placed(kind, commitment=0.5), latents(1).requires_grad_()
    out = quantizer(data)
    out.loss.backward()
    expected = 0.5 * 2 * (coded(quantizer, data)[0] - out.latent).detach() / data.numel()
    torch.testing.assert_close(data.grad, expected, atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "fsq"])
def test_codes_follow_the_data_in_training(kind: str) -> None:
    quantizer, elsewhere = placed(kind, decay=0.8), latents() @ torch.eye(DIM).flip(0)
    tokens = quantizer(latents()).tokens
    before, before_error = quantizer.decode(tokens), error(quantizer, elsewhere)
    steps, lr = (60, 0.003) if kind == "predictive" else (30, 0.05)
    train(quantizer, elsewhere, steps=steps, lr=lr)
    assert (quantizer.decode(tokens) - before).abs().mean() > 0.01
    assert error(quantizer, elsewhere) < 0.8 * before_error


def test_what_can_learn_by_gradient_gets_one(kind: str) -> None:
    quantizer = placed(kind).train()
    parameters = {name: parameter for name, parameter in quantizer.named_parameters() if parameter.requires_grad}
    # the others follow averages, and scalars stay where they were placed
    assert bool(parameters) == (kind in ("standard", "reset", "lfq", "predictive"))
    if kind == "predictive":  # its network starts at zero
        train(quantizer, latents(1), steps=1, lr=0.01)
        quantizer.train().zero_grad()
    if parameters:
        quantizer(latents(1)).loss.backward()
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", ["fsq", "hybrid"])
def test_scalars_stay_where_they_were_placed(kind: str) -> None:
    quantizer, elsewhere = placed(kind), latents() @ torch.eye(DIM).flip(0)
    before = {name: value.clone() for name, value in quantizer.state_dict().items() if "project" in name}
    assert before
    train(quantizer, elsewhere, steps=3, lr=0.05)
    for name, value in before.items():
        assert torch.equal(quantizer.state_dict()[name], value), name


def stray(quantizer: Quantizer, data: Tensor) -> float:
    """How far the furthest code of the last level would take the first latent from where it is."""
    tokens = quantizer(data[:1, :1]).tokens.repeat(1, quantizer.codebook_sizes[-1], 1)
    tokens[0, :, -1] = torch.arange(quantizer.codebook_sizes[-1])
    return float((quantizer.decode(tokens).detach() - data[:1, :1]).norm(dim=-1).max())


@pytest.mark.parametrize(("kind", "threshold"), [*((kind, 0.1) for kind in REPLACES), ("reset", 0), ("rvq", 0)])
def test_codes_that_fall_out_of_use_are_replaced_where_that_is_wanted(kind: str, threshold: float) -> None:
    # codes are placed on two clusters far apart, of which only one goes on
    near, far = latents(0), latents(1) + 50
    both = torch.cat([near, far])
    quantizer = placed(kind, both, levels=1, fsq_levels=[[3]], decay=0.5, dead_code_threshold=threshold)
    before = stray(quantizer, near)
    train(quantizer, near, steps=20, lr=0)
    replaced = REPLACES[kind] and threshold > 0
    assert before > 10
    assert (stray(quantizer, near) < 0.6 * before) == replaced


def test_numbers_are_float32_inside_autocast(kind: str) -> None:
    quantizer = placed(kind)
    rough = latents(1).bfloat16()
    expected = quantizer(rough.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = quantizer(rough)
    assert out.latent.dtype == out.loss.dtype == torch.float32
    assert torch.equal(out.tokens, expected.tokens)
    assert torch.equal(out.latent, expected.latent)


# Cases worked by hand. The first of two channels has mean 1 and deviation 2 (of a sample: 12 / 3 = 2 squared).


def channel(values: list[float]) -> Tensor:
    """(1, T, 2) with zeros in the second channel."""
    return torch.tensor([values, [0.0] * len(values)]).T[None]


DATA, INPUT = channel([0, 0, 0, 4]), channel([0.2, 3.9, -90])


def assert_quantized(out: Quantized, tokens: list[list[int]], latent: list[float], own: list[float] | None) -> None:
    """`own`: what is decoded by the codes that learn by gradient, if any do."""
    assert out.tokens.tolist() == [tokens]
    torch.testing.assert_close(out.latent, channel(latent), atol=1e-3, rtol=0)
    parts = [float((INPUT - channel(values)).square().mean()) for values in (latent, own) if values is not None]
    assert out.loss.item() == pytest.approx(sum(parts), rel=1e-4)


def test_a_scalar_is_rounded_to_the_nearest_level() -> None:
    # Max 1960: the best three levels of a Gaussian stand 1.224 deviations apart
    levels = [1 - 2.448, 1, 1 + 2.448]
    latent = [levels[1], levels[2], levels[0]]
    assert_quantized(placed("fsq", DATA, fsq_levels=[[3]])(INPUT), [[1], [2], [0]], latent, None)


def test_a_sign_stands_for_the_mean_of_its_half() -> None:
    # of a Gaussian: sqrt(2 / pi) = 0.79788 deviations from the mean
    low, high = 1 - 2 * 0.79788, 1 + 2 * 0.79788
    out = placed("lfq", DATA, levels=1, codebook_size=2, entropy=0.0)(INPUT)
    assert_quantized(out, [[0], [1], [0]], [low, high, low], [low, high, low])


def test_a_code_takes_what_the_levels_leave() -> None:
    # 0 is rounded to 1 and 4 to 3.448; the only code is the mean of what is left over, (3 * -1 + 0.552) / 4 = -0.612
    levels = [1 - 2.448, 1, 1 + 2.448]
    coarse = [levels[1], levels[2], levels[0]]
    out = placed("hybrid", DATA, fsq_levels=[[3]], levels=1, codebook_size=1)(INPUT)
    assert_quantized(out, [[1, 0], [2, 0], [0, 0]], [level - 0.612 for level in coarse], None)


@pytest.mark.parametrize("kind", ["standard", "reset", "ema", "ema_reset", "rvq"])
def test_a_vector_gets_its_nearest_code_and_then_what_is_left_its_own(kind: str) -> None:
    # two codes at +-2, whose halves lie at +-2 +- 0.5: two levels of two codes place all four
    data = torch.tensor([-2.5, -1.5, 1.5, 2.5]).repeat(8).reshape(1, -1, 1)
    quantizer = placed(kind, data, levels=2, codebook_size=2, kmeans_iters=20)
    out = quantizer(torch.tensor([2.4, -1.0]).reshape(1, 2, 1))
    torch.testing.assert_close(out.latent.flatten(), torch.tensor([2.5, -1.5]))
    (coarse_up, fine_up), (coarse_down, fine_down) = out.tokens[0].tolist()
    assert coarse_up != coarse_down
    assert fine_up == fine_down  # both lie half above their first code
    assert out.loss.item() == pytest.approx((0.1**2 + 0.5**2) / 2, rel=1e-4)


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 7, 8, 10, 13, 16, 20, 28, 32])
def test_scalar_levels_start_where_a_gaussian_loses_least(levels: int) -> None:
    data = channel(norm.ppf((torch.arange(4000) + 0.5) / 4000).tolist())  # its quantiles

    def mse(scale: float) -> float:
        return error(placed("fsq", scale * data, fsq_levels=[[levels]]), data)

    assert mse(1.0) < min(mse(0.8), mse(1.2))
    assert mse(1.0) < 1.01 * min(mse(0.97), mse(1.03))
