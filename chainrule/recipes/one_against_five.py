"""'1' against '5' by a 784-6-2-1 net, learned layer by layer and all at once. Bengio et al. (2007), https://papers.nips.cc/paper/3048"""

from __future__ import annotations

import math
from typing import Any

import chainrule
from chainrule.core.registry import recipes
from chainrule.recipes.outcome import Figure, Outcome, Setting


@recipes("one-against-five", source="Bengio, Lamblin, Popovici & Larochelle (2007), https://papers.nips.cc/paper/3048")
def one_against_five(setting: Setting) -> Outcome:
    """Handwritten 1 against 5 by hidden layers of 6 and 2 units and one output: each learned with those below it fixed, then all."""
    data = chainrule.load("digits" if setting.short else "mnist", data_dir=setting.data_dir)
    common: dict[str, Any] = {"classes": "1,5", "net": "mlp:hidden=6x2,activation=tanh", "init": "xavier", "loss": "logistic",
                              "optimizer": "adam:rate=0.003", "batch": 50, "epochs": 3 if setting.short else 9, "progress": False}
    runs = {"layer by layer, then fine-tuned": chainrule.train(data, **common, stages="layers", out=setting.out / "layers"),
            "all at once": chainrule.train(data, **common, out=setting.out / "whole")}
    rows, figures = [["learned", "errors", "cases", "accuracy %"]], []
    for name, run in runs.items():
        result = run.test()
        assert result.accuracy is not None
        assert result.interval is not None
        rows.append([name, str(result.errors), f"{result.n:,}", f"{100 * result.accuracy:.2f}"])
        figures.append(Figure(f"test accuracy %, {name}", 100 * result.accuracy, 100 * result.interval.low, 100 * result.interval.high))
    compared = chainrule.compare(*runs.values())
    weights = sum(p.numel() for p in run.net.parameters())  # of either
    inputs = math.prod(data.inputs.shape[1:])
    expected = 6 * (inputs + 1) + 2 * (6 + 1) + (2 + 1)
    figures.append(Figure(f"weights of {inputs}-6-2-1", weights, published=expected, source="(i + 1) 6 + (6 + 1) 2 + 2 + 1; 1,559 at 256",
                          goal="about", within=0))
    return Outcome(figures, rows, [compared.pairs[0].verdict])
