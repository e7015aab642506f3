"""The perceptron rule: Rosenblatt (1958), https://doi.org/10.1037/h0042519

For several classes it is the same rule in Kesler's construction: Duda & Hart (1973), Pattern Classification and Scene Analysis.
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.rules.one_layer import only_layer, scored, seen, tree


@rule(source="Rosenblatt (1958), https://doi.org/10.1037/h0042519", reads="features", target="sign", several="class",
      nets=("perceptron", "linear", "softmax", "mark-i"), loss="perceptron", optimizer="sgd:rate=1")
@torch.no_grad()
def perceptron(net: Net, batch: Batch) -> tuple[dict[str, Tensor], Report]:
    """Turn the plane toward every point it puts on the wrong side.

    One output needs targets in {-1, +1}; several outputs need class numbers, and then the plane between the right class and its best rival
    turns. A point on the plane counts as wrong, so that a start at zero moves. Raises InputError where net or targets do not fit.
    """
    names = only_layer(net, "perceptron")
    x, y = batch.x, batch.y  # (n, ...), (n,)
    x = seen(net, x)  # (n, d)
    scores = scored(net, names, x)  # (n, outputs)
    if scores.shape[1] == 1:
        toward = y.to(scores.dtype).reshape(-1, 1)  # (n, 1)
    else:
        if y.is_floating_point():
            raise InputError(f"perceptron with {scores.shape[1]} outputs needs class numbers; got real targets. "
                             "Use --rule adaline or backprop.")
        rival = scores.scatter(1, y[:, None], float("-inf")).argmax(1)  # (n,)
        toward = _one_hot(y, scores) - _one_hot(rival, scores)  # (n, outputs)
    margin = (toward * scores).sum(1)  # (n,)
    wrong = (margin <= 0).to(scores.dtype)  # (n,)
    counted = batch.weighted(wrong)  # (n,)
    uphill = toward * (counted / -len(x))[:, None]  # (n, outputs)
    report = {"loss": batch.mean((-margin).relu()), "mistakes": wrong.sum()}
    return tree(names, uphill.T @ x, uphill.sum(0)), report


def _one_hot(y: Tensor, scores: Tensor) -> Tensor:
    return torch.zeros_like(scores).scatter(1, y[:, None], 1.0)
