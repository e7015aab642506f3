"""D24: what is learned of the training rows is no longer true of others."""

from __future__ import annotations

import math
from collections.abc import Iterator

from chainrule.core.events import Evaluated
from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.facts import Facts
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy, altered, remedy


@diagnoses(source="Prechelt (1998), https://doi.org/10.1007/3-540-49430-8_3; Geman, Bienenstock & Doursat (1992), "
           "https://doi.org/10.1162/neco.1992.4.1.1", code="D24", reads=("Evaluated",), after=("label-noise",), outcome=True,
           unless=("label-noise",),
           cause="A net with more freedom than the rows can pin down learns their noise as well.",
           remedy="The weights of the best epoch are the run's already. More rows, `--augment shift:2`, `--net mlp:...,dropout=0.5`, fewer "
                  "units; `--patience 5` ends training sooner.")
def overfitting(case: Case, *, rise: float = 1.15, lasting: int = 3, fewest: int = 5, fall: float = 0.8, apart: float = 2.0,
                gap: float = 0.1) -> Iterator[Finding]:
    """For `lasting` epochs the validation loss is `rise` times its least, `apart` times the training loss, which fell to `fall` of it.

    Of classes, training rows must be right more often than validation rows by `gap`: the loss bounds how many can be wrong.
    """
    some = [e for e in case.evaluations if "loss" in e.valid and "loss" in e.train]
    if len(some) < max(fewest, lasting + 1):
        return
    best = min(some[:-lasting], key=lambda e: e.valid["loss"])
    last = some[-lasting:]
    least, now = best.valid["loss"], some[-1]
    if least <= 0 or not all(e.valid["loss"] > rise * least for e in last):
        return
    if not (now.train["loss"] < fall * best.train["loss"] and now.valid["loss"] > apart * now.train["loss"]):
        return
    if by_chance(case):                                 # nothing was learned that could be lost, see D25
        return
    if case.facts.classes and not right(now) - now.valid.get("accuracy", 0.0) > gap:
        return
    yield Finding("net", f"since epoch {best.epoch} the validation loss rose from {least:.3g} to {now.valid['loss']:.3g} while the "
                  f"training loss fell from {best.train['loss']:.3g} to {now.train['loss']:.3g}", cure(case.facts),
                  {"since_epoch": best.epoch, "least": least, "validation": now.valid["loss"], "training": now.train["loss"]})


def right(e: Evaluated) -> float:
    """A share of training rows that are right at least: a wrong one has a cross-entropy of log 2 or more."""
    return 1 - e.train["loss"] / math.log(2)


def by_chance(case: Case, deviations: float = 4.0) -> bool:
    """Whether no epoch answered validation rows better than by the most frequent class, within so many deviations."""
    facts = case.facts
    if not facts.classes or not case.accuracies:
        return False
    return max(case.accuracies) <= facts.chance + deviations * math.sqrt(facts.chance * (1 - facts.chance) / max(facts.validating, 1))


def cure(facts: Facts) -> Remedy:
    """Dropout where the net has it, augmentation of pictures, else fewer epochs."""
    if facts.dropout:
        return remedy("the best epoch's weights are kept; more rows would help most", patience="5")
    net = altered("net", facts.net, dropout=(0.5,)) or altered("net", facts.net, dropout=0.5)
    return remedy("the best epoch's weights are kept; more rows would help most", net=net, augment="shift:1" if facts.pictures else None,
                  patience=None if net else "5")
