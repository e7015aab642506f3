"""What layers learned without labels are worth where few rows have one. Erhan et al. (2010), https://jmlr.org/papers/v11/erhan10a.html"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

import chainrule
from chainrule.core.registry import recipes
from chainrule.data import fingerprint
from chainrule.data.source import Source
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.recipes.transfer import HEADS, against, fewer

LABELS = 10                        # of each class
SOURCE = "Erhan et al. (2010), https://jmlr.org/papers/v11/erhan10a.html"
LAYERS, SMALL_LAYERS = "500x500", "200x200"
MACHINES = "sgd:rate=0.1,momentum=0.9"
FEW: dict[str, Any] = {"rule": "backprop", "optimizer": "adam:rate=0.001", "batch": 10, "epochs": 60, "plan": "eager", "progress": False,
                       "split": "train=1,valid=0,test=0"}


@recipes("few-labels", source=SOURCE)
def few_labels(setting: Setting) -> Outcome:
    """A perceptron from ten labels a class, its layers learned before from all training rows without labels, and as drawn; McNemar."""
    data = with_test(chainrule.load("digits" if setting.short else "mnist", data_dir=setting.data_dir))
    layers = SMALL_LAYERS if setting.short else LAYERS
    setting.say("all rows, no labels")
    before = chainrule.train(unlabelled(data), net=f"dbn:hidden={layers},labels=no", stages="divergence", steps=1,
                             batch=20 if setting.short else 100, stage_epochs=60 if setting.short else 30,
                             stage_optimizer=MACHINES,
                             split="train=0.95,valid=0.05,test=0",
                             out=setting.out / "without-labels", progress=False)
    rows, worst = [["seed", "start", *HEADS]], 0.0
    for seed in range(1 if setting.short else setting.seeds):
        setting.say(f"{LABELS} labels a class, seed {seed}")
        few = fewer(data, list(data.classes), LABELS, seed)
        net = f"mlp:hidden={layers},activation=sigmoid"
        drawn = chainrule.train(few, net=net, seed=seed, out=setting.out / f"as-drawn-{seed}", **FEW)
        helped = chainrule.train(few, net=net, from_=before, seed=seed, out=setting.out / f"from-machines-{seed}", **FEW)
        own, p = against({"as drawn": drawn, "machines": helped})
        rows += [[str(seed), *row] for row in own]
        worst = max(worst, p)
    return Outcome([Figure("p of 100 labels after layers learned without labels against from scratch, the greatest of all seeds", worst,
                           published=0.01, source=SOURCE, goal="none" if setting.short else "at most", probability=True)], rows)


def with_test(data: Source) -> Source:
    """The source with its own test rows, else with a third of its rows, drawn once and for all."""
    if "test" in data.parts:
        return data
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    return replace(data, parts={"test": order[: len(data) // 3].sort().values})


def unlabelled(data: Source) -> Source:
    """The rows of a source that are not test rows, without their targets."""
    free = torch.ones(len(data), dtype=torch.bool)
    free[data.parts["test"]] = False
    x = data.inputs[free]
    return replace(data, inputs=x, targets=None, target_kind="none", classes=(), parts={}, origin={**data.origin, "kind": "memory"},
                   fingerprint=fingerprint.of(x, None, ()))
