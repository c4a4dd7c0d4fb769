from __future__ import annotations

import math

import pytest
import torch

from g1_vq_retarget.training.alignment import alignment, directions, infonce, latent_mse


def test_aligned_windows_are_told_apart_and_shuffled_ones_are_not() -> None:
    latent = torch.eye(4)[:, None].expand(4, 3, 4)
    small = infonce(latent, 2 * latent, 0.1).item()
    large = infonce(latent, latent.roll(1, 0), 0.1).item()
    # cosines 1 and 0 over temperature 0.1
    assert small == pytest.approx(math.log(1 + 3 * math.exp(-10)), abs=1e-6)
    assert large == pytest.approx(10 + math.log(1 + 3 * math.exp(-10)), rel=1e-5)
    assert infonce(torch.ones(4, 1, 2), torch.ones(4, 1, 2), 0.1).item() == pytest.approx(math.log(4))


def test_infonce_is_the_same_both_ways() -> None:
    human, robot = torch.randn(5, 3, 4), torch.randn(5, 3, 4)
    torch.testing.assert_close(infonce(human, robot, 0.2), infonce(robot, human, 0.2))


def test_directions_are_means_over_time_at_unit_length() -> None:
    latent = torch.tensor([[[3.0, 0], [3, 8]], [[0, -1], [0, -3]]])
    torch.testing.assert_close(directions(latent), torch.tensor([[0.6, 0.8], [0, -1]]))


def test_the_distance_is_taken_step_by_step() -> None:
    human, robot = torch.tensor([[[1.0], [-1]]]), torch.tensor([[[-1.0], [1]]])
    assert latent_mse(human, robot).item() == 4  # though their means over time are the same


def test_a_split_is_contrasted_in_groups_of_64_windows() -> None:
    generator = torch.Generator().manual_seed(0)
    human, robot = torch.randn(2, 150, 3, 8, generator=generator)
    figures = alignment(human, robot)
    groups = [infonce(human[rows], robot[rows], 0.1).item() for rows in (slice(64), slice(64, 128))]
    assert figures["align_infonce"] == pytest.approx(sum(groups) / 2)
    assert figures["align_mse"] == pytest.approx((human - robot).square().mean().item())
    few = alignment(human[:10], robot[:10])
    assert few["align_infonce"] == pytest.approx(infonce(human[:10], robot[:10], 0.1).item())
