"""The chain rule on a graph that can be read: of a formula at numbers, or of a small net for one row."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import torch

from chainrule.core.errors import InputError, suggest
from chainrule.core.text import table
from chainrule.observe.graph import MOST_EDGES, MOST_NODES, Graph, Operation, along, of_net, of_operations
from chainrule.optim.solvers.formula import OPERATIONS, Formula, Term, read_named
from chainrule.plots.graph import graph as graph_picture
from chainrule.workflows.attribution import row_places
from chainrule.workflows.options import Drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from chainrule.workflows.run import Run

MOST_PATHS = 100_000    # that are gone through one by one
SHOWN = 6               # of the paths from a node
EXAMPLE = "Write e.g. chainrule picture 'e = (a + b) * (b + 1)' graph --at a=2,b=1."


def of_formula(text: str, at: str | None) -> tuple[list[dict[str, Any]], Figure]:
    """The graph of a formula where its variables have the values of `at`, `a=2,b=1`: figures of it, and the picture. Raises InputError."""
    formula = read_named(text)
    graph = graph_of(formula, values_of(formula, at))
    result = graph.nodes[-1].name
    where = ", ".join(f"{node.name} = {number(node.value)}" for node in graph.nodes if node.column == 0)
    return figures(graph), draw(graph, f"{formula.text.strip()} at {where}", result)


def of_run(run: Run, drawing: Drawing) -> tuple[list[dict[str, Any]], Figure]:
    """The graph of a run's net for one row of its data. Raises InputError for a net that is too large, or has no loss of targets."""
    job, trained = run.job, run.trained
    loss = job.loss
    if loss is None or job.data.train.y is None:
        raise InputError(f"{job.rule_name} has no loss of targets whose derivatives could be drawn. Use a rule that has, e.g. backprop.")
    part, rows = row_places(run, drawing.row, 1)
    x = trained.ready(part.x[rows].to(trained.device)).cpu()
    y = part.y[rows].cpu()
    y = y.double() if y.is_floating_point() else y
    module = trained.net.module.cpu()
    inputs, task = trained.encoder.inputs, trained.task
    outputs = job.data.classes or trained.encoder.target.names
    graph = of_net(module, x, lambda outputs: loss.each(outputs, y), inputs.feature_names, [f"score of {name}" for name in outputs],
                   f"{loss.name} loss")
    module.to(trained.device)
    row = int(part.rows[rows[0]])
    return figures(graph), draw(graph, f"{run.name} ({task.name}) for row {row}", graph.nodes[-1].name)


def values_of(formula: Formula, at: str | None) -> list[tuple[str, float]]:
    """Each variable with its value. Raises InputError where one has none, or a value is no number."""
    values: dict[str, float] = {}
    for one in filter(str.strip, (at or "").split(",")):
        name, _, value = (word.strip() for word in one.partition("="))
        if name not in formula.names:
            raise InputError(f"--at: {formula.text} has no variable '{name}'. {suggest(name, formula.names)}")
        try:
            values[name] = float(value)
        except ValueError:
            raise InputError(f"--at expects {name} to be a number; got '{value}'. Write e.g. --at {name}=1.") from None
    missing = [name for name in formula.names if name not in values]
    if missing:
        raise InputError(f"--at gives {' and '.join(missing)} no value, which {formula.text} needs. {EXAMPLE}")
    return [(name, values[name]) for name in formula.names]


def graph_of(formula: Formula, variables: list[tuple[str, float]]) -> Graph:
    """The graph of a formula: a node for each variable and for each operation on them; equal ones are one, numbers are none."""
    names = {term: name for name, term in formula.named if term.parts}
    numbers = {name: i for i, (name, _) in enumerate(variables)}
    known: dict[Term, int | None] = {}
    operations: list[Operation] = []

    def visit(term: Term) -> int | None:
        if term in known:
            return known[term]
        if not term.parts:
            known[term] = None if term.value is not None else numbers[term.word]
            return known[term]
        parts = [visit(part) for part in term.parts]
        if all(part is None for part in parts):
            known[term] = None
            return None
        function, fixed = OPERATIONS[term.word], [part({}) if i is None else None for part, i in zip(term.parts, parts, strict=True)]

        def apply(*several: torch.Tensor) -> torch.Tensor:
            rest = iter(several)
            return function(*(next(rest) if value is None else value for value in fixed))

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
        count = graph.count_paths(start)
        if start == result or not 0 < count <= MOST_PATHS:
            continue
        products = [(along(path), path) for path in graph.paths(start)]
        largest = heapq.nlargest(SHOWN, products, key=lambda one: abs(one[0]))
        rows.append({"from": nodes[start].name, "paths": count, "sum": sum(product for product, _ in products),
                     "largest": [{"path": " -> ".join([_brief(nodes[start].name), *(_brief(nodes[edge.head].name) for edge in path)]),
                                  "factors": [edge.factor for edge in path], "product": product} for product, path in largest]})
    return rows


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """The figures as people read them: a table of nodes, one of edges, and each sum over paths written out."""
    nodes = [[row["node"], number(row["value"]), number(row["derivative"])] for row in rows if "node" in row]
    edges = [[row["edge"], number(row["factor"])] for row in rows if "edge" in row]
    text = [*table([["node", "value", "derivative"], *nodes], indent="")]
    text += ["", *table([["edge", "factor"], *edges], indent="")] if len(edges) <= MOST_EDGES // 10 else []
    for row in rows:
        if "from" not in row:
            continue
        several = f"{row['paths']:,} path{'' if row['paths'] == 1 else 's'}"
        text += ["", f"by {row['from']}: {number(row['sum'])}, the sum over {several}"]
        text += [f"  {one['path']}: {' x '.join(map(number, one['factors']))} = {number(one['product'])}" for one in row["largest"]]
        if row["paths"] > len(row["largest"]):
            text.append(f"  and {row['paths'] - len(row['largest']):,} smaller ones")
    return text


def draw(graph: Graph, title: str, result: str) -> Figure:
    nodes = graph.nodes
    return graph_picture([node.name for node in nodes], [node.value for node in nodes], graph.derivatives, [node.column for node in nodes],
                         [(edge.tail, edge.head, edge.factor) for edge in graph.edges], title=title, result=_brief(result))


def number(value: float) -> str:
    """With six significant digits; a zero without its sign."""
    return f"{value + 0.0:.6g}"


def _brief(name: str) -> str:
    """The name that a text gives a node, without what it stands for."""
    return name.partition(" = ")[0]
