"""Derivatives by central differences beside those by the chain rule: activations, losses, and a tanh output unit.

Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.registry import losses, nets, recipes
from chainrule.core.tree import value_and_grad
from chainrule.nets.layers.activation import ACTIVATIONS, make_activation
from chainrule.recipes.outcome import Figure, Outcome, Setting

STEP = 1e-6          # of the central differences, whose error is of its square
JUMPS = ("step", "sign")
SOURCE = "Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0"


def slope_error(f: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """The greatest difference of a derivative of f's sum from a central difference, relative to the largest derivative (or to 1)."""
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(x).sum(), x)
    with torch.no_grad():
        steps = STEP * torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape)
        differences = torch.stack([(f(x + e).sum() - f(x - e).sum()) / (2 * STEP) for e in steps]).reshape(x.shape)
    return float((slope - differences).abs().max() / slope.abs().max().clamp(min=1.0))


def _away_from_corners(shape: tuple[int, ...]) -> Tensor:
    """Random numbers none of which is within .05 of the corners at -1, 0 and 1."""
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)
    return torch.where((x.abs() - 1).abs() < 0.05, 0.5, x + 0.1 * x.sign())


@recipes("activation-slopes", source=SOURCE)
def activation_slopes(setting: Setting) -> Outcome:
    """The derivative of every activation against differences; what jumps has none, and is left out."""
    x = _away_from_corners((4, 6))
    apart = {name: slope_error(make_activation(name), x) for name in sorted(ACTIVATIONS) if name not in JUMPS}
    return Outcome([Figure("greatest relative error of a slope", max(apart.values()), published=1e-6, goal="at most", source=SOURCE)],
                   [["activation", "error"], *([name, f"{value:.1e}"] for name, value in apart.items())])


@recipes("loss-slopes", source=SOURCE)
def loss_slopes(setting: Setting) -> Outcome:
    """The derivative of every loss by the outputs, for each kind of target that it reads, against differences."""
    outputs = _away_from_corners((5, 3))
    real = 0.3 * _away_from_corners((5, 3)).flip(0)
    targets = {"class": torch.arange(5) % 3, "real": real, "share": real.sigmoid(), "pairs": torch.arange(5) % 2,
               "labels": torch.tensor([[0, 1], [1, -1], [0, -1], [1, 0], [1, 1]])}
    frames = _away_from_corners((5, 12)).view(5, 4, 3)
    rows, worst = [["loss", "target", "error"]], 0.0
    for entry in losses.entries():
        loss = entry.make()
        for kind in loss.targets:
            signs = kind == "sign"
            y = torch.where(torch.arange(5) % 2 == 0, 1.0, -1.0).double() if signs else targets[kind]
            at = frames if kind == "labels" else outputs[:, :1] if signs else outputs
            error = slope_error(lambda o, loss=loss, y=y: loss.each(o, y), at)  # type: ignore[misc]
            rows.append([entry.name, kind, f"{error:.1e}"])
            worst = max(worst, error)
    return Outcome([Figure("greatest relative error of a slope", worst, published=1e-6, goal="at most", source=SOURCE)], rows)


@recipes("tanh-unit-slope", source=SOURCE)
def tanh_unit_slope(setting: Setting) -> Outcome:
    """The gradient of half the squared error of a tanh unit against (y - t)(1 - y^2) x written out."""
    torch.manual_seed(0)
    net = Net.of(nets.choose("tanh-unit").make((4,), 1).double())
    batch = Batch(torch.randn(20, 4, dtype=torch.float64), 2 * torch.rand(20, 1, dtype=torch.float64) - 1)
    loss = losses.choose("squared").make()
    _, _, slope = value_and_grad(lambda net, batch: (batch.mean(loss.each(net(batch.x), batch.y)), {}), net, batch)
    weight, bias = (next(g for name, g in slope.items() if name.endswith(end)) for end in ("weight", "bias"))
    y = net(batch.x).detach()                                                                    # (n, 1)
    signal = (y - batch.y) * (1 - y.square())                                                    # (n, 1)
    apart = max(float((weight - (signal * batch.x).mean(0)).abs().max()), float((bias - signal.mean()).abs().max()))
    return Outcome([Figure("greatest relative error of the gradient", apart / float(weight.abs().max()), published=0, goal="about",
                           within=1e-12, source=SOURCE),
                    Figure("greatest output beyond the range [-1, 1]", max(0.0, float(y.abs().max()) - 1), published=0, goal="at most")])
