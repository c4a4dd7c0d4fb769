from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from g1_vq_retarget.data.folder import DataFolder
from running import Script, World
from synthetic import save_started

NAME = "evaluation/analyze_latent_space"


def test_two_runs_are_measured_and_drawn(world: World, script: Script, tmp_path: Path) -> None:
    before = shutil.copytree(world.run, tmp_path / "before")
    config = before / "config.yaml"
    config.write_text(config.read_text().replace("\n  align: 1.0", "\n  align: 0.5"))
    out = tmp_path / "out"
    outcome = script(
        NAME, "--checkpoint", world.run, "--before", before, "--data", world.data, "--methods", "t-sne", "--out", out
    )
    assert outcome.code == 0, outcome.err
    assert {path.name for path in out.iterdir()} == {
        "latent_space.json", "latent_space.png", "latent_space.pdf", "before_after.png", "before_after.pdf"
    }  # fmt: skip
    report = json.loads((out / "latent_space.json").read_text())
    assert [entry["lambda_align"] for entry in report] == [0.5, 1.0]
    # the same weights, so the same figures
    assert report[0]["measures"] == report[1]["measures"]
    measures = report[0]["measures"]
    windows = measures["retrieval"]["windows"]
    assert f"only {windows} paired windows of test share no frame" in outcome.out
    assert f"| {measures['knn_mixing']:.3f} | {measures['knn_mixing']:.3f} |" in outcome.out
    assert 0 <= measures["retrieval"]["human_to_robot"]["top1"]["mean"] <= 1


@pytest.mark.slow
def test_both_maps_of_a_checkpoint_alone(world: World, script: Script, tmp_path: Path) -> None:
    checkpoint = save_started(tmp_path / "model.safetensors", DataFolder(world.data))
    outcome = script(NAME, "--checkpoint", checkpoint, "--data", world.data, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    (entry,) = json.loads((tmp_path / "out" / "latent_space.json").read_text())
    assert entry["lambda_align"] is None


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--split", "val"), "split 'val' has 0 windows with a human side"),
        (("--split", "dev"), "no split 'dev' in it"),
        (("--before", "nowhere"), "nowhere: no such file"),
        (("--out", "/dev/null/out"), "cannot be written"),
    ],
)
def test_what_cannot_be_analysed_is_refused(
    flags: tuple[str, ...], told: str, world: World, script: Script, tmp_path: Path
) -> None:
    outcome = script(
        NAME, "--checkpoint", world.run, "--data", world.data, "--methods", "t-sne", "--out", tmp_path / "out", *flags
    )
    assert outcome.code == 2
    assert told in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
