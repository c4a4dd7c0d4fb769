"""Fetching public motion sets: through the hubs' own clients, checked, whole or not at all.

The clients retry, go on within a file where a connection was cut, and honour what their users set: HF_ENDPOINT and
MODELSCOPE_ENDPOINT (or the older MODELSCOPE_DOMAIN) name a mirror. The next run keeps what has come: ModelScope's
client, which fetches archives of GB, any part of a file, Hugging Face's whole files.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import logging
import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from tqdm import tqdm

from g1_vq_retarget.data.sources import MotionSource
from g1_vq_retarget.data.unpack import require_room, unpack
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import is_lfs_pointer, replacing, sha256_of

MANIFEST = "download.json"
_VERSION = 1
_ARCHIVES = (".tar", ".tar.bz2", ".tar.gz", ".tar.xz", ".tgz")
# Where the clients keep what they need to resume, below the folder that is being filled.
_CACHE = ".cache"


@dataclass(frozen=True)
class RemoteFile:
    """A file as its hub lists it.

    Attributes:
        path: below the repository's root.
        size: bytes.
        sha256: of its contents, None where the hub tells none.
        git_sha1: of its contents as a git blob, for files that are in git itself.
    """

    path: str
    size: int
    sha256: str | None
    git_sha1: str | None = None


class Listing(NamedTuple):
    """The files of a repository at one revision: a commit, or a branch where the hub tells no commit."""

    revision: str
    files: list[RemoteFile]


def accept_licence(source: MotionSource, accepted: bool = False) -> None:
    """Print what a source's licence is and allows, and have it accepted, on the terminal unless it already is.

    Raises:
        UserError: it is not accepted, or there is no terminal to ask on.
    """
    print(f"{source.title}\n  from      {source.page} (about {source.megabytes} MB)")
    print(f"  licence   {source.licence}\n  allows    {source.terms}\n  credit    {source.credit}", flush=True)
    if accepted:
        return
    if not sys.stdin.isatty():
        raise UserError(f"the licence of {source.name} has to be accepted: read it above, then add --accept-licence")
    try:
        answer = input("Accept? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError(f"the licence of {source.name} was not accepted; nothing is fetched")


def download(source: MotionSource, out: Path, only: Sequence[str] = (), keep_archives: bool = False) -> dict:
    """Fetch a motion set into a folder, checked against the sizes and hashes its hub lists, archives unpacked.

    Everything lies in a hidden folder beside `out` until it is whole, so that another call goes on where one was cut
    off. The folder then holds the files under their names in the repository, what was in the archives, and
    `download.json`: source, revision, licence, and size and SHA-256 of every file. A folder that is whole already is
    checked against that and nothing is fetched.

    Args:
        source: what to fetch.
        out: the folder.
        only: patterns that choose among the source's files; all of them if empty.
        keep_archives: leave the archives beside what they hold.

    Returns:
        The manifest.

    Raises:
        UserError: no network, a file that is not there or not what its hub lists, a Git LFS pointer in its place, an
            archive that is not to be trusted, no room, or `out` holds something else.
    """
    what = {"source": source.name, "only": sorted(only), "archives_kept": keep_archives}
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        manifest = _finished(out, what)
        _check_finished(out, manifest)
        return manifest
    work = out.resolve().with_name(f".{out.resolve().name}.partial")
    try:
        hub = _HUBS[source.hub](source, work)
        listing = hub.list_files()
        wanted = _wanted(listing.files, source, only)
        work.mkdir(parents=True, exist_ok=True)
        _clear(work, wanted)
        missing = sum(file.size for file in wanted if not (work / file.path).is_file())
        require_room(work, missing, f"fetching {source.repo}")
        hub.fetch(wanted, listing.revision)
        for file in tqdm(wanted, desc="check", unit="file", disable=None):
            _check(work / file.path, file, source)
        archives = _unpack_all(work, wanted, keep_archives)
        shutil.rmtree(work / _CACHE, ignore_errors=True)
        manifest = {
            "format_version": _VERSION,
            "tool_version": version("g1_vq_retarget"),
            **what,
            "hub": source.hub,
            "endpoint": hub.endpoint,
            "repo": source.repo,
            "revision": listing.revision,
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
            "licence": source.licence,
            "terms": source.terms,
            "credit": source.credit,
            "page": source.page,
            "archives": archives,
            "files": _describe(work),
        }
        with replacing(work / MANIFEST) as temporary:
            temporary.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        if out.exists():
            out.rmdir()
        work.rename(out.resolve())
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror or error})") from error
    return manifest


def read_download(folder: Path) -> dict:
    """The manifest of a folder that `download` made. Raises UserError if it is none."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{folder}: holds no {MANIFEST}; fetch it with scripts/data/download_data.py, which writes source and "
            "licence down"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); remove the folder and fetch it again") from error
    told = manifest.keys() if isinstance(manifest, dict) and manifest.get("format_version") == _VERSION else ()
    if not {"source", "licence", "revision", "files"} <= {*told}:
        raise UserError(f"{path}: no manifest of this version; remove the folder and fetch it again")
    return manifest


class _Hub(ABC):
    """A hub's client, for one source.

    Attributes:
        endpoint: the address that is asked.
    """

    endpoint: str

    @abstractmethod
    def __init__(self, source: MotionSource, folder: Path) -> None: ...

    @abstractmethod
    def list_files(self) -> Listing:
        """What the repository holds."""

    @abstractmethod
    def fetch(self, files: Sequence[RemoteFile], revision: str) -> None:
        """Bring files into the folder, under their paths."""


class _HuggingFace(_Hub):
    def __init__(self, source: MotionSource, folder: Path) -> None:
        try:
            import huggingface_hub
            from huggingface_hub import constants, errors
        except ImportError as error:
            raise _not_installed("huggingface_hub") from error
        self._hub: Any = huggingface_hub
        # the HTTP library's base class: httpx's or httpx2's, whichever the client uses
        self._http_error: type[Exception] = errors.HTTPError  # pyright: ignore[reportPrivateImportUsage]
        self._source, self._folder = source, folder
        self.endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
        self._api = huggingface_hub.HfApi(endpoint=self.endpoint)
        huggingface_hub.utils.disable_progress_bars()  # one a file

    def list_files(self) -> Listing:
        from huggingface_hub.hf_api import RepoFile

        with self._reaching():
            info = self._api.repo_info(self._source.repo, repo_type="dataset", revision=self._source.revision)
            entries = self._api.list_repo_tree(
                self._source.repo, repo_type="dataset", revision=info.sha, recursive=True
            )
            files = [
                RemoteFile(entry.path, entry.size, None, entry.blob_id)
                if entry.lfs is None
                else RemoteFile(entry.path, entry.lfs.size, entry.lfs.sha256)
                for entry in entries
                if isinstance(entry, RepoFile)
            ]
        return Listing(str(info.sha), files)

    def fetch(self, files: Sequence[RemoteFile], revision: str) -> None:
        with self._reaching():
            # one after the other: its own threads do not end at Ctrl-C while a connection hangs
            for file in tqdm(files, unit="file", desc=self._source.repo, disable=None):
                self._hub.hf_hub_download(
                    self._source.repo,
                    file.path,
                    repo_type="dataset",
                    revision=revision,
                    local_dir=self._folder,
                    cache_dir=self._folder / _CACHE,
                    endpoint=self.endpoint,
                )

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        errors = self._hub.errors
        try:
            yield
        except errors.HfHubHTTPError as error:
            raise _refused(self._source, self.endpoint, error.response.status_code) from error
        except errors.LocalEntryNotFoundError as error:  # so the client calls it when a file's address does not answer
            raise _unreachable(self._source, self.endpoint, "HF_ENDPOINT", error.__cause__ or error) from error
        except (self._http_error, errors.OfflineModeIsEnabled) as error:
            raise _unreachable(self._source, self.endpoint, "HF_ENDPOINT", error) from error
        except OSError as error:
            if error.errno is not None:  # the disk's
                raise
            # a body of another length than was announced
            raise UserError(f"{self._source.repo}: {error}; run again to go on") from error


class _ModelScope(_Hub):
    def __init__(self, source: MotionSource, folder: Path) -> None:
        try:
            import modelscope_hub
        except ImportError as error:
            raise _not_installed("modelscope-hub") from error
        logging.getLogger("modelscope_hub").setLevel(logging.WARNING)  # it reports each page it lists
        self._hub: Any = modelscope_hub
        self._source, self._folder = source, folder
        self.endpoint = str(modelscope_hub.HubConfig().endpoint)  # the environment's; the client keeps an older one
        self._api = modelscope_hub.HubApi(endpoint=self.endpoint)

    def list_files(self) -> Listing:
        with self._reaching():
            listed = self._api.list_repo_files(self._source.repo, "dataset", revision=self._source.revision)
        files = [RemoteFile(file.path, file.size, file.sha256) for file in listed if not file.is_dir]
        return Listing(self._source.revision, files)

    def fetch(self, files: Sequence[RemoteFile], revision: str) -> None:
        with self._reaching():
            for file in files:
                self._api.download_file(
                    self._source.repo,
                    "dataset",
                    file.path,
                    revision=revision,
                    cache_dir=self._folder / _CACHE,
                    local_dir=self._folder,
                    expected_sha256=file.sha256,
                    file_size=file.size,
                )

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except self._hub.FileIntegrityError as error:
            raise UserError(f"{self._source.repo}: {error}; run again, or use a mirror: MODELSCOPE_ENDPOINT") from error
        except self._hub.APIError as error:
            raise _refused(self._source, self.endpoint, error.status_code) from error
        except self._hub.HubError as error:
            raise _unreachable(self._source, self.endpoint, "MODELSCOPE_ENDPOINT", error) from error


_HUBS: dict[str, type[_Hub]] = {"huggingface": _HuggingFace, "modelscope": _ModelScope}


def _not_installed(package: str) -> UserError:
    return UserError(f"downloads need {package}; install it with: pip install 'g1_vq_retarget[download]'")


def _refused(source: MotionSource, endpoint: str, status: int | None) -> UserError:
    if status == 404:
        return UserError(f"{endpoint} has no {source.repo}, or not all of it (404): look at {source.page}")
    if status in (401, 403):
        return UserError(f"{endpoint} does not let you have {source.repo} ({status}): look at {source.page}")
    return UserError(f"{endpoint} failed on {source.repo} ({status}); what has come is kept, run again to go on")


def _unreachable(source: MotionSource, endpoint: str, variable: str, error: BaseException) -> UserError:
    why = f"{type(error).__name__}: {error}"
    return UserError(
        f"{endpoint} cannot be reached for {source.repo} ({why[:150]}{'…' * (len(why) > 150)}); check the network, or "
        f"set {variable} to a mirror; what has come is kept, run again to go on"
    )


def _wanted(files: Sequence[RemoteFile], source: MotionSource, only: Sequence[str]) -> list[RemoteFile]:
    offered = [file for file in files if _matches(file.path, source.patterns)]
    if not offered:
        raise UserError(f"{source.repo}: holds none of {', '.join(source.patterns)} any more; look at {source.page}")
    wanted = [file for file in offered if not only or _matches(file.path, only)]
    if not wanted:
        raise UserError(f"--only {' '.join(only)}: chooses none of {', '.join(file.path for file in offered[:8])}…")
    for file in wanted:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts or "\\" in file.path or path.parts[0] in (_CACHE, MANIFEST):
            raise UserError(f"{source.repo}: lists {file.path!r}, which would be written elsewhere; nothing is fetched")
    return sorted(wanted, key=lambda file: file.path)


def _clear(work: Path, wanted: Sequence[RemoteFile]) -> None:
    """Remove what an interrupted run left and this one has no use for: unpacked archives, files it was told to skip."""
    kept = (f"{_CACHE}/", *(file.path for file in wanted))
    for entry in sorted(work.rglob("*"), reverse=True):  # what is in a folder before the folder
        if entry.is_dir() and not entry.is_symlink():
            if not any(entry.iterdir()):
                entry.rmdir()
        elif not entry.relative_to(work).as_posix().startswith(kept):  # partial files have longer names
            entry.unlink()


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _check(path: Path, file: RemoteFile, source: MotionSource) -> None:
    """Hold a fetched file against the listing; one that fails is removed, so that the next run fetches it anew."""
    told = ""
    if not path.is_file() or path.is_symlink():
        raise UserError(f"{source.repo}: {file.path} has not come; run again to fetch it")
    size = path.stat().st_size
    if is_lfs_pointer(path):
        told = "is a Git LFS pointer, the file itself is not there; tell its owner, or use a mirror"
    elif size != file.size:
        told = f"has {size} bytes, its hub lists {file.size}; run again to fetch it anew"
    elif file.sha256 is not None and sha256_of(path) != file.sha256:
        told = f"has another SHA-256 than the {file.sha256} that its hub lists; run again to fetch it anew"
    elif file.sha256 is None and file.git_sha1 is not None and _git_sha1(path) != file.git_sha1:
        told = f"has another hash than the {file.git_sha1} that its hub lists; run again to fetch it anew"
    if told:
        path.unlink()
        raise UserError(f"{source.repo}: {file.path} {told}")


def _git_sha1(path: Path) -> str:
    """The name git gives a file's contents."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    return digest.hexdigest()


def _unpack_all(work: Path, files: Sequence[RemoteFile], keep: bool) -> list[dict]:
    """Unpack the archives among the files into `work`, and remove them unless they are kept."""
    archives = [file for file in files if file.path.endswith(_ARCHIVES)]
    told = [
        {"path": file.path, "size": file.size, "sha256": sha256_of(work / file.path), "kept": keep} for file in archives
    ]
    places = [work / f"{_CACHE}-{index}" for index in range(len(archives))]
    for file, place in zip(archives, places, strict=True):
        shutil.rmtree(place, ignore_errors=True)
        unpack(work / file.path, place)
    for file, place in zip(archives, places, strict=True):
        for entry in sorted(place.iterdir()):
            if (work / entry.name).exists():
                raise UserError(f"{file.path}: holds {entry.name}, which another archive holds, too; use --only")
            entry.rename(work / entry.name)
        place.rmdir()
        if not keep:
            (work / file.path).unlink()
    return told


def _describe(folder: Path) -> list[dict]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return [
        {"path": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "sha256": _sha256(path)}
        for path in tqdm(paths, desc="hash", unit="file", disable=None)
    ]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:  # an empty file is fine here
        return hashlib.file_digest(file, "sha256").hexdigest()


def _finished(out: Path, what: dict) -> dict:
    """The manifest of a folder that holds just what is asked for."""
    if not (out / MANIFEST).is_file():
        raise UserError(f"{out}: is there already and no download of this command; name another folder with --out")
    manifest = read_download(out)
    if {key: manifest.get(key) for key in what} != what:
        raise UserError(
            f"{out}: holds another download ({manifest.get('source')}, --only {' '.join(manifest.get('only', []))}); "
            "name another folder with --out, or remove it"
        )
    return manifest


def _check_finished(out: Path, manifest: dict) -> None:
    for entry in tqdm(manifest["files"], desc="check", unit="file", disable=None):
        path = out / entry["path"]
        if not path.is_file() or path.stat().st_size != entry["size"] or _sha256(path) != entry["sha256"]:
            raise UserError(f"{path}: is not what {MANIFEST} says; remove {out} and fetch it again")
