"""Rows of tensors, picked by their numbers."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from chainrule.data.storage.stored import StoredArray


def gather(values: Tensor, rows: Tensor | None) -> Tensor:
    """The rows of a tensor; a view, without copying, where they follow each other."""
    if rows is None:
        return values
    if len(rows) and int(rows[-1] - rows[0]) == len(rows) - 1 and bool((rows[1:] > rows[:-1]).all()):
        return values[int(rows[0]) : int(rows[-1]) + 1]
    return values.index_select(0, rows)


def pieces(x: Tensor | StoredArray, rows: Tensor) -> Iterable[Tensor]:
    """These rows of an array, in their order: all at once from memory, as many at a time as that is meant to hold from disk."""
    return x.pieces(rows) if isinstance(x, StoredArray) else [gather(x, rows)]
