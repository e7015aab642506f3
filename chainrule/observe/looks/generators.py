"""Whether a generator and its discriminator are in balance, and how many of the rows have a sample near them.

Naeem, Oh, Uh, Choi & Yoo (2020), https://arxiv.org/abs/2002.09797
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chainrule.core.abilities.nets import PlaysGame, Samples
from chainrule.core.registry import looks
from chainrule.observe.scene import Scene

MIDDLE = {"minimax": 0.0, "non-saturating": 0.0, "least-squares": 0.5}     # the score from which on a row is called real
NEIGHBOURS = 5


@looks("generators", source="Naeem et al. (2020), https://arxiv.org/abs/2002.09797")
@torch.no_grad()
def generators(scene: Scene) -> dict[str, Any]:
    """`balance`, the share of rows and samples that the discriminator calls by their name, one half where it cannot tell; `coverage`, the
    share of rows with a sample at least as near as their fifth neighbour; `spread`, the deviation of samples by that of rows.
    """
    if not (isinstance(scene.module, PlaysGame) and isinstance(scene.module, Samples)):
        return {}
    net = scene.copy()
    net.module.eval()
    rows = scene.read.x
    samples = net.call("sample", len(rows))
    found: dict[str, Any] = {"coverage": covered(rows.flatten(1), samples.flatten(1))}
    deviation = rows.flatten(1).std(0).mean()
    found["spread"] = samples.flatten(1).std(0).mean() / deviation.clamp(min=1e-12)
    middle = MIDDLE.get(scene.module.form)
    if middle is not None:
        labels = (scene.read.y, torch.arange(len(rows), device=rows.device) % scene.module.labels) if scene.module.labels else (None, None)
        real, made = (net.call("judge", x, y).squeeze(-1) for x, y in zip((rows, samples), labels, strict=True))
        found["balance"] = torch.cat([real > middle, made <= middle]).float().mean()
    return found


def covered(rows: Tensor, samples: Tensor) -> Tensor:
    """The share of rows (n, d) that some sample (m, d) is at least as near to as their fifth neighbour among the rows."""
    k = min(NEIGHBOURS, len(rows) - 1)
    radius = torch.cdist(rows, rows).kthvalue(k + 1, dim=1).values
    return (torch.cdist(rows, samples).amin(1) <= radius).float().mean()
