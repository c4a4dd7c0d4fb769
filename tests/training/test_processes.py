"""Processes of one machine: several as torchrun starts them, and one that is killed."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthetic import data_folder, pair

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_vq.py"
FLAGS = shlex.split(
    "--epochs 2 --batch-size 16 --pairs 8 --model.network.width 16 --model.network.depth 1 "
    "--model.network.latent-dim 8 --model.network.downsample 4 --model.quantizer.kind rvq --model.quantizer.levels 2 "
    # a dead code is replaced by a latent drawn at random, which is another one with two processes
    "--model.quantizer.codebook-size 8 --model.quantizer.dead-code-threshold 0"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("processes") / "data"
    data_folder(out, {"train": [pair(f"clip{i}", 300, i) for i in range(2)], "val": [pair("other", 150, 5)]})
    return out


# the number of levels told is drawn at random, the same for all processes
PREDICTIVE = shlex.split("--model.quantizer.kind predictive --model.quantizer.least-levels 1 --crop 32")


def log_of(launcher: list[str], data: Path, run: Path, flags: list[str]) -> list[dict]:
    command = [sys.executable, *launcher, str(SCRIPT), "--data", str(data), "--run", str(run), *FLAGS, *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("next: ") == 1  # one process speaks
    return json.loads((run / "log.json").read_text())


@pytest.mark.parametrize("flags", [[], PREDICTIVE], ids=["rvq", "predictive"])
def test_two_processes_train_what_one_does(flags: list[str], data: Path, tmp_path: Path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]
    one = log_of([], data, tmp_path / "one", flags)
    two = log_of(torchrun, data, tmp_path / "two", flags)
    assert [line["step"] for line in two] == [line["step"] for line in one]
    for alone, shared in zip(one, two, strict=True):
        for term in ("recon", "cross", "vel", "align", "total"):
            assert shared["train"][term] == pytest.approx(alone["train"][term], rel=0.02), term
        for metric in ("recon", "cross", "root_mse"):
            assert shared["val"][metric] == pytest.approx(alone["val"][metric], rel=0.01), metric


def test_a_killed_run_goes_on_and_ends_as_one_that_was_left_alone(data: Path, tmp_path: Path) -> None:
    whole = log_of([], data, tmp_path / "whole", [])
    run = tmp_path / "killed"
    command = [sys.executable, str(SCRIPT), "--data", str(data), "--run", str(run), *FLAGS]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        # as soon as there is anything to go on from, wherever the run then is
        while not (run / "state.safetensors").exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    parts = json.loads((run / "log.json").read_text())
    assert [line | {"seconds": 0} for line in parts] == [line | {"seconds": 0} for line in whole]
