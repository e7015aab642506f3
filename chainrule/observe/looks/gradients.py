"""What comes back to every layer: the slope of the loss by what it gives and by its weights.

Hochreiter (1991), diploma thesis, TU Munich; Glorot & Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chainrule.core.registry import looks
from chainrule.observe.scene import Scene


@looks("gradients", source="Hochreiter (1991), diploma thesis, TU Munich")
@torch.no_grad()
def gradients(scene: Scene) -> dict[str, Any]:
    """Root mean squares of the slope of the summed loss by each layer's output, and of the rule's direction by its weights; its norm."""
    directions = scene.directions
    names = list(directions)
    norms = dict(zip(names, torch._foreach_norm(list(directions.values())), strict=True)) if names else {}
    coming = [None if layer.slope is None else layer.slope.square().mean().sqrt() * scene.scale for layer in scene.layers]
    by_weights: list[Tensor | None] = []
    for layer in scene.layers:
        own = [name for name in layer.weights if name in norms]
        size = sum(directions[name].numel() for name in own)
        by_weights.append((torch.stack([norms[name] for name in own]).square().sum() / size).sqrt() if size else None)
    whole = {"norm": torch.stack(list(norms.values())).square().sum().sqrt()} if norms else {}
    return {"gradient": coming, "weight_gradient": by_weights, **whole}
