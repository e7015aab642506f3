"""Logistic and softmax regression by Newton's method, which is least squares with new weights each time.

Nelder & Wedderburn (1972), https://doi.org/10.2307/2344614; where no maximum exists: Albert & Anderson (1984), https://doi.org/10.1093/biomet/71.1.1
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.one_layer import check_ridge, only_layer, seen, signs

ROWS = 4096      # samples whose share of the curvature is formed at a time
MOST = 4000      # weights: the curvature is a table of this many squared
HALVINGS = 20


@rule("irls", source="Nelder & Wedderburn (1972), https://doi.org/10.2307/2344614", reads="everything", target="class",
      nets=("softmax", "linear", "perceptron", "mark-i"), loss="cross-entropy", epochs=25)
class IRLS:
    """One Newton step to the weights of the greatest likelihood, halved until it helps; all samples, in float64.

    `ridge` adds ridge |w|^2 / 2 to the summed loss, biases excepted. Without it, weights that put every sample on its right side prove that
    there is no maximum: larger ones are always better. The rule then stays where it is and reports `separated` as 1. Among equals (a number
    added to the scores of all classes changes nothing) it keeps nearest to where it began. Raises InputError for more than 4,000 weights.
    """

    def __init__(self, *, ridge: float = 0.0):
        check_ridge("irls", ridge, 1)
        self.ridge = ridge

    def init(self, net: Net) -> Tree:
        """Nothing to remember. Raises InputError where the net has more than one layer, or too many weights."""
        only_layer(net, "irls")
        if net.count() > MOST:
            raise InputError(f"irls solves for all weights at once and takes at most {MOST:,}; this net has {net.count():,}. "
                             "Use --rule backprop --optimizer lbfgs.")
        return {}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        """The report is of the weights before the step: mean loss with its penalty, and whether they separate the classes."""
        names = only_layer(net, "irls")
        x = seen(net, batch.x).double()                                                # (n, d)
        x = x if names[1] is None else torch.cat([x, torch.ones_like(x[:, :1])], 1)    # (n, p)
        tensors = [net.params[name].double() for name in names if name is not None]
        weight = tensors[0] if names[1] is None else torch.cat([tensors[0], tensors[1][:, None]], 1)  # (classes, p)
        scores = x @ weight.T                                                          # (n, classes)
        if scores.shape[1] == 1:
            raise InputError("irls needs one output for each class, two at least; this net has one. Give it targets that are classes.")
        share = batch.with_inputs(x).shares()                                          # (n,)
        penalised = torch.ones_like(weight)
        if names[1] is not None:
            penalised[:, -1] = 0
        penalty = self.ridge / len(x) * penalised                                      # (classes, p)
        right = (signs(batch.y, scores) + 1) / 2
        newton = _newton(x, scores.softmax(1), right, share, weight, penalty)          # (classes, p)
        change = x @ newton.T                                                          # (n, classes)

        def height(factor: float) -> Tensor:
            w = weight - factor * newton
            each = (scores - factor * change).log_softmax(1)
            return -(right * each * share[:, None]).sum() + 0.5 * (penalty * w.square()).sum()

        here = height(0.0)
        best, taken = here, torch.zeros_like(here)
        for i in reversed(range(HALVINGS)):                                            # the longest step that helps is written last
            factor = 0.5**i
            value = height(factor)
            better = value < here
            best, taken = torch.where(better, value, best), torch.where(better, factor, taken)
        margin = (right * scores).sum(1) - torch.where(right > 0, float("-inf"), scores).amax(1)  # (n,)
        separated = ((margin > 0) | (share == 0)).all()
        stays = separated if self.ridge == 0 else torch.zeros_like(separated)
        moved = weight - torch.where(stays, 0.0, taken) * newton
        net.params[names[0]].copy_(moved if names[1] is None else moved[:, :-1])
        if names[1] is not None:
            net.params[names[1]].copy_(moved[:, -1])
        return net, state, {"loss": here, "separated": separated.to(here.dtype)}


def _newton(x: Tensor, probability: Tensor, right: Tensor, share: Tensor, weight: Tensor, penalty: Tensor) -> Tensor:
    """The shortest solution of curvature times step = gradient, shaped like the weights (classes, p)."""
    classes, p = weight.shape
    slope = ((probability - right) * share[:, None]).T @ x + penalty * weight          # (classes, p)
    curvature = torch.diag(penalty.flatten())                                          # (classes * p, classes * p)
    for rows, chance, part in zip(x.split(ROWS), probability.split(ROWS), share.split(ROWS), strict=True):
        spread = (chance[:, :, None] * rows[:, None, :]).flatten(1)                    # (rows, classes * p)
        own = torch.stack([rows.T @ (rows * (chance[:, k] * part)[:, None]) for k in range(classes)])  # (classes, p, p)
        curvature = curvature + torch.block_diag(*own) - spread.T @ (spread * part[:, None])
    values, axes = torch.linalg.eigh((curvature + curvature.T) / 2)
    large = values > values.amax() * len(values) * torch.finfo(values.dtype).eps
    gain = torch.where(large, 1 / torch.where(large, values, 1.0), 0.0)
    move: Tensor = (axes @ (gain * (axes.T @ slope.flatten()))).unflatten(0, (classes, p))
    return move
