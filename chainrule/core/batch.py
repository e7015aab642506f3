"""A batch: inputs, targets, sample weights, which steps exist, whose sequence begins; the one place that knows how costs are averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

PARTS = ("x", "y", "weight", "mask", "fresh")


class Mixed(NamedTuple):
    """Targets (n, ...) of two samples that were mixed into one, and the share (n,) of the first."""

    first: Tensor
    second: Tensor
    share: Tensor


class Batch:
    """Inputs `x` (n, ...), targets `y`, sample weights (n,), `mask` (n, t) of the steps that exist, `fresh` (n,): who begins a sequence.

    Targets are a tensor (n, ...) or any tree of tensors (lengths, spans, boxes); every part but `x` may be None. A batch is one pytree:
    whatever slices, stacks, clones or moves it goes through `map`, and nobody else names its parts. Of a chunk every tensor has one
    axis more in front.
    """

    __slots__ = PARTS

    def __init__(self, x: Tensor, y: Any = None, weight: Tensor | None = None, mask: Tensor | None = None, fresh: Tensor | None = None):
        self.x, self.y, self.weight, self.mask, self.fresh = x, y, weight, mask, fresh

    def __len__(self) -> int:
        return len(self.x)

    __iter__ = None  # a batch is no pair: `x, y = batch` is an error

    def __getitem__(self, i: int) -> Batch:
        return self.map(lambda t: t[i])

    def __repr__(self) -> str:
        present = {name: part for name in PARTS if (part := getattr(self, name)) is not None}
        words = (f"{name}={list(part.shape) if isinstance(part, Tensor) else type(part).__name__}" for name, part in present.items())
        return f"Batch({', '.join(words)})"

    def map(self, f: Callable[[Tensor], Any]) -> Batch:
        """The batch with `f` applied to every tensor of every part that is there."""
        return Batch(f(self.x), map_tensors(f, self.y), map_tensors(f, self.weight), map_tensors(f, self.mask), map_tensors(f, self.fresh))

    def tensors(self) -> list[Tensor]:
        """Every tensor, in the order in which `map` meets them."""
        every: list[Tensor] = []
        self.map(every.append)
        return every

    def with_inputs(self, x: Tensor) -> Batch:
        """The same batch with other inputs."""
        return Batch(x, self.y, self.weight, self.mask, self.fresh)

    def with_targets(self, y: Any) -> Batch:
        """The same batch with other targets."""
        return Batch(self.x, y, self.weight, self.mask, self.fresh)

    def unweighted(self) -> Batch:
        """The same batch, every sample counting alike."""
        return Batch(self.x, self.y, None, self.mask, self.fresh)

    def rows(self, begin: int, end: int) -> Batch:
        """The samples (of a chunk: the batches) from `begin` up to `end`."""
        return self.map(lambda t: t[begin:end])

    def unbind(self) -> list[Batch]:
        """The batches of a chunk, each without the leading axis."""
        batches = zip(*(t.unbind() for t in self.tensors()), strict=True)
        return [self._filled(iter(parts)) for parts in batches]

    def _filled(self, tensors: Iterator[Tensor]) -> Batch:
        """A batch with the same parts, holding these tensors."""
        return self.map(lambda _: next(tensors))

    @staticmethod
    def join(batches: Sequence[Batch], f: Callable[[list[Tensor]], Tensor]) -> Batch:
        """One batch of several that have the same parts, `f` making one tensor of those in the same place."""
        return batches[0]._filled(f(list(place)) for place in zip(*(b.tensors() for b in batches), strict=True))

    def weighted(self, values: Tensor) -> Tensor:
        """Values (n, ...) of the samples times their weights; as they are where there are none."""
        return values if self.weight is None else values * _beside(self.weight, values)

    def shares(self) -> Tensor:
        """The share (n,) that each sample has in a mean over samples, in the inputs' precision."""
        ones = self.x.new_ones(len(self.x), dtype=self.x.dtype if self.x.is_floating_point() else torch.get_default_dtype())
        return self.weighted(ones) / len(self.x)

    def shares_of(self, costs: Tensor) -> Tensor:
        """What each of these costs, of samples (n,) or of steps (n, t), is multiplied by in their mean; zero where no step is."""
        if self.mask is None or costs.dim() < 2:
            return self.weighted(torch.ones_like(costs)) / costs.numel()
        return torch.where(self.mask, self.weighted(torch.ones_like(costs)), 0.0) / self.mask.sum().clamp(min=1)

    def mean(self, costs: Tensor) -> Tensor:
        """The mean over the batch of costs of samples (n,) or of steps (n, t): weighted, and over the steps that exist. A scalar."""
        if self.mask is None or costs.dim() < 2:
            return self.weighted(costs).mean()
        return torch.where(self.mask, self.weighted(costs), 0.0).sum() / self.mask.sum().clamp(min=1)

    def size(self) -> Tensor | int:
        """How many samples, or steps that exist, a mean is taken over: what a part of a batch counts by beside other parts."""
        return len(self.x) if self.mask is None else self.mask.sum().clamp(min=1)


def map_tensors(f: Callable[[Tensor], Any], part: Any) -> Any:
    """`f` of every tensor of a tree, of which anything may be None."""
    if part is None or isinstance(part, Tensor):
        return None if part is None else f(part)
    return pytree.tree_map(lambda t: None if t is None else f(t), part)


def _beside(weight: Tensor, values: Tensor) -> Tensor:
    """Weights (n,) shaped to multiply values (n, ...)."""
    return weight.reshape(-1, *([1] * (values.dim() - 1)))


def _flatten(batch: Batch) -> tuple[list[Any], tuple[str, ...]]:
    present = tuple(name for name in PARTS if getattr(batch, name) is not None)
    return [getattr(batch, name) for name in present], present


def _unflatten(parts: Any, present: tuple[str, ...]) -> Batch:
    values: Iterator[Any] = iter(parts)
    return Batch(**{name: next(values) for name in present})


pytree.register_pytree_node(Batch, _flatten, _unflatten, serialized_type_name="chainrule.core.batch.Batch")
