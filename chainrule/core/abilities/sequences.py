"""What a net of sequences may be able to do: protocols, asked for by isinstance, each one method or two."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class HasStates(Protocol):
    """A recurrent net whose hidden states (n, t, units) can be had, as structural damping needs them."""

    def states(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class Echoes(Protocol):
    """Fixed features that follow from a state: it before a sequence of `rows`, and features (n, t, f) of every step of sequences (n, t, d)
    with the state after them.
    """

    def initial(self, rows: int) -> Any: ...

    def echo(self, x: Tensor, state: Any) -> tuple[Tensor, Any]: ...


@runtime_checkable
class Recurrent(Protocol):
    """A net with memory: its state before a sequence of `rows`, and outputs (n, t, k) with the state after inputs (n, t, d).

    A state is a tree of tensors with the rows first.
    """

    def initial(self, rows: int) -> Any: ...

    def unroll(self, x: Tensor, state: Any) -> tuple[Tensor, Any]: ...


@runtime_checkable
class HasVectors(Protocol):
    """A net that reads symbols by a vector of each: (symbols, size)."""

    def vectors(self) -> Tensor: ...


@runtime_checkable
class Writes(Protocol):
    """A net that writes strings of what it reads, one symbol after another, each in the knowledge of those before.

    Symbols are numbers; the last one stands for the end of a string, and before its first symbol. `teach` scores (n, l + 1, symbols) every
    symbol of true strings y (n, l), filled up with -1, and the end behind them, each after the true ones before it. `begin` is the state
    that has read x, a tree of tensors with the rows first; `write` scores (n, symbols) what follows the symbols (n,), with the state then.
    """

    def teach(self, x: Tensor, y: Tensor) -> Tensor: ...

    def begin(self, x: Tensor) -> Any: ...

    def write(self, last: Tensor, state: Any) -> tuple[Tensor, Any]: ...


@runtime_checkable
class Attends(Protocol):
    """A net that writes and, where it `attends`, looks back at what it reads: the share (n, l + 1, t) that each step of x has in each
    symbol of strings y (n, l), and in the end behind them.
    """

    @property
    def attends(self) -> bool: ...

    def attend(self, x: Tensor, y: Tensor) -> Tensor: ...


@runtime_checkable
class ReadsAhead(Protocol):
    """A net of sequences that knows whether what it says of a step follows from later steps too."""

    @property
    def reads_ahead(self) -> bool: ...


@runtime_checkable
class Unrolls(Protocol):
    """A net that goes through sequences (n, t, ...) step by step, unless the kernels that it names do all steps at once."""

    @property
    def kernels(self) -> frozenset[str]: ...
