"""What no reader may do, done on purpose, to see that it is noticed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import time
from pathlib import Path

from g1_vq_retarget.errors import UserError


def raise_something(path: Path) -> None:
    raise KeyError("joint_pos")


def refuse_without_name(path: Path) -> None:
    raise UserError("something is wrong")


def refuse_at_length(path: Path) -> None:
    raise UserError(f"{path}: {'x' * 5000}")


def refuse_in_lines(path: Path) -> None:
    raise UserError(f"{path}: one\ntwo")


def work_forever(path: Path) -> None:
    while True:
        pass


def die(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def touch_much_memory(path: Path) -> None:
    _ = b"\xff" * (300 * 2**20)


def ask_for_more_memory_than_there_is(path: Path) -> None:
    _ = bytearray(2**40)


def write_a_file(path: Path) -> None:
    path.with_name("other").write_text("")


def remove_a_file(path: Path) -> None:
    path.unlink()


def run_a_program(path: Path) -> None:
    subprocess.run(["true"], check=True)


def load_a_pickle(path: Path) -> None:
    pickle.loads(path.read_bytes())


def wait_a_little(path: Path) -> None:
    time.sleep(0.1)
