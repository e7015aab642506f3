"""Rows as a net reads or makes them, back in the units of the data: numbers, pixels, categories and dates by their columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data.encode.features import Fitted
from chainrule.data.encode.input_encoder import InputEncoder

TRUE = 0.5  # from which on a number stands for yes
SECONDS_PER_DAY = 86_400


def unscaled(inputs: InputEncoder, rows: Tensor) -> Tensor:
    """Rows (n, ...) of an array or of pictures in the units of the data (n, *row). Features that were constant are so again."""
    rows = rows.reshape(len(rows), *inputs.shape)
    if inputs.scale is None:
        return rows * inputs.maximum
    centre, factor = inputs.scale if inputs.scale.shape[1:] != (math.prod(inputs.shape),) else inputs.scale.view(2, *inputs.shape)
    units: Tensor = torch.where(factor > 0, rows / factor, torch.zeros_like(rows)) + centre
    return units * inputs.maximum if inputs.kind == "pixels" else units


def as_columns(inputs: InputEncoder, rows: Tensor) -> dict[str, Any]:
    """Rows (n, d) of a table as its columns (n,), by name: of categories the likeliest, None where a value is missing.

    Raises InputError where a column cannot be had back from what a net reads.
    """
    assert inputs.features is not None
    columns: dict[str, Any] = {}
    at = 0
    for fitted, (centre, factor, _) in zip(inputs.features.columns, inputs.features.scale.double(), strict=True):
        own = rows[:, at : at + len(fitted.outputs)].double()
        at += len(fitted.outputs)
        missing = own[:, -1] > TRUE if fitted.indicator else torch.zeros(len(rows), dtype=torch.bool)
        values = _values(fitted, own, own[:, 0] / factor + centre if factor else centre.expand(len(rows)))
        columns[fitted.name] = [None if absent else value for value, absent in zip(values, missing.tolist(), strict=True)]
    return columns


def as_steps(rows: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Series (n, t, d) as columns (n * t,): the number of each step, from 1, and its values by name."""
    n, t = rows.shape[:2]
    columns = dict(zip(names, rows.flatten(0, 1).T.numpy(), strict=True))
    return {"step": np.tile(np.arange(1, t + 1), n), **columns}


def _values(fitted: Fitted, own: Tensor, numbers: Tensor) -> list[Any]:
    """The values (n,) of one column, from what stands for it (n, outputs), of which `numbers` (n,) is the first in its units."""
    if fitted.kind == "text":
        raise InputError(f"'{fitted.name}' holds sentences, which are read as the words in them and cannot be had back. Train without that "
                         f"column: --columns {fitted.name}:out.")
    if fitted.kind == "categorical":
        if fitted.shared:
            raise InputError(f"'{fitted.name}' has {len(fitted.rare):,} categories that share inputs, so none can be had back from a net's "
                             "rows. Train without that column: --columns " f"{fitted.name}:out.")
        return [fitted.categories[i] for i in own[:, : len(fitted.categories)].argmax(1).tolist()]
    if fitted.kind == "ordered":
        most = len(fitted.categories) - 1
        return [fitted.categories[min(max(round(v * most), 0), most)] for v in numbers.tolist()]
    if fitted.kind == "boolean":
        return [v > TRUE for v in numbers.tolist()]
    if fitted.kind == "date":
        return list((numbers.numpy() * SECONDS_PER_DAY).round().astype("datetime64[s]").astype(str))
    return list(np.asarray(numbers))
