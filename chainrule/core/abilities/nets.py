"""What a net may be able to do beside answering: protocols, asked for by isinstance, each one method or two."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class HasJoint(Protocol):
    """A mixture of experts: log g_i p_i(y | x), (n, experts)."""

    def joint(self, x: Tensor, y: Tensor) -> Tensor: ...


@runtime_checkable
class HasMembers(Protocol):
    """Several nets in one that learn apart and answer by their mean: what each says, (n, members, outputs)."""

    def members(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class HasRegimes(Protocol):
    """A gate: which expert is asked, probabilities (n, experts)."""

    def regimes(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class HasFeatures(Protocol):
    """Fixed features below the one layer that learns: (n, ...) -> (n, features), or (n, t, features) where it answers at every step."""

    def features(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class HasRidge(Protocol):
    """A net whose one layer that learns is to be solved for: what its squared weights cost beside the summed squared error."""

    @property
    def ridge(self) -> float: ...


@runtime_checkable
class Samples(Protocol):
    """A net that generates: `count` samples."""

    def sample(self, count: int) -> Tensor: ...


@runtime_checkable
class PlaysGame(Protocol):
    """A generator and a discriminator made for one form of their game: samples of noise and, maybe, classes; and scores (n, 1)."""

    form: str
    labels: int

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor: ...

    def judge(self, x: Tensor, y: Tensor | None = None) -> Tensor: ...


@runtime_checkable
class HasCodes(Protocol):
    """A net that makes a code of what it reads: (n, ...) -> (n, codes)."""

    def encode(self, x: Tensor) -> Tensor: ...


class OwnStage(NamedTuple):
    """A part of a net that is learned before the whole: the path of its module, what it is called, and whether it has units for the
    classes, which it then reads behind its inputs.
    """

    part: str
    name: str
    labelled: bool = False


@runtime_checkable
class HasStages(Protocol):
    """A net whose parts are learned one after another, the lowest first, each by a rule without targets, before the whole is trained.

    `stage_inputs(x, k)` is what part number k reads of inputs (n, ...), (n, d) or (n, c, h, w), through the parts below it;
    `after_stages()` makes the whole of the parts that have been learned, in place.
    """

    def own_stages(self) -> list[OwnStage]: ...

    def stage_inputs(self, x: Tensor, stage: int) -> Tensor: ...

    def after_stages(self) -> None: ...


@runtime_checkable
class SamplesGiven(Protocol):
    """A net that generates rows of a class: a sample for each of these class numbers (n,)."""

    def sample_given(self, labels: Tensor) -> Tensor: ...


@runtime_checkable
class WakesAndSleeps(Protocol):
    """A directed net under an associative memory, each layer with weights that recognise, upward, and weights that generate, downward.

    States are those of the layers from the data upward, (n, d) and on; the last are what the memory reads, units for the classes behind.
    """

    def recognise(self, x: Tensor, y: Tensor | None) -> list[Tensor]:
        """States drawn by the recognition weights for inputs (n, ...) and their classes; the lowest are the data as they are."""
        ...

    def generate(self, memory: Tensor) -> list[Tensor]:
        """States drawn by the generative weights under visible states (n, units) of the memory, which are the last."""
        ...

    def generative_cost(self, states: list[Tensor]) -> Tensor:
        """Minus the log probability (n,) of each layer below the memory given the one above it, summed."""
        ...

    def recognition_cost(self, states: list[Tensor]) -> Tensor:
        """Minus the log probability (n,) of each layer given the one below it, summed; of the memory's without units for the classes."""
        ...

    def memory_energy(self, v: Tensor) -> Tensor:
        """The free energy (n,) of visible states (n, units) of the memory."""
        ...

    def memory_round(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Minus the log probability (n,) of visible states given hidden ones drawn for them, and visible states drawn for these."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """A net whose codes (n, codes) can be turned back into what it reads, (n, inputs), before the link of its loss."""

    def encode(self, x: Tensor) -> Tensor: ...

    def decode(self, code: Tensor) -> Tensor: ...


@runtime_checkable
class HasPrototypes(Protocol):
    """A net of units that stand for the rows nearest to them: the two nearest units (n, 2), nearest first, and their distances (n, 2)."""

    weight: Any  # (k, d)

    def nearest(self, x: Tensor) -> tuple[Tensor, Tensor]: ...


@runtime_checkable
class HasGrid(Protocol):
    """A net whose units lie on a grid, numbered row by row: its rows and columns."""

    @property
    def grid(self) -> tuple[int, int]: ...


@runtime_checkable
class Remembers(Protocol):
    """An associative memory: how many patterns it stores, and what states (n, d) settle in."""

    count: int

    def settle(self, state: Tensor) -> Tensor: ...


@runtime_checkable
class Variational(Protocol):
    """An encoder of distributions: mean and log variance (n, code) of a Gaussian, what is decoded of a code (n, code), and how far numbers
    deviate from that, (inputs,) or None for one.

    `beta` is how much the divergence from the prior counts; so many `samples` of each code bound the likelihood of its row.
    """

    beta: float
    samples: int

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]: ...

    def decode(self, code: Tensor) -> Tensor: ...

    def deviations(self) -> Tensor | None: ...


@runtime_checkable
class HasCosts(Protocol):
    """A net whose codes cost something beside what is lost of its inputs (n, ...): its outputs, and these costs (n,) by name."""

    def with_costs(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]: ...


@runtime_checkable
class ReadsBatch(Protocol):
    """A net that knows whether what it makes of a row in training hangs on the other rows of the batch."""

    batchwise: bool


class Competition(NamedTuple):
    """What a layer of competing cells sees and answers, and the names of its weights.

    `answers` (n, planes, h, w) of cells that share weights in a plane; `patches` (n, d, h * w) what each place reads, `inhibition`
    (n, h * w) the strength of all that is there, `weighting` (d,) how much each of its numbers counts. `excitatory` names weights (planes,
    ...) of d numbers each, `inhibitory` ones (planes,).
    """

    answers: Tensor
    patches: Tensor
    inhibition: Tensor
    weighting: Tensor
    excitatory: str
    inhibitory: str


@runtime_checkable
class Competes(Protocol):
    """A net whose cells compete for what they see: its competing layers on inputs (n, ...), the lowest first."""

    def competitions(self, x: Tensor) -> list[Competition]: ...


class Head(NamedTuple):
    """What a net gives beside its outputs in training, and how much its cost counts.

    `outputs` are compared with the batch's targets by its loss, or with `target` by the squared error summed over all but the samples.
    """

    weight: float
    outputs: Tensor
    target: Tensor | None = None


@runtime_checkable
class HasHeads(Protocol):
    """A net with further heads, which are trained and not used: its outputs for inputs (n, ...) and targets, and the heads by name."""

    def with_heads(self, x: Tensor, y: Any) -> tuple[Tensor, dict[str, Head]]: ...
