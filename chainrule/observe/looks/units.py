"""Weights of some units of every layer, to see them grow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chainrule.core.registry import looks
from chainrule.core.tree import real
from chainrule.observe.look import UNITS
from chainrule.observe.replay import weights_of
from chainrule.observe.scene import Scene

LONGEST = 3072      # weights of a unit; larger units are not shown
MOST = 16384        # weights of a look in all, those of layers nearer to the input first


@looks("units", every=8)
@torch.no_grad()
def units(scene: Scene) -> dict[str, Any]:
    """The weights of the first 16 units of each layer, as long as there are not too many."""
    found: dict[str, Any] = {}
    left = MOST
    for layer in scene.layers:
        weight = next((real(w) for w in weights_of(scene.before, layer)), None)
        if weight is None:
            continue
        rows = weight.flatten(1)[:UNITS]
        rows = rows[: left // rows.shape[1]] if 0 < rows.shape[1] <= LONGEST else rows[:0]
        if len(rows):
            found[layer.name] = _rounded(rows)
            left -= rows.numel()
    return {"units": found}


def _rounded(rows: Tensor) -> Tensor:
    """To a thousandth of the power of ten below the largest of them: they are to be looked at, not computed with."""
    step = 10 ** (rows.double().abs().amax().clamp(min=1e-30).log10().floor() - 3)
    return (rows.double() / step).round() * step
