from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from g1_vq_retarget.models import Quantizer
from g1_vq_retarget.models.prior import PriorConfig, TokenPrior
from g1_vq_retarget.models.quantizers import build_quantizer
from synthetic import tiny_model

# a level of two scalars and a level of three codes
PARTS = [[2, 2], [3]]
DIM = 8


def quantizer(kind: str = "hybrid") -> Quantizer:
    """One whose codes lie on made-up latents: of two levels, 4 * 3 tokens a step (predictive: 3 * 3)."""
    torch.manual_seed(0)
    levels = 2 if kind == "predictive" else 1
    config = tiny_model(kind, fsq_levels=[[2, 2]], levels=levels, codebook_size=3, memory=2).quantizer
    made = build_quantizer(DIM, config)
    made.place_codes(torch.randn(8, 32, DIM).cumsum(1) * torch.arange(DIM, 0, -1))
    return made.eval()


def spoiled(parts: list[list[int]] = PARTS, depth: int = 2) -> TokenPrior:
    """A prior with weights that are not zero anywhere."""
    torch.manual_seed(1)
    prior = TokenPrior(DIM, parts, PriorConfig(width=16, depth=depth)).eval()
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    prior.mean.normal_()
    return prior


def some_tokens(batch: int, steps: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randint(size, (batch, steps), generator=generator) for size in (4, 3)], -1)


def test_an_untrained_prior_finds_all_tokens_equally_likely() -> None:
    prior = TokenPrior(DIM, [[5, 4], [3], [256]], PriorConfig(width=16)).eval()
    tokens = torch.stack([torch.randint(size, (2, 9)) for size in (20, 3, 256)], -1)
    bits = prior.bits(tokens, torch.randn(2, 9, DIM))
    assert prior.codebook_sizes == (20, 3, 256)
    torch.testing.assert_close(bits, torch.tensor([20, 3, 256]).log2().expand(2, 9, 3))


@pytest.mark.parametrize("kind", ["hybrid", "predictive"])
def test_probabilities_of_all_sequences_sum_to_one(kind: str) -> None:
    decoded, sizes = quantizer(kind), (4, 3) if kind == "hybrid" else (3, 3)
    prior = spoiled(PARTS if kind == "hybrid" else [[3], [3]])
    step = list(itertools.product(*map(range, sizes)))
    everything = torch.tensor(list(itertools.product(step, repeat=2)))
    bits = prior.bits(everything, decoded.decode(everything)).sum((1, 2))
    assert len(everything) == math.prod(sizes) ** 2
    assert bits.double().mul(-1).exp2().sum().item() == pytest.approx(1.0, rel=1e-4)
    assert bits.std() > 0.5


@torch.no_grad()
def test_what_comes_later_changes_nothing_before() -> None:
    decoded, prior = quantizer(), spoiled()
    one, other = some_tokens(1, 12), some_tokens(1, 12, seed=5)
    for step in range(1, 12):
        mixed = torch.cat([one[:, :step], other[:, step:]], 1)
        same, changed = (prior.bits(tokens, decoded.decode(tokens))[0] for tokens in (one, mixed))
        torch.testing.assert_close(changed[:step], same[:step])
    # within a step: the second level does not change what the first costs, but the first what the second does
    base = one.clone()
    base[0, 6] = torch.tensor([0, 0])
    second, first = base.clone(), base.clone()
    second[0, 6, 1], first[0, 6, 0] = 2, 3
    costs = [prior.bits(tokens, decoded.decode(tokens))[0, 6] for tokens in (base, second, first)]
    assert costs[0][0] == costs[1][0]
    assert costs[0][1] != costs[2][1]


@torch.no_grad()
def test_it_looks_back_as_far_as_it_says() -> None:
    prior = spoiled(depth=2)
    assert prior.reach == 7
    tokens, latents = some_tokens(1, 20), torch.randn(1, 20, DIM)
    nearest, beyond = latents.clone(), latents.clone()
    nearest[0, 12 - prior.reach] += 1.0
    beyond[0, : 12 - prior.reach] += 1.0
    cost = prior.bits(tokens, latents)[0, 12]
    assert not torch.allclose(prior.bits(tokens, nearest)[0, 12], cost)
    torch.testing.assert_close(prior.bits(tokens, beyond)[0, 12], cost)


@torch.no_grad()
def test_before_the_beginning_is_not_a_mean_pose() -> None:
    prior, tokens = spoiled(), some_tokens(1, 3)
    tokens[:, 1:] = tokens[:, :1]
    costs = prior.bits(tokens, prior.mean.expand(1, 3, DIM))[0]
    assert not torch.allclose(costs[0], costs[1])


@torch.no_grad()
@pytest.mark.parametrize("kind", ["hybrid", "predictive"])
def test_told_step_by_step_it_says_what_it_says_of_the_whole(kind: str) -> None:
    decoded = quantizer(kind)
    prior = spoiled(PARTS if kind == "hybrid" else [[3], [3]])
    tokens = some_tokens(2, 3 * prior.reach) % 3
    parts = prior.split(tokens)
    bits = torch.zeros(parts.shape)

    def known(step: int, part: int, logits: Tensor) -> Tensor:
        bits[:, step, part] = -logits.log_softmax(-1).gather(-1, parts[:, step, part, None])[:, 0] / math.log(2)
        return parts[:, step, part]

    told = prior.tell(decoded, tokens.shape[1], known, batch=2)
    whole = prior(prior.history(decoded.decode(tokens))[:, :-1], parts)
    assert torch.equal(told, tokens)
    torch.testing.assert_close(bits, whole, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_few_parts_cost_what_they_cost_among_all() -> None:
    prior, tokens = spoiled(), some_tokens(2, 5)
    history, parts = prior.history(torch.randn(2, 5, DIM))[:, :-1], prior.split(tokens)
    everything = prior(history, parts)
    for chosen in ([0], [2], [0, 2], [1, 2]):
        torch.testing.assert_close(prior(history, parts, chosen), everything[..., chosen])


def test_parts_of_scalars_are_the_scalars() -> None:
    config = tiny_model("fsq", fsq_levels=[[5, 4], [3, 2]]).quantizer
    scalar = build_quantizer(DIM, config).eval()
    prior = TokenPrior(DIM, config.fsq_levels, PriorConfig(width=16))
    tokens = torch.cartesian_prod(torch.arange(20), torch.arange(6))
    parts = prior.split(tokens)
    assert torch.equal(prior.join(parts), tokens)
    assert prior.sizes == (5, 4, 3, 2)
    with torch.no_grad():
        scalar.project_out.weight.copy_(torch.eye(DIM, 4))  # type: ignore[union-attr]
        scalar.project_out.bias.zero_()  # type: ignore[union-attr]
        latents = scalar.decode(tokens[None])[0]
    for part, size in enumerate(prior.sizes):
        torch.testing.assert_close(latents[:, part], 2 * parts[:, part] / (size - 1) - 1)


@pytest.mark.parametrize("kind", ["standard", "fsq", "lfq", "hybrid", "predictive"])
def test_latents_one_by_one_are_those_of_the_whole(kind: str) -> None:
    torch.manual_seed(0)
    made = build_quantizer(DIM, tiny_model(kind).quantizer)
    made.place_codes(torch.randn(8, 32, DIM).cumsum(1))
    made.eval()
    with torch.no_grad():
        tokens = made(torch.randn(2, 12, DIM)).tokens
        whole = made.decode(tokens)
        for step in range(12):
            past = whole[:, max(0, step - made.reach) : step]
            torch.testing.assert_close(made.decode_next(tokens[:, step], past), whole[:, step])


def test_the_same_seed_draws_the_same_and_another_another() -> None:
    decoded, prior = quantizer(), spoiled()

    def drawn(seed: int, temperature: float = 1.0) -> Tensor:
        return prior.sample(decoded, 8, temperature, generator=torch.Generator().manual_seed(seed), batch=2)

    assert drawn(3).shape == (2, 8, 2)
    assert torch.equal(drawn(3), drawn(3))
    assert not torch.equal(drawn(3), drawn(4))
    assert not torch.equal(drawn(3)[0], drawn(3)[1])
    assert torch.equal(drawn(3, 0.0), drawn(4, 0.0))


def test_what_is_drawn_goes_on_from_a_prefix() -> None:
    decoded, prior, prefix = quantizer(), spoiled(), some_tokens(1, 9)[0]
    drawn = [
        prior.sample(decoded, 15, prefix=given, generator=torch.Generator().manual_seed(0))[0]
        for given in (prefix, prefix.flip(0))
    ]
    assert torch.equal(drawn[0][:9], prefix)
    assert len(drawn[0]) == 24
    assert not torch.equal(drawn[0][9:], drawn[1][9:])


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    prior = TokenPrior(DIM, PARTS, PriorConfig(width=16)).eval()
    tokens = torch.tensor([[0, 0]] * 70 + [[3, 2]] * 30)
    prior.start_from_data(tokens, torch.randn(100, DIM))
    drawn = prior.sample(quantizer(), 40, generator=torch.Generator().manual_seed(0), batch=50)
    # half a sample is added to each of the two codes of a part
    assert (drawn[..., 0] % 2).float().mean().item() == pytest.approx(30.5 / 101, abs=0.04)
    assert (drawn[..., 1] == 2).float().mean().item() == pytest.approx(30.5 / 101.5, abs=0.04)
    colder = prior.sample(quantizer(), 40, 0.5, generator=torch.Generator().manual_seed(0), batch=50)
    # squared shares
    assert (colder[..., 0] % 2).float().mean().item() == pytest.approx(30.5**2 / (30.5**2 + 70.5**2), abs=0.04)
