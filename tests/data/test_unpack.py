"""Archives of others: all of one, inside its folder, or nothing."""

from __future__ import annotations

import bz2
import io
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from g1_vq_retarget.data import unpack as unpacking
from g1_vq_retarget.data.unpack import unpack
from g1_vq_retarget.errors import UserError

Member = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"motion") -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def special(name: str, kind: bytes, to: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info, b""


def archive(path: Path, *members: Member, mode: str = "w:bz2") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("mode", ["w", "w:bz2", "w:gz", "w:xz"])
def test_everything_is_unpacked(mode: str, tmp_path: Path) -> None:
    source = archive(tmp_path / "a.tar", special("set", tarfile.DIRTYPE), file("set/g1/a.npz"), file("set/b.txt", b""),
                     mode=mode)  # fmt: skip
    assert sorted(unpack(source, tmp_path / "out")) == ["set/b.txt", "set/g1/a.npz"]
    assert tree(tmp_path / "out") == ["set", "set/b.txt", "set/g1", "set/g1/a.npz"]
    assert (tmp_path / "out/set/g1/a.npz").read_bytes() == b"motion"
    assert tree(tmp_path)[0] == "a.tar"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


EVIL: list[tuple[Callable[[Path], Member], str]] = [
    (lambda outside: file("../evil"), "leads outside"),
    (lambda outside: file("set/../../evil"), "leads outside"),
    (lambda outside: file(str(outside / "evil")), "leads outside"),
    (lambda outside: file("C:/evil"), "leads outside"),
    (lambda outside: file("..\\evil"), "leads outside"),
    (lambda outside: special("set/link", tarfile.SYMTYPE, "../../outside"), "the link 'set/link' leads outside"),
    (lambda outside: special("link", tarfile.SYMTYPE, str(outside)), "the link 'link' leads outside"),
    (lambda outside: special("hard", tarfile.LNKTYPE, "../outside/secret"), "the link 'hard' leads outside"),
    (lambda outside: special("hard", tarfile.LNKTYPE, str(outside / "secret")), "the link 'hard' leads outside"),
    (lambda outside: special("null", tarfile.CHRTYPE), "a device or a pipe"),
    (lambda outside: special("disk", tarfile.BLKTYPE), "a device or a pipe"),
    (lambda outside: special("pipe", tarfile.FIFOTYPE), "a device or a pipe"),
]


@pytest.mark.parametrize(("evil", "told"), EVIL)
@pytest.mark.parametrize("last", [True, False])
def test_an_archive_with_one_evil_member_leaves_nothing(
    evil: Callable[[Path], Member], told: str, last: bool, tmp_path: Path
) -> None:
    outside, home = tmp_path / "outside", tmp_path / "home"
    outside.mkdir()
    home.mkdir()
    (outside / "secret").write_text("secret")
    members = [file("set/good.npz"), evil(outside)]
    source = archive(home / "a.tar.bz2", *(members if last else members[::-1]))
    with pytest.raises(UserError, match=told):
        unpack(source, home / "out")
    assert tree(tmp_path) == ["home", "home/a.tar.bz2", "outside", "outside/secret"]
    assert (outside / "secret").read_text() == "secret"


def test_links_that_stay_inside_are_left_out_and_cannot_be_written_through(tmp_path: Path) -> None:
    source = archive(
        tmp_path / "a.tar.bz2",
        special("here", tarfile.SYMTYPE, "set/.."),
        special("set/up", tarfile.SYMTYPE, ".."),
        file("here/a.npz"),
        file("set/up/b.npz"),
    )
    with pytest.warns(UserWarning, match="links are left out: here, set/up"):
        unpack(source, tmp_path / "out")
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))
    assert {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()} == {"a.npz", "b.npz"}


def test_special_bits_and_owners_are_not_kept(tmp_path: Path) -> None:
    info, content = file("tool")
    info.mode, info.uid, info.gid = 0o6777, 0, 0
    unpack(archive(tmp_path / "a.tar", (info, content), mode="w"), tmp_path / "out")
    assert (tmp_path / "out/tool").stat().st_mode & 0o6000 == 0
    assert (tmp_path / "out/tool").stat().st_uid == os.getuid()


def test_what_does_not_fit_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = archive(tmp_path / "a.tar.bz2", file("a"))
    monkeypatch.setattr(unpacking, "MARGIN", 1 << 60)
    with pytest.raises(UserError, match="MB are free"):
        unpack(source, tmp_path / "out")
    assert tree(tmp_path) == ["a.tar.bz2"]


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"no archive" + data, lambda data: b""]
)
def test_damaged_archives_leave_nothing(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    source = archive(tmp_path / "a.tar.bz2", file("a", os.urandom(50_000)))
    source.write_bytes(damage(source.read_bytes()))
    with pytest.raises(UserError, match=r"a\.tar\.bz2"):
        unpack(source, tmp_path / "out")
    assert tree(tmp_path) == ["a.tar.bz2"]


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="is there already"):
        unpack(archive(tmp_path / "a.tar.bz2", file("a")), tmp_path / "out")


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = archive(tmp_path / "a.tar.bz2", file("a"), file("b"))

    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tarfile.TarFile, "extract", interrupt)
    with pytest.raises(KeyboardInterrupt):
        unpack(source, tmp_path / "out")
    assert tree(tmp_path) == ["a.tar.bz2"]


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_name_as_long_as_a_film_is_not_taken_into_memory(kind: bytes, tmp_path: Path) -> None:
    size = 100 * 2**20
    (tmp_path / "a.tar.bz2").write_bytes(bz2.compress(header("name", size, kind) + bytes(size) + bytes(1024)))
    tracemalloc.start()
    with pytest.raises(UserError, match=f"a header of {size} bytes"):
        unpack(tmp_path / "a.tar.bz2", tmp_path / "out")
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


def test_a_damaged_header_is_not_the_end_of_the_archive(tmp_path: Path) -> None:
    damaged = bytearray(header("b", 0))
    damaged[3] ^= 1
    (tmp_path / "a.tar").write_bytes(header("a", 0) + damaged + header("c", 0) + bytes(1024))
    with pytest.raises(UserError, match="bad header"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert tree(tmp_path) == ["a.tar"]


def test_a_size_below_zero_does_not_lead_back(tmp_path: Path) -> None:
    record = b"17 size=-0002048\n"
    told = header("pax", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0")
    (tmp_path / "a.tar").write_bytes(header("a", 0) + header("b", 0) + told + header("c", 0) + bytes(1024))
    with pytest.raises(UserError, match="'c' has -2048 bytes"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
