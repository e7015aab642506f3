"""The loop nests of a program: a space of axes, and what is stored, added up or scattered at each of its points."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from chainrule.engine.native.terms import Buffer, Linear, Term, axis, rewritten, walk

Matrix = tuple[Buffer, int, list[int]]


@dataclass(frozen=True)
class Store:
    """`buffer[place] = value`; with `how` (sum, prod, amax, ...) the value is gathered over the reduced axes first.

    `scattered` stores add to what is there, or replace it (`how` None), at places that may repeat.
    """

    buffer: Buffer
    place: Linear
    value: Term
    how: str | None = None
    scattered: bool = False
    partial: bool = False  # other loops write the rest of the buffer


@dataclass(frozen=True, eq=False)
class Loop:
    """A nest over `space`, whose `reduced` axes are those that reductions gather over. In a `sequential` one the order counts."""

    origin: str  # the ATen operations it came from
    space: list[int]
    reduced: list[bool]
    stores: list[Store]
    sequential: bool = False

    @cached_property
    def terms(self) -> list[Term]:
        """All terms, arguments first; those that places of stores are computed from included."""
        return walk([*(s.value for s in self.stores), *(v for s in self.stores for v, _ in s.place.terms if isinstance(v, Term))])

    @cached_property
    def loads(self) -> list[Term]:
        return [t for t in self.terms if t.op == "load"]

    @cached_property
    def reads(self) -> set[Buffer]:
        buffers = {t.args[0] for t in self.loads}
        return buffers | {s.buffer for s in self.stores if s.scattered}

    @cached_property
    def writes(self) -> set[Buffer]:
        return {s.buffer for s in self.stores}

    @property
    def points(self) -> int:
        return math.prod(self.space)

    def with_axes(self, space: Sequence[int], reduced: Sequence[bool], where: Callable[[int], Linear]) -> Loop:
        """The same loop over other axes, given each old axis in terms of the new."""
        values = rewritten([s.value for s in self.stores], where)
        stores = []
        for store, value in zip(self.stores, values, strict=True):
            stores.append(replace(store, value=value, place=_moved(store.place, where)))
        return replace(self, space=list(space), reduced=list(reduced), stores=stores)

    def places(self) -> list[Linear]:
        """Every linear map in the loop, stores first."""
        places = [s.place for s in self.stores]
        for term in self.terms:
            places += [a for a in term.args if isinstance(a, Linear)]
        return places


def _moved(place: Linear, where: Callable[[int], Linear]) -> Linear:
    of_terms = {v: rewritten([v], where)[0] for v, _ in place.terms if isinstance(v, Term)}
    return place.at(lambda v: where(v) if isinstance(v, int) else Linear(0, ((of_terms[v], 1),)))


def tidy(loop: Loop) -> Loop:
    """Without axes of length one, and with the axes in the order in which memory runs: that of the stores, or of what is added up."""
    axes = [a for a, n in enumerate(loop.space) if n != 1]
    if not loop.sequential:
        lead = _lead(loop)
        axes.sort(key=lambda a: tuple(-abs(place.factor(a)) for place in lead))
        if any(loop.reduced) and not all(loop.reduced[a] for a in axes) and loop.reduced[axes[-1]]:
            axes.sort(key=lambda a: loop.reduced[a])  # a row is added up at a time
    loop = _over(loop, axes)
    return loop if any(loop.reduced) else replace(loop, stores=[_alone(s) for s in loop.stores])


def _alone(store: Store) -> Store:
    """What is gathered over one element is that element."""
    if store.how is None or store.scattered:
        return store
    return replace(store, how=None, value=store.value.args[1] if store.value.op == "pair" else store.value)


def _lead(loop: Loop) -> list[Linear]:
    full = [s.place for s in loop.stores if s.how is None]
    loads = [t.args[1] for t in loop.loads if t.args[1].plain]
    most = max((len(lin.terms) for lin in loads), default=0)
    return [*full[:1], *[lin for lin in loads if len(lin.terms) == most][:1], *full[1:2]]


def _over(loop: Loop, order: list[int]) -> Loop:
    if order == list(range(len(loop.space))):
        return loop
    new = {a: i for i, a in enumerate(order)}
    return loop.with_axes([loop.space[a] for a in order], [loop.reduced[a] for a in order],
                          lambda a: axis(new[a]) if a in new else Linear())


def merged(loop: Loop) -> Loop:
    """Neighbouring axes joined to one wherever all places run through them as through one."""
    places = loop.places()
    groups: list[list[int]] = []
    for a in range(len(loop.space)):
        if groups and loop.reduced[groups[-1][-1]] == loop.reduced[a] and all(
                p.factor(groups[-1][-1]) == p.factor(a) * loop.space[a] for p in places):
            groups[-1].append(a)
        else:
            groups.append([a])
    last = {g[-1]: i for i, g in enumerate(groups)}
    if len(groups) == len(loop.space):
        return loop
    # Only the last axis of a group is kept: the others' contributions are what more of it would add.
    return loop.with_axes([math.prod(loop.space[a] for a in g) for g in groups], [loop.reduced[g[0]] for g in groups],
                          lambda a: axis(last[a]) if a in last else Linear())


@dataclass(frozen=True, eq=False)
class Product:
    """C = alpha A B + beta C + bias for matrices, or stacks of them, given as (buffer, offset, strides).

    Where beta is not 0, C begins as what `onto` holds, the old value of the tensor whose new one C is.
    """

    origin: str
    sizes: tuple[int, int, int]
    stack: list[int]
    a: Matrix
    b: Matrix
    c: Matrix
    bias: Matrix | None
    alpha: Term
    beta: float = 0.0
    onto: Buffer | None = None

    @cached_property
    def reads(self) -> set[Buffer]:
        buffers = {m[0] for m in (self.a, self.b, self.bias) if m is not None} | {t.args[0] for t in walk([self.alpha]) if t.op == "load"}
        return buffers | ({self.onto} if self.onto is not None else set())

    @cached_property
    def writes(self) -> set[Buffer]:
        return {self.c[0]}


@dataclass(frozen=True, eq=False)
class Call:
    """A kernel of kernels.h that takes these pointers, named {0}, {1}, ... in its text, and so many reals of scratch."""

    origin: str
    pointers: list[tuple[Buffer, int]]
    writes: set[Buffer]
    text: str
    scratch: str = ""

    @cached_property
    def reads(self) -> set[Buffer]:
        return {b for b, _ in self.pointers} - self.writes


Kernel = Loop | Product | Call
