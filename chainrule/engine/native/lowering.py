"""From the folded graph to kernels: values are computed where they are read, stored where several read them.

As in TorchInductor: Ansel et al. (2024), https://doi.org/10.1145/3620665.3640366, section 4.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from chainrule.core.errors import PlanRejected
from chainrule.engine.native.folding import Folded, uniform
from chainrule.engine.native.loops import Kernel, Loop, Product, Store
from chainrule.engine.native.scalars import COMPUTED_IN_ARGUMENTS, ELEMENTWISE, LOGICAL
from chainrule.engine.native.terms import Buffer, Linear, Term, axis, const, walk
from chainrule.engine.native.tracing import DTYPES, Traced, arguments, aten
from chainrule.engine.native.views import Lazy, View, broadcast, loaded

CHEAP = 2          # operations that are rather repeated than stored and loaded
LONGEST = 24       # loads in one expression
VIEWS = {aten.permute, aten.t, aten.transpose, aten.view, aten.reshape, aten._unsafe_view, aten.expand, aten.squeeze, aten.unsqueeze,
         aten.slice, aten.select, aten.alias, aten.detach, aten.flip, aten.diagonal,
         aten.as_strided}

# What changes no element of a dense tensor on the processor, whatever it is.
INERT = {"memory_format", "layout", "device", "pin_memory", "non_blocking", "sparse_grad", "implicit"}

Handler = Callable[..., Any]


class Known(NamedTuple):
    """How the value of an operation is made, and which of its arguments are known: by name, or by the shape and type they give."""

    handler: Handler
    names: frozenset[str]
    shown: frozenset[str]


HANDLERS: dict[Any, Known] = {}  # ATen packet -> how its value is made; filled by the modules that know them


def handles(*packets: Any, shown: Collection[str] = ()) -> Callable[[Handler], Handler]:
    """Register `handler(lowering, node, ...)`: its further parameters are the arguments it knows, named as ATen's schemas name them, save
    that `self` is called x. Those `shown` need no reading, since the shape and type of the result tell of them."""

    def register(handler: Handler) -> Handler:
        names = frozenset(list(inspect.signature(handler).parameters)[2:])
        for packet in packets:
            HANDLERS[packet] = Known(handler, names, frozenset(shown))
        return handler

    return register


def bound(node: Any, names: Collection[str], shown: Collection[str] = ()) -> dict[str, Any]:
    """The arguments of a node's operation that are among `names`, those left out at their defaults.

    Raises PlanRejected where any other argument is not at its default: what nobody has taught a handler must not be passed over.
    """
    values = {}
    for argument, value in zip(node.target._schema.arguments, arguments(node), strict=True):
        name = _named(argument)
        if name in names:
            values[name] = value
        elif name not in INERT and name not in shown and not (argument.has_default_value() and value == argument.default_value):
            raise PlanRejected(f"native does not know {node.target} with {argument.name}={value}")
    return values


def _named(argument: Any) -> str:
    return "x" if argument.name == "self" else str(argument.name)


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
            known = HANDLERS[packet]
            return known.handler(self, node, **bound(node, known.names, known.shown))
        if name in ELEMENTWISE:
            return self.elementwise(node, ELEMENTWISE[name], name)
        raise PlanRejected(f"native does not know {node.target}")

    # Reading and storing

    def view(self, arg: Any) -> View:
        settled: View = self.values[arg].settled()
        return settled

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
        lazy = Lazy(meta.dtype, meta.shape, value, str(node.target))
        lazy.destined = self.destined.get(node)
        view = View.of(lazy)
        term = value([axis(i) for i in range(len(meta.shape))])
        loads = sum(t.op == "load" for t in walk([term]))
        if lazy.destined is not None or loads > LONGEST or (self.uses(node) > 1 and (term.cost > CHEAP or loads > 2)):
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
        steps = view.strides()
        if steps is None:
            view = self.dense(view)
            steps = view.strides()
        assert steps is not None
        assert view.buffer is not None
        return view.buffer, steps[0], steps[1]

    def reshaped(self, view: View, shape: Sequence[int]) -> View:
        reshaped = view.reshape(shape)
        if reshaped is None:
            reshaped = self.stored(view).reshape(shape)
        if reshaped is None:
            reshaped = self.dense(view).reshape(shape)
        assert reshaped is not None
        return reshaped

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
        operands, options = _given(node, make)
        kind = _computes_in(node, name, operands)
        views: dict[fx.Node, View] = {}
        for n in node.all_input_nodes:
            views[n] = self.spread(self.view(n), meta.shape)

        def value(index: Sequence[Linear]) -> Term:
            def term(arg: Any) -> Any:
                if isinstance(arg, fx.Node):
                    return loaded(views[arg], meta.shape, index, arg.meta["val"].dtype)
                return None if arg is None else const(arg, kind)

            return make(kind, *map(term, operands), **options)

        return self.lazy(node, value)


def _given(node: Any, make: Callable[..., Term]) -> tuple[list[Any], dict[str, Any]]:
    """The operands of an elementwise operation in order, and by name those options that `make` takes; others are refused."""
    takes = list(inspect.signature(make).parameters.values())[1:]  # after the type
    places = [p for p in takes if p.kind is not p.KEYWORD_ONLY]
    operands = [_named(a) for a in node.target._schema.arguments if not a.kwarg_only][: len(places)]
    values = bound(node, {*operands, *(p.name for p in takes if p.kind is p.KEYWORD_ONLY)}, {"dtype"})
    if any(isinstance(value, complex) for value in values.values()):
        raise PlanRejected(f"native does not know complex numbers, which {node.target} is given")
    return [values.pop(name) for name in operands], values


def _computes_in(node: Any, name: str, operands: list[Any]) -> torch.dtype:
    if name not in COMPUTED_IN_ARGUMENTS:
        return torch.bool if name in LOGICAL else node.meta["val"].dtype
    values = [a.meta["val"] if isinstance(a, fx.Node) else a for a in operands]
    return torch.result_type(*values) if len(values) == 2 else values[0].dtype


def _dense(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def channels_last(shape: Sequence[int]) -> tuple[int, ...]:
    _, c, h, w = shape
    return (c * h * w, 1, w * c, c)
