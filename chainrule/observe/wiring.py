"""Which layer reads which: a net as a graph of its layers, found by following derivatives back from what each layer reads.

With a loss each layer has the size of what it gives for these rows, and of the derivative of the loss by it. Sums over the paths of such
graphs: Veit, Wilber & Belongie (2016), https://arxiv.org/abs/1605.06431
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from chainrule.core.duplicate import duplicate
from chainrule.observe.layer_table import collapsed
from chainrule.observe.layers import Layer

INPUT, NO_WEIGHTS = "input", 2      # the name of what a net reads; parameters of fewer axes scale and shift
SUFFIX, NUMBERED = re.compile(r"Backward\d*$"), re.compile(r"\.\d+$")      # of a function of the derivative; of one of several parts


@dataclass(frozen=True)
class LayerNode:
    """A layer, a `join` of several, what a net reads, or a loss: what it gives, without the axis of rows, and its parameters.

    `values` and `derivatives` are root mean squares of what it gives and of the derivative of the loss by it, one for each of the layers
    that it stands for, the one nearest the input first; none where there was no loss.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int = 0
    weights: bool = False
    join: bool = False
    times: int = 1
    values: tuple[float, ...] = ()
    derivatives: tuple[float, ...] = ()


@dataclass(frozen=True)
class LayerGraph:
    """Layers in the order in which they run, each reading earlier ones; the first is what the net reads."""

    nodes: tuple[LayerNode, ...]
    edges: tuple[tuple[int, int], ...]

    @cached_property
    def readers(self) -> list[list[int]]:
        """The layers that read each."""
        return self._grouped((tail, head) for tail, head in self.edges)

    @cached_property
    def sources(self) -> list[list[int]]:
        """The layers that each reads."""
        return self._grouped((head, tail) for tail, head in self.edges)

    def _grouped(self, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
        """For each node the second numbers of the pairs that begin with it."""
        others: list[list[int]] = [[] for _ in self.nodes]
        for node, other in pairs:
            others[node].append(other)
        return others

    @property
    def paths(self) -> int:
        """How many ways lead from what the net reads to the last node."""
        counts = [1] + [0] * (len(self.nodes) - 1)
        for tail, head in sorted(self.edges, key=lambda edge: edge[1]):
            counts[head] += counts[tail]
        return counts[-1]

    @property
    def branches(self) -> bool:
        """Whether some layer is read by several, or reads several."""
        return any(len(heads) > 1 for heads in self.readers) or any(len(tails) > 1 for tails in self.sources)


def wiring(module: nn.Module, x: Tensor, each: Callable[[Any], Tensor] | None = None, result: str = "loss") -> LayerGraph:
    """The layers that run for rows x (n, ...), a node for each call, several calls of the same weights as one.

    With `each`, the losses (n,) of the outputs, the last node is their sum, and layers have values and derivatives. Runs a copy in
    evaluation mode.
    """
    twin = duplicate(module).eval()
    for p in twin.parameters():
        p.requires_grad_(p.is_floating_point())
    for part in twin.modules():
        if hasattr(part, "inplace"):
            part.inplace = False  # type: ignore[assignment]
    with torch.enable_grad():
        x = x.clone().requires_grad_() * 1 if x.is_floating_point() else x           # no leaf, so that a net may write into it
        trace = _Trace(x)
        for name, part in _parts(twin):
            part.register_forward_hook(trace.noting(name), with_kwargs=True)
        outputs = twin(x)
        if each is not None:
            trace.end(each(outputs).sum(), result)
    return trace.graph()


def _parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers that have no parts, or read those that they have without calling them; not those that do nothing."""
    whole = [name for name, part in module.named_modules() if isinstance(part, nn.MultiheadAttention)]
    for name, part in module.named_modules():
        inside = any(name.startswith(f"{one}.") for one in whole)
        if not inside and not isinstance(part, nn.Identity) and (name in whole or next(part.children(), None) is None):
            yield name or "(net)", part


@dataclass
class _Trace:
    """What layers gave, and the functions of the derivative by which it is known again."""

    x: Tensor
    nodes: list[LayerNode] = field(default_factory=list)
    edges: set[tuple[int, int]] = field(default_factory=set)
    made_by: dict[Any, int | None] = field(default_factory=dict)           # the node that a function of the derivative gave
    outputs: list[list[Tensor]] = field(default_factory=list)              # of each node
    known: dict[Any, int] = field(default_factory=dict)                    # nodes by their module, where it has no weights by what it reads
    named: Counter[str] = field(default_factory=Counter)
    loss: Tensor | None = None

    def __post_init__(self) -> None:
        self.add(LayerNode(INPUT, INPUT, tuple(self.x.shape[1:])), set(), [self.x])
        if self.x.grad_fn is not None:
            self.made_by[self.x.grad_fn] = 0

    def add(self, node: LayerNode, sources: set[int], outputs: Sequence[Tensor] = ()) -> int:
        self.named[node.name] += 1
        again = self.named[node.name]
        self.nodes.append(node if again == 1 else replace(node, name=f"{node.name} {again}"))
        self.outputs.append(list(outputs))
        self.edges |= {(source, len(self.nodes) - 1) for source in sources}
        return len(self.nodes) - 1

    def noting(self, name: str) -> Callable[..., None]:
        def note(part: nn.Module, inputs: Any, named: Any, output: Any) -> None:
            given = [t for t in pytree.tree_leaves(output) if isinstance(t, Tensor) and t.grad_fn is not None]
            if not given:
                return
            read = [t for t in pytree.tree_leaves((inputs, named)) if isinstance(t, Tensor)]
            own = list(part.parameters())
            sources = {source for t in read if (source := self.source(t, joins=part not in self.known)) is not None}
            key = part if own else (part, frozenset(sources))
            if key in self.known:
                number = self.known[key]
                self.edges |= {(source, number) for source in sources if source < number}
                self.outputs[number].append(given[0])
            else:
                number = self.known[key] = self.add(LayerNode(
                    name, type(part).__name__, tuple(given[0].shape[1:]), sum(p.numel() for p in own),
                    weights=any(p.dim() >= NO_WEIGHTS for p in own)), sources, given[:1])
            for t in given:
                self.made_by[t.grad_fn] = number

        return note

    def source(self, tensor: Tensor, joins: bool = True) -> int | None:
        """The node that a tensor comes from, a new one where several are joined in it, or without `joins` the latest; None for a constant.

        What weights read when they are called again is not joined anew: a sequence has as many joins as steps.
        """
        if not tensor.is_floating_point():
            return 0
        if tensor.grad_fn is None:
            return None
        waiting = [tensor.grad_fn]
        while waiting:                                             # what a function is made of comes before itself
            one = waiting[-1]
            before = [f for f, _ in one.next_functions if f is not None]
            unknown = [f for f in before if f not in self.made_by]
            if one in self.made_by or not unknown:
                waiting.pop()
                if one not in self.made_by:
                    self.made_by[one] = self._joined(one, before, joins)
            else:
                waiting += unknown
        return self.made_by[tensor.grad_fn]

    def _joined(self, function: Any, before: list[Any], joins: bool) -> int | None:
        sources = {number for f in before if (number := self.made_by[f]) is not None}
        if len(sources) < 2 or not joins:
            return max(sources, default=None)
        latest, kind = self.nodes[max(sources)], SUFFIX.sub("", function.name()).lower()
        place, key = NUMBERED.sub("", latest.name).rpartition(".")[0], (kind, frozenset(sources))
        if key not in self.known:                                  # else of a later step of a sequence
            self.known[key] = self.add(LayerNode(f"{place}.{kind}" if place else kind, kind, latest.shape, join=True), sources)
        return self.known[key]

    def end(self, loss: Tensor, name: str) -> None:
        self.loss = loss
        source = self.source(loss)
        self.add(LayerNode(name, "loss", ()), set() if source is None else {source}, [loss])

    def graph(self) -> LayerGraph:
        nodes = self.nodes if self.loss is None else [
            replace(node, values=values, derivatives=derivatives)
            for node, (values, derivatives) in zip(self.nodes, self._sizes(), strict=True)]
        return LayerGraph(tuple(nodes), tuple(sorted(self.edges)))

    def _sizes(self) -> Iterator[tuple[tuple[float, ...], tuple[float, ...]]]:
        """Values and derivatives of each node over all its calls; nothing of joins, whose numbers nobody has."""
        assert self.loss is not None
        wanted = [t for several in self.outputs for t in several if t.requires_grad]
        slopes = iter(torch.autograd.grad(self.loss, wanted, allow_unused=True))
        for several in self.outputs:
            own = [(t, next(slopes) if t.requires_grad else None) for t in several]
            values = [t.detach().double() for t, _ in own]
            derivatives = [slope.double() for _, slope in own if slope is not None]
            yield (_size(values),) if values else (), (_size(derivatives),) if derivatives else ()


def _size(several: Sequence[Tensor]) -> float:
    """The root mean square of all their numbers."""
    numbers = sum(t.numel() for t in several)
    return float((sum(float(t.square().sum()) for t in several) / max(numbers, 1)) ** 0.5)


def joined(graph: LayerGraph) -> LayerGraph:
    """What only follows a layer as part of it: a normalisation, an activation, a pooling, and of joins those that only lead to others.

    A layer joins the one that it alone reads, where it is the only one to read that and has no weights.
    """
    whole = list(range(len(graph.nodes)))                            # the node that each is a part of
    merged = list(graph.nodes)
    last = len(graph.nodes) - 1
    for head, node in enumerate(graph.nodes):
        tails = graph.sources[head]
        if node.join and len(tails) > 1:                             # joins of joins are one
            for tail in tails:
                if graph.nodes[tail].join and graph.readers[tail] == [head]:
                    whole[tail] = head
                    merged[head] = replace(merged[head], kind=_added(merged[tail].kind, merged[head].kind))
            continue
        if len(tails) != 1 or node.weights or node.kind == "loss" or (head == last and node.join):
            continue
        (tail,) = tails
        if tail == 0 or graph.readers[tail] != [head]:
            continue
        top = whole[tail]
        whole[head] = top
        merged[top] = replace(
            merged[top], kind=_added(merged[top].kind, node.kind), shape=node.shape, parameters=merged[top].parameters + node.parameters,
            values=node.values or merged[top].values, derivatives=node.derivatives or merged[top].derivatives)
    return _mapped(graph, [_end(whole, i) for i in whole], merged)


def _end(whole: Sequence[int], i: int) -> int:
    while whole[i] != i:
        i = whole[i]
    return i


def _added(before: str, kind: str) -> str:
    """Two kinds as one, what is repeated once."""
    return before if before.split(" + ")[-1] == kind else f"{before} + {kind}"


def folded(graph: LayerGraph) -> LayerGraph:
    """Blocks that follow one another and are the same as their first one, as the table of layers has them."""
    rows = collapsed([Layer(node.name, node.kind, (), node.shape, node.parameters, 0, 0) for node in graph.nodes])
    standing = list(range(len(graph.nodes)))
    merged = list(graph.nodes)
    for row in rows:
        first, several = row.members[0], [graph.nodes[i] for i in row.members]
        for i in row.members:
            standing[i] = first
        merged[first] = replace(several[0], name=row.layer.name, times=row.times, values=_all(node.values for node in several),
                                derivatives=_all(node.derivatives for node in several))
    return _mapped(graph, standing, merged)


def _all(several: Iterator[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(value for values in several for value in values)


def within(graph: LayerGraph, most: int) -> LayerGraph:
    """At most so many nodes: where there are more, the parts of a module as one node, the innermost modules first."""
    depth = max(node.name.count(".") for node in graph.nodes)
    while len(graph.nodes) > most and depth > 0:
        graph, depth = _blocks(graph, depth), depth - 1
    return graph


def _blocks(graph: LayerGraph, depth: int) -> LayerGraph:
    """The layers whose names have the same first parts as one node, which gives what the last of them gives."""
    first: dict[str, int] = {}
    standing = []
    merged = list(graph.nodes)
    for i, node in enumerate(graph.nodes):
        block = ".".join(node.name.split(".")[:depth])
        top = first.setdefault(block, i)
        standing.append(top)
        if top != i:
            before = merged[top]
            count = int(before.kind.split()[0]) if before.kind.endswith(" layers") else 1
            merged[top] = replace(node, name=block, kind=f"{count + 1} layers", join=False, times=1,
                                  parameters=before.parameters * before.times + node.parameters * node.times,
                                  values=(node.values or before.values)[-1:], derivatives=(node.derivatives or before.derivatives)[-1:])
    return _mapped(graph, standing, merged)


def _mapped(graph: LayerGraph, standing: Sequence[int], merged: Sequence[LayerNode]) -> LayerGraph:
    """The graph of the nodes that stand for others; edges that would lead back, into what is repeated, are left out."""
    # A join stands where the last of what it joins does, so that every edge leads to a later node.
    left = sorted(set(standing))
    place = {i: k for k, i in enumerate(left)}
    edges = {(place[standing[tail]], place[standing[head]]) for tail, head in graph.edges}
    return LayerGraph(tuple(merged[i] for i in left), tuple(sorted((tail, head) for tail, head in edges if tail < head)))
