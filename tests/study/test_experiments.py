from __future__ import annotations

from dataclasses import replace

import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.study.experiments import by_protocol
from g1_vq_retarget.study.measures import BODIES, MEASURES
from study_logs import study_log

RECON = MEASURES["recon"]


def test_finals_are_mean_and_sample_deviation_over_finished_seeds() -> None:
    logs = [study_log(seed=seed, recon=recon) for seed, recon in ((42, 1.0), (999, 2.0), (1024, 6.0))]
    ((experiment,),) = by_protocol([*logs, study_log(seed=7, complete=False, recon=100.0)]).values()
    assert experiment.final(RECON) == (3.0, pytest.approx(7**0.5))  # (4 + 1 + 9) / 2
    ((alone,),) = by_protocol(logs[:1]).values()
    assert alone.final(RECON) == (1.0, None)


def test_a_figure_that_a_seed_lacks_has_no_mean() -> None:
    ((experiment,),) = by_protocol([study_log(seed=1), study_log(seed=2, body_error_mm=None)]).values()
    assert experiment.final(BODIES) is None
    assert experiment.final(RECON) is not None


def test_a_curve_ends_where_its_first_seed_ends() -> None:
    # recon of a run of E epochs: E, E - 1, ... 1 times the final one
    logs = [study_log(seed=1, epochs=2, recon=1.0), study_log(seed=2, epochs=3, recon=2.0)]
    ((experiment,),) = by_protocol(logs).values()
    curve = experiment.curve(RECON)
    assert curve is not None
    assert curve.steps.tolist() == [10, 20]
    assert curve.mean.tolist() == [(2 + 6) / 2, (1 + 4) / 2]
    assert curve.std == pytest.approx([4 / 2**0.5, 3 / 2**0.5])


def test_unfinished_runs_are_drawn_only_while_none_is_finished() -> None:
    finished, begun, empty = (
        study_log(seed=1),
        study_log(seed=2, epochs=1, complete=False),
        study_log(seed=3, epochs=0, complete=False),
    )
    ((experiment,),) = by_protocol([finished, begun, empty]).values()
    assert experiment.drawn == (finished,)
    ((experiment,),) = by_protocol([begun, empty]).values()
    assert experiment.drawn == (begun,)
    curve = experiment.curve(RECON)
    assert curve is not None
    assert curve.steps.tolist() == [10]
    ((experiment,),) = by_protocol([empty]).values()
    assert experiment.curve(RECON) is None


def test_protocols_are_kept_apart_and_experiments_are_in_the_originals_order() -> None:
    names = ("resnet_hybrid", "mine", "simple_ema", "resnet_fsq")
    logs = [study_log(name, protocol="heldout") for name in names]
    logs += [study_log("simple_ema", protocol="seed")]
    logs += [study_log(f"equal_rate-{name}", protocol="equal-rate") for name in ("resnet_rvq", "simple_ema")]
    groups = by_protocol(logs)
    assert {protocol: [own.name for own in group] for protocol, group in groups.items()} == {
        "seed": ["simple_ema"],
        "heldout": ["simple_ema", "resnet_fsq", "resnet_hybrid", "mine"],
        "equal-rate": ["equal_rate-simple_ema", "equal_rate-resnet_rvq"],
    }
    for protocol, group in groups.items():
        assert {log.protocol for own in group for log in own.begun} == {protocol}
    assert list(by_protocol(logs, ["mine"])) == ["heldout"]


def test_the_rate_is_told_once() -> None:
    ((experiment,),) = by_protocol([study_log(label="FSQ, 500 bits/s", rate=500.0)]).values()
    assert experiment.label == "FSQ"


@pytest.mark.parametrize(
    ("other", "key"),
    [
        (replace(study_log("resnet_fsq"), data="data/other"), "data"),
        (replace(study_log("resnet_fsq"), budget={"minutes": 10.0}), "budget"),
        (replace(study_log("resnet_fsq"), precision="bf16-mixed"), "precision"),
        (study_log(seed=999, rate=125.0), "bits_per_second"),
        (study_log(seed=999, label="another"), "label"),
    ],
)
def test_what_cannot_be_compared_is_refused(other: object, key: str) -> None:
    with pytest.raises(UserError, match=f"differ in {key}"):
        by_protocol([study_log(), other])  # type: ignore[list-item]


def test_measures() -> None:
    assert MEASURES["ppl"].of({"perplexity": [100.0, 300.0]}) == 200
    assert MEASURES["dcr"].of({"dead_code_ratio": [0.1, 0.3]}) == pytest.approx(20)
    assert MEASURES["jerk"].of({"jerk_ratio": float("nan")}) is None
    assert RECON.of({}) is None
    jerk, ppl = MEASURES["jerk"], MEASURES["ppl"]
    assert jerk.badness(0.5) == pytest.approx(jerk.badness(2.0))
    assert jerk.badness(0.5) > jerk.badness(1.1)
    assert ppl.badness(100) > ppl.badness(200)
    # more decimals only where four would say nothing
    assert [RECON.shown(value) for value in (0.0183, 0.00042, 0.000023, 0.0)] == [
        "0.0183", "0.0004", "0.00002", "0.0000",
    ]  # fmt: skip
    assert RECON.shown(0.000001, beside=0.02) == "0.0000"
