"""MADALINE Rules I, II and III: put right what is wrong by the least disturbance of what is right.

Rule I: Ridgway (1962), PhD thesis, Stanford; Rule II: Winter & Widrow (1988), https://doi.org/10.1109/ICNN.1988.23872; Rule III: Andes,
Widrow, Lehr & Wan (1990), IJCNN; all in Widrow & Lehr (1990), https://doi.org/10.1109/5.58323.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.rules.one_layer import refuse_frozen, signs

SOURCE = "Widrow & Lehr (1990), https://doi.org/10.1109/5.58323"
MOST_TRIALS = 5000  # sets of units whose reversal is tried for one sample


@rule("madaline-i", source="Ridgway (1962), PhD thesis, Stanford; " + SOURCE, reads="features", target="sign", several="class",
      nets=("madaline",), loss="perceptron", optimizer="sgd:rate=0.5", batch=1)
@torch.no_grad()
def madaline_i(net: Net, batch: Batch) -> tuple[dict[str, Tensor], Report]:
    """Where the logic's answer is wrong, turn just as many units as it takes, those whose sums are nearest to zero.

    Each is moved by alpha-LMS toward the sign it should have, so that a rate of 1 takes its sum to plus or minus one. Samples of a batch
    are judged at the same weights; --batch 1 is the published form. Raises InputError where the net has no fixed logic.
    """
    module = _madaline(net, "madaline-i")
    if module.output == "adaptive":
        raise InputError("madaline-i trains units under a fixed logic; this madaline's outputs are adaptive. Use --net "
                         "madaline:output=majority (or and, or), or --rule madaline-ii.")
    [(x, sums)] = net.call("walk", batch.x)                                            # (n, d), (n, outputs * hidden)
    scores = net.call("after", 0, sums)                                                # (n, outputs)
    wish = signs(batch.y, scores)
    groups = sums.unflatten(1, (module.outputs, -1))                                   # (n, outputs, hidden)
    says = torch.where(groups >= 0, 1.0, -1.0)                                         # (n, outputs, hidden)
    positive = (says > 0).sum(2)                                                       # (n, outputs)
    lacking = torch.where(wish > 0, module.quota - positive, positive - module.quota + 1).clamp(min=0)
    against = says != wish[:, :, None]                                                 # (n, outputs, hidden)
    nearness = torch.where(against, groups.abs(), float("inf"))
    place = nearness.argsort(2).argsort(2)                                             # 0 for the nearest to zero
    chosen = (against & (place < lacking[:, :, None])).flatten(1)                      # (n, outputs * hidden)
    goal = wish[:, :, None].expand_as(groups).flatten(1)
    error = torch.where(chosen, sums - goal, 0.0)                                      # (n, outputs * hidden)
    names = list(net.params)
    tree = dict(zip(names, _alpha_lms(x, error, batch), strict=True))
    return tree, _told(scores, wish, batch)


@rule("madaline-ii", source="Winter & Widrow (1988), https://doi.org/10.1109/ICNN.1988.23872; " + SOURCE, reads="features", target="sign",
      several="class", nets=("madaline:output=adaptive", "madaline"), loss="perceptron", optimizer="sgd:rate=0.5", batch=1)
@torch.no_grad()
def madaline_ii(net: Net, batch: Batch, *, flips: int = 2) -> tuple[dict[str, Tensor], Report]:
    """Try reversing the units that are least sure; where that makes fewer outputs wrong, make them so; then put the outputs right.

    For each layer from the inputs up, sets of one up to `flips` units are tried, smaller sets first and among equals the one whose sums are
    together nearest to zero; the first that leaves fewer outputs wrong is taken, and its units moved by alpha-LMS toward the reversed
    sign. Outputs that are still wrong are moved likewise. Samples of a batch are judged at the same weights; --batch 1 is the
    published form. Raises InputError for a net of smooth units or of fixed logic, or for more sets than can be tried.
    """
    module = _madaline(net, "madaline-ii")
    if module.output != "adaptive" or module.smooth:
        raise InputError("madaline-ii trains layers of sign units under adaptive outputs; this madaline has "
                         f"{'tanh units' if module.smooth else f'output={module.output}'}. Use --net madaline:output=adaptive, or --rule "
                         f"{'madaline-iii' if module.smooth else 'madaline-i'}.")
    walked = net.call("walk", batch.x)
    scores = walked[-1][1]                                                             # (n, outputs)
    wish = signs(batch.y, scores)
    names = list(net.params)
    tree: dict[str, Tensor] = {}
    below = walked[0][1]
    for layer, (x, sums) in enumerate(walked):
        if layer:                                                                      # what the layer reads after the turns below it
            x = net.call("fire", below)
            sums = x @ net.params[names[2 * layer]].T + net.params[names[2 * layer + 1]]
        last = layer == len(walked) - 1
        turned = (sums * wish <= 0) if last else _turned(net, layer, sums, wish, flips)   # (n, units)
        goal = wish if last else -net.call("fire", sums)
        error = torch.where(turned, sums - goal, 0.0)
        tree |= dict(zip(names[2 * layer : 2 * layer + 2], _alpha_lms(x, error, batch), strict=True))
        below = torch.where(turned, goal, sums)
    return tree, _told(scores, wish, batch)


def _turned(net: Net, layer: int, sums: Tensor, wish: Tensor, flips: int) -> Tensor:
    """Which units of a layer to reverse for each sample, (n, units): the first set, as Rule II tries them, that leaves fewer errors."""
    sets = _sets(sums.shape[1], flips).to(sums.device)                                 # (sets, units)
    says = net.call("fire", sums)                                                      # (n, units)
    tried = torch.where(sets[:, None], -says, says)                                    # (sets, n, units)
    after = net.call("after", layer, tried.flatten(0, 1)).unflatten(0, tried.shape[:2])
    errors = (after * wish <= 0).sum(2)                                                # (sets, n)
    before = (net.call("after", layer, sums) * wish <= 0).sum(1)                       # (n,)
    size = sets.sum(1, keepdim=True).to(sums.dtype)                                    # (sets, 1)
    unsure = (sets.to(sums.dtype) @ sums.abs().T)                                      # (sets, n)
    order = size + unsure / (1 + unsure)                                               # sizes first, disturbance within a size
    first = torch.where(errors < before, order, float("inf")).argmin(0)                # (n,)
    turned: Tensor = sets[first] & (errors.amin(0) < before)[:, None]
    return turned


def _sets(units: int, flips: int) -> Tensor:
    """All sets of one up to `flips` units as rows of booleans, (sets, units)."""
    if flips < 1:
        raise InputError(f"madaline-ii expects flips to be at least 1; got {flips}. Write madaline-ii:flips=2.")
    members = [chosen for size in range(1, min(flips, units) + 1) for chosen in combinations(range(units), size)]
    if len(members) > MOST_TRIALS:
        raise InputError(f"madaline-ii would try {len(members)} sets of up to {flips} of {units} units for each sample; the limit "
                         f"is {MOST_TRIALS}. Use fewer flips, or fewer units.")
    return torch.stack([torch.zeros(units, dtype=torch.bool).index_fill(0, torch.tensor(chosen), True) for chosen in members])


@rule("madaline-iii", source="Andes, Widrow, Lehr & Wan (1990), IJCNN; " + SOURCE, nets=("madaline:output=adaptive,units=tanh",),
      loss="squared", optimizer="sgd:rate=0.1", additive=())
@torch.no_grad()
def madaline_iii(net: Net, batch: Batch, *, loss: Loss, disturbance: float = 0.01) -> tuple[dict[str, Tensor], Report]:
    """Disturb the sum of each unit a little, see how the loss changes, and move its weights by that change times what they read.

    Half the disturbance goes each way, so that what is measured differs from the derivative only in its square: it needs no derivative of
    anything and follows the gradient that backprop computes. Raises InputError for a net of sign units, which small disturbances
    do not move.
    """
    module = _madaline(net, "madaline-iii")
    if not module.smooth:
        raise InputError("madaline-iii needs units that a small disturbance moves; this madaline's give signs. Use --net "
                         "madaline:output=adaptive,units=tanh, or --rule madaline-ii.")
    if not 0 < disturbance < float("inf"):
        raise InputError(f"madaline-iii expects disturbance to be a number above 0; got {disturbance}. Write "
                         "madaline-iii:disturbance=0.01.")
    walked = net.call("walk", batch.x)
    names, tree = list(net.params), {}
    for layer, (x, sums) in enumerate(walked):
        units = sums.shape[1]
        nudge = torch.eye(units, dtype=sums.dtype, device=sums.device)[:, None] * (disturbance / 2)    # (units, 1, units)
        both = torch.stack([sums + nudge, sums - nudge]).flatten(0, 2)                 # (2 * units * n, units)
        outputs = net.call("after", layer, both)
        repeated = batch.y.repeat(2 * units, *[1] * (batch.y.dim() - 1))
        up, down = loss.each(outputs, repeated).unflatten(0, (2, units, -1))           # (units, n) each
        slope = ((up - down) / disturbance).T                                          # (n, units)
        slope = batch.weighted(slope)
        tree[names[2 * layer]] = slope.T @ x / len(x)
        tree[names[2 * layer + 1]] = slope.mean(0)
    return tree, {"loss": batch.mean(loss.each(net.call("after", len(walked) - 1, walked[-1][1]), batch.y))}


def _madaline(net: Net, name: str) -> Any:
    """The net's module. Raises InputError where it is no madaline."""
    if not hasattr(net.module, "walk") or not hasattr(net.module, "fire"):
        raise InputError(f"{name} trains a madaline; this is a {type(net.module).__name__}. Use --net madaline, or --rule backprop.")
    refuse_frozen(net, name)
    return net.module


def _alpha_lms(x: Tensor, error: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Uphill for weight and bias: each error (n, units) times its input, over the squared length of that, 1 for the bias included."""
    share = error / (x.square().sum(1, keepdim=True) + 1) / len(x)                     # (n, units)
    share = batch.weighted(share)
    return share.T @ x, share.sum(0)


def _told(scores: Tensor, wish: Tensor, batch: Batch) -> Report:
    """The mean over samples of how far outputs are on the wrong side, and how many outputs are wrong."""
    return {"loss": batch.mean((-wish * scores).relu().sum(1)), "mistakes": (wish * scores <= 0).sum()}
