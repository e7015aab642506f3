"""A dose-response curve by logistic regression: beetles in gaseous carbon disulphide. Bliss (1935), https://doi.org/10.1111/j.1744-7348.1935.tb07713.x"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers, recipes, rules
from chainrule.evaluate.dose_response import coefficients, effective_dose, logistic_covariance
from chainrule.evaluate.intervals import wilson
from chainrule.job.rule_spec import make_rule
from chainrule.plots.style import COLOURS, INK, figure_of, make_plain
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.workflows.picture import write

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

LOG_DOSE = (1.6907, 1.7242, 1.7552, 1.7842, 1.8113, 1.8369, 1.8610, 1.8839)  # log10 of mg/l
EXPOSED = (59, 60, 62, 56, 63, 59, 62, 60)
KILLED = (6, 13, 18, 28, 52, 53, 61, 60)
STEPS = 12
DOBSON = "Dobson (2002), An Introduction to Generalized Linear Models, 2nd ed., table 7.2 and 7.3, on the data of Bliss (1935)"


@recipes("dose-response", source="Bliss (1935), https://doi.org/10.1111/j.1744-7348.1935.tb07713.x; " + DOBSON)
def dose_response(setting: Setting) -> Outcome:
    """Log-odds of death against log dose, fitted to the maximum by Newton's method: slope 34.27, half of the beetles at 1.772."""
    dose = torch.tensor(LOG_DOSE, dtype=torch.float64)                        # (doses,)
    middle = dose.mean()
    killed, exposed = torch.tensor(KILLED, dtype=torch.float64), torch.tensor(EXPOSED, dtype=torch.float64)
    x = (dose - middle).repeat(2)[:, None]                                    # (2 doses, 1): the dead, then the living
    batch = Batch(x, torch.arange(2).flip(0).repeat_interleave(len(dose)), torch.cat([killed, exposed - killed]))
    net = Net.of(_Odds())
    rule = make_rule(rules.choose("backprop"), Supervised(losses.choose("cross-entropy").make()), optimizers.choose("newton"), None)
    state = rule.init(net)
    for _ in range(STEPS):
        net, state, report = rule.step(net, state, batch)
    slope = float(net.params["weight"].detach())
    intercept = float(net.params["bias"].detach()) - slope * float(middle)
    tilt, level = coefficients(dose[:, None], torch.tensor([slope]), intercept, ["slope"], weight=exposed)
    covariance = logistic_covariance(dose[:, None], torch.tensor([slope]), intercept, exposed)
    dead = effective_dose(slope, intercept, covariance)
    figures = [
        Figure("slope", tilt.value, tilt.interval.low, tilt.interval.high, 34.27, DOBSON, "about", 0.005),
        Figure("intercept", level.value, level.interval.low, level.interval.high, -60.72, DOBSON, "about", 0.005),
        Figure("log10 of the dose that kills half", dead.value, dead.interval.low, dead.interval.high, 1.7717, "", "about", 5e-4),
    ]
    rows = [["log10 dose", "exposed", "killed", "fitted"]]
    for d, n, k in zip(LOG_DOSE, EXPOSED, KILLED, strict=True):
        rows.append([f"{d:.4f}", str(n), str(k), f"{n / (1 + math.exp(-intercept - slope * d)):.2f}"])
    path = write(_drawn(slope, intercept, dead.value), setting.out / "dose-response.png")
    return Outcome(figures, rows, [f"mean loss {float(report['loss']) / float(exposed.mean()) * 2:.6f} a beetle"], [path])


class _Odds(nn.Module):
    """The scores of two classes, 0 and w x + b: softmax over them is the logistic function."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        odds = torch.nn.functional.linear(x, self.weight, self.bias)          # (n, 1)
        return torch.cat([torch.zeros_like(odds), odds], 1)


def _drawn(slope: float, intercept: float, half: float) -> Drawing:
    figure = figure_of(6.4, 4.2)
    axes = figure.add_subplot()
    at = torch.linspace(LOG_DOSE[0] - 0.03, LOG_DOSE[-1] + 0.03, 200, dtype=torch.float64)
    axes.plot(at.numpy(), torch.sigmoid(intercept + slope * at).numpy(), color=COLOURS[0], linewidth=1.8,
              label="fitted by logistic regression")
    observed = [(k / n, wilson(k, n)) for k, n in zip(KILLED, EXPOSED, strict=True)]
    ends = [[max(share - i.low, 0.0) for share, i in observed], [max(i.high - share, 0.0) for share, i in observed]]
    axes.errorbar(LOG_DOSE, [share for share, _ in observed], ends, color=COLOURS[1], marker="o", markersize=5, linestyle="", elinewidth=1,
                  capsize=2.5, label="observed, with 95 % intervals")
    axes.axvline(half, color=INK, linewidth=1, linestyle=":", label=f"half are killed: {half:.4f}, {10**half:.1f} mg/l")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("log10 of the dose in mg/l", color=INK)
    axes.set_ylabel("share of beetles killed", color=INK)
    axes.set_title("Beetles after five hours of gaseous carbon disulphide", fontsize=10, color=INK)
    make_plain(axes)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="lower right")
    return figure
