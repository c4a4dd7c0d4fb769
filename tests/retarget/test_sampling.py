from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models.prior import PriorConfig, build_prior
from g1_vq_retarget.retarget import Retargeted, Retargeter
from g1_vq_retarget.retarget.sampling import sample_motion
from g1_vq_retarget.training.prior_file import PriorFile, load_prior, save_prior
from synthetic import human_clip


@pytest.fixture(scope="module")
def prior(retargeter: Retargeter, tmp_path_factory: pytest.TempPathFactory) -> PriorFile:
    torch.manual_seed(0)
    made = build_prior(retargeter.model, PriorConfig(width=16, depth=2))
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    save_prior(path, made, retargeter.checkpoint, {"licences": ["CC BY prior"]})
    return load_prior(path, retargeter.checkpoint)


def joints(samples: list[Retargeted]) -> np.ndarray:
    return np.stack([sample.motion.joint_pos for sample in samples])


def test_the_seed_decides_what_is_drawn(retargeter: Retargeter, prior: PriorFile) -> None:
    samples = sample_motion(retargeter, prior, 0.3, count=2, seed=1)
    np.testing.assert_array_equal(joints(samples), joints(sample_motion(retargeter, prior, 0.3, count=2, seed=1)))
    assert not np.array_equal(joints(samples), joints(sample_motion(retargeter, prior, 0.3, count=2, seed=2)))
    assert not np.array_equal(*joints(samples))
    # 15 frames at 50 fps, to the next whole step of 4
    assert [(sample.motion.name, len(sample.motion)) for sample in samples] == [("sample_0", 16), ("sample_1", 16)]


def test_joints_are_held_at_their_limits_and_licences_told(retargeter: Retargeter, prior: PriorFile) -> None:
    (sample,) = sample_motion(retargeter, prior, 0.2)
    assert retargeter.robot is not None
    lower, upper = retargeter.robot.limits.T
    ordered = sample.motion.with_joint_order(retargeter.robot.joint_names).joint_pos
    assert ((ordered >= lower) & (ordered <= upper)).all()
    assert sample.motion.provenance.licence == "CC BY prior; CC0 human; CC0 robot"


def test_a_prompt_stands_at_the_beginning(retargeter: Retargeter, prior: PriorFile) -> None:
    prompt = human_clip(40, 2, name="dance")  # 66 frames at 50 fps: 16 whole steps and a part of one
    begin = retargeter.encode(prompt)
    samples = sample_motion(retargeter, prior, 0.2, count=2, prompt=prompt)
    for sample in samples:
        np.testing.assert_array_equal(sample.tokens.tokens[:16], begin.tokens[:16])
        assert len(sample.tokens.tokens) == 16 + 3
        assert sample.tokens.start == begin.start
        assert "dance.bvh" in sample.tokens.source
    assert not np.array_equal(samples[0].tokens.tokens, samples[1].tokens.tokens)


def test_a_prior_of_a_few_levels_makes_no_motion(retargeter: Retargeter, prior: PriorFile) -> None:
    few = replace(prior, prior=build_prior(retargeter.model, PriorConfig(width=16), levels=3))
    with pytest.raises(UserError, match=r"knows 3 of the model's 4 levels; train a prior without --levels"):
        sample_motion(retargeter, few, 1.0)
