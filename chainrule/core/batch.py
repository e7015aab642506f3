"""A batch: inputs, targets, sample weights; the one place that knows how they are averaged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree


class Batch:
    """Inputs (n, ...), targets (n,) or (n, k) or None, and sample weights (n,) or None; `x, y = batch` unpacks it."""

    __slots__ = ("weight", "x", "y")

    def __init__(self, x: Tensor, y: Tensor | None = None, weight: Tensor | None = None):
        self.x, self.y, self.weight = x, y, weight

    def __iter__(self) -> Iterator[Any]:
        return iter((self.x, self.y))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Batch:
        return Batch(self.x[i], None if self.y is None else self.y[i], None if self.weight is None else self.weight[i])

    def rows(self, begin: int, end: int) -> Batch:
        """The samples (of a chunk: the batches) from `begin` up to `end`."""
        return Batch(self.x[begin:end], None if self.y is None else self.y[begin:end],
                     None if self.weight is None else self.weight[begin:end])

    def mean(self, each: Tensor) -> Tensor:
        """The mean over the batch of a per-sample quantity (n,), weighted where weights were given."""
        return each.mean() if self.weight is None else (each * self.weight).mean()


pytree.register_pytree_node(
    Batch,
    lambda b: ([b.x, b.y, b.weight], None),
    lambda parts, _: Batch(*parts),
    serialized_type_name="chainrule.core.rule.Batch",
)
