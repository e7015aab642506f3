"""The ten-layer experiment: what initial weights do to the signal on its way up, before anything is learned.

Glorot & Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html; He, Zhang, Ren & Sun (2015), https://arxiv.org/abs/1502.01852
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from chainrule.core.registry import inits, nets, recipes
from chainrule.nets.initial import initialise
from chainrule.recipes.outcome import Figure, Outcome, Setting

ROWS, UNITS, LAYERS = 1000, 500, 10
KARPATHY = "lecture notes cs231n (2016), weight initialization, ten layers of 500 units on 1000 Gaussian rows"


@dataclass(frozen=True)
class Case:
    """An activation and an init, and the standard deviations published for some layers, by their number from 1."""

    activation: str
    init: str
    published: dict[int, float]
    within: float


CASES = (
    Case("tanh", "normal:0.01", {1: 0.213, 2: 0.0476, 3: 0.0106, 4: 0.0024}, 0.03),
    Case("tanh", "normal:1", {1: 0.98, 5: 0.98, 10: 0.98}, 0.03),
    Case("tanh", "xavier", {1: 0.628, 2: 0.486, 3: 0.408, 10: 0.228}, 0.05),
    Case("relu", "xavier", {1: 0.58, 2: 0.42, 3: 0.29, 10: 0.025}, 0.15),
    Case("relu", "he", {1: 0.84, 3: 0.84, 10: 0.84}, 0.15),
    Case("tanh", "orthogonal", {}, 0.0),
)


@recipes("initialisation", source=KARPATHY + "; Glorot & Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html")
def initialisation(setting: Setting) -> Outcome:
    """Standard deviations of ten layers' activations and gradients under each initial distribution, in figures and histograms."""
    torch.manual_seed(0)
    x = torch.randn(ROWS, UNITS)                                             # (rows, units)
    rows = [["layers", "init", *map(str, range(1, LAYERS + 1)), "gradient 1 / 10"]]
    figures, drawn = [], []
    for case in CASES:
        seen, slopes = signals(case, x)
        spread = [float(a.std()) for a in seen]
        drawn.append((case, seen))
        ratio = float(slopes[0].std() / slopes[-1].std().clamp_min(1e-38))
        rows.append([case.activation, case.init, *(f"{s:.2g}" for s in spread), f"{ratio:.2g}"])
        figures += [Figure(f"{case.activation}, {case.init}, layer {layer}", spread[layer - 1], published=value, source="",
                           goal="about", within=case.within * value) for layer, value in case.published.items()]
    path = setting.out / "initialisation.png"
    _draw(path, drawn)
    return Outcome(figures, rows, [f"published: {KARPATHY}"], [path])


def signals(case: Case, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The activations (rows, units) of every layer, from below, and the gradient of their last's random projection at each."""
    net = nets.choose(f"mlp:hidden={'x'.join([str(UNITS)] * LAYERS)},activation={case.activation}").make((UNITS,), UNITS)
    initialise(net, inits.choose(case.init))
    seen: list[Tensor] = []
    h = x
    for layer in list(net.children())[:-1]:
        h = layer(h)
        if not isinstance(layer, nn.Linear):
            h.retain_grad()
            seen.append(h)
    (h * torch.randn_like(h)).sum().backward()
    return [a.detach() for a in seen], [a.grad for a in seen if a.grad is not None]


def _draw(path: Path, drawn: list[tuple[Case, list[Tensor]]]) -> None:
    """A histogram for every layer of every case."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(drawn), LAYERS, figsize=(1.5 * LAYERS, 1.35 * len(drawn)), layout="constrained", squeeze=False)
    for row, (case, seen) in zip(axes, drawn, strict=True):
        for number, (cell, a) in enumerate(zip(row, seen, strict=True), 1):
            reach = 1.0 if case.activation == "tanh" else max(3 * math.sqrt(float(a.square().mean())), 1e-6)
            counts = torch.histc(a, 40, -reach if case.activation == "tanh" else 0.0, reach)
            edges = torch.linspace(-reach if case.activation == "tanh" else 0.0, reach, 41)
            cell.stairs(counts.numpy(), edges.numpy(), fill=True, color="#0072B2")
            cell.set_yticks([])
            cell.tick_params(labelsize=6)
            cell.set_title(f"layer {number}, sd {float(a.std()):.2g}", fontsize=7)
        row[0].set_ylabel(f"{case.activation}\n{case.init}", fontsize=8)
    figure.supxlabel("activation", fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
