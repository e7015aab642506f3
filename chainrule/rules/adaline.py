"""ADALINE, the delta rule: least mean squares by error times input. Widrow & Hoff (1960), https://doi.org/10.21236/AD0241531"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.rules.one_layer import SINGLE, only_layer, scored, seen, tree, wanted


@rule(source="Widrow & Hoff (1960), https://doi.org/10.21236/AD0241531", reads="features", nets=SINGLE, loss="squared",
      optimizer="sgd:rate=0.01")
@torch.no_grad()
def adaline(net: Net, batch: Batch, *, normalised: bool = False) -> tuple[dict[str, Tensor], Report]:
    """Move each weight by the error of the linear output times its input: the gradient of half the mean squared error.

    Targets may be real, signs or classes (one-hot). `normalised` is the alpha-LMS form, Widrow & Lehr (1990), https://doi.org/10.1109/5.58323:
    each error is divided by the squared length of its input (1 for the bias included), so that a rate of 1 corrects one sample exactly.
    Raises InputError where the net has more than one layer.
    """
    names = only_layer(net, "adaline")
    x, y = batch.x, batch.y  # (n, ...), (n,) or (n, outputs)
    x = seen(net, x)  # (n, d)
    outputs = scored(net, names, x)  # (n, outputs)
    error = outputs - wanted(y, outputs)  # (n, outputs)
    report = {"loss": batch.mean(0.5 * error.square().sum(1))}
    if normalised:
        length = x.square().sum(1, keepdim=True) + (names[1] is not None)  # (n, 1)
        error = error / length.clamp(min=torch.finfo(x.dtype).tiny)
    error = batch.weighted(error)
    uphill = error / len(x)  # (n, outputs)
    return tree(names, uphill.T @ x, uphill.sum(0)), report
