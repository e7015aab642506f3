"""Views as index maps: reading through a transpose, a slice or an expansion costs no copy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from chainrule.engine.native.terms import Buffer, Linear, Term, axis, cast


class Lazy:
    """A tensor that is computed where it is read; once it is `stored`, it is loaded instead.

    `value(index)` is the term of the element there; `dear` that computing it more than once would cost more than storing it.
    """

    def __init__(self, dtype: torch.dtype, shape: Sequence[int], value: Callable[[Sequence[Linear]], Term], origin: str):
        self.dtype, self.shape, self.value, self.origin = dtype, tuple(shape), value, origin
        self.stored: Buffer | None = None
        self.destined: Buffer | None = None  # the learner's or report's tensor that this is the new value of


class View:
    """A tensor seen through an index map.

    `where` gives, in its own axes, the place in what it shows: flat in a buffer, or in a Lazy's axes.
    """

    def __init__(self, shows: Buffer | Lazy, shape: Sequence[int], where: Sequence[Linear]):
        self.shows, self.shape, self.where = shows, tuple(shape), tuple(where)

    @property
    def dtype(self) -> torch.dtype:
        return self.shows.dtype

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @classmethod
    def of(cls, shown: Buffer | Lazy) -> View:
        """The whole of it."""
        if isinstance(shown, Lazy):
            return cls(shown, shown.shape, [axis(i) for i in range(len(shown.shape))])
        flat = Linear()
        for i, (n, s) in enumerate(zip(shown.shape, shown.strides, strict=True)):
            if n > 1:
                flat = flat + axis(i) * s
        return cls(shown, shown.shape, [flat])

    def settled(self) -> View:
        """The same view on the buffer, where what it shows has been stored meanwhile."""
        if isinstance(self.shows, Lazy) and self.shows.stored is not None:
            whole = View.of(self.shows.stored)
            return View(self.shows.stored, self.shape, [whole.where[0].at(lambda v: self.where[v])])
        return self

    @property
    def buffer(self) -> Buffer | None:
        shows = self.settled().shows
        return shows if isinstance(shows, Buffer) else None

    def load(self, index: Sequence[Linear]) -> Term:
        """The element at `index`, given in axes of the loop that reads it."""
        view = self.settled()
        where = [lin.at(lambda v: index[v]) for lin in view.where]
        if isinstance(view.shows, Buffer):
            return Term.of("load", view.dtype, view.shows, where[0])
        return view.shows.value(where)

    def moved(self, shape: Sequence[int], index: Sequence[Linear]) -> View:
        """The view of the given shape whose element is this one's at `index`."""
        return View(self.shows, shape, [lin.at(lambda v: index[v]) for lin in self.where])

    def permute(self, order: Sequence[int]) -> View:
        order = [d % len(self.shape) for d in order]
        back = {d: i for i, d in enumerate(order)}
        return self.moved([self.shape[d] for d in order], [axis(back[d]) for d in range(len(order))])

    def expand(self, shape: Sequence[int]) -> View:
        extra = len(shape) - len(self.shape)
        wanted = [self.shape[i - extra] if n == -1 else n for i, n in enumerate(shape)]
        index = [axis(i + extra) if n == wanted[i + extra] else Linear() for i, n in enumerate(self.shape)]
        return self.moved(wanted, index)

    def select(self, dim: int, at: int) -> View:
        dim %= len(self.shape)
        at = at + self.shape[dim] if at < 0 else at
        shape = [n for d, n in enumerate(self.shape) if d != dim]
        return self.moved(shape, [Linear(at) if d == dim else axis(d - (d > dim)) for d in range(len(self.shape))])

    def slice(self, dim: int, start: int | None, end: int | None, step: int = 1) -> View:
        dim %= len(self.shape)
        span = range(self.shape[dim])[slice(start, end, step)]
        shape = [len(span) if d == dim else n for d, n in enumerate(self.shape)]
        return self.moved(shape, [axis(d) * step + span.start if d == dim else axis(d) for d in range(len(shape))])

    def flip(self, dims: Sequence[int]) -> View:
        turned = {d % len(self.shape) for d in dims}
        return self.moved(self.shape, [axis(d) * -1 + (n - 1) if d in turned else axis(d) for d, n in enumerate(self.shape)])

    def diagonal(self, offset: int, dim1: int, dim2: int, shape: Sequence[int]) -> View:
        dim1, dim2 = dim1 % len(self.shape), dim2 % len(self.shape)
        index, left = [], 0
        for d in range(len(self.shape)):
            if d in (dim1, dim2):
                index.append(axis(len(shape) - 1) + (max(-offset, 0) if d == dim1 else max(offset, 0)))
            else:
                index.append(axis(left))
                left += 1
        return self.moved(shape, index)

    def reshape(self, shape: Sequence[int]) -> View | None:
        """The same elements in another shape, or None where that is not one linear map (then they have to be stored in order first)."""
        view = self.settled()
        flat = isinstance(view.shows, Buffer)
        old = [(d, n) for d, n in enumerate(view.shape) if n != 1]
        new = [(d, n) for d, n in enumerate(shape) if n != 1]
        index: dict[int, Linear] = {}
        factors: dict[int, int] = {}  # for buffers: what one more of a new axis adds to the flat place
        while old and new:
            a, b = [old.pop(0)], [new.pop(0)]
            while math.prod(n for _, n in a) != math.prod(n for _, n in b):
                fewer = math.prod(n for _, n in a) < math.prod(n for _, n in b)
                (a if fewer else b).append((old if fewer else new).pop(0))
            if len(a) > 1:
                if not flat:
                    return None
                place = [view.where[0].factor(d) for d, _ in a]
                if any(place[i] != place[i + 1] * a[i + 1][1] for i in range(len(a) - 1)):
                    return None
                step = place[-1]
                for d, n in reversed(b):
                    factors[d] = step
                    step *= n
                continue
            lin, step = Linear(), 1
            for d, n in reversed(b):
                lin = axis(d) * step + lin
                step *= n
            index[a[0][0]] = lin
        if not flat:
            return view.moved(shape, [index.get(d, Linear()) for d in range(len(view.shape))])
        if not view.where[0].plain and factors:
            return None
        merged = view.where[0].at(lambda v: index.get(v, Linear()) if isinstance(v, int) else Linear(0, ((v, 1),)))
        for d, step in factors.items():
            merged = merged + axis(d) * step
        return View(view.shows, shape, [merged])

    def strides(self) -> tuple[int, list[int]] | None:
        """Offset and a stride for each axis, where it shows a buffer; None where it does not, or where places are computed."""
        view = self.settled()
        if not isinstance(view.shows, Buffer) or not view.where[0].plain:
            return None
        return view.where[0].const, [view.where[0].factor(d) for d in range(len(self.shape))]


def broadcast(view: View, shape: Sequence[int]) -> View:
    return view if view.shape == tuple(shape) else view.expand(shape)


def loaded(view: View, shape: Sequence[int], index: Sequence[Linear], dtype: torch.dtype) -> Term:
    """The element of `view`, spread out to `shape`, as a number of type `dtype`."""
    return cast(broadcast(view, shape).load(index), dtype)
