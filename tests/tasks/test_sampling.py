from __future__ import annotations

import pytest
import torch

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.tasks.sampling import MotionCursor, SamplingConfig, StartSampler
from motion_libraries import library


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_bins_are_equal_parts_of_a_second_at_most() -> None:
    sampler = StartSampler(library(100, 49, 51))
    assert sampler.bins.tolist() == [3, 1, 2]
    assert sampler.clip.tolist() == [0, 0, 0, 1, 2, 2]
    clip, frame = torch.tensor([0, 0, 0, 0, 1, 2, 2]), torch.tensor([0, 33, 34, 99, 48, 25, 26])
    assert sampler.bin_of(clip, frame).tolist() == [0, 0, 1, 2, 3, 4, 5]


def test_probabilities_by_hand() -> None:
    """Six bins; four failures in the first clip's last bin, two in the third's first, half of them remembered."""
    config = SamplingConfig(kernel_size=2, kernel_decay=0.5, uniform_ratio=0.6, alpha=0.5)
    sampler = StartSampler(library(100, 49, 51), config)
    assert sampler.probabilities().tolist() == pytest.approx([1 / 6] * 6)
    clip, frame = torch.tensor([0, 0, 0, 0, 2, 2]), torch.tensor([99, 98, 70, 80, 0, 3])
    sampler.count_failures(clip[:3], frame[:3])
    sampler.count_failures(clip[3:], frame[3:])  # several calls of a step add up
    sampler.step()
    assert sampler.failed.tolist() == [0, 0, 2, 0, 1, 0]
    # with 0.1 each: 2/3 of a bin and 1/3 of the next, which at a clip's end is itself
    weights = [0.1, (0.2 + 2.1) / 3, 2.1, 0.1, (2.2 + 0.1) / 3, 0.1]
    want = [weight / sum(weights) for weight in weights]
    assert sampler.probabilities().tolist() == pytest.approx(want)
    assert sampler.clip_probabilities().tolist() == pytest.approx([sum(want[:3]), want[3], sum(want[4:])])
    sampler.step()
    assert sampler.failed.tolist() == [0, 0, 1, 0, 0.5, 0]


def test_starts_are_drawn_as_likely_as_told() -> None:
    sampler = StartSampler(library(100, 49, 51), SamplingConfig(alpha=1.0))
    sampler.count_failures(torch.tensor([0, 2]), torch.tensor([99, 0]))
    sampler.step()
    clip, frame = sampler.sample(20000)
    assert ((frame >= 0) & (frame < sampler.length[clip] - 1)).all()
    share = torch.bincount(sampler.bin_of(clip, frame), minlength=6) / 20000
    # a bin's last frame counts for the next bin, as in mjlab, which draws from one frame less than it counts in
    torch.testing.assert_close(share, sampler.probabilities(), atol=0.03, rtol=0)


def test_uniform_takes_all_frames_alike_and_start_the_first() -> None:
    lengths = (100, 49, 51, 2)
    uniform = StartSampler(library(*lengths), SamplingConfig(mode="uniform"))
    uniform.count_failures(torch.tensor([0]), torch.tensor([0]))
    uniform.step()
    frames = torch.tensor(lengths) - 1
    torch.testing.assert_close(uniform.clip_probabilities(), frames / frames.sum())
    clip, frame = uniform.sample(60000)
    counts = torch.bincount(frame[clip == 0], minlength=100)
    assert counts[99] == 0
    assert counts[:99].float().std() < 1.3 * 300**0.5  # as of a Poisson distribution
    start = StartSampler(library(*lengths), SamplingConfig(mode="start"))
    clip, frame = start.sample(4000)
    assert not frame.any()
    assert (torch.bincount(clip) > 850).all()


def told(sampler: StartSampler) -> list[float]:
    return [float(sampler.statistics()[name]) for name in ("sampling_entropy", "sampling_top1_prob")]


def test_statistics_tell_how_narrow_the_distribution_is() -> None:
    sampler = StartSampler(library(100, 49), SamplingConfig(alpha=1.0, uniform_ratio=1e-12))
    assert told(sampler) == pytest.approx([1.0, 0.25])
    sampler.count_failures(torch.tensor([0]), torch.tensor([0]))
    sampler.step()
    assert told(sampler) == pytest.approx([0.0, 1.0], abs=1e-6)
    assert told(StartSampler(library(20))) == [1.0, 1.0]


def test_an_environment_at_its_clips_end_goes_on_elsewhere_without_a_failure() -> None:
    cursor = MotionCursor(library(5, 8, 120), 3)
    cursor.restart(torch.arange(3))
    cursor.clip, cursor.frame = torch.tensor([0, 1, 2]), torch.tensor([4, 6, 10])
    assert cursor.advance().tolist() == [0]
    assert cursor.frame[1:].tolist() == [7, 11]
    assert not cursor.sampler.failed.any()
    for _ in range(200):
        cursor.advance()
        assert (cursor.frame < cursor.library.length[cursor.clip]).all()
        torch.testing.assert_close(cursor.now().joint_pos[:, 0], 100.0 * cursor.clip + cursor.frame)


def test_only_those_who_go_are_advanced() -> None:
    cursor = MotionCursor(library(5, 8), 3)
    cursor.clip, cursor.frame = torch.tensor([0, 0, 1]), torch.tensor([4, 4, 2])
    assert cursor.advance(torch.tensor([False, True, True])).tolist() == [1]
    assert cursor.frame[[0, 2]].tolist() == [4, 3]


def test_a_failure_counts_where_it_happened() -> None:
    cursor = MotionCursor(library(100, 100), 4, SamplingConfig(alpha=1.0))
    cursor.clip, cursor.frame = torch.tensor([0, 0, 1, 1]), torch.tensor([10, 90, 10, 90])
    cursor.restart(torch.tensor([3, 0, 1]), failed=torch.tensor([True, False, True]))
    cursor.sampler.step()
    assert cursor.sampler.failed.tolist() == [0, 0, 1, 0, 0, 1]


def test_what_comes_next_ends_with_the_clip() -> None:
    cursor = MotionCursor(library(5, 8), 2)
    cursor.clip, cursor.frame = torch.tensor([0, 1]), torch.tensor([2, 7])
    ahead = cursor.library.frames.joint_pos[cursor.ahead(torch.tensor([1, 2, 5]))]
    assert ahead[..., 0].tolist() == [[3, 4, 4], [107, 107, 107]]


@pytest.mark.parametrize(
    "wrong",
    [{"mode": "adaptiv"}, {"kernel_size": 0}, {"kernel_decay": 0.0}, {"uniform_ratio": 0.0}, {"alpha": 1.5}],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(UserError, match=f"sampling: .*{next(iter(wrong))} "):
        SamplingConfig(**wrong)
