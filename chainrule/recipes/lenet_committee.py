"""A committee of LeNets on MNIST. Ciresan, Meier & Schmidhuber (2012), https://arxiv.org/abs/1202.2745"""

from __future__ import annotations

from statistics import mean
from typing import Any

import chainrule
from chainrule.core.registry import recipes
from chainrule.evaluate.intervals import wilson
from chainrule.evaluate.significance import probability
from chainrule.recipes.image_recognition import TRANSFORMED
from chainrule.recipes.outcome import Figure, Outcome, Setting, command

CIRESAN = "Ciresan, Meier & Schmidhuber (2012), https://arxiv.org/abs/1202.2745, table 1: 0.23 % by 35 nets"
MEMBERS, SHORT_MEMBERS = 7, 3
SMALL: dict[str, Any] = {"net": "convnet:pattern=8-pool", "augment": "rotate:10+shift:1", "epochs": 2}


@recipes("lenet-committee", source=CIRESAN)
def lenet_committee(setting: Setting) -> Outcome:
    """Seven LeNets from seven starts, each on digits bent, turned, scaled and moved anew in every epoch, answering by their mean.

    All are trained on one division of MNIST, side by side; the committee is set against each of them, and against the one that was best
    on the validation part, on the same test cases. Seven times forty epochs, about two hours of two cores.
    """
    data = chainrule.load("digits" if setting.short else "mnist", data_dir=setting.data_dir)
    members = SHORT_MEMBERS if setting.short else MEMBERS
    options = {**TRANSFORMED, **SMALL} if setting.short else TRANSFORMED
    setting.say(f"{members} nets")
    several = chainrule.sweep(data, over={"seed": range(members)}, split_seed=0, **options, out=setting.out / "members", progress=False)
    together = chainrule.committee(several, out=setting.out / "committee")
    result, judged = together.test(), not setting.short
    standing = together.tested_standing
    assert standing is not None
    share = wilson(int(standing.score), result.n)
    best = several.runs.index(several.best)
    rows = [["net", "errors", "error %", "p, exact McNemar"],
            ["committee", f"{standing.score:.0f}", f"{100 * standing.score / standing.n:.2f}", ""],
            *([f"seed {i}", f"{score:.0f}", f"{100 * score / standing.n:.2f}", probability(pair.p)]
              for i, (score, pair) in enumerate(zip(standing.scores, standing.pairs, strict=True)))]
    chosen = standing.pairs[best]
    return Outcome([
        Figure("test error % of the committee", 100 * standing.score / standing.n, 100 * share.low, 100 * share.high, 0.27, CIRESAN,
               "at most" if judged else "none"),
        Figure("p against the member that was best on the validation part", chosen.p if standing.score < standing.scores[best] else 1.0,
               published=0.05, source=CIRESAN, goal="at most" if judged else "none", probability=True),
        Figure("mean test error % of a member", 100 * mean(standing.scores) / standing.n)],
        rows, [chosen.verdict, command("mnist", {**TRANSFORMED, "split-seed": 0})])
