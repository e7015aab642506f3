"""Optimizers racing down one surface of two numbers: an ill-conditioned bowl, or Rosenbrock's valley.

Rosenbrock (1960), https://doi.org/10.1093/comjnl/3.3.175
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.errors import InputError, suggest
from chainrule.core.loss import Loss, identity
from chainrule.core.net import Net
from chainrule.core.registry import optimizers, rules
from chainrule.job.rule_spec import make_rule
from chainrule.plots.descent import surface
from chainrule.workflows.options import Drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Ground = Literal["bowl", "rosenbrock"]
RATES = tuple(f * 10.0**power for power in range(-4, 1) for f in (1, 3))
CONDITION = 30.0
STEPS = 200
GRID = 161


class Point(nn.Module):
    """Two numbers, and residuals whose half squared length is the height: (n, 1) -> (n, 2)."""

    def __init__(self, ground: Ground):
        super().__init__()
        self.ground = ground
        self.weight = nn.Parameter(torch.tensor(START[ground], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return residuals(self.ground, self.weight[0], self.weight[1]).expand(len(x), -1)


START: dict[Ground, tuple[float, float]] = {"bowl": (-2.0, 1.2), "rosenbrock": (-1.3, 1.0)}
MINIMUM: dict[Ground, tuple[float, float]] = {"bowl": (0.0, 0.0), "rosenbrock": (1.0, 1.0)}
VIEW: dict[Ground, tuple[tuple[float, float], tuple[float, float]]] = {
    "bowl": ((-2.4, 1.2), (-1.5, 1.5)), "rosenbrock": ((-1.8, 1.6), (-0.6, 2.2))}


def residuals(ground: Ground, a: Tensor, b: Tensor) -> Tensor:
    """(..., 2): sqrt(curvature) times each number for the bowl; sqrt(2) (1 - a) and sqrt(200) (b - a^2) for Rosenbrock's valley."""
    if ground == "bowl":
        return torch.stack([a, math.sqrt(CONDITION) * b], -1)
    return torch.stack([math.sqrt(2) * (1 - a), math.sqrt(200) * (b - a * a)], -1)


@dataclass(frozen=True)
class Descent:
    """Where one optimizer went, (steps + 1, 2), and how high it was."""

    spec: str
    path: Tensor
    heights: list[float]


def race(specs: Sequence[str], on: str = Drawing.on, *, steps: int = STEPS) -> tuple[list[Descent], Figure]:
    """Each optimizer down the same surface; without a rate of one's own, at the best of several. Raises InputError for unknown names."""
    if on not in START:
        raise InputError(f"There is no surface called '{on}'. {suggest(on, START)}")
    if not specs:
        raise InputError("expected at least one optimizer, as in --optimizers sgd,momentum,adam; got none.")
    ground: Ground = on
    descents = [_best(spec, ground, steps) for spec in specs]
    (left, right), (low, high) = VIEW[ground]
    across, up = torch.linspace(left, right, GRID, dtype=torch.float64), torch.linspace(low, high, GRID, dtype=torch.float64)
    heights = 0.5 * residuals(ground, *torch.meshgrid(across, up, indexing="xy")).square().sum(-1)        # (up, across)
    paths = {f"{d.spec}, height {d.heights[-1]:.2g} after {len(d.path) - 1} steps": d.path for d in descents}
    name = {"bowl": f"a bowl of condition {CONDITION:g}", "rosenbrock": "Rosenbrock's valley"}[ground]
    return descents, surface(across, up, heights, paths, labels=("first number", "second number"), height="height",
                             minimum=MINIMUM[ground], title=name)


def split_specs(text: str) -> list[str]:
    """`sgd:rate=0.1,momentum=0.9,adam` as two specs: a word without = begins the next. `momentum` alone is sgd with momentum 0.9."""
    specs: list[str] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        if specs and "=" in part and ":" not in part:
            specs[-1] += ("," if ":" in specs[-1] else ":") + part
        else:
            specs.append({"momentum": "sgd:momentum=0.9", "nesterov": "sgd:momentum=0.9,nesterov=yes"}.get(part, part))
    return specs


def _best(spec: str, ground: Ground, steps: int) -> Descent:
    chosen = optimizers.choose(spec)
    if "rate" not in chosen.entry.options or "rate" in chosen.options:
        return _descend(spec, ground, steps)
    joined = "," if ":" in spec else ":"
    tried = (_descend(f"{spec}{joined}rate={rate:g}", ground, steps) for rate in RATES)
    return min(tried, key=lambda d: (_leaves(d.path, ground), _end(d.heights)))


def _leaves(path: Tensor, ground: Ground) -> bool:
    """Whether it leaves the view: a rate that does, and comes back by luck, is no picture of an optimizer."""
    low, high = torch.tensor(VIEW[ground], dtype=torch.float64).T
    return not bool(((path >= low) & (path <= high)).all())


def _end(heights: list[float]) -> float:
    return heights[-1] if math.isfinite(heights[-1]) else math.inf


def _descend(spec: str, ground: Ground, steps: int) -> Descent:
    net = Net.of(Point(ground))
    batch = Batch(torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64))
    squared = Loss("squared", lambda outputs, y: 0.5 * (outputs - y).square().sum(1), identity, ("real",))
    rule = make_rule(rules.choose("backprop"), Supervised(squared), optimizers.choose(spec), None)
    state = rule.init(net)
    path = [net.params["weight"].detach().clone()]
    for _ in range(steps):
        net, state, _ = rule.step(net, state, batch)
        path.append(net.params["weight"].detach().clone())
        if not bool(path[-1].isfinite().all()) or float(path[-1].abs().max()) > 1e6:
            break
    stacked = torch.stack(path)                                              # (steps + 1, 2)
    heights = 0.5 * residuals(ground, stacked[:, 0], stacked[:, 1]).square().sum(-1)
    return Descent(spec, stacked, heights.tolist())
