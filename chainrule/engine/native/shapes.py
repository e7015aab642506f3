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
from chainrule.engine.native.tracing import aten
from chainrule.engine.native.views import Lazy, View


@handles(aten.permute)
def permute(low: Lowering, node: Any, x: Any, dims: Any) -> View:
    return low.view(x).permute(dims)


@handles(aten.t, aten.transpose)
def transpose(low: Lowering, node: Any, x: Any, dim0: int = 0, dim1: int = -1) -> View:
    view = low.view(x)
    order = list(range(len(view.shape)))
    if order:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return view.permute(order)


@handles(aten.view, aten.reshape, aten._unsafe_view, aten.squeeze, aten.unsqueeze, shown=("size", "shape", "dim"))
def reshape(low: Lowering, node: Any, x: Any) -> View:
    return low.reshaped(low.view(x), node.meta["val"].shape)


@handles(aten.expand, shown=("size",))
def expand(low: Lowering, node: Any, x: Any) -> View:
    return low.spread(low.view(x), node.meta["val"].shape)


@handles(aten.alias, aten.detach)
def same(low: Lowering, node: Any, x: Any) -> View:
    return low.view(x)


@handles(aten.select)
def select(low: Lowering, node: Any, x: Any, dim: int, index: int) -> View:
    return low.view(x).select(dim, index)


@handles(aten.slice)
def slice_(low: Lowering, node: Any, x: Any, dim: int, start: int | None, end: int | None, step: int) -> View:
    return low.view(x).slice(dim, start, end, step)


@handles(aten.flip)
def flip(low: Lowering, node: Any, x: Any, dims: Any) -> View:
    return low.view(x).flip(dims)


@handles(aten.diagonal)
def diagonal(low: Lowering, node: Any, x: Any, offset: int, dim1: int, dim2: int) -> View:
    return low.view(x).diagonal(offset, dim1, dim2, node.meta["val"].shape)


@handles(aten.unfold, shown=("size",))
def unfold(low: Lowering, node: Any, x: Any, dimension: int, step: int) -> View:
    """Windows of an axis as an axis of their own, the last."""
    view, shape = low.view(x), node.meta["val"].shape
    index = [axis(d) for d in range(len(view.shape))]
    index[dimension] = axis(dimension % len(view.shape)) * step + axis(len(shape) - 1)
    return view.moved(shape, index)


@handles(aten.as_strided)
def as_strided(low: Lowering, node: Any, x: Any, size: Any, stride: Any, storage_offset: int | None) -> View:
    """A part of a tensor told by places in memory, as pieces of what is split are: found again as a slice along the tensor's own axes."""
    meta = x.meta["val"]
    left = 0 if storage_offset is None else storage_offset - meta.storage_offset()
    index = [Linear()] * meta.dim()
    free: dict[int, int] = {}  # stride -> the axis that has it
    room: dict[int, int] = {}
    for d in sorted(range(meta.dim()), key=lambda d: -meta.stride(d)):
        if meta.shape[d] > 1 and meta.stride(d) > 0:
            begin, left = divmod(left, meta.stride(d))
            index[d] = Linear(begin)
            free[meta.stride(d)], room[meta.stride(d)] = d, meta.shape[d] - begin
    for d, (n, step) in enumerate(zip(size, stride, strict=True)):
        if n > 1:
            if room.pop(step, 0) < n:
                raise PlanRejected("native cannot follow aten.as_strided to elements that are no slice")
            index[free[step]] = index[free[step]] + axis(d)
    if left or any(n < 1 for n in room.values()):
        raise PlanRejected("native cannot follow aten.as_strided to elements that are no slice")
    return low.view(x).moved(size, index)


@handles(aten.slice_scatter)
def slice_scatter(low: Lowering, node: Any, x: Any, src: Any, dim: int, start: int | None, end: int | None, step: int) -> View:
    return _with_part(low, node, x, src, lambda whole: whole.slice(dim, start, end, step))


@handles(aten.select_scatter)
def select_scatter(low: Lowering, node: Any, x: Any, src: Any, dim: int, index: int) -> View:
    return _with_part(low, node, x, src, lambda whole: whole.select(dim, index))


def _with_part(low: Lowering, node: Any, x: Any, src: Any, part: Callable[[View], View]) -> View:
    """A copy of x with `part` of it replaced by `src`."""
    base, values = low.view(x), low.view(src)
    whole = low.dense(base, low.layout(base.shape, base, values))
    low.write(part(whole), low.view(src), str(node.target))
    return whole


@handles(aten.cat)
def cat(low: Lowering, node: Any, tensors: Any, dim: int) -> View:
    parts = [low.view(n) for n in tensors]
    meta = node.meta["val"]
    dim %= meta.dim()
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
def padded(low: Lowering, node: Any, x: Any, pad: Any, value: float) -> View:
    view, meta = low.view(x), node.meta["val"]
    whole = View.of(low.temporary(meta.dtype, meta.shape, low.layout(meta.shape, view)))
    low.write(whole, View.of(Lazy(meta.dtype, meta.shape, lambda _: const(value, meta.dtype), "fill")), "fill")
    into = whole
    for i in range(len(pad) // 2):
        dim = len(view.shape) - 1 - i
        before, after = pad[2 * i], pad[2 * i + 1]
        view = view.slice(dim, max(-before, 0), view.shape[dim] - max(-after, 0))
        into = into.slice(dim, max(before, 0), meta.shape[dim] - max(after, 0))
    low.write(into, view, str(node.target))
    return whole


@handles(aten.gather)
def gather(low: Lowering, node: Any, x: Any, dim: int, index: Any) -> View:
    source, places = low.view(x), low.view(index)
    if not source.shape:
        source, dim = source.expand([1]), 0
        places = places if places.shape else places.expand([1])
    dim %= len(source.shape)
    source = low.stored(source)
    size = const(source.shape[dim], torch.int64)

    def value(where: Sequence[Linear]) -> Term:
        at = op("at", cast(places.load(where), torch.int64), size)
        return source.load([Linear(0, ((at, 1),)) if d == dim else where[d] for d in range(len(source.shape))])

    return low.lazy(node, value)


@handles(aten.index)
def index(low: Lowering, node: Any, x: Any, indices: Any) -> View:
    """`source[i, :, j]` for tensors of whole numbers; where something is between them, their axes come first."""
    source = low.stored(low.view(x))
    places, spread, first = _places(low, indices, source)

    def value(where: Sequence[Linear]) -> Term:
        return source.load(_indexed(source, places, spread, first, where))

    return low.lazy(node, value)


def _places(low: Lowering, indices: Any, source: View) -> tuple[list[View | None], tuple[int, ...], int]:
    """The index of each axis, broadcast; their common shape; and at which axis of the result it begins."""
    whole: list[Any] = list(indices)
    whole += [None] * (len(source.shape) - len(whole))
    views = [None if n is None else low.view(n) for n in whole]
    if any(v is not None and v.dtype in (torch.bool, torch.uint8) for v in views):
        raise PlanRejected("native cannot pick by a mask, whose result has no fixed size; use torch.where")
    spread = torch.broadcast_shapes(*(v.shape for v in views if v is not None))
    at = [d for d, v in enumerate(views) if v is not None]
    together = at == list(range(at[0], at[-1] + 1))
    return [None if v is None else low.spread(v, spread) for v in views], tuple(spread), at[0] if together else 0


def _indexed(source: View, places: list[View | None], spread: tuple[int, ...], first: int, where: Sequence[Linear]) -> list[Linear]:
    inner = where[first : first + len(spread)]
    rest = iter([*where[:first], *where[first + len(spread) :]])
    where_to = []
    for d, view in enumerate(places):
        if view is None:
            where_to.append(next(rest))
        else:
            at = op("at_wrapped", cast(view.load(inner), torch.int64), const(source.shape[d], torch.int64))
            where_to.append(Linear(0, ((at, 1),)))
    return where_to


@handles(aten.index_put)
def index_put(low: Lowering, node: Any, x: Any, indices: Any, values: Any, accumulate: bool) -> View:
    """A copy with `values` written, or added, at the places named; rows that are named twice are added twice."""
    whole = low.dense(low.view(x))
    places, spread, first = _places(low, indices, whole)
    rest = [n for n, v in zip(whole.shape, places, strict=True) if v is None]
    shape = [*rest[:first], *spread, *rest[first:]]
    source = low.spread(low.view(values), shape)
    where = [axis(i) for i in range(len(shape))]
    place = whole.where[0].at(_indexed(whole, places, spread, first, where).__getitem__)
    return _scattered(low, node, whole, shape, place, cast(source.load(where), whole.dtype), "sum" if accumulate else None)


@handles(aten.scatter, aten.scatter_add)
def scatter(low: Lowering, node: Any, x: Any, dim: int, index: Any, src: Any = None, value: Any = None) -> View:
    """A copy with values written, or added, at places along one axis."""
    base, dim, places = low.view(x), dim % node.meta["val"].dim(), low.view(index)
    source, dtype = value if src is None else src, node.meta["val"].dtype
    adds = node.target.overloadpacket is aten.scatter_add

    def what(index: Sequence[Linear]) -> Term:
        return low.view(source).load(index) if isinstance(source, fx.Node) else const(source, dtype)

    size = const(base.shape[dim], torch.int64)
    same = all(d == dim or n == places.shape[d] for d, n in enumerate(base.shape))
    if places.shape[dim] == 1 and same:  # one place a row: a comparison where it is read, as for one-hot targets

        def element(index: Sequence[Linear]) -> Term:
            row = [Linear() if d == dim else index[d] for d in range(len(index))]
            at = op("at", cast(places.load(row), torch.int64), size)
            here = op("eq", at, Term.of("index", torch.int64, index[dim]), dtype=torch.bool)
            old = base.load(index)
            return op("select", here, op("add", old, what(row)) if adds else what(row), old, dtype=dtype)

        return low.lazy(node, element)
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


@handles(aten.cumsum, shown=("dtype",))
def cumsum(low: Lowering, node: Any, x: Any, dim: int) -> View:
    meta = node.meta["val"]
    view = low.stored(low.view(x))
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
