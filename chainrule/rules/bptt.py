"""Truncated back-propagation through time: the state is carried from window to window, the gradient is not.

Werbos (1990), https://doi.org/10.1109/5.58337; Williams & Peng (1990), https://doi.org/10.1162/neco.1990.2.4.490
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.core.abilities.sequences import Recurrent
from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion, OfOutputs, mean_costs
from chainrule.core.descend import Descent, Schedule
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree, clone, value_and_grad
from chainrule.rules.clipping import check_clip, clipped


@rule("bptt", source="Williams & Peng (1990), https://doi.org/10.1162/neco.1990.2.4.490", nets=("rnn", "lstm", "gru"),
      optimizer="adam:rate=0.004", carries=True, batch=32)
class TruncatedBackprop:
    """The gradient within windows of `window` steps, from the state that the window before left, in as many lanes as a batch has rows.

    Where a sequence begins (`fresh`), the state is the net's initial one. A gradient longer than `clip` is shortened to it, as in
    `backprop`. Raises InputError for a net without memory and for several costs.
    """

    def __init__(self, criterion: Criterion, descent: Descent, lanes: int = 1, *, window: int = 64, clip: float = 5.0):
        if not isinstance(criterion, OfOutputs):
            raise InputError("bptt lowers one loss of a net's outputs; this task has several costs. Use --rule backprop.")
        if window < 1:
            raise InputError(f"bptt expects a window of at least 1 step; got {window}. Write bptt:window=64.")
        check_clip("bptt", clip)
        self.criterion, self.descent, self.lanes, self.clip = criterion, descent, lanes, clip

    @property
    def schedule(self) -> Schedule | None:
        return self.descent.schedule

    def init(self, net: Net) -> Tree:
        if not isinstance(net.module, Recurrent):
            raise InputError(f"bptt trains nets with memory; {type(net.module).__name__} has none. Use --net lstm, or --rule backprop.")
        return {"descend": self.descent.init(net), "carried": clone(net.call("initial", self.lanes))}

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        def objective(net: Net, batch: Batch, carried: Tree) -> tuple[Tensor, tuple[Report, Tree]]:
            outputs, after = net.call("unroll", batch.x, restarted(net, batch, carried))
            total, report = mean_costs({"loss": self.criterion.costs(outputs, batch)}, batch)
            return total, ({name: cost.detach() for name, cost in report.items()}, clone(after))

        _, (report, carried), slope = value_and_grad(objective, net, batch, state["carried"])
        moved = self.descent.follow(net, state["descend"], clipped("bptt", slope, self.clip), report["loss"])
        return net, {"descend": moved, "carried": carried}, report


def restarted(net: Net, batch: Batch, carried: Tree) -> Tree:
    """The carried state, and the net's initial one in the rows whose sequence begins here."""
    if batch.fresh is None:
        return carried
    fresh = batch.fresh
    initial = net.call("initial", len(batch.x))
    return pytree.tree_map(lambda new, old: torch.where(fresh.reshape(-1, *([1] * (old.dim() - 1))), new, old), initial, carried)
