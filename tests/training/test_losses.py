from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from g1_vq_retarget.models import Forward
from g1_vq_retarget.training.losses import LossConfig, losses, motion_error

ZERO = LossConfig(recon=0, vq=0, vel=0, cross=0, align=0)


def forward(
    robot_motion: Tensor,
    human_motion: Tensor | None = None,
    robot_latent: Tensor | None = None,
    human_latent: Tensor | None = None,
    commitment: float = 0.0,
) -> Forward:
    """An output of a model, with tokens that no loss looks at."""
    nothing = torch.zeros(0, 1, 1)
    return Forward(
        robot_latent=torch.zeros(len(robot_motion), 1, 1) if robot_latent is None else robot_latent,
        human_latent=nothing if human_latent is None else human_latent,
        robot_motion=robot_motion,
        human_motion=nothing if human_motion is None else human_motion,
        robot_tokens=torch.zeros(0),
        human_tokens=torch.zeros(0),
        commitment=torch.tensor(commitment),
    )


# Two joints and one column of root over three frames; what is decoded misses by 1 in the first joint's second frame and
# by 2 in all frames of the root.
TRUTH = torch.zeros(1, 3, 3)
DECODED = torch.tensor([[[0.0, 0, 2], [1, 0, 2], [0, 0, 2]]])


def test_joints_and_root_have_errors_of_their_own() -> None:
    assert motion_error(DECODED, TRUTH, 2, root_weight=0.0).item() == pytest.approx(1 / 6)
    assert motion_error(DECODED, TRUTH, 2, root_weight=0.5).item() == pytest.approx(1 / 6 + 0.5 * 4)
    assert motion_error(DECODED[..., :2], TRUTH[..., :2], 2, root_weight=0.5).item() == pytest.approx(1 / 6)


def test_terms_of_the_robot_path_worked_by_hand() -> None:
    terms = losses(forward(DECODED, commitment=3.0), TRUTH, joints=2, config=LossConfig(root=0.5))
    assert terms["recon"].item() == pytest.approx(1 / 6 + 0.5 * 4)
    assert terms["vq"].item() == 3.0
    assert terms["vel"].item() == pytest.approx((1 + 1) / 4)  # up and down again; the root is off but still
    assert set(terms) == {"recon", "vq", "vel", "total"}


def test_terms_of_the_human_path_worked_by_hand() -> None:
    # the second of two robot windows has no human side
    robot = torch.cat([TRUTH, TRUTH + 7])
    robot_latent = torch.tensor([[[1.0, 0], [1, 0]], [[9, 9], [9, 9]]])
    human_latent = torch.tensor([[[1.0, 1], [1, -1]]])
    out = forward(robot, human_motion=DECODED, robot_latent=robot_latent, human_latent=human_latent)
    terms = losses(out, robot, joints=2, config=LossConfig(root=0.5, infonce=10))
    assert terms["recon"].item() == terms["vel"].item() == 0
    assert terms["cross"].item() == pytest.approx(1 / 6 + 0.5 * 4)
    # a single pair can be told from nothing: InfoNCE is zero
    assert terms["align"].item() == pytest.approx((0 + 1 + 0 + 1) / 4)


def test_the_total_is_the_weighted_sum() -> None:
    robot = torch.randn(4, 6, 3)
    out = forward(
        torch.randn(4, 6, 3), torch.randn(2, 6, 3), torch.randn(4, 2, 5), torch.randn(2, 2, 5), commitment=2.0
    )
    config = LossConfig(recon=1.1, vq=0.2, vel=0.3, cross=0.4, align=0.5)
    terms = losses(out, robot, joints=2, config=config)
    expected = sum(getattr(config, name) * terms[name] for name in ("recon", "vq", "vel", "cross", "align"))
    torch.testing.assert_close(terms["total"], expected)


@pytest.mark.parametrize("name", ["recon", "vq", "vel", "cross", "align"])
def test_a_perfect_output_costs_nothing_in_any_term(name: str) -> None:
    robot, latent = torch.randn(2, 6, 3), torch.eye(2)[:, None]
    out = forward(robot, robot, latent, latent)
    assert losses(out, robot, 2, LossConfig())[name].item() < 1e-4


@pytest.mark.parametrize("moves", [False, True])
def test_alignment_moves_the_robot_only_if_told(moves: bool) -> None:
    robot_latent, human_latent = torch.randn(3, 2, 4, requires_grad=True), torch.randn(2, 2, 4, requires_grad=True)
    motion = torch.zeros(3, 6, 3)
    out = forward(motion, motion[:2], robot_latent, human_latent)
    terms = losses(out, motion, 2, LossConfig(align_moves_robot=moves))
    terms["align"].backward()
    assert human_latent.grad is not None
    assert human_latent.grad.abs().min() > 0
    if moves:
        assert robot_latent.grad is not None
        assert robot_latent.grad[:2].abs().min() > 0
        assert robot_latent.grad[2].abs().max() == 0  # has no human side
    else:
        assert robot_latent.grad is None


def test_the_first_frames_count_a_tenth() -> None:
    error = torch.zeros(1, 4, 1)
    error[0, 0] = 1.0
    late = error.flip(1)
    first, last = (motion_error(part, torch.zeros(1, 4, 1), 1, 0.0, onset=1).item() for part in (error, late))
    assert last == pytest.approx(1 / 3.1)
    assert first == pytest.approx(0.1 / 3.1)
    assert motion_error(error, torch.zeros(1, 4, 1), 1, 0.0).item() == pytest.approx(1 / 4)


def test_jerk_is_to_be_the_truths_neither_more_nor_less() -> None:
    truth = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(0))
    config = LossConfig(recon=0, vq=0, vel=0, cross=0, align=0, jerk=1)
    for factor, expected in ((1.0, 0.0), (2.0, np.log(4) ** 2), (0.5, np.log(4) ** 2)):
        # the third column is root and does not count
        decoded = truth * torch.tensor([factor, factor, 7.0])
        assert losses(forward(decoded), truth, 2, config)["jerk"].item() == pytest.approx(expected, abs=1e-3)
    still = losses(forward(torch.zeros(1, 5, 2)), torch.zeros(1, 5, 2), 2, config)
    assert still["jerk"].item() == 0.0


def test_kinks_of_the_data_are_not_to_be_learned() -> None:
    config = LossConfig(recon=0, vq=0, vel=0, cross=0, align=0, jerk=1)
    kinked = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(0))
    terms = losses(forward(0.5 * kinked), kinked, 2, config, jerk_share=0.25)
    assert terms["jerk"].item() == pytest.approx(0.0, abs=1e-6)


def test_an_onset_may_jerk() -> None:
    """All of a motion's jerk but that of its first frames is compared."""
    config = LossConfig(recon=0, vq=0, vel=0, cross=0, align=0, jerk=1, onset=8)
    truth = torch.randn(2, 24, 2, generator=torch.Generator().manual_seed(0))
    decoded = truth.clone()
    decoded[:, :8] *= 5
    assert losses(forward(decoded), truth, 2, config)["jerk"].item() == pytest.approx(0.0, abs=1e-6)
    decoded[:, 8:] *= 2
    assert losses(forward(decoded), truth, 2, config)["jerk"].item() == pytest.approx(math.log(4) ** 2, abs=1e-3)
