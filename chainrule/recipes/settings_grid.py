"""The same net under every combination of rate, batch, hidden units and hidden layers: what a bad setting costs. Nielsen (2015)"""

from __future__ import annotations

from typing import Any

import chainrule
from chainrule.core.registry import recipes
from chainrule.recipes.outcome import Figure, Outcome, Setting

RATES, BATCHES, UNITS, LAYERS = (0.001, 1.0, 100.0), (10, 50, 100), (15, 30, 100), (1, 2, 5)
COMMON: dict[str, Any] = {"loss": "squared", "init": "lecun:biases=1", "progress": False}


@recipes("settings-grid", source="lecture; Nielsen (2015), chapter 3, http://neuralnetworksanddeeplearning.com/chap3.html")
def settings_grid(setting: Setting) -> Outcome:
    """Logistic nets at rates of .001, 1 and 100, batches of 10, 50 and 100, 15, 30 and 100 units in 1, 2 and 5 hidden layers."""
    data = chainrule.load("digits" if setting.short else "mnist", data_dir=setting.data_dir)
    rates, batches, units, layers = ((RATES, BATCHES, UNITS, LAYERS) if not setting.short else
                                     (RATES[::2], BATCHES[-1:], UNITS[:1], LAYERS[:2]))
    nets = [f"mlp:hidden={'x'.join([str(width)] * depth)},activation=sigmoid,output=sigmoid" for depth in layers for width in units]
    runs = chainrule.sweep(data, over={"net": nets, "batch": batches, "rate": rates}, optimizer="sgd", epochs=1 if setting.short else 3,
                           **COMMON, out=setting.out / "sweep")
    rows, figures = [["hidden", "batch", "rate", "validation accuracy %"]], []
    for run, settings in zip(runs, runs.settings, strict=True):
        hidden = settings["net"].removeprefix("mlp:hidden=").partition(",")[0]
        rows.append([hidden, settings["batch"], settings["rate"], f"{100 * (run.valid.accuracy or 0):.2f}"])
    best = runs.best.valid
    assert best.accuracy is not None
    assert best.interval is not None
    ends = best.interval
    figures.append(Figure("validation accuracy % of the best of them", 100 * best.accuracy, 100 * ends.low, 100 * ends.high))
    worst = min(float(row[-1]) for row in rows[1:])
    figures.append(Figure("validation accuracy % of the worst of them", worst))
    return Outcome(figures, rows, [f"the best: {runs.settings[list(runs).index(runs.best)]}"])
