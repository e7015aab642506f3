"""What a net that is a density may be able to do: protocols, asked for by isinstance, each one method or two."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class HasFreeEnergy(Protocol):
    """An energy-based net: minus the log likelihood of a sample (n,), up to one constant."""

    def free_energy(self, v: Tensor) -> Tensor: ...


@runtime_checkable
class HasLogProb(Protocol):
    """A density: the log likelihood (n,) of samples (n, ...), in nats."""

    def log_prob(self, x: Tensor) -> Tensor: ...


class Estimate(NamedTuple):
    """A number and the ends of its interval of 95 %, which are itself where it is exact."""

    value: float
    low: float
    high: float


@runtime_checkable
class HasPartition(HasFreeEnergy, Protocol):
    """An energy-based net whose likelihoods are known where its `partition` function is: exactly, by annealing from units that are
    independent, or not at all.

    `finite` says that visible units have finitely many states, from 0 to 1, so that numbers between are probabilities; `caveat` is what
    else there is to say of its likelihoods, in a sentence.
    """

    @property
    def partition(self) -> Literal["exact", "annealed", "none"]: ...

    @property
    def finite(self) -> bool: ...

    @property
    def caveat(self) -> str: ...

    def log_partition(self) -> Tensor: ...

    def base(self, mean: Tensor) -> tuple[Tensor, Tensor]: ...

    def estimate_log_partition(self, mean: Tensor) -> Estimate: ...


@runtime_checkable
class AnnealsBackward(HasPartition, Protocol):
    """An energy-based net that can be annealed from rows back to independent units: a bound from below on log likelihoods (n,)."""

    def reverse_log_likelihood(self, v: Tensor, mean: Tensor) -> Tensor: ...


@runtime_checkable
class HasPseudoLikelihood(Protocol):
    """A machine of which each unit given all others is known, where these are `binary`: the log (n,) of visible states (n, visible)."""

    @property
    def binary(self) -> bool: ...

    def pseudo_likelihood(self, v: Tensor) -> Tensor: ...


@runtime_checkable
class HasVisibleUnits(Protocol):
    """A machine of visible units, which are numbers of any size where they are `unbounded`, and on with some probability elsewhere."""

    @property
    def unbounded(self) -> bool: ...


@runtime_checkable
class HasChain(Protocol):
    """A net that is drawn from by a Markov chain: `count` samples, each after so many steps of its own."""

    def gibbs(self, v: Tensor) -> Tensor: ...

    def sample(self, count: int, *, steps: int = ...) -> Tensor: ...


@runtime_checkable
class Sweeps(Protocol):
    """A machine whose units act on one another: states (n, units) that begin at rows (n, visible); after each unit from the `first` on was
    drawn given all others; and after those have settled in a mean field.
    """

    def begun(self, v: Tensor) -> Tensor: ...

    def swept(self, s: Tensor, first: int) -> Tensor: ...

    def settled(self, s: Tensor, first: int) -> Tensor: ...


class Expected(NamedTuple):
    """What a chain of hidden states makes of sequences: log likelihoods (n,), the probability of each state (n, t, states), zero where no
    step exists, and how often each state (columns) follows each (rows), (states, states), over all sequences together.
    """

    log_likelihood: Tensor
    states: Tensor
    transitions: Tensor


class Smoothing(NamedTuple):
    """Hidden states given whole sequences: log likelihoods (n,), means (n, t, s), covariances (n, t, s, s) and, from the second step on,
    covariances with the states before, (n, t - 1, s, s).
    """

    log_likelihood: Tensor
    means: Tensor
    covariances: Tensor
    neighbours: Tensor


@runtime_checkable
class Smooths(Protocol):
    """A net of hidden states that are numbers: what is known of them given sequences (n, t, d)."""

    def smoothed(self, x: Tensor) -> Smoothing: ...


@runtime_checkable
class HasSteps(Protocol):
    """A density of sequences (n, t, d) that may end early: the steps (n, t) that exist."""

    def present(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class HasPath(Protocol):
    """Hidden states: the likeliest ones (n, t) behind sequences (n, t, d), -1 where no step exists."""

    def path(self, x: Tensor) -> Tensor: ...
