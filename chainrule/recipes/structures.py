"""What a residue is part of, from the letters of its chain: a net that reads from both ends beside one that sees a residue alone."""

from __future__ import annotations

from typing import Any

import torch

import chainrule
from chainrule.core.registry import recipes
from chainrule.recipes.outcome import Figure, Outcome, Setting, command
from chainrule.workflows.run import Run

QIAN = "Qian & Sejnowski (1988), https://doi.org/10.1016/0022-2836(88)90564-5"
CHAINS, SHORT_CHAINS = "structures:count=2000", "structures:count=60"
TRAINING: dict[str, Any] = {"net": "gru:hidden=64,bidirectional=yes", "optimizer": "adam:rate=0.005", "schedule": "cosine", "batch": 32,
                            "epochs": 15, "buckets": 4}
SHORT: dict[str, Any] = {"net": "gru:hidden=8,bidirectional=yes", "batch": 8, "epochs": 1, "buckets": 2}


@recipes("structures", source=QIAN)
def structures(setting: Setting) -> Outcome:
    """Helices, strands and loops of chains folded on a lattice, told from letters of which four tenths are drawn at random.

    Beside the net stands what a residue's own letter says: the tag that it has most often in the training part. Qian & Sejnowski had
    64.3 % of three tags right, of real proteins. In batches of like length; a quarter of an hour of two cores.
    """
    data = SHORT_CHAINS if setting.short else CHAINS
    options = {**TRAINING, **SHORT} if setting.short else TRAINING
    run = chainrule.train(data, **options, out=setting.out / "structures", progress=False)
    result = run.test()
    measure, baseline = result.measures["accuracy"], result.baseline
    assert baseline is not None
    alone, ours = by_letter(run), run.valid.measures["accuracy"].value
    rows = [["answered by", "% of residues right"], ["the net", f"{100 * measure.value:.2f}"],
            ["the residue's own letter, validation part", f"{100 * alone:.2f}"],
            [baseline.name, f"{100 * baseline.measures['accuracy'].value:.2f}"]]
    low, high = (None if end is None else 100 * end for end in (measure.low, measure.high))
    return Outcome([
        Figure("% of residues whose helix, strand or loop is told", 100 * measure.value, low, high),
        Figure("the same less what a residue's own letter tells, on the validation part, in points", 100 * (ours - alone),
               published=0, source=QIAN, goal="none" if setting.short else "at least")], rows, [command(data, options)])


def by_letter(run: Run) -> float:
    """The share of residues of the validation part whose tag is the one that their letter has most often in the training part."""
    data = run.job.data
    letters, tags = len(data.encoder.inputs.vocabulary) + 2, len(data.encoder.target.classes)
    train, valid = data.train, data.valid
    there, present = (part.y >= 0 if part.mask is None else part.mask for part in (train, valid))
    pairs = train.x[there].long() * tags + train.y[there]
    usual = torch.bincount(pairs, minlength=letters * tags).view(letters, tags).argmax(1)
    return float((usual[valid.x.long()] == valid.y)[present].double().mean())
