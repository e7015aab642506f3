"""Rows of tensors, picked by their numbers."""

from __future__ import annotations

from torch import Tensor


def gather(values: Tensor, rows: Tensor | None) -> Tensor:
    """The rows of a tensor; a view, without copying, where they follow each other."""
    if rows is None:
        return values
    if len(rows) and int(rows[-1] - rows[0]) == len(rows) - 1 and bool((rows[1:] > rows[:-1]).all()):
        return values[int(rows[0]) : int(rows[-1]) + 1]
    return values.index_select(0, rows)
