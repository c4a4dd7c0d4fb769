"""Every command and every snippet of the READMEs, and of the pages in docs/, is run as it stands there.

A command is a line of a block of code (indented, or fenced without a language or as bash), or code in a sentence that
begins with a program or with scripts/; `train_vq.py --motion`, without the folder, only mentions a script. A command
that `RECIPES` does not know fails the test: add a line to it. A block that holds no commands is fenced as ```text; what
begins with `python scripts/` there is a command all the same.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from g1_vq_retarget.motion import RobotClip
from g1_vq_retarget.motion.formats import load_motion, save_motion
from running import Outcome, run_script
from synthetic import data_folder, robot_clip, write_motion_files

ROOT = Path(__file__).parents[1]
README, README_ZH = ROOT / "README.md", ROOT / "README.zh-CN.md"
# results.md is a record of what was measured, with the commands of that day
PAGES = sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != "results.md")

SMALL = (
    "--epochs 1 --batch-size 16 --pairs 4 --crop 32 --model.network.width 16 --model.network.depth 1 "
    "--model.quantizer.codebook-size 8 --model.quantizer.kmeans-iters 2"
)


@dataclass(frozen=True)
class Recipe:
    """How a command is run: what stands in the place of its words, and what is added to keep it small."""

    fill: Mapping[str, str] = field(default_factory=dict)
    add: str = ""

    def __call__(self, command: str) -> str:
        for word, filled in self.fill.items():
            command = command.replace(word, filled)
        return f"{command} {self.add}".rstrip()


# By how a command begins; the longest that fits is used. Files are those that the fixture `home` leaves.
RECIPES = {
    "git clone": Recipe({"<this repository>": "g1_vq_retarget.git"}),
    # what make does is install, which a test must not, and run what is tested elsewhere
    "make": Recipe({"make": "make --dry-run"}),
    "python scripts/doctor.py": Recipe(),
    "python scripts/data/process_data.py": Recipe(
        {
            "--robot-dir DIR": "--robot-dir g1",
            "--human-dir DIR": "--human-dir bvh",
            "--split FILE": "--split split.json",
            "--robot-dir G1 --human-dir BVH": "--robot-dir g1 --human-dir bvh",
        }
    ),
    # they ask a hub; on stand-ins in tests/data/test_download.py and tests/training/test_release.py
    "python scripts/data/download_data.py": Recipe({}, "--help"),
    "python scripts/train_release.py": Recipe({}, "--help"),
    "python scripts/train_vq.py": Recipe({}, SMALL),
    "python scripts/train_ablation.py": Recipe(
        {"--minutes 60": "--minutes 0.01"}, "--variants resnet_ema.yaml resnet_rvq.yaml --seeds 42"
    ),
    "python scripts/evaluate.py": Recipe(),
    # on a study's logs; the last three want more of them than a page leaves, see tests/scripts/test_plots_and_tables.py
    "python scripts/evaluation/plot_results.py": Recipe(),
    "python scripts/evaluation/export_latex_table.py": Recipe(),
    "python scripts/evaluate.py --checkpoint checkpoints/ResNet+RVQ_rvq_seed_42": Recipe({}, "--help"),
    "python scripts/evaluation/plot_results.py --rate-distortion": Recipe({}, "--help"),
    "python scripts/evaluation/export_latex_table.py --beside-original": Recipe({}, "--help"),
    "python scripts/retarget.py": Recipe(),
    "python scripts/stream.py": Recipe({}, "--seconds 0.5 --safety.stand 0.1 --safety.stand-down 0.1"),
    # waits for an actor; tests/streaming/test_script.py has one
    "python scripts/stream.py --checkpoint runs/live --source udp://:9000": Recipe({}, "--help"),
    "python scripts/decode_tokens.py": Recipe(),
    "python scripts/train_human.py": Recipe({}, "--epochs 2 --crop 16"),
    "python scripts/train_prior.py": Recipe({}, "--epochs 1 --width 16 --depth 2"),
    "python scripts/sample_motion.py": Recipe({"--seconds 10": "--seconds 0.5"}),
    "python scripts/compress_tokens.py": Recipe(),
    # writes a page, since a live one is served until Ctrl-C
    "python scripts/play_triple_view.py": Recipe({"dance.csv": "g1/dance.csv"}, "--html dance.html --shape capsules"),
    # on what `make demo` leaves
    "python scripts/play_triple_view.py --checkpoint outputs/demo/run": Recipe({}, "--help"),
    "python scripts/deployment/export_motion.py --exp_id demo --ckpt outputs/demo/run": Recipe({}, "--help"),
    "python scripts/deployment/play_g1_npy.py": Recipe({}, "--help"),
    "python scripts/data/make_sample.py": Recipe({}, "--help"),
    "python scripts/play_triple_view.py --checkpoint RUN": Recipe({"[": "", "]": ""}, "--help"),
    # on a download; tests/data/test_smplx_datasets.py runs it
    "python scripts/data/process_data.py --source smplx_datasets": Recipe({}, "--help"),
    "python scripts/retarget.py --checkpoint release/model.safetensors": Recipe({}, "--help"),
    "python scripts/data/inspect_motion.py": Recipe({"FILE…": "bvh/dance.bvh", "20 26": "1 2"}),
    "python scripts/data/convert_motion.py": Recipe(
        {"IN…": "g1", "FORMAT": "npz", "DIR": "converted", "[": "", "]": "", "--jobs N": "--jobs 1"}
    ),
    # need all of mjlab; tests/tasks/test_mjlab_training.py runs them
    "python scripts/mjlab/train.py": Recipe({}, "--help"),
    "python scripts/mjlab/play.py": Recipe({}, "--help"),
    # as do these, or what they leave; tests/tasks/test_mjlab_evaluation.py and test_mujoco_simulation.py
    "python scripts/mjlab/evaluate.py": Recipe({}, "--help"),
    "python scripts/deployment/export_policy.py": Recipe({}, "--help"),
    "python scripts/deployment/verify_policy.py": Recipe({}, "--help"),
    "python scripts/deployment/sim2sim.py": Recipe({}, "--help"),
    "python scripts/deployment/export_tokenizer.py": Recipe(),
    "python scripts/deployment/verify_tokenizer.py": Recipe(),
    "python scripts/experiments/decoded_vs_ground_truth.py": Recipe({}, "--help"),
    "python scripts/experiments/mjlab_speed.py": Recipe({}, "--help"),
    "python scripts/evaluation/measure_motion_library.py": Recipe({"10000": "2", "10": "1"}, "--environments 4"),
    # on causal models of hours of training; tests/retarget/test_latency.py runs it
    "python scripts/benchmark_latency.py": Recipe({}, "--help"),
    # UMAP takes half a minute to be compiled
    "python scripts/evaluation/analyze_latent_space.py": Recipe({}, "--methods t-sne"),
    "python scripts/data/build_pairs.py": Recipe({"DIR": "bvh", "--jobs 8": "--jobs 1", "…": "CC0"}, "--clips crawl"),
    "isaaclab.sh -p -m pip install": Recipe({}, "--dry-run --no-deps --no-build-isolation --no-index --quiet"),
    "isaaclab.sh -p scripts/train_vq.py": Recipe({"…": f"--data data/lafan1 --run runs/isaaclab {SMALL}"}),
    "torchrun": Recipe({"--config …": "--data data/lafan1", "--run …": f"--run runs/processes {SMALL}"}),
    "tensorboard": Recipe({}, "--inspect"),
    "pytest": Recipe({}, "--collect-only --quiet"),
    # asks the package index what it would do
    "pip install": Recipe({}, "--dry-run --quiet"),
}

SHELLS = ("", "bash", "sh", "shell", "console")
PROGRAMS = ("bash", "cd", "git", "isaaclab.sh", "make", "pip", "python", "sh", "tensorboard", "torchrun")
# A script that is named and not run, and those that are run by naming them.
MENTION = re.compile(r"(?:\w+/)*(\w+\.py)")
RUN_BY_NAME = ("scripts/demo.py", "scripts/doctor.py")
# What a command writes is told by these flags.
WRITES = ("--html", "--json", "--out", "--output", "--plot", "--run", "--tokens")


class Document(NamedTuple):
    """What can be run of a page: commands in their order, and snippets of Python."""

    commands: list[str]
    snippets: list[str]


def read_document(path: Path) -> Document:
    commands, snippets, prose = [], [], []
    language: str | None = None  # of the open fence
    indented = continued = False
    before = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            language = line[3:].strip() if language is None else None
            if language == "python":
                snippets.append("")
        elif language == "python":
            snippets[-1] += line + "\n"
        else:
            indented = line.startswith("    ") and (indented or not before.strip())
            if language in SHELLS or indented or continued or (language and line.startswith("python scripts/")):
                _add_line(line.strip(), commands)
                continued = line.endswith("\\")
            elif language is None:
                prose.append(line)
        before = line
    for span in re.findall(r"`([^`]+)`", "\n".join(prose)):
        span = " ".join(span.split())
        if _is_command(span):
            commands.append(f"python {span}" if span.startswith("scripts/") else span)
    return Document(commands, snippets)


def _add_line(line: str, commands: list[str]) -> None:
    if commands and commands[-1].endswith("\\"):
        commands[-1] = commands[-1][:-1].rstrip() + " " + line
        return
    line = re.sub(r"(^|\s+)#.*", "", line)
    # a line of a map: something in the checkout, and behind a gap what it is
    name, gap, _ = line.partition("  ")
    if line and not (gap and (ROOT / name).exists()):
        commands.append(line)


def _is_command(span: str) -> bool:
    first, *more = span.split()
    if MENTION.fullmatch(first):
        return first.startswith("scripts/") and bool(more or first in RUN_BY_NAME)
    # a word and more behind it may be a program that nobody thought of; a placeholder, a flag or a call is none
    return first in PROGRAMS or bool(more and re.match(r"[a-zA-Z./][\w./-]*$", first))


def recipe_of(command: str) -> Recipe:
    known = [start for start in RECIPES if re.match(re.escape(start) + r"(\s|$)", command)]
    if not known:
        pytest.fail(f"{command!r} is run by no test: add to RECIPES how it begins and what fills its placeholders")
    return RECIPES[max(known, key=len)]


# What the pages say


@pytest.mark.parametrize("page", [README, README_ZH, ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda page: page.name)
def test_how_to_run_every_command_is_known(page: Path) -> None:
    for command in read_document(page).commands:
        recipe_of(command)


def test_both_readmes_tell_the_same() -> None:
    english, chinese = read_document(README), read_document(README_ZH)

    def without_words(document: Document) -> Document:
        return Document([re.sub(r"<.*?>", "<>", command) for command in document.commands], document.snippets)

    assert without_words(english) == without_words(chinese)
    assert english.commands
    assert english.snippets


# What the commands do


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to begin in, with the repository; on the path this Python, and a stand-in of Isaac Lab's."""
    origin, programs = tmp_path / "g1_vq_retarget.git", tmp_path / "bin"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip(f"{ROOT} is no git repository")
    for name in listed.stdout.split("\0"):
        if (ROOT / name).is_file():
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, origin / name)
    programs.mkdir()
    isaaclab = programs / "isaaclab.sh"
    isaaclab.write_text(f'#!/bin/sh\n[ "$1" = -p ] && shift && exec "{sys.executable}" "$@"\n')
    isaaclab.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.chdir(tmp_path)
    name = "-c user.name=nobody -c user.email=nobody@example.org"
    committed = shell(f"git init -q && git add -A && git {name} commit -qm all", origin)
    assert committed.code == 0, committed.err
    return tmp_path


def shell(command: str, folder: Path) -> Outcome:
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
    return Outcome(done.returncode, done.stdout, done.stderr)


def run(command: str, capture: pytest.CaptureFixture[str]) -> None:
    """Run a command of a page, a script inside this process; it must end well and leave what it says it writes."""
    filled = recipe_of(command)(command)
    assert "…" not in filled, f"{filled}: say in RECIPES what stands for the …"
    words = shlex.split(filled)
    if words[0] == "python" and words[1].startswith("scripts/"):
        outcome = run_script(words[1].removeprefix("scripts/").removesuffix(".py"), tuple(words[2:]), capture)
    else:
        outcome = shell(filled, Path.cwd())
    assert outcome.code == 0, f"{filled}\n{outcome.out}{outcome.err}"
    for flag, value in pairwise(words):
        assert flag not in WRITES or "--help" in words or Path(value).exists(), f"{filled} left no {value}"


def write_files(folder: Path) -> None:
    """What the pages' commands read: motion of both sides, tokens."""
    write_motion_files(folder)
    shutil.copy(folder / "bvh" / "dance.bvh", folder)
    for seed, name in enumerate(("walk", "run")):
        save_motion(robot_clip(120, seed, fps=50.0), folder / f"{name}.npy", "motionvqvae")
    (folder / "codes.txt").write_text("1\n2\n3\n4\n")
    for kind in ("ema", "rvq"):
        (folder / f"resnet_{kind}.yaml").write_text(
            f"{{label: {kind}, batch_size: 16, pairs: 4, model: {{network: {{latent_dim: 8, width: 16, depth: 1}}, "
            f"quantizer: {{kind: {kind}, levels: 1, codebook_size: 8, kmeans_iters: 2}}}}}}\n"
        )


def test_the_readme_does_what_it_says(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = read_document(README)
    clone, *commands = document.commands
    run(clone, capsys)
    monkeypatch.chdir(home / "g1_vq_retarget")
    write_files(Path.cwd())
    for command in commands:
        run(command, capsys)
    before = robot_of(Path("dance.npz"))
    Path("dance.npz").unlink()
    for snippet in document.snippets:
        exec(compile(snippet, "README.md", "exec"), {})
    after = robot_of(Path("dance.npz"))
    np.testing.assert_allclose(after.joint_pos, before.joint_pos, atol=1e-6)


def robot_of(path: Path) -> RobotClip:
    clip = load_motion(path)
    assert isinstance(clip, RobotClip)
    return clip


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if read_document(page).commands], ids=lambda page: page.name)
def test_a_page_does_what_it_says(
    page: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home / "g1_vq_retarget.git")
    write_files(Path.cwd())
    data_folder(Path("data/lafan1"))
    document = read_document(page)
    for command in document.commands:
        run(command, capsys)
    for snippet in document.snippets:
        exec(compile(snippet, page.name, "exec"), {})


@pytest.mark.slow
def test_make_demo_leaves_what_the_readme_promises(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = tmp_path / "small.yaml"
    text = (ROOT / "config" / "vq" / "demo.yaml").read_text(encoding="utf-8")
    preset.write_text(text.replace("epochs: 20", "epochs: 1").replace("depth: 3", "depth: 1"), encoding="utf-8")
    (recipe,) = (line for line in shell("make --dry-run demo", ROOT).out.splitlines() if "scripts/demo.py" in line)
    assert recipe.endswith("python scripts/demo.py")
    outcome = run_script("demo", ("--out", tmp_path / "demo", "--config", preset), capsys)
    assert outcome.code == 0, outcome.err
    left = {path.name for path in (tmp_path / "demo").iterdir()}
    assert left >= {"run", "metrics.json", "figures.png", "joints.png", "retargeted.npz", "retargeted.csv"}
