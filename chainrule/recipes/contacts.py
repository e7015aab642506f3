"""Which residues of a folded chain touch, from its letters alone: a residual net along the chain and one over its pairs."""

from __future__ import annotations

from typing import Any

import chainrule
from chainrule.core.registry import recipes
from chainrule.recipes.outcome import Figure, Outcome, Setting, command

WANG = "Wang, Sun, Li, Zhang & Xu (2017), https://doi.org/10.1371/journal.pcbi.1005324"
CHAINS, SHORT_CHAINS = "chains:count=1500", "chains:count=40"
TRAINING: dict[str, Any] = {"net": "contactnet", "optimizer": "adam:rate=0.003", "schedule": "one-cycle", "batch": 16, "epochs": 10}
SHORT: dict[str, Any] = {"net": "contactnet:hidden=8,depth=2,pairs=4,pair_depth=2", "epochs": 1}


@recipes("contacts", source=WANG)
def contacts(setting: Setting) -> Outcome:
    """Chains folded on a lattice: of the likeliest L / 5 pairs at least 24 residues apart, the share that touch, and that of the constant.

    The constant answers each pair by how often training pairs so far apart along the chain touch.
    """
    data = SHORT_CHAINS if setting.short else CHAINS
    options = {**TRAINING, **SHORT} if setting.short else TRAINING
    run = chainrule.train(data, **options, out=setting.out / "contacts", progress=False)
    result = run.test()
    baseline = result.baseline
    assert baseline is not None
    figures, rows = list[Figure](), [["measure", "net", baseline.name]]
    for name, words in (("precision_l5", "L/5 long-range precision on folded chains"), ("precision_l", "L long-range precision"),
                        ("brier", "mean squared error of a pair's probability")):
        measure = result.measures[name]
        figures.append(Figure(words, measure.value, measure.low, measure.high))
        rows.append([words, f"{measure.value:.4f}", f"{baseline.measures[name].value:.4f}"])
    picture = run.path / "contact-maps.png"
    return Outcome(figures, rows, [command(data, options)], [picture] if picture.exists() else [])
