"""The chain rule for the page: a formula at numbers, or a run's net for one row, as `chainrule picture ... graph` has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from chainrule.core.errors import InputError
from chainrule.observe.graph import Graph
from chainrule.observe.wiring import LayerGraph
from chainrule.optim.solvers.formula import read_named
from chainrule.serve.opened import Opened
from chainrule.workflows.graph import graph_of, of_row, over_paths

USUAL = 1.0             # of a variable whose value nobody gave
MOST_PATHS = 2000       # from a node that are gone through one by one


def chain(opened: Opened, question: dict[str, Any]) -> dict[str, Any]:
    """The graph that was asked for: nodes, edges, and from each node the sum over its paths. Raises InputError."""
    with torch.enable_grad():
        if "formula" in question:
            return of_formula(question.get("formula"), question.get("at", {}))
        row = question.get("row")
        if row is not None and (not isinstance(row, int) or isinstance(row, bool) or row < 0):
            raise InputError(f"A row is a whole number from 0 on; got {str(row)[:40]!r}. Name one, or none for the first that validates.")
        of = of_row(opened.job(question), row)
    if isinstance(of.graph, LayerGraph):
        return {"layers": layers(of.graph), "edges": [list(edge) for edge in of.graph.edges], "paths": of.paths, "why": of.why,
                "row": of.row}
    return {**numbers(of.graph), "row": of.row}


def of_formula(text: Any, at: Any) -> dict[str, Any]:
    """The graph of a formula where its variables have these values, the others `USUAL`; values of names that it has not are left out."""
    if not isinstance(text, str):
        raise InputError(f"A formula is a text such as e = (a + b) * (b + 1); got {str(text)[:40]!r}. Write one.")
    if not isinstance(at, Mapping):
        raise InputError(f"Values are an object such as {{\"a\": 2}}; got {str(at)[:40]!r}. Give one.")
    formula = read_named(text)
    variables = [(name, _value(name, at.get(name, USUAL))) for name in formula.names]
    return {**numbers(graph_of(formula, variables)), "variables": dict(variables), "formula": text.strip()}


def _value(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300 or not math.isfinite(value):
        raise InputError(f"{name} is to be a number; got {str(value)[:40]!r}. Give it one.")
    return float(value)


def numbers(graph: Graph) -> dict[str, Any]:
    """Nodes with value and derivative, edges with their factor, and from each node the sum over its paths to the result."""
    nodes = [{"name": node.name, "value": node.value, "derivative": slope, "column": node.column, "sum": _sum(graph, i)}
             for i, (node, slope) in enumerate(zip(graph.nodes, graph.derivatives, strict=True))]
    edges = [{"tail": edge.tail, "head": edge.head, "factor": edge.factor, "weight": edge.weight,
              "derivative": graph.nodes[edge.tail].value * graph.derivatives[edge.head] if edge.weight else None} for edge in graph.edges]
    return {"nodes": nodes, "edges": edges}


def _sum(graph: Graph, start: int) -> dict[str, Any]:
    """How many paths there are, and where they are not too many what they add up to and the largest products."""
    count = graph.ways[start]
    if start == len(graph.nodes) - 1 or not 0 < count <= MOST_PATHS:
        return {"paths": count, "total": None if count else 0.0, "largest": []}
    total, largest = over_paths(graph, start)
    return {"paths": count, "total": total, "largest": [
        {"nodes": [start, *(edge.head for edge in path)], "factors": [edge.factor for edge in path], "product": product}
        for product, path in largest]}


def layers(graph: LayerGraph) -> list[dict[str, Any]]:
    """Layers with their kind and what they give; the sizes of that and of the derivative by it are those of the first and the last of so
    many.
    """
    return [{"name": node.name, "kind": node.kind, "gives": list(node.shape), "parameters": node.parameters, "times": node.times,
             "values": [*node.values[:1], *node.values[1:][-1:]], "derivatives": [*node.derivatives[:1], *node.derivatives[1:][-1:]]}
            for node in graph.nodes]
