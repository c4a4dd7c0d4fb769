from __future__ import annotations

import math
from typing import Any, get_args, get_type_hints

import pytest
import torch
from g1_vq_retarget.models.quantizers import Quantizer, QuantizerConfig, build_quantizer
from scipy.stats import norm
from torch import Tensor

KINDS = get_args(get_type_hints(QuantizerConfig)["kind"])
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
    quantizer.place_codes(data, data.flatten(0, -2).std(0))
    return quantizer.eval()


def error(quantizer: Quantizer, data: Tensor) -> float:
    with torch.no_grad():
        return float((quantizer(data).latent - data).square().mean())


def train(quantizer: Quantizer, data: Tensor, steps: int) -> None:
    quantizer.train()
    optimizer = torch.optim.SGD(parameters, lr=0.1) if (parameters := list(quantizer.parameters())) else None
    for _ in range(steps):
        loss = quantizer(data).loss
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    quantizer.eval()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


# Tokens


@pytest.mark.parametrize("changes", [{}, {"beam": 3}, {"rotation_trick": True}, {"levels": 1, "codebook_size": 1}])
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


def test_every_token_of_every_level_decodes(kind: str) -> None:
    quantizer = placed(kind)
    zero = torch.zeros(1, 1, len(quantizer.codebook_sizes), dtype=torch.long)
    for level, size in enumerate(quantizer.codebook_sizes):
        tokens = zero.repeat(1, size, 1)
        tokens[0, :, level] = torch.arange(size)
        decoded = quantizer.decode(tokens)[0]
        assert torch.isfinite(decoded).all()
        assert len(decoded.unique(dim=0)) == size


@pytest.mark.parametrize(
    ("kind", "sizes", "bits"),
    [("rvq", (8, 8), 6.0), ("hybrid", (20, 3, 8, 8), math.log2(20) + math.log2(3) + 6)],
)
def test_bits_are_the_logarithms_of_the_vocabularies(kind: str, sizes: tuple[int, ...], bits: float) -> None:
    quantizer = placed(kind)
    assert quantizer.codebook_sizes == sizes
    assert quantizer.bits == pytest.approx(bits)


def test_a_step_gets_the_same_tokens_in_any_company(kind: str) -> None:
    quantizer, data = placed(kind), latents(1)
    tokens = quantizer(data).tokens
    torch.testing.assert_close(quantizer(data[3:5, 2:3]).tokens, tokens[3:5, 2:3])
    torch.testing.assert_close(quantizer(data.flip(0, 1)).tokens, tokens.flip(0, 1))


def test_quantizing_outside_training_changes_no_code(kind: str) -> None:
    quantizer = placed(kind)
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(5 + latents(1))
    torch.testing.assert_close(dict(quantizer.state_dict()), before, rtol=0, atol=0)


def test_more_levels_leave_less(kind: str) -> None:
    errors = [error(placed(kind, levels=levels), latents()) for levels in (1, 2, 4)]
    assert errors[0] > 1.2 * errors[1] > 1.44 * errors[2]


def test_a_wider_search_leaves_no_more(kind: str) -> None:
    quantizers = [placed(kind, levels=4, beam=beam) for beam in (1, 8)]
    quantizers[1].load_state_dict(quantizers[0].state_dict())
    assert error(quantizers[1], latents(1)) < error(quantizers[0], latents(1))


# Training


def test_gradients_go_straight_through(kind: str) -> None:
    quantizer, data = placed(kind).train(), latents(1).requires_grad_()
    weight = torch.randn(data.shape)
    (quantizer(data).latent * weight).sum().backward()
    torch.testing.assert_close(data.grad, weight)


def test_the_encoder_is_pulled_to_the_codes_by_the_commitment_alone(kind: str) -> None:
    quantizer, data = placed(kind, commitment=0.5), latents(1).requires_grad_()
    out = quantizer(data)
    out.loss.backward()
    torch.testing.assert_close(data.grad, 0.5 * 2 * (data - out.latent).detach() / data.numel(), atol=1e-7, rtol=1e-4)


def test_codes_follow_the_data_in_training(kind: str) -> None:
    quantizer, elsewhere = placed(kind, decay=0.8), latents() @ torch.eye(DIM).flip(0)
    tokens = quantizer(latents()).tokens
    before, before_error = quantizer.decode(tokens), error(quantizer, elsewhere)
    train(quantizer, elsewhere, steps=30)
    assert (quantizer.decode(tokens) - before).abs().mean() > 0.01
    assert error(quantizer, elsewhere) < 0.8 * before_error


def test_scalar_levels_learn_by_gradient() -> None:
    quantizer = placed("hybrid")
    quantizer(latents(1)).loss.backward()
    gradients = {name: parameter.grad for name, parameter in quantizer.named_parameters()}
    assert gradients
    for name, gradient in gradients.items():
        assert gradient is not None, name
        assert gradient.abs().max() > 0, name


@pytest.mark.parametrize(("threshold", "revived"), [(0.1, True), (0.0, False)])
def test_codes_that_fall_out_of_use_are_replaced(kind: str, threshold: float, revived: bool) -> None:
    # one level of codes, placed on two clusters far apart, of which only one goes on
    near, far = latents(0, 16, 8) * 0.01, latents(1, 16, 8) * 0.01 + 50
    quantizer = placed(
        kind, torch.cat([near, far]), levels=1, fsq_levels=[[3]], decay=0.5, dead_code_threshold=threshold
    )
    train(quantizer, near, steps=20)
    used = quantizer(near).tokens[..., -1].unique()
    assert (len(used) == 8) == revived


def test_numbers_are_float32_inside_autocast(kind: str) -> None:
    quantizer = placed(kind)
    rough = latents(1).bfloat16()
    expected = quantizer(rough.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = quantizer(rough)
    assert out.latent.dtype == out.loss.dtype == torch.float32
    assert torch.equal(out.tokens, expected.tokens)
    assert torch.equal(out.latent, expected.latent)


# Cases worked by hand


def test_a_scalar_is_rounded_to_a_level_and_the_rest_to_a_code() -> None:
    # Max 1960: the best three levels of a Gaussian stand 1.224 deviations apart. The codes have one entry, the mean of
    # what the levels leave over, here 0.1 everywhere.
    data = torch.tensor([1.324, 0.1, -1.124, 0.1]).reshape(1, 4, 1)
    quantizer = build_quantizer(1, QuantizerConfig(kind="hybrid", fsq_levels=[[3]], levels=1, codebook_size=1))
    quantizer.place_codes(data, torch.ones(1))
    quantizer.eval()
    out = quantizer(torch.tensor([1.0, 0.5, -3.0]).reshape(1, 3, 1))
    assert out.tokens.tolist() == [[[2, 0], [1, 0], [0, 0]]]
    quantized = torch.tensor([1.324, 0.1, -1.124])
    torch.testing.assert_close(out.latent.flatten(), quantized, atol=1e-4, rtol=0)
    commitment = ((1.0 - 1.324) ** 2 + (0.5 - 0.1) ** 2 + (3.0 - 1.124) ** 2) / 3
    leftover = ((1.0 - 1.224) ** 2 + 0.5**2 + (3.0 - 1.224) ** 2) / 3
    assert out.loss.item() == pytest.approx(commitment + leftover, abs=1e-3)


def test_a_vector_gets_its_nearest_code_and_then_what_is_left_its_own() -> None:
    # two codes at +-2, whose halves lie at +-2 +- 0.5: two levels of two codes place all four
    data = torch.tensor([-2.5, -1.5, 1.5, 2.5]).repeat(8).reshape(1, -1, 1)
    quantizer = placed("rvq", data, levels=2, codebook_size=2, kmeans_iters=20)
    out = quantizer(torch.tensor([2.4, -1.0]).reshape(1, 2, 1))
    torch.testing.assert_close(out.latent.flatten(), torch.tensor([2.5, -1.5]))
    (coarse_up, fine_up), (coarse_down, fine_down) = out.tokens[0].tolist()
    assert coarse_up != coarse_down
    assert fine_up == fine_down  # both lie half above their first code
    assert out.loss.item() == pytest.approx((0.1**2 + 0.5**2) / 2)


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 7, 8, 10, 13, 16, 20, 28, 32])
def test_scalar_levels_start_where_a_gaussian_loses_least(levels: int) -> None:
    # quantiles of a Gaussian; the single code takes their mean, which is zero
    data = torch.from_numpy(norm.ppf((torch.arange(4000) + 0.5) / 4000)).float().reshape(1, -1, 1)

    def mse(reach: float) -> float:
        quantizer = build_quantizer(1, QuantizerConfig(kind="hybrid", fsq_levels=[[levels]], levels=1, codebook_size=1))
        quantizer.place_codes(data, torch.tensor([reach]))
        return error(quantizer.eval(), data)

    assert mse(1.0) < min(mse(0.8), mse(1.2))
    assert mse(1.0) < 1.01 * min(mse(0.97), mse(1.03))
