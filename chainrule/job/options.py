"""What a user may set of a training: every name, type, default, help text and range, once. Imports nothing slow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chainrule.core.errors import InputError
from chainrule.core.looking import steps_between
from chainrule.core.options import MOST_THREADS, check, option, read, same
from chainrule.data.fold import parse_fold
from chainrule.data.reading import Reading

CHOSEN = "Leave it out to have one chosen."
LAYERS, NONE = "layers", "none"          # what --stages may be beside the name of a rule
SEED: dict[str, Any] = {"least": 0, "most": 2**63 - 1, "bounds": "must be a whole number of at least 0 and below 2**63"}


@dataclass(frozen=True)
class Options:
    """The settings of a run, as `run.json` keeps them. None means: choose from the kind and size of the data."""

    net: str | None = option(None, "A net, e.g. mlp:hidden=300x100 (chainrule list nets).", example="mlp:hidden=300x100")
    rule: str | None = option(None, "A learning rule (chainrule list rules).", example="backprop")
    task: str | None = option(None, "What is asked of the net, e.g. classification; chosen from data and net where left out.",
                              example="classification")
    loss: str | None = option(None, "squared, cross-entropy, ... (chainrule list losses).", example="squared")
    optimizer: str | None = option(None, "E.g. sgd:rate=0.1,momentum=0.9.", example="sgd:rate=0.1,momentum=0.9")
    schedule: str | None = option(None, "How the rate changes, e.g. cosine.", example="cosine")
    from_: str | None = option(None, "Start from the weights of a trained net: a run folder, or a .safetensors file of a public net.",
                               metavar="RUN", example="runs/mnist-lenet-1")
    freeze: str | None = option(None, "Layers of it that stay as they are, joined by +, or all; chainrule describe lists layers.",
                                metavar="LAYERS", example="conv1+conv2")
    scale: str | None = option(None, "How inputs are scaled: unit (from 0 to 1), standard (mean 0 and deviation 1, pixels from 0 to 1) or "
                                       "standardised (pixels too). Left out, as net and rule read.",
                                 words=("unit", "standard", "standardised"), example="unit")
    init: str | None = option(None, "Initial weights, e.g. he or normal:0.01.", example="normal:0.01")
    epochs: int | None = option(None, "Passes over the training part.", least=1, advice=CHOSEN)
    steps: int | None = option(None, "Steps at most.", least=1, advice=CHOSEN)
    seconds: float | None = option(None, "Seconds at most.", above=0)
    batch: int | None = option(None, "Samples a step.", least=1, advice=CHOSEN)
    buckets: int | None = option(None, "Batches of sequences of like length, by so many classes of lengths, each cut to its longest.",
                                 least=2, advice="Leave it out for batches of all lengths.")
    target: str | int | None = option(None, "The column to predict, or several of numbers with commas between them.", example="species")
    split: str | None = option(None, "E.g. train=.7,valid=.15,test=.15.", example="train=.7,valid=.15,test=.15")
    split_seed: int | None = option(None, "What the division follows from; --seed where left out.", **SEED)
    group: str | int | None = option(None, "A column whose groups are never divided between parts.", example="patient")
    time: str | int | None = option(None, "A column to split by: train on the past, test on the future.", example="date")
    weight: str | int | None = option(None, "A column that says how much each row counts in training.", example="weight")
    columns: str | None = same(Reading, "columns")
    text: str | None = same(Reading, "text")
    missing: str | None = same(Reading, "missing")
    decimal: str | None = same(Reading, "decimal")
    separator: str | None = same(Reading, "separator")
    encoding: str | None = same(Reading, "encoding")
    dates: str | None = same(Reading, "dates")
    header: str | None = same(Reading, "header")
    resize: str | None = same(Reading, "resize")
    tokens: str | None = same(Reading, "tokens")
    skip_bad: bool = same(Reading, "skip_bad")
    horizon: int | None = same(Reading, "horizon")
    lags: int | None = same(Reading, "lags")
    fill: str | None = same(Reading, "fill")
    drop_unlabelled: bool = same(Reading, "drop_unlabelled")
    classes: str | None = option(None, "Keep these classes only, e.g. 3,8.", example="3,8")
    fold: str | None = option(None, "Validate on one of k parts of what is not test, e.g. 1/5.", example="1/5")
    folds: int | None = option(None, "Cross-validate an ensemble: each member trains on all but one of so many parts and validates that "
                                     "one.", least=2, advice="Leave it out to hold out one validation part.")
    bootstrap: int | None = option(None, "Train on rows drawn with replacement, sample number N.", least=1, advice=CHOSEN)
    class_weights: str | None = option(None, "How much each class counts in training: balanced, or e.g. yes=5,no=1.", example="yes=5,no=1")
    constraint: str | None = option(None, "What the weights must keep to, e.g. max-norm:3 (chainrule list constraints).",
                                    example="max-norm:3")
    stages: str | None = option(None, "How layers are learned one after another before the whole: by a rule without targets, e.g. "
                                      "divergence; layers, each under an output layer of its own; none.", example="divergence")
    stage_epochs: int | None = option(None, "Epochs of each stage before the whole; without them --epochs are divided evenly.", least=1,
                                      advice=CHOSEN)
    stage_optimizer: str | None = option(None, "The optimizer of these stages; their rule's own where left out.",
                                         example="sgd:rate=0.05,momentum=0.9")
    doctor: str = option("report", "What follows where something is wrong: report says so, stop ends training, mend trains again with the "
                                   "remedy.", words=("report", "stop", "mend"))
    snapshots: int | None = option(None, "Begin the schedule anew so many times and keep the weights of each cycle.")
    augment: str | None = option(None, "Alter batches at random, e.g. shift:2+flip (chainrule list augments).", example="shift:2+flip")
    views: str | None = option(None, "Answer by the mean over views of each row: ten-crop, crop:4+flip, or a number of draws of --augment.",
                               example="ten-crop")
    seed: int = option(0, "What everything random follows from.", **SEED)
    patience: int | None = option(None, "Stop after so many epochs without improvement.", least=1, advice=CHOSEN)
    plan: str = option("auto", "auto, eager, compiled, fused, with +channels-last, +bf16, +bf16x3.")
    precision: str = option("auto", "auto, fp32 or bf16.")
    device: str = option("auto", "auto, cpu, cuda or mps.")
    threads: int | None = option(None, "Processor threads; measured where left out.", least=1, most=MOST_THREADS, advice=CHOSEN)
    save_every: float | None = option(None, "Seconds between checkpoints.", least=0)
    look: str | None = option(None, "How often steps are looked at: every=N, or off; where left out as often as costs 2 % of the time, or "
                              "half a second in all.", example="every=100")

    def checked(self) -> Options:
        """Itself, once every number is in its range. Raises InputError naming the option."""
        check(self)
        self._check_snapshots()
        steps_between(self.look)
        if self.freeze is not None and self.from_ is None:
            raise InputError(f"--freeze {self.freeze} fixes layers of a trained net, and none is started from. Name one with --from, or "
                             "leave --freeze out.")
        _ = self.reading
        if self.fold is not None:
            parse_fold(self.fold)
        return self

    @property
    def reading(self) -> Reading:
        """How a table is to be read. Raises InputError for a value that is none of its kind."""
        return Reading(**{one.name: getattr(self, one.name) for one in dataclasses.fields(Reading)})

    def _check_snapshots(self) -> None:
        if self.snapshots is None:
            return
        if self.snapshots < 2:
            raise InputError(f"--snapshots cuts training into at least 2 cycles; got {self.snapshots}. Leave it out to train in one.")
        for name in ("seconds", "patience", "stages"):
            if (self.by_stages if name == "stages" else getattr(self, name)) is not None:
                raise InputError(f"--snapshots cuts one training into cycles of equal length, which --{name} does not keep to. "
                                 "Leave one of them out, and say how long with --epochs or --steps.")
        if self.steps is not None and self.steps < self.snapshots:
            raise InputError(f"--snapshots {self.snapshots} needs a step for each; got --steps {self.steps}. Give more steps.")

    @property
    def by_stages(self) -> str | None:
        """How layers are learned one after another; None where all are learned at once."""
        return None if self.stages == NONE else self.stages

    @property
    def division(self) -> int:
        """The seed that divides the rows into parts."""
        return self.seed if self.split_seed is None else self.split_seed

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Options:
        """Raises InputError where a key is not an option of this version, or a value not of its type."""
        return read(cls, record)
