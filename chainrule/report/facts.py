"""What a report tells, as plain data; sections without facts are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chainrule.core.events import (
    Diagnosed,
    Entered,
    Evaluated,
    Event,
    Finished,
    Looked,
    Planned,
    Progressed,
    Sampled,
    Started,
    Warned,
    first_cause,
)
from chainrule.core.flow import Flow
from chainrule.core.text import visible
from chainrule.report.flow import Opened, opened, readings_of
from chainrule.report.panels import Panel
from chainrule.report.words import finite

Picture = tuple[str, bytes]  # a caption and the bytes of a PNG, or of an SVG that this library drew


@dataclass(frozen=True)
class Table:
    """A table of text under a title; the first column names the row, and `note` is said below. Cells of `prose` keep their lines."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    prose: bool = False


@dataclass(frozen=True)
class Wrong:
    """One case that was answered badly: its picture, if it is one, and what is said of it, line by line."""

    png: bytes | None
    lines: Sequence[str]


@dataclass(frozen=True)
class Column:
    """A column of a table as the net reads it: what it is, shares of rows without a value, and how much worse it gets without it.

    `train` and `other` are shares of rows in the same bins, `bins` what these are; `importance` is (value, low, high), None where it was
    not measured.
    """

    name: str
    kind: str
    gaps: str
    bins: Sequence[str]
    train: Sequence[float]
    other: Sequence[float]
    importance: tuple[float, float, float] | None

    @property
    def highest(self) -> float:
        """The greatest of the shares, which is drawn at full height."""
        return max([*self.train, *self.other, 1e-9])


@dataclass(frozen=True)
class Facts:
    """What the report tells, as plain data. Only `title` is needed; sections without facts are left out.

    `history` holds rows {epoch, step, train{}, valid{}, best}, `losses` (step, loss) between them, `histories` the rows of several runs by
    name; `layers` rows {name, kind, input, output, parameters, multiply_adds, times}, each so many times, and `graph` which reads
    which, where they do not follow one another: nodes {name, kind, shape, times} and edges (tail, head); `plans`, in the order they ran,
    {name, since, precision, seconds_per_step, rejected[{plan, reason}], reason}; `timings` seconds; `test` and `valid` what
    `evaluate.Result.to_dict` gives. `flows` are readings of layers of each run by name, `histograms` those of each layer. `weights` and
    `pictures` are files: one large picture or many small ones. `verdicts` are sentences that stand on top, `next` is the command to type
    next and why, `again` the command that trained it, `about` when, where and on what, `files` what else lies in the folder.
    """

    title: str
    run: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    splits: Mapping[str, int] = field(default_factory=dict)
    layers: Sequence[Mapping[str, Any]] = ()
    graph: Mapping[str, Any] | None = None
    plans: Sequence[Mapping[str, Any]] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    losses: Sequence[tuple[int, float]] = ()
    histories: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    flows: Sequence[tuple[str, Mapping[str, Flow]]] = ()
    histograms: Sequence[Opened] = ()
    diagnoses: Sequence[Mapping[str, str]] = ()
    warnings: Sequence[str] = ()
    verdicts: Sequence[str] = ()
    valid: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None
    tables: Sequence[Table] = ()
    mistakes: Sequence[Wrong] = ()
    mistaken: str = ""
    panels: Sequence[Panel] = ()
    columns: Sequence[Column] = ()
    compared: str = ""
    weights: Sequence[Picture] = ()
    pictures: Sequence[Picture] = ()
    samples: Sequence[Picture] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    next: tuple[str, str] | None = None
    again: str = ""
    about: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[str] = ()

    @classmethod
    def of_log(cls, events: Sequence[Event]) -> Facts:
        """What the run log alone tells; `dataclasses.replace` adds the rest."""
        started = next((e for e in events if isinstance(e, Started)), None)
        finished = next((e for e in reversed(events) if isinstance(e, Finished)), None)
        plans = [{"name": e.name, "since": e.since, "precision": e.precision, "seconds_per_step": e.seconds_per_step,
                  "rejected": e.rejected, "reason": e.reason} for e in events if isinstance(e, Planned)]
        described = dict(started.data) if started else {}
        described.pop("facts", None)                                         # numbers that diagnoses ask for, and readers do not
        last = max((e.stage for e in events if isinstance(e, Evaluated)), default=0)
        readings = readings_of(events)
        return cls(
            title=f"{started.net} on {described.get('name', 'data')}" if started else "A run",
            run=started.run if started else "",
            settings={"rule": started.rule, **started.settings} if started else {},
            splits=described.pop("splits", {}), data=described, plans=plans, timings=finished.timing if finished else {},
            history=[{"epoch": e.epoch, "step": e.step, "train": e.train, "valid": e.valid, "best": e.best}
                     for e in events if isinstance(e, Evaluated) and e.stage == last],
            losses=losses_of(events), flows=[("", readings)] if readings else [], histograms=opened(events),
            diagnoses=diagnoses_of(events),
            warnings=list(dict.fromkeys(e.message for e in events if isinstance(e, Warned))),
            tables=[*before_the_whole(events), *written(events)],
        )


def losses_of(events: Sequence[Event]) -> list[tuple[int, float]]:
    """The loss of single steps of the last stage, as far as the log has it, by step."""
    entered = [e.since for e in events if isinstance(e, Entered)]
    since = entered[-1] if entered else 0
    several = {e.step: value for e in events if isinstance(e, Progressed) and (value := finite(e.loss)) is not None}
    several |= {e.step: value for e in events if isinstance(e, Looked) and e.step not in several
                and (value := finite(e.looks.get("loss"))) is not None}
    return sorted((step, value) for step, value in several.items() if step >= since)


def diagnoses_of(events: Sequence[Event]) -> list[dict[str, str]]:
    """Every diagnosis once, the first cause of all first."""
    several = [e for e in events if isinstance(e, Diagnosed)]
    cause = first_cause(events)
    ordered = sorted(several, key=lambda e: e is not cause)
    rows = [{"code": e.code, "name": e.name or e.code, "layer": e.layer, "evidence": e.evidence, "remedy": e.remedy,
             "options": " ".join(f"--{name} {value}" for name, value in e.options.items())} for e in ordered]
    return [row for i, row in enumerate(rows) if row not in rows[:i]]


def before_the_whole(events: Sequence[Event]) -> list[Table]:
    """What was learned in the stages before the last, if there were such: the last losses of each."""
    names = {e.stage: e.name for e in events if isinstance(e, Entered)}
    ends = {e.stage: e for e in events if isinstance(e, Evaluated)}
    rows = [[names.get(stage, str(stage + 1)), str(e.epoch), f"{e.train['loss']:.4g}",
             f"{e.valid['loss']:.4g}" if "loss" in e.valid else ""]
            for stage, e in sorted(ends.items())[:-1]]
    heads = ["stage", "epochs", "train loss", "valid loss"]
    return [Table("Learned before the whole", heads, rows, "The loss of a stage is that of its rule.")] if rows else []


def written(events: Sequence[Event]) -> list[Table]:
    """What the net wrote on the way, blanks as signs, if it was recorded."""
    rows = [[f"{e.step:,}", visible(text)] for e in events if isinstance(e, Sampled) for text in e.texts]
    note = "␣ is a blank, ⏎ the end of a line."
    return [Table("Written on the way", ["after step", "sample"], rows, note, prose=True)] if rows else []
