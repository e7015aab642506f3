"""Which steps of sequences exist, where shorter ones are filled up at their ends."""

from __future__ import annotations

from torch import Tensor


def until_last(seen: Tensor) -> Tensor:
    """Steps (n, t) up to the last one that was seen; what was not seen before it exists too.

    >>> import torch
    >>> until_last(torch.tensor([[True, False, True, False], [False, False, False, False]])).int().tolist()
    [[1, 1, 1, 0], [0, 0, 0, 0]]
    """
    exist: Tensor = seen.flip(1).cumsum(1).flip(1) > 0
    return exist
