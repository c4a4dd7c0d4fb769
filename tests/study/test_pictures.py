from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.study.experiments import ORDER, by_protocol
from g1_vq_retarget.study.measures import LOSS_TERMS, MEASURES
from g1_vq_retarget.study.pictures import draw_study
from g1_vq_retarget.study.plots import plot_losses, plot_measure
from g1_vq_retarget.study.radar import plot_radar, radius, shares
from g1_vq_retarget.study.rate_plot import plot_rates, read_classical
from g1_vq_retarget.study.style import looks, numbered_look
from study_logs import study_log

LOGS = [
    study_log(name, seed, label=label, rate=rate, recon=share * recon)
    for name, label, rate, recon in (("resnet_ema", "EMA", 125.0, 0.4), ("resnet_rvq", "RVQ", 1000.0, 0.1))
    for seed, share in ((42, 0.75), (999, 1.25))
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would have been saved."""
    figures: list[Figure] = []

    def save(figure: Figure, path: Path, **_: object) -> None:
        figures.append(figure)
        path.write_bytes(b"picture")

    monkeypatch.setattr(Figure, "savefig", save)
    return figures


def lines(figure: Figure) -> dict[str, np.ndarray]:
    """Label -> (2, N) of the lines that the legend names."""
    return {
        str(line.get_label()): np.array(line.get_data())
        for axes in figure.axes
        for line in axes.lines
        if not str(line.get_label()).startswith("_")
    }


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))  # type: ignore[attr-defined]


def test_a_curve_is_the_mean_over_seeds_and_says_label_rate_and_seeds(tmp_path: Path, drawn: list[Figure]) -> None:
    ((ema, rvq),) = by_protocol(LOGS).values()
    files = plot_measure(tmp_path / "compare_recon", [ema, rvq], MEASURES["recon"])
    assert [path.name for path in files] == ["compare_recon.png", "compare_recon.pdf"]
    shown = lines(drawn[0])
    assert list(shown) == ["EMA, 125 bits/s, 2 seeds", "RVQ, 1000 bits/s, 2 seeds"]
    np.testing.assert_allclose(shown["EMA, 125 bits/s, 2 seeds"], [[10, 20, 30], [1.2, 0.8, 0.4]])
    band = np.asarray(drawn[0].axes[0].collections[0].get_paths()[0].vertices, dtype=float)
    deviation = 0.1 * 2**0.5  # of 0.3 and 0.5, at the last step
    assert {y for x, y in np.round(band, 6) if x == 30} == {round(0.4 + sign * deviation, 6) for sign in (-1, 1)}
    assert drawn[0].axes[0].get_yscale() == "log"
    assert "val split (clips not trained on)" in texts(drawn[0])


def test_the_truths_jerk_is_on_the_axis_however_far_the_variants_are_from_it(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    (experiments,) = by_protocol([study_log(jerk_ratio=40.0)]).values()
    plot_measure(tmp_path / "compare_jerk", experiments, MEASURES["jerk"])
    low, high = drawn[0].axes[0].get_ylim()
    assert low < 1 < 40 < high


def test_a_figure_that_no_epoch_tells_is_not_drawn(tmp_path: Path) -> None:
    ((experiment,),) = by_protocol([study_log(cross=None)]).values()
    assert plot_measure(tmp_path / "compare_cross", [experiment], MEASURES["cross"]) == []
    assert not list(tmp_path.iterdir())


def test_every_variant_has_a_panel_of_five_losses(tmp_path: Path, drawn: list[Figure]) -> None:
    (experiments,) = by_protocol(LOGS).values()
    plot_losses(tmp_path / "loss_breakdown", experiments)
    assert len(drawn[0].axes) == 2
    for axes in drawn[0].axes:
        assert [line.get_label() for line in axes.lines] == list(LOSS_TERMS)
        assert axes.lines[0].get_ydata() == pytest.approx([0.1, 0.05, 0.1 / 3])


def test_looks_differ_in_each_of_colour_line_and_marker_and_stay_with_a_variant() -> None:
    (experiments,) = by_protocol([study_log(name) for name in ORDER]).values()
    known = looks(experiments)
    for part in ("color", "linestyle", "marker"):
        assert len({str(getattr(look, part)) for look in known.values()}) == len(ORDER)
    (twins,) = by_protocol([study_log("equal_rate-resnet_fsq", protocol="equal-rate")]).values()
    assert looks(twins)["equal_rate-resnet_fsq"] == known["resnet_fsq"]
    assert len({str(numbered_look(number)) for number in range(56)}) == 56
    (others,) = by_protocol([study_log("b"), study_log("a")]).values()
    assert len({str(look) for look in looks(others).values()} - {str(look) for look in known.values()}) == 2


def test_outward_is_better_and_the_best_is_on_the_rim() -> None:
    assert shares({"a": 0.1, "b": 0.4}, MEASURES["recon"]) == pytest.approx({"a": 1, "b": 0.25})
    assert shares({"a": 100, "b": 400}, MEASURES["ppl"]) == pytest.approx({"a": 0.25, "b": 1})
    # half the truth's jerk is as far from it as twice
    assert shares({"a": 0.5, "b": 2.0, "c": 1.0}, MEASURES["jerk"]) == pytest.approx({"a": 0.5, "b": 0.5, "c": 1})
    assert shares({"a": 0.0, "b": 1.0}, MEASURES["vel"]) == {"a": 1, "b": 0}
    assert [radius(share, 2) for share in (1, 0.1, 0.01, 0.001, 0)] == pytest.approx([1, 0.5, 0, 0, 0])


@pytest.mark.parametrize("log", [False, True])
def test_a_radar_has_a_closed_polygon_a_variant_and_says_its_scale(
    tmp_path: Path, drawn: list[Figure], log: bool
) -> None:
    (experiments,) = by_protocol([*LOGS, study_log("resnet_fsq", cross=None)]).values()
    plot_radar(tmp_path / "final_radar_chart", experiments, log)
    shown = lines(drawn[0])
    assert list(shown) == ["EMA, 125 bits/s, 2 seeds", "RVQ, 1000 bits/s, 2 seeds"]
    radii = shown["EMA, 125 bits/s, 2 seeds"][1]
    quarter, jerk = (1 + np.log10(0.25), 1 + np.log10(0.8)) if log else (0.25, 0.8)
    np.testing.assert_allclose(radii, [quarter, 1, 1, 1, jerk, 1, quarter])
    assert "Outward is better" in texts(drawn[0])
    assert ("logarithmic from 0.1" if log else "from 0 (centre)") in texts(drawn[0])


def test_errors_stand_at_nominal_and_measured_rates(tmp_path: Path, drawn: list[Figure]) -> None:
    (experiments,) = by_protocol(LOGS).values()
    plot_rates(tmp_path / "rate_distortion", experiments, None)
    points = {tuple(np.ravel(line.get_data())) for line in drawn[0].axes[0].lines if len(line.get_xdata()) == 1}  # type: ignore[arg-type]
    assert {(125.0, 0.4), (1000.0, 0.1), (420.0, 0.4), (420.0, 0.1)} <= points


CURVES = {
    "data": "data/lafan1", "protocol": "heldout", "split": "test", "root": True, "kept": {"4": 0.01}, "models": {},
    **{name: [[100.0, 0.5], [1000.0, 0.05]] for name in ("gaussian", "variable", "fixed")},
}  # fmt: skip


def test_each_protocol_has_its_pictures_and_classical_curves_are_where_they_belong(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    path = tmp_path / "rd.json"
    path.write_text(json.dumps(CURVES))
    classical = read_classical(path)
    logs = [study_log(protocol=protocol) for protocol in ("seed", "heldout", "equal-rate")]
    failed = study_log("resnet_fsq", 7, complete=False)
    written, missing = draw_study([*logs, failed], tmp_path / "plots", classical=classical)
    assert missing == ["resnet_fsq seed 7 (heldout): not finished, not in the final figures"]
    names = {f"compare_{name}" for name in MEASURES} | {"loss_breakdown", "rate_distortion"}
    names |= {"final_radar_chart", "final_radar_chart_log"}
    assert {path.relative_to(tmp_path / "plots").as_posix() for path in written} == {
        f"{log.protocol}/{name}{suffix}" for log in logs for name in names for suffix in (".png", ".pdf")
    }
    figures = dict(zip([path.relative_to(tmp_path / "plots").as_posix() for path in written], drawn, strict=True))
    beneath = {name.split("/")[0]: "transform coder, fixed rate a window" in lines(figure)
               for name, figure in figures.items() if name.endswith("rate_distortion.png")}  # fmt: skip
    assert beneath == {"seed": False, "heldout": True, "equal-rate": True}
    with pytest.raises(UserError, match="protocol heldout"):
        draw_study(logs[:1], tmp_path / "plots", classical=classical)


def test_what_is_no_file_of_curves_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rd.json"
    for text, word in (("{", "JSON"), ("[]", "JSON"), (json.dumps(CURVES | {"fixed": [1.0]}), "JSON"),
                       (json.dumps({"gaussian": []}), "variable")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(UserError, match=word):
            read_classical(path)
