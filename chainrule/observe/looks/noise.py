"""How noisy the gradient is: the batch from which on larger ones hardly help.

McCandlish, Kaplan, Amodei et al. (2018), https://arxiv.org/abs/1812.06162, appendix A.1
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from chainrule.core.net import Net
from chainrule.core.registry import looks
from chainrule.core.tree import real
from chainrule.observe.scene import Scene

PARTS = 8           # that the rows are cut into


@looks("noise", source="McCandlish et al. (2018), https://arxiv.org/abs/1812.06162", every=8)
def noise(scene: Scene) -> dict[str, Any]:
    """The simple noise scale, in samples: the trace of the covariance of samples' gradients by the square of the mean gradient.

    Both are estimated without bias from gradients of parts of the rows and of all. Batch normalisation uses its running statistics, and
    nothing is dropped, so that samples have gradients of their own. Nothing where the gradient cannot be told from noise.
    """
    n = len(scene.read)
    small = n // PARTS
    if scene.criterion is None or small < 2 or scene.read.mask is not None or scene.read.fresh is not None:
        return {}
    net = scene.copy()
    additive(net)
    squares: list[Tensor] = []
    total: list[Tensor] | None = None
    with torch.enable_grad():
        for at in range(PARTS):
            part = scene.read.rows(at * small, (at + 1) * small)
            slopes = torch.autograd.grad(scene.loss(net, part), list(net.params.values()), allow_unused=True)
            own = [real(slope) for slope in slopes if slope is not None]
            squares.append(torch.stack(torch._foreach_norm(own)).square().sum())
            total = own if total is None else list(torch._foreach_add(total, own))
    assert total is not None
    large = (torch.stack(torch._foreach_norm(total)) / PARTS).square().sum()
    return scale_of(float(torch.stack(squares).mean()), float(large), small, small * PARTS)


def scale_of(small: float, large: float, fewer: int, more: int) -> dict[str, Any]:
    """The noise scale of mean squared norms of gradients over fewer and over more samples."""
    square = (more * large - fewer * small) / (more - fewer)
    trace = (small - large) / (1 / fewer - 1 / more)
    return {"noise_scale": trace / square} if square > 0 and trace >= 0 else {}


def additive(net: Net) -> None:
    """Let every sample be answered by itself, without chance; all else is as in training."""
    for part in net.module.modules():
        if isinstance(part, _BatchNorm | nn.modules.dropout._DropoutNd):
            part.eval()
