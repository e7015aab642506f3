"""How large every layer's weights are, and how far the step moves them by that.

The ratio is about 1e-3 where a rate is right for plain descent: Bottou (2012), https://doi.org/10.1007/978-3-642-35289-8_25, section 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from chainrule.core.registry import looks
from chainrule.core.tree import real
from chainrule.observe.scene import Scene


@looks("weights", source="Bottou (2012), https://doi.org/10.1007/978-3-642-35289-8_25")
@torch.no_grad()
def weights(scene: Scene) -> dict[str, Any]:
    """The norm of each layer's weights, and that of the step's change by it."""
    norms = _norms(scene, {name: real(p.detach()) for name, p in scene.before.params.items()})
    changes = _norms(scene, scene.changes)
    update = [None if norm is None or change is None else change / norm.clamp(min=torch.finfo(norm.dtype).tiny)
              for norm, change in zip(norms, changes, strict=True)]
    return {"weight": norms, "update": update}


def _norms(scene: Scene, tensors: Mapping[str, Tensor]) -> list[Tensor | None]:
    """The norm over each layer's weights."""
    every = dict(zip(tensors, torch._foreach_norm(list(tensors.values())), strict=True)) if tensors else {}
    rows = [[every[name] for name in layer.weights if name in every] for layer in scene.layers]
    return [torch.stack(own).square().sum().sqrt() if own else None for own in rows]
