from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from g1_vq_retarget.models.predictive import FEW, GROUP, GROWTH_ROWS, PredictiveResidual, _least
from g1_vq_retarget.models.quantizer import QuantizerConfig

DIM = 4


def slow(seed: int = 0, batch: int = 64, steps: int = 24) -> Tensor:
    """(B, T, DIM) latents that move slowly: each is 0.98 of the one before and a little of its own."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(steps, batch, DIM, generator=generator)
    latents = [noise[0]]
    for step in noise[1:]:
        latents.append(0.98 * latents[-1] + (1 - 0.98**2) ** 0.5 * step)
    return torch.stack(latents, 1)


def placed(data: Tensor | None = None, **changes: Any) -> PredictiveResidual:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"levels": 3, "codebook_size": 16, "memory": 3, "predictor_width": 16, "beam": 4}
    quantizer = PredictiveResidual(DIM, QuantizerConfig("predictive", **settings | changes))
    quantizer.place_codes(slow() if data is None else data)
    return quantizer.eval()


def test_the_past_makes_codes_finer() -> None:
    data = slow(1)
    with torch.no_grad():
        missed = (placed()(data).latent - data).square().mean(dim=(0, 2))
    assert missed[12:].mean() < 0.2 * missed[0]  # the first step is told from nothing


def test_errors_do_not_add_up() -> None:
    data = slow(2, batch=8, steps=400)
    with torch.no_grad():
        missed = (placed()(data).latent - data).square().mean(dim=(0, 2))
    assert missed[300:].mean() < 1.3 * missed[20:120].mean()


def test_rounding_and_spoiled_tokens_are_forgotten() -> None:
    # latents that go ever on, so that the best linear prediction is not stable
    data = slow(3, batch=16, steps=400).cumsum(1) / 20
    quantizer = placed(data)
    tokens = quantizer(data).tokens
    spoiled = tokens.clone()
    spoiled[:, 5] = (spoiled[:, 5] + 1) % 16
    apart = (quantizer.decode(spoiled) - quantizer.decode(tokens)).norm(dim=-1).mean(0)
    assert apart[5] > 0.01
    assert apart[-1] < 0.05 * apart[5]


def test_whatever_is_told_latents_stay_finite() -> None:
    quantizer = placed()
    with torch.no_grad():  # a recursion that does not forget of itself
        quantizer.prediction.linear.weight.mul_(1.1)
    tokens = torch.randint(16, (8, 2000, 3), generator=torch.Generator().manual_seed(0))
    latents = quantizer.decode(tokens)
    assert torch.isfinite(latents).all()
    assert latents.abs().max() < 1e3


def test_training_makes_a_recursion_forget() -> None:
    quantizer, data = placed(training_beam=1).train(), slow(1)
    with torch.no_grad():
        quantizer.prediction.linear.weight.mul_(1.1)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.003)
    growth = []
    for _ in range(60):
        out = quantizer(data)
        growth.append(quantizer._growth(out.latent.detach(), out.tokens).max().item())
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
    assert max(growth[:10]) > 1.02
    assert max(growth[-5:]) < 1.0


def test_growth_is_that_of_the_worst_pole() -> None:
    # without a network, and with one lag, an error of one step is multiplied by the matrix of that lag
    quantizer = placed(memory=1)
    poles = torch.tensor([0.5, 0.9, 0.2, 0.1])
    with torch.no_grad():
        quantizer.prediction.linear.weight.copy_(F.pad(torch.diag(poles), (0, 1)))
    out = quantizer(slow(1))
    growth = [quantizer._growth(out.latent, out.tokens).max().item() for _ in range(20)][-1]
    assert growth == pytest.approx(0.9, rel=1e-3)
    assert quantizer.weakness.abs().argmax() == 1


def leaping() -> tuple[PredictiveResidual, Tensor, Tensor]:
    """Latents at rest, and a recursion that forgets small errors in one direction and not large ones."""
    quantizer = placed(memory=1)
    size = quantizer.prediction
    with torch.no_grad():
        size.linear.weight.copy_(F.pad(torch.diag(torch.tensor([0.5, 0.1, 0.1, 0.1])), (0, 1)))
    mean = size.forward

    def forward(memory: Tensor) -> tuple[Tensor, Tensor]:
        predicted, deviation = mean(memory)
        first = memory[..., 0]
        more = F.pad((0.7 * first * (first.abs() > 0.05))[..., None], (0, DIM - 1))
        return predicted + more, 0 * deviation

    size.forward = forward  # type: ignore[method-assign]
    return quantizer, torch.zeros(GROWTH_ROWS, 40, DIM), torch.zeros(GROWTH_ROWS, 40, 3, dtype=torch.long)


def test_small_and_large_errors_are_looked_at() -> None:
    quantizer, codes, tokens = leaping()
    # until the error looks the way that grows
    growth = torch.stack([quantizer._growth(codes, tokens) for _ in range(5)])[-1]
    # 1.2 a step beyond 0.05, else 0.5
    assert (growth > 1.15).any()
    assert (growth < 0.55).any()


@pytest.mark.parametrize("quarter", range(4))
def test_every_part_of_a_batch_is_looked_at(quarter: int) -> None:
    quantizer = placed(memory=1)
    # what is remembered of a quarter of the rows is at 3, and there errors of one kind grow
    codes = torch.zeros(48, 40, DIM)
    codes[12 * quarter : 12 * quarter + 12] = 3.0
    factor = torch.where(torch.arange(DIM) == quarter, 1.05, 0.5)

    def forward(memory: Tensor) -> tuple[Tensor, Tensor]:
        near = memory[..., :-1] - 3
        there = near.norm(dim=-1, keepdim=True) < 2.5
        mean = torch.where(there, 3 + factor * near, 0.5 * memory[..., :-1]).float()
        return mean, torch.zeros_like(mean)

    quantizer.prediction.forward = forward  # type: ignore[method-assign]
    quantizer.weakness.copy_(torch.eye(DIM)[[(quarter + 1) % DIM]])  # as another kind has grown before
    growth = quantizer._growth(codes, torch.zeros(48, 40, 3, dtype=torch.long))
    there = (torch.arange(GROWTH_ROWS) * 48 // GROWTH_ROWS) // 12 == quarter
    assert there.sum() == GROWTH_ROWS // 4
    assert growth[there].tolist() == pytest.approx([1.05] * 4, abs=0.01)
    assert growth[~there].max() < 0.6


def test_followers_learn_to_forget() -> None:
    data = torch.cat([slow(1, batch=6), slow(2, batch=3)])
    gradients = []
    for followers in (data[6:], 0.2 * data[6:]):
        quantizer = placed(growth=0.5).train()
        torch.manual_seed(0)
        with torch.no_grad():  # so that what is remembered of rows matters
            quantizer.prediction.out.weight.normal_(std=0.05)
        quantizer(torch.cat([data[:6], followers]), followers=3).loss.backward()
        gradient = quantizer.prediction.linear.weight.grad
        assert gradient is not None
        gradients.append(gradient)
    assert not torch.allclose(*gradients, rtol=1e-2, atol=0)


def test_an_error_that_died_away_does_not_end_the_watch() -> None:
    quantizer = placed(memory=1)
    linear = quantizer.prediction.linear.weight
    out = quantizer(slow(1))
    growth = []
    with torch.no_grad():
        for pole in (0.0, 1.05):
            linear.copy_(F.pad(pole * torch.eye(DIM), (0, 1)))
            growth.append(quantizer._growth(out.latent, out.tokens).max().item())
    assert growth == [pytest.approx(0.0, abs=0.4), pytest.approx(1.05, rel=1e-3)]


def test_dead_codes_are_put_on_latents_but_told_as_they_were() -> None:
    quantizer, data = placed(training_beam=4, dead_code_threshold=0.05), slow(1)
    with torch.no_grad():
        told = quantizer(data)
        before = quantizer.codebooks.clone()
        quantizer.usage[1] = 0.0
        out = quantizer.train()(data)
    torch.testing.assert_close(out.latent, told.latent, atol=1e-5, rtol=1e-4)
    assert torch.equal(quantizer.codebooks[[0, 2]], before[[0, 2]])
    assert (quantizer.codebooks[1] != before[1]).any(-1).all()
    assert (quantizer.usage[1] > 0.9).all()


@pytest.mark.parametrize("empty", [1, DIM])
def test_channels_that_never_move_do_not_rule_the_training(empty: int) -> None:
    data = slow(1)
    data[..., DIM - empty :] = 0.0
    quantizer = placed(data).train()
    with torch.no_grad():
        quantizer.prediction.out.bias[DIM - empty : DIM] = 0.01  # what a decoder may have made of them
    loss = quantizer(data).loss
    assert torch.isfinite(loss)
    assert empty == DIM or loss < 1.0


def test_a_step_depends_on_tokens_up_to_its_own() -> None:
    quantizer = placed()
    tokens = quantizer(slow(1)).tokens
    changed = tokens.clone()
    changed[:, 10] = (changed[:, 10] + 1) % 16
    before, after = quantizer.decode(tokens), quantizer.decode(changed)
    assert torch.equal(before[:, :10], after[:, :10])
    assert (before[:, 10:] != after[:, 10:]).any(-1).all()


def test_fewer_levels_are_a_closed_loop_of_their_own() -> None:
    quantizer, data = placed(), slow(1)
    with torch.no_grad():
        few = quantizer(data, levels=1)
        all_ = quantizer(data)
    assert few.tokens.shape[-1] == 1
    torch.testing.assert_close(quantizer.decode(few.tokens), few.latent, atol=1e-6, rtol=1e-5)
    # told for one level, it does better than the first of three that were told together
    cut = quantizer.decode(all_.tokens[..., :1])
    assert (few.latent - data).square().mean() < (cut - data).square().mean()


def test_the_search_finds_the_exhaustive_best() -> None:
    quantizer = placed(codebook_size=4, levels=2)
    target, weight = torch.randn(5, DIM), torch.rand(5, DIM) + 0.1
    first, second = codebooks = quantizer.codebooks.detach()
    sizes = (weight[:, None, None] * codebooks.square()).sum(-1)
    told, tokens = quantizer._search(target, weight, sizes, beam=16)
    sums = (first[:, None] + second).flatten(0, 1)
    best = (weight[:, None] * (target[:, None] - sums).square()).sum(-1).argmin(1)
    assert (tokens[:, 0] * 4 + tokens[:, 1]).tolist() == best.tolist()
    torch.testing.assert_close(told, sums[best])


def test_training_sees_what_the_decoder_will() -> None:
    quantizer, data = placed(training_beam=4), slow(1)
    with torch.no_grad():
        told = quantizer(data)
        trained = quantizer.train()(data)
    assert torch.equal(told.tokens, trained.tokens)
    torch.testing.assert_close(trained.latent, told.latent, atol=1e-5, rtol=1e-4)


def test_followers_move_no_code_and_get_their_gradient() -> None:
    quantizer = placed(commitment=0.5, growth=1 - 1e-6).train()  # no error grows so much
    data = torch.cat([slow(1, batch=6), 5 * slow(2, batch=3)]).requires_grad_()
    out = quantizer(data, followers=3)
    (out.loss + out.latent.sum()).backward()
    moved = {
        name: parameter.grad.clone() for name, parameter in quantizer.named_parameters() if parameter.grad is not None
    }
    assert data.grad is not None
    assert (data.grad.abs().sum(dim=(1, 2)) > 0).all()
    quantizer.zero_grad()
    alone = quantizer(data.detach()[:6])
    (alone.loss + alone.latent.sum()).backward()
    torch.testing.assert_close(moved, {name: p.grad for name, p in quantizer.named_parameters() if p.grad is not None})


def test_the_number_of_levels_varies_in_training_where_that_is_wanted() -> None:
    data = slow(1, batch=2)
    told = {least: set() for least in (0, 1)}
    for least, seen in told.items():
        quantizer = placed(least_levels=least).train()
        for _ in range(40):
            seen.add(quantizer(data).tokens.shape[-1])
    assert told == {0: {3}, 1: {1, 2, 3}}


@pytest.mark.parametrize("steps", [0, 1])
def test_there_may_be_hardly_any_steps(steps: int) -> None:
    quantizer = placed()
    out = quantizer(slow()[:, :steps])
    assert out.tokens.shape == (64, steps, 3)
    assert quantizer.decode(out.tokens).shape == (64, steps, DIM)


@pytest.mark.parametrize("columns", [5, 256, 16 * GROUP, 40 * GROUP, 40 * GROUP + 1, 8192])
def test_the_least_by_groups_are_the_least(columns: int) -> None:
    rows = 3 * FEW // columns  # enough to be worth groups
    costs = torch.rand(rows, columns, generator=torch.Generator().manual_seed(columns))
    costs[1] = costs[1].sort().values  # all of the least next to one another
    cost, index = _least(costs, 20)
    expected = costs.topk(min(20, columns), largest=False)
    assert torch.equal(cost, expected.values)
    assert torch.equal(index, expected.indices)
