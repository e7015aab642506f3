"""A dose-response curve by logistic regression: beetles in gaseous carbon disulphide. Bliss (1935), https://doi.org/10.1111/j.1744-7348.1935.tb07713.x"""

from __future__ import annotations

import math

import torch
from torch import nn

from chainrule.core.losses import losses
from chainrule.core.net import Net
from chainrule.core.registry import optimizers, recipes, rules
from chainrule.core.rule import Batch
from chainrule.job import make_rule
from chainrule.recipes.outcome import Figure, Outcome, Setting

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
    rule = make_rule(rules.choose("backprop"), losses.choose("cross-entropy").make(), optimizers.choose("newton"), None, STEPS)
    state = rule.init(net)
    for _ in range(STEPS):
        net, state, report = rule.step(net, state, batch)
    slope = float(net.params["weight"].detach())
    intercept = float(net.params["bias"].detach()) - slope * float(middle)
    errors, half_error = _errors(slope, intercept, dose, exposed)
    z = 1.959964
    half = -intercept / slope
    figures = [
        Figure("slope", slope, slope - z * errors[1], slope + z * errors[1], 34.27, DOBSON, "about", 0.005),
        Figure("intercept", intercept, intercept - z * errors[0], intercept + z * errors[0], -60.72, DOBSON, "about", 0.005),
        Figure("log10 of the dose that kills half", half, half - z * half_error, half + z * half_error, 1.7717, "", "about", 5e-4),
    ]
    rows = [["log10 dose", "exposed", "killed", "fitted"]]
    for d, n, k in zip(LOG_DOSE, EXPOSED, KILLED, strict=True):
        rows.append([f"{d:.4f}", str(n), str(k), f"{n / (1 + math.exp(-intercept - slope * d)):.2f}"])
    path = setting.out / "dose-response.png"
    _draw(path, slope, intercept, half)
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


def _errors(slope: float, intercept: float, dose: torch.Tensor, exposed: torch.Tensor) -> tuple[list[float], float]:
    """Standard errors of intercept and slope from the Fisher information, and of -intercept / slope by the delta method."""
    p = torch.sigmoid(intercept + slope * dose)
    design = torch.stack([torch.ones_like(dose), dose], 1)                    # (doses, 2)
    covariance = torch.linalg.inv(design.T @ (design * (exposed * p * (1 - p))[:, None]))
    tilt = torch.tensor([-1 / slope, intercept / slope**2], dtype=torch.float64)
    return covariance.diagonal().sqrt().tolist(), float((tilt @ covariance @ tilt).sqrt())


def _draw(path: object, slope: float, intercept: float, half: float) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    at = [LOG_DOSE[0] - 0.03 + 0.002 * i for i in range(130)]
    axes.plot(at, [1 / (1 + math.exp(-intercept - slope * d)) for d in at], color="#0072B2", label="fitted")
    axes.plot(LOG_DOSE, [k / n for k, n in zip(KILLED, EXPOSED, strict=True)], "o", color="#D55E00", label="observed")
    axes.axvline(half, color="grey", linestyle=":", label=f"half at {half:.4f}")
    axes.set(xlabel="log10 of the dose (mg/l)", ylabel="share killed", title="Beetles in carbon disulphide")
    axes.legend()
    figure.savefig(path, dpi=150)  # type: ignore[arg-type]
    pyplot.close(figure)
