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

MOST_NODES, MOST_EDGES = 60, 600
SHAPING = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout)      # which change no number when a net answers


class Unreadable(Exception):
    """A net whose numbers cannot be drawn one by one; its message is why, a sentence without an end."""


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
            stack += [[*path, edge] for edge in reversed(self.after[path[-1].head]) if self.ways[edge.head]]

    @cached_property
    def ways(self) -> list[int]:
        """How many ways lead from each node to the result."""
        counts = [0] * (len(self.nodes) - 1) + [1]
        for edge in sorted(self.edges, key=lambda edge: -edge.head):
            counts[edge.tail] += counts[edge.head]
        return counts


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

    Runs a copy in evaluation mode and in double precision. Raises Unreadable for a net that is larger than can be drawn, and for one
    whose layers do not follow one another.
    """
    twin = duplicate(module).double().eval()
    for part in twin.modules():
        if hasattr(part, "inplace"):
            part.inplace = False  # type: ignore[assignment]
    if not x.is_floating_point():
        raise Unreadable("it reads symbols and not numbers")
    x = x.double()
    layers = _layers(twin, x)
    size = x.numel() + sum(outward.numel() for _, _, _, outward in layers) + 1
    if size > MOST_NODES:
        raise Unreadable(f"there are {size:,} numbers for one row, and at most {MOST_NODES} are drawn one by one")
    nodes = [Node(name, float(value), 0) for name, value in zip(_named(names, "input", x.numel()), x.flatten().tolist(), strict=True)]
    edges: list[Edge] = []
    before, values = 0, x.flatten()
    for column, (name, layer, inward, outward) in enumerate(layers, 1):
        if inward.numel() != values.numel() or not torch.equal(inward.flatten(), values):
            raise Unreadable(f"layer {name} reads something else than the layer before it gives")
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
        raise Unreadable(f"there are {len(edges):,} edges for one row, and at most {MOST_EDGES} are drawn one by one")
    return Graph(tuple(nodes), tuple(edges))


def _layers(twin: nn.Module, x: Tensor) -> list[tuple[str, nn.Module, Tensor, Tensor]]:
    """What runs for x, in order: name, module, what it reads and gives; not what changes shapes alone. Raises Unreadable for none."""
    called = {part: name or "net" for name, part in twin.named_modules() if not any(True for _ in part.children())}
    layers: list[tuple[str, nn.Module, Tensor, Tensor]] = []

    def leave(part: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        if not isinstance(output, Tensor) or not inputs or not isinstance(inputs[0], Tensor):
            raise Unreadable(f"{called[part]} gives more than one tensor")
        if not isinstance(part, SHAPING):
            layers.append((called[part], part, inputs[0].detach().clone(), output.detach().clone()))

    for part in called:
        part.register_forward_hook(leave)
    with torch.no_grad():
        outputs = twin(x)
    for part in called:
        part._forward_hooks.clear()
    if not layers:
        raise Unreadable("it runs no layer of its own")
    if not torch.equal(outputs.flatten(), layers[-1][3].flatten()):
        raise Unreadable("its last layer does not give the outputs")
    return layers


def _factors(layer: nn.Module, inward: Tensor) -> Tensor:
    """The derivative of each number that a layer gives by each that it reads, (outputs, inputs)."""
    jacobian = torch.autograd.functional.jacobian(layer, inward)
    return torch.as_tensor(jacobian).reshape(-1, inward.numel())


def _named(names: Sequence[str], otherwise: str, count: int) -> list[str]:
    """`names` where there are as many, else numbers from 1."""
    return list(names) if len(names) == count else [f"{otherwise.rstrip()} {i + 1}" for i in range(count)]
