"""Committees of small nets against one of their members. Breiman (1996), https://doi.org/10.1007/BF00058655; Zhu et al. (2009)"""

from __future__ import annotations

from typing import Any

import chainrule
from chainrule.core.registry import recipes
from chainrule.evaluate.significance import probability
from chainrule.recipes.outcome import Figure, Outcome, Setting

MEMBERS = 16
# tanh: eight rectified units that fit residuals die within a round or two, and a dead net adds nothing to the sum
SMALL: dict[str, Any] = {"net": "mlp:hidden=8,activation=tanh", "optimizer": "adam:rate=0.005", "batch": 50}


@recipes("committees", source="Breiman (1996), https://doi.org/10.1007/BF00058655; Zhu, Zou, Rosset & Hastie (2009), "
                              "https://doi.org/10.4310/SII.2009.v2.n3.a8; Friedman (2001), https://doi.org/10.1214/aos/1013203451")
def committees(setting: Setting) -> Outcome:
    """Bagging, SAMME and gradient boosting over nets of eight hidden units, each against one such net on the same test cases."""
    data = chainrule.load("digits" if setting.short else "mnist", data_dir=setting.data_dir)
    members, epochs = (3, 2) if setting.short else (MEMBERS, 10)
    common: dict[str, Any] = {**SMALL, "epochs": epochs, "progress": False}
    setting.say("one net")
    one = chainrule.train(data, **common, out=setting.out / "one")
    setting.say(f"bagging {members}")
    bag = chainrule.sweep(data, over={"bootstrap": range(1, members + 1)}, **common, out=setting.out / "bag")
    built = {"bagging": chainrule.committee(bag, out=setting.out / "bagging")}
    for by in ("samme", "gradient"):
        setting.say(f"boosting by {by}, {members} rounds")
        built[by] = chainrule.boost(data, rounds=members, by=by, **common, out=setting.out / by)
    one.test()
    figures, rows = [], [["committee", "members", "errors", "of one net", "cases", "p, exact McNemar"]]
    for name, committee in built.items():
        committee.test()
        compared = chainrule.compare(one, committee)
        pair = compared.pairs[0]
        ours, theirs = (f"{score:.0f}" for score in reversed(compared.scores))
        rows.append([name, str(len(committee)), ours, theirs, f"{compared.n:,}", probability(pair.p)])
        better = compared.scores[1] < compared.scores[0]
        figures.append(Figure(f"{name}: p where it beats one net", pair.p if better else 1.0, published=0.01,
                              goal="none" if setting.short else "at most", source="Breiman (1996)", probability=True))
    return Outcome(figures, rows)
