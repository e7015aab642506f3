"""A linear readout solved by ridge regression in one pass: sums over samples and steps, and one set of equations.

Jaeger (2001), GMD report 148; Hoerl & Kennard (1970), https://doi.org/10.1080/00401706.1970.10488634
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from chainrule.core.abilities.nets import HasRidge
from chainrule.core.abilities.sequences import Echoes
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.one_layer import SINGLE, only_layer, seen, wanted

ROWS = 512      # samples whose features are in memory at once, or steps of a series that is carried through
Block = tuple[Tensor, Tensor, Tensor]


@rule("ridge-readout", source="Jaeger (2001), GMD report 148; Hoerl & Kennard (1970), https://doi.org/10.1080/00401706.1970.10488634",
      reads="everything", nets=(*SINGLE, "ar", "esn"), loss="squared", epochs=1, steps=True)
class RidgeReadout:
    """The readout with the least summed squared error plus `ridge` times its squared weights, biases excepted, by the normal equations.

    They are summed up in float64 over blocks of samples, so that no more than a block's features are in memory: what remains of any number
    of samples is (features + 1) by (features + 1 + outputs). Without `ridge` it is the net's own, else 1e-6. Targets of every step are
    read where they exist; classes are fitted as one-hot targets. With `carry`, windows that begin one step after another are read as the
    one series that they are cut of: n + t - 1 steps in place of n t, the first t - 1 of them to wash out what the state began with.
    """

    def __init__(self, *, ridge: float | None = None, carry: bool = False):
        if ridge is not None and not 0 <= ridge < float("inf"):
            raise InputError(f"ridge-readout expects ridge to be a number of at least 0; got {ridge}. Write e.g. ridge-readout:ridge=1e-6.")
        self.ridge, self.carry = ridge, carry

    def init(self, net: Net) -> Tree:
        """Nothing to remember. Raises InputError where the net has more than one layer to train, or no state that could be carried."""
        only_layer(net, "ridge-readout")
        if self.carry and not isinstance(net.module, Echoes):
            raise InputError(f"ridge-readout:carry=yes carries the state of a fixed reservoir along a series; {type(net.module).__name__} "
                             "has none. Leave out carry, or use --net esn.")
        return {}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        """Write the solution into the net. The report has its loss: half the squared error, the mean over samples or steps."""
        weight_name, bias_name = only_layer(net, "ridge-readout")
        weight = net.params[weight_name]                                                       # (outputs, features)
        outputs, biased = weight.shape[0], bias_name is not None
        size = weight.shape[1] + biased
        gram, cross = (weight.new_zeros(size, k, dtype=torch.float64) for k in (size, outputs))
        square, count = weight.new_zeros((), dtype=torch.float64), 0
        alike = batch.weight is None and batch.mask is None
        for features, y, share in self._blocks(net, batch, outputs):
            rows = torch.cat([features, torch.ones_like(features[:, :1])], 1) if biased else features
            weighed = rows if alike else rows * share[:, None]                                 # (rows, features + 1)
            gram, cross = gram + weighed.T @ rows, cross + weighed.T @ y
            square, count = square + (share[:, None] * y.square()).sum(), count + len(y)
        solution = solved(gram, cross, self.penalty(net), biased)                              # (features + 1, outputs)
        weight.copy_(solution[: weight.shape[1]].T)
        if bias_name is not None:
            net.params[bias_name].copy_(solution[-1])
        left = square - 2 * (solution * cross).sum() + (solution * (gram @ solution)).sum()
        total = count if batch.mask is None else batch.size()
        return net, state, {"loss": 0.5 * (left / total).clamp(min=0).to(weight.dtype)}

    def penalty(self, net: Net) -> float:
        """What a squared weight costs."""
        if self.ridge is not None:
            return self.ridge
        return net.module.ridge if isinstance(net.module, HasRidge) else 1e-6

    def _blocks(self, net: Net, batch: Batch, outputs: int) -> Iterator[Block]:
        """Features (rows, features), targets (rows, outputs) and how much each counts (rows,), in float64, block by block."""
        if self.carry:
            yield from self._carried(net, batch, outputs)
            return
        for begin in range(0, len(batch), ROWS):
            rows = batch.rows(begin, begin + ROWS)
            features = seen(net, rows.x)                                                       # (n, features) or (n, t, features)
            share = rows.weighted(features.new_ones(features.shape[:-1]))
            if rows.mask is not None and features.dim() == 3:
                share = torch.where(rows.mask, share, 0.0)
            flat = features.flatten(0, -2)
            y = rows.y.flatten(0, features.dim() - 2)
            if not y.is_floating_point():
                y = y.clamp(min=0)                                                             # where nothing is asked, share is 0
            yield flat.double(), wanted(y, flat.new_empty(len(flat), outputs)).double(), share.flatten().double()

    def _carried(self, net: Net, batch: Batch, outputs: int) -> Iterator[Block]:
        """The same of windows (n, t, ...) as one series, the state going from block to block."""
        series, washout = _series(batch.x), batch.x.shape[1] - 1                               # (1, n + t - 1, d)
        state = net.call("initial", 1).to(series.dtype)
        for begin in range(0, washout, ROWS):
            _, state = net.call("echo", series[:, begin : min(begin + ROWS, washout)], state)
        for begin in range(0, len(batch), ROWS):
            rows = batch.rows(begin, begin + ROWS)
            features, state = net.call("echo", series[:, washout + begin : washout + begin + len(rows)], state)
            flat = features[0]
            share = rows.weighted(torch.ones_like(flat[:, 0]))
            yield flat.double(), wanted(rows.y, flat.new_empty(len(flat), outputs)).double(), share.double()


def solved(gram: Tensor, cross: Tensor, ridge: float, biased: bool) -> Tensor:
    """W with (G + ridge I) W = C, the last row, where it is a bias, without the ridge; the shortest where G is singular and ridge 0."""
    if ridge == 0:
        solution: Tensor = torch.linalg.pinv(gram, hermitian=True) @ cross
        return solution
    added = gram.new_full((len(gram),), ridge)
    if biased:
        added[-1] = 0
    lower, _ = torch.linalg.cholesky_ex(gram + added.diag())
    return torch.cholesky_solve(cross, lower)


def _series(windows: Tensor) -> Tensor:
    """The series (1, n + t - 1, d) that windows (n, t, ...) are cut of. Raises InputError where they do not begin a step apart."""
    x = windows[:, :, None] if windows.dim() == 2 else windows
    if x.dim() != 3 or not torch.equal(x[1:, :-1], x[:-1, 1:]):
        raise InputError("ridge-readout:carry=yes reads windows of one series, each a step after the one before it; these rows do not "
                         "follow one another so. Leave out carry.")
    return torch.cat([x[0], x[1:, -1]])[None]
