"""ATen operations that move elements: views, joins, slices written into, and places given by indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from chainrule.core.errors import PlanRejected
from chainrule.engine.native.loops import Loop, Store
from chainrule.engine.native.lowering import Lowering, handles
from chainrule.engine.native.scalars import op
from chainrule.engine.native.terms import Linear, Term, axis, cast, const
from chainrule.engine.native.tracing import arguments, aten
from chainrule.engine.native.views import Lazy, View


@handles(aten.permute)
def permute(low: Lowering, node: Any) -> View:
    return low.view(node.args[0]).permute(node.args[1])


@handles(aten.t, aten.transpose)
def transpose(low: Lowering, node: Any) -> View:
    view = low.view(node.args[0])
    order = list(range(len(view.shape)))
    if order:
        a, b = node.args[1:] if len(node.args) == 3 else (0, len(order) - 1)
        order[a], order[b] = order[b], order[a]
    return view.permute(order)


@handles(aten.view, aten.reshape, aten._unsafe_view, aten.squeeze, aten.unsqueeze)
def reshape(low: Lowering, node: Any) -> View:
    return low.reshaped(low.view(node.args[0]), node.meta["val"].shape)


@handles(aten.expand)
def expand(low: Lowering, node: Any) -> View:
    return low.spread(low.view(node.args[0]), node.meta["val"].shape)


@handles(aten.alias, aten.detach)
def same(low: Lowering, node: Any) -> View:
    return low.view(node.args[0])


@handles(aten.select)
def select(low: Lowering, node: Any) -> View:
    return low.view(node.args[0]).select(node.args[1], node.args[2])


@handles(aten.slice)
def slice_(low: Lowering, node: Any) -> View:
    _, dim, start, end, step = arguments(node)
    return low.view(node.args[0]).slice(dim, start, end, step)


@handles(aten.flip)
def flip(low: Lowering, node: Any) -> View:
    return low.view(node.args[0]).flip(node.args[1])


@handles(aten.diagonal)
def diagonal(low: Lowering, node: Any) -> View:
    _, offset, dim1, dim2 = arguments(node)
    return low.view(node.args[0]).diagonal(offset, dim1, dim2, node.meta["val"].shape)


@handles(aten.unfold)
def unfold(low: Lowering, node: Any) -> View:
    """Windows of an axis as an axis of their own, the last."""
    view, (_, dim, _, step), shape = low.view(node.args[0]), arguments(node), node.meta["val"].shape
    index = [axis(d) for d in range(len(view.shape))]
    index[dim] = axis(dim % len(view.shape)) * step + axis(len(shape) - 1)
    return view.moved(shape, index)


@handles(aten.as_strided)
def as_strided(low: Lowering, node: Any) -> View:
    """A part of a tensor told by places in memory, as pieces of what is split are: found again as a slice along the tensor's own axes."""
    base, size, strides, offset = arguments(node)
    meta = base.meta["val"]
    left = 0 if offset is None else offset - meta.storage_offset()
    index = [Linear()] * meta.dim()
    free: dict[int, int] = {}  # stride -> the axis that has it
    room: dict[int, int] = {}
    for d in sorted(range(meta.dim()), key=lambda d: -meta.stride(d)):
        if meta.shape[d] > 1 and meta.stride(d) > 0:
            begin, left = divmod(left, meta.stride(d))
            index[d] = Linear(begin)
            free[meta.stride(d)], room[meta.stride(d)] = d, meta.shape[d] - begin
    for d, (n, step) in enumerate(zip(size, strides, strict=True)):
        if n > 1:
            if room.pop(step, 0) < n:
                raise PlanRejected("native cannot follow aten.as_strided to elements that are no slice")
            index[free[step]] = index[free[step]] + axis(d)
    if left or any(n < 1 for n in room.values()):
        raise PlanRejected("native cannot follow aten.as_strided to elements that are no slice")
    return low.view(base).moved(size, index)


@handles(aten.slice_scatter)
def slice_scatter(low: Lowering, node: Any) -> View:
    _, _, dim, start, end, step = arguments(node)
    return _with_part(low, node, lambda whole: whole.slice(dim, start, end, step))


@handles(aten.select_scatter)
def select_scatter(low: Lowering, node: Any) -> View:
    _, _, dim, at = arguments(node)
    return _with_part(low, node, lambda whole: whole.select(dim, at))


def _with_part(low: Lowering, node: Any, part: Callable[[View], View]) -> View:
    """A copy of the first argument with `part` of it replaced by the second."""
    base, values = low.view(node.args[0]), low.view(node.args[1])
    whole = low.dense(base, low.layout(base.shape, base, values))
    low.write(part(whole), low.view(node.args[1]), str(node.target))
    return whole


@handles(aten.cat)
def cat(low: Lowering, node: Any) -> View:
    parts = [low.view(n) for n in node.args[0]]
    meta = node.meta["val"]
    dim = arguments(node)[1] % meta.dim()
    whole = View.of(low.temporary(meta.dtype, meta.shape, low.layout(meta.shape, *parts)))
    begin = 0
    for part in parts:
        if part.shape == (0,) and meta.dim() != 1:
            continue  # torch lets such a part through, whatever the others' shape
        end = begin + part.shape[dim]
        low.write(whole.slice(dim, begin, end), _cast(part, meta.dtype), str(node.target))
        begin = end
    return whole


def _cast(view: View, dtype: torch.dtype) -> View:
    if view.dtype == dtype:
        return view
    raise PlanRejected(f"native joins tensors of one type only; got {view.dtype} and {dtype}")


@handles(aten.constant_pad_nd)
def pad(low: Lowering, node: Any) -> View:
    _, amounts, value = arguments(node)
    view, meta = low.view(node.args[0]), node.meta["val"]
    whole = View.of(low.temporary(meta.dtype, meta.shape, low.layout(meta.shape, view)))
    low.write(whole, View.of(Lazy(meta.dtype, meta.shape, lambda _: const(value, meta.dtype), "fill")), "fill")
    into = whole
    for i in range(len(amounts) // 2):
        dim = len(view.shape) - 1 - i
        before, after = amounts[2 * i], amounts[2 * i + 1]
        view = view.slice(dim, max(-before, 0), view.shape[dim] - max(-after, 0))
        into = into.slice(dim, max(before, 0), meta.shape[dim] - max(after, 0))
    low.write(into, view, str(node.target))
    return whole


@handles(aten.gather)
def gather(low: Lowering, node: Any) -> View:
    source, dim, places = low.view(node.args[0]), node.args[1], low.view(node.args[2])
    if not source.shape:
        source, dim = source.expand([1]), 0
        places = places if places.shape else places.expand([1])
    dim %= len(source.shape)
    source = low.stored(source)
    size = const(source.shape[dim], torch.int64)

    def value(index: Sequence[Linear]) -> Term:
        at = op("at", cast(places.load(index), torch.int64), size)
        return source.load([Linear(0, ((at, 1),)) if d == dim else index[d] for d in range(len(source.shape))])

    return low.lazy(node, value)


@handles(aten.index)
def index(low: Lowering, node: Any) -> View:
    """`source[i, :, j]` for tensors of whole numbers; where something is between them, their axes come first."""
    source = low.stored(low.view(node.args[0]))
    places, spread, first = _places(low, node, source)

    def value(where: Sequence[Linear]) -> Term:
        return source.load(_indexed(source, places, spread, first, where))

    return low.lazy(node, value)


def _places(low: Lowering, node: Any, source: View) -> tuple[list[View | None], tuple[int, ...], int]:
    """The index of each axis, broadcast; their common shape; and at which axis of the result it begins."""
    given: list[Any] = list(node.args[1])
    given += [None] * (len(source.shape) - len(given))
    views = [None if n is None else low.view(n) for n in given]
    if any(v is not None and v.dtype in (torch.bool, torch.uint8) for v in views):
        raise PlanRejected("native cannot pick by a mask, whose result has no fixed size; use torch.where")
    spread = torch.broadcast_shapes(*(v.shape for v in views if v is not None))
    at = [d for d, v in enumerate(views) if v is not None]
    together = at == list(range(at[0], at[-1] + 1))
    return [None if v is None else low.spread(v, spread) for v in views], tuple(spread), at[0] if together else 0


def _indexed(source: View, places: list[View | None], spread: tuple[int, ...], first: int, where: Sequence[Linear]) -> list[Linear]:
    inner = where[first : first + len(spread)]
    rest = iter([*where[:first], *where[first + len(spread) :]])
    found = []
    for d, view in enumerate(places):
        if view is None:
            found.append(next(rest))
        else:
            at = op("at_wrapped", cast(view.load(inner), torch.int64), const(source.shape[d], torch.int64))
            found.append(Linear(0, ((at, 1),)))
    return found


@handles(aten.index_put)
def index_put(low: Lowering, node: Any) -> View:
    """A copy with `values` written, or added, at the places named; rows that are named twice are added twice."""
    whole = low.dense(low.view(node.args[0]))
    places, spread, first = _places(low, node, whole)
    adds = len(node.args) > 3 and bool(node.args[3])
    rest = [n for n, v in zip(whole.shape, places, strict=True) if v is None]
    shape = [*rest[:first], *spread, *rest[first:]]
    values = low.spread(low.view(node.args[2]), shape)
    where = [axis(i) for i in range(len(shape))]
    place = whole.where[0].at(_indexed(whole, places, spread, first, where).__getitem__)
    return _scattered(low, node, whole, shape, place, cast(values.load(where), whole.dtype), "sum" if adds else None)


@handles(aten.scatter, aten.scatter_add)
def scatter(low: Lowering, node: Any) -> View:
    """A copy with values written, or added, at places along one axis."""
    base, dim, places = low.view(node.args[0]), node.args[1] % node.meta["val"].dim(), low.view(node.args[2])
    given, dtype = node.args[3], node.meta["val"].dtype
    adds = node.target.overloadpacket is aten.scatter_add
    if len(node.args) > 4 or "reduce" in node.kwargs:
        raise PlanRejected(f"native does not know {node.target} with a reduction")

    def what(index: Sequence[Linear]) -> Term:
        return low.view(given).load(index) if isinstance(given, fx.Node) else const(given, dtype)

    size = const(base.shape[dim], torch.int64)
    same = all(d == dim or n == places.shape[d] for d, n in enumerate(base.shape))
    if places.shape[dim] == 1 and same:  # one place a row: a comparison where it is read, as for one-hot targets

        def value(index: Sequence[Linear]) -> Term:
            row = [Linear() if d == dim else index[d] for d in range(len(index))]
            at = op("at", cast(places.load(row), torch.int64), size)
            here = op("eq", at, Term.of("index", torch.int64, index[dim]), dtype=torch.bool)
            old = base.load(index)
            return op("select", here, op("add", old, what(row)) if adds else what(row), old, dtype=dtype)

        return low.lazy(node, value)
    whole = low.dense(base)
    where = [axis(i) for i in range(len(places.shape))]
    at = op("at", cast(places.load(where), torch.int64), size)
    row = [Linear(0, ((at, 1),)) if d == dim else where[d] for d in range(len(where))]
    return _scattered(low, node, whole, places.shape, whole.where[0].at(row.__getitem__), what(where), "sum" if adds else None)


def _scattered(low: Lowering, node: Any, whole: View, shape: Sequence[int], place: Linear, value: Term, how: str | None) -> View:
    buffer = whole.buffer
    assert buffer is not None
    low.kernels.append(Loop(str(node.target), list(shape), [False] * len(shape),
                            [Store(buffer, place, value, how, scattered=True, partial=True)], sequential=True))
    return whole


@handles(aten.cumsum)
def cumsum(low: Lowering, node: Any) -> View:
    meta = node.meta["val"]
    view, dim = low.stored(low.view(node.args[0])), node.args[1]
    if not meta.dim() or view.dtype != meta.dtype:
        raise PlanRejected("native sums up along an axis of its own type only")
    dim %= meta.dim()
    whole = View.of(low.temporary(meta.dtype, meta.shape))
    low.write(whole.slice(dim, 0, 1), view.slice(dim, 0, 1), str(node.target))
    later, rest, before = whole.slice(dim, 1, None), view.slice(dim, 1, None), whole.slice(dim, 0, -1)
    where = [axis(i) for i in range(meta.dim())]
    assert whole.buffer is not None
    low.kernels.append(Loop(str(node.target), list(later.shape), [False] * meta.dim(), [
        Store(whole.buffer, later.where[0], op("add", before.load(where), rest.load(where)), partial=True)], sequential=True))
    return whole
