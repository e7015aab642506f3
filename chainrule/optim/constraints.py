"""Constraints: where parameters may be, put on them after every move."""

from __future__ import annotations

from torch import Tensor

from chainrule.core.descend import Constraint
from chainrule.core.errors import InputError
from chainrule.core.registry import constraints


@constraints("max-norm", source="Srebro & Shraibman (2005), https://doi.org/10.1007/11503415_37; Srivastava et al. (2014), section 5.1")
def max_norm(*, length: float = 3.0) -> Constraint:
    """The weights into a unit are no longer, as a vector, than `length`; longer ones are shortened. Biases are free.

    Raises InputError for a length that is not positive.
    """
    _positive("max-norm", length)

    def shorten(params: dict[str, Tensor]) -> None:
        for weight in (p for p in params.values() if p.dim() > 1):       # (units, ...)
            norm = weight.flatten(1).norm(dim=1)                         # (units,)
            scale = (length / norm.clamp(min=length)).reshape(-1, *[1] * (weight.dim() - 1))
            weight.mul_(scale)

    return shorten


@constraints("non-negative", source="Chorowski & Zurada (2015), https://doi.org/10.1109/TNNLS.2014.2310059")
def non_negative() -> Constraint:
    """No weight is below zero: a unit's evidence only adds up. Biases are free."""

    def cut(params: dict[str, Tensor]) -> None:
        for weight in (p for p in params.values() if p.dim() > 1):
            weight.clamp_(min=0)

    return cut


def _positive(name: str, length: float) -> None:
    if not length > 0:
        raise InputError(f"{name} expects length to be above 0; got {length}. Write e.g. {name}:3.")
