"""Public motion sets, fetched by the hubs' own clients from stand-ins on loopback."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from g1_vq_retarget.data.download import MANIFEST, accept_licence, download, read_download
from g1_vq_retarget.data.sources import SOURCES
from g1_vq_retarget.errors import UserError
from hubs import COMMIT, Hub, serving
from running import SCRIPTS, run_script

for client in ("huggingface_hub", "modelscope_hub"):
    pytest.importorskip(client)

G1_MOVES, SMPLX = SOURCES["g1_moves"], SOURCES["smplx_datasets"]
NPZ = "extended_datasets/lafan1_dataset/g1/train/walk.npz"
BVH, CSV = "dance/A/capture/A.bvh", "dance/A/retarget/A.csv"
ARCHIVE = "extended_datasets.tar.bz2"
BIG = 300_000


def archived(*names: str, content: bytes = b"motion") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:bz2") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def nothing_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, cache or mirror of whoever runs the tests, and no waiting."""
    import huggingface_hub.constants
    import huggingface_hub.file_download
    import modelscope_hub._download
    import modelscope_hub._legacy_api

    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))
    for name in ("HF_ENDPOINT", "HF_TOKEN", "MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN", "MODELSCOPE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 2**14)
    monkeypatch.setattr(huggingface_hub.file_download, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr(modelscope_hub._download, "DOWNLOAD_RETRY_TIMES", 1)
    monkeypatch.setattr(modelscope_hub._download, "DOWNLOAD_INTEGRITY_RETRY_BACKOFF", 0)
    monkeypatch.setattr(modelscope_hub._legacy_api, "REPO_TREE_PAGE_MAX_ATTEMPTS", 1)


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Hugging Face with a clip of G1 Moves."""
    files = {BVH: os.urandom(BIG), CSV: b"1,2\n" * 50, "README.md": b"# G1 Moves", "dance/A/A.mp4": b"video"}
    with serving(Hub(G1_MOVES.repo, files)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def smplx(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """ModelScope with both archives of smplx_datasets."""
    files = {ARCHIVE: archived(NPZ, content=os.urandom(BIG)), "lafan1_smplx_datasets.tar.bz2": archived("lafan1/a.npz")}
    with serving(Hub(SMPLX.repo, files)) as hub:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        yield hub


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# What comes


def test_the_files_of_a_source_come_with_a_manifest(moves: Hub, tmp_path: Path) -> None:
    manifest = download(G1_MOVES, tmp_path / "new" / "out")
    assert tree(tmp_path / "new") == ["out/README.md", f"out/{BVH}", f"out/{CSV}", f"out/{MANIFEST}"]
    for path in (BVH, CSV, "README.md"):
        assert (tmp_path / "new" / "out" / path).read_bytes() == moves.files[path]
    assert read_download(tmp_path / "new" / "out") == manifest
    assert (manifest["source"], manifest["revision"]) == ("g1_moves", COMMIT)
    assert manifest["licence"] == "CC BY 4.0 (G1 Moves, Mitch Chaiet)"
    told = {entry["path"]: (entry["size"], entry["sha256"]) for entry in manifest["files"]}
    assert told[BVH] == (BIG, hashlib.sha256(moves.files[BVH]).hexdigest())
    assert set(told) == {BVH, CSV, "README.md"}


def test_archives_are_unpacked_to_where_they_are_read(smplx: Hub, tmp_path: Path) -> None:
    manifest = download(SMPLX, tmp_path / "out")
    assert tree(tmp_path / "out") == [MANIFEST, NPZ, "lafan1/a.npz"]
    assert [archive["path"] for archive in manifest["archives"]] == sorted(smplx.files)
    assert manifest["archives"][0]["sha256"] == hashlib.sha256(smplx.files[ARCHIVE]).hexdigest()
    assert "unknown" in manifest["licence"]


def test_some_files_can_be_chosen_and_archives_kept(smplx: Hub, tmp_path: Path) -> None:
    download(SMPLX, tmp_path / "out", only=["extended*"], keep_archives=True)
    assert tree(tmp_path / "out") == [MANIFEST, ARCHIVE, NPZ]
    assert not smplx.ranges("lafan1_smplx_datasets.tar.bz2")
    with pytest.raises(UserError, match="--only nothing: chooses none of"):
        download(SMPLX, tmp_path / "other", only=["nothing"])


def test_files_that_are_in_git_itself_are_checked_by_the_hash_of_git(moves: Hub, tmp_path: Path) -> None:
    moves.lfs = False
    download(G1_MOVES, tmp_path / "out")
    moves.faults[CSV] = "corrupt"
    with pytest.raises(UserError, match=r"A\.csv has another hash than"):
        download(G1_MOVES, tmp_path / "other")


@pytest.mark.filterwarnings("ignore:Environment variable MODELSCOPE_DOMAIN")
def test_the_older_name_of_the_mirror_of_modelscope_works(
    smplx: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODELSCOPE_ENDPOINT")
    monkeypatch.setenv("MODELSCOPE_DOMAIN", smplx.url)
    assert download(SMPLX, tmp_path / "out", only=["lafan1*"])["endpoint"] == smplx.url


# Again


def test_what_is_there_is_checked_and_not_fetched_again(moves: Hub, tmp_path: Path) -> None:
    first = download(G1_MOVES, tmp_path / "out")
    asked = len(moves.asked)
    assert download(G1_MOVES, tmp_path / "out") == first
    assert len(moves.asked) == asked
    with pytest.raises(UserError, match="holds another download"):
        download(G1_MOVES, tmp_path / "out", only=["*.csv"])
    (tmp_path / "out" / BVH).write_bytes(b"x" * BIG)
    with pytest.raises(UserError, match=r"A\.bvh: is not what download\.json says"):
        download(G1_MOVES, tmp_path / "out")


def test_a_folder_that_is_empty_is_filled(moves: Hub, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    download(G1_MOVES, tmp_path / "out", only=["README.md"])
    assert tree(tmp_path) == ["out/README.md", f"out/{MANIFEST}"]


def test_a_folder_with_anything_else_is_left_alone(moves: Hub, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="name another folder with --out"):
        download(G1_MOVES, tmp_path / "out")
    assert tree(tmp_path) == ["out/thesis.tex"]


@pytest.mark.parametrize("source", ["g1_moves", "smplx_datasets"])
def test_a_connection_that_is_cut_goes_on_where_it_was(source: str, moves: Hub, smplx: Hub, tmp_path: Path) -> None:
    hub, path = (moves, BVH) if source == "g1_moves" else (smplx, ARCHIVE)
    hub.faults[path] = "cut"
    download(SOURCES[source], tmp_path / "out")
    whole, rest = hub.ranges(path)
    assert whole == ""
    assert 0 < int(rest.removeprefix("bytes=").removesuffix("-")) < len(hub.files[path])


def test_the_next_run_fetches_what_has_not_come(moves: Hub, tmp_path: Path) -> None:
    """Hugging Face's client keeps files that are whole: the largest here are of some MB."""
    moves.faults[BVH] = "drop"
    with pytest.raises(UserError, match="run again to go on"):
        download(G1_MOVES, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert moves.ranges("README.md") == [""]
    moves.faults.clear()
    moves.asked.clear()
    download(G1_MOVES, tmp_path / "out")
    assert [len(moves.ranges(path)) for path in ("README.md", BVH, CSV)] == [0, 1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_next_run_goes_on_within_an_archive(smplx: Hub, tmp_path: Path) -> None:
    smplx.faults[ARCHIVE] = "drop"
    with pytest.raises(UserError, match="run again to go on"):
        download(SMPLX, tmp_path / "out")
    smplx.faults.clear()
    smplx.asked.clear()
    download(SMPLX, tmp_path / "out")
    (span,) = smplx.ranges(ARCHIVE)
    assert int(span.removeprefix("bytes=").removesuffix("-")) > len(smplx.files[ARCHIVE]) // 2


# What is refused


@pytest.mark.parametrize("source", ["g1_moves", "smplx_datasets"])
def test_other_contents_than_listed_are_not_kept(source: str, moves: Hub, smplx: Hub, tmp_path: Path) -> None:
    hub, path = (moves, BVH) if source == "g1_moves" else (smplx, ARCHIVE)
    hub.faults[path] = "corrupt"
    with pytest.raises(UserError, match=r"SHA-256|[Hh]ash"):
        download(SOURCES[source], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    hub.faults.clear()
    download(SOURCES[source], tmp_path / "out")


@pytest.mark.parametrize("source", ["g1_moves", "smplx_datasets"])
def test_a_pointer_of_git_lfs_is_called_one(source: str, moves: Hub, smplx: Hub, tmp_path: Path) -> None:
    hub, path = (moves, BVH) if source == "g1_moves" else (smplx, ARCHIVE)
    hub.files[path] = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"
    with pytest.raises(UserError, match=f"{Path(path).name} is a Git LFS pointer, the file itself is not there"):
        download(SOURCES[source], tmp_path / "out")


@pytest.mark.parametrize("source", ["g1_moves", "smplx_datasets"])
def test_what_is_gone_is_said_to_be(source: str, moves: Hub, smplx: Hub, tmp_path: Path) -> None:
    hub, path = (moves, BVH) if source == "g1_moves" else (smplx, ARCHIVE)
    hub.faults[path] = "gone"
    with pytest.raises(UserError, match=r"404.*look at https://"):
        download(SOURCES[source], tmp_path / "out")
    hub.repo = "somebody/else"
    with pytest.raises(UserError, match=f"{hub.url} has no {SOURCES[source].repo}"):
        download(SOURCES[source], tmp_path / "other")
    hub.repo, hub.files = SOURCES[source].repo, {"hello.txt": b"hello"}
    with pytest.raises(UserError, match="holds none of"):
        download(SOURCES[source], tmp_path / "another")
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith((".", "cache"))]


@pytest.mark.parametrize("source", ["g1_moves", "smplx_datasets"])
def test_without_network_one_line_says_what_to_do(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9 cannot be reached for .*check the network, or set (HF|MODEL)"):
        download(SOURCES[source], tmp_path / "out")
    assert tree(tmp_path) == []


@pytest.mark.parametrize("path", ["../evil/capture/A.bvh", "/evil/capture/A.bvh", ".cache/capture/A.bvh"])
def test_a_listing_that_leads_elsewhere_is_not_followed(path: str, moves: Hub, tmp_path: Path) -> None:
    moves.files = {path: b"evil"}
    with pytest.raises(UserError, match="would be written elsewhere"):
        download(G1_MOVES, tmp_path / "home" / "out")
    assert tree(tmp_path) == []


def test_an_archive_that_leads_elsewhere_is_not_unpacked(smplx: Hub, tmp_path: Path) -> None:
    smplx.files[ARCHIVE] = archived(NPZ, "../../evil.npz")
    with pytest.raises(UserError, match=r"'\.\./\.\./evil\.npz' leads outside"):
        download(SMPLX, tmp_path / "home" / "out")
    assert not list(tmp_path.rglob("*.npz"))
    assert not (tmp_path / "home" / "out").exists()


def test_an_unpacking_that_was_killed_begins_anew(smplx: Hub, tmp_path: Path) -> None:
    """What a kill between two renames leaves: one archive's files in their place, and the archive gone."""
    work = tmp_path / ".out.partial"
    (work / "extended_datasets").mkdir(parents=True)
    (work / "extended_datasets" / "half.npz").write_text("half")
    (work / ".cache-0").mkdir()
    download(SMPLX, tmp_path / "out")
    assert tree(tmp_path / "out") == [MANIFEST, NPZ, "lafan1/a.npz"]


def test_what_an_interrupted_run_fetched_and_this_one_does_not_want_is_removed(moves: Hub, tmp_path: Path) -> None:
    other = tmp_path / ".out.partial" / "dance" / "B" / "retarget" / "B.csv"
    other.parent.mkdir(parents=True)
    other.write_text("of another run")
    download(G1_MOVES, tmp_path / "out", only=["dance/A/*"])
    assert tree(tmp_path / "out") == [BVH, CSV, MANIFEST]


def test_missing_clients_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "modelscope_hub", None)
    for source in (G1_MOVES, SMPLX):
        with pytest.raises(UserError, match=r"pip install 'g1_vq_retarget\[download\]'"):
            download(source, tmp_path / "out")


# The command, and licences


def test_the_licence_is_shown_and_has_to_be_accepted(
    moves: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("--source", "g1_moves", "--out", tmp_path / "out")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    refused = run_script("data/download_data", args, capsys)
    assert refused.code == 2
    assert "CC BY 4.0" in refused.out
    assert refused.err.count("\n") == 1
    assert "--accept-licence" in refused.err
    assert not moves.asked
    outcome = run_script("data/download_data", (*args, "--accept-licence"), capsys)
    assert outcome.code == 0, outcome.err
    assert outcome.out.index("licence   CC BY 4.0") < outcome.out.index("3 files")
    assert f"next: python scripts/train_release.py --data {tmp_path / 'out'}" in outcome.out
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["only"] == []


@pytest.mark.parametrize(("answer", "accepted"), [("y", True), ("Yes", True), ("", False), ("no", False)])
def test_a_terminal_is_asked(answer: str, accepted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer + "\n" if answer else ""))
    if accepted:
        accept_licence(G1_MOVES)
    else:
        with pytest.raises(UserError, match="was not accepted"):
            accept_licence(G1_MOVES)


def test_what_may_be_shared_is_told_apart() -> None:
    assert [name for name, source in SOURCES.items() if source.shareable] == ["g1_moves"]
    assert "NC-ND" in SOURCES["lafan1_g1"].licence


@pytest.mark.slow  # alone: beside other tests a signal may come before or after what it is to interrupt
@pytest.mark.parametrize("source", ["g1_moves", "smplx_datasets"])
def test_ctrl_c_keeps_what_has_come(source: str, moves: Hub, smplx: Hub, tmp_path: Path) -> None:
    hub, path = (moves, BVH) if source == "g1_moves" else (smplx, ARCHIVE)
    hub.faults[path] = "slow"
    command = [sys.executable, str(SCRIPTS / "data" / "download_data.py"), "--source", source, "--accept-licence"]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "out")], stderr=subprocess.PIPE, text=True)
    while not hub.ranges(path):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)  # the first half comes
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
    hub.faults.clear()
    download(SOURCES[source], tmp_path / "out")
    assert (tmp_path / "out" / MANIFEST).is_file()
