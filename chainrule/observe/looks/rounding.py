"""Which share of the weights a step leaves as they are though they have a gradient, where weights are of few digits.

Micikevicius et al. (2017), https://arxiv.org/abs/1710.03740, section 3.1
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chainrule.core.registry import looks
from chainrule.observe.scene import Scene

SHORT = (torch.bfloat16, torch.float16)


@looks("rounding", source="Micikevicius et al. (2017), https://arxiv.org/abs/1710.03740")
@torch.no_grad()
def rounding(scene: Scene) -> dict[str, Any]:
    """`rounded`: of each layer whose weights are bfloat16 or float16 the share of those with a direction that do not change."""
    if not any(p.dtype in SHORT for p in scene.before.params.values()):
        return {}
    return {"rounded": [_unmoved(scene, layer.weights) for layer in scene.layers]}


def _unmoved(scene: Scene, names: list[str]) -> Tensor | None:
    own = [name for name in names if name in scene.before.params and scene.before.params[name].dtype in SHORT]
    if not own:
        return None
    driven = [scene.directions[name] != 0 for name in own]
    still = [one & (scene.changes[name] == 0) for name, one in zip(own, driven, strict=True)]
    count = torch.stack([one.sum() for one in driven]).sum()
    return torch.stack([one.sum() for one in still]).sum() / count.clamp(min=1)
