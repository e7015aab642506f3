"""The largest singular value of every layer's weights: how much it can stretch what it reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chainrule.core.registry import looks
from chainrule.observe.replay import weights_of
from chainrule.observe.scene import Scene

EXACT = 2**14       # numbers of a matrix up to which all singular values are computed
ROUNDS = 30         # of the power method on larger ones


@looks("spectrum", every=4)
@torch.no_grad()
def spectrum(scene: Scene) -> dict[str, Any]:
    """The largest singular value of each layer's weights, as matrices (units, inputs); of several the largest."""
    rows = [[largest(w) for w in weights_of(scene.before, layer)] for layer in scene.layers]
    return {"spectrum": [torch.stack(own).amax() if own else None for own in rows]}


def largest(weight: Tensor) -> Tensor:
    """The largest singular value of weights (units, ...), of large ones by the power method, which comes to it from below."""
    matrix = weight.flatten(1)
    if matrix.numel() <= EXACT:
        exact: Tensor = torch.linalg.matrix_norm(matrix.to(torch.complex64 if matrix.is_complex() else torch.float32), ord=2)
        return exact
    other = matrix.mH
    v = torch.ones_like(matrix[0]) + torch.arange(matrix.shape[1], device=matrix.device).remainder(7)   # orthogonal to hardly anything
    for _ in range(ROUNDS):
        v = other @ (matrix @ v)
        v = v / torch.linalg.vector_norm(v).clamp(min=1e-30)
    reached: Tensor = torch.linalg.vector_norm(matrix @ v)
    return reached
