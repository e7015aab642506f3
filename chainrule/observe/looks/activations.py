"""What every layer gives: its mean and deviation, and how much of it is zero, dead, or at the flat ends of its activation.

Glorot & Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chainrule.core.registry import looks
from chainrule.observe.scene import Scene

ZERO = 1e-12                                                    # what is nearer to zero than this counts as zero
FLAT = {"Tanh": (-0.990, 0.990), "Sigmoid": (0.0067, 0.9933),   # where |x| is 2.65 and more, and 5
        "ScaledTanh": (-1.699, 1.699), "Hardtanh": (-1.0, 1.0), "ElmanLayer": (-0.990, 0.990)}
SEVERAL_AXES = ("Conv1d", "ConvTranspose1d")                    # layers of three axes whose units are the second


@looks("activations", source="Glorot & Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html")
@torch.no_grad()
def activations(scene: Scene) -> dict[str, Any]:
    """Names of the layers and, of what each gives: mean, standard deviation, shares of zeros, dead units and saturated numbers."""
    rows = [None if layer.output is None else layer.output.detach() for layer in scene.layers]
    found: dict[str, Any] = {"layers": [layer.name for layer in scene.layers], "kinds": [layer.kind for layer in scene.layers]}
    found["activation_mean"] = [None if a is None else a.mean() for a in rows]
    found["activation_sd"] = [None if a is None else a.std(correction=0) for a in rows]
    found["zero"] = [None if a is None else (a.abs() < ZERO).float().mean() for a in rows]
    found["dead"] = [None if a is None else dead(a, layer.kinds) for a, layer in zip(rows, scene.layers, strict=True)]
    found["saturated"] = [None if a is None else saturated(a, layer.kinds) for a, layer in zip(rows, scene.layers, strict=True)]
    loss = scene.report.get("loss")
    return {**found, **({} if loss is None else {"loss": loss})}


def dead(a: Tensor, kinds: list[str]) -> Tensor:
    """The share of units that give zero for all rows (n, ...), at all steps and places."""
    if a.dim() == 1:
        return (a.abs() < ZERO).all().float()
    axis = 1 if a.dim() != 3 or kinds[0] in SEVERAL_AXES else 2
    others = [i for i in range(a.dim()) if i != axis]
    return (a.abs().amax(others) < ZERO).float().mean()


def saturated(a: Tensor, kinds: list[str]) -> Tensor | None:
    """The share of numbers at the flat ends of the layer's activation; None for one that has no two such ends."""
    ends = next((FLAT[kind] for kind in reversed(kinds) if kind in FLAT), None)
    return None if ends is None else ((a <= ends[0]) | (a >= ends[1])).float().mean()
