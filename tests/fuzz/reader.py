"""Reads files in another process, and holds each reading against the law.

The law: motion, or a `UserError` that names the file in a line. No other exception, no hang, no more memory than ten
times the file and 200 MB, no file written, no program started. A file that broke it is read again with

    python tests/fuzz/reader.py FILE [--fps 30 …]
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NamedTuple

CPU_SECONDS = 10.0
WALL_SECONDS = 120.0  # for a reader that sleeps; a slow machine is no hang
MEMORY_FACTOR, MEMORY_BASE = 10, 200 * 2**20
LONGEST_LINE = 2000

# What auditing calls what no reader may do; opening a file is looked at more closely.
FORBIDDEN = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pty.", "webbrowser.")
ALLOWED = (
    "os.listdir",
    "os.scandir",
    "os.walk",
    "os.fwalk",
    "os.getxattr",
    "os.putenv",
    "os.unsetenv",
    "ctypes.dlopen",
)

# What not even unpacking may do.
NEVER = (
    "os.system",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "os.fork",
    "os.symlink",
    "os.link",
    "os.chown",
    "subprocess.",
)
NEVER += ("socket.",)


class Outcome(NamedTuple):
    """How a reading ended: "read" or "refused", or "broken" with what broke; and the memory it took, bytes."""

    kind: str
    told: str
    peak: int


Task = Callable[..., object]


class Reader:
    """A process that reads one file after the other, and is replaced when one kills it."""

    def __init__(self) -> None:
        self._process: SpawnProcess | None = None

    def __call__(self, task: Task, path: Path, options: dict[str, Any]) -> Outcome:
        """Do `task(path, **options)`: a function of a module, since another process finds it by name."""
        if self._process is None:
            self._start()
        assert self._process is not None
        self._pipe.send((task, path, options))
        try:
            if self._pipe.poll(WALL_SECONDS):
                return self._pipe.recv()
            told = f"hangs: no end after {WALL_SECONDS:g} s"
        except (EOFError, ConnectionError):
            process = self._process
            process.join()
            code = process.exitcode
            told = f"hangs: {CPU_SECONDS:g} s of work" if code == -signal.SIGPROF else f"ends the process: {code}"
        self.close()
        return Outcome("broken", told, 0)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far,), daemon=True)
        self._process.start()
        far.close()
        assert self._pipe.poll(300), "the reading process does not start"
        self._pipe.recv()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None


def load(path: Path, **options: Any) -> object:
    """The front door of all formats."""
    from g1_vq_retarget.motion import HumanClip, RobotClip
    from g1_vq_retarget.motion.formats import load_motions

    clips = load_motions(path, **options)
    assert clips
    assert all(isinstance(clip, RobotClip | HumanClip) for clip in clips)
    return clips


def load_smplx(path: Path, **_: Any) -> object:
    """The human side of a tracking NPZ."""
    from g1_vq_retarget.motion.formats.smplx_npz import read_smplx_npz
    from g1_vq_retarget.robot import load_robot

    return read_smplx_npz(path, load_robot())


def load_tokens(path: Path, **_: Any) -> object:
    """What retargeting leaves beside the motion."""
    from g1_vq_retarget.retarget import MotionTokens

    return MotionTokens.load(path)


def list_contents(path: Path, **_: Any) -> object:
    """What inspection shows before it reads."""
    from g1_vq_retarget.data.contents import contents_of

    return [str(entry) for entry in contents_of(path)]


def unpack_beside(path: Path, **_: Any) -> object:
    """An archive into a folder `target` beside it."""
    from g1_vq_retarget.data.unpack import unpack

    return unpack(path, path.parent / "target")


def _serve(pipe: Any) -> None:
    sys.dont_write_bytecode = True
    audit = _Audit()
    sys.addaudithook(audit)
    _warm_up()
    pipe.send("ready")
    while True:
        task, path, options = pipe.recv()
        audit.may_write = task is unpack_beside
        pipe.send(_read(path, options, task, audit))


def _warm_up() -> None:
    """Import what the first reading would import."""
    from g1_vq_retarget.robot import load_robot

    load_robot()


class _Audit:
    """Remembers what a reading does that it must not, https://docs.python.org/3/library/audit_events.html."""

    def __init__(self) -> None:
        self.on = False
        self.may_write = False
        self.seen: list[str] = []

    def __call__(self, event: str, args: tuple) -> None:
        if not self.on:
            return
        if self.may_write:
            if event.startswith(NEVER):
                self.seen.append(f"does {event} {args}")
        elif event == "open":
            path, mode, flags = args
            writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            if (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & writing):
                self.seen.append(f"writes {path}")
        elif event.startswith(FORBIDDEN) and event not in ALLOWED:
            self.seen.append(f"does {event} {args}")


def _read(path: Path, options: dict[str, Any], task: Task, audit: _Audit) -> Outcome:
    from g1_vq_retarget.errors import UserError

    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
    allowed = MEMORY_FACTOR * size + MEMORY_BASE
    before = _reset_peak()
    _limit(_address_space() + allowed)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    audit.seen.clear()
    audit.on = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            task(path, **options)
        kind, told = "read", ""
    except UserError as error:
        kind, told = "refused", str(error)
    except Exception:  # MemoryError is one too
        kind, told = "broken", traceback.format_exc()
    finally:
        audit.on = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        _limit(resource.RLIM_INFINITY)
    peak = max(0, _status("VmHWM") - before)
    if kind == "refused":
        if path.name not in told:
            kind, told = "broken", f"the error does not name the file: {told[:LONGEST_LINE]}"
        elif len(told) > LONGEST_LINE:
            kind, told = "broken", f"an error of {len(told)} characters: {told[:LONGEST_LINE]} …"
        elif len(told.splitlines()) > 1:
            kind, told = "broken", f"an error of several lines: {told}"
    if audit.seen:
        kind, told = "broken", f"{'; '.join(audit.seen[:5])}\n{told}"
    elif peak > allowed:
        kind, told = "broken", f"{peak / 2**20:.0f} MiB for a file of {size} bytes"
    return Outcome(kind, told, peak)


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _status(key: str) -> int:
    """A figure of this process, bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _reset_peak() -> int:
    """Memory in use, from where the peak is measured anew."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not in every container: then the peak is that of all readings so far
        return _status("VmHWM")
    return _status("VmRSS")


if __name__ == "__main__":
    given = dict(zip((flag.lstrip("-").replace("-", "_") for flag in sys.argv[2::2]), sys.argv[3::2], strict=True))
    outcome = _read(Path(sys.argv[1]), {k: float(v) if k == "fps" else v for k, v in given.items()}, load, _Audit())
    print(f"{outcome.kind}, {outcome.peak / 2**20:.1f} MiB\n{outcome.told}")
