"""What the folder of a run says of its encoder beside the tensors, as dataclasses: what is read is checked against them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from chainrule.core.schema import Count, Misfit, Natural
from chainrule.core.traits import Range
from chainrule.data.encode.features import Fitted
from chainrule.data.encode.lagged import Lagging
from chainrule.data.encode.series import Form
from chainrule.data.formats import Format
from chainrule.data.source import TargetKind
from chainrule.data.tokens import Unit


@dataclass(frozen=True)
class Described:
    """An input encoder without its tensors; the last three are of symbols."""

    kind: str
    shape: tuple[Count, ...]
    range: Range
    flatten: bool
    maximum: float
    stride: Natural | None
    apart: tuple[str, ...]
    notes: tuple[str, ...]
    formats: dict[str, Format]
    reading: dict[str, Any]
    column_kinds: dict[str, str]
    sequences: bool
    column: str
    columns: tuple[Fitted, ...] | None
    series: Form | None
    lagged: Lagging | None
    symbols: tuple[str, ...] = ()
    unit: Unit = "characters"
    merges: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class DescribedTarget:
    """A target encoder without its tensors."""

    kind: TargetKind
    classes: tuple[str, ...]
    names: tuple[str, ...]
    columns: tuple[str, ...]
    open: bool


def tensor(tensors: Mapping[str, Tensor], name: str, *shape: int | None) -> Tensor:
    """A tensor of real numbers whose first axes have these lengths, None being any. Raises Misfit."""
    found = tensors.get(name)
    wanted = f"numbers ({', '.join('any' if length is None else str(length) for length in shape)})"
    if found is None or not found.is_floating_point():
        raise Misfit(wanted, "nothing" if found is None else str(found.dtype), name)
    if found.dim() < len(shape) or any(want not in (None, have) for want, have in zip(shape, found.shape)):
        raise Misfit(wanted, str(tuple(found.shape)), name)
    return found
