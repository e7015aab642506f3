"""Where in a row of places several things stand one after the other: the places whose scores add up to the most.

Dynamic programming, as Matan, Burges, LeCun & Denker (1992), NIPS 4:488, read codes of five digits: Viterbi (1967),
https://doi.org/10.1109/TIT.1967.1054010
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.errors import InputError


def aligned(scores: Tensor, count: int, least: int, most: int) -> Tensor:
    """`count` ascending places (n, count), neighbours `least` to `most` apart, whose scores (n, places) have the greatest sum.

    Raises InputError where so many do not fit.

    >>> aligned(torch.tensor([[0.0, 5.0, 4.0, 0.0, 3.0]]), 2, 2, 3).tolist()
    [[1, 4]]
    """
    n, places = scores.shape
    if count < 1 or not 1 <= least <= most or (count - 1) * least >= places:
        raise InputError(f"{count} things that are {least} to {most} places apart do not fit into {places}. Give a longer row.")
    sums = scores.double()
    before: list[Tensor] = []
    for _ in range(count - 1):
        shifted = [torch.cat([sums.new_full((n, d), -torch.inf), sums], 1)[:, :places] for d in range(least, most + 1)]
        best = torch.stack(shifted).max(0)                               # (n, places): the sum so far, and how much further on it is
        sums, before = best.values + scores, [*before, best.indices + least]
    at = sums.argmax(1, keepdim=True)                                    # (n, 1)
    chosen = [at]
    for steps in reversed(before):
        at = at - steps.gather(1, at)
        chosen.append(at)
    return torch.cat(chosen[::-1], 1)
