"""What members of a committee have in common of their errors: no way of combining their answers takes it away.

Krogh & Vedelsby (1995), Neural network ensembles, cross validation, and active learning, NIPS 7:231 (numbers); Hansen & Salamon (1990),
https://doi.org/10.1109/34.58871 (classes)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from torch import Tensor


@dataclass(frozen=True)
class Agreement:
    """The `share` of errors that members have in common, of `n` errors: rows that at least one member has wrong, or all rows of numbers."""

    share: float
    n: int
    counted: bool


def of_classes(answers: Tensor, truth: Tensor) -> Agreement | None:
    """Of rows that one of two members has wrong, the share to which both give the same wrong answer, the mean over pairs of members.

    `answers` (members, n) and `truth` (n,) are numbers of classes. None of fewer than two members, and where nobody errs.

    >>> import torch
    >>> of_classes(torch.tensor([[0, 1, 1, 2], [0, 1, 2, 2]]), torch.tensor([0, 0, 0, 2]))
    Agreement(share=0.5, n=2, counted=True)
    """
    wrong = answers != truth
    pairs = [(wrong[i] | wrong[j], wrong[i] & (answers[i] == answers[j])) for i, j in combinations(range(len(answers)), 2)]
    shares = [float(same.sum() / either.sum()) for either, same in pairs if either.any()]
    return Agreement(sum(shares) / len(shares), int(wrong.any(0).sum()), True) if shares else None


def of_numbers(answers: Tensor, truth: Tensor) -> Agreement | None:
    """The mean squared error of the members' mean by the mean of theirs, the mean over targets: one minus how far they differ, by that.

    `answers` are (members, n, k), `truth` (n, k). None of fewer than two members, and where nobody errs.
    """
    own = (answers - truth).square().mean((0, 1))                                                     # (k,)
    joint = (answers.mean(0) - truth).square().mean(0)
    if len(answers) < 2 or not len(truth) or not bool((own > 0).all()):
        return None
    return Agreement(float((joint / own).mean()), len(truth), False)
