"""The chain rule on a graph that can be read: of a formula at numbers, of a small net for one row, or of the layers of a larger one."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from chainrule.core.errors import InputError, suggest
from chainrule.core.text import counted, table
from chainrule.job.job import Job
from chainrule.observe.graph import MOST_EDGES, MOST_NODES, Edge, Graph, Operation, Unreadable, along, of_net, of_operations
from chainrule.observe.layers import shape_text
from chainrule.observe.wiring import LayerGraph, LayerNode, folded, joined, wiring, within
from chainrule.optim.solvers.formula import MOST_LETTERS, OPERATIONS, Formula, Term, read_named
from chainrule.plots.graph import graph as graph_picture
from chainrule.plots.layer_graph import layer_graph
from chainrule.workflows.attribution import row_places
from chainrule.workflows.options import Drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from chainrule.workflows.run import Run

MOST_PATHS = 100_000    # that are gone through one by one
MOST_LAYERS = 300       # that are drawn
SHOWN = 6               # of the paths from a node
EXAMPLE = "Write e.g. chainrule picture 'e = (a + b) * (b + 1)' graph --at a=2,b=1."


class OfRow(NamedTuple):
    """What a net makes of one row: its numbers one by one where they are few, else its layers, and why."""

    graph: Graph | LayerGraph
    row: int
    paths: int
    why: str = ""


def of_formula(text: str, at: str | None) -> tuple[list[dict[str, Any]], Figure]:
    """The graph of a formula where its variables have the values of `at`, `a=2,b=1`: figures of it, and the picture. Raises InputError."""
    formula = read_named(text)
    graph = graph_of(formula, values_of(formula, at))
    where = ", ".join(f"{node.name} = {number(node.value)}" for node in graph.nodes if node.column == 0)
    return figures(graph), draw(graph, f"{formula.text.strip()} at {where}")


def of_run(run: Run, drawing: Drawing) -> tuple[list[dict[str, Any]], Figure]:
    """The graph of a run's net for one row of its data. Raises InputError for a net that has no loss of targets, or too many layers."""
    found = of_row(run.job, drawing.row)
    title = f"{run.name} ({run.job.task.name}) for row {found.row}"
    if isinstance(found.graph, Graph):
        return figures(found.graph), draw(found.graph, title)
    return layer_figures(found), draw_layers(found.graph, title, found.paths)


def of_row(job: Job, row: int | None) -> OfRow:
    """What a job's net makes of a row of its data, the first that validates for None. Raises InputError."""
    loss, trained = job.loss, job.trained
    if loss is None or job.data.train.y is None:
        raise InputError(f"{job.rule_name} has no loss of targets whose derivatives could be drawn. Use a rule that has, e.g. backprop.")
    part, rows = row_places(job, row, 1)
    x, y = trained.ready(part.x[rows].to(trained.device)).cpu(), part.y[rows].cpu()
    inputs, outputs, place = trained.encoder.inputs, job.data.classes or trained.encoder.target.names, int(part.rows[rows[0]])
    module = trained.net.module.cpu()
    try:
        exact = y.double() if y.is_floating_point() else y
        graph = of_net(module, x, lambda outputs: loss.each(outputs, exact), inputs.feature_names, [f"score of {name}" for name in outputs],
                       f"{loss.name} loss")
        return OfRow(graph, place, sum(graph.ways[start] for start in graph.inputs))
    except Unreadable as unreadable:
        whole = joined(wiring(module, x, lambda outputs: loss.each(outputs, y), f"{loss.name} loss"))
        layers = within(folded(whole), MOST_NODES)
        if len(layers.nodes) > MOST_LAYERS:
            raise InputError(f"graph draws at most {MOST_LAYERS} layers; this net has {len(layers.nodes)}. Use chainrule picture RUN flow, "
                             "which has a row for each.") from None
        return OfRow(layers, place, whole.paths, str(unreadable))
    finally:
        module.to(trained.device)


def values_of(formula: Formula, at: str | None) -> list[tuple[str, float]]:
    """Each variable with its value. Raises InputError where one has none, or a value is no number."""
    values: dict[str, float] = {}
    if len(at or "") > MOST_LETTERS:
        raise InputError(f"--at has at most {MOST_LETTERS} characters; this one has {len(at or ''):,}. Write a shorter one.")
    for one in filter(str.strip, (at or "").split(",")):
        name, _, value = (word.strip() for word in one.partition("="))
        if name not in formula.names:
            raise InputError(f"--at: {formula.text} has no variable '{name}'. {suggest(name, formula.names)}")
        values[name] = _number_of(value)
        if not math.isfinite(values[name]):
            raise InputError(f"--at expects {name} to be a number; got '{value}'. Write e.g. --at {name}=1.")
    missing = [name for name in formula.names if name not in values]
    if missing:
        raise InputError(f"--at gives {' and '.join(missing)} no value, which {formula.text} needs. {EXAMPLE}")
    return [(name, values[name]) for name in formula.names]


def _number_of(text: str) -> float:
    """The number that is written; nan for none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def graph_of(formula: Formula, variables: list[tuple[str, float]]) -> Graph:
    """The graph of a formula: a node for each variable and for each operation on them; equal ones are one, numbers are none."""
    names = {term: name for name, term in formula.named if term.parts}
    numbers = {name: i for i, (name, _) in enumerate(variables)}
    known: dict[Term, int | None] = {}                    # None for what is a number
    fixed: dict[Term, torch.Tensor] = {}
    operations: list[Operation] = []

    def visit(term: Term) -> int | None:
        if term in known:
            return known[term]
        if not term.parts:
            known[term] = numbers[term.word] if term.value is None else None
            if term.value is not None:
                fixed[term] = term({})
            return known[term]
        parts, function = [visit(part) for part in term.parts], OPERATIONS[term.word]
        if all(part is None for part in parts):
            known[term], fixed[term] = None, function(*(fixed[part] for part in term.parts))
            return None

        def apply(*several: torch.Tensor) -> torch.Tensor:
            rest = iter(several)
            return function(*(next(rest) if i is not None else fixed[part] for part, i in zip(term.parts, parts, strict=True)))

        own = names.get(term, "")
        title = f"{own} = {term.text(names)}" if own else term.text(names)
        operations.append(Operation(title, tuple(i for i in parts if i is not None), apply))
        known[term] = len(variables) + len(operations) - 1
        return known[term]

    visit(formula.term)
    if not operations:
        raise InputError(f"{formula.text} has no operation; there is nothing to draw. {EXAMPLE}")
    if len(variables) + len(operations) > MOST_NODES:
        raise InputError(f"graph draws at most {MOST_NODES} nodes; {formula.text[:40]}... has {len(variables) + len(operations)}. Draw a "
                         "part of it.")
    return of_operations(variables, operations)


def figures(graph: Graph) -> list[dict[str, Any]]:
    """A row for each node, then one for each edge, then for each input what its paths give, the largest products first."""
    nodes, result = graph.nodes, len(graph.nodes) - 1
    rows: list[dict[str, Any]] = [{"node": node.name, "value": node.value, "derivative": slope}
                                  for node, slope in zip(nodes, graph.derivatives, strict=True)]
    for edge in graph.edges:
        slope = nodes[edge.tail].value * graph.derivatives[edge.head]
        weight = {"weight": edge.weight, "derivative of weight": slope} if edge.weight else {}
        rows.append({"edge": f"{_brief(nodes[edge.tail].name)} -> {_brief(nodes[edge.head].name)}", "factor": edge.factor, **weight})
    for start in graph.inputs:
        if start == result or not 0 < graph.ways[start] <= MOST_PATHS:
            continue
        total, largest = over_paths(graph, start)
        rows.append({"from": nodes[start].name, "paths": graph.ways[start], "sum": total,
                     "largest": [{"path": " -> ".join([_brief(nodes[start].name), *(_brief(nodes[edge.head].name) for edge in path)]),
                                  "factors": [edge.factor for edge in path], "product": product} for product, path in largest]})
    return rows


def over_paths(graph: Graph, start: int) -> tuple[float, list[tuple[float, list[Edge]]]]:
    """The sum over all paths from a node to the result, and the largest products with their paths."""
    products = [(along(path), path) for path in graph.paths(start)]
    return sum(product for product, _ in products), heapq.nlargest(SHOWN, products, key=lambda one: abs(one[0]))


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """The figures as people read them: a table of nodes, one of edges, and each sum over paths written out."""
    nodes = [[row["node"], number(row["value"]), number(row["derivative"])] for row in rows if "node" in row]
    edges = [[row["edge"], number(row["factor"])] for row in rows if "edge" in row]
    text = [*table([["node", "value", "derivative"], *nodes], indent="")]
    text += ["", *table([["edge", "factor"], *edges], indent="")] if len(edges) <= MOST_EDGES // 10 else []
    for row in rows:
        if "from" not in row:
            continue
        several = counted(row["paths"], "path")
        text += ["", f"by {row['from']}: {number(row['sum'])}, the sum over {several}"]
        text += [f"  {one['path']}: {' x '.join(map(number, one['factors']))} = {number(one['product'])}" for one in row["largest"]]
        if row["paths"] > len(row["largest"]):
            text.append(f"  and {row['paths'] - len(row['largest']):,} smaller ones")
    return text


def draw(graph: Graph, title: str) -> Figure:
    nodes = graph.nodes
    return graph_picture([node.name for node in nodes], [node.value for node in nodes], graph.derivatives, [node.column for node in nodes],
                         [(edge.tail, edge.head, edge.factor) for edge in graph.edges], title=title, result=_brief(nodes[-1].name))


def layer_figures(of: OfRow) -> list[dict[str, Any]]:
    """A row for each layer, one for each edge, and how many paths there are: root mean squares of what layers give and of derivatives."""
    assert isinstance(of.graph, LayerGraph)
    nodes = of.graph.nodes
    rows: list[dict[str, Any]] = [{"layer": node.name, "kind": node.kind, "gives": list(node.shape), "parameters": node.parameters,
                                   "times": node.times, "values": list(node.values), "derivatives": list(node.derivatives)}
                                  for node in nodes]
    rows += [{"edge": f"{nodes[tail].name} -> {nodes[head].name}"} for tail, head in of.graph.edges]
    return [*rows, {"paths": of.paths, "why": of.why}]


def layer_lines(rows: list[dict[str, Any]]) -> list[str]:
    """The same as people read it: why layers are drawn, a table of them, how many paths lead through them."""
    layers = [[row["layer"] + (f" x {row['times']}" if row["times"] > 1 else ""), row["kind"], shape_text(tuple(row["gives"])),
               f"{row['times'] * row['parameters']:,}", span(row["values"]), span(row["derivatives"])] for row in rows if "layer" in row]
    (last,) = [row for row in rows if "paths" in row]
    several = counted(last["paths"], "path")
    return [f"Drawn by layers, since {last['why']}; values and derivatives are root mean squares.", "",
            *table([["layer", "kind", "gives", "parameters", "value", "derivative"], *layers], left=(0, 1, 2), indent=""), "",
            f"{several} from the input to the loss, the sum over which is the derivative"]


def draw_layers(graph: LayerGraph, title: str, paths: int) -> Figure:
    def numbers(node: LayerNode) -> str:
        return span(node.values, "") + (f"   d {span(node.derivatives, '')}" if node.derivatives else "")

    names = [node.name + (f" × {node.times}" if node.times > 1 else "") for node in graph.nodes]
    derivatives = [math.sqrt(sum(d * d for d in node.derivatives) / len(node.derivatives)) if node.derivatives else None
                   for node in graph.nodes]
    several = f"{counted(paths, 'path')} from the input to the loss"
    return layer_graph(names, [node.kind for node in graph.nodes], [shape_text(node.shape) if node.shape else "" for node in graph.nodes],
                       [numbers(node) for node in graph.nodes], derivatives, graph.edges, title=title,
                       below=f"in each layer what it gives, and d: the derivative of the loss by it,\nroot mean squares; {several}")


def span(numbers: Sequence[float], absent: str = "-") -> str:
    """One number, or the first and the last of several."""
    if not numbers:
        return absent
    first, last = f"{numbers[0]:.3g}", f"{numbers[-1]:.3g}"
    return first if first == last else f"{first} to {last}"


def number(value: float) -> str:
    """With six significant digits; a zero without its sign."""
    return f"{value + 0.0:.6g}"


def _brief(name: str) -> str:
    """The name that a text gives a node, without what it stands for."""
    return name.partition(" = ")[0]
