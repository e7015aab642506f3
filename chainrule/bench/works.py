"""What is raced: one description a work, with its data, its net, how it is trained, for how long, and what ratio is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from chainrule.bench import models
from chainrule.core.errors import InputError, suggest
from chainrule.data.source import Source
from chainrule.job.build import build
from chainrule.job.job import Job
from chainrule.job.options import Options
from chainrule.job.own import Own
from chainrule.nets.layers.recurrent import Gated, Recurrence

Kind = Literal["train", "rbm", "predict", "members", "scaling"]
TORCH = ("torch eager", "torch + DataLoader", "skorch", "Lightning")
KERAS = ("Keras (jax)", "Keras (torch)")
VALIDATED = 2_000       # rows held out beside a part of a set, and what the loss reached is measured on
EVALUATED = 10_000
CONTEXT = 64
MEMBERS = 16
LEARNED = 3             # epochs


@dataclass(frozen=True)
class Work:
    """One race. `budget` epochs are the run our planner plans for; a repetition times `timed` of them after `skipped` others.

    With `whole` a repetition is the whole run, planning and compiling included, ours in a fresh process. What is predicted counts in
    blocks of a thousand rows instead of epochs. `variants` are forms of our own side, the first of which the peers are measured against.
    A peer whose repetition would take more than `longest` seconds is timed over less. `faster` and `eager` are the ratios asked for.
    """

    name: str
    title: str
    source: Callable[[int], Source]
    rows: int
    quick_rows: int
    options: dict[str, Any]
    module: Callable[[tuple[int, ...], int], nn.Module] | None
    sides: tuple[str, ...]
    kind: Kind = "train"
    adam: bool = False
    rate: float = 0.1
    momentum: float = 0.0
    batch: int = 10
    budget: int = 30
    timed: int = 2
    skipped: int = 1
    longest: float = 12.0
    whole: bool = False
    flat: bool = False
    shared: bool = False
    cuda: bool = False
    variants: tuple[str, ...] = ("",)
    faster: float | None = None
    eager: float | None = None
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def learned(self) -> int:
        """Epochs after which every side's loss is compared: as many for all, and not so many that a slow side never ends."""
        return 0 if self.kind == "predict" else min(LEARNED, self.budget)

    @property
    def squared(self) -> bool:
        return self.options.get("loss") == "squared"

    def shortened(self) -> Work:
        """A few seconds of the same, for tests."""
        return replace(self, rows=self.quick_rows, budget=2, timed=1, skipped=1)

    def job(self, source: Source, seed: int = 0) -> Job:
        """Our side of it; from the same seed the same rows and the same start."""
        optimizer = f"adam:rate={self.rate}" if self.adam else f"sgd:rate={self.rate},momentum={self.momentum}"
        options = Options(**self.options, optimizer=optimizer, batch=self.batch, epochs=self.budget, seed=seed,
                          device="cuda" if self.cuda else "cpu")
        if not self.shared:
            return build(source, options)
        assert self.module is not None
        torch.manual_seed(0)
        first = build(source, replace(options, net="softmax"))  # only to learn the shapes of the encoded data
        return build(source, options, Own(net=self.module(first.data.input_shape, first.data.outputs)))


class Setting:
    """A work set up in one process: its source, a job at its start, and the rows and the plain net that every side gets alike."""

    def __init__(self, work: Work, variant: str):
        self.work, self.variant = work, variant
        self.source = work.source(work.rows * (int(variant[:-1]) if work.kind == "scaling" else 1))
        self.job = work.job(self.source)

    def _ready(self, x: Tensor) -> Tensor:
        x = self.job.data.ready(x)
        return (x.flatten(1) if self.work.flat else x).contiguous()

    @cached_property
    def x(self) -> Tensor:
        """The training rows as a net reads them, resident: (n, ...)."""
        return self._ready(self.job.data.train.x)

    @property
    def y(self) -> Tensor:
        """Class numbers (n,) of the training rows."""
        assert self.job.data.train.y is not None
        targets: Tensor = self.job.data.train.y
        return targets

    @cached_property
    def eval_x(self) -> Tensor:
        """The rows (n, ...) on which the loss that a side reached is measured."""
        return self._ready(self.job.data.valid.x[:EVALUATED])

    @property
    def eval_y(self) -> Tensor:
        assert self.job.data.valid.y is not None
        targets: Tensor = self.job.data.valid.y[:EVALUATED]
        return targets

    @property
    def outputs(self) -> int:
        return self.job.data.outputs

    @cached_property
    def start(self) -> nn.Module:
        """The plain torch net with our starting weights; whoever trains it takes a copy."""
        assert self.work.module is not None
        module = self.work.module(tuple(self.eval_x.shape[1:]), self.outputs)
        alike(module, self.job.net.module)
        return module

    def batches(self, epoch: int) -> Iterator[Tensor]:
        """The places of the rows of each batch of an epoch, in the order in which our own side reads them."""
        yield from self.job.feed().order(epoch).cpu().split(self.work.batch)

    @property
    def machine(self) -> list[Tensor]:
        """The weights (hidden, visible) and the biases of a Boltzmann machine at its start."""
        return [self.job.net.params[name].detach().clone() for name in ("weight", "visible_bias", "hidden_bias")]


def alike(module: nn.Module, other: nn.Module) -> None:
    """Give `module` the weights of `other`, parameter by parameter. Raises InputError where their shapes differ."""
    ours, theirs = list(module.parameters()), in_torchs_order(other)
    if [p.shape for p in ours] != [p.shape for p in theirs]:
        raise InputError(f"the two nets of a race must have the same parameters; got {[tuple(p.shape) for p in ours]} and "
                         f"{[tuple(p.shape) for p in theirs]}. Mend bench/models.py.")
    with torch.no_grad():
        for p, q in zip(ours, theirs, strict=True):
            p.copy_(q)


def in_torchs_order(net: nn.Module) -> list[Tensor]:
    """The weights of a net as its twin in plain torch lists them: of recurrent layers without the start, and with a second bias."""
    weights: list[Tensor] = []
    for part in net.modules():
        if isinstance(part, Recurrence):
            weights += [part.reads.weight, part.recurs.weight, part.reads.bias, torch.zeros_like(part.reads.bias)]
        elif not isinstance(part, Gated):
            weights += part.parameters(recurse=False)
    return weights


def reached(work: Work, scores: np.ndarray, y: Tensor) -> tuple[float, float]:
    """Mean loss, and the share of right answers, of what a side says (n, k) of the evaluated rows; float64, one function for all.

    Cross-entropy reads probabilities; squared error is half the squared distance to the one-hot target.
    """
    outputs, classes = torch.from_numpy(np.array(scores, dtype=np.float64)), y.long()
    right = float((outputs.argmax(1) == classes).double().mean())
    if work.squared:
        wanted = torch.nn.functional.one_hot(classes, outputs.shape[1]).double()
        return float(0.5 * (outputs - wanted).square().sum(1).mean()), right
    return float(-outputs.gather(1, classes[:, None]).clamp_min(1e-12).log().mean()), right


def rebuilt(weight: np.ndarray, visible: np.ndarray, hidden: np.ndarray, x: Tensor) -> float:
    """The squared error, summed over the visible units, of a Boltzmann machine's mean reconstruction of rows x (n, visible)."""
    w, b, c = (torch.from_numpy(np.array(t, dtype=np.float64)) for t in (weight, visible, hidden))  # (hidden, visible), ...
    v = x.double()
    return float((torch.sigmoid(torch.sigmoid(v @ w.T + c) @ w + b) - v).square().sum(1).mean())


def digits(rows: int) -> Source:
    """MNIST; of fewer rows than its 50,000 a part; of fewer than 2,000 the embedded 8 x 8 digits, which need no file."""
    from chainrule.data.load import load

    if rows < VALIDATED:
        small = load("digits")
        return _part(small.inputs, small.targets, rows, 200)
    source = load("mnist")
    return source if rows >= 50_000 else _part(source.inputs, source.targets, rows, VALIDATED)


def pictures(rows: int) -> Source:
    """CIFAR-10 where CHAINRULE_DATA has its binary files, else made pictures of the same shape, a blurred pattern for each class."""
    from chainrule.data.load import load

    validated = min(VALIDATED, rows)
    root = Path(os.environ.get("CHAINRULE_DATA", "."))
    folder = next((f for f in (root, root / "cifar10", root / "cifar-10-batches-bin") if (f / "data_batch_1.bin").is_file()), None)
    if folder is not None:
        source = load(str(folder))
        return _part(source.inputs, source.targets, rows, validated)
    random = np.random.default_rng(0)
    y = random.integers(0, 10, rows + 2 * validated)
    patterns = random.normal(128, 30, (10, 3, 8, 8)).repeat(4, 2).repeat(4, 3)
    x = (patterns[y] + random.normal(0, 40, (len(y), 3, 32, 32))).clip(0, 255).astype(np.uint8)
    return _part(torch.from_numpy(x), torch.from_numpy(y), rows, validated)


def table(rows: int) -> Source:
    """Rows of 50 normal features whose ten classes a random net of 30 units decides, with some noise."""
    random = np.random.default_rng(0)
    evaluated = min(EVALUATED, rows)
    x = random.standard_normal((rows + 2 * evaluated, 50), dtype=np.float32)
    scores = np.tanh(x @ random.standard_normal((50, 30), dtype=np.float32) / 5) @ random.standard_normal((30, 10), dtype=np.float32)
    y = (scores + 0.3 * random.standard_normal(scores.shape, dtype=np.float32)).argmax(1)
    return _part(torch.from_numpy(x), torch.from_numpy(y), rows, evaluated)


def letters(rows: int) -> Source:
    """The beginning of tiny Shakespeare where CHAINRULE_DATA has it, else letters drawn at random: windows of 64 and what follows."""
    from chainrule.data.encode.vocabulary import SHARES
    from chainrule.data.readers import text

    path = Path(os.environ.get("CHAINRULE_DATA", ".")) / "tinyshakespeare.txt"
    length = round(rows / SHARES["train"]) + CONTEXT
    if path.is_file():
        return text.source(text.read(path)[:length], str(path), name="tinyshakespeare", context=CONTEXT)
    drawn = np.random.default_rng(0).integers(97, 123, length)
    return text.source("".join(map(chr, drawn)), "drawn letters", context=CONTEXT)


def _part(x: Tensor, y: Any, rows: int, evaluated: int) -> Source:
    """The first `rows` for training, `evaluated` each for validation and test."""
    from chainrule.data.load import load

    rows = min(rows, len(x) - 2 * evaluated)
    source = load((x[: rows + 2 * evaluated], torch.as_tensor(y)[: rows + 2 * evaluated]))
    divided = {"valid": torch.arange(rows, rows + evaluated), "test": torch.arange(rows + evaluated, rows + 2 * evaluated)}
    return replace(source, parts=divided)


LENET = "lenet:filters=32x64,hidden=1024,padding=same"
LOGISTIC = {"net": "mlp:hidden=30,activation=sigmoid,output=sigmoid", "loss": "squared", "init": "lecun:biases=1"}
SOFTMAX_INSTEAD = "softmax and log loss at rate 0.5: it has no squared error for classes"
MLP = Work(
    "mlp", "784-30-10 logistic, squared error, batch 10, SGD rate 3; 30 epochs, from the first moment of planning to the end",
    digits, 50_000, 500, LOGISTIC, models.digit_mlp, ("scikit-learn", *TORCH, *KERAS), rate=3.0, batch=10, timed=30, skipped=0, whole=True,
    flat=True, variants=("cold cache", "warm cache"), faster=2.5, eager=4.0, notes={"scikit-learn": SOFTMAX_INSTEAD})
TABULAR = Work(
    "tabular", "100,000 x 50 made classification, MLP 64-64, batch 256, Adam", table, 100_000, 1_000,
    {"net": "mlp:hidden=64x64", "loss": "cross-entropy"}, models.table_mlp, ("scikit-learn", *TORCH, *KERAS), adam=True, rate=0.001,
    batch=256, budget=100, timed=3, flat=True, faster=3.0, eager=2.0)
LENET_WORK = Work(
    "lenet", "LeNet 32-64-1024 (3,274,634 parameters), batch 50, SGD", digits, 1_000, 200, {"net": LENET, "loss": "cross-entropy"},
    models.lenet, (*TORCH, *KERAS), rate=0.05, batch=50, budget=200, timed=1, faster=1.8, eager=1.8)
WORKS = {work.name: work for work in (
    MLP,
    replace(MLP, name="mlp-steady", title="the same in steady state: seconds an epoch after the first", budget=30, timed=2, skipped=1,
            whole=False, variants=("",), faster=4.0, eager=6.0),
    LENET_WORK,
    Work("resnet20", "ResNet-20 on 32 x 32 pictures, batch 128, SGD with momentum", pictures, 384, 64, {"loss": "cross-entropy"},
         models.resnet20, (*TORCH, *KERAS), rate=0.05, momentum=0.9, batch=128, budget=200, timed=1, shared=True, faster=1.6, eager=1.6),
    Work("lstm", "character LSTM of 256 units over 64 steps, batch 32, Adam", letters, 800, 64,
         {"net": f"lstm:hidden={models.LSTM_UNITS}", "task": "classification", "loss": "cross-entropy"}, models.CharacterLSTM,
         (*TORCH, *KERAS), adam=True, rate=0.002, batch=32, budget=200, timed=1, faster=1.4, eager=1.4),
    Work("rbm", "restricted Boltzmann machine 784-500, batch 100, one Gibbs step", digits, 20_000, 500,
         {"net": "rbm:hidden=500", "rule": "divergence:cost=0"}, None, ("scikit-learn", "torch eager"), kind="rbm", rate=0.1, batch=100,
         budget=30, timed=1, flat=True, faster=1.5, eager=1.2,
         notes={"scikit-learn": "persistent chains, the same arithmetic a step", "torch eager": "the same formulas by hand"}),
    TABULAR,
    replace(LENET_WORK, name="predict", title="100,000 digits through LeNet 32-64-1024: class probabilities", kind="predict", rows=50_000,
            quick_rows=500, timed=100, skipped=0, budget=100, longest=6.0, faster=1.5, eager=1.2),
    replace(MLP, name="members", title=f"{MEMBERS} of 784-30-10 as members of one program, against one of ours", kind="members", sides=(),
            whole=False, timed=2, skipped=1, variants=("one", f"{MEMBERS} members"), faster=None, eager=None, notes={}),
    replace(TABULAR, name="scaling", title="the tabular work on 1, 4 and 16 times the rows: seconds a row", kind="scaling", rows=100_000,
            sides=(), timed=2, variants=("1x", "4x", "16x"), faster=None, eager=None),
    replace(MLP, name="cuda-mlp", title="784-30-10 on the GPU in steady state: seconds an epoch after the first", cuda=True, whole=False,
            sides=("torch eager",), timed=3, skipped=1, variants=("",), faster=10.0, eager=10.0, notes={}),
)}


def find(name: str) -> Work:
    """Raises InputError that offers the nearest name."""
    if name not in WORKS:
        raise InputError(f"There is no work called '{name}'. {suggest(name, WORKS)}")
    return WORKS[name]
