"""How much each row counts in training: a column of a table, checked, and any weights scaled to be 1 on average."""

from __future__ import annotations

from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data.encode.columns import Column


def of_column(column: Column, where: str) -> Tensor:
    """The weights (n,) float64 that a column without gaps holds. Raises InputError for words, for numbers below 0, and where all are 0."""
    if column.categories:
        raise InputError(f"{where}: the weight column '{column.name}' holds words such as '{column.word(0)}'; expected a number of at "
                         "least 0 in each row. Name another column with --weight.")
    negative = (column.values < 0).nonzero()
    if len(negative):
        row = int(negative[0, 0])
        raise InputError(f"{where}, row {row + 1}: the weight '{column.name}' must be at least 0; got {column.word(row)}. Correct it, or "
                         "remove the row.")
    if not bool(column.values.any()):
        raise InputError(f"{where}: the weight column '{column.name}' is 0 in all {len(column)} rows; expected a number above 0 where a "
                         "row counts. Fill it, or leave out --weight.")
    return column.values


def product(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Weights of the same rows (n,), multiplied; None counts every row alike."""
    return other if one is None else one if other is None else one * other


def one_on_average(weights: Tensor, name: str) -> Tensor | None:
    """Weights of training rows (n,) as float32 with a mean of 1, so that the usual rate still fits.

    None where all are the same: then none is better, to the last digit. Raises InputError where all are 0.
    """
    if not bool(weights.any()):
        raise InputError(f"{name}: all {len(weights)} training rows have the weight 0; expected some above 0. Give other weights, or "
                         "divide the rows otherwise with --split or --seed.")
    if bool((weights == weights[0]).all()):
        return None
    weights = weights.double()
    return (weights / weights.mean()).float()
