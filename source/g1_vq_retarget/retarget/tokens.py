"""A motion as tokens, with what it takes to decode and place it."""

from __future__ import annotations

import json
import operator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from g1_vq_retarget.data.features import RootStart
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing
from g1_vq_retarget.motion import MotionError
from g1_vq_retarget.motion.formats.npz import read_arrays, word

FORMAT = "g1_vq_retarget.tokens"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class MotionTokens:
    """Tokens of one motion.

    Attributes:
        name: name of the motion.
        tokens: (T', L) integers, one column a level.
        codebook_sizes: L vocabulary sizes.
        frames: frames of the motion at `fps`; T' steps may cover a few more.
        fps: frames a second.
        start: place and heading of the first frame in the world.
        weights_sha256: hash of the weights that made the tokens; tokens mean nothing to other weights.
        source: what was encoded.
        licence: licences of the motion that was encoded and of the training data.
    """

    name: str
    tokens: np.ndarray
    codebook_sizes: tuple[int, ...]
    frames: int
    fps: float
    start: RootStart
    weights_sha256: str
    source: str
    licence: str

    @property
    def bits(self) -> float:
        """Nominal bits of the whole motion."""
        return len(self.tokens) * float(np.log2(self.codebook_sizes).sum())

    def check(self, where: str) -> None:
        """Refuse tokens that no quantizer of this vocabulary makes; the UserError names `where` they come from."""
        levels = len(self.codebook_sizes)
        if (
            type(self.frames) is not int
            or type(self.fps) is not float
            or not (np.isfinite(self.fps) and self.start.is_finite)
        ):
            raise UserError(f"{where}: frames, fps and start must be finite numbers")
        if self.tokens.ndim != 2 or self.tokens.shape[1] != levels or self.tokens.dtype.kind not in "iu":
            raise UserError(f"{where}: tokens must be integers (steps, {levels}), they are {self.tokens.shape}")
        if self.tokens.size == 0:
            raise UserError(f"{where}: holds no tokens")
        if ((self.tokens < 0) | (self.tokens >= np.array(self.codebook_sizes))).any():
            raise UserError(f"{where}: a token lies outside its vocabulary {self.codebook_sizes}")

    def save(self, path: Path) -> None:
        """Write an NPZ: `tokens` and, as JSON text, `meta`."""
        meta = {key: value for key, value in asdict(self).items() if key != "tokens"}
        meta |= {"format": FORMAT, "format_version": FORMAT_VERSION}
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, tokens=self.tokens.astype(np.int64), meta=np.array(json.dumps(meta)))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            UserError: missing, damaged, another format or version, or tokens outside their vocabulary.
        """
        try:
            arrays = read_arrays(existing_file(path), ("tokens", "meta"))
            meta = json.loads(word(arrays, "meta"))
            if (meta.pop("format"), meta.pop("format_version")) != (FORMAT, FORMAT_VERSION):
                raise UserError(f"{path}: token file of another version, this one reads {FORMAT_VERSION}")
            sizes = tuple(map(operator.index, meta.pop("codebook_sizes")))
            start = RootStart(**meta.pop("start"))
            loaded = cls(tokens=arrays["tokens"], codebook_sizes=sizes, start=start, **meta)
            loaded.check(str(path))
        except (MotionError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            reason = str(error)[:200]
            raise UserError(f"{path}: not a whole token file ({reason}); write it again with --tokens") from error
        return loaded
