"""In which order kernels run, which of them share a nest, and where every buffer lies.

Fusion as in Kennedy & McKinley (1994), https://doi.org/10.1007/3-540-57659-2_18: two nests over the same space become one unless something
between them, or a place that is read elsewhere than it is written, forbids it.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import replace

from chainrule.engine.native.loops import Kernel, Loop, Product, Store, tidy
from chainrule.engine.native.terms import Buffer, Linear, Term, axis, cast, rewritten
from chainrule.engine.native.views import View

WINDOW = 64         # how many kernels back a partner is sought
STORES, LOADS = 12, 24   # of one nest


def arranged(kernels: list[Kernel], finals: list[tuple[Buffer, Buffer]]) -> list[Kernel]:
    """The kernels in an order in which new values overwrite old ones only when nobody reads those any more; fused where possible."""
    kernels = [tidy(k) if isinstance(k, Loop) else k for k in kernels]
    copies: list[Kernel] = []
    for home, buffer in finals:
        if not _settled_in(kernels, home, buffer):
            index = [axis(i) for i in range(len(home.shape))]
            final = Buffer("temporary", home.dtype, home.shape, home.strides)
            final.home = home
            copies.append(tidy(Loop("result", list(home.shape), [False] * len(home.shape),
                                    [Store(final, View.of(home).where[0], View.of(buffer).load(index))])))
    kernels = [made for k in kernels for made in _begun(k)]
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


def _settled_in(kernels: list[Kernel], home: Buffer, buffer: Buffer) -> bool:
    """Let `buffer` live in the memory of `home` if every reader of the old value can come before the new one is written."""
    if buffer.home is not None:
        return False
    writers = [k for k in kernels if buffer in k.writes]
    readers = [k for k in kernels if home in k.reads]
    if any(home in k.writes for k in kernels) or (len(writers) > 1 and readers):
        return False
    for k in readers:
        if k in writers and not _reads_where_it_writes(k, home, buffer):
            return False
    after = _after(kernels, writers)
    if any(id(k) in after and not any(k is w for w in writers) for k in readers):
        return False
    buffer.home = home
    return True


def _reads_where_it_writes(kernel: Kernel, home: Buffer, buffer: Buffer) -> bool:
    if isinstance(kernel, Product):
        inputs = [m for m in (kernel.a, kernel.b, kernel.bias) if m is not None]
        return all(m[0] is not home for m in inputs)
    if not isinstance(kernel, Loop) or kernel.sequential:
        return False
    places = {s.place for s in kernel.stores if s.buffer is buffer and s.how is None}
    return len(places) == 1 and all(t.args[1] in places for t in kernel.loads if t.args[0] is home)


def _edges(kernels: list[Kernel]) -> dict[int, set[int]]:
    """Which kernels must follow which: readers the writers, writers of one buffer each other, those of a new value readers of the old."""
    edges: dict[int, set[int]] = defaultdict(set)
    writers: dict[Buffer, list[int]] = defaultdict(list)
    readers: dict[Buffer, list[int]] = defaultdict(list)
    for i, k in enumerate(kernels):
        for b in k.writes:
            for j in writers[b]:
                edges[j].add(i)
            writers[b].append(i)
        for b in k.reads:
            readers[b].append(i)
    for b, who in readers.items():
        for i in who:
            for j in writers[b]:
                if j != i and (j < i or b not in kernels[i].writes):
                    edges[j].add(i)
    for b, who in list(writers.items()):
        if b.home is not None:
            for i in readers[b.home]:
                for j in who:
                    if i != j:
                        edges[i].add(j)
    return edges


def _after(kernels: list[Kernel], start: list[Kernel]) -> set[int]:
    """The ids of all kernels that must come after any of `start`."""
    edges = _edges(kernels)
    stack = [i for i, k in enumerate(kernels) if any(k is s for s in start)]
    seen = set(stack)
    while stack:
        for j in edges[stack.pop()]:
            if j not in seen:
                seen.add(j)
                stack.append(j)
    return {id(kernels[i]) for i in seen}


def _sorted(kernels: list[Kernel]) -> list[Kernel]:
    edges = _edges(kernels)
    waits = [0] * len(kernels)
    for into in edges.values():
        for j in into:
            waits[j] += 1
    ready = [i for i, n in enumerate(waits) if not n]
    heapq.heapify(ready)
    order = []
    while ready:
        i = heapq.heappop(ready)
        order.append(kernels[i])
        for j in edges[i]:
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
            kept = [s for s in k.stores if s.buffer in read or s.buffer.home is not None]
            if not kept:
                continue
            k = replace(k, stores=kept)
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
    places: dict[Buffer, int] = {}
    living: list[tuple[int, int, Buffer]] = []  # (begin, end, whose)
    size = 0
    for i in range(len(kernels)):
        living = [(begin, end, b) for begin, end, b in living if last[b] >= i]
        for b in sorted((b for b in first if first[b] == i), key=lambda b: -b.extent):
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
