"""From the folded graph to kernels: values are computed where they are read, stored where several read them.

As in TorchInductor: Ansel et al. (2024), https://doi.org/10.1145/3620665.3640366, section 4.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from chainrule.core.errors import PlanRejected
from chainrule.engine.native.folding import Folded, uniform
from chainrule.engine.native.loops import Kernel, Loop, Product, Store
from chainrule.engine.native.scalars import COMPUTED_IN_ARGUMENTS, ELEMENTWISE, LOGICAL
from chainrule.engine.native.terms import Buffer, Linear, Term, axis, const, walk
from chainrule.engine.native.tracing import DTYPES, Traced, aten
from chainrule.engine.native.views import Lazy, View, broadcast, loaded

CHEAP = 2          # operations that are rather repeated than stored and loaded
LONGEST = 24       # loads in one expression
VIEWS = {aten.permute, aten.t, aten.transpose, aten.view, aten.reshape, aten._unsafe_view, aten.expand, aten.squeeze, aten.unsqueeze,
         aten.slice, aten.select, aten.alias, aten.detach, aten.flip, aten.diagonal,
         aten.as_strided}

Handler = Callable[["Lowering", fx.Node], Any]
HANDLERS: dict[Any, Handler] = {}  # ATen packet -> how its value is made; filled by the modules that know them


def handles(*packets: Any) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        for packet in packets:
            HANDLERS[packet] = handler
        return handler

    return register


Rewrite = Callable[["Lowering", Any], View | None]
REWRITES: list[Rewrite] = []  # what makes one kernel of several nodes, tried before the handlers; filled like them


def rewrites(rewrite: Rewrite) -> Rewrite:
    REWRITES.append(rewrite)
    return rewrite


class Lowering:
    """The kernels that a graph becomes, in order, and the buffers they work on."""

    def __init__(self, traced: Traced, folded: Folded, learner: Sequence[Tensor], batch: Sequence[Tensor]):
        self.folded, self.kernels = folded, list[Kernel]()
        self.values: dict[fx.Node, Any] = {}
        self.learner = [Buffer("learner", t.dtype, t.shape, t.stride(), i) for i, t in enumerate(learner)]
        self.batch = [Buffer("batch", t.dtype, t.shape, _dense(t.shape), i) for i, t in enumerate(batch)]
        drawn = [n.meta["val"] for n in folded.draws]
        self.draws = [Buffer("draw", t.dtype, t.shape, t.stride(), i) for i, t in enumerate(drawn)]
        self.constants: list[tuple[Buffer, Tensor]] = []
        self.reports: list[Buffer] = []
        placeholders = [n for n in folded.nodes if n.op == "placeholder"]
        for node, buffer in zip(placeholders, [*self.learner, *self.batch], strict=True):
            self.values[node] = View.of(buffer)
        output: Any = next(n for n in folded.nodes if n.op == "output")
        results = output.args[0]
        self.destined: dict[fx.Node, Buffer] = {}
        homes = list(self.learner)
        for i, node in enumerate(results[traced.learner :]):
            meta = node.meta["val"]
            self.reports.append(Buffer("report", meta.dtype, meta.shape, _dense(meta.shape), i))
        homes += self.reports
        self.outputs = list(zip(homes, results, strict=True))
        for home, node in self.outputs:
            if node not in self.destined and node.op == "call_function" and node.meta["val"].shape == home.shape \
                    and node.meta["val"].dtype == home.dtype:
                self.destined[node] = home
        self._uses: dict[fx.Node, int] = {}
        self.products: dict[fx.Node, Product] = {}

    def _rewritten(self, node: Any) -> View | None:
        return next((view for rewrite in REWRITES if (view := rewrite(self, node)) is not None), None)

    def run(self) -> list[tuple[Buffer, Buffer]]:
        """Lower every node; returns (home, final buffer) for every tensor that changes."""
        for i, node in enumerate(self.folded.draws):
            self.values[node] = View.of(self.draws[i])
        for node, value in self.folded.constants.items():
            self.values[node] = self._constant(value)
        for node in self.folded.nodes:
            if node.op == "call_function" and node not in self.values:
                self.values[node] = self._rewritten(node) or self._lower(node)
        finals = []
        taken: set[Buffer] = set()
        for home, node in self.outputs:
            view = self.values[node].settled()
            if view.buffer is home and view.where == View.of(home).where:
                continue
            buffer = view.buffer
            if buffer is None or buffer.kind != "temporary" or buffer in taken or view.where != View.of(home).where \
                    or buffer.shape != home.shape or buffer.strides != home.strides:
                buffer = self.temporary(home.dtype, home.shape, home.strides)
                self.fill(buffer, view, "result")
            taken.add(buffer)
            finals.append((home, buffer))
        return finals

    def _constant(self, value: Tensor) -> Any:
        one = uniform(value)
        if value.dtype not in DTYPES:
            raise PlanRejected(f"native does not know numbers of type {value.dtype}")
        if one is not None:
            same = const(one, value.dtype)
            return View.of(Lazy(value.dtype, value.shape, lambda _: same, "constant"))
        dense = value.contiguous()
        buffer = Buffer("constant", dense.dtype, dense.shape, dense.stride(), len(self.constants))
        self.constants.append((buffer, dense))
        return View.of(buffer)

    def _lower(self, node: Any) -> Any:
        if node.target is operator.getitem:
            return self.values[node.args[0]][node.args[1]]
        meta = node.meta["val"]
        for t in meta if isinstance(meta, (tuple, list)) else [meta]:
            if isinstance(t, Tensor) and t.dtype not in DTYPES:
                raise PlanRejected(f"native does not know numbers of type {t.dtype}, which {node.target} makes")
        packet = node.target.overloadpacket
        name = packet.__name__
        if packet in HANDLERS:
            return HANDLERS[packet](self, node)
        if name in ELEMENTWISE:
            return self.elementwise(node, ELEMENTWISE[name], name)
        raise PlanRejected(f"native does not know {node.target}")

    # Reading and storing

    def view(self, arg: Any) -> View:
        return self.values[arg].settled()

    def uses(self, node: fx.Node) -> int:
        """How often the value is read, through views as well."""
        if node not in self._uses:
            total = 0
            for user in node.users:
                views = user.op == "call_function" and getattr(user.target, "overloadpacket", None) in VIEWS
                total += self.uses(user) if views else sum(a is node for a in user.all_input_nodes) or 1
            self._uses[node] = total + (node in self.destined)
        return self._uses[node]

    def temporary(self, dtype: torch.dtype, shape: Sequence[int], strides: Sequence[int] | None = None) -> Buffer:
        return Buffer("temporary", dtype, shape, _dense(shape) if strides is None else strides)

    def lazy(self, node: fx.Node, value: Callable[[Sequence[Linear]], Term]) -> View:
        """The value of `node`, computed where it is read; stored at once where that is more than once, and not cheap."""
        meta = node.meta["val"]
        made = Lazy(meta.dtype, meta.shape, value, str(node.target))
        made.destined = self.destined.get(node)
        view = View.of(made)
        term = value([axis(i) for i in range(len(meta.shape))])
        loads = sum(t.op == "load" for t in walk([term]))
        if made.destined is not None or loads > LONGEST or (self.uses(node) > 1 and (term.cost > CHEAP or loads > 2)):
            return self.stored(view)
        return view

    def stored(self, view: View) -> View:
        """The same view on a buffer: what it shows is computed whole, if it has not been."""
        view = view.settled()
        shown = view.shows
        if isinstance(shown, Buffer):
            return view
        assert isinstance(shown, Lazy)
        whole = View.of(shown)
        strides = shown.destined.strides if shown.destined is not None else self.layout(shown.shape, whole)
        buffer = self.temporary(shown.dtype, shown.shape, strides)
        self.fill(buffer, whole, shown.origin)
        shown.stored = buffer
        return view.settled()

    def fill(self, buffer: Buffer, view: View, origin: str) -> None:
        """buffer = view"""
        index = [axis(i) for i in range(len(buffer.shape))]
        place = View.of(buffer).where[0]
        self.kernels.append(Loop(origin, list(buffer.shape), [False] * len(buffer.shape), [Store(buffer, place, view.load(index))]))

    def write(self, into: View, view: View, origin: str, partial: bool = True) -> None:
        """into = view, where `into` shows part of a buffer."""
        index = [axis(i) for i in range(len(into.shape))]
        assert isinstance(into.shows, Buffer)
        self.kernels.append(Loop(origin, list(into.shape), [False] * len(into.shape),
                                 [Store(into.shows, into.where[0], view.load(index), partial=partial)]))

    def dense(self, view: View, strides: Sequence[int] | None = None) -> View:
        """The same elements in a buffer of their own, contiguous unless `strides` says otherwise."""
        buffer = self.temporary(view.dtype, view.shape, strides)
        self.fill(buffer, view, "copy")
        return View.of(buffer)

    def strided(self, view: View) -> tuple[Buffer, int, list[int]]:
        """Buffer, offset and strides of the view, which is stored for it if need be."""
        view = self.stored(view)
        found = view.strides()
        if found is None:
            view = self.dense(view)
            found = view.strides()
        assert found is not None
        assert view.buffer is not None
        return view.buffer, found[0], found[1]

    def reshaped(self, view: View, shape: Sequence[int]) -> View:
        found = view.reshape(shape)
        if found is None:
            found = self.stored(view).reshape(shape)
        if found is None:
            found = self.dense(view).reshape(shape)
        assert found is not None
        return found

    def spread(self, view: View, shape: Sequence[int]) -> View:
        """`view` expanded to `shape`; stored first where every element would be computed again and again."""
        if math.prod(shape) > view.count and view.buffer is None:
            term = view.load([axis(i) for i in range(len(view.shape))])
            if term.cost > CHEAP or (term.cost and view.count > 1):
                view = self.stored(view)
        return broadcast(view, shape)

    def layout(self, shape: Sequence[int], *views: View) -> tuple[int, ...]:
        """Strides for a new buffer of that shape: channels-last where one of those it is computed from is."""
        if len(shape) == 4 and shape[1] > 1:
            for term in walk([view.load([axis(i) for i in range(4)]) for view in views if len(view.shape) == 4]):
                if term.op == "load" and term.args[1].factor(1) == 1 and term.args[1].factor(3) > 1:
                    return channels_last(shape)
        return _dense(shape)

    # Elementwise operations

    def elementwise(self, node: fx.Node, make: Callable[..., Term], name: str) -> View:
        meta = node.meta["val"]
        kind = _computes_in(node, name)
        views: dict[fx.Node, View] = {}
        for n in node.all_input_nodes:
            views[n] = self.spread(self.view(n), meta.shape)

        def value(index: Sequence[Linear]) -> Term:
            def term(arg: Any) -> Any:
                if isinstance(arg, fx.Node):
                    return loaded(views[arg], meta.shape, index, arg.meta["val"].dtype)
                return const(arg, kind) if isinstance(arg, (int, float)) and not isinstance(arg, torch.dtype) else None

            if name in ("_to_copy", "clone"):
                return make(kind, term(node.args[0]))
            extra = {k: v for k, v in node.kwargs.items() if k in ("alpha", "rounding_mode") and v is not None}
            extra |= {{"min": "low", "max": "high"}[k]: term(v) for k, v in node.kwargs.items() if k in ("min", "max")}
            return make(kind, *(term(a) for a in node.args), **extra)

        return self.lazy(node, value)


def _computes_in(node: Any, name: str) -> torch.dtype:
    if name not in COMPUTED_IN_ARGUMENTS:
        return torch.bool if name in LOGICAL else node.meta["val"].dtype
    given = [a.meta["val"] if isinstance(a, fx.Node) else a for a in node.args]
    return torch.result_type(*given) if len(given) == 2 else given[0].dtype


def _dense(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def channels_last(shape: Sequence[int]) -> tuple[int, ...]:
    _, c, h, w = shape
    return (c * h * w, 1, w * c, c)
