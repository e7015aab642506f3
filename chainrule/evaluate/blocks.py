"""Cases that depend on their neighbours, taken together in blocks. Künsch (1989), https://doi.org/10.1214/aos/1176347265"""

from __future__ import annotations

from torch import Tensor


def block_means(values: Tensor, size: int) -> Tensor:
    """One number (blocks,) for each `size` neighbours of values (n,), scaled so that their mean is that of the values.

    What is left over at the end belongs to the last whole block; fewer values than a block are one.

    >>> import torch
    >>> block_means(torch.tensor([1.0, 3.0, 2.0, 6.0, 8.0], dtype=torch.float64), 2).tolist()
    [1.6, 6.4]
    """
    n = len(values)
    count = max(1, n // max(size, 1))
    each = (values.new_ones(n).cumsum(0) - 1).div(max(size, 1), rounding_mode="floor").clamp(max=count - 1).long()
    return values.new_zeros(count).index_add_(0, each, values) * (count / n)
