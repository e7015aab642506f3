"""What one look at a training saw, as numbers a layer: what `Looked` carries and the run log keeps.

A look replays one step on a copy with fixed training rows; `docs/seeing.md` says when and at what cost.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BINS = 32
LOWEST, HIGHEST = 1e-9, 1e3            # of a histogram; what is nearer to zero is in the first bin, what is larger in the last
UNITS = 16                             # of a layer whose weights are shown
DIGITS = 6                             # that a number of a record has

Row = Sequence[float | None]           # an entry for each layer, None where it does not apply


@dataclass(frozen=True)
class Look:
    """One look. Every row has an entry for each name in `layers`, the nearest to the input first, None where it does not apply.

    `activation_mean` and `activation_sd` are of what a layer gives, `zero` is the share of it next to zero, `dead` the share of units that
    are so for every row, `saturated` the share at the flat ends of a sigmoid or tanh. `gradient` is the root mean square of the derivative
    of the summed loss by what a layer gives, each sample's own; `weight_gradient` that of the mean loss by its weights, or where a rule
    descends no gradient of the direction that `direction` names. `weight` and `spectrum` are the norm and the largest singular value of the
    weights, `update` the norm of the step's change by that of the weights. `histograms` count absolute values in 32 bins, even in their
    logarithm, from 1e-9 to 1e3, a list for each layer. `loss` and `evaluated_loss` are those of the rows looked at in training and in
    evaluation mode, `norm` that of the whole gradient. Seldom there: `noise_scale` (samples), `curvature`, the largest eigenvalue of the
    Hessian, `slope_curvature`, that along the gradient, and `units`, the weights of at most 16 units by layer. `through_time` is the norm
    of the gradient by steps back from the end of a sequence. What families add is None elsewhere; `more` is what further looks saw.
    """

    layers: Sequence[str] = ()
    kinds: Sequence[str] = ()
    activation_mean: Row = ()
    activation_sd: Row = ()
    zero: Row = ()
    dead: Row = ()
    saturated: Row = ()
    gradient: Row = ()
    weight_gradient: Row = ()
    weight: Row = ()
    spectrum: Row = ()
    update: Row = ()
    histograms: Mapping[str, Sequence[Sequence[int] | None]] = field(default_factory=dict)
    loss: float | None = None
    evaluated_loss: float | None = None
    norm: float | None = None
    noise_scale: float | None = None
    curvature: float | None = None
    slope_curvature: float | None = None
    through_time: Sequence[float] = ()
    units: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    direction: str = ""
    reconstruction: float | None = None
    free_energy_gap: float | None = None
    balance: float | None = None
    coverage: float | None = None
    divergence: Sequence[float] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """What `Looked.looks` holds: plain lists and numbers of six digits, without what there is not."""
        fields = {name: value for name, value in vars(self).items() if name != "more"}
        return {name: _plain(value) for name, value in {**fields, **self.more}.items() if not _absent(value)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Look:
        """The look of a record, also of one that a log kept, where numbers that are not finite are words."""
        names = {one.name for one in dataclasses.fields(cls)} - {"more"}
        known = {name: value if name in ("layers", "kinds", "direction") else _numbers(value) for name, value in record.items()
                 if name in names}
        return cls(**known, more={name: _numbers(value) for name, value in record.items() if name not in names})

    def of(self, name: str) -> Row:
        """A row by its name, with an entry for each layer even where nobody looked."""
        row: Row = getattr(self, name)
        return row or [None] * len(self.layers)


def edges() -> list[float]:
    """The 33 edges of the bins of a histogram."""
    step = (math.log10(HIGHEST) - math.log10(LOWEST)) / BINS
    return [10 ** (math.log10(LOWEST) + i * step) for i in range(BINS + 1)]


def _absent(value: Any) -> bool:
    """None, an empty row, a row of a look that applies to no layer."""
    if isinstance(value, (list, tuple)):
        return all(one is None for one in value)
    return value is None or value == "" or value == {}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def _numbers(value: Any) -> Any:
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    if isinstance(value, Mapping):
        return {name: _numbers(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_numbers(one) for one in value]
    return value
