"""Every forecaster on sunspots and carbon dioxide, from rolling origins, each against the best of the simple ones.

Makridakis, Spiliotis & Assimakopoulos (2018), https://doi.org/10.1371/journal.pone.0194889 (simple ones are hard to beat)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import chainrule
from chainrule.core.registry import recipes
from chainrule.core.text import shown
from chainrule.evaluate.result import Result
from chainrule.evaluate.significance import Cases, Comparison, compare, probability
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.tasks.forecast import Forecast

SOURCE = "Hyndman & Koehler (2006), https://doi.org/10.1016/j.ijforecast.2006.03.001"
SPLIT = "train=.5,valid=.1,test=.4"            # as many origins to test as there can be, so that blocks of them are enough
NAIVE = "naive"
TRAINED: dict[str, Any] = {"optimizer": "adam:rate=0.003", "epochs": 60, "batch": 32}


@dataclass(frozen=True)
class Fitted:
    """What one forecaster does: its error on the validation part, its measures on the test part, and what tests need of each origin."""

    name: str
    valid: float
    result: Result
    cases: Cases


def simple(season: int) -> list[str]:
    """Forecasters that have no weights but rates, the naive one first; `season` is the turn that the series is known for."""
    return [NAIVE, f"naive:period={season}", "mean", "moving-average:width=3", "exponential", "holt:damping=0.9",
            f"holt-winters:season={season}"]


LEARNED = ("ar", "tdnn", "rnn:hidden=32")
SETS = {"sunspots": 11, "co2": 52}


def fitted(data: str, net: str, short: bool) -> Fitted:
    """A forecaster that learned from the training part, its intervals from the validation part."""
    own = TRAINED if net in LEARNED[1:] else {}
    if short:
        own = {**own, "epochs": 1} if own or net not in ("ar", "mean") else own
    job = build(chainrule.load(data), Options(net=net, split=SPLIT, plan="eager", threads=1, **own))
    for _ in job.events():
        pass
    task, trained = job.task, job.trained
    assert isinstance(task, Forecast)
    valid, test = job.data.valid, job.data.door.open("recipe")
    task.calibrate(trained.predictions(valid), trained.truth(valid))
    cases = trained.outcomes(test, data)
    assert cases is not None
    return Fitted(net, trained.measure(valid).measures["mase"].value, trained.measure(test), cases)


def against_best(several: list[Fitted], simple_ones: list[str]) -> tuple[str, Comparison]:
    """The simple forecaster that is best on the validation part, and every other one paired with it, Holm-corrected."""
    first = min((one for one in several if one.name in simple_ones), key=lambda one: one.valid)
    others = [first, *(one for one in several if one is not first)]
    return first.name, compare([one.name for one in others], [one.cases for one in others], with_first=True)


@recipes("forecasts", source=SOURCE)
def forecasts(setting: Setting) -> Outcome:
    """The best forecaster by validation on the test part of each series, its error over the naive one's, and who is shown to be better.

    Nothing is called better than the best simple forecaster without its paired test over blocks of origins.
    """
    figures, notes = list[Figure](), list[str]()
    rows = [["series", "forecaster", "valid mase", "mase", "95 % interval", "smape %", "coverage %", "p against the best simple one"]]
    for data, season in list(SETS.items())[: 1 if setting.short else None]:
        several = []
        for net in (*simple(season), *LEARNED):
            setting.say(f"{data} {net}")
            several.append(fitted(data, net, setting.short))
        first, comparison = against_best(several, simple(season))
        corrected = {pair.b: pair.p_corrected for pair in comparison.pairs}
        for one in several:
            m = one.result.measures
            ends = "" if m["mase"].low is None or m["mase"].high is None else f"{shown(m['mase'].low)} to {shown(m['mase'].high)}"
            against = "the best simple one" if one.name == first else probability(corrected[one.name])
            rows.append([data, one.name, shown(one.valid), shown(m["mase"].value), ends, shown(m["smape"].value, True),
                         shown(m["coverage"].value, True), against])
        notes += [f"{data}: {pair.verdict}" for pair in comparison.pairs]
        best = min(several, key=lambda one: one.valid)
        naive = next(one for one in several if one.name == NAIVE)
        share = best.result.measures["mase"].value / naive.result.measures["mase"].value
        figures.append(Figure(f"scaled error of the best forecast of the {data} by validation ({best.name}), over the naive one's", share,
                              published=1.0, source=SOURCE, goal="none" if setting.short else "at most"))
    return Outcome(figures, rows, notes)
