from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.study.log import StudyLog
from g1_vq_retarget.study.plan import Study, plan
from g1_vq_retarget.study.run import read_pulse, train_run
from g1_vq_retarget.training import loop
from g1_vq_retarget.training.checkpoint import load_checkpoint
from g1_vq_retarget.training.metrics import evaluate

MakeStudy = Callable[..., Study]


def trained(study: Study) -> StudyLog:
    (run,) = plan(study)
    train_run(run)
    return run.logged()


def test_a_finished_log_has_every_epoch_and_the_final_figures(study: MakeStudy, heldout: Path) -> None:
    log = trained(study())
    assert log.complete
    folder = Path(log.checkpoint)
    assert log.epochs == json.loads((folder / "log.json").read_text())
    assert [line["epoch"] for line in log.epochs] == [1, 2]
    assert log.seconds == log.epochs[-1]["seconds"]
    for line in log.epochs:
        assert line["train"].keys() >= {"recon", "vq", "vel", "cross", "align", "total"}
        assert line["val"].keys() >= {"recon", "vel", "jerk", "commitment", "perplexity", "dead_code_ratio"}
    checkpoint, split = load_checkpoint(folder), DataFolder(heldout).split("test")
    expected = evaluate(checkpoint.model, split, checkpoint.spec, checkpoint.spec.robot_model())
    assert log.final.keys() == {"test"}
    assert log.final["test"]["recon"] == pytest.approx(expected.metrics["recon"])
    assert log.final["test"]["cross"] == pytest.approx(expected.metrics["cross"])
    assert log.bits_per_second == checkpoint.info["bits_per_second"]
    assert log.codebook_sizes == checkpoint.info["codebook_sizes"]
    assert read_pulse(folder) is None


def test_a_finished_run_does_not_stand_beside_those_of_a_changed_preset(
    study: MakeStudy, preset: Callable[..., str]
) -> None:
    trained(study())
    asked = study(seeds=[1, 2])
    preset("one", more="optimizer: {lr: 0.004}\n")
    with pytest.raises(UserError, match=r"config\.yaml: optimizer differ from what the run began with"):
        plan(asked)


def test_under_protocol_seed_the_figures_are_of_all_that_was_trained_on(
    study: MakeStudy, everything: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAMPLE_WINDOWS", 7)
    log = trained(study(protocol="seed", data=everything))
    assert [line["val"]["windows"] for line in log.epochs] == [7, 7]
    assert log.final.keys() == {"train"}
    assert log.final["train"]["windows"] == len(DataFolder(everything).split("train")) > 7
    assert "root_mse" not in log.final["train"]


def test_an_interrupted_run_loses_no_whole_epoch_and_ends_as_if_left_alone(
    study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, calls = loop.losses, iter(range(100))

    def interrupted(*args: Any) -> dict:
        if next(calls) == 4:  # in the second epoch of three steps
            raise KeyboardInterrupt
        return losses(*args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "losses", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(study())
    (run,) = plan(study())
    assert run.config.resume
    begun = run.logged()
    assert not begun.complete
    assert [line["epoch"] for line in begun.epochs] == [1]
    assert read_pulse(run.folder) is not None
    parts = trained(study())
    whole_study = study()
    whole_study.results, whole_study.checkpoints = tmp_path / "whole", tmp_path / "alone"
    whole = trained(whole_study)
    assert parts.complete
    assert parts.final == whole.final
    for one, other in zip(parts.epochs, whole.epochs, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}
