"""ATen operations that gather over axes: sums, products, extremes and where they are."""

from __future__ import annotations

from typing import Any

import torch

from chainrule.core.errors import PlanRejected
from chainrule.engine.native.loops import Loop, Store
from chainrule.engine.native.lowering import Lowering, handles
from chainrule.engine.native.nests import START
from chainrule.engine.native.terms import Linear, Term, axis, cast
from chainrule.engine.native.tracing import aten
from chainrule.engine.native.views import View


@handles(aten.sum, aten.prod, aten.amax, aten.amin, aten.any, aten.all)
def gathered(low: Lowering, node: Any) -> View:
    """One number from all along the axes."""
    return _reduced(low, node, node.target.overloadpacket.__name__, _over(node))


@handles(aten.argmax, aten.argmin)
def arg(low: Lowering, node: Any) -> View:
    """Where the first of the greatest (least) is; a NaN is above (below) all."""
    how = node.target.overloadpacket.__name__
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    return _reduced(low, node, how, [dim] if dim is not None else [])


@handles(aten.max, aten.min)
def extreme(low: Lowering, node: Any) -> Any:
    how = node.target.overloadpacket.__name__
    if node.target._overloadname == "default":
        return _reduced(low, node, "a" + how, [])
    if node.target._overloadname != "dim":
        raise PlanRejected(f"native does not know {node.target}")
    dims = [node.args[1]]
    values, places = node.meta["val"]
    return (_reduced(low, node, "a" + how, dims, values), _reduced(low, node, "arg" + how, dims, places))


def _over(node: Any) -> list[int]:
    """The axes, as most reductions give them; none for all."""
    dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if dims is None or isinstance(dims, torch.dtype):
        return []
    return [dims] if isinstance(dims, int) else list(dims)


def _reduced(low: Lowering, node: Any, how: str, dims: list[Any], meta: Any = None) -> View:
    meta = node.meta["val"] if meta is None else meta
    view = low.view(node.args[0])
    rank = len(view.shape)
    over = {d % rank for d in dims} if dims and rank else set(range(rank))
    if how not in START and any(view.shape[d] == 0 for d in over):
        raise PlanRejected(f"{node.target} of nothing has no value")
    left = [view.shape[d] for d in range(rank) if d not in over]
    buffer = low.temporary(meta.dtype, left)
    index = [axis(d) for d in range(rank)]
    kept = [d for d in range(rank) if d not in over]
    place = View.of(buffer).where[0].at(lambda i: axis(kept[i]))
    value = view.load(index)
    if how.startswith("arg"):
        at, step = Linear(), 1
        for d in sorted(over, reverse=True):
            at, step = axis(d) * step + at, step * view.shape[d]
        value = Term.of("pair", meta.dtype, value, Term.of("index", torch.int64, at))
    else:
        value = cast(value, meta.dtype)
    low.kernels.append(Loop(str(node.target), list(view.shape), [d in over for d in range(rank)], [Store(buffer, place, value, how)],
                            sequential=how.startswith("arg")))
    return low.reshaped(View.of(buffer), meta.shape)
