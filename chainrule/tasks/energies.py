"""Likelihoods of energy-based nets: free energies less the log of the partition function, which is computed or estimated."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from chainrule.core.abilities.densities import AnnealsBackward, Estimate, HasPartition
from chainrule.core.net import Net
from chainrule.data.source import Part
from chainrule.evaluate.measures import density
from chainrule.evaluate.result import Measure, Result
from chainrule.tasks.task import BLOCK_ROWS, Ready, Runner

NORMAL = 1.96      # standard errors of an interval of 95 %
SEED = 0  # of all that is drawn here: the same net has the same likelihood of the same rows
ESTIMATED = ("The log of the partition function, {value:.2f} ({low:.2f} to {high:.2f}), is estimated by annealed importance sampling "
             "(Salakhutdinov & Murray 2008) and is part of the interval. Such an estimate is too small on average, and the likelihood too "
             "large, by little where its interval is narrow.")
REVERSED = 100     # rows from which annealing goes back
BOUNDED = ("By annealing backward from {rows:,} rows (Burda, Grosse & Salakhutdinov 2015) that log is {value:.2f} ({low:.2f} to "
           "{high:.2f}), too large on average: log_likelihood_bound is a bound from below.")
DRAWN = "Numbers between 0 and 1 count as probabilities that a unit is on: the likelihood is that of rows drawn so."


def has_likelihood(module: object) -> bool:
    """Whether a net is an energy whose partition function can be had."""
    return isinstance(module, HasPartition) and module.partition != "none"


def mean_rows(part: Part, ready: Ready) -> Tensor:
    """The mean (d,) of the rows of a part as a net reads them, flat, float64."""
    total = sum((ready(rows).flatten(1).double().sum(0) for rows in part.x.split(BLOCK_ROWS)), torch.zeros(()))
    return total / len(part)


@torch.no_grad()
def log_partition(runner: Runner, part: Part) -> Estimate:
    """The log of the partition function of the runner's net; estimated by runs that begin at units as often on as in the part."""
    module = runner.net.module
    assert isinstance(module, HasPartition)
    if module.partition == "exact":
        value = float(runner.net.call("log_partition"))
        return Estimate(value, value, value)
    with torch.random.fork_rng([runner.device] if runner.device.type == "cuda" else []):
        torch.manual_seed(SEED)
        mean = mean_rows(part, lambda rows: runner.ready(rows.to(runner.device)))
        return cast(Estimate, runner.net.call("estimate_log_partition", mean))


@torch.no_grad()
def likelihoods(runner: Runner, part: Part) -> tuple[Tensor, Estimate, tuple[str, ...]]:
    """The log likelihood (n,) of each row in nats, the log of the partition function in it, and what is to be said of them."""
    module, drawn = runner.net.module, False
    assert isinstance(module, HasPartition)
    generator, minus = torch.Generator().manual_seed(SEED), []
    for rows in part.x.split(BLOCK_ROWS):
        x = runner.ready(rows.to(runner.device))
        if module.finite:
            states = (torch.rand(x.shape, generator=generator, dtype=torch.float64).to(x.device) < x).to(x.dtype)
            drawn |= not torch.equal(states, x)
            x = states
        minus.append(runner.net.call("free_energy", x.flatten(1)).double().cpu())
    estimate = log_partition(runner, part)
    notes = (ESTIMATED.format(**estimate._asdict()),) if estimate.low < estimate.high else ()
    return -torch.cat(minus) - estimate.value, estimate, (*notes, *[DRAWN] * drawn, *filter(None, [module.caveat]))


@torch.no_grad()
def upper_log_partition(runner: Runner, part: Part) -> tuple[Estimate, int]:
    """The log of the partition function as annealing backward from rows of a part has it, and from how many: too large on average.

    Its interval of 95 % is that of a mean over rows.
    """
    module = runner.net.module
    assert isinstance(module, AnnealsBackward)
    some = torch.linspace(0, len(part) - 1, min(len(part), REVERSED)).round().long()
    with torch.random.fork_rng([runner.device] if runner.device.type == "cuda" else []):
        torch.manual_seed(SEED)
        mean = mean_rows(part, lambda rows: runner.ready(rows.to(runner.device)))
        v = runner.ready(part.x[some].to(runner.device)).flatten(1)
        states = (torch.rand_like(v) < v).to(v.dtype) if module.finite else v
        each = -(runner.net.call("reverse_log_likelihood", states, mean) + runner.net.call("free_energy", states).double()).cpu()
    value, error = float(each.mean()), float(each.std()) / math.sqrt(len(each)) if len(each) > 1 else math.inf
    return Estimate(value, value - NORMAL * error, value + NORMAL * error), len(some)


def widened(result: Result, name: str, estimate: Estimate, notes: tuple[str, ...]) -> Result:
    """A mean likelihood whose interval takes in that of the partition function: their half widths as of independent errors."""
    measure = result.measures[name]
    if measure.low is None or measure.high is None or estimate.low == estimate.high:
        return replace(result, notes=(*result.notes, *notes))
    low = measure.value - math.hypot(measure.value - measure.low, estimate.high - estimate.value)
    high = measure.value + math.hypot(measure.high - measure.value, estimate.value - estimate.low)
    wide = Measure(measure.value, low, high, f"{measure.method}; annealing")
    return replace(result, measures={**result.measures, name: wide}, notes=(*result.notes, *notes))


def independent(net: Net, part: Part, ready: Ready) -> Tensor:
    """What units by themselves that are as often on as in a part know of rows: biases and the log of the sum over states, (d + 1,).

    Where they are numbers, of unit variance, the mean of each, (1, 1, d).
    """
    module = net.module
    assert isinstance(module, HasPartition)
    mean = mean_rows(part, ready)
    if module.finite:
        bias, log_z = module.base(mean.to(net.device))
        return torch.cat([bias, log_z.reshape(1)]).detach().double().cpu()
    return mean[None, None].cpu()


def of_independent(constant: Tensor, part: Part, ready: Ready) -> tuple[str, Tensor]:
    """The name of such units, and the log likelihood (n,) that they give to the rows of a part."""
    each = []
    for rows in part.x.split(BLOCK_ROWS):
        x = ready(rows).flatten(1).double().cpu()
        if constant.dim() == 1:
            each.append(x @ constant[:-1] - constant[-1])
        else:
            each.append(torch.distributions.Normal(constant[0, 0], 1.0).log_prob(x).sum(1))
    return ("independent units" if constant.dim() == 1 else "independent Gaussians"), torch.cat(each)


def bounded(result: Result, runner: Runner, part: Part, minus_energies: Tensor) -> Result:
    """The result with `log_likelihood_bound`, a bound from below on the mean log likelihood, of rows of these minus free energies (n,)."""
    upper, rows = upper_log_partition(runner, part)
    name = "log_likelihood_bound"
    bound = widened(density(minus_energies - upper.value, name=name), name, upper, ())
    return replace(result, measures={**result.measures, name: bound.measures[name]},
                   notes=(*result.notes, BOUNDED.format(rows=rows, **upper._asdict())))
