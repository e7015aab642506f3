"""A series: the rows of a table, or of an array, one after the other, in windows of so many steps or a sequence for each group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Form:
    """The columns of each step by name, the column by which steps are in order, and that whose values name the sequences."""

    names: tuple[str, ...]
    time: str | None = None
    group: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"names": list(self.names), "time": self.time, "group": self.group}


@dataclass(frozen=True)
class Series:
    """Sequences of numbers: `values` (n, t, d) float64, NaN where one is missing and at steps past the end of a sequence."""

    values: Tensor
    form: Form

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)
