from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.study.log import StudyLog, log_path, read_logs, write_log

LOG = StudyLog(
    experiment="resnet_ema",
    label="ResNet+EMA",
    quantizer="ema",
    preset="config/vq/resnet_ema.yaml",
    seed=42,
    protocol="heldout",
    data="data/lafan1",
    budget={"minutes": 10.0},
    bits_per_second=125.0,
    codebook_sizes=[1024],
    checkpoint="checkpoints/ResNet+EMA_ema_seed_42",
    seconds=3.5,
    epochs=[{"epoch": 1, "train": {"recon": 0.5}, "val": {"perplexity": [3.0]}}],
    final={"test": {"recon": 0.25}},
)


def test_logs_come_back_as_they_were_written(tmp_path: Path) -> None:
    other = replace(LOG, seed=999, complete=True)
    write_log(tmp_path / "results", other)
    write_log(tmp_path / "results", LOG)
    (tmp_path / "results" / "summary.json").write_text("{}")
    assert read_logs(tmp_path / "results") == [LOG, other]
    assert log_path(tmp_path, "resnet_ema", 1024).name == "log_resnet_ema_seed_1024.json"  # the original's name


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        ("{", "not JSON"),
        ("[]", "not a log"),
        ('{"experiment": "resnet_ema"}', "missing value"),
        ('{"loss": 3}', "unknown key loss"),
    ],
)
def test_what_is_no_log_is_refused_by_name(contents: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "log_resnet_ema_seed_42.json").write_text(contents)
    with pytest.raises(UserError, match=rf"log_resnet_ema_seed_42\.json: .*{told}"):
        read_logs(tmp_path)


def test_a_folder_without_logs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no log_<experiment>_seed_<n>\.json in it"):
        read_logs(tmp_path)
