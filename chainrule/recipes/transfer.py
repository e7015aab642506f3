"""What a net learned of some digits helps it with others. Yosinski, Clune, Bengio & Lipson (2014), https://arxiv.org/abs/1411.1792"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

import chainrule
from chainrule.core.registry import recipes
from chainrule.data import fingerprint
from chainrule.data.source import Source
from chainrule.evaluate.significance import probability
from chainrule.recipes.outcome import Figure, Outcome, Setting, p_of_improvement
from chainrule.workflows.run import Run

LABELS = 10                      # of each class
FIRST, SECOND = "0,1,2,3,4", "5,6,7,8,9"
SOURCE = "Yosinski, Clune, Bengio & Lipson (2014), https://arxiv.org/abs/1411.1792"
HEADS = ("errors", "cases", "accuracy %", "p, exact McNemar")
FEW: dict[str, Any] = {"classes": SECOND, "optimizer": "adam:rate=0.002", "batch": 10, "epochs": 40, "plan": "eager", "progress": False,
                       "split": "train=1,valid=0,test=0"}


@recipes("transfer", source=SOURCE)
def transfer(setting: Setting) -> Outcome:
    """Digits 5 to 9 from ten labels a class, by a net drawn anew and by the same net started from one of 0 to 4; McNemar."""
    data = chainrule.load("digits" if setting.short else "mnist", data_dir=setting.data_dir)
    net = "lenet:filters=8x16,hidden=64" if setting.short else "lenet"
    setting.say("0 to 4, all labels")
    first = chainrule.train(data, net=net, classes=FIRST, epochs=10 if setting.short else 3, optimizer="adam:rate=0.001", batch=50,
                            out=setting.out / "zero-to-four", progress=False)
    rows, worst = [["seed", "started", *HEADS]], 0.0
    for seed in range(1 if setting.short else setting.seeds):
        setting.say(f"5 to 9, {LABELS} labels a class, seed {seed}")
        few = fewer(data, SECOND.split(","), LABELS, seed)
        anew = chainrule.train(few, net=net, seed=seed, out=setting.out / f"anew-{seed}", **FEW)
        helped = chainrule.train(few, from_=first, seed=seed, out=setting.out / f"from-zero-to-four-{seed}", **FEW)
        own, p = against({"anew": anew, "from 0 to 4": helped})
        rows += [[str(seed), *row] for row in own]
        worst = max(worst, p)
    return Outcome([Figure("p of digits 5-9 started from 0-4 against from scratch, the greatest of all seeds", worst, published=0.01,
                           source=SOURCE, goal="none" if setting.short else "at most", probability=True)], rows)


def against(runs: Mapping[str, Run]) -> tuple[list[list[str]], float]:
    """A row for each of two runs: its name and what `HEADS` names, on the same test cases; and the p of the second being better."""
    pair = chainrule.compare(*runs.values()).pairs[0]
    rows = []
    for (name, run), p in zip(runs.items(), ("", probability(pair.p)), strict=True):
        result = run.test()
        assert result.accuracy is not None
        rows.append([name, str(result.errors), f"{result.n:,}", f"{100 * result.accuracy:.2f}", p])
    return rows, p_of_improvement(pair)


def fewer(data: Source, classes: list[str], each: int, seed: int) -> Source:
    """The source with so many training rows of each class, drawn anew for each seed, and the test rows that it has, or else the others."""
    generator = torch.Generator().manual_seed(seed)
    test = data.parts.get("test")
    free = torch.ones(len(data), dtype=torch.bool)
    if test is not None:
        free[test] = False
    order = torch.randperm(len(data), generator=generator)
    train = torch.cat([order[free[order] & (data.targets[order] == data.classes.index(name))][:each] for name in classes])
    if test is None:
        test = order[~torch.isin(order, train)]
    x, y = torch.cat([data.inputs[train], data.inputs[test]]), torch.cat([data.targets[train], data.targets[test]])
    return replace(data, inputs=x, targets=y, parts={"test": torch.arange(len(train), len(x))}, origin={**data.origin, "kind": "memory"},
                   fingerprint=fingerprint.of(x, y, data.classes))
