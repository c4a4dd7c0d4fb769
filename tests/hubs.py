"""Stand-ins on loopback for the two hubs: what their clients ask for, and what can go wrong on the way."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# cut: the connection ends in the middle, once; drop: each time; corrupt: other bytes, always; slow: a pause within
Fault = Literal["cut", "drop", "corrupt", "gone", "slow"]
_HF = re.compile(
    r"/(?:api/)?datasets/(?P<repo>[^/]+/[^/]+)/(?P<what>revision|tree|resolve)/(?P<rev>[^/]+)(?:/(?P<path>.*))?"
)
_MODELSCOPE = re.compile(r"/api/v1/datasets/(?P<repo>[^/]+/[^/]+)/repo(?P<tree>/tree)?")


@dataclass
class Hub:
    """A hub with one data set.

    Attributes:
        repo: owner/name.
        files: contents by path.
        lfs: whether the files are kept in LFS, where hubs know their SHA-256.
        faults: what goes wrong with which file.
        asked: what was asked for: method, path of the file, Range.
    """

    repo: str
    files: dict[str, bytes]
    lfs: bool = True
    faults: dict[str, Fault] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""

    def ranges(self, path: str) -> list[str]:
        """The ranges in which a file was fetched; empty for the whole."""
        return [span for method, asked, span in self.asked if method == "GET" and asked == path]


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub at `hub.url` while the block runs."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None: ...

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            if found := _HF.fullmatch(unquote(url.path)):
                self.huggingface(found)
            elif found := _MODELSCOPE.fullmatch(unquote(url.path)):
                self.modelscope(found, query)
            else:
                self.answer(404, b"{}")

        def huggingface(self, found: re.Match[str]) -> None:
            if found["repo"] != hub.repo or found["rev"] not in ("main", COMMIT):
                return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            if found["what"] == "revision":
                return self.json({"_id": "0", "id": hub.repo, "sha": COMMIT, "tags": [], "private": False})
            if found["what"] == "tree":
                return self.json([_hf_entry(path, content, hub.lfs) for path, content in hub.files.items()])
            path = found["path"]
            if path not in hub.files:
                return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            entry = _hf_entry(path, hub.files[path], hub.lfs)
            etag = entry["lfs"]["oid"] if hub.lfs else entry["oid"]
            return self.file(path, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

        def modelscope(self, found: re.Match[str], query: dict[str, str]) -> None:
            if found["repo"] != hub.repo:
                return self.answer(404, json.dumps({"Code": 404, "Message": "not found", "Success": False}).encode())
            if found["tree"]:
                files = [
                    {"Path": path, "Name": path, "Type": "blob", "Size": len(content)}
                    | ({"Sha256": hashlib.sha256(content).hexdigest()} if hub.lfs else {})
                    for path, content in hub.files.items()
                ]
                return self.json({"Code": 200, "Success": True, "Data": {"Files": files}})
            return self.file(query["FilePath"], {})

        def file(self, path: str, headers: dict[str, str]) -> None:
            span = self.headers.get("Range", "")
            with lock:
                hub.asked.append((self.command, path, span))
                fault = hub.faults.get(path)
                if fault == "cut" and self.command == "GET":
                    del hub.faults[path]
            if fault == "gone":
                return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            content = hub.files[path]
            start = int(re.match(r"bytes=(\d+)-", span)[1]) if span else 0  # type: ignore[index]
            body = content[start:]
            if fault == "corrupt":
                body = body[:-1] + bytes([body[-1] ^ 1])
            self.send_response(206 if span else 200)
            if span:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            for key, value in (headers | {"Content-Length": str(len(body)), "Accept-Ranges": "bytes"}).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "HEAD":
                return None
            half = len(body) // 2
            self.wfile.write(body[:half])
            self.wfile.flush()
            if fault in ("cut", "drop"):
                self.close_connection = True
                return None
            if fault == "slow":
                time.sleep(20)
            self.wfile.write(body[half:])
            return None

        def json(self, value: object) -> None:
            self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in ((headers or {}) | {"Content-Length": str(len(body))}).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _hf_entry(path: str, content: bytes, lfs: bool) -> dict:
    sha1 = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict = {"type": "file", "path": path, "size": len(content), "oid": sha1}
    if lfs:
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry
