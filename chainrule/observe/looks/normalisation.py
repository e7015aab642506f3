"""How far the running statistics of batch normalisation are from those of rows: what evaluation normalises by, and what training does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from chainrule.core.registry import looks
from chainrule.observe.replay import Layer
from chainrule.observe.scene import Scene


@looks("normalisation", source="Ioffe & Szegedy (2015), https://arxiv.org/abs/1502.03167")
@torch.no_grad()
def normalisation(scene: Scene) -> dict[str, Any]:
    """The root mean square over channels of the distance from the running mean to that of rows, in running deviations, by layer."""
    rows = [_drift(scene, layer) for layer in scene.layers]
    return {"drift": rows} if any(row is not None for row in rows) else {}


def _drift(scene: Scene, layer: Layer) -> Tensor | None:
    if layer.drift is None:
        return None
    part = scene.module.get_submodule(layer.norm)
    if not isinstance(part, _BatchNorm) or part.running_mean is None or part.running_var is None:
        return None
    return ((layer.drift[0] - part.running_mean) / (part.running_var + part.eps).sqrt()).square().mean().sqrt()
