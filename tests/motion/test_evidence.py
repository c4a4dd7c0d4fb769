import math

import pytest

from g1_vq_retarget.motion import MotionError
from g1_vq_retarget.motion.formats.evidence import Finding, settle


def settled(residuals: dict[str, float]) -> Finding:
    return settle("joint order", residuals, fits=0.01, margin=2, measure="link, m", flag="--joint-order a|b")


def test_the_only_candidate_that_fits_is_the_answer() -> None:
    finding = settled({"a": 0.5, "b": 0.004})
    assert finding.answer == "b"
    assert str(finding) == "joint order: b, settled by evidence (link, m: a 0.5; b 0.004)"


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
