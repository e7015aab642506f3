"""What a loop computes, as hash-consed terms: linear index arithmetic, loads from buffers and operations on scalars.

Equal terms are the same object (Ershov, 1958, https://doi.org/10.1145/368892.368907), so that common subexpressions are found by identity.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch

REAL = (torch.float32, torch.float64)
INTEGER = (torch.int64, torch.int32, torch.uint8)


class Buffer:
    """Memory of one tensor: whose (`kind`: learner, batch, draw, constant, report or temporary) and which of them (`slot`).

    `home`, where set, is the learner's or report's buffer whose memory holds this one's values.
    """

    def __init__(self, kind: str, dtype: torch.dtype, shape: Sequence[int], strides: Sequence[int], slot: int = -1):
        self.kind, self.dtype, self.shape, self.strides, self.slot = kind, dtype, tuple(shape), tuple(strides), slot
        self.home: Buffer | None = None

    @property
    def storage(self) -> Buffer:
        return self.home or self

    @property
    def extent(self) -> int:
        """Elements from the first to behind the last."""
        return 0 if 0 in self.shape else 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))


class Linear:
    """A constant and multiples of axes (integers, numbered as the loop's) or of whole-number terms: where something lies."""

    __slots__ = ("_hash", "const", "terms")

    def __init__(self, const: int = 0, terms: Sequence[tuple[Any, int]] = ()):
        self.const, self.terms = const, tuple(terms)
        self._hash = hash((const, self.terms))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Linear) and self.const == other.const and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __add__(self, other: Linear | int) -> Linear:
        if isinstance(other, int):
            return Linear(self.const + other, self.terms)
        sums = dict(self.terms)
        for variable, factor in other.terms:
            sums[variable] = sums.get(variable, 0) + factor
        return _sorted(self.const + other.const, sums)

    def __mul__(self, factor: int) -> Linear:
        return Linear(self.const * factor, [(v, f * factor) for v, f in self.terms]) if factor else Linear()

    def at(self, where: Callable[[Any], Linear]) -> Linear:
        """The same with every variable replaced."""
        total = Linear(self.const)
        for variable, factor in self.terms:
            total = total + where(variable) * factor
        return total

    def factor(self, axis: int) -> int:
        return next((f for v, f in self.terms if isinstance(v, int) and v == axis), 0)

    @property
    def plain(self) -> bool:
        """Whether it is made of axes alone."""
        return all(isinstance(v, int) for v, _ in self.terms)


def _sorted(const: int, sums: dict[Any, int]) -> Linear:
    terms = [(v, f) for v, f in sums.items() if f]
    axes = sorted((t for t in terms if isinstance(t[0], int)), key=lambda t: t[0])
    return Linear(const, axes + [t for t in terms if not isinstance(t[0], int)])


def axis(i: int) -> Linear:
    return Linear(0, ((i, 1),))


class Term:
    """One scalar operation: `load` (buffer, Linear), `const` (number), `index` (Linear), `cast`, or a name from scalars.py."""

    __slots__ = ("__weakref__", "args", "cost", "dtype", "op")
    _made: weakref.WeakValueDictionary[Any, Term] = weakref.WeakValueDictionary()

    op: str
    dtype: torch.dtype
    args: tuple[Any, ...]
    cost: int

    @classmethod
    def of(cls, op: str, dtype: torch.dtype, *args: Any) -> Term:
        key = (op, dtype, *((repr(a) if isinstance(a, float) else a) for a in args))
        term = cls._made.get(key)
        if term is None:
            term = cls()
            term.op, term.dtype, term.args = op, dtype, args
            term.cost = sum(a.cost for a in args if isinstance(a, Term)) + (op not in FREE) + 9 * (op in DEAR)
            cls._made[key] = term
        return term


FREE = {"load", "const", "index", "cast"}
DEAR = {"exp", "expm1", "log", "log1p", "log2", "log10", "tanh", "sigmoid", "pow", "erf", "sin", "cos", "tan", "asin", "acos", "atan",
        "sinh", "cosh", "asinh", "acosh", "atanh", "atan2", "fmod", "remainder"}


def const(value: float | int | bool, dtype: torch.dtype) -> Term:
    if dtype in REAL:
        return Term.of("const", dtype, float(torch.tensor(float(value), dtype=dtype)))
    if dtype == torch.bool:
        return Term.of("const", dtype, bool(value))
    info, whole = torch.iinfo(dtype), int(value)
    return Term.of("const", dtype, (whole - info.min) % 2**info.bits + info.min)  # as the tensor would hold it


def cast(x: Term, dtype: torch.dtype) -> Term:
    if x.dtype == dtype:
        return x
    if x.op == "const" and not (isinstance(x.args[0], float) and not math.isfinite(x.args[0]) and dtype not in REAL):
        return const(x.args[0], dtype)
    return Term.of("cast", dtype, x)


def walk(terms: Sequence[Term]) -> list[Term]:
    """All terms these are made of, each once, arguments first."""
    order: dict[Term, None] = {}
    stack: list[tuple[Term, bool]] = [(t, False) for t in reversed(terms)]
    while stack:
        term, ready = stack.pop()
        if term in order:
            continue
        if ready:
            order[term] = None
        else:
            stack.append((term, True))
            stack.extend((a, False) for a in parts(term))
    return list(order)


def parts(term: Term) -> list[Term]:
    """The terms a term is made of: its arguments, and what its index is computed from."""
    terms: list[Term] = []
    for a in term.args:
        if isinstance(a, Term):
            terms.append(a)
        elif isinstance(a, Linear):
            terms += [v for v, _ in a.terms if isinstance(v, Term)]
    return terms


def rewritten(terms: Sequence[Term], where: Callable[[int], Linear], loads: Callable[[Term], Term | None] = lambda _: None) -> list[Term]:
    """The same terms with every axis replaced, and those loads for which `loads` has something else."""
    done: dict[Term, Term] = {}

    def moved(lin: Linear) -> Linear:
        return lin.at(lambda v: where(v) if isinstance(v, int) else Linear(0, ((done[v], 1),)))

    for term in walk(terms):
        args = [done[a] if isinstance(a, Term) else moved(a) if isinstance(a, Linear) else a for a in term.args]
        anew = Term.of(term.op, term.dtype, *args)
        other = loads(anew) if term.op == "load" else None
        done[term] = other if other is not None else anew
    return [done[t] for t in terms]
