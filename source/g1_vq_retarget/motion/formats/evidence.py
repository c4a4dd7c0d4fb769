"""What a motion file leaves open, and what settled it.

A format's schema alone tells neither joint order nor quaternion order, velocity point or rate. They are settled by
what the file or the caller tells, or by physics: of several ways to read a file, one is consistent with the rest of
what it holds and the others are not. Where two ways fit, or none, the file is refused, and never read on a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        weighed = f" ({_told(self.measure, self.residuals)})" if self.residuals else ""
        why = {
            "file": "told by the file",
            "caller": "told by the caller",
            "evidence": "settled by evidence",
            "convention": "the format's convention",
        }
        return f"{self.question}: {self.answer}, {why[self.how]}{weighed}"


@dataclass(frozen=True)
class Measure:
    """One kind of evidence.

    Attributes:
        name: what the misfits are, with their unit, such as "farthest link under forward kinematics, m".
        residuals: candidate -> misfit, at least one.
        fits: a candidate with a larger misfit is wrong.
        margin: the second best must be so many times worse than the best; else it is a tie.
        noise: misfits below this are alike. By default so small that the second best need only be worse than `fits`.
        decides: whether this alone can settle a question; otherwise it can only contradict what does.
    """

    name: str
    residuals: Mapping[str, float]
    fits: float
    margin: float
    noise: float | None = None
    decides: bool = True

    @property
    def best(self) -> str:
        return min(self.residuals, key=self.residuals.__getitem__)

    @property
    def fitting(self) -> bool:
        """Whether any candidate fits."""
        # not `> fits`, which a NaN would pass
        return self.residuals[self.best] <= self.fits

    @property
    def ties(self) -> list[str]:
        """The candidates that cannot be told from the best."""
        noise = self.fits / self.margin if self.noise is None else self.noise
        least = self.margin * max(self.residuals[self.best], noise)
        return [other for other, residual in self.residuals.items() if other != self.best and not residual >= least]

    @property
    def answer(self) -> str | None:
        """The only candidate that fits, None where this measure does not tell."""
        return self.best if self.fitting and not self.ties else None

    def __str__(self) -> str:
        return _told(self.name, self.residuals)


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
    return agree(question, [Measure(measure, residuals, fits, margin)], flag=flag)


def agree(question: str, measures: Sequence[Measure], *, flag: str) -> Finding:
    """The candidate that one kind of evidence tells, and none speaks against.

    A kind speaks against what is worse by its margin than another candidate that fits.

    Args:
        question: what is open.
        measures: at least one, of the same candidates.
        flag: how a user settles it.

    Raises:
        MotionError: no measure tells, or two contradict each other. Tells all residuals and the flag.
    """
    telling = [measure for measure in measures if measure.decides and measure.answer is not None]
    agreed = [
        measure
        for measure in telling
        if all(measure.best in (other.best, *other.ties) for other in measures if other.fitting)
    ]
    if agreed:
        return Finding(question, agreed[0].best, "evidence", dict(agreed[0].residuals), agreed[0].name)
    if telling:
        verdict = "evidence contradicts itself"
    elif not any(measure.fitting for measure in measures if measure.decides):
        verdict = "nothing fits"
    else:
        tied = next(measure for measure in measures if measure.decides and measure.fitting)
        verdict = f"{' and '.join([tied.best, *tied.ties])} fit alike"
    told = "; ".join(map(str, measures))
    raise MotionError(f"{question} cannot be told, {verdict} ({told}): say it with {flag}")


def _told(measure: str, residuals: Mapping[str, float]) -> str:
    return f"{measure}: " + ", ".join(f"{candidate} {residual:.3g}" for candidate, residual in residuals.items())
