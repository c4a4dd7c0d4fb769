"""Unpacking archives of others: all of it, inside the folder it was meant for, or nothing."""

from __future__ import annotations

import lzma
import posixpath
import shutil
import tarfile
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tqdm import tqdm

from g1_vq_retarget.errors import UserError

# More than any of the compressions can do: bzip2 packs 45,900 zeros into a byte.
_MOST_EXPANSION = 100_000
# What stays free on the disk, bytes.
MARGIN = 256 * 2**20
# No archive has more members, or a longer name of one, bytes: tarfile holds all of them in memory.
MEMBERS, HEADER = 100_000, 2**20


def unpack(archive: Path, folder: Path) -> list[str]:
    """Unpack a tar archive, compressed or not, into a folder that is not there yet.

    The archive is read twice: first every member is looked at and nothing written, then all are written beside
    `folder`, which is made by a rename at the end. Files and folders are all that is made, owned by the user and with
    no special bits. Links that stay inside are left out with a warning.

    Returns:
        The files' paths below `folder`.

    Raises:
        UserError: no tar archive or a damaged one; a member that would leave the folder (an absolute path, "..", a
            link to the outside) or is no file (a device, a pipe); too little room on the disk. Nothing is left.
    """
    if folder.exists():
        raise UserError(f"{folder}: is there already; remove it to unpack {archive.name} again")
    work = folder.with_name(f".{folder.name}.unpacking")
    with _reading(archive):
        members, size = _inspect(archive)
        work.parent.mkdir(parents=True, exist_ok=True)
        require_room(work.parent, size, f"unpacking {archive.name}")
        shutil.rmtree(work, ignore_errors=True)
        try:
            work.mkdir()
            with (
                _open(archive) as tar,
                tqdm(total=size, unit="B", unit_scale=True, desc=f"unpack {archive.name}", disable=None) as progress,
            ):
                for member in tar:
                    if member.isreg() or member.isdir():
                        tar.extract(member, work, set_attrs=False, filter="data")
                        progress.update(member.size)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return members


def require_room(folder: Path, size: int, what: str) -> None:
    """Refuse, by a UserError, what does not fit on the disk of an existing folder; `size` in bytes."""
    free = shutil.disk_usage(folder).free
    if size + MARGIN > free:
        raise UserError(
            f"{folder}: {what} needs {size / 2**20:.0f} MB, {free / 2**20:.0f} MB are free; make room or use another "
            "disk"
        )


# Headers that are followed by text about the member behind them: long names, extended attributes.
_TEXTS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)


class _Member(tarfile.TarInfo):
    """A member with a whole header of reasonable length.

    tarfile itself takes a damaged header for the end of the archive, and a text of any length into memory.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf):  # zeros are the end
                raise tarfile.ReadError(f"bad header: {error}") from error
            raise
        if member.size < 0 or (member.type in _TEXTS and member.size > HEADER):
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


def _inspect(archive: Path) -> tuple[list[str], int]:
    """Paths of the files of a harmless archive and how many bytes they take. Raises UserError for any other."""
    files: dict[str, int] = {}
    links = []
    length = archive.stat().st_size
    with (
        archive.open("rb") as raw,
        tarfile.open(fileobj=raw, mode="r:*", tarinfo=_Member) as tar,
        tqdm(total=length, unit="B", unit_scale=True, desc=f"look into {archive.name}", disable=None) as progress,
    ):
        for count, member in enumerate(tar):
            progress.update(raw.tell() - progress.n)
            if count == MEMBERS:
                raise UserError(f"{archive}: holds more than {MEMBERS:,} members; unpack it by hand")
            path = _inside(member.name)
            if member.size < 0:  # tarfile would go back, and round and round
                raise UserError(f"{archive}: {member.name!r} has {member.size} bytes; the archive is not to be trusted")
            if path is None:
                raise UserError(f"{archive}: {member.name!r} leads outside; the archive is not to be trusted")
            if member.islnk() or member.issym():
                # a symbolic link starts from its own folder, a hard link from the archive's
                start = posixpath.dirname(path) if member.issym() else ""
                if member.linkname.startswith("/") or _inside(posixpath.join(start, member.linkname)) is None:
                    raise UserError(
                        f"{archive}: the link {member.name!r} leads outside, to {member.linkname!r}; the archive is "
                        "not to be trusted"
                    )
                links.append(member.name)
            elif member.isreg():
                if member.size > _MOST_EXPANSION * length:
                    # tarfile would look for the bytes behind the end of the archive, for years
                    raise UserError(f"{archive}: {member.name!r} is said to be larger than the archive can hold")
                files[path] = member.size
            elif not member.isdir():
                raise UserError(f"{archive}: {member.name!r} is a device or a pipe; the archive is not to be trusted")
    if links:
        warnings.warn(f"{archive}: links are left out: {', '.join(links[:5])}{'…' * (len(links) > 5)}", stacklevel=3)
    if not files:
        raise UserError(f"{archive}: holds no file")
    return list(files), sum(files.values())


def _inside(name: str) -> str | None:
    """A member's path in normal form; None if it leads out of the folder on any system."""
    path = posixpath.normpath(name)
    parts = path.split("/")
    if not name or path.startswith("/") or ".." in parts or "\\" in name or "\0" in name or ":" in parts[0]:
        return None
    return path


def _open(archive: Path) -> tarfile.TarFile:
    # not as a stream (r|*), which decompresses a block of the file at once, whatever comes of it
    return tarfile.open(archive, "r:*", tarinfo=_Member)


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Name the archive in what the libraries say of it."""
    try:
        yield
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{archive}: damaged or no tar archive ({reason}); fetch it again") from error
    except OSError as error:
        raise UserError(f"{archive}: cannot be unpacked ({error.strerror or error})") from error
