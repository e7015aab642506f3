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


@handles(aten.sum, aten.prod, aten.amax, aten.amin, aten.any, aten.all, shown=("keepdim", "dtype"))
def gathered(low: Lowering, node: Any, x: Any, dim: Any = None) -> View:
    """One number from all along the axes."""
    return _reduced(low, node, node.target.overloadpacket.__name__, x, [dim] if isinstance(dim, int) else list(dim or ()))


@handles(aten.argmax, aten.argmin, shown=("keepdim",))
def arg(low: Lowering, node: Any, x: Any, dim: int | None = None) -> View:
    """Where the first of the greatest (least) is; a NaN is above (below) all."""
    return _reduced(low, node, node.target.overloadpacket.__name__, x, [dim] if dim is not None else [])


@handles(aten.max, aten.min, shown=("keepdim",))
def extreme(low: Lowering, node: Any, x: Any, dim: int | None = None) -> Any:
    how = node.target.overloadpacket.__name__
    if dim is None:
        return _reduced(low, node, "a" + how, x, [])
    values, places = node.meta["val"]
    return (_reduced(low, node, "a" + how, x, [dim], values), _reduced(low, node, "arg" + how, x, [dim], places))


def _reduced(low: Lowering, node: Any, how: str, x: Any, dims: list[int], meta: Any = None) -> View:
    meta = node.meta["val"] if meta is None else meta
    view = low.view(x)
    rank = len(view.shape)
    over = {d % rank for d in dims} if dims and rank else set(range(rank))
    if how not in START and any(view.shape[d] == 0 for d in over):
        raise PlanRejected(f"{node.target} of nothing has no value")
    left = [view.shape[d] for d in range(rank) if d not in over]
    buffer = low.temporary(meta.dtype, left)
    index = [axis(d) for d in range(rank)]
    remaining = [d for d in range(rank) if d not in over]
    place = View.of(buffer).where[0].at(lambda i: axis(remaining[i]))
    value = view.load(index)
    if how.startswith("arg"):
        at, step = Linear(), 1
        for d in sorted(over, reverse=True):
            at, step = axis(d) * step + at, step * view.shape[d]
        value = Term.of("pair", meta.dtype, value, Term.of("index", torch.int64, at))
    else:
        value = cast(cast(value, torch.bool) if how in ("any", "all") else value, meta.dtype)
    low.kernels.append(Loop(str(node.target), list(view.shape), [d in over for d in range(rank)], [Store(buffer, place, value, how)],
                            sequential=how.startswith("arg")))
    return low.reshaped(View.of(buffer), meta.shape)
