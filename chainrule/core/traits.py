"""What is particular about a registered thing beside its options: a frozen record a kind, so that a misspelt trait fails at import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Reads = Literal["batch", "features", "everything"]
Range = Literal["standard", "unit", "standardised"]
RowKind = Literal["pictures", "numbers", "switches", "categories"]
Target = Literal["any", "class", "sign", "real", "steps", "labels", "pairs", "maps", "boxes", "none"]
PLACED = ("maps", "boxes", "pairs")  # targets that have places in a picture, or in a square of steps by steps


@dataclass(frozen=True)
class NoTraits:
    """Nothing particular."""


@dataclass(frozen=True)
class NetTraits:
    """What a family goes with where the user leaves it open, and what it is.

    `rule`, `loss`, `init` are names, `unit_loss` that of the loss where a net is to give back rows that lie in [0, 1]; `bounded` says that
    outputs lie in [-1, 1]; `kind` is a word where the net is no plain one, as `memory` for one that answers with what it has stored;
    `tasks` are the tasks it is made for, the first being its default. `whole` are options that it has, where the user gives no others, for
    tasks that ask one answer of a sequence and not one of every step. A net of `sequences` reads a text, or the series of a table, in
    windows; one of `sentences` gets a column of them word by word. A `forecaster` reads so few numbers of a series as it says, and may
    have nothing to learn. `units_of_rows` is its option that is the number of training rows where the user leaves it open. `stages` is the
    rule by which its own parts are learned before the whole. `for_task` are options that go with a task: whoever gives them asks it, and
    they are taken where it is asked. A net of `pictures` reads them as they are, by rules of flat features too.

    `suits(kind, groups, options)` are options that follow from what rows are (`switches` are yes or no) and from how many inputs stand for
    each of their columns, beside those that the user gives; `range(options)` is the range of its inputs, where it is not for the rule to
    say, and `optimizer(options)` the usual one, None for that of the rule.
    """

    rule: str | None = None
    loss: str | None = None
    unit_loss: str | None = None
    init: str | None = None
    bounded: bool = False
    kind: Literal["fixed", "fixed features", "energy", "generative", "memory", "forecaster"] | None = None
    tasks: tuple[str, ...] = ()
    whole: Mapping[str, Any] = field(default_factory=dict)
    sequences: bool = False
    sentences: bool = False
    pictures: bool = False
    stages: str | None = None
    for_task: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    units_of_rows: str | None = None
    suits: Callable[[RowKind, tuple[int, ...], Mapping[str, Any]], Mapping[str, Any]] | None = None
    range: Callable[[Mapping[str, Any]], Range] | None = None
    optimizer: Callable[[Mapping[str, Any]], str | None] | None = None


@dataclass(frozen=True)
class RuleTraits:
    """What a rule reads and what it goes with.

    `reads` says whether a step wants a batch, a batch of flat features, or everything; `target` which targets; `tolerance` how far a plan
    may differ from eager execution. `whole` rules bring `init` and `step` themselves. `additive=(options)` says that a direction is the
    mean of its samples' unless one of these options is given; `penalty(**options)` is what its direction goes down beside the loss, and
    `objective(criterion, **options)` what a solver lowers in its place. `range` asks for inputs in [0, 1] (`unit`), of mean 0 and
    deviation 1 (`standardised`), or so scaled but for pixels, which lie in [0, 1] (`standard`). `nets` are the families it can train, the
    first being its default; `optimizer`, `epochs`, `batch` and `loss` are its defaults; `several` is the target kind
    for more than two classes; `best="last"` keeps the last weights, where the loss says nothing of progress. A rule that `carries` keeps
    state from batch to batch, and reads sequences in lanes; one of `steps` reads targets of every step, criterion or none. `parts` has the
    default optimizers of those of its parts whose default is not `optimizer`; `constraint` is what its parameters keep to where the user
    names nothing. A rule with `own_costs` takes no loss, though it may read targets.
    """

    reads: Reads = "batch"
    target: Target = "any"
    tolerance: float = 1e-3
    whole: bool = False
    additive: tuple[str, ...] | None = None
    penalty: Callable[..., Any] | None = None
    objective: Callable[..., Any] | None = None
    range: Range = "standard"
    nets: tuple[str, ...] = ()
    optimizer: str = "adam"
    epochs: int | None = None
    batch: int | None = None
    loss: str | None = None
    several: Target | None = None
    best: Literal["best", "last"] = "best"
    carries: bool = False
    steps: bool = False
    parts: Mapping[str, str] = field(default_factory=dict)
    constraint: str | None = None
    own_costs: bool = False


@dataclass(frozen=True)
class TaskTraits:
    """Which data a task is for, and what goes with it.

    `targets` are the kinds of targets that it answers; `usual(source)` says whether it is what such data is usually asked. Tasks of `steps`
    answer every step of a sequence, by nets that are made for them; `targetless` ones learn from the inputs alone; one that `foretells`
    asks what comes next, which a net must not see. `net` and `rule` are taken where the user names none, and the net `sequences` where
    rows are sequences of symbols. Its loss compares targets of the kind `compares`, where that is not the kind that they are.
    """

    targets: tuple[Target, ...] = ()
    usual: Callable[[Any], bool] | None = None
    steps: bool = False
    targetless: bool = False
    foretells: bool = False
    net: str | None = None
    rule: str | None = None
    sequences: str | None = None
    compares: Literal["class", "real"] | None = None

    @property
    def rowwise(self) -> bool:
        """Whether each row is answered by one class or by numbers, as models of tables answer."""
        return not (self.steps or self.targetless or set(PLACED) & set(self.targets))


@dataclass(frozen=True)
class MeasureTraits:
    """Which `task` is measured, which way is `better`, and in which `unit`: `share` is printed in per cent.

    Without a `task` it is no function of each case: tasks compute it together with others, and its name is registered for what it is.
    """

    task: str = ""
    better: Literal["higher", "lower"] = "lower"
    unit: str = ""


@dataclass(frozen=True)
class PictureTraits:
    """Which `task` is drawn, and `when`: with a test, in a report."""

    task: str = ""
    when: tuple[Literal["test", "report"], ...] = ("test",)


@dataclass(frozen=True)
class OptimizerTraits:
    """`reads="everything"`: each step wants the whole training part; `compares`: it compares one step's loss with the last one's."""

    reads: Literal["batch", "everything"] = "batch"
    compares: bool = False


@dataclass(frozen=True)
class InitTraits:
    """`reads_data`: initial weights are measured on training rows."""

    reads_data: bool = False


@dataclass(frozen=True)
class AugmentTraits:
    """`pictures`: it alters pictures only; `moves` says that pixels move to `whole` places or to places `between` them.

    `views(shape, **options)` are its moves counted out, of which answers may be the mean. What `mixes` makes one sample of two.
    """

    pictures: bool = False
    moves: Literal["whole", "between"] | None = None
    views: Callable[..., Any] | None = None
    mixes: bool = False


@dataclass(frozen=True)
class LookTraits:
    """`every`: it is taken at one of so many looks of a run, not at the first where these are several."""

    every: int = 1


@dataclass(frozen=True)
class DatasetTraits:
    """`maximum` is the largest value a pixel can have; `valid_rows` how many of the official training rows usually validate; rows that
    are `sequential` are sequences of steps (t, d), for nets with memory.
    """

    maximum: int | None = None
    valid_rows: int | None = None
    sequential: bool = False


@dataclass(frozen=True)
class DiagnosisTraits:
    """What is particular about a diagnosis: its `code`, the `cause` of the symptom in a sentence, the `remedy` in words with its options.

    `reads` are names of the events after which it is asked. It comes in the causal order `after` those that it names; `variants` are
    further places that its findings may take, with what each comes after. Where one of `unless` was made, it is not asked any more, nor,
    where it is made `once`, after it was. A `note` is advice and never a cause; an `outcome` is known by what training has come to, and
    ends none.
    """

    code: str = ""
    cause: str = ""
    remedy: str = ""
    reads: tuple[str, ...] = ("Looked",)
    after: tuple[str, ...] = ()
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unless: tuple[str, ...] = ()
    once: bool = True
    note: bool = False
    outcome: bool = False
