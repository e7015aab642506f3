"""Faults planted in small trainings of digits: whether each is named as the first cause, whether its remedy helps, and silence without."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import chainrule
from chainrule.core.errors import Diverged
from chainrule.core.events import Diagnosed, Evaluated, Event, first_cause
from chainrule.core.registry import recipes
from chainrule.evaluate.intervals import wilson
from chainrule.recipes.outcome import Figure, Outcome, Setting

PLAIN: Mapping[str, Any] = {"net": "mlp:hidden=64x64", "optimizer": "sgd:rate=0.1", "steps": 400, "plan": "eager",
                            "look": "every=4"}   # not as time allows: what is named would depend on the machine
DEEP = "mlp:hidden=" + "x".join(["100"] * 8)
RESTORED = 0.95            # of the accuracy of the net without the fault, from which on a remedy has helped


@dataclass(frozen=True)
class Planted:
    """A fault by the name of its diagnosis: options of the healthy net, and those that break it."""

    name: str
    healthy: Mapping[str, Any]
    broken: Mapping[str, Any]


FAULTS = (
    Planted("vanishing gradient", {"net": DEEP, "optimizer": "sgd:rate=0.05"},
            {"net": f"{DEEP},activation=sigmoid", "init": "normal:0.01"}),
    Planted("rate too high", {}, {"optimizer": "sgd:rate=500"}),
    Planted("rate too low", {}, {"optimizer": "sgd:rate=0.00001"}),
    Planted("symmetry", {}, {"init": "zeros"}),
    Planted("init scale", {}, {"init": "normal:1"}),
    Planted("saturated", {"net": "mlp:hidden=64x64,activation=tanh", "init": "xavier"}, {"init": "normal:1"}),
    Planted("output activation", {}, {"net": "mlp:hidden=64x64,output=softmax"}),
    Planted("over regularised", {}, {"optimizer": "sgd:rate=0.1,decay=0.3"}),
    Planted("too much dropout", {}, {"net": "mlp:hidden=64x64,dropout=0.95"}),
)


@recipes("first-cause", source="asked of the library")
def first_causes(setting: Setting) -> Outcome:
    """The share of planted faults named as first cause, of remedies that restore the net, and of nets without fault that are silent.

    Eight rectified layers follow half the rate of the other nets: at theirs, 0.1, they are without fault from some seeds only. From seed 1
    the validation loss rises from 0.144 to 1.79 after epoch 5 and 72 % of the validation part are right at the end, which the doctor says;
    at 0.05 more than 95 % are right from seeds 0, 1 and 2.
    """
    seeds = 1 if setting.short else setting.seeds
    rows, right, restored, silent, n, healthy = [["fault", "named", "at step", "accuracy", "remedy", "accuracy"]], 0, 0, 0, 0, 0
    twins: dict[tuple[str, int], tuple[float, Diagnosed | None]] = {}
    for seed in range(seeds):
        for planted in FAULTS:
            key = (repr(planted.healthy), seed)
            if key not in twins:
                twins[key] = _trained(setting, planted.healthy, seed)
                healthy, silent = healthy + 1, silent + (twins[key][1] is None)
            accuracy, cause = _trained(setting, {**planted.healthy, **planted.broken}, seed)
            remedy = dict(cause.options) if cause is not None else {}
            after = _trained(setting, {**planted.healthy, **planted.broken, **remedy}, seed)[0] if remedy else 0.0
            n, right = n + 1, right + (cause is not None and cause.name == planted.name)
            restored += after >= RESTORED * twins[key][0]
            rows.append([planted.name, cause.name if cause is not None else "nothing", str(cause.step) if cause is not None else "",
                         f"{accuracy:.3f}", cause.remedy if cause is not None else "", f"{after:.3f}"])
    return Outcome([_share("% of planted faults named as first cause", right, n, 90), _share("% of remedies that restore 95 % of the "
                                                                                             "healthy net",
                                                                                             restored, n, 80),
                    _share("% of healthy nets that are silent", silent, healthy, 95)], rows)


def _trained(setting: Setting, options: Mapping[str, Any], seed: int) -> tuple[float, Diagnosed | None]:
    """The last accuracy on the validation part, and the first cause, where there is one."""
    events: list[Event] = []
    with contextlib.suppress(Diverged):
        events += chainrule.events("digits", data_dir=setting.data_dir, **{**PLAIN, **options, "seed": seed})
    last = next((e for e in reversed(events) if isinstance(e, Evaluated)), None)
    return (last.valid["accuracy"] if last is not None else 0.0), first_cause(events)


def _share(what: str, k: int, n: int, least: float) -> Figure:
    ends = wilson(k, n)
    return Figure(what, 100 * k / n, 100 * ends.low, 100 * ends.high, least, "asked of the library", "at least")
