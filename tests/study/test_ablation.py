"""Several runs: who gets what, what is skipped, what fails. The processes are real; most train nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.study import ablation, workers
from g1_vq_retarget.study.ablation import run_study
from g1_vq_retarget.study.display import Row
from g1_vq_retarget.study.log import log_path, read_log, read_logs
from g1_vq_retarget.study.plan import Study
from g1_vq_retarget.study.workers import threads_each

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_ablation.py"
# In place of a training: notes that it began and ended, in which environment, and does what its label says.
STAND_IN = """
import json, os, signal, sys, time
run = json.loads(sys.stdin.readline())
log, began = run["log"], time.monotonic()
label = log["label"]
print("trace of", label)
if label == "breaks" and not os.path.exists(run["results"] + "/mended"):
    raise ValueError("no luck")
if label == "refuses":
    sys.exit("error: mend it")
if label == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(0.15)
names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
note = {name: os.environ.get(name) for name in names} | {"began": began, "ended": time.monotonic()}
os.makedirs(run["results"], exist_ok=True)
path = f"{run['results']}/log_{log['experiment']}_seed_{log['seed']}.json"
with open(path + ".part", "w") as file:
    json.dump(log | {"complete": True, "epochs": [note], "final": {"test": {"recon": 0.5}}}, file)
os.rename(path + ".part", path)
"""

MakeStudy = Callable[..., Study]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", STAND_IN))
    monkeypatch.setattr(ablation, "LOOK", 0.01)


def states(rows: list[Row]) -> list[str]:
    return [row.state for row in rows]


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("folder", ["results", "checkpoints"])
def test_a_study_that_runs_is_not_begun_another_time(folder: str, study: MakeStudy) -> None:
    asked = study()
    held = getattr(asked, folder)
    held.mkdir(parents=True)
    with FileLock(held / ablation.LOCK), pytest.raises(UserError, match="another process runs a study"):
        run_study(asked)
    assert states(run_study(asked)) == ["finished"]


@pytest.mark.usefixtures("stand_in")
def test_a_run_that_fails_does_not_lose_the_others(
    study: MakeStudy, preset: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    variants = [preset(name) for name in ("breaks", "one", "refuses", "dies", "two")]
    rows = run_study(study(variants=variants))
    assert states(rows) == ["failed", "finished", "failed", "failed", "finished"]
    assert [row.reason for row in rows] == ["ValueError: no luck", "", "mend it", "was killed by SIGKILL", ""]
    trace = (Path(rows[0].log.checkpoint) / "output.txt").read_text()
    assert "trace of breaks" in trace
    assert "Traceback" in trace
    said = capfd.readouterr().out
    assert "breaks seed 1, bits/s 75, epoch 0/2: failed: ValueError: no luck" in said
    assert [log.label for log in read_logs(Path(study().results)) if log.complete] == ["one", "two"]


@pytest.mark.usefixtures("stand_in")
def test_what_is_finished_is_left_alone_and_what_failed_is_tried_again(
    study: MakeStudy, preset: Callable[..., str], tmp_path: Path
) -> None:
    asked = study(variants=[preset("one"), preset("breaks")])
    run_study(asked)
    path = log_path(tmp_path / "results", "one", 1)
    before = path.read_bytes()
    assert states(run_study(asked)) == ["finished", "failed"]
    (tmp_path / "results" / "mended").touch()
    assert states(run_study(asked)) == ["finished", "finished"]
    assert path.read_bytes() == before


@pytest.mark.usefixtures("stand_in")
def test_workers_share_cores_and_gpus(study: MakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_cores", lambda: 12)
    monkeypatch.setattr(workers, "_visible_gpus", lambda: ["3", "5"])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    rows = run_study(study(seeds=[1, 2, 3, 4, 5]))
    notes = [row.log.epochs[0] for row in rows]
    assert {note["OMP_NUM_THREADS"] for note in notes} == {"6"}
    assert {note["CUDA_VISIBLE_DEVICES"] for note in notes} == {"3", "5"}
    for note in notes:
        beside = [other for other in notes if other["began"] < note["ended"] and note["began"] < other["ended"]]
        assert len({other["CUDA_VISIBLE_DEVICES"] for other in beside}) == len(beside) <= 2


def test_threads_are_shared_out_and_the_user_may_ask_for_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [threads_each(8, count) for count in (1, 3, 8, 20)] == [8, 2, 1, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert [threads_each(8, count) for count in (1, 8)] == [2, 1]


@pytest.mark.usefixtures("stand_in")
def test_a_folder_that_cannot_be_made_is_the_failure_of_one_run(study: MakeStudy, preset: Callable[..., str]) -> None:
    asked = study(variants=[preset("one"), preset("two")])
    (asked.checkpoints / "one_rvq_seed_1").mkdir(parents=True)
    (asked.checkpoints / "one_rvq_seed_1" / "output.txt").mkdir()
    rows = run_study(asked)
    assert states(rows) == ["failed", "finished"]
    assert rows[0].reason.endswith("output.txt: Is a directory")


def test_ray_that_is_not_there_is_told(study: MakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"--engine ray needs ray: pip install -e '\.\[ray\]'"):
        run_study(study(engine="ray"))


# With real trainings


def command(study: Study) -> list[str]:
    words = ["--variants", *study.variants, "--seeds", *study.seeds, "--data", study.data, "--epochs", study.epochs]
    words += ["--results", study.results, "--checkpoints", study.checkpoints]
    return [sys.executable, str(SCRIPT), *map(str, words)]


def without_seconds(folder: Path) -> list[tuple]:
    logs = read_logs(folder)
    lines = [[line | {"seconds": 0} for line in log.epochs] for log in logs]
    return [(log.experiment, log.complete, log.final, line) for log, line in zip(logs, lines, strict=True)]


@pytest.mark.slow
def test_a_killed_study_goes_on_where_it_was(study: MakeStudy, preset: Callable[..., str], tmp_path: Path) -> None:
    asked = study(variants=[preset("one"), preset("two", "ema")], epochs=8)
    second = log_path(asked.results, "two", 1)
    with subprocess.Popen(command(asked), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not second.exists():
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -9, "it was over before it was killed"
    time.sleep(1.0)  # the training that ran ends by itself
    begun = read_log(second)
    assert not begun.complete
    assert len(begun.epochs) < 8
    state = (Path(begun.checkpoint) / "state.safetensors").read_bytes()
    time.sleep(1.0)
    assert (Path(begun.checkpoint) / "state.safetensors").read_bytes() == state
    begun, first = read_log(second), log_path(asked.results, "one", 1).read_bytes()
    done = subprocess.run(command(asked), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert log_path(asked.results, "one", 1).read_bytes() == first
    assert read_log(second).epochs[: len(begun.epochs)] == begun.epochs  # seconds and all: none was trained again
    alone = study(variants=asked.variants, epochs=8)
    alone.results, alone.checkpoints = tmp_path / "alone", tmp_path / "others"
    assert subprocess.run(command(alone), capture_output=True, check=False).returncode == 0
    assert without_seconds(asked.results) == without_seconds(alone.results)


@pytest.mark.slow
def test_a_failed_run_is_told_at_the_end(study: MakeStudy, preset: Callable[..., str]) -> None:
    wild = preset("wild", more="optimizer: {lr: 1.0e+18, clip: 1.0e+30}\n")
    done = subprocess.run(command(study(variants=[wild, preset("one")])), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    (told,) = (line for line in done.stdout.splitlines() if line.startswith("failed: "))
    assert "failed: wild seed 1: training stopped at step" in told
    assert "output.txt" in told
    assert [log.complete for log in read_logs(Path(study().results))] == [True]


@pytest.mark.slow
def test_ray_gives_the_same(study: MakeStudy, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    alone = study()
    run_study(alone)
    spread = study(engine="ray")
    spread.results, spread.checkpoints = tmp_path / "ray", tmp_path / "ray_checkpoints"
    rows = run_study(spread)
    assert states(rows) == ["finished"], rows[0].reason
    assert without_seconds(spread.results) == without_seconds(alone.results)
