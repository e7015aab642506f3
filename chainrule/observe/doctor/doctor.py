"""The doctor reads the events of a run, live or from its log, and says what is wrong: one first cause, and its consequences under it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from chainrule.core.events import Diagnosed, Event, Started
from chainrule.core.registry import Entry, diagnoses
from chainrule.core.traits import DiagnosisTraits
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.facts import Facts
from chainrule.observe.doctor.finding import Finding


@dataclass(frozen=True)
class Diagnosis:
    """A finding under its name. `first` says that no other finding so far comes before it in the causal order."""

    entry: Entry[DiagnosisTraits]
    finding: Finding
    step: int
    first: bool = field(compare=False)

    @property
    def code(self) -> str:
        return self.entry.traits.code

    @property
    def name(self) -> str:
        return self.entry.name.replace("-", " ")

    @property
    def note(self) -> bool:
        return self.entry.traits.note if self.finding.note is None else self.finding.note

    @property
    def rank(self) -> int:
        return order().index(key(self.entry.name, self.finding.variant))

    def fields(self) -> dict[str, Any]:
        """What the event says of it."""
        finding = self.finding
        return {"code": self.code, "name": self.name, "layer": finding.layer, "evidence": finding.evidence, "remedy": str(finding.remedy),
                "step": self.step, "first": self.first, "numbers": dict(finding.numbers), "options": dict(finding.remedy.options)}


class Doctor:
    """Consumes events in their order; each may bring diagnoses, none of them twice for the same layer.

    `policy` is what is asked for where something is wrong: report, stop or mend.
    """

    def __init__(self, facts: Facts, policy: str = "report"):
        self.facts, self.policy, self.case = facts, policy, Case(facts)
        self._diagnoses: list[Diagnosis] = []
        self._emitted: set[tuple[str, str]] = set()
        self._begun = False

    def consume(self, event: Event) -> list[Diagnosis]:
        """What an event shows that was not known before, the graver first."""
        if isinstance(event, Diagnosed) and not event.fatal:
            return []
        self.case.note(event)
        kinds = [type(event).__name__]
        if not self._begun and not isinstance(event, Started):
            self._begun = True
            kinds.append(BEGINNING)
        if isinstance(event, Diagnosed):
            kinds.append("Broken")
        new = [one for kind in kinds for entry in _asked(kind) for one in self._ask(entry)]
        return self._ranked(new)

    def _ask(self, entry: Entry[DiagnosisTraits]) -> list[Diagnosis]:
        """The diagnosis made, where its symptom holds now and did not before."""
        if set(entry.traits.unless) & self.case.known or (entry.traits.once and entry.name in self.case.known):
            return []
        new = []
        for finding in entry.make(self.case):
            if (place := (entry.traits.code, finding.layer)) not in self._emitted:
                self._emitted.add(place)
                self.case.known.add(entry.name)
                new.append(Diagnosis(entry, finding, self.case.began + self.case.step, first=False))
        return new

    def _ranked(self, new: list[Diagnosis]) -> list[Diagnosis]:
        """The new ones in causal order; the foremost is the first cause, unless an earlier one comes before it."""
        new.sort(key=lambda one: one.rank)
        faults = [one.rank for one in self._diagnoses if not one.note]
        ranked = []
        for one in new:
            first = not one.note and one.rank < min(faults, default=len(order()))
            faults += [] if one.note else [one.rank]
            ranked.append(Diagnosis(one.entry, one.finding, one.step, first))
        self._diagnoses += ranked
        return ranked

    def remember(self, events: Iterable[Event]) -> None:
        """Take in the events of an earlier part of the run, whose diagnoses are in its log already."""
        for event in events:
            if isinstance(event, Diagnosed):
                self._emitted.add((event.code, event.layer))
            self.consume(event)

    @property
    def diagnoses(self) -> list[Diagnosis]:
        """All that were made, the first cause at the head, its consequences under it, notes at the end."""
        ranked = sorted(self._diagnoses, key=lambda one: (one.note, one.rank, one.step))
        return [Diagnosis(one.entry, one.finding, one.step, first=at == 0 and not one.note) for at, one in enumerate(ranked)]

    @property
    def ends(self) -> bool:
        """Whether the policy asks that training end now: a first cause is known that is no mere outcome, and can be acted upon."""
        return self.policy != "report" and any(one.first and not one.entry.traits.outcome for one in self._diagnoses)


BEGINNING = "Beginning"    # what is asked of the facts alone, once, before anything else


@functools.cache
def _asked(kind: str) -> list[Entry[DiagnosisTraits]]:
    """The diagnoses that read a kind of event."""
    return [entry for entry in diagnoses.entries() if kind in entry.traits.reads]


def key(name: str, variant: str = "") -> str:
    """A place in the causal order: of a diagnosis, or of one of its variants."""
    return f"{name}/{variant}" if variant else name


@functools.cache
def order() -> list[str]:
    """The causal order: each place after those that its registration names, else in the order of the codes. Raises ValueError for a
    circle, and for a name that is no diagnosis.
    """
    after: dict[str, tuple[str, ...]] = {}
    codes: dict[str, str] = {}
    for entry in diagnoses.entries():
        places = {"": entry.traits.after, **entry.traits.variants}
        after |= {key(entry.name, variant): before for variant, before in places.items()}
        codes |= dict.fromkeys((key(entry.name, variant) for variant in places), entry.traits.code)
    unknown = {before for places in after.values() for before in places} - after.keys()
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: no diagnosis, named by another's `after`")
    ordered: list[str] = []
    while len(ordered) < len(after):
        ready = [place for place in after if place not in ordered and set(after[place]) <= set(ordered)]
        if not ready:
            raise ValueError(f"diagnoses come after one another in a circle: {', '.join(sorted(set(after) - set(ordered)))}")
        ordered.append(min(ready, key=lambda place: (codes[place], place)))
    return ordered


def facts_in(events: Iterable[Event]) -> Facts:
    """The facts that a log has stored with its beginning."""
    started = next((e for e in events if isinstance(e, Started)), None)
    return Facts.from_json(started.data.get("facts") if started else None)


def diagnosed(events: Iterable[Event], facts: Facts | None = None) -> list[Mapping[str, Any]]:
    """What is wrong with a run by its log alone: of each diagnosis the fields of its event, the first cause at the head.

    Those that were made while it ran stand for what only the running program could see.
    """
    events = list(events)
    doctor = Doctor(facts or facts_in(events))
    for event in events:
        doctor.consume(event)
    again = [one.fields() for one in doctor.diagnoses]
    known = {(one["code"], one["layer"]) for one in again}
    logged = [_fields(event) for event in events if isinstance(event, Diagnosed) and (event.code, event.layer) not in known]
    return ranked([*logged, *again])


def ranked(several: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The fields of diagnoses, given in the order in which they were made: the first cause at the head, its consequences in causal order,
    notes at the end. The last that is called first is the first cause.
    """
    listed = list(several)
    entries = {entry.name.replace("-", " "): entry for entry in diagnoses.entries()}
    head = next((one for one in reversed(listed) if one["first"]), None)

    def place(one: Mapping[str, Any]) -> tuple[bool, int, int]:
        entry = entries.get(str(one["name"]))
        return entry is not None and entry.traits.note, order().index(entry.name) if entry else len(order()), int(one["step"])

    rest = sorted((one for one in listed if one is not head), key=place)
    return [*([head] if head is not None else []), *({**one, "first": False} for one in rest)]


def _fields(event: Diagnosed) -> dict[str, Any]:
    fields = asdict(event)
    entry = next((entry for entry in diagnoses.entries() if entry.traits.code == event.code), None)
    return {**{k: v for k, v in fields.items() if k not in ("at", "seconds")},
            "name": event.name or (entry.name.replace("-", " ") if entry else "")}
