"""The logs of a study, put together: an experiment is a variant with all of its seeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.study.log import FINAL_SPLIT, Protocol, StudyLog
from g1_vq_retarget.study.measures import Measure

# As in the original's table; others follow by name.
ORDER = ("simple_ema", "resnet_ema", "resnet_rvq", "resnet_fsq", "resnet_lfq", "resnet_hybrid", "seed_hybrid")
MEASURED_ON: Mapping[Protocol, str] = {
    "seed": "seed protocol: all windows that were trained on",
    "heldout": "held-out clips (test split)",
    "equal-rate": "held-out clips (test split), vocabularies of one rate",
}


class Spread(NamedTuple):
    """Mean and sample standard deviation over seeds, the latter None for one seed alone."""

    mean: float
    std: float | None


class Curve(NamedTuple):
    """A figure over training: (E,) steps, mean over seeds, and sample standard deviation, 0 for one seed alone."""

    steps: np.ndarray
    mean: np.ndarray
    std: np.ndarray


@dataclass(frozen=True)
class Experiment:
    """A variant under one protocol."""

    name: str
    """Its logs' `experiment`."""
    label: str
    """Its logs' `label`, without the rate."""
    bits_per_second: float
    """Nominal rate."""
    protocol: Protocol
    """Its logs' `protocol`."""
    begun: tuple[StudyLog, ...]
    """A log a seed, finished or not."""

    @property
    def finished(self) -> tuple[StudyLog, ...]:
        """The logs whose final figures are measured."""
        return tuple(log for log in self.begun if log.complete and FINAL_SPLIT[log.protocol] in log.final)

    @property
    def drawn(self) -> tuple[StudyLog, ...]:
        """The logs that curves are drawn of: the finished ones, while there are none those begun."""
        return self.finished or tuple(log for log in self.begun if log.epochs)

    def finals(self) -> list[dict]:
        """Final metrics, one a finished seed, on the split that the protocol measures on."""
        return [log.final[FINAL_SPLIT[log.protocol]] for log in self.finished]

    def final(self, measure: Measure) -> Spread | None:
        """A final figure over the finished seeds; None if one of them lacks it."""
        values = [measure.of(metrics) for metrics in self.finals()]
        numbers = [value for value in values if value is not None]
        if not numbers or len(numbers) < len(values):
            return None
        return Spread(float(np.mean(numbers)), float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None)

    def curve(self, measure: Measure) -> Curve | None:
        """A figure of the epochs' `val`; None if there is none."""
        return self._curve(lambda line: measure.of(line.get("val", {})))

    def loss_curve(self, term: str) -> Curve | None:
        """An unweighted term of the training loss, mean over each epoch; None if there is none."""
        return self._curve(lambda line: line["train"].get(term))

    def _curve(self, value: Callable[[dict], float | None]) -> Curve | None:
        runs = [{line["step"]: value(line) for line in log.epochs} for log in self.drawn]
        known = [{step: number for step, number in run.items() if number is not None} for run in runs]
        # a budget of minutes ends seeds at different steps; a mean over fewer of them would jump
        steps = sorted(set(known[0]).intersection(*known[1:])) if known else []
        if not steps:
            return None
        values = np.array([[run[step] for step in steps] for run in known])
        std = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(steps))
        return Curve(np.array(steps), values.mean(axis=0), std)


def by_protocol(logs: Sequence[StudyLog], chosen: Sequence[str] = ()) -> dict[Protocol, list[Experiment]]:
    """The experiments of each protocol, in the order of the original's table; figures of two protocols never mix.

    Args:
        logs: a study's.
        chosen: names of experiments; none: all.

    Raises:
        UserError: a chosen experiment is not there, or logs of a protocol differ in what makes them comparable.
    """
    names = {log.experiment for log in logs}
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise UserError(f"--experiments {' '.join(unknown)}: no log of it; there are {', '.join(sorted(names))}")
    groups: dict[Protocol, list[Experiment]] = {}
    for protocol in FINAL_SPLIT:
        own = [log for log in logs if log.protocol == protocol and (not chosen or log.experiment in chosen)]
        if own:
            _require_one(own, "data", f"logs of protocol {protocol}")
            _require_one(own, "budget", f"logs of protocol {protocol}")
            _require_one(own, "precision", f"logs of protocol {protocol}")
            groups[protocol] = [_experiment(own, name) for name in sorted({log.experiment for log in own}, key=_place)]
    return groups


def unfinished(groups: Mapping[Protocol, Sequence[Experiment]]) -> list[str]:
    """A line for each run, of those that `by_protocol` gives, that no final figure is of."""
    return [
        f"{experiment.name} seed {log.seed} ({protocol}): not finished, not in the final figures"
        for protocol, experiments in groups.items()
        for experiment in experiments
        for log in experiment.begun
        if log not in experiment.finished
    ]


def budget_of(experiments: Sequence[Experiment]) -> str:
    """What each of the runs was given, in words."""
    log = experiments[0].begun[0]
    budget = ", ".join(f"{value:g} {unit}" for unit, value in log.budget.items())
    return f"{budget} of training" + ("" if log.precision == "32-true" else f" ({log.precision})")


def _place(name: str) -> tuple[int, str]:
    stem = name.removeprefix("equal_rate-")
    return (ORDER.index(stem) if stem in ORDER else len(ORDER), name)


def _experiment(logs: Iterable[StudyLog], name: str) -> Experiment:
    own = tuple(sorted((log for log in logs if log.experiment == name), key=lambda log: log.seed))
    for key in ("bits_per_second", "label"):
        _require_one(own, key, f"seeds of {name}")
    rate = own[0].bits_per_second
    label = own[0].label.removesuffix(f", {rate:.0f} bits/s")  # told beside it wherever a label stands
    return Experiment(name, label, rate, own[0].protocol, own)


def _require_one(logs: Sequence[StudyLog], key: str, who: str) -> None:
    """Refuse to compare what differs."""
    values = {json.dumps(getattr(log, key), sort_keys=True) for log in logs}
    if len(values) > 1:
        raise UserError(
            f"{who} differ in {key}: {' and '.join(sorted(values))}; "
            "keep each study in a folder of its own, or choose with --experiments"
        )
