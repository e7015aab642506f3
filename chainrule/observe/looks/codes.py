"""How much each number of a variational code says: its divergence from the prior, which is zero where it has collapsed.

Kingma & Welling (2014), https://arxiv.org/abs/1312.6114, appendix B; collapse: Bowman et al. (2016), https://arxiv.org/abs/1511.06349
"""

from __future__ import annotations

from typing import Any

import torch

from chainrule.core.abilities.nets import Variational
from chainrule.core.registry import looks
from chainrule.observe.scene import Scene


@looks("codes", source="Kingma & Welling (2014), https://arxiv.org/abs/1312.6114")
@torch.no_grad()
def codes(scene: Scene) -> dict[str, Any]:
    """The divergence of the code of rows from the prior, in nats for each number of the code, its mean over rows."""
    if not isinstance(scene.module, Variational):
        return {}
    mean, log_variance = scene.copy().call("posterior", scene.read.x)
    return {"divergence": 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(0)}
