"""What can be done to the graph before it is written out: constants computed, repeated work shared, copies dropped, draws singled out."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from chainrule.core.errors import PlanRejected
from chainrule.engine.native.tracing import Traced, arguments

aten = torch.ops.aten
LARGEST = 2**24  # elements of a constant that is computed ahead
# These read only the shape and type of their tensor; the value is the argument of that position, or the number given.
FILLED: dict[Any, int | float] = {
    aten.full_like.default: 1, aten.new_full.default: 2, aten.zeros_like.default: 0.0, aten.ones_like.default: 1.0,
    aten.new_zeros.default: 0.0, aten.new_ones.default: 1.0, aten.empty_like.default: 0.0, aten.new_empty.default: 0.0,
    aten.new_empty_strided.default: 0.0,
    aten.empty.memory_format: 0.0, aten.empty_strided.default: 0.0,
}
SAME = {aten.alias.default, aten.detach.default, aten.lift_fresh.default, aten.lift_fresh_copy.default, aten.clone.default,
        aten._to_copy.default, aten.expand.default, aten.view.default, aten.reshape.default, aten._unsafe_view.default,
        aten.contiguous.default, aten.copy.default}
TIMES = {aten.mul.Tensor, aten.div.Tensor, aten.mul.Scalar, aten.div.Scalar}
# Draws that torch can make before the step, since nothing but the shape of their tensor argument matters.
AHEAD = {aten.bernoulli.p, aten.rand.default, aten.rand_like.default, aten.randn.default, aten.randn_like.default, aten.randint.default,
         aten.randint.low, aten.randint_like.default, aten.randint_like.low_dtype, aten.randperm.default, aten.uniform.default,
         aten.normal_functional.default, aten.exponential.default}


class Folded(NamedTuple):
    """The graph's nodes in order, those with a constant value, and the draws, all of them, in the order eager makes them."""

    nodes: list[fx.Node]
    constants: dict[fx.Node, Tensor]
    draws: list[fx.Node]


def fold(traced: Traced) -> Folded:
    """Simplify the graph in place. Raises PlanRejected where numbers are drawn that depend on what the step computes."""
    graph = traced.graph
    draws = [node for node in graph.nodes if _draws(node)]
    for node in draws:
        if node.target not in AHEAD:
            raise PlanRejected(f"the step draws numbers that depend on what it computes ({node.target}), which native cannot draw ahead")
        values = zip(node.target._schema.arguments, arguments(node), strict=True)
        if any(a.name == "generator" and value is not None for a, value in values):
            raise PlanRejected(f"the step draws from a generator of its own ({node.target}), which native does not keep")
    constants: dict[fx.Node, Tensor] = {}
    seen: dict[Any, fx.Node] = {}
    drawn = set(draws)
    for node in list(graph.nodes):
        if node.op == "get_attr":
            constants[node] = traced.attributes[node.target]
        if node.op != "call_function" or node in drawn:
            continue
        value = _value(node, constants)
        if value is not None:
            constants[node] = value
            continue
        other = _simpler(node, constants) or seen.setdefault(_key(node), node)
        if other is not node:
            node.replace_all_uses_with(other)
            graph.erase_node(node)
    for node in reversed(list(graph.nodes)):
        if node.op in ("call_function", "get_attr") and not node.users:
            graph.erase_node(node)
    alive = set(graph.nodes)
    return Folded(list(graph.nodes), {n: t for n, t in constants.items() if n in alive}, draws)


def _draws(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags


def _value(node: Any, constants: dict[fx.Node, Tensor]) -> Tensor | None:
    """What the node always is, or None where that depends on an input."""
    meta = node.meta.get("val")
    if isinstance(meta, Tensor) and node.target in FILLED:
        filled = FILLED[node.target]
        fill = node.args[filled] if isinstance(filled, int) else filled
        if not isinstance(fill, fx.Node):
            return torch.full((), fill, dtype=meta.dtype).expand(meta.shape)
    if node.target is operator.getitem or any(n not in constants for n in node.all_input_nodes):
        return None
    if not isinstance(meta, Tensor) or meta.numel() > LARGEST:
        return None
    dense = node.target is aten.as_strided.default
    args = fx.node.map_arg((node.args, node.kwargs), lambda n: constants[n].contiguous() if dense else constants[n])
    value = node.target(*args[0], **args[1])
    return _spread(value)


def _spread(value: Tensor) -> Tensor:
    """The same, without memory of its own where all its elements are equal."""
    if value.numel() > 1 and bool((value == value.flatten()[0]).all()):
        return value.flatten()[0].clone().expand(value.shape)
    return value


def uniform(value: Tensor) -> float | int | bool | None:
    """The one number a constant is made of, or None."""
    if value.numel() == 1:
        return value.reshape(()).item()
    return value.flatten()[0].item() if value.numel() and not any(value.stride()) else None


def _key(node: fx.Node) -> Any:
    return (node.target, repr((node.args, node.kwargs)))


def _simpler(node: Any, constants: dict[fx.Node, Tensor]) -> fx.Node | None:
    """A node that is the same as this one, where it does nothing."""
    meta, first = node.meta.get("val"), node.args[0] if node.args else None
    if not isinstance(first, fx.Node) or not isinstance(meta, Tensor):
        return None
    before = first.meta.get("val")
    if not isinstance(before, Tensor):
        return None
    same = before.shape == meta.shape and before.dtype == meta.dtype
    if node.target is aten.copy.default:
        source = node.args[1]
        return source if isinstance(source, fx.Node) and _like(source, meta) else None
    if node.target in SAME and same:
        return first
    if node.target is aten.permute.default:
        order = [d % before.dim() for d in node.args[1]]
        if order == sorted(order):
            return first
        if first.target is aten.permute.default and isinstance(first.args[0], fx.Node):
            inner = [d % before.dim() for d in arguments(first)[1]]
            if [inner[d] for d in order] == sorted(inner):
                return first.args[0]
    if node.target in TIMES and same and _number(node.args[1], constants) == 1:
        return first
    if node.target is aten.mul.Tensor and isinstance(node.args[1], fx.Node) and _number(first, constants) == 1:
        return node.args[1] if _like(node.args[1], meta) else None
    return None


def _like(node: fx.Node, meta: Tensor) -> bool:
    val = node.meta.get("val")
    return isinstance(val, Tensor) and val.shape == meta.shape and val.dtype == meta.dtype


def _number(arg: Any, constants: dict[fx.Node, Tensor]) -> float | int | bool | None:
    if isinstance(arg, fx.Node):
        return uniform(constants[arg]) if arg in constants else None
    return arg if isinstance(arg, (int, float)) else None
