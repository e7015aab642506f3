"""What several nets say of the same samples as one answer: their mixture, their product, or a vote.

Breiman (1996), https://doi.org/10.1007/BF00058655 (mean and vote); Hinton (2002), https://doi.org/10.1162/089976602760128018 (product);
Zhu, Zou, Rosset & Hastie (2009), https://doi.org/10.4310/SII.2009.v2.n3.a8 (weighted votes)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest

WAYS = ("mean", "product", "vote")


def combine(answers: Tensor, by: str = "mean", weights: Sequence[float] | None = None) -> Tensor:
    """Class probabilities (members, n, classes) of several nets as one (n, classes), each net with its weight, equal where left out.

    `mean` is the mixture; `product` the geometric mean, its rows divided by their sums; `vote` the share of votes for each class. Values
    of regression have a mean alone; answers at steps are (members, n, t, classes). Raises InputError for another way, and where the
    weights do not fit.

    >>> answers = torch.tensor([[[0.3, 0.2, 0.5]], [[0.1, 0.8, 0.1]]])
    >>> [round(p, 3) for p in combine(answers)[0].tolist()]
    [0.2, 0.5, 0.3]
    >>> [round(p, 3) for p in combine(answers, "product")[0].tolist()]
    [0.217, 0.502, 0.281]
    """
    if by not in WAYS:
        raise InputError(f"A committee answers by {', '.join(WAYS[:-1])} or {WAYS[-1]}; got '{by}'. {suggest(by, WAYS)}")
    if answers.dim() < 3 or len(answers) < 1:
        raise InputError(f"A committee needs the answers of each member, of shape (members, samples, outputs); got {tuple(answers.shape)}. "
                         "Stack the members' predictions.")
    return joined(answers, by, shares(weights, len(answers)).to(answers))


def joined(answers: Tensor, by: str, share: Tensor) -> Tensor:
    """What `combine` gives, for shares (members,) that sum to one; in operations that a graph can hold."""
    if by == "vote":
        answers = torch.nn.functional.one_hot(answers.argmax(-1), answers.shape[-1]).to(answers.dtype)
    if by == "product":
        tiny = torch.finfo(answers.dtype).tiny                                     # a class that one member rules out stays comparable
        return torch.einsum("m,m...->...", share, answers.clamp(min=tiny).log()).softmax(-1)
    return torch.einsum("m,m...->...", share, answers)


def shares(weights: Sequence[float] | None, members: int) -> Tensor:
    """Weights that sum to one, (members,) float64."""
    w = torch.ones(members, dtype=torch.float64) if weights is None else torch.as_tensor(weights, dtype=torch.float64)
    if w.shape != (members,) or not bool(w.isfinite().all()) or bool((w < 0).any()) or float(w.sum()) <= 0:
        raise InputError(f"A committee of {members} needs a finite weight of at least 0 for each member, one of them above 0; got "
                         f"{w.tolist()}.")
    return w / w.sum()
