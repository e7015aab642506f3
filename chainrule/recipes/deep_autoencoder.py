"""A deep autoencoder unrolled from machines, against principal components. Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import chainrule
from chainrule.core.registry import recipes
from chainrule.data.source import Source
from chainrule.plots.evaluation import image_grid
from chainrule.plots.figure import to_png
from chainrule.recipes.deep_belief import written
from chainrule.recipes.few_labels import with_test
from chainrule.recipes.outcome import Figure, Outcome, Setting, command
from chainrule.workflows.run import Run

SOURCE = "Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647"
CODE = 30
FULL: dict[str, Any] = {"net": f"autoencoder:hidden=1000x500x250,code={CODE}", "loss": "binary-cross-entropy", "batch": 100,
                        "stages": "divergence", "stage_optimizer": "sgd:rate=0.1,momentum=0.9", "stage_epochs": 20,
                        "optimizer": "adam:rate=0.001", "schedule": "cosine", "epochs": 60}
SMALL: dict[str, Any] = {**FULL, "net": "autoencoder:hidden=100x50,code=10", "batch": 20, "stage_epochs": 30,
                         "optimizer": "adam:rate=0.003"}
SHOWN = 10


@recipes("deep-autoencoder", source=SOURCE)
def deep_autoencoder(setting: Setting) -> Outcome:
    """784-1000-500-250-30 and back, from four machines and from weights as drawn, against 30 principal components, on test rows."""
    data = with_test(chainrule.load("digits" if setting.short else "mnist", data_dir=setting.data_dir))
    options = SMALL if setting.short else FULL
    code = 10 if setting.short else CODE
    rows = [["seed", "start", "squared error", "principal components", "ratio"]]
    ratios: dict[str, list[float]] = {"machines": [], "as drawn": []}
    pictures: list[Path] = []
    for seed in range(1 if setting.short else setting.seeds):
        for start, stages in (("machines", options["stages"]), ("as drawn", "none")):
            setting.say(f"from {start}, seed {seed}")
            run = chainrule.train(data, **{**options, "stages": stages}, seed=seed, out=setting.out / f"{start.replace(' ', '-')}-{seed}",
                                  progress=False)
            ours, theirs = run.test().measures["squared_error"].value, _principal(run, data, code)
            ratios[start].append(theirs / ours)
            rows.append([str(seed), start, f"{ours:.3f}", f"{theirs:.3f}", f"{theirs / ours:.2f}"])
            if start == "machines" and not pictures:
                pictures.append(written(setting.out / "reconstructions.png", _sheet(run, data)))
    means = {start: sum(values) / len(values) for start, values in ratios.items()}
    return Outcome([
        Figure("squared error of principal components over that of the autoencoder", means["machines"], published=3, source=SOURCE,
               goal="none" if setting.short else "at least"),
        Figure("the same without machines", means["as drawn"]),
    ], rows, [command("mnist", options)], pictures)


def _principal(run: Run, data: Source, count: int) -> float:
    """The mean squared error of test rows as the run reads them, after so many principal components of its training rows."""
    ready = run.job.data.ready
    train = ready(run.job.data.train.x[:]).flatten(1).double()
    test = ready(data.inputs[data.parts["test"]]).flatten(1).double()
    mean = train.mean(0)
    _, vectors = torch.linalg.eigh((train - mean).T @ (train - mean))
    components = vectors[:, -count:]
    return float(((test - mean) - (test - mean) @ components @ components.T).square().sum(1).mean())


def _sheet(run: Run, data: Source) -> bytes:
    """Test pictures above what the code of each gives back."""
    shape = run.trained.encoder.inputs.picture_shape
    rows: Tensor = data.inputs[data.parts["test"][:SHOWN]]
    assert shape is not None
    originals = run.job.data.ready(rows).reshape(-1, *shape)
    back = run.trained.predictions(rows).reshape(-1, *shape)
    return to_png(image_grid(torch.cat([originals, back.to(originals)]), columns=SHOWN))
