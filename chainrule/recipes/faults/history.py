"""What one run left behind: its settings, looks, evaluations and diagnoses, as its events have them, and how well it went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from chainrule.core.events import Diagnosed, Entered, Evaluated, Event, Finished, Looked, Progressed, Started

UNREAD = ("histograms", "units")     # of looks: large, and no rule here reads them


@dataclass(frozen=True)
class Alarm:
    """One thing that was said to be wrong: by `codes` of diagnoses, any of which it may mean, and as the first cause or a consequence."""

    step: int
    codes: tuple[str, ...]
    name: str = ""
    layer: str = ""
    first: bool = False
    remedy: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Alarm:
        return cls(**{**record, "codes": tuple(record["codes"])})


@dataclass(frozen=True)
class History:
    """What a rule may read. `looks` are (step, fields), `evaluations` (step, mean training loss since the last, validation measures).

    `ended` is the reason: budget, patience, diverged, or nothing where training did not come to an end.
    """

    net: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    classes: int = 0
    looks: tuple[tuple[int, Mapping[str, Any]], ...] = ()
    evaluations: tuple[tuple[int, float, Mapping[str, float]], ...] = ()
    losses: tuple[tuple[int, float], ...] = ()
    alarms: tuple[Alarm, ...] = ()
    steps: int = 0
    seconds: float = 0.0
    ended: str = ""

    @classmethod
    def of(cls, events: Iterable[Event]) -> History:
        net, settings, classes, ended, steps, seconds, step = "", {}, 0, "", 0, 0.0, 0
        looks, evaluations, losses, alarms = [], [], [], []
        for event in events:
            seconds = max(seconds, event.seconds)
            step = max(step, getattr(event, "step", 0))
            match event:
                case Started():
                    net, settings, classes = event.net, dict(event.settings), len(event.data.get("classes") or ())
                case Looked():
                    looks.append((event.step, {name: value for name, value in event.looks.items() if name not in UNREAD}))
                case Evaluated():
                    evaluations.append((event.step, event.train.get("loss", float("nan")), dict(event.valid)))
                case Progressed():
                    losses.append((event.step, event.loss))
                case Diagnosed():
                    alarms.append(Alarm(event.step or step, (event.code,), event.name, event.layer, event.first, event.remedy,
                                        dict(event.options)))
                case Finished():
                    ended, steps = event.reason, event.steps
                case Entered():
                    step = max(step, event.since)
                case _:
                    continue
        return cls(net, settings, classes, tuple(looks), tuple(evaluations), tuple(losses), tuple(alarms), steps or step, seconds, ended)

    def record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> History:
        return cls(**{**record, "looks": tuple((step, look) for step, look in record["looks"]),
                      "evaluations": tuple((step, _number(loss), {k: _number(v) for k, v in valid.items()})
                                           for step, loss, valid in record["evaluations"]),
                      "losses": tuple((step, _number(loss)) for step, loss in record["losses"]),
                      "alarms": tuple(Alarm.from_record(one) for one in record["alarms"])})


def _number(value: Any) -> float:
    """A number of a file of results, in which one that is not finite is a word."""
    return float(value)


def first_cause(alarms: Sequence[Alarm]) -> Alarm | None:
    """The last alarm that says it is the first cause; where only notes were made, none."""
    return next((alarm for alarm in reversed(alarms) if alarm.first), None)
