"""The margin loss of capsules: Sabour, Frosst & Hinton (2017), https://arxiv.org/abs/1710.09829, equation 4"""

from __future__ import annotations

from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.loss import Loss, one_hot_like, shares
from chainrule.core.registry import losses


@losses("margin", source="Sabour, Frosst & Hinton (2017), https://arxiv.org/abs/1710.09829")
def margin(*, present: float = 0.9, absent: float = 0.1, down: float = 0.5) -> Loss:
    """Lengths of capsules: max(0, present - length)^2 of the right class, `down` max(0, length - absent)^2 of each other.

    Raises InputError unless 0 <= absent < present and `down` is not negative.
    """
    if not (0 <= absent < present < float("inf") and 0 <= down < float("inf")):
        raise InputError(f"margin expects 0 <= absent < present, and down of at least 0; got present={present}, absent={absent}, "
                         f"down={down}. Write e.g. margin:present=0.9,absent=0.1.")

    def each(outputs: Tensor, y: Tensor) -> Tensor:
        right = one_hot_like(y, outputs)
        costs = right * (present - outputs).relu().square() + down * (1 - right) * (outputs - absent).relu().square()
        return costs.sum(1)

    return Loss("margin", each, shares, ("class",))
