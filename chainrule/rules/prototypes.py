"""What the rules for one layer of prototypes share: finding that layer, who won what, and where units go that win nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.rules.one_layer import refuse_frozen

WEIGHT = "weight"


def check_prototypes(net: Net, rule: str, fit: str) -> None:
    """Raises InputError where the net is more than one layer of prototypes (k, d), or that layer is frozen."""
    refuse_frozen(net, rule)
    if set(net.params) != {WEIGHT} or net.params[WEIGHT].dim() != 2:
        raise InputError(f"{rule} moves one layer of prototypes; {type(net.module).__name__} has {', '.join(net.params) or 'nothing'} to "
                         f"learn. Use --net {fit}, or another --rule.")


def shared_out(x: Tensor, winner: Tensor, share: Tensor, units: int) -> tuple[Tensor, Tensor]:
    """The summed shares (units,) of the rows (n, d) that each unit has won, and the rows so weighted, summed (units, d)."""
    own = (winner[:, None] == torch.arange(units, device=x.device)).to(x.dtype) * share[:, None]     # (n, units)
    return own.sum(0), own.T @ x


def farthest_rows(x: Tensor, distance: Tensor, vacant: Tensor) -> Tensor:
    """For each unit that is vacant (k,) a row (k, d) of its own, those farthest (n,) from their units first."""
    place = (vacant.long().cumsum(0) - 1).clamp(min=0, max=len(x) - 1)
    return x[distance.argsort(descending=True)[place]]
