"""Parzen windows in one pass: every row becomes a unit, and one width is chosen by leaving each row out in turn.

Specht (1990), https://doi.org/10.1016/0893-6080(90)90049-Q; the width by leave-one-out likelihood as Duin (1976),
https://doi.org/10.1109/TC.1976.1674577
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.one_layer import refuse_frozen

JUDGED = 2000                       # rows at most that are left out in turn to choose the width
WIDTHS, FINER = 17, 9               # that are tried over the whole range, and between the neighbours of the best of these
NARROWEST, WIDEST = 0.02, 2.0       # of the root mean square distance between rows


@rule("parzen", source="Specht (1990), https://doi.org/10.1016/0893-6080(90)90049-Q", reads="everything", target="class",
      loss="cross-entropy", nets=("pnn",), epochs=1, best="last")
class Parzen:
    """Store rows and classes, and choose the width with the least cross-entropy where every row is answered by all the others.

    Of more than 2000 rows, so many are left out in turn, evenly over all. `width` is taken as it is where one is given, in the units of
    inputs as the net reads them. The loss is the cross-entropy so validated.
    """

    def __init__(self, *, width: float | None = None):
        if width is not None and not 0 < width < math.inf:
            raise InputError(f"parzen expects a width above 0; got {width}. Leave it out to have one chosen.")
        self.width = width

    def init(self, net: Net) -> Tree:
        """Nothing to remember. Raises InputError for a net that is not one layer of windows."""
        refuse_frozen(net, "parzen")
        if set(net.params) != {"patterns", "log_width"} or "belongs" not in net.buffers:
            raise InputError(f"parzen fills a probabilistic net; got {type(net.module).__name__}. Use --net pnn, or another --rule.")
        return {}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        patterns, belongs = net.params["patterns"], net.buffers["belongs"]         # (m, d), (m, classes)
        x, y = batch.x.flatten(1), batch.y
        stored = min(len(x), len(patterns))
        rows = torch.arange(stored, device=x.device) * len(x) // stored
        unused = len(patterns) - stored
        weight = batch.weighted(torch.ones_like(x[:, 0]))[rows]
        one_hot = (y[rows][:, None] == torch.arange(belongs.shape[1], device=y.device)).to(x.dtype) * weight[:, None]
        patterns.copy_(F.pad(x[rows], (0, 0, 0, unused)))
        belongs.copy_(F.pad(one_hot, (0, 0, 0, unused)))

        judged = min(stored, JUDGED)
        left_out = torch.arange(judged, device=x.device) * stored // judged        # among the stored
        centres, asked = x[rows], x[rows][left_out]
        squared = (asked.square().sum(1, keepdim=True) - 2 * asked @ centres.T + centres.square().sum(1)).clamp(min=0)  # (judged, stored)
        itself = left_out[:, None] == torch.arange(stored, device=x.device)        # (judged, stored)
        truth, count = one_hot[left_out].argmax(1), weight[left_out]

        def costs(widths: Tensor) -> Tensor:
            each = [_left_out(squared, itself, one_hot, truth, width) * count for width in widths.unbind()]
            return torch.stack([cost.sum() for cost in each]) / count.sum()

        if self.width is not None:
            chosen = torch.full_like(x[:1, 0], self.width)
        else:
            scale = squared.mean().sqrt().clamp(min=torch.finfo(x.dtype).tiny)
            steps = torch.linspace(math.log(NARROWEST), math.log(WIDEST), WIDTHS, dtype=x.dtype, device=x.device)
            best = steps.index_select(0, costs(scale * steps.exp()).argmin(0, keepdim=True))
            finer = best + torch.linspace(-1, 1, FINER, dtype=x.dtype, device=x.device) * (steps[1] - steps[0])
            chosen = scale * finer.index_select(0, costs(scale * finer.exp()).argmin(0, keepdim=True)).exp()   # (1,)
        net.params["log_width"].copy_(chosen[0].log())
        return net, state, {"loss": costs(chosen)[0], "width": chosen[0]}


def _left_out(squared: Tensor, itself: Tensor, one_hot: Tensor, truth: Tensor, width: Tensor) -> Tensor:
    """The cross-entropy (judged,) of rows at squared distances (judged, m) from all patterns, each without itself."""
    windows = torch.where(itself, float("-inf"), -squared / (2 * width.square()))            # (judged, m)
    top = windows.amax(1, keepdim=True)
    joint = (windows - top).exp() @ one_hot                                                  # (judged, classes), up to a factor of the row
    shares = joint / joint.sum(1, keepdim=True).clamp(min=torch.finfo(joint.dtype).tiny)
    right = shares.gather(1, truth[:, None])[:, 0]
    return -right.clamp(min=torch.finfo(joint.dtype).eps).log()
