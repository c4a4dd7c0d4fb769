from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from g1_vq_retarget.data.features import RootStart
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models.prior import PriorConfig, build_prior
from g1_vq_retarget.retarget import MotionTokens, Retargeter
from g1_vq_retarget.retarget.compression import compress, decompress, is_compressed, overhead
from g1_vq_retarget.training.prior_file import PriorFile, load_prior, save_prior
from synthetic import human_clip


@pytest.fixture(scope="module")
def prior(retargeter: Retargeter, tmp_path_factory: pytest.TempPathFactory) -> PriorFile:
    """One whose probabilities are far from equal."""
    torch.manual_seed(0)
    made = build_prior(retargeter.model, PriorConfig(width=16, depth=2))
    for head in made.heads:
        torch.nn.init.normal_(head.weight, std=0.5)  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    save_prior(path, made, retargeter.checkpoint, {"licences": []})
    return load_prior(path, retargeter.checkpoint)


@pytest.fixture(scope="module")
def tokens(retargeter: Retargeter) -> MotionTokens:
    made = retargeter.encode(human_clip(240, 2, name="dance"))
    return replace(made, name="Tanz — 舞", start=RootStart(0.1, -2.0, 0.3, 0.8))


@pytest.fixture(scope="module")
def data(tokens: MotionTokens, retargeter: Retargeter, prior: PriorFile) -> bytes:
    return compress(tokens, retargeter, prior)


def test_what_was_compressed_comes_back(
    data: bytes, tokens: MotionTokens, retargeter: Retargeter, prior: PriorFile
) -> None:
    again = decompress(data, retargeter, prior, "dance.g1t")
    np.testing.assert_array_equal(again.tokens, tokens.tokens)
    assert is_compressed(data)
    for name in ("name", "codebook_sizes", "frames", "fps", "start", "weights_sha256", "source", "licence"):
        assert getattr(again, name) == getattr(tokens, name), name


def test_the_code_is_as_long_as_the_prior_says(
    data: bytes, tokens: MotionTokens, retargeter: Retargeter, prior: PriorFile
) -> None:
    numbers = torch.from_numpy(tokens.tokens)[None]
    with torch.no_grad():
        ideal = float(prior.prior.bits(numbers, retargeter.model.quantizer.decode(numbers)).sum()) / 8
    assert ideal != pytest.approx(tokens.bits / 8, rel=0.02)
    assert ideal <= len(data) - overhead(data) <= 1.01 * ideal + 8


def test_motion_decoded_from_it_is_the_same(
    data: bytes, tokens: MotionTokens, retargeter: Retargeter, prior: PriorFile
) -> None:
    motion, _ = retargeter.decode(decompress(data, retargeter, prior, "dance.g1t"))
    np.testing.assert_array_equal(motion.joint_pos, retargeter.decode(tokens)[0].joint_pos)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data[:40], "is no file of compressed tokens"),
        (lambda data: b"PK" + data[2:], "is no file of compressed tokens"),
        (lambda data: data[:-4], "damaged or cut short"),
        (lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:], "damaged or cut short"),
    ],
)
def test_what_is_no_whole_file_is_refused(
    change,
    told: str,
    data: bytes,
    retargeter: Retargeter,
    prior: PriorFile,
) -> None:
    with pytest.raises(UserError, match=rf"dance\.g1t: .*{told}"):
        decompress(change(data), retargeter, prior, "dance.g1t")


def test_another_prior_is_refused(data: bytes, retargeter: Retargeter, prior: PriorFile) -> None:
    other = replace(prior, info=prior.info | {"weights_sha256": "00" * 32})
    with pytest.raises(UserError, match=r"dance\.g1t: was written with another prior"):
        decompress(data, retargeter, other, "dance.g1t")


def test_other_probabilities_are_noticed(data: bytes, retargeter: Retargeter, prior: PriorFile) -> None:
    """As on a machine that rounds otherwise, only more so."""
    torch.manual_seed(1)
    other = build_prior(retargeter.model, prior.prior.config)
    with pytest.raises(UserError, match=r"dance\.g1t: this machine computes other probabilities"):
        decompress(data, retargeter, replace(prior, prior=other), "dance.g1t")


def test_tokens_that_the_prior_does_not_know_are_refused(
    tokens: MotionTokens, retargeter: Retargeter, prior: PriorFile
) -> None:
    with pytest.raises(UserError, match="made by other weights"):
        compress(replace(tokens, weights_sha256="0"), retargeter, prior)
    first = replace(prior, prior=build_prior(retargeter.model, PriorConfig(width=16), levels=2))
    with pytest.raises(UserError, match=r"prior\.safetensors: is for tokens of \(20, 3\)"):
        compress(tokens, retargeter, first)


def test_steps_that_are_untrue_are_refused_and_not_waited_for(
    data: bytes, retargeter: Retargeter, prior: PriorFile
) -> None:
    rest = bytearray(data[8:])
    struct.pack_into("<I", rest, 12, 3)  # steps
    with pytest.raises(UserError, match="other probabilities"):
        decompress(data[:4] + struct.pack("<I", zlib.crc32(rest)) + rest, retargeter, prior, "dance.g1t")
