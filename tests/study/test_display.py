from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from g1_vq_retarget.study.display import Display, Row, duration, line_of
from g1_vq_retarget.study.log import StudyLog

LOG = StudyLog(
    experiment="resnet_ema",
    label="ResNet+EMA",
    quantizer="ema",
    preset="config/vq/resnet_ema.yaml",
    seed=42,
    protocol="heldout",
    data="data/lafan1",
    budget={"epochs": 24},
    bits_per_second=125.0,
    codebook_sizes=[1024],
    checkpoint="checkpoints/ResNet+EMA_ema_seed_42",
)
RUNNING = replace(LOG, epochs=[{"epoch": 1, "val": {"recon": 0.25, "cross": 0.5}}])
FINISHED = replace(RUNNING, seed=999, complete=True, final={"test": {"recon": 0.125}})


def rows() -> list[Row]:
    return [
        Row(RUNNING, "running", speed=2.5, left=600.0),
        Row(FINISHED, "finished"),
        Row(replace(LOG, seed=7), "failed", "no luck"),
        Row(replace(LOG, experiment="resnet_fsq")),
    ]


def test_a_line_tells_where_a_run_is() -> None:
    running, finished, failed, _ = rows()
    assert line_of(running) == (
        "resnet_ema seed 42, bits/s 125, epoch 1/24, recon 0.2500, cross 0.5000, steps/s 2.5, left 10 min: running"
    )
    assert line_of(finished) == "resnet_ema seed 999, bits/s 125, epoch 1/24, recon 0.1250: finished"
    assert line_of(failed) == "resnet_ema seed 7, bits/s 125, epoch 0/24: failed: no luck"
    assert "epoch 1, " in line_of(Row(replace(RUNNING, budget={"minutes": 3.0})))


def test_elsewhere_than_on_a_terminal_only_changes_are_told() -> None:
    said, shown = io.StringIO(), rows()
    with Display(shown, "title", Console(file=said)) as display:
        display.update()
        assert said.getvalue().splitlines() == [line_of(row) for row in shown[:3]]
        shown[0].left = 500.0
        display.update()
        assert len(said.getvalue().splitlines()) == 3
        shown[0].log = replace(RUNNING, epochs=RUNNING.epochs * 2)
        display.update()
        assert said.getvalue().splitlines()[3:] == [line_of(shown[0])]


def test_a_terminal_shows_what_runs_and_counts_the_rest() -> None:
    said = io.StringIO()
    with Display(rows(), "title", Console(file=said, force_terminal=True, width=100)) as display:
        display.update()
        assert "1 finished, 1 waiting, 1 failed" in said.getvalue()
        assert "no luck" in said.getvalue()
        assert "10 min" in said.getvalue()
        assert "resnet_fsq" not in said.getvalue()
        assert "999" not in said.getvalue()


def test_at_the_end_all_stand_there_the_seeds_of_a_variant_together() -> None:
    said = io.StringIO()
    first, second, third, other = rows()
    Display([first, other, second, third], "title", Console(file=said)).end()
    table = [line.split()[:2] for line in said.getvalue().splitlines() if "resnet" in line]
    assert table == [["resnet_ema", "42"], ["resnet_ema", "999"], ["resnet_ema", "7"], ["resnet_fsq", "42"]]


@pytest.mark.parametrize(
    ("seconds", "told"), [(45.4, "45 s"), (89.0, "89 s"), (90.1, "2 min"), (3600.0, "60 min"), (11100.0, "3 h 05 min")]
)
def test_durations_are_told_in_two_units_at_most(seconds: float, told: str) -> None:
    assert duration(seconds) == told
