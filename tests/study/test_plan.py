from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log2
from pathlib import Path
from typing import Any

import pytest

from g1_vq_retarget.configuration import preset_folder, read_preset
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.study.log import write_log
from g1_vq_retarget.study.plan import VARIANTS, Study, plan
from g1_vq_retarget.training.config import TrainConfig

MakeStudy = Callable[..., Study]


def test_all_variants_come_with_the_first_seed_first(study: MakeStudy, tmp_path: Path) -> None:
    runs = plan(study(variants=["simple_ema", "resnet_hybrid"], seeds=[42, 999], epochs=3))
    assert [run.folder.relative_to(tmp_path / "checkpoints").name for run in runs] == [
        "Baseline(Simple)_ema_seed_42",
        "Ours(Dual-Enc+Hybrid)_hybrid_seed_42",  # the original's names
        "Baseline(Simple)_ema_seed_999",
        "Ours(Dual-Enc+Hybrid)_hybrid_seed_999",
    ]
    log = runs[3].log
    assert (log.experiment, log.preset, log.seed) == ("resnet_hybrid", "config/vq/resnet_hybrid.yaml", 999)
    assert log.budget == {"epochs": 3}
    # whatever the presets say
    assert {run.config.epochs for run in runs} == {3}
    assert not tmp_path.joinpath("checkpoints").exists()


def test_every_run_has_the_same_budget(study: MakeStudy) -> None:
    for run in plan(study(variants=["simple_ema", "resnet_hybrid"], epochs=None, minutes=2.5)):
        assert (run.config.minutes, run.log.budget) == (2.5, {"minutes": 2.5})
    for run in plan(study(variants=["simple_ema", "resnet_hybrid"], precision="bf16-mixed")):
        assert run.config.precision == run.log.precision == "bf16-mixed"
    for run in plan(study(variants=["simple_ema", "resnet_hybrid"], epochs=None)):
        assert (run.config.epochs, run.config.minutes, run.log.budget) == (24, None, {"epochs": 24})


def test_heldout_takes_the_presets_as_they_are(study: MakeStudy) -> None:
    (run,) = plan(study(variants=["resnet_hybrid"]))
    preset = read_preset(TrainConfig, preset_folder() / "vq" / "resnet_hybrid.yaml")
    assert (run.config.model, run.config.loss, run.config.mirror) == (preset.model, preset.loss, preset.mirror)


def test_protocol_seed_is_the_original_for_every_variant(study: MakeStudy, everything: Path) -> None:
    runs = plan(study(variants=list(VARIANTS), protocol="seed", data=everything))
    assert [run.log.experiment for run in runs] == list(VARIANTS)
    for run in runs:
        config, network = run.config, run.config.model.network
        assert (config.model.root, network.latent_dim, network.downsample) == (False, 64, 4)
        assert (config.loss.align, config.loss.align_moves_robot, config.mirror) == (100.0, True, False)
    assert [run.config.model.network.kind for run in runs] == ["simple", *["resnet"] * 5]
    assert [run.log.quantizer for run in runs] == ["ema", "ema", "rvq", "fsq", "lfq", "hybrid"]
    # bits of a step, 12.5 of which a second has
    bits = [10, 10, 8 * 10, log2(8 * 8 * 6 * 5), 10, 2 * 12 + 4 * 10]
    assert [run.log.bits_per_second for run in runs] == pytest.approx([12.5 * step for step in bits])
    original = read_preset(TrainConfig, preset_folder() / "vq" / "seed_hybrid.yaml")
    assert (runs[5].config.model, runs[5].config.loss) == (original.model, original.loss)


def test_protocol_seed_takes_the_hybrid_by_its_file_as_by_its_name(study: MakeStudy, everything: Path) -> None:
    file = str(preset_folder() / "vq" / "resnet_hybrid.yaml")
    named, told = (plan(study(variants=[one], protocol="seed", data=everything)) for one in ("resnet_hybrid", file))
    assert told == named


def test_the_twins_are_of_one_rate(study: MakeStudy) -> None:
    runs = plan(study(variants=list(VARIANTS), protocol="equal-rate"))
    assert [run.log.bits_per_second for run in runs] == pytest.approx([500.0] * 6)
    assert runs[1].log.experiment == "equal_rate-resnet_ema"
    assert runs[1].log.preset == "config/vq/equal_rate/resnet_ema.yaml"
    assert runs[1].folder.name == "ResNet+EMA-500-bits-s_ema_seed_1"  # a slash would be a folder


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"protocol": "seed"}, "is of protocol heldout, --protocol seed needs one of protocol seed"),
        ({"variants": ["resnet"]}, "--variants resnet: expected a YAML file or one of .*resnet_ema"),
        ({"variants": ["gone.yaml"]}, r"gone\.yaml: no such file"),
        ({"variants": []}, "--variants: expected one or more"),
        ({"seeds": [1, 1]}, r"--seeds: expected one or more, each once, not \[1, 1\]"),
        ({"minutes": 1.0}, "--epochs and --minutes"),
        ({"epochs": 0}, "--epochs must be at least 1"),
        ({"epochs": None, "minutes": 0.0}, "--minutes must be a positive number"),
        ({"workers": 0}, "--workers must be at least 1"),
        ({"seeds": [-1]}, "--seed must not be negative"),
        ({"data": Path("gone")}, r"gone: no manifest\.json"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    changes: dict[str, Any], told: str, study: MakeStudy, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        plan(study(**changes))
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "results").exists()


def test_data_of_the_seed_protocol_has_no_held_out_figures(study: MakeStudy, everything: Path) -> None:
    with pytest.raises(UserError, match="is of protocol seed, --protocol equal-rate needs one of protocol heldout"):
        plan(study(protocol="equal-rate", data=everything))


def test_rates_that_are_not_equal_are_refused(study: MakeStudy, preset: Callable[..., str]) -> None:
    # 2 x 3 bits every 4 frames of 50 a second
    with pytest.raises(UserError, match=r"not equal \(bits/s: equal_rate-resnet_ema 500, equal_rate-one 75\)"):
        plan(study(variants=["resnet_ema", preset("one")], protocol="equal-rate"))


def test_two_presets_of_one_label_are_refused(study: MakeStudy, preset: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "copy.yaml").write_text(Path(preset("one")).read_text())
    with pytest.raises(UserError, match=r"two of them would train in .*one_rvq_seed_1"):
        plan(study(variants=[preset("one"), str(tmp_path / "copy.yaml")]))


def test_a_begun_study_keeps_its_settings(study: MakeStudy) -> None:
    (run,) = plan(study())
    for complete in (False, True):
        write_log(run.results, replace(run.log, complete=complete))
        assert plan(study()) == [run]
        told = r"log_one_seed_1\.json: the study there began with another budget \(.*2.*3.*--results and --checkpoints"
        with pytest.raises(UserError, match=told):
            plan(study(epochs=3))
        with pytest.raises(UserError, match="began with another precision"):
            plan(study(precision="bf16-mixed"))
    write_log(run.results, replace(run.log, data="data/other", complete=True))
    with pytest.raises(UserError, match="began with another data"):
        plan(study())
