"""Files in and out: what can be read, what it hashes to, and writing that leaves nothing half-written."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from g1_vq_retarget.errors import UserError

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def existing_file(path: str | Path) -> Path:
    """The path, if a file with contents stands there.

    Raises:
        UserError: nothing there, a folder, an unreadable or empty file, or a Git LFS pointer in place of the file.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(len(_LFS_POINTER))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, expected a file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if not head:
        raise UserError(f"{path} is empty: fetch or write it again")
    if head == _LFS_POINTER:
        raise UserError(f"{path} is a Git LFS pointer, not the file itself: run `git lfs pull` where it comes from")
    return path


def is_lfs_pointer(path: str | Path) -> bool:
    """Whether an existing file only names another, which Git LFS has kept elsewhere."""
    with Path(path).open("rb") as file:
        return file.read(len(_LFS_POINTER)) == _LFS_POINTER


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's contents, in hexadecimal. Raises UserError as `existing_file` does."""
    with existing_file(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary file to write in place of `path`, renamed to it when the block ends well and removed when not.

    It lies in the same folder, so that the rename is atomic, and keeps the suffix, which some writers go by. Parent
    folders are created.

    Raises:
        UserError: the folder cannot be made or the file cannot be written.
    """
    path = _named(path)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def check_writable(path: str | Path) -> None:
    """Refuse, before long work begins, a file that could not be written after it. Parent folders are created.

    Raises:
        UserError: as `replacing`.
    """
    path = _named(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def _named(path: str | Path) -> Path:
    path = Path(path)
    if not path.name or path.is_dir():
        raise UserError(f"{path} is a folder, expected the name of a file to write")
    return path


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder to fill in place of `path`, renamed to it when the block ends well and removed when not.

    Parent folders are created. A folder that stands there is replaced if it holds nothing but files of the names that
    the new one has, so that nothing else is ever lost.

    Raises:
        UserError: a file or another folder stands there, or the folder cannot be written.
    """
    path = Path(path)
    if not path.name or path.is_file():
        raise UserError(f"{path} is a file, expected the name of a folder to write")
    token = secrets.token_hex(4)
    temporary, old = (path.with_name(f".{path.name}.{token}.{kind}") for kind in ("new", "old"))
    try:
        temporary.mkdir(parents=True)
        try:
            yield temporary
            if path.exists():
                names = {file.name for file in temporary.iterdir()}
                other = next((file.name for file in path.iterdir() if file.name not in names or file.is_dir()), None)
                if other is not None:
                    raise UserError(f"{path} holds {other}, which would be lost: choose another folder")
                path.replace(old)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
