"""Every optimizer down one ill-conditioned bowl: how many passes each needs, at the best of its rates.

Jacobs (1988), https://doi.org/10.1016/0893-6080(88)90003-2
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Solve, Supervised
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss, identity
from chainrule.core.net import Net
from chainrule.core.registry import Entry, optimizers, recipes, rules
from chainrule.core.traits import OptimizerTraits
from chainrule.job.rule_spec import make_rule
from chainrule.plots.style import INK, figure_of, line_styles, make_plain
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.workflows.picture import write

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

CONDITION, DIMENSIONS = 1e4, 10
ENOUGH = 1e-6                                          # of the height at the start
RATES = tuple(10.0**power for power in range(-4, 2))   # each tried as it is and threefold
MOST = 12_000                                          # passes
FLOOR = ENOUGH / 30                                    # what is lower is drawn here


class Bowl(nn.Module):
    """Residuals sqrt(c) (Q w - 1) of a quadratic whose curvatures c lie between 1 and the condition number, evenly in their logarithm.

    Q turns it at random: along the axes, a rate for each weight would be all that it takes. The bottom is not at zero, where decay
    alone would lead.
    """

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        curvature = torch.logspace(0, math.log10(CONDITION), DIMENSIONS, dtype=torch.float64)
        turn = torch.linalg.qr(torch.randn(DIMENSIONS, DIMENSIONS, generator=random, dtype=torch.float64)).Q
        self.register_buffer("map", curvature.sqrt()[:, None] * turn)                    # (residuals, weights)
        self.register_buffer("bottom", turn.T @ torch.ones(DIMENSIONS, dtype=torch.float64))
        self.weight = nn.Parameter(torch.zeros(DIMENSIONS, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (self.map @ (self.weight - self.bottom)).expand(len(x), -1)  # type: ignore[operator]


@dataclass(frozen=True)
class Descent:
    """What one optimizer did at one setting: the loss after each pass over the data that it took."""

    spec: str
    passes: list[int]
    losses: list[float]

    @property
    def needed(self) -> float:
        """Passes until the loss was below its share of the start; infinite where it never was."""
        low = self.losses[0] * ENOUGH
        return next((p for p, value in zip(self.passes, self.losses, strict=True) if value <= low), math.inf)


@recipes("bowl", source="Jacobs (1988), https://doi.org/10.1016/0893-6080(88)90003-2")
def bowl(setting: Setting) -> Outcome:
    """A quadratic of condition 10,000 in ten dimensions: passes until a millionth of the height is left, each at its best rate."""
    most = 60 if setting.short else MOST
    best = []
    for entry in optimizers.entries():
        setting.say(entry.name)
        best.append(_best(entry, most))
    best.sort(key=lambda d: (d.needed, d.losses[-1]))
    rows = [["optimizer", "passes", "loss then / at the start"]]
    rows += [[d.spec, _told(d),
              f"{next((v for v in d.losses if v <= d.losses[0] * ENOUGH), d.losses[-1]) / d.losses[0]:.1e}"] for d in best]
    path = write(_drawn(best), setting.out / "bowl.png")
    arrived = sum(math.isfinite(d.needed) for d in best)
    notes = [f"rates tried: {RATES[0]:g} to {3 * RATES[-1]:g}, three and ten times apart; a pass is the loss or its gradient, or a product "
             "with its curvature, over all data"]
    figure = Figure(f"optimizers at the bottom within {most:,} passes, of {len(best)}", arrived)
    return Outcome([figure], rows, notes, [path])


def _told(descent: Descent) -> str:
    return f"{descent.needed:,.0f}" if math.isfinite(descent.needed) else f"not in {descent.passes[-1]:,}"


def _best(entry: Entry[OptimizerTraits], most: int) -> Descent:
    """The fastest of an optimizer's descents; those that are already slower than another are broken off."""
    descents: list[Descent] = []
    for spec in _specs(entry):
        if descent := _descend(spec, int(min([most, *(d.needed for d in descents)]))):
            descents.append(descent)
    return min(descents, key=lambda d: (d.needed, d.losses[-1]))


def _specs(entry: Entry[OptimizerTraits]) -> list[str]:
    rate = entry.options.get("rate")
    return [f"{entry.name}:rate={f * r:g}" for r in RATES for f in (1, 3)] if rate else [entry.name]


def _descend(spec: str, most: int) -> Descent | None:
    """The descent at one setting; None where the optimizer refuses it."""
    net = Net.of(Bowl())
    batch = Batch(torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, DIMENSIONS, dtype=torch.float64))
    squared = Loss("squared", lambda outputs, y: 0.5 * (outputs - y).square().sum(1), identity, ("real",))
    try:
        rule = make_rule(rules.choose("backprop"), Supervised(squared), optimizers.choose(spec), None)
        state = rule.init(net)
    except InputError:
        return None
    solves = isinstance(rule, Solve)
    passes, losses, taken = [0], [_height(net)], 0
    while taken < most and math.isfinite(losses[-1]) and losses[-1] < 1e6 * losses[0] and losses[-1] > losses[0] * ENOUGH:
        net, state, report = rule.step(net, state, batch)
        taken += max(int(report["evaluations"] + report.get("products", 0)), 1) if solves else 1
        passes.append(taken)
        losses.append(_height(net))
    return Descent(spec, passes, losses)


@torch.no_grad()
def _height(net: Net) -> float:
    return float(0.5 * net(torch.zeros(1, 1)).square().sum())


def _drawn(descents: list[Descent]) -> Drawing:
    """The height left by passes, one line for each optimizer, in the legend from the fastest to the slowest."""
    figure = figure_of(9.5, 5.6)
    axes = figure.add_subplot()
    for descent, style in zip(descents, line_styles(), strict=False):
        above = [max(v / descent.losses[0], FLOOR) for v in descent.losses]
        axes.plot([max(p, 0.8) for p in descent.passes], above, label=f"{descent.spec}: {_told(descent)}", **style)
    axes.axhline(ENOUGH, color=INK, linewidth=0.8, linestyle=":")
    axes.set(xscale="log", yscale="log", ylim=(FLOOR / 1.3, 30))
    axes.set_xlabel("passes over the data", color=INK)
    axes.set_ylabel("height / height at the start", color=INK)
    axes.set_title(f"A bowl of condition {CONDITION:,.0f} in {DIMENSIONS} dimensions, each optimizer at its best rate", fontsize=10,
                   color=INK)
    make_plain(axes)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8, labelcolor=INK,
                  title="passes to a millionth", title_fontsize=9)
    return figure
