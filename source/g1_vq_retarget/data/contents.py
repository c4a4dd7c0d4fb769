"""What stands in a motion file as it stands there, before anything is made of it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from g1_vq_retarget.files import existing_file
from g1_vq_retarget.motion.clip import MotionError
from g1_vq_retarget.motion.formats.npz import DAMAGE, read_array
from g1_vq_retarget.motion.formats.safe_pickle import is_pickle, is_torch_archive, read_pickle

# A dictionary in a pickle is opened so deep, and so many of a file's entries are told.
_DEPTH, _ENTRIES = 3, 200
# An array of no dimensions, or words up to so many letters, are told by their value.
_LETTERS = 60
# Larger members of an archive, bytes unpacked, are told without their value.
_MEMBER = 2**16


@dataclass(frozen=True)
class Entry:
    """A key, a group of columns or a part of a file.

    Attributes:
        key: its name.
        shape: of an array; empty for a single value.
        dtype: type of the values.
        value: a single value, or the names of columns.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    value: str = ""

    def __str__(self) -> str:
        shape = f"({', '.join(map(str, self.shape))}{',' if len(self.shape) == 1 else ''})"
        told = f"  {self.value}" if self.value else ""
        return f"{self.key:24s} {shape if self.shape else '':18s} {self.dtype}{told}".rstrip()


def contents_of(path: str | Path) -> list[Entry]:
    """The keys, columns or channels of a file, or of the files in a folder, with shapes and types.

    Arrays are not read where a header tells their shape, and no code of a pickle is run.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: a damaged file.
    """
    path = Path(path)
    if path.is_dir():
        return [
            Entry(f"{file.name}: {entry.key}", entry.shape, entry.dtype, entry.value)
            for file in sorted(path.iterdir())
            if file.is_file()
            for entry in contents_of(file)
        ]
    path = existing_file(path)
    try:
        return _entries(path)
    except MotionError as error:
        told = str(error)
        raise MotionError(told if str(path) in told else f"{path} {told}") from error
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200]
        raise MotionError(f"{path} is damaged ({reason}): fetch or write it again") from error


def _entries(path: Path) -> list[Entry]:
    with path.open("rb") as file:
        head = file.read(64)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if not is_torch_archive(archive.namelist()):
                return [_member(archive, name) for name in archive.namelist()[:_ENTRIES]]
        return _plain(read_pickle(path))
    if head.startswith(b"\x93NUMPY"):
        with path.open("rb") as file:
            return [_array_header("array", file)]
    if is_pickle(head):
        return _plain(read_pickle(path))
    return _text(path)


def _member(archive: zipfile.ZipFile, name: str) -> Entry:
    with archive.open(name) as file:
        if not name.endswith(".npy"):
            return Entry(name, (), f"{archive.getinfo(name).file_size} bytes")
        entry = _array_header(name.removesuffix(".npy"), file)
    if np.prod(entry.shape) == 1 and entry.dtype != "object" and archive.getinfo(name).file_size <= _MEMBER:
        with archive.open(name) as file:
            value = read_array(file, archive.getinfo(name).file_size).item()
        return Entry(entry.key, entry.shape, entry.dtype, _shown(value))
    return entry


def _array_header(key: str, file: IO[bytes]) -> Entry:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return Entry(key, shape, str(dtype))


def _plain(value: object) -> list[Entry]:
    found = []
    for entry in _walk(value, "", _DEPTH):
        found.append(entry)
        if len(found) == _ENTRIES:
            break
    return found


def _walk(value: object, key: str, depth: int) -> Iterator[Entry]:
    if isinstance(value, dict) and depth:
        for name, part in value.items():
            yield from _walk(part, f"{key}.{name}" if key else str(name), depth - 1)
    elif isinstance(value, np.ndarray | np.generic):
        yield Entry(key or "array", value.shape, str(value.dtype), _shown(value.item()) if value.size == 1 else "")
    elif isinstance(value, dict | list | tuple):
        yield Entry(key or type(value).__name__, (len(value),), type(value).__name__)
    else:
        yield Entry(key or "value", (), type(value).__name__, _shown(value))


def _shown(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"


def _text(path: Path) -> list[Entry]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if text.lstrip().startswith("HIERARCHY"):
        return _bvh(text)
    lines = [line for line in text.splitlines() if line.strip()]
    cells = [cell.strip() for cell in lines[0].split(",")] if lines else []
    if len(cells) < 2:
        return [Entry("text", (len(lines),), "lines", _shown(lines[0] if lines else ""))]
    named = not _is_number(cells[0])
    names = _shown(", ".join(cells)) if named else "no header"
    return [Entry("columns", (len(lines) - named, len(cells)), "text", names)]


def _bvh(text: str) -> list[Entry]:
    hierarchy, _, motion = text.partition("MOTION")
    joints = re.findall(r"(?:ROOT|JOINT)\s+(\S+)", hierarchy)
    channels = re.findall(r"CHANNELS\s+\d+\s+([^\n]*)", hierarchy)
    told = dict(re.findall(r"^\s*(Frames|Frame Time):\s*(\S+)", motion, flags=re.MULTILINE))
    names = [name for line in channels for name in line.split()]
    order = _shown(channels[0] if channels else "none")
    return [
        Entry("joints", (len(joints),), "text", _shown(", ".join(joints))),
        Entry("channels", (len(names),), "text", order),
        *(Entry(key, (), "text", value) for key, value in told.items()),
    ]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
