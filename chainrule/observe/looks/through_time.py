"""How much of what a recurrent net gets wrong at the end comes back to earlier steps.

Hochreiter (1991), diploma thesis, TU Munich; Bengio, Simard & Frasconi (1994), https://doi.org/10.1109/72.279181
"""

from __future__ import annotations

from typing import Any

import torch

from chainrule.core.abilities.sequences import Recurrent
from chainrule.core.registry import looks
from chainrule.observe.scene import Scene

ROWS = 32           # of those looked at


@looks("through-time", source="Bengio, Simard & Frasconi (1994), https://doi.org/10.1109/72.279181", every=2)
def through_time(scene: Scene) -> dict[str, Any]:
    """The norm of the slope of the last step's summed loss by the inputs of each step, the last step first; of nets with memory.

    Where one answer is asked of a whole sequence, it is that answer's loss.
    """
    batch = scene.read.rows(0, ROWS)
    if scene.criterion is None or not isinstance(scene.module, Recurrent) or not batch.x.is_floating_point() or batch.x.dim() < 2:
        return {}
    net = scene.copy()
    with torch.enable_grad():
        x = batch.x.detach().clone().requires_grad_()
        costs = torch.stack(list(scene.criterion(net, batch.with_inputs(x)).values())).sum(0)     # (n,) or (n, t)
        if costs.dim() > 1:
            last = torch.full((len(costs),), costs.shape[1]) if batch.mask is None else batch.mask.sum(1)
            costs = costs.gather(1, (last.to(costs.device) - 1).clamp(min=0)[:, None])
        if not costs.requires_grad:
            return {}
        slope = torch.autograd.grad(costs.sum(), x, allow_unused=True)[0]
    if slope is None:
        return {}
    return {"through_time": slope.transpose(0, 1).flatten(1).square().sum(1).sqrt().flip(0)}
