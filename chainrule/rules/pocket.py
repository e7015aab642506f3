"""The perceptron where no plane is free of mistakes: the best weights it had, or the mean of all it had.

Gallant (1990), https://doi.org/10.1109/72.80230 (pocket); Freund & Schapire (1999), https://doi.org/10.1023/A:1007662407062 (averaged).
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.registry import losses
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree, clone
from chainrule.rules.one_layer import only_layer
from chainrule.rules.perceptron import perceptron

NETS = ("perceptron", "linear", "softmax", "mark-i")


class _Wandering:
    """A perceptron that learns beside the net, in the state `wandering`: after mistakes it is changed by their sum."""

    def init(self, net: Net) -> Tree:
        """Raises InputError where the net has more than one layer."""
        only_layer(net, type(self).__name__.lower())
        return {"wandering": clone(net.params)}

    def turn(self, net: Net, state: Tree, batch: Batch) -> Report:
        """One move of the wandering weights, in place; the report is of them before it."""
        report: Report
        uphill, report = perceptron(net.at(state["wandering"]), batch)
        for name, slope in uphill.items():
            state["wandering"][name].sub_(slope * len(batch))
        return report


@rule("pocket", source="Gallant (1990), https://doi.org/10.1109/72.80230", reads="features", target="sign", several="class", nets=NETS,
      loss="perceptron")
class Pocket(_Wandering):
    """The perceptron rule wanders; the net keeps, in its pocket, the weights that made the fewest mistakes.

    The first weights it learns go into the pocket whatever they do. Both are counted on the batch at hand, so with a batch of the whole
    training part this is Gallant's ratchet, and the net's mistakes never grow; with smaller ones the count is a sample.
    The loss is the perceptron criterion of the weights in the pocket.
    """

    def init(self, net: Net) -> Tree:
        """Raises InputError where the net has more than one layer."""
        return {**super().init(net), "filled": torch.zeros((), dtype=torch.bool, device=net.device)}

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        with torch.no_grad():
            self.turn(net, state, batch)
            mistakes = _mistakes(net, batch)                                              # ()
            fewer = _mistakes(net.at(state["wandering"]), batch) < mistakes               # ()
            fewer = fewer | ~state["filled"]
            state["filled"].fill_(True)
            for name, pocketed in net.params.items():
                pocketed.copy_(torch.where(fewer, state["wandering"][name], pocketed))
            return net, state, {"loss": batch.mean(_criterion(net, batch)), "mistakes": _mistakes(net, batch)}


@rule("averaged", source="Freund & Schapire (1999), https://doi.org/10.1023/A:1007662407062", reads="features", target="sign",
      several="class", nets=NETS, loss="perceptron", best="last")
class Averaged(_Wandering):
    """The perceptron rule wanders; the net is the mean of the weights after each sample, right ones as well.

    Within a batch the weights stand still, so that --batch 1 is the published form. The loss and mistakes are of the wandering weights.
    """

    def init(self, net: Net) -> Tree:
        """Raises InputError where the net has more than one layer."""
        return {**super().init(net), "seen": torch.zeros((), dtype=torch.int64, device=net.device)}

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        with torch.no_grad():
            report = self.turn(net, state, batch)
            state["seen"].add_(len(batch))
            for name, mean in net.params.items():
                mean.add_((state["wandering"][name] - mean) * (len(batch) / state["seen"].to(mean.dtype)))
            return net, state, report


def _criterion(net: Net, batch: Batch) -> Tensor:
    """How far each sample is on the wrong side, (n,)."""
    costs: Tensor = losses.choose("perceptron").make().each(net(batch.x), batch.y)
    return costs


def _mistakes(net: Net, batch: Batch) -> Tensor:
    """How many samples are not on their right side, a scalar; weights count where they were given."""
    scores, y = net(batch.x), batch.y
    assert y is not None
    if scores.shape[1] == 1:
        wrong = scores.squeeze(1) * y <= 0                                                # (n,)
    else:
        own = scores.gather(1, y[:, None])                                                # (n, 1)
        wrong = scores.scatter(1, y[:, None], float("-inf")).amax(1, keepdim=True).ge(own).squeeze(1)
    counted = wrong.to(scores.dtype)
    return batch.weighted(counted).sum()
