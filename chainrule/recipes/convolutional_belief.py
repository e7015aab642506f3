"""Codes of a convolutional deep belief net, read by a linear machine. Lee et al. (2009), https://doi.org/10.1145/1553374.1553453"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import chainrule
from chainrule.core.registry import recipes
from chainrule.data.source import Source
from chainrule.evaluate.intervals import wilson
from chainrule.plots.evaluation import weight_pictures
from chainrule.plots.figure import to_png
from chainrule.recipes.deep_belief import written
from chainrule.recipes.few_labels import with_test
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.workflows.run import Run

SOURCE = "Lee, Grosse, Ranganath & Ng (2009), https://doi.org/10.1145/1553374.1553453"
FULL: dict[str, Any] = {"net": "conv-dbn:filters=40x40,kernels=9x5", "stages": "divergence:sparsity=0.03,sparsity_cost=5",
                        "stage_epochs": 5, "stage_optimizer": "sgd:rate=0.5,momentum=0.5", "steps": 1, "batch": 20}
SMALL: dict[str, Any] = {**FULL, "net": "conv-dbn:filters=16x16,kernels=3x2", "stage_epochs": 20}
LABELLED = 10_000                   # rows whose codes are read with their classes
BLOCK = 250


@recipes("convolutional-belief", source=SOURCE)
def convolutional_belief(setting: Setting) -> Outcome:
    """Two machines learned without labels; a linear support vector machine on their codes, and on pixels; sheets of their filters."""
    data = with_test(chainrule.load("digits" if setting.short else "mnist", data_dir=setting.data_dir))
    rows = [["seed", "reads", "rows", "accuracy %"]]
    right = counted = 0
    pictures: list[Path] = []
    for seed in range(1 if setting.short else setting.seeds):
        setting.say(f"machines, seed {seed}")
        run = chainrule.train(data, **(SMALL if setting.short else FULL), seed=seed, out=setting.out / f"machines-{seed}", progress=False)
        setting.say(f"support vectors, seed {seed}")
        for reads in ("pixels", "codes"):
            hits, cases, labelled = _support_vectors(run, data, reads == "codes")
            rows.append([str(seed), reads, f"{labelled:,}", f"{100 * hits / cases:.2f}"])
        right, counted = right + hits, counted + cases
        if not pictures:
            pictures = [written(setting.out / f"filters-{k}.png", to_png(weight_pictures(one.flatten(1), one.shape[1:])))
                        for k, one in enumerate(filters(run), 1)]
    ends = wilson(right, counted)
    figure = Figure("test accuracy % of an SVM on its codes", 100 * right / counted, 100 * ends.low, 100 * ends.high, source=SOURCE)
    return Outcome([figure], rows, ["Lee et al. (2009) report 99.18 % with 60,000 labels, 97.38 % with 1,000."], pictures)


def filters(run: Run) -> list[Tensor]:
    """What the units of each machine look for, as pictures (filters, c, h, w) of what they make of the pixels, by the weights alone."""
    machines = list(run.trained.net.module.get_submodule("layers"))   # type: ignore[call-overload]
    sheets = []
    for k in range(len(machines)):
        maps = machines[k].weight.detach()
        for below in reversed(machines[:k]):
            spread = F.interpolate(maps, scale_factor=float(below.pool), mode="nearest") / below.pool**2
            maps = F.conv_transpose2d(spread, below.weight.detach())
        sheets.append(maps)
    return sheets


def _support_vectors(run: Run, data: Source, codes: bool) -> tuple[int, int, int]:
    """Test rows that a linear machine on codes, or pixels, of training rows answers rightly, how many there are, and of how many rows."""
    from sklearn.svm import LinearSVC

    trained, train = run.trained, run.job.data.train
    test = data.parts["test"]

    def read(x: Tensor) -> Tensor:
        ready = trained.ready(x)
        with torch.no_grad():
            return trained.net.call("encode", ready) if codes else ready.flatten(1)

    def features(x: Tensor) -> Tensor:
        return torch.cat([read(rows) for rows in x.split(BLOCK)])

    labelled = min(LABELLED, len(train))
    x, y = features(train.x[:labelled]), train.y[:labelled]
    machine = LinearSVC(C=0.1, dual=False, tol=1e-3).fit(x.numpy(), y.numpy())
    answers = machine.predict(features(data.inputs[test]).numpy())
    return int((torch.from_numpy(answers) == data.targets[test]).sum()), len(test), labelled
