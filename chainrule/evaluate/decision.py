"""From probabilities to a class: the likeliest, or, at another operating point, one class from a probability of its own on.

Fawcett (2006), https://doi.org/10.1016/j.patrec.2005.10.010; the point is chosen on validation data
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.schema import Count, as_type
from chainrule.evaluate.curves import OperatingPoint, at_threshold, move_operating_point, operating_points, precision_recall
from chainrule.evaluate.intervals import Interval, wilson

LEVEL = 0.95
GIVEN = "as given"


@dataclass(frozen=True)
class Threshold:
    """The class number `positive` is answered where its probability is at least `value`, and else the likeliest of the others."""

    positive: int
    value: float

    def decided(self, probabilities: Tensor) -> Tensor:
        """Class numbers (n,) of probabilities (n, classes).

        >>> Threshold(1, 0.3).decided(torch.tensor([[0.6, 0.4], [0.8, 0.2]])).tolist()
        [1, 0]
        """
        own = probabilities[:, self.positive].double() >= self.value                   # (n,)
        without = probabilities.clone()
        without[:, self.positive] = -torch.inf
        return torch.where(own, self.positive, without.argmax(1))


@dataclass(frozen=True)
class Cut:
    """The probability from which on a class is answered."""

    value: float


@dataclass(frozen=True)
class Stored:
    """A chosen operating point as its file has it."""

    name: str
    asked: str
    threshold: Cut
    positive: Count
    valid: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    cases: tuple[Count, Count]


def decided(probabilities: Tensor, threshold: Threshold | None) -> Tensor:
    """Class numbers (n,): the likeliest ones where there is no threshold."""
    return probabilities.argmax(1) if threshold is None else threshold.decided(probabilities)


@dataclass(frozen=True)
class Chosen:
    """An operating point: of which class, how it was asked for, and its recall, precision and false-positive rate on validation cases."""

    name: str
    asked: str
    threshold: Threshold
    recall: Interval
    precision: Interval
    fpr: Interval
    shares: dict[str, float]
    cases: tuple[int, int]     # positive and negative ones

    def to_json(self) -> dict[str, Any]:
        ends = {name: [getattr(self, name).low, getattr(self, name).high] for name in self.shares}
        chosen_on = "nothing" if self.asked == GIVEN else "valid"
        return {"class": self.name, "asked": self.asked, "threshold": {"value": self.threshold.value, "chosen_on": chosen_on},
                "positive": self.threshold.positive, "valid": dict(self.shares), "intervals": ends, "cases": list(self.cases)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Chosen:
        """What `to_json` wrote. Raises ValueError, or KeyError, for what it did not."""
        fields: Stored = as_type(Stored, {**stored, "name": stored["class"]})
        ends = {name: Interval(low, high, LEVEL) for name, (low, high) in fields.intervals.items()}
        return cls(fields.name, fields.asked, Threshold(fields.positive, fields.threshold.value), ends["recall"], ends["precision"],
                   ends["fpr"], {name: fields.valid[name] for name in ends}, fields.cases)

    def __str__(self) -> str:
        words = {"recall": "recall", "precision": "precision", "fpr": "false-positive rate"}
        ends = {name: getattr(self, name) for name in self.shares}
        shares = ", ".join(f"{words[name]} {100 * value:.2f} % ({100 * ends[name].low:.2f} to {100 * ends[name].high:.2f})"
                           for name, value in self.shares.items())
        return (f"'{self.name}' is answered from a probability of {self.threshold.value:.4g} on ({self.asked}): on {self.cases[0]:,} "
                f"positive and {self.cases[1]:,} other validation cases {shares}")


def choose(probabilities: Tensor, truth: Tensor, classes: Sequence[str], name: str, *, recall: float | None = None,
           precision: float | None = None, fpr: float | None = None, at: float | None = None) -> Chosen:
    """The operating point of a class that was asked for, on probabilities (n, classes) and true class numbers (n,).

    The strictest threshold with at least this `recall`; the laxest with at least this `precision`, or at most this `fpr`; or `at` itself.
    Raises InputError where not exactly one is given, or no threshold does it.
    """
    given = {key: value for key, value in {"recall": recall, "precision": precision, "fpr": fpr, "at": at}.items() if value is not None}
    if len(given) != 1:
        raise InputError(f"expected one of --recall, --precision, --fpr and --at; got {', '.join(f'--{key}' for key in given) or 'none'}.")
    key, value = next(iter(given.items()))
    if not 0 <= value <= 1:
        raise InputError(f"--{key} is a share from 0 to 1; got {value:g}.")
    positive = classes.index(name)
    points = operating_points(probabilities[:, positive], truth == positive)
    if key == "precision":
        shares, _ = precision_recall(points)
        fitting = ((shares >= value) & (points.tp + points.fp > 0)).nonzero()
        if not len(fitting):
            best = float(shares[1:].max())
            raise InputError(f"no threshold of '{name}' has a precision of {value:g} on the validation part; the greatest is {best:.4g}. "
                             "Ask for less.")
        point = at_threshold(points, float(points.thresholds[int(fitting[-1])]))
    elif key == "at":
        point = at_threshold(points, value)
    else:
        point = move_operating_point(points, tpr=recall, fpr=fpr)
    if not float("-inf") < point.threshold < float("inf"):
        raise InputError(f"with --{key} {value:g} '{name}' would never be answered on the validation part. Ask for something that can be "
                         "reached, or give --at.")
    return _chosen(name, f"{key} {'at most' if key == 'fpr' else 'at least'} {value:g}" if key != "at" else GIVEN, positive, point)


def _chosen(name: str, asked: str, positive: int, point: OperatingPoint) -> Chosen:
    called = point.tp + point.fp
    precision = wilson(point.tp, called) if called else Interval(0.0, 1.0, LEVEL)
    shares = {"recall": point.tpr, "precision": point.tp / called if called else 1.0, "fpr": point.fpr}
    return Chosen(name, asked, Threshold(positive, point.threshold), point.tpr_interval, precision, point.fpr_interval, shares,
                  (point.tp + point.fn, point.fp + point.tn))
