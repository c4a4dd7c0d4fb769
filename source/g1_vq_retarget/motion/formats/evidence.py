"""What a motion file leaves open, and what settled it.

A format's schema alone tells neither joint order nor quaternion order, velocity point or rate. They are settled by
what the file or the caller tells, or by physics: of several ways to read a file, one is consistent with the rest of
what it holds and the others are not. Where two ways fit, or none, the file is refused, and never read on a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from g1_vq_retarget.motion.clip import MotionError


@dataclass(frozen=True)
class Finding:
    """One thing that a file's schema left open.

    Attributes:
        question: what was open, such as "joint order".
        answer: the reading chosen, such as "isaac".
        how: "file": names or numbers in the file tell it; "caller": an argument or a flag does; "evidence": it alone
            fits; "convention": the format's own, and nothing in the file speaks against it.
        residuals: misfit of each candidate where candidates were weighed, the chosen one's included.
        measure: what the residuals are, with their unit, such as "farthest link under forward kinematics, m".
    """

    question: str
    answer: str
    how: Literal["file", "caller", "evidence", "convention"]
    residuals: Mapping[str, float] = field(default_factory=dict)
    measure: str = ""

    def __str__(self) -> str:
        weighed = "; ".join(f"{candidate} {residual:.3g}" for candidate, residual in self.residuals.items())
        why = {
            "file": "told by the file",
            "caller": "told by the caller",
            "evidence": f"settled by evidence ({self.measure}: {weighed})",
            "convention": "the format's convention" + (f" ({self.measure}: {weighed})" if weighed else ""),
        }
        return f"{self.question}: {self.answer}, {why[self.how]}"


def settle(
    question: str, residuals: Mapping[str, float], *, fits: float, margin: float, measure: str, flag: str
) -> Finding:
    """The one candidate that fits.

    Args:
        question: what is open.
        residuals: candidate -> misfit, at least one.
        fits: a candidate with a larger misfit is wrong.
        margin: the second best must be so many times worse than the best, and than `fits` / `margin`; else it is a tie.
        measure: what the residuals are, with their unit.
        flag: how a user settles it, such as "--joint-order isaac|mujoco".

    Raises:
        MotionError: none fits, or more than one does. Tells all residuals and the flag.
    """
    ranked = sorted(residuals.items(), key=lambda item: item[1])
    best, misfit = ranked[0]
    ties = [other for other, residual in ranked[1:] if residual < margin * max(misfit, fits / margin)]
    # not `misfit > fits`, which a NaN would pass
    if not misfit <= fits or ties:
        told = ", ".join(f"{candidate} {residual:.3g}" for candidate, residual in residuals.items())
        verdict = f"{' and '.join([best, *ties])} fit alike" if misfit <= fits else "nothing fits"
        raise MotionError(f"{question} cannot be told, {verdict} ({measure}: {told}): say it with {flag}")
    return Finding(question, best, "evidence", dict(residuals), measure)
