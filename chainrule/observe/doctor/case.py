"""The case: what the events of a run have shown so far, in the form in which diagnoses ask for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median
from typing import Any

from chainrule.core.events import Diagnosed, Entered, Evaluated, Event, Finished, Joined, Judged, Looked, Progressed
from chainrule.observe.doctor.facts import Facts
from chainrule.observe.look import Look

UNREAD = ("histograms", "units")
MOST, DENSE = 256, 64      # looks, and losses, that are held; of more every second goes, but for the first and the last


@dataclass(frozen=True)
class At:
    """A look before the update after `step`."""

    step: int
    look: Look
    moved: float = math.nan                                # the median over layers of the step, over the weights

    @property
    def layers(self) -> list[str]:
        return list(self.look.layers)

    def number(self, name: str) -> float | None:
        """One figure of the whole net; None where it was not looked at."""
        value: float | None = getattr(self.look, name)
        return value

    def of(self, name: str, layer: int) -> float | None:
        """One figure of a layer; None where there is none."""
        row = self.look.of(name)
        return row[layer] if layer < len(row) else None


@dataclass
class Case:
    """All that is known of a run; diagnoses read it and change nothing. `known` are names of the diagnoses that were made."""

    facts: Facts
    looks: list[At] = field(default_factory=list)
    curve: list[tuple[int, float]] = field(default_factory=list)       # (step, loss): of rows looked at, of batches, means of epochs
    evaluations: list[Evaluated] = field(default_factory=list)
    judged: Judged | None = None
    joined: Joined | None = None
    finished: Finished | None = None
    broken: Diagnosed | None = None
    step: int = 0                     # of the stage, which began after so many of the run
    began: int = 0
    epoch: int = 0
    known: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.whole = self.facts                            # those of the last stage; a stage before it has another loss

    def note(self, event: Event) -> None:
        """Take in what an event shows."""
        match event:
            case Entered(stage=stage, stages=stages, since=since):                         # layers and loss are others from here on
                self.began = since
                self.looks, self.curve, self.evaluations, self.step = [], [], [], 0
                self.facts = self.whole if stage + 1 == stages else replace(self.whole, task="", loss="", classes=0, shares=(),
                                                                            constant_loss=None)
            case Looked(step=step, looks=looks):
                look = Look.from_record({name: value for name, value in looks.items() if name not in UNREAD})
                at = At(step - self.began, look)
                self.looks.append(at)                                             # its layers are asked for in what follows
                self.looks[-1] = replace(at, moved=middle(self.steps_to_weights(at)))
                self.looks = _thinned(self.looks)
                self._add(at.step, look.loss)
                self.step = max(self.step, step - self.began)
            case Progressed(step=step, loss=loss, epoch=epoch):
                self._add(step - self.began, float(loss))
                self.step, self.epoch = max(self.step, step - self.began), epoch
            case Evaluated():
                self.evaluations.append(event)
                self._add(event.step - self.began, event.train.get("loss"))
                self.step, self.epoch = max(self.step, event.step - self.began), event.epoch
            case Judged():
                self.judged = event
            case Joined():
                self.joined = event
            case Finished():
                self.finished = event
            case Diagnosed() if event.fatal:
                self.broken = event

    # Of layers

    @property
    def layers(self) -> list[str]:
        return self.looks[-1].layers if self.looks else []

    @property
    def kinds(self) -> list[str]:
        return list(self.looks[-1].look.kinds) if self.looks else []

    @property
    def hidden(self) -> Iterator[tuple[int, str, str]]:
        """Number, name and kind of every layer but the last."""
        kinds = self.kinds
        return ((i, name, kinds[i] if i < len(kinds) else "") for i, name in enumerate(self.layers[:-1]))

    @property
    def trained(self) -> list[int]:
        """The layers that have weights which move."""
        frozen = self.facts.frozen
        last = self.looks[-1] if self.looks else None
        return [] if last is None else [i for i, name in enumerate(last.layers)
                                        if last.of("weight", i) is not None and not any(_within(name, one) for one in frozen)]

    def series(self, name: str, layer: int, last: int | None = None) -> list[float]:
        """What the looks, or the last ones, show of a layer; those that have nothing are left out."""
        looks = self.looks if last is None else self.looks[-last:]
        return [value for at in looks if (value := at.of(name, layer)) is not None]

    def relative_gradient(self, at: At, layer: int) -> float | None:
        """Length of the loss's derivative by a layer's weights over the length of these."""
        slope, weight, count = at.of("weight_gradient", layer), at.of("weight", layer), self.facts.weights.get(at.layers[layer], 1)
        return None if slope is None or not weight else slope * math.sqrt(count) / weight

    def steps_to_weights(self, at: At) -> list[float]:
        """Length of the last step over that of the weights, of trained layers that did not begin at zero."""
        return [u for i in self.trained if (u := at.of("update", i)) is not None and at.layers[i] not in self.facts.zero]

    # Of the loss

    def _add(self, step: int, loss: float | None) -> None:
        if loss is not None:
            self.curve.append((step, loss))
            self.curve = _thinned(self.curve)

    @property
    def first_loss(self) -> float | None:
        return self.curve[0][1] if self.curve else None

    def loss_between(self, begin: float, end: float) -> float | None:
        """The mean loss of the steps from one share of those so far to another; None where none was seen."""
        some = [loss for step, loss in self.curve if begin * self.step <= step <= end * self.step]
        return fmean(some) if some and all(map(math.isfinite, some)) else math.inf if some else None

    @property
    def accuracies(self) -> list[float]:
        return [e.valid["accuracy"] for e in self.evaluations if "accuracy" in e.valid]


def middle(values: Sequence[float]) -> float:
    """The median; nan of nothing."""
    return median(values) if values else math.nan


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which about this share lies; nan of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan


def _within(layer: str, frozen: str) -> bool:
    return layer == frozen or layer.startswith(frozen + ".") or frozen.startswith(layer + ".")


def _thinned(some: list[Any]) -> list[Any]:
    """The dense beginning is held; of what follows every second goes when there is too much."""
    return some if len(some) <= MOST else some[:DENSE] + some[DENSE:-DENSE:2] + some[-DENSE:]
