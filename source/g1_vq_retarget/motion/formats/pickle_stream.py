"""The bytes of a pickle: decompressed, never more than the file can hold, with a budget for what is made of them."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from typing import IO, Any, cast

from g1_vq_retarget.motion.clip import MotionError

# A compressed file may expand to so many bytes, and to so many times its size beyond that.
EXPANSION_FREE, EXPANSION = 64 * 2**20, 8
# A file may make so many containers, remembered objects and blocks of copied bytes, and one more per so many bytes.
_OBJECTS_FREE, _BYTES_PER_OBJECT, _BLOCK = 1_000_000, 16, 100
# A pickle may have so many steps, and so many more per byte of the file: only one that is compressed can have more.
_STEPS_FREE, _STEPS_PER_BYTE = 2_000_000, 4

_COMPRESSED = {
    b"\x78\x01": "zlib",
    b"\x78\x5e": "zlib",
    b"\x78\x9c": "zlib",
    b"\x78\xda": "zlib",
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ": "xz",
    b"\x5d\x00": "lzma",
    b"\x04\x22\x4d\x18": "lz4",
}


class _Inflated(io.RawIOBase):
    """What a compressed stream expands to."""

    def __init__(self, file: IO[bytes], kind: str) -> None:
        self._file = file
        self._zlib = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32) if kind in ("zlib", "gzip") else None
        self._other = bz2.BZ2Decompressor() if kind == "bz2" else lzma.LZMADecompressor(memlimit=128 * 2**20)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer with some bytes; 0 at the end."""
        while True:
            if self._zlib is not None:
                ended, packed = self._zlib.eof, self._zlib.unconsumed_tail or self._file.read(2**16)
                block = b"" if ended else self._zlib.decompress(packed, len(buffer))
            else:
                ended, packed = self._other.eof, self._file.read(2**16) if self._other.needs_input else b""
                block = b"" if ended else self._other.decompress(packed, len(buffer))
            if not (block or ended or packed):
                raise EOFError("it is cut short")
            if block or ended:
                buffer[: len(block)] = block
                return len(block)


class Budget:
    """What a file of some size may make in memory. Whatever is made of few bytes, again and again, draws on it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._objects = _OBJECTS_FREE + size // _BYTES_PER_OBJECT
        self._steps = _STEPS_FREE + size * _STEPS_PER_BYTE

    def spend(self, copied: int = 0) -> None:
        """One object, and some bytes copied for it."""
        self._objects -= 1 + copied // _BLOCK
        if self._objects < 0:
            raise MotionError("makes more than a file of its size should: not read")

    def step(self) -> None:
        """One step of a pickle, whatever it does."""
        self._steps -= 1
        if self._steps < 0:
            raise MotionError("unfolds to more than a file of its size should: not read")


class Source:
    """A stream with a known end: a read beyond it is refused, and nothing is allocated for it."""

    def __init__(self, stream: IO[bytes], left: int, budget: Budget) -> None:
        self._stream = stream
        self._left = left
        self._read = 0
        self.budget = budget

    def read(self, count: int) -> bytes:
        data = self._stream.read(count) if count <= self._left else b""
        if len(data) < count:
            raise MotionError(
                f"is a pickle cut short or damaged: {count} bytes should follow byte {self._read}, and fewer do"
            )
        self._left -= count
        self._read += count
        return data

    def finish(self) -> None:
        """Read on to the end, where a compressed stream has its checksum."""
        while self._left and self._stream.read(min(self._left, io.DEFAULT_BUFFER_SIZE)):
            self._left -= min(self._left, io.DEFAULT_BUFFER_SIZE)

    def readline(self) -> bytes:
        line = self._stream.readline(self._left)
        self._left -= len(line)
        self._read += len(line)
        return line


def compression_of(head: bytes) -> str | None:
    return next((kind for magic, kind in _COMPRESSED.items() if head.startswith(magic)), None)


def source_of(file: IO[bytes], size: int) -> Source:
    file.seek(0)
    kind = compression_of(file.read(8))
    file.seek(0)
    if kind is None:
        return Source(file, size, Budget(size))
    if kind == "lz4":
        raise MotionError("is compressed by lz4: write it again with joblib's compress='zlib'")
    inflated = cast(IO[bytes], io.BufferedReader(_Inflated(file, kind)))
    return Source(inflated, EXPANSION_FREE + EXPANSION * size, Budget(size))
