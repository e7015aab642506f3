"""The computational graph of formulas and small nets beside autograd: values, derivatives, and sums over all paths.

Linnainmaa (1976), https://doi.org/10.1007/BF01931367
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.registry import losses, nets, recipes
from chainrule.observe.graph import Graph, along, of_net
from chainrule.optim.solvers.formula import read_named
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.workflows.graph import graph_of

SOURCE = "Linnainmaa (1976), https://doi.org/10.1007/BF01931367"
FORMULAS = {"e = (a + b) * (b + 1)": {"a": 2.0, "b": 1.0}, "exp(x y) / (1 + exp(x y)) - sin(x)^2": {"x": 0.7, "y": -1.3},
            "z = w x + b; y = tanh(z); (y - t)^2 / 2": {"w": 0.4, "x": 1.5, "b": -0.2, "t": 1.0}}
NETS = ("linear", "mlp:hidden=3,activation=tanh", "mlp:hidden=4x3,activation=sigmoid", "mlp:hidden=3x3x3,activation=relu")


def formula_errors(text: str, at: dict[str, float]) -> tuple[int, float]:
    """How many nodes there are, and the greatest difference of the value, of derivatives and of sums over paths from autograd."""
    formula = read_named(text)
    graph = graph_of(formula, [(name, at[name]) for name in formula.names])
    x = torch.tensor([at[name] for name in formula.names], dtype=torch.float64, requires_grad=True)
    value = formula(x)
    (slopes,) = torch.autograd.grad(value, x)
    errors = [abs(graph.nodes[-1].value - float(value.detach()))]
    for i, slope in enumerate(slopes.tolist()):
        errors += [abs(graph.derivatives[i] - slope), abs(over_paths(graph, i) - slope)]
    return len(graph.nodes), max(errors)


def net_errors(spec: str) -> tuple[int, float]:
    """The same of a net of four inputs and three classes for one row, with the derivatives of all its weights."""
    torch.manual_seed(0)
    module = nets.choose(spec).make((4,), 3).double().eval()
    x, y = torch.randn(1, 4, dtype=torch.float64, requires_grad=True), torch.tensor([1])
    loss = losses.choose("cross-entropy").make()
    graph = of_net(module, x.detach(), lambda outputs: loss.each(outputs, y), (), (), "loss")
    value = loss.each(module(x), y).sum()
    weights = {name if "." in name else f"net.{name}": p for name, p in module.named_parameters() if p.dim() == 2}   # of a lone layer: net
    slopes = torch.autograd.grad(value, [x, *weights.values()])
    errors = [abs(graph.nodes[-1].value - float(value.detach()))]
    for i, slope in enumerate(slopes[0].flatten().tolist()):
        errors += [abs(graph.derivatives[i] - slope), abs(over_paths(graph, i) - slope)]
    ours = {name: torch.zeros_like(p) for name, p in weights.items()}
    for edge in graph.edges:
        if edge.weight:
            put(ours, edge.weight, graph.nodes[edge.tail].value * graph.derivatives[edge.head])
    errors += [float((ours[name] - slope).abs().max()) for name, slope in zip(weights, slopes[1:], strict=True)]
    return len(graph.nodes), max(errors)


def over_paths(graph: Graph, start: int) -> float:
    """The chain rule read forward: the products along all ways from a node to the result, added."""
    return sum(along(path) for path in graph.paths(start))


def put(into: dict[str, Tensor], weight: str, value: float) -> None:
    """Write the derivative of `name[i, j]` into its place."""
    name, _, place = weight.partition("[")
    i, j = (int(number) for number in place.rstrip("]").split(","))
    into[name][i, j] = value


@recipes("network-graph", source=SOURCE)
def network_graph(setting: Setting) -> Outcome:
    """Formulas and nets of up to four layers: each node's value and derivative, and the sums over all paths, against autograd."""
    errors = {**{text: formula_errors(text, at) for text, at in FORMULAS.items()}, **{spec: net_errors(spec) for spec in NETS}}
    rows = [["graph", "nodes", "greatest difference"], *([name, str(nodes), f"{error:.1e}"] for name, (nodes, error) in errors.items())]
    return Outcome([Figure("greatest difference of values and derivatives from autograd", max(error for _, error in errors.values()),
                           published=1e-6, goal="at most", source="asked of the library")], rows)
