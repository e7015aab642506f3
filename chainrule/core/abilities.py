"""What a module, or a task, may be able to do beside the usual: protocols, asked for by isinstance, each one method or two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from chainrule.core.net import Net
from chainrule.core.sampling import Drawn, Request


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
class HasPseudoLikelihood(Protocol):
    """A machine of which each unit given all others is known, where these are `binary`: the log (n,) of visible states (n, visible)."""

    @property
    def binary(self) -> bool: ...

    def pseudo_likelihood(self, v: Tensor) -> Tensor: ...


@runtime_checkable
class HasChain(Protocol):
    """A net that is drawn from by a Markov chain: `count` samples, each after so many steps of its own."""

    def gibbs(self, v: Tensor) -> Tensor: ...

    def sample(self, count: int, *, steps: int = ...) -> Tensor: ...


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
class HasStates(Protocol):
    """A recurrent net whose hidden states (n, t, units) can be had, as structural damping needs them."""

    def states(self, x: Tensor) -> Tensor: ...


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
class Echoes(Protocol):
    """Fixed features that follow from a state: it before a sequence of `rows`, and features (n, t, f) of every step of sequences (n, t, d)
    with the state after them.
    """

    def initial(self, rows: int) -> Any: ...

    def echo(self, x: Tensor, state: Any) -> tuple[Tensor, Any]: ...


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
class HasBeam(Protocol):
    """A task whose answers are written symbol by symbol: of so many strings at once (`beam`) the likeliest is its answer."""

    beam: int


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


@runtime_checkable
class Draws(Protocol):
    """A task whose nets write on: samples of a net, which `runner` runs, whose outputs are answers by the link of `loss`.

    `constant` is what the constant answer is made of, None where there is none. Samples are recorded in training after the steps
    `drawn_at`, as `drawn_then` asks.
    """

    drawn_at: tuple[int, ...]
    drawn_then: Request

    def draw(self, runner: Any, request: Request, loss: Any, constant: Tensor | None) -> Drawn: ...


class Suspicion(NamedTuple):
    """What seems wrong with a training: the code of the diagnosis, the part of the net, what shows it, and what to do."""

    code: str
    layer: str
    evidence: str
    remedy: str


@runtime_checkable
class JudgesSamples(Protocol):
    """A task whose nets are judged by what they make: quick measures of samples beside a part, and what is wrong by all so far."""

    def quick_of_samples(self, runner: Any, part: Any) -> dict[str, float]: ...

    def suspicion(self, history: Sequence[Mapping[str, float]]) -> Suspicion | None: ...


@runtime_checkable
class Scores(Protocol):
    """A task that says how strange rows are, the higher the stranger (n,): by what a net, which `runner` runs, misses of them."""

    def strangeness(self, runner: Any, part: Any, loss: Any) -> Tensor: ...


@runtime_checkable
class Watches(Protocol):
    """A task that measures more of a net after each epoch than its rule reports: by name, of rows (n, ...) as the net reads them."""

    def watched_on(self, net: Net, x: Tensor) -> dict[str, float]: ...


@runtime_checkable
class Decides(Protocol):
    """A task whose answers are shares of classes, one of which is decided for: class numbers (n,)."""

    threshold: Any

    def decided(self, answer: Tensor) -> Tensor: ...


@runtime_checkable
class HasMaps(Protocol):
    """A task whose answers are maps: the class number of each pixel, uint8 (n, h, w)."""

    def maps(self, answer: Tensor) -> Tensor: ...


@runtime_checkable
class HasPlaces(Protocol):
    """A task whose columns tell places in a picture: the same in pixels of pictures of the `height` and `width` that are told beside."""

    def placed(self, columns: Mapping[str, Any]) -> dict[str, Any]: ...


@runtime_checkable
class Calibrates(Protocol):
    """A task whose answers have intervals, half as wide as `widths` (k,) says, which follow from its answers to the validation part."""

    widths: Any

    def calibrate(self, answer: Tensor, truth: Tensor) -> None: ...


@runtime_checkable
class Continues(Protocol):
    """A task whose answers go on from a series: the values (n, lags, k) that went before, of stored rows (n, ...), in the targets' units,
    and columns of answers with the stamps that go on from the `origin` that is told beside.
    """

    def history(self, x: Tensor) -> Tensor: ...

    def continued(self, columns: Mapping[str, Any]) -> dict[str, Any]: ...


@runtime_checkable
class HasPosteriors(Protocol):
    """A task that reads symbols off frames: how probable each symbol, and none, is at every frame of outputs (n, t, symbols + 1) for
    frames x (n, t, d); zero past the last frame.
    """

    def posteriors(self, outputs: Tensor, x: Tensor) -> Tensor: ...


@runtime_checkable
class Ranks(Protocol):
    """A task that says how good each answer is, higher is better (n,), so that the worst can be shown."""

    def grades(self, answer: Tensor, truth: Tensor) -> Tensor: ...


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
