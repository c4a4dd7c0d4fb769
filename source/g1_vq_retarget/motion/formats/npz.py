"""NPZ and NPY files of plain arrays: no pickles, keys asked for by name, nothing larger than the file can hold."""

from __future__ import annotations

import lzma
import math
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from g1_vq_retarget.files import replacing
from g1_vq_retarget.motion.clip import MotionError

# An archive may unpack to so many bytes, and to so many times its own size.
UNPACKED, UNPACKED_FACTOR = 32 * 2**20, 4
# As float64, which is computed with, its numbers may take so many bytes, and so many times its own size.
WIDENED, WIDENED_FACTOR = 128 * 2**20, 8
# What zipfile and numpy raise for a damaged file. An array's header is parsed as Python, hence the last four; a
# password or an unknown compression is a RuntimeError.
DAMAGE = (
    *(ValueError, OSError, EOFError, KeyError, TypeError, RuntimeError, OverflowError, struct.error),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, SyntaxError, MemoryError, tokenize.TokenError),
)
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@contextmanager
def refusing_damage(what: str) -> Iterator[None]:
    """Turn what a damaged file raises into a MotionError that says that the file is not `what`."""
    try:
        yield
    except DAMAGE as error:
        reason = " ".join(str(error).split())
        raise MotionError(f"not {what} ({reason[:200] or type(error).__name__}): fetch or write it again") from error


def read_keys(path: Path) -> frozenset[str]:
    """The keys of an NPZ. Raises MotionError, which does not name the file, if it is damaged."""
    with refusing_damage("a readable NPZ"), zipfile.ZipFile(path) as archive:
        return frozenset(name.removesuffix(".npy") for name in archive.namelist())


def read_arrays(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The arrays under the wanted keys, not writable; keys that are not wanted are not read.

    Raises:
        MotionError: not an NPZ of plain arrays, a required key is missing, or what is wanted unpacks to far more than
            the file. Does not name the file.
    """
    with refusing_damage("a readable NPZ of plain arrays"), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        missing = [key for key in required if key not in members]
        if missing:
            raise MotionError(f"lacks {', '.join(missing)}; it holds {some_of(members)}")
        wanted = {key: members[key] for key in (*required, *optional) if key in members}
        unpacked = sum(info.file_size for info in wanted.values())
        if unpacked > UNPACKED + UNPACKED_FACTOR * path.stat().st_size:
            raise MotionError(
                f"unpacks to {unpacked / 2**20:.0f} MB, which is too much for its size: "
                "write it unpacked, as numpy.savez does"
            )
        arrays = {}
        for key, info in wanted.items():
            with archive.open(info) as file:
                arrays[key] = read_array(file, info.file_size)
        if 8 * sum(array.size for array in arrays.values()) > WIDENED + WIDENED_FACTOR * path.stat().st_size:
            raise MotionError("holds more numbers of a byte or two than a file of its size should: not read")
        return arrays


def read_array(file: IO[bytes], size: int) -> np.ndarray:
    """The array of an NPY of `size` bytes, not writable.

    numpy's own reader allocates what the header claims; here the header has to agree with the size.

    Raises:
        ValueError, or another of what `refusing_damage` knows: not a whole NPY, or one of Python objects.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"an NPY of version {version[0]}.{version[1]}")
    shape, fortran_order, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("an array of Python objects, which only a pickle can hold")
    length = dtype.itemsize * math.prod(shape)
    if min(shape, default=0) < 0 or length != size - file.tell():
        raise ValueError(f"its header tells of {dtype} of shape {shape}, and {size - file.tell()} bytes follow")
    if length == 0:
        return np.empty(shape, dtype)
    data = file.read(length)
    if not has_letters(data, dtype):
        raise ValueError("words of letters that there are not")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")


def has_letters(data: bytes, dtype: np.dtype) -> bool:
    """Whether bytes, if they are an array of words, hold letters: numpy takes any number, and Python breaks on it."""
    return dtype.kind != "U" or not (np.frombuffer(data, f"{dtype.byteorder}u4") > sys.maxunicode).any()


def some_of(names: Iterable[str], count: int = 20) -> str:
    """The first of some names, for a message that stays readable whatever a file holds."""
    names = sorted(names)
    shown = [name if name.isidentifier() and len(name) <= 40 else repr(name[:40]) for name in names[:count]]
    return ", ".join(shown) + (f" and {len(names) - count} more" if len(names) > count else "")


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays under their keys, the same bytes for the same arrays.

    Raises:
        UserError: the file cannot be written.
        ValueError: an array of objects, which only a pickle could hold.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for key, values in arrays.items():
            # not np.savez, which pickles objects unasked
            with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)


def numbers(arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    """The array under a key, as finite or infinite float64. Raises MotionError if it holds anything but numbers."""
    if arrays[key].dtype.kind not in "fiu":
        raise MotionError(f"{key} holds {arrays[key].dtype}, expected numbers")
    return arrays[key].astype(float)


def number(arrays: Mapping[str, np.ndarray], key: str) -> float:
    """The one number under a key, whatever the number of dimensions. Raises MotionError if it is not one number."""
    values = numbers(arrays, key)
    if values.size != 1:
        raise MotionError(f"{key} has shape {values.shape}, expected one number")
    return values.item()


def word(arrays: Mapping[str, np.ndarray], key: str) -> str:
    """The one string under a key. Raises MotionError if it does not hold one."""
    if arrays[key].dtype.kind != "U" or arrays[key].size != 1:
        raise MotionError(f"{key} holds {arrays[key].dtype} of shape {arrays[key].shape}, expected one string")
    return arrays[key].item()


def words(arrays: Mapping[str, np.ndarray], key: str) -> tuple[str, ...]:
    """The strings under a key. Raises MotionError if it does not hold a list of strings."""
    if arrays[key].dtype.kind != "U" or arrays[key].ndim != 1:
        raise MotionError(f"{key} holds {arrays[key].dtype} of shape {arrays[key].shape}, expected a list of strings")
    return tuple(arrays[key].tolist())
