"""The rate finder: train a copy while the rate rises, watch where the loss falls fastest and where it begins to rise.

Smith (2017), https://doi.org/10.1109/WACV.2017.58; Smith (2018), https://arxiv.org/abs/1803.09820
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.descend import Schedule, set_pace
from chainrule.core.errors import InputError
from chainrule.core.files import write_file
from chainrule.core.options import check
from chainrule.core.options import read as read_options
from chainrule.core.registry import Chosen, Entry, optimizers, rules
from chainrule.core.rule import Learner, Rule
from chainrule.core.traits import NoTraits, OptimizerTraits
from chainrule.engine.plans.eager import copied
from chainrule.engine.randomness import Aside
from chainrule.job.build import LossLike, build
from chainrule.job.by_part import ByPart
from chainrule.job.job import Job
from chainrule.job.rule_spec import constraint_of, make_rule
from chainrule.plots import descent
from chainrule.plots.figure import to_png
from chainrule.runs.folder import Folder
from chainrule.workflows.options import FEWEST_STEPS, Dataset, RateRange
from chainrule.workflows.session import session_of
from chainrule.workflows.source import as_source, options_of, own_of

BREADTH = 3.0       # standard deviation of the smoothing, in steps
RISEN = 1.5         # times what the loss had fallen by, and at least half of the least loss: the copy has diverged
RATES = "rates.json"


@dataclass(frozen=True)
class Rates:
    """`losses` and `smoothed` at each of `rates`, and what follows: where the loss falls `steepest`, and the `edge` after which it rises.

    `suggested` is the steepest, but never more than a third of the edge; `optimizer` spells it out.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    steepest: float
    edge: float
    suggested: float
    optimizer: str
    diverged: bool
    path: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"out": str(self.path) if self.path else None, "suggested": self.suggested, "steepest": self.steepest, "edge": self.edge,
                "optimizer": self.optimizer, "diverged": self.diverged, "rates": self.rates, "losses": self.losses,
                "smoothed": self.smoothed}

    def __str__(self) -> str:
        end = f"it rises after {self.edge:.2g}" if self.diverged else f"up to {self.rates[-1]:.2g} it never rose for good"
        lines = [f"The loss falls fastest at a rate of {self.steepest:.2g}; {end} ({len(self.rates)} steps).",
                f"--optimizer {self.optimizer}"]
        return "\n".join([*lines, f"Picture: {self.path}"] if self.path else lines)


def find_rate(data: Any = Dataset.data, *, net: str | nn.Module | None = None, loss: LossLike = None, weights: Tensor | None = None,
              data_dir: str | Path | None = None, out: str | Path | None = None, steps: int = RateRange.steps,
              lowest: float = RateRange.lowest, highest: float = RateRange.highest, **options: Any) -> Rates:
    """The rate to train with, by a range test on a copy; `options` are those of `train`. Writes a picture and `rates.json` into `out`.

    Raises InputError where the rule follows no rate.

    >>> import chainrule as cr
    >>> found = cr.find_rate("digits", net="mlp:hidden=8", steps=30, highest=1.0)
    >>> found.suggested is None or 1e-8 < found.suggested < 1
    True
    """
    asked, own, session = options_of(net, loss, options), own_of(net, loss, weights), session_of(out=out, data_dir=data_dir)
    span = read_options(RateRange, {"steps": steps, "lowest": lowest, "highest": highest})
    Folder.check_free(session.out)
    source = as_source(data, asked, session.data_dir)
    job = build(source, asked, own)
    rates = range_test(job, steps=span.steps, lowest=span.lowest, highest=span.highest)
    folder = Folder.create(session.out, source.name, "rates")
    rates = replace(rates, path=folder.path / "rates.png")
    figure = descent.rates(rates.rates, rates.losses, rates.smoothed, rates.suggested, rates.edge if rates.diverged else None,
                           optimizers.choose(str(job.options.optimizer)).entry.name)
    png = to_png(figure)
    assert rates.path is not None
    write_file(rates.path, png)
    write_file(folder.path / RATES, json.dumps(rates.to_dict(), indent=1).encode())
    return rates


def range_test(job: Job, *, steps: int = RateRange.steps, lowest: float = RateRange.lowest,
               highest: float = RateRange.highest) -> Rates:
    """Train a copy of the job's net for so many steps, the rate rising evenly in its logarithm. The job stays as it was, to the bit."""
    check(RateRange(steps, lowest, highest))
    if not 0 < lowest < highest < math.inf:
        raise InputError(f"--lowest and --highest are rates, 0 < lowest < highest; got {lowest:g} and {highest:g}. Leave them out for "
                         f"{RateRange.lowest:g} to {RateRange.highest:g}.")
    chosen = optimizers.choose(str(job.options.optimizer))
    rule = _rising(job, chosen, lowest, highest)
    rates, losses = [], []
    with Aside(job.options.seed, job.device):
        net, _ = copied(Learner(job.net, {}))
        net.train()
        state = rule.init(net)
        set_pace(state, {"done": 0.0, "each": 1.0, "whole": steps - 1.0})
        for i, batch in enumerate(_batches(job, steps)):
            net, state, report = rule.step(net, state, batch)
            value = float(report["loss"])                                    # before this step moves
            if not math.isfinite(value):
                break
            rates.append(lowest * (highest / lowest) ** (i / (steps - 1)))
            losses.append(value)
            so_far = smooth(losses)
            least = min(so_far)
            if len(losses) > FEWEST_STEPS and so_far[-1] - least > max(RISEN * (so_far[0] - least), 0.5 * abs(least)):
                break
    if len(losses) < FEWEST_STEPS // 2:
        raise InputError(f"the loss stopped being finite after {len(losses)} steps, at rates from {lowest:g}; nothing can be read from so "
                         f"few. Use --lowest {lowest / 1000:g}.")
    return read(rates, losses, chosen)


def read(rates: list[float], losses: list[float], optimizer: Chosen[OptimizerTraits]) -> Rates:
    """What a range test says: the loss before a step at `rates[i]` is `losses[i]`, so its fall follows the step."""
    smoothed = smooth(losses)
    least = min(range(len(smoothed)), key=smoothed.__getitem__)
    height = max(smoothed) - smoothed[least]
    diverged = least < len(smoothed) - 1 and smoothed[-1] - smoothed[least] > 0.1 * max(height, 1e-12)
    slopes = [smoothed[i + 1] - smoothed[i] for i in range(least)] or [0.0]
    steep = min(range(len(slopes)), key=slopes.__getitem__)
    edge, steepest = rates[least], rates[steep]
    suggested = float(f"{min(steepest, edge / 3):.1e}")
    spelled = str(Chosen(optimizer.entry, {**optimizer.options, "rate": suggested}))
    return Rates(rates, losses, smoothed, steepest, edge, suggested, spelled, diverged)


def smooth(values: list[float]) -> list[float]:
    """A Gaussian mean over neighbouring steps, without lag, each weight renormalised at the ends."""
    v = torch.tensor(values, dtype=torch.float64)                            # (n,)
    steps = torch.arange(len(v), dtype=torch.float64)
    apart = steps[:, None] - steps
    weight = (-0.5 * (apart / BREADTH).square()).exp()                       # (n, n)
    return ((weight @ v) / weight.sum(1)).tolist()


def _rising(job: Job, chosen: Chosen[OptimizerTraits], lowest: float, highest: float) -> Rule:
    """The job's rule with a schedule under which the rate rises."""
    rate = chosen.entry.options.get("rate")
    own = chosen.options.get("rate", rate.default) if rate else None
    if not isinstance(own, float) or own <= 0:
        able = ", ".join(e.name for e in optimizers.entries() if "rate" in e.options)
        raise InputError(f"{chosen.entry.name} follows no rate that could be found. Use --optimizer with one of {able}.")

    def rising(share: Tensor) -> Tensor:
        return lowest / own * (highest / lowest) **share

    def range_of_rates() -> Schedule:
        return rising

    schedule = ByPart.of_all(Chosen(Entry("range", range_of_rates, "", "", {}, NoTraits()), {}))
    rule = make_rule(rules.choose(job.rule_name), job.criterion, chosen, schedule, constraint_of(job.options))
    if getattr(rule, "schedule", None) is not rising:
        raise InputError(f"{job.rule_name} moves the weights by itself, at no rate that could be found. Use --rule backprop, or another "
                         "rule that gives a direction (chainrule list rules).")
    return job.reading(rule)


def _batches(job: Job, steps: int) -> Iterator[Batch]:
    feed, done, epoch = job.feed(), 0, 0
    while True:
        for chunk in feed.chunks(epoch, 0, 1):
            yield chunk[0]
            done += 1
            if done == steps:
                return
        epoch += 1
