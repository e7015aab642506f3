"""Muon: the momentum of every matrix, with its singular values pulled to one, as the move. Jordan et al. (2024),
https://kellerjordan.github.io/posts/muon/; matched to Adam's moves by Liu et al. (2025), https://arxiv.org/abs/2502.16982
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from chainrule.core.descend import Optimizer
from chainrule.core.errors import InputError
from chainrule.core.registry import optimizers
from chainrule.core.tree import Tree
from chainrule.optim.first_order import active, adaptive_moments, check_least, check_positive, check_share, descend, each, follow_

SMALLEST = 1e-7  # of a matrix's norm, by which it is divided


@optimizers(source="Jordan et al. (2024), https://kellerjordan.github.io/posts/muon/")
def muon(*, rate: float = 0.02, momentum: float = 0.95, nesterov: bool = True, decay: float = 0.0, rounds: int = 5,
         scale: Literal["original", "match-rms"] = "original", coefficients: tuple[float, ...] = (3.4445, -4.775, 2.0315),
         rest: float = 3e-4, beta1: float = 0.9, beta2: float = 0.95, epsilon: float = 1e-10) -> Optimizer:
    """Weights of two axes move by their momentum with all its singular values near one; every other parameter moves by AdamW.

    Singular values s become those of `rounds` times s <- a s + b s^3 + c s^5, the `coefficients` a, b, c: Newton and Schulz's iteration,
    in the weights' own precision. A matrix with more rows than columns moves further by the root of their quotient, or, under
    `match-rms`, every matrix by a fifth of the root of its longer side. AdamW has the rate `rest` and the options `beta1`, `beta2` and
    `epsilon`; `decay` shrinks all. The first and the last layer, which Jordan leaves to AdamW, are matrices here as the others are. Raises
    InputError for a rate or an epsilon that is not positive, a share outside [0, 1), a negative decay, other than three coefficients,
    or fewer than one round.
    """
    check_positive("muon", rate=rate, rest=rest)
    check_least("muon", decay=decay)
    check_share("muon", momentum=momentum)
    if len(coefficients) != 3:
        raise InputError(f"muon expects three coefficients, of s, s^3 and s^5; got {len(coefficients)}. "
                         "Write e.g. muon:coefficients=3.4445x-4.775x2.0315.")
    if rounds < 1:
        raise InputError(f"muon expects at least one round; got {rounds}. Write e.g. muon:rounds=5.")
    others = adaptive_moments("muon", rest, beta1, beta2, epsilon, added=0.0, decoupled=decay)

    def init(params: dict[str, Tensor]) -> Tree:
        return {"velocity": {k: torch.zeros_like(p) for k, p in params.items() if p.dim() == 2},
                "others": others.init({k: p for k, p in params.items() if p.dim() != 2})}

    def update(params: dict[str, Tensor], direction: dict[str, Tensor], state: Tree, factor: float | Tensor, loss: Tensor | None) -> Tree:
        apart = {k: d for k, d in direction.items() if d.dim() != 2}
        if apart:
            state["others"] = others.update(params, apart, state["others"], factor, loss)
        slopes = {k: d for k, d in direction.items() if d.dim() == 2}
        if not slopes:
            return state
        into, velocity = [params[k] for k in slopes], [state["velocity"][k] for k in slopes]
        slope = list(slopes.values())
        follow_(velocity, slope, momentum)
        ahead = velocity
        if nesterov:
            ahead = each("mul", slope, 1 - momentum)  # type: ignore[assignment]
            each("add_", ahead, velocity, alpha=momentum)
        if active(decay):
            each("mul_", into, 1 - rate * factor * decay)
        descend(into, [_stretch(a.shape, scale) * orthogonal(a, rounds, coefficients) for a in ahead], rate, factor)
        return state

    return Optimizer(init, update)


def orthogonal(matrix: Tensor, rounds: int, coefficients: tuple[float, ...]) -> Tensor:
    """A matrix (m, n) with its singular vectors and with singular values near one, but for those near zero."""
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / x.norm().clamp(min=SMALLEST)                                  # (short, long), singular values at most 1
    for _ in range(rounds):
        gram = x @ x.mT                                                   # (short, short)
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    turned: Tensor = x.mT if tall else x
    return turned


def _stretch(shape: torch.Size, scale: str) -> float:
    rows, columns = shape
    return math.sqrt(max(1.0, rows / columns)) if scale == "original" else 0.2 * math.sqrt(max(rows, columns))
