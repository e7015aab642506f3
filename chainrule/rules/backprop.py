"""Back-propagation: the gradient of a loss by the chain rule. Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion, Objective, cost_of, mean_costs
from chainrule.core.descend import Penalty
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import value_and_grad
from chainrule.rules.clipping import clipped


def objective(criterion: Criterion, *, l1: float = 0.0, l2: float = 0.0, clip: float | None = None) -> Objective:
    """What back-propagation takes the gradient of. Raises InputError for a clip, which means nothing to a solver."""
    if clip is not None:
        raise InputError("An optimizer that solves for its steps does not follow a clipped gradient. Leave out backprop:clip.")
    return Objective(criterion, l1=l1, l2=l2)


def penalty(*, l1: float = 0.0, l2: float = 0.0, clip: float | None = None) -> Penalty | None:
    """What the gradient goes down beside the loss, where anything; a clip changes its length alone."""
    return partial(cost_of, l1=l1, l2=l2) if _asked(l1, l2) else None


@rule(source="Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0", additive=("clip",), objective=objective,
      penalty=penalty)
def backprop(net: Net, batch: Batch, *, criterion: Criterion, l1: float = 0.0, l2: float = 0.0,
             clip: float | None = None) -> tuple[dict[str, Tensor], Report]:
    """The gradient of the sum of the mean costs, with penalties on the weights and a limit to its length where asked.

    `l1` |w| + `l2` w^2 / 2 is added for every weight, biases excepted; the report has the costs without it. A gradient longer than
    `clip`, over all parameters together, is shortened to it: Pascanu, Mikolov & Bengio (2012), https://arxiv.org/abs/1211.5063.
    """

    def objective(net: Net, batch: Batch) -> tuple[Tensor, Report]:
        total, report = mean_costs(criterion(net, batch), batch)
        return total, {name: cost.detach() for name, cost in report.items()}

    _, report, slope = value_and_grad(objective, net, batch)
    if _asked(l1, l2):
        slope = _penalised(slope, net.params, l1, l2)
    if clip is not None:
        slope = clipped("backprop", slope, clip)
    return slope, report


def _asked(*penalties: float) -> bool:
    """Whether any is above zero; a tensor is one that every member of a stack has for itself."""
    return any(isinstance(p, Tensor) or p for p in penalties)


@torch.no_grad()
def _penalised(slope: dict[str, Tensor], params: dict[str, Tensor], l1: float, l2: float) -> dict[str, Tensor]:
    if any(not isinstance(penalty, Tensor) and penalty < 0 for penalty in (l1, l2)):
        raise InputError(f"backprop expects the penalties l1 and l2 to be at least 0; got l1={l1}, l2={l2}.")
    return {k: g if params[k].dim() < 2 else g + l2 * params[k] + l1 * _direction(params[k]) for k, g in slope.items()}


def _direction(w: Tensor) -> Tensor:
    return w.sgn() if w.is_complex() else w.sign()
