"""The computational graph: values on the way up, derivatives on the way down, and the chain rule as a sum over paths.

Linnainmaa (1976), https://doi.org/10.1007/BF01931367; sums over paths: Bauer (1974), https://doi.org/10.1137/0711010
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from chainrule.core.duplicate import duplicate
from chainrule.core.errors import InputError

MOST_NODES, MOST_EDGES = 60, 600
SHAPING = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout)      # which change no number when a net answers


class Edge(NamedTuple):
    """From one node to a later one: how much the head changes with the tail, all else the same. `weight` names the parameter it is."""

    tail: int
    head: int
    factor: float
    weight: str = ""


@dataclass(frozen=True)
class Node:
    """A number on the way: what it is called, its value, and in which column it is drawn, the inputs in column 0."""

    name: str
    value: float
    column: int


@dataclass(frozen=True)
class Graph:
    """Nodes so ordered that every edge leads to a later one; the last of them is the result whose derivatives are asked for."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    @cached_property
    def derivatives(self) -> list[float]:
        """Of the result by each node: the chain rule, from the result backward, each edge once."""
        slopes = [0.0] * (len(self.nodes) - 1) + [1.0]
        for edge in sorted(self.edges, key=lambda edge: -edge.head):
            slopes[edge.tail] += edge.factor * slopes[edge.head]
        return slopes

    @cached_property
    def after(self) -> list[list[Edge]]:
        """The edges that leave each node."""
        leaving: list[list[Edge]] = [[] for _ in self.nodes]
        for edge in self.edges:
            leaving[edge.tail].append(edge)
        return leaving

    @property
    def inputs(self) -> list[int]:
        """The nodes that nothing leads to."""
        return sorted({*range(len(self.nodes))} - {edge.head for edge in self.edges})

    def paths(self, start: int) -> Iterator[list[Edge]]:
        """Every way from a node to the result."""
        stack: list[list[Edge]] = [[edge] for edge in reversed(self.after[start])]
        while stack:
            path = stack.pop()
            if path[-1].head == len(self.nodes) - 1:
                yield path
            stack += [[*path, edge] for edge in reversed(self.after[path[-1].head])]

    def count_paths(self, start: int) -> int:
        """How many ways lead from a node to the result."""
        counts = [0] * (len(self.nodes) - 1) + [1]
        for edge in sorted(self.edges, key=lambda edge: -edge.head):
            counts[edge.tail] += counts[edge.head]
        return counts[start]


def along(path: Sequence[Edge]) -> float:
    """The product of the factors along a path."""
    product = 1.0
    for edge in path:
        product *= edge.factor
    return product


class Operation(NamedTuple):
    """A node of an expression: its name, the numbers of the nodes it is made of, and the function of their values ()."""

    name: str
    parts: tuple[int, ...]
    function: Callable[..., Tensor]


def of_operations(variables: Sequence[tuple[str, float]], operations: Sequence[Operation]) -> Graph:
    """The graph of an expression: variables with their values, then operations on what stands before them; the last is the result.

    A factor is the derivative of the operation alone by one of its parts. Two edges between the same nodes are one, their factors added.
    """
    nodes = [Node(name, value, 0) for name, value in variables]
    edges: dict[tuple[int, int], float] = {}
    for operation in operations:
        values = [torch.tensor(nodes[i].value, dtype=torch.float64, requires_grad=True) for i in operation.parts]
        value = operation.function(*values)
        factors = torch.autograd.grad(value, values)
        for part, factor in zip(operation.parts, factors, strict=True):
            edges[part, len(nodes)] = edges.get((part, len(nodes)), 0.0) + float(factor)
        nodes.append(Node(operation.name, float(value.detach()), 1 + max(nodes[i].column for i in operation.parts)))
    return Graph(tuple(nodes), tuple(Edge(tail, head, factor) for (tail, head), factor in edges.items()))


def of_net(module: nn.Module, x: Tensor, each: Callable[[Tensor], Tensor], names: Sequence[str], outputs: Sequence[str],
           result: str) -> Graph:
    """The graph of a small net for one row x (1, ...): its inputs, what each layer makes of the one before, the loss `each(outputs)` (1,).

    Runs a copy in evaluation mode and in double precision. Raises InputError for a net that is larger than can be drawn, and for one
    whose layers do not follow one another.
    """
    twin = duplicate(module).double().eval()
    for part in twin.modules():
        if hasattr(part, "inplace"):
            part.inplace = False  # type: ignore[assignment]
    x = x.double() if x.is_floating_point() else x
    layers = _layers(twin, x)
    _check_size([x.numel(), *(outward.numel() for _, _, _, outward in layers), 1], type(module).__name__)
    nodes = [Node(name, float(value), 0) for name, value in zip(_named(names, "input", x.numel()), x.flatten().tolist(), strict=True)]
    edges: list[Edge] = []
    before, values = 0, x.flatten()
    for column, (name, layer, inward, outward) in enumerate(layers, 1):
        if inward.numel() != values.numel() or not torch.equal(inward.flatten(), values):
            raise InputError(f"graph draws nets whose layers follow one another; layer {name} of this one reads something else than the "
                             "layer before it gives. Use the kind histograms, or a plain net such as mlp:hidden=3.")
        factors = _factors(layer, inward)                                                # (outputs, inputs)
        ends = outputs if column == len(layers) else ()
        first, values = len(nodes), outward.flatten()
        nodes += [Node(one, float(value), column)
                  for one, value in zip(_named(ends, f"{name} ", len(values)), values.tolist(), strict=True)]
        weights = isinstance(layer, nn.Linear)
        edges += [Edge(before + j, first + i, factor, f"{name}.weight[{i}, {j}]" if weights else "")
                  for i, row in enumerate(factors.tolist()) for j, factor in enumerate(row) if factor or weights]
        before = first
    final = layers[-1][3].detach().requires_grad_()
    loss = each(final).sum()
    (slopes,) = torch.autograd.grad(loss, final)
    edges += [Edge(before + i, len(nodes), slope) for i, slope in enumerate(slopes.flatten().tolist()) if slope]
    nodes.append(Node(result, float(loss.detach()), len(layers) + 1))
    if len(edges) > MOST_EDGES:
        raise InputError(_too_large(type(module).__name__, f"{len(edges):,} edges", MOST_EDGES))
    return Graph(tuple(nodes), tuple(edges))


def _layers(twin: nn.Module, x: Tensor) -> list[tuple[str, nn.Module, Tensor, Tensor]]:
    """What runs for x, in order: name, module, what it reads and gives; not what changes shapes alone. Raises InputError for none."""
    called = {part: name or "net" for name, part in twin.named_modules() if not any(True for _ in part.children())}
    layers: list[tuple[str, nn.Module, Tensor, Tensor]] = []

    def leave(part: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        if not isinstance(output, Tensor) or not inputs or not isinstance(inputs[0], Tensor):
            raise InputError(f"graph draws nets whose layers give one tensor each; {called[part]} does not. Use the kind histograms.")
        if not isinstance(part, SHAPING):
            layers.append((called[part], part, inputs[0].detach().clone(), output.detach().clone()))

    for part in called:
        part.register_forward_hook(leave)
    with torch.no_grad():
        outputs = twin(x)
    for part in called:
        part._forward_hooks.clear()
    if not layers:
        raise InputError(f"{type(twin).__name__} runs no layer of its own; there is no graph to draw. Give a net made of modules.")
    if not torch.equal(outputs.flatten(), layers[-1][3].flatten()):
        raise InputError("graph draws nets whose last layer gives the outputs; this one goes on from there by itself. Use the kind "
                         "histograms.")
    return layers


def _factors(layer: nn.Module, inward: Tensor) -> Tensor:
    """The derivative of each number that a layer gives by each that it reads, (outputs, inputs)."""
    jacobian = torch.autograd.functional.jacobian(layer, inward)
    return torch.as_tensor(jacobian).reshape(-1, inward.numel())


def _named(names: Sequence[str], otherwise: str, count: int) -> list[str]:
    """`names` where there are as many, else numbers from 1."""
    return list(names) if len(names) == count else [f"{otherwise.rstrip()} {i + 1}" for i in range(count)]


def _check_size(widths: Sequence[int], net: str) -> None:
    if sum(widths) > MOST_NODES:
        raise InputError(_too_large(net, f"{sum(widths):,} nodes", MOST_NODES))


def _too_large(net: str, what: str, most: int) -> str:
    kind = what.rsplit(" ", 1)[1]
    return (f"graph draws every number of a net on its way, at most {most} {kind}; {net} has {what} for this row. Draw a smaller one, e.g. "
            "chainrule train iris --net mlp:hidden=3, or use the kind histograms.")
