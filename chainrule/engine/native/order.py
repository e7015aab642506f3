"""In which order kernels run, which of them share a nest, and where every buffer lies.

Fusion as in Kennedy & McKinley (1994), https://doi.org/10.1007/3-540-57659-2_18: two nests over the same space become one unless something
between them, or a place that is read elsewhere than it is written, forbids it.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

from chainrule.engine.native.loops import Kernel, Loop, Product, Store, tidy
from chainrule.engine.native.terms import Buffer, Linear, Term, axis, cast, rewritten
from chainrule.engine.native.views import View

WINDOW = 64         # how many kernels back a partner is sought
STORES, LOADS = 12, 24   # of one nest


def arranged(kernels: list[Kernel], finals: list[tuple[Buffer, Buffer]]) -> list[Kernel]:
    """The kernels in an order in which new values overwrite old ones only when nobody reads those any more; fused where possible."""
    kernels = [tidy(k) if isinstance(k, Loop) else k for k in kernels]
    copies: list[Kernel] = []
    dependence = Dependence(kernels)
    for home, buffer in finals:
        if not dependence.settle(home, buffer):
            index = [axis(i) for i in range(len(home.shape))]
            final = Buffer("temporary", home.dtype, home.shape, home.strides)
            final.home = home
            copies.append(tidy(Loop("result", list(home.shape), [False] * len(home.shape),
                                    [Store(final, View.of(home).where[0], View.of(buffer).load(index))])))
    kernels = [kernel for k in kernels for kernel in _begun(k)]
    return _contracted(_fused([*_sorted(kernels), *copies]))


def _begun(kernel: Kernel) -> list[Kernel]:
    """A product onto a tensor that could not stay in its place begins with a copy of it."""
    if isinstance(kernel, Product) and kernel.onto is not None and kernel.c[0].storage is not kernel.onto:
        old, new = kernel.onto, kernel.c[0]
        index = [axis(i) for i in range(len(old.shape))]
        copy = tidy(Loop("copy", list(old.shape), [False] * len(old.shape), [
            Store(new, View.of(new).where[0], View.of(old).load(index), partial=True)]))
        return [copy, replace(kernel, onto=new)]
    return [kernel]


def _reads_where_it_writes(kernel: Kernel, home: Buffer, buffer: Buffer) -> bool:
    if isinstance(kernel, Product):
        inputs = [m for m in (kernel.a, kernel.b, kernel.bias) if m is not None]
        return all(m[0] is not home for m in inputs)
    if not isinstance(kernel, Loop) or kernel.sequential:
        return False
    places = {s.place for s in kernel.stores if s.buffer is buffer and s.how is None}
    return len(places) == 1 and all(t.args[1] in places for t in kernel.loads if t.args[0] is home)


class Dependence:
    """Which kernels must follow which, read from them once: readers the writers, and writers of one buffer each other.

    What settling a buffer adds is kept up to date with an order that every arrow points along: Pearce & Kelly (2007),
    https://doi.org/10.1145/1187436.1210590. So each question is answered from the few kernels between the two that it is about.
    `visits` counts those.
    """

    def __init__(self, kernels: list[Kernel]):
        self.kernels = kernels
        self.into: list[set[int]] = [set() for _ in kernels]   # by kernel: those that follow it
        self.out: list[set[int]] = [set() for _ in kernels]    # and those that it follows
        self.writers: dict[Buffer, list[int]] = defaultdict(list)
        self.readers: dict[Buffer, list[int]] = defaultdict(list)
        self.place = list(range(len(kernels)))
        self.visits = 0
        for i, k in enumerate(kernels):
            for b in k.writes:
                self.writers[b].append(i)
            for b in k.reads:
                self.readers[b].append(i)
        for who in self.writers.values():
            for j, i in pairwise(who):
                self._arrow(j, i)
        for b, who in list(self.readers.items()):
            for i in who:
                for j in self.writers.get(b, ()):
                    if j < i or (j > i and b not in kernels[i].writes):
                        self._arrow(j, i)
        for b, who in list(self.writers.items()):
            if b.home is not None:
                for i in self.readers.get(b.home, ()):
                    for j in who:
                        self._arrow(i, j)

    def settle(self, home: Buffer, buffer: Buffer) -> bool:
        """Let `buffer` live in the memory of `home` if every reader of the old value can come before the new one is written."""
        if buffer.home is not None:
            return False
        writers, readers = self.writers.get(buffer, []), self.readers.get(home, [])
        if self.writers.get(home) or (len(writers) > 1 and readers):
            return False
        if any(i in writers and not _reads_where_it_writes(self.kernels[i], home, buffer) for i in readers):
            return False
        before = [i for i in readers if i not in writers]
        if before and writers and self._follow(writers, before):
            return False
        buffer.home = home
        for i in before:
            for j in writers:
                self._arrow(i, j)
        return True

    def _follow(self, first: list[int], then: list[int]) -> bool:
        """Whether any of `then` must come after any of `first`."""
        return not self._reached(first, self.into, max(self.place[i] for i in then), 1).isdisjoint(then)

    def _reached(self, start: list[int], arrows: list[set[int]], until: int, sign: int) -> set[int]:
        """All that arrows lead to, as far as the place `until`."""
        stack = [i for i in start if sign * self.place[i] <= sign * until]
        seen = set(stack)
        while stack:
            self.visits += 1
            for j in arrows[stack.pop()]:
                if j not in seen and sign * self.place[j] <= sign * until:
                    seen.add(j)
                    stack.append(j)
        return seen

    def _arrow(self, i: int, j: int) -> None:
        """Kernel j follows kernel i, which nothing forbids; where it stood before it, those between change places."""
        if i == j or j in self.into[i]:
            return
        self.into[i].add(j)
        self.out[j].add(i)
        if self.place[i] < self.place[j]:
            return
        later = sorted(self._reached([j], self.into, self.place[i], 1), key=self.place.__getitem__)
        earlier = sorted(self._reached([i], self.out, self.place[j], -1), key=self.place.__getitem__)
        free = sorted(self.place[k] for k in (*earlier, *later))
        for k, at in zip((*earlier, *later), free, strict=True):
            self.place[k] = at


def _sorted(kernels: list[Kernel]) -> list[Kernel]:
    edges = Dependence(kernels)
    waits = [len(before) for before in edges.out]
    ready = [i for i, n in enumerate(waits) if not n]
    heapq.heapify(ready)
    order = []
    while ready:
        i = heapq.heappop(ready)
        order.append(kernels[i])
        for j in edges.into[i]:
            waits[j] -= 1
            if not waits[j]:
                heapq.heappush(ready, j)
    assert len(order) == len(kernels)
    return order


def _touched(kernel: Kernel) -> tuple[set[Buffer], set[Buffer]]:
    """The memory it reads and writes."""
    return {b.storage for b in kernel.reads}, {b.storage for b in kernel.writes}


def _fused(kernels: list[Kernel]) -> list[Kernel]:
    done: list[Kernel] = []
    touched: list[tuple[set[Buffer], set[Buffer]]] = []
    for kernel in kernels:
        reads, writes = _touched(kernel)
        free = True         # whether this kernel may run before all those passed so far
        between: list[int] = []
        joined = False
        if isinstance(kernel, Loop) and not kernel.sequential:
            for i in range(len(done) - 1, max(len(done) - 1 - WINDOW, -1), -1):
                other = done[i]
                if isinstance(other, Loop) and (both := _joined(other, kernel)) is not None:
                    if free:
                        done[i], touched[i] = both, _touched(both)
                        joined = True
                        break
                    if not any(_collide(touched[i], touched[j]) for j in between):
                        del done[i], touched[i]
                        done.append(both)
                        touched.append(_touched(both))
                        joined = True
                        break
                free = free and not _collide((reads, writes), touched[i])
                between.append(i)
        if not joined:
            done.append(kernel)
            touched.append((reads, writes))
    return done


def _collide(a: tuple[set[Buffer], set[Buffer]], b: tuple[set[Buffer], set[Buffer]]) -> bool:
    return bool(a[1] & b[0] or a[0] & b[1] or a[1] & b[1])


def _joined(first: Loop, second: Loop) -> Loop | None:
    """Both as one nest, where they run over the same space and share memory only at the same places; else None."""
    if first.sequential or second.sequential or first.space != second.space:
        return None
    if any(first.reduced) and any(second.reduced) and first.reduced != second.reduced:
        return None
    reads, writes = _touched(first)
    more_reads, more_writes = _touched(second)
    if not (reads | writes) & (more_reads | more_writes) and first.points > 1:
        return None
    stored = {s.buffer.storage: s for s in first.stores}
    for load in second.loads:
        store = stored.get(load.args[0].storage)
        if store is not None and (store.how is not None or store.place != load.args[1] or store.partial):
            return None
    overwritten = {s.buffer.storage: s for s in second.stores}
    for load in first.loads:
        store = overwritten.get(load.args[0].storage)
        if store is not None and (store.how is not None or store.place != load.args[1] or store.partial):
            return None

    def forwarded(load: Term) -> Term | None:
        store = stored.get(load.args[0].storage)
        return None if store is None else cast(store.value, load.dtype)

    values = rewritten([s.value for s in second.stores], _axis, forwarded)
    stores = [*first.stores, *(replace(s, value=v) for s, v in zip(second.stores, values, strict=True))]
    origins = first.origin.split(", ") + second.origin.split(", ")
    reduced = [a or b for a, b in zip(first.reduced, second.reduced, strict=True)]
    both = Loop(", ".join(dict.fromkeys(origins)), first.space, reduced, stores)
    if len(stores) > STORES or len(both.loads) > LOADS:
        return None
    return both


def _axis(i: int) -> Linear:
    return axis(i)


def _contracted(kernels: list[Kernel]) -> list[Kernel]:
    """Without stores that nobody loads, since everyone who did has joined the nest."""
    read = {b for k in kernels for b in k.reads}
    done: list[Kernel] = []
    for k in kernels:
        if isinstance(k, Loop):
            stores = [s for s in k.stores if s.buffer in read or s.buffer.home is not None]
            if not stores:
                continue
            k = replace(k, stores=stores)
        done.append(k)
    return done


def arena(kernels: list[Kernel], align: int) -> tuple[dict[Buffer, int], int]:
    """A place in one block of memory, in bytes, for every temporary; those that are never needed at once may share it. And its size."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for i, k in enumerate(kernels):
        for b in k.reads | k.writes:
            if b.kind == "temporary" and b.home is None:
                first.setdefault(b, i)
                last[b] = i
    begun: dict[int, list[Buffer]] = defaultdict(list)
    for b, i in first.items():
        begun[i].append(b)
    places: dict[Buffer, int] = {}
    living: list[tuple[int, int, Buffer]] = []  # (begin, end, whose)
    size = 0
    for i in range(len(kernels)):
        living = [(begin, end, b) for begin, end, b in living if last[b] >= i]
        for b in sorted(begun[i], key=lambda b: -b.extent):
            need = -(-b.extent * b.dtype.itemsize // align) * align
            at = 0
            for begin, end, _ in sorted(living, key=lambda s: s[0]):
                if begin - at >= need:
                    break
                at = max(at, end)
            places[b] = at
            living.append((at, at + need, b))
            size = max(size, at + need)
    return places, size
