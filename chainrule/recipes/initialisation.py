"""The ten-layer experiment: what initial weights do to the signal on its way up, before anything is learned.

Glorot & Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html; He, Zhang, Ren & Sun (2015), https://arxiv.org/abs/1502.01852
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from chainrule.core.registry import inits, nets, recipes
from chainrule.nets.init.initial import initialise
from chainrule.plots.style import COLOURS, INK, figure_of
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.workflows.picture import write

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

ROWS, UNITS, LAYERS = 1000, 500, 10
BINS = 40
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
        drawn.append((case, seen, slopes))
        ratio = float(slopes[0].std() / slopes[-1].std().clamp_min(1e-38))
        rows.append([case.activation, case.init, *(f"{s:.2g}" for s in spread), f"{ratio:.2g}"])
        figures += [Figure(f"{case.activation}, {case.init}, layer {layer}", spread[layer - 1], published=value, source="",
                           goal="about", within=case.within * value) for layer, value in case.published.items()]
    pictures = [write(_activations([(case, seen) for case, seen, _ in drawn]), setting.out / "activations.png"),
                write(_slopes([(case, slopes) for case, _, slopes in drawn]), setting.out / "gradients.png")]
    return Outcome(figures, rows, [f"published: {KARPATHY}"], pictures)


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


def _activations(drawn: list[tuple[Case, list[Tensor]]]) -> Drawing:
    """A histogram for every layer of every case, on one scale for each case; zeros of rectified units are counted, not drawn."""
    figure, cells = _panels(len(drawn))
    for row, (case, seen) in zip(cells, drawn, strict=True):
        tanh = case.activation == "tanh"
        low, high = (-1.0, 1.0) if tanh else (0.0, 3 * math.sqrt(float(seen[0].square().mean())))
        edges = torch.linspace(low, high, BINS + 1)
        for number, (cell, a) in enumerate(zip(row, seen, strict=True), 1):
            counts = torch.histc(a if tanh else a[a > 0], BINS, low, high)
            cell.stairs(counts.numpy(), edges.numpy(), fill=True, color=COLOURS[0])
            if not tanh:
                cell.text(0.96, 0.94, f"{float((a == 0).double().mean()):.0%} zero", transform=cell.transAxes, ha="right", va="top",
                          fontsize=7, color=INK)
            cell.set_title(f"layer {number}, sd {float(a.std()):.2g}", fontsize=8, color=INK)
        row[0].set_ylabel(f"{case.activation}\n{case.init}", fontsize=9, color=INK)
    figure.supxlabel("activation, one scale in each row", fontsize=10, color=INK)
    return figure


def _slopes(drawn: list[tuple[Case, list[Tensor]]]) -> Drawing:
    """A histogram of the gradients' orders of magnitude for every layer of every case, on one scale for all."""
    orders = [(case, [s[s != 0].abs().log10() for s in slopes]) for case, slopes in drawn]
    ends = torch.stack([v.quantile(q) for _, each in orders for v in (a[:100_000] for a in each) for q in (0.01, 0.99)])
    low, high = math.floor(float(ends.min())), math.ceil(float(ends.max()))
    edges = torch.linspace(low, high, BINS + 1)
    figure, cells = _panels(len(drawn))
    for row, (case, each), (_, slopes) in zip(cells, orders, drawn, strict=True):
        for number, (cell, a, s) in enumerate(zip(row, each, slopes, strict=True), 1):
            cell.stairs(torch.histc(a, BINS, low, high).numpy(), edges.numpy(), fill=True, color=COLOURS[1])
            cell.set_title(f"layer {number}, sd {float(s.std()):.2g}", fontsize=8, color=INK)
            cell.set_xticks(range(low + -low % 4, high + 1, 4))
        row[0].set_ylabel(f"{case.activation}\n{case.init}", fontsize=9, color=INK)
    figure.supxlabel("power of ten of the gradient at each activation, one scale for all; the gradient starts at layer 10",
                     fontsize=10, color=INK)
    return figure


def _panels(rows: int) -> tuple[Drawing, Any]:
    figure = figure_of(1.5 * LAYERS, 1.4 * rows + 0.3)
    cells = figure.subplots(rows, LAYERS, squeeze=False)
    for cell in cells.flat:
        cell.set_yticks([])
        cell.tick_params(labelsize=7, colors=INK)
        cell.spines[["top", "right", "left"]].set_visible(False)
    return figure, cells
