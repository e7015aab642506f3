"""Baum and Welch's iteration: share every step among the hidden states, then fit each state to its share.

Baum, Petrie, Soules & Weiss (1970), https://doi.org/10.1214/aoms/1177697196; Rabiner (1989), https://doi.org/10.1109/5.18626, section III.C
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from chainrule.core.abilities.densities import Expected
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.em import ROWS_PER_SEED, maximise, seeds
from chainrule.rules.one_layer import refuse_frozen

SOURCE = "Baum, Petrie, Soules & Weiss (1970), https://doi.org/10.1214/aoms/1177697196"
CHAIN = {"initial.log_shares", "transitions.log_shares"}
BLOCK_NUMBERS = 2**22      # of states' probabilities of sequences that are computed with at once
DISCRETE, GAUSSIAN = {"emissions.log_shares"}, {"emissions.log_weights", "emissions.means", "emissions.scale"}


@rule("baum-welch", source=SOURCE, reads="everything", target="none", nets=("hmm",), epochs=100)
class BaumWelch:
    """One iteration of expectation-maximisation over all sequences, those of a batch counting by their weights.

    The loss is minus the mean log likelihood a step before the iteration, in nats. `floor` is added to every variance of Gaussian
    emissions. `start` says whether the first iteration draws the emissions near the data or goes on from those given.
    """

    def __init__(self, *, floor: float = 1e-6, start: Literal["data", "given"] = "data"):
        if floor < 0:
            raise InputError(f"baum-welch needs a floor of variance of at least 0; got {floor}. Write baum-welch:floor=1e-6.")
        self.floor, self.start = floor, start

    def init(self, net: Net) -> Tree:
        refuse_frozen(net, "baum-welch")
        if set(net.params) not in (CHAIN | DISCRETE, CHAIN | GAUSSIAN):
            raise InputError(f"baum-welch trains a hidden Markov model; got {type(net.module).__name__}. Use --net hmm, or another --rule.")
        return {"seeded": torch.zeros((), dtype=torch.bool, device=net.device)}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        x = batch.x if batch.mask is None else torch.where(batch.mask[..., None], batch.x, absent(net))   # (n, t, d)
        if self.start == "data":
            for name, seed in emission_seeds(net, x, self.floor).items():
                net.params[name].copy_(torch.where(state["seeded"], net.params[name], seed))
            state["seeded"].fill_(True)
        if "emissions.log_shares" in net.params:
            counts, log_likelihood, steps = counted(net, x, batch)
            after = {name: log_shares(count) for name, count in counts.items()}
        else:
            expected: Expected = net.call("expected", x, batch.weight)
            log_likelihood = batch.weighted(expected.log_likelihood).sum()
            steps = batch.weighted(net.call("present", x).to(x.dtype)).sum()
            after = fitted_chain(batch, expected) | fitted_emissions(net, x, batch, expected, self.floor)
        for name, fitted in after.items():
            net.params[name].copy_(fitted)
        return net, state, {"loss": -log_likelihood / steps.clamp(min=1)}


def absent(net: Net) -> float:
    """What stands at a step that is not there: zeros in place of a symbol, NaN in place of numbers."""
    return 0.0 if "emissions.log_shares" in net.params else float("nan")


def log_shares(counts: Tensor) -> Tensor:
    """The log of each count's share of its row (..., k); none is zero, so that every logarithm is finite."""
    tiny = torch.finfo(counts.dtype).tiny
    counts = counts.clamp(min=tiny)
    return (counts / counts.sum(-1, keepdim=True)).clamp(min=tiny).log()


def counted(net: Net, x: Tensor, batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """How often each first state, transition and symbol of a state is expected in sequences (n, t, symbols); their log likelihood, and how
    many steps they have, by weight.

    So many sequences at a time as leave their states in the cache, or near it: what is expected of all of them is never in memory.
    """
    states = len(net.params["initial.log_shares"])
    size = max(1, BLOCK_NUMBERS // (x.shape[1] * states))
    total, steps, counts = x.new_zeros(()), x.new_zeros(()), {name: torch.zeros_like(net.params[name]) for name in net.params}
    for begin in range(0, len(x), size):
        rows, some = x[begin : begin + size], batch.rows(begin, begin + size)
        expected: Expected = net.call("expected", rows, some.weight)
        total = total + some.weighted(expected.log_likelihood).sum()
        share = some.weighted(expected.states).permute(1, 2, 0)                                            # (t, states, n)
        counts["initial.log_shares"] += share[0].sum(1)
        counts["transitions.log_shares"] += expected.transitions
        counts["emissions.log_shares"] += torch.bmm(share, rows.transpose(0, 1)).sum(0)
        steps = steps + share.sum()
    return counts, total, steps


def fitted_chain(batch: Batch, expected: Expected) -> dict[str, Tensor]:
    """The shares of first states and of transitions that are likeliest, given how often each is expected."""
    return {"initial.log_shares": log_shares(batch.weighted(expected.states[:, 0]).sum(0)),
            "transitions.log_shares": log_shares(expected.transitions)}


def fitted_emissions(net: Net, x: Tensor, batch: Batch, expected: Expected, floor: float) -> dict[str, Tensor]:
    """The Gaussian emissions that are likeliest where each step belongs to each state by its probability."""
    share = batch.weighted(expected.states).transpose(0, 1).flatten(0, 1)                                  # (t n, states)
    rows = x.transpose(0, 1).flatten(0, 1)                                                                 # (t n, d)
    seen = ~rows.isnan().any(1)
    rows, share = torch.where(seen[:, None], rows, 0.0), share * seen[:, None]
    scale, weights = net.params["emissions.scale"], net.params["emissions.log_weights"]
    if weights.shape[1] > 1:
        share = net.call("components", rows).softmax(2).mul(share[..., None]).flatten(1)
    fitted = maximise(rows, share, floor, scale.dim() == 4)
    mass = share.sum(0).unflatten(0, weights.shape)                                                        # (states, components)
    return {"emissions.log_weights": log_shares(mass),
            "emissions.means": fitted["means"].unflatten(0, weights.shape), "emissions.scale": fitted["scale"].unflatten(0, weights.shape)}


def emission_seeds(net: Net, x: Tensor, floor: float) -> dict[str, Tensor]:
    """Emissions to begin with: symbols as frequent as in the data, more or less; numbers about rows that are far from one another."""
    rows = x.flatten(0, 1)
    if "emissions.log_shares" in net.params:
        shares = net.params["emissions.log_shares"]
        return {"emissions.log_shares": log_shares(rows.sum(0) * -torch.rand_like(shares).clamp(min=1e-6).log())}
    weights, scale = net.params["emissions.log_weights"], net.params["emissions.scale"]
    seen = (~rows.isnan().any(1)).cumsum(0)                                                                # the how-manieth each row is
    some = (torch.rand(ROWS_PER_SEED * weights.numel(), device=x.device) * seen[-1]).long()
    drawn = torch.nan_to_num(rows[torch.searchsorted(seen, some + 1)])
    seeded = seeds(drawn, weights.numel(), floor, scale.dim() == 4)
    return {"emissions.log_weights": torch.zeros_like(weights).log_softmax(1),
            "emissions.means": seeded["means"].unflatten(0, weights.shape), "emissions.scale": seeded["scale"].unflatten(0, weights.shape)}
