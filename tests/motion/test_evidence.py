import math

import pytest

from g1_vq_retarget.motion import MotionError
from g1_vq_retarget.motion.formats.evidence import Finding, Measure, agree, settle


def settled(residuals: dict[str, float]) -> Finding:
    return settle("joint order", residuals, fits=0.01, margin=2, measure="link, m", flag="--joint-order a|b")


def test_the_only_candidate_that_fits_is_the_answer() -> None:
    finding = settled({"a": 0.5, "b": 0.004})
    assert finding.answer == "b"
    assert str(finding) == "joint order: b, settled by evidence (link, m: a 0.5, b 0.004)"


def test_a_second_candidate_counts_as_a_tie_until_it_is_the_margin_worse_than_what_fits() -> None:
    settled({"a": 0.006, "b": 0.013})
    with pytest.raises(MotionError, match="a and b fit alike"):
        settled({"a": 0.006, "b": 0.011})
    # both far below what fits: the data cannot tell them apart
    with pytest.raises(MotionError, match="a and b fit alike"):
        settled({"a": 1e-9, "b": 1e-5})


@pytest.mark.parametrize("residual", [0.011, math.inf, math.nan])
def test_where_nothing_fits_all_residuals_and_the_flag_are_told(residual: float) -> None:
    with pytest.raises(MotionError, match=r"nothing fits.*a .*b 0\.5.*--joint-order a\|b"):
        settled({"a": residual, "b": 0.5})


def measured(name: str, decides: bool = True, **residuals: float) -> Measure:
    return Measure(name, residuals, fits=1.0, margin=2.0, noise=0.01, decides=decides)


def agreed(*measures: Measure) -> str:
    return agree("order", measures, flag="--order a|b").answer


def test_what_one_measure_tells_another_may_leave_open_but_not_contradict() -> None:
    tells_a, open_, tells_b = measured("x", a=0.1, b=0.3), measured("y", a=0.1, b=0.11), measured("z", a=0.3, b=0.1)
    assert agreed(tells_a, open_) == agreed(open_, tells_a) == "a"
    assert agreed(tells_a, measured("y", a=7.0, b=6.0)) == "a"  # where nothing fits, nothing is told
    with pytest.raises(MotionError, match=r"contradicts itself \(x: a 0\.1, b 0\.3; z: a 0\.3, b 0\.1\).*--order"):
        agreed(tells_a, tells_b)


def test_a_measure_that_does_not_decide_only_contradicts() -> None:
    against = measured("z", decides=False, a=0.3, b=0.1)
    with pytest.raises(MotionError, match="contradicts itself"):
        agreed(measured("x", a=0.1, b=0.3), against)
    with pytest.raises(MotionError, match="a and b fit alike"):
        agreed(measured("x", a=0.1, b=0.11), against)


def test_below_the_noise_nothing_differs() -> None:
    with pytest.raises(MotionError, match="fit alike"):
        agreed(measured("x", a=1e-9, b=0.015))
    assert agreed(measured("x", a=1e-9, b=0.02)) == "a"
