"""What batch normalisation costs a step. Ioffe & Szegedy (2015), https://arxiv.org/abs/1502.03167"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median, quantiles
from typing import NamedTuple

import torch

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.errors import NotNow, PlanRejected
from chainrule.core.net import Net
from chainrule.core.registry import losses, nets, optimizers, recipes, rules
from chainrule.core.rule import Learner
from chainrule.engine.plans.plan import Plan
from chainrule.engine.randomness import Aside
from chainrule.job.rule_spec import make_rule
from chainrule.recipes.outcome import Figure, Outcome, Setting

SOURCE = "lecture: 30 % a step; Ioffe & Szegedy (2015), https://arxiv.org/abs/1502.03167"
CLASSES = 10


class Work(NamedTuple):
    """A net without normalisation, the maps of its convolutions, and how it is timed: rounds of so many steps on batches of one size."""

    net: str
    maps: int
    shape: tuple[int, ...]
    batch: int
    steps: int
    rounds: int


FULL = Work("convnet:pattern=32x32-pool-64x64-pool,dense=128", 2 * 32 + 2 * 64, (3, 32, 32), 64, 5, 30)
SHORT = Work("convnet:pattern=8-pool-8,dense=16", 8 + 8, (1, 8, 8), 8, 5, 20)


@recipes("batch-norm-cost", source=SOURCE)
def batch_norm_cost(setting: Setting) -> Outcome:
    """A step of a small convolutional net with batch normalisation and without, in turns, as eager steps and as a native program.

    The share is that of a step without it, the median of all rounds with their quartiles; it depends on the machine.
    """
    work = SHORT if setting.short else FULL
    rows, figures, notes = [["plan", "ms a step without", "ms a step with", "added %", "quartiles"]], list[Figure](), list[str]()
    for plan in ("eager", "native"):
        try:
            without, with_norm = (_steps(work, norm, plan) for norm in ("none", "batch"))
        except (PlanRejected, NotNow) as error:
            notes.append(f"not timed as a {plan} program: {error}")
            continue
        turns = [(without(), with_norm()) for _ in range(work.rounds + 1)][1:]       # the first warms up
        added = [100 * (b / a - 1) for a, b in turns]
        bare, normalised = (1e3 * median(seconds) for seconds in zip(*turns, strict=True))
        low, _, high = quantiles(added, n=4)
        rows.append([plan, f"{bare:.3g}", f"{normalised:.3g}", f"{median(added):.0f}", f"{low:.0f} to {high:.0f}"])
        figures.append(Figure(f"% that batch normalisation adds to a training step, {plan}", median(added), published=30, source=SOURCE))
    counts = [Net.of(_module(work, norm)).count() for norm in ("none", "batch")]
    figures.append(Figure("parameters that it adds", counts[1] - counts[0], published=2 * work.maps, goal="about",
                          source="Ioffe & Szegedy (2015), section 3.2: a scale and a shift for each map"))
    return Outcome(figures, rows, notes)


def _module(work: Work, norm: str) -> torch.nn.Module:
    module: torch.nn.Module = nets.choose(f"{work.net},norm={norm}").make(work.shape, CLASSES)
    return module


def _steps(work: Work, norm: str, plan_name: str) -> Callable[[], float]:
    """What trains some steps by a plan on one thread, and returns the seconds that each took. Raises PlanRejected where it has none."""
    with Aside(0, torch.device("cpu")):
        learner_net = Net.of(_module(work, norm).train())
        batches = Batch(torch.randn(work.steps, work.batch, *work.shape), torch.randint(CLASSES, (work.steps, work.batch)))
        rule = make_rule(rules.choose("backprop"), Supervised(losses.choose("cross-entropy").make()),
                         optimizers.choose("sgd:rate=0.01,momentum=0.9"), None)
        learner = Learner(learner_net, rule.init(learner_net))
        advance = replace(Plan.parse(plan_name), threads=1).build(rule, learner, batches)

    def run() -> float:
        nonlocal learner
        began = time.perf_counter()
        learner, _ = advance(learner, batches)
        return (time.perf_counter() - began) / work.steps

    return run
