"""Tokens as few bytes: a range coder that is told by a prior how likely each token is.

The file: `_HEAD`, three texts (name, source, licence) as JSON, and the code. The coder's arithmetic is exact, the
prior's is floating point: a file is told back by the library versions and the kind of machine that wrote it, and a
checksum of the tokens tells whether it was.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g1_vq_retarget.data.features import RootStart
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.retarget.retargeter import Retargeter
from g1_vq_retarget.retarget.tokens import MotionTokens
from g1_vq_retarget.training.prior_file import PriorFile

MAGIC = b"G1T1"
# magic, checksum of all that follows it, first bytes of the prior's hash, checksum of the tokens, steps, frames,
# start (x, y, yaw, height), bytes of the texts
_HEAD = struct.Struct("<4sI8sIII4dH")
_CHECKED_FROM = 8


def compress(tokens: MotionTokens, retargeter: Retargeter, prior: PriorFile) -> bytes:
    """Tokens of a model as bytes; `decompress` gives them back.

    Raises:
        UserError: tokens of another model, or a prior for fewer levels than they have; constriction is not installed.
    """
    if tokens.weights_sha256 != retargeter.checkpoint.info["weights_sha256"]:
        raise UserError(f"tokens of '{tokens.name}' were made by other weights than {retargeter.checkpoint.path}")
    if tokens.codebook_sizes != prior.prior.codebook_sizes:
        raise UserError(
            f"{prior.path}: is for tokens of {prior.prior.codebook_sizes}, those of '{tokens.name}' are of "
            f"{tokens.codebook_sizes}; train another with scripts/train_prior.py --levels"
        )
    constriction = _constriction()
    encoder = constriction.stream.queue.RangeEncoder()
    numbers = torch.from_numpy(tokens.tokens.astype(np.int64))
    parts = prior.prior.split(numbers)

    def encode(step: int, part: int, logits: Tensor) -> Tensor:
        if logits.shape[-1] > 1:
            encoder.encode(int(parts[step, part]), _model(constriction, logits))
        return parts[step, part][None]

    prior.prior.tell(retargeter.model.quantizer, len(parts), encode)
    code = encoder.get_compressed().astype("<u4").tobytes()
    texts = json.dumps([tokens.name, tokens.source, tokens.licence], ensure_ascii=False).encode()
    if len(texts) > 0xFFFF:
        raise UserError(f"tokens of '{tokens.name}': name, source and licence are longer than 65535 bytes together")
    start = tokens.start
    place = (start.x, start.y, start.yaw, start.height)
    fields = (_hash_of(prior), _checksum(numbers), len(parts), tokens.frames, *place, len(texts))
    rest = _HEAD.pack(MAGIC, 0, *fields)[_CHECKED_FROM:] + texts + code
    return MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest


def decompress(data: bytes, retargeter: Retargeter, prior: PriorFile, where: str) -> MotionTokens:
    """The tokens that `compress` made into bytes, to the bit.

    Raises:
        UserError: names `where` the bytes come from: they are no such file, a damaged one, or another prior's; or this
            machine computes other probabilities than the one that wrote them.
    """
    if len(data) < _HEAD.size or not data.startswith(MAGIC):
        raise UserError(f"{where}: is no file of compressed tokens; write one with scripts/compress_tokens.py")
    _, checksum, prior_hash, tokens_checksum, steps, frames, *start, length = _HEAD.unpack_from(data)
    if zlib.crc32(data[_CHECKED_FROM:]) != checksum:
        raise UserError(f"{where}: is damaged or cut short; copy it again")
    if prior_hash != _hash_of(prior):
        raise UserError(f"{where}: was written with another prior than {prior.path}; name the one it was, with --prior")
    name, source, licence = json.loads(data[_HEAD.size : _HEAD.size + length])
    constriction = _constriction()
    words = np.frombuffer(data[_HEAD.size + length :], dtype="<u4").astype(np.uint32)
    decoder = constriction.stream.queue.RangeDecoder(words)

    def decode(_step: int, _part: int, logits: Tensor) -> Tensor:
        return torch.tensor([int(decoder.decode(_model(constriction, logits))) if logits.shape[-1] > 1 else 0])

    try:
        numbers = prior.prior.tell(retargeter.model.quantizer, steps, decode)[0]
    except (AssertionError, ValueError):  # what the decoder raises where its model is not the encoder's
        numbers = None
    if numbers is None or _checksum(numbers) != tokens_checksum:
        raise UserError(
            f"{where}: this machine computes other probabilities than the one that wrote it; decompress it there, "
            "or with the same versions of torch and constriction"
        )
    return MotionTokens(
        name=name,
        tokens=numbers.numpy(),
        codebook_sizes=prior.prior.codebook_sizes,
        frames=frames,
        fps=retargeter.spec.fps,
        start=RootStart(*start),
        weights_sha256=retargeter.checkpoint.info["weights_sha256"],
        source=source,
        licence=licence,
    )


def overhead(data: bytes) -> int:
    """Bytes of a file of compressed tokens that are not the code itself."""
    return _HEAD.size + _HEAD.unpack_from(data)[-1]


def is_compressed(head: bytes) -> bool:
    """Whether a file that begins like this holds compressed tokens."""
    return head.startswith(MAGIC)


def _model(constriction: Any, logits: Tensor) -> Any:
    """What the coder is told of a part: probabilities of logits (1, codes), none of them zero."""
    return constriction.stream.model.Categorical(logits[0].double().softmax(-1).numpy(), perfect=False)


def _hash_of(prior: PriorFile) -> bytes:
    return bytes.fromhex(prior.info["weights_sha256"])[:8]


def _checksum(tokens: Tensor) -> int:
    return zlib.crc32(tokens.numpy().astype("<u4").tobytes())


def _constriction() -> Any:
    try:
        import constriction
    except ImportError as error:
        raise UserError("compressing tokens needs constriction: pip install -e '.[compression]'") from error
    return constriction
