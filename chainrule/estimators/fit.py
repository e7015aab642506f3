"""How a scikit-learn estimator learns: arrays made into a job of the engine, run with no folder, and what is left of it to predict with.

The contract served is that of Buitinck et al. (2013), https://arxiv.org/abs/1309.0238
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.duplicate import duplicate
from chainrule.core.errors import Diverged, InputError
from chainrule.core.events import Diagnosed, Evaluated, Event, Finished, Progressed
from chainrule.core.net import Net
from chainrule.core.registry import Chosen, rules
from chainrule.core.rule import Learner, Report, Rule
from chainrule.core.stage import Budget, Stage
from chainrule.core.threads import torch_threads
from chainrule.core.traits import NetTraits, RuleTraits
from chainrule.core.tree import Tree
from chainrule.data.encode.decoding import unscaled
from chainrule.data.encode.encoder import Encoder
from chainrule.data.encode.features import Features
from chainrule.data.encode.input_encoder import InputEncoder
from chainrule.data.encode.moments import scaling
from chainrule.data.encode.rows import gather
from chainrule.data.encode.target_encoder import TargetEncoder
from chainrule.data.feed.shuffled import Feed
from chainrule.data.source import Data, Door, Part, Source, TargetKind
from chainrule.data.splits import split
from chainrule.engine.plans.plan import Plan
from chainrule.engine.position import Settings
from chainrule.engine.randomness import Aside
from chainrule.engine.stop import Stop
from chainrule.engine.store import Store
from chainrule.engine.train import train
from chainrule.job.build import LossLike, assemble
from chainrule.job.defaults import choose_rule, choose_task, target_kind
from chainrule.job.device import pick_device
from chainrule.job.job import Job
from chainrule.job.options import Options
from chainrule.job.suited import range_of, suited
from chainrule.job.trained import EVALUATION_ROWS, Trained
from chainrule.sinks.progress import Progress

NetLike = str | nn.Module | Callable[[tuple[int, ...], int], nn.Module] | None
SMALL_ROWS = 1000                # up to here all rows make one batch, in double precision: then a weight of 2 is a row given twice
SMALL_EPOCHS = 200               # these did best of a dozen in cross-validation on iris, wine, breast cancer, diabetes and 900 digits
SMALL_OPTIMIZER = "adam:rate=0.01"
SMALL_RULE = "backprop:l2=0.01"
VALID_SHARE = 0.1
PASS_BATCH = 32                  # rows a step of `partial_fit`
QUICK_OPERATIONS = 3e10          # below this no trial of plans could pay for itself: eager, on one thread
QUICK_CHUNK = 50
ROUNDS = 50                      # steps between two looks at a small run
ONE_AT_A_TIME = threading.RLock()  # the engine lends a run torch's global generator, so two fits in threads take turns


class Rounds(Feed):
    """All rows as one batch, `ROUNDS` times over before the engine looks up: its book-keeping would outweigh such short steps."""

    def __init__(self, part: Part, ready: Callable[[Tensor], Tensor], *, device: torch.device):
        super().__init__(part, ready, batch=len(part), device=device, everything=True)
        self.x = ready(self.x)

    @property
    def batches(self) -> int:
        return ROUNDS

    def rows(self, epoch: int, batch: int) -> Tensor:
        return self.part.rows

    def chunks(self, epoch: int, start: int = 0, size: int = 1) -> Iterator[Batch]:
        for at in range(start, ROUNDS, size):
            k = min(size, ROUNDS - at)
            y, weight = (None if t is None else t.expand(k, *t.shape) for t in (self.y, self.weight))
            yield Batch(self.x.expand(k, *self.x.shape), y, weight)


@dataclass
class Whole(Job):
    """A job that trains on all its rows: nothing is left to choose the best weights by, and the last ones stay."""

    def validate(self, learner: Learner) -> dict[str, float]:
        return {}

    def events(self, store: Store | None = None, stop: Stop | None = None, at: int = 0,
               made: list[dict[str, Any]] | None = None) -> Iterator[Event]:
        """As for every job; where all rows are one batch anyway, in rounds of many steps, each of which is told as an epoch."""
        options = self.options
        if options.epochs is None or (options.batch or 1) < len(self.data.train) or self.rule.reads == "everything":
            yield from super().events(store, stop, at, made)
            return
        feed = Rounds(self.data.train, self.data.ready, device=self.device)
        settings = Settings(options.seed, options.plan, options.precision, options.threads, monitor=(), made=made)
        stage = Stage(self.rule, Budget(steps=options.epochs))
        for event in train([stage], self.net, lambda _: feed, self.validate, settings, store, stop, at):
            if isinstance(event, Evaluated | Progressed):
                event = replace(event, epoch=event.step)
            yield replace(event, epochs=event.steps, best_epoch=event.steps) if isinstance(event, Finished) else event


class Carried:
    """A rule that begins with a given state and keeps the latest, so that a later call can go on from it."""

    def __init__(self, rule: Rule, state: Tree | None):
        self.rule, self.state = rule, state
        self.reads, self.target, self.tolerance = rule.reads, rule.target, rule.tolerance

    def init(self, net: Net) -> Tree:
        return self.rule.init(net) if self.state is None else self.state

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        net, self.state, report = self.rule.step(net, state, batch)
        return net, self.state, report


@dataclass
class Learned:
    """A trained net with what it was trained by, and nothing that cannot be copied or stored."""

    trained: Trained
    options: Options
    choices: list[str]
    history: list[dict[str, Any]] = field(default_factory=list)
    epochs: int = 0
    state: Tree | None = None

    @property
    def module(self) -> nn.Module:
        return self.trained.net.module

    @property
    def encoder(self) -> Encoder:
        return self.trained.encoder

    def ready(self, x: Tensor) -> Tensor:
        """Stored inputs as this net reads them, on its device."""
        return self.trained.ready(x.to(self.trained.device))

    @torch.no_grad()
    def outputs(self, inputs: Any, read: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """What the net, or another reading of it, gives for raw rows: float64 (n, outputs) on the CPU."""
        read = read or self.module
        return torch.cat([read(self.ready(rows)).cpu().double() for rows in self.encoder.inputs.encode(inputs).split(EVALUATION_ROWS)])

    def raw(self, stored: Tensor) -> Tensor:
        """What a net reads, as rows in the units of the data: (n, ...) -> (n, *row). Features that were constant are so again."""
        return unscaled(self.encoder.inputs, stored)

    def probabilities(self, inputs: Any) -> Tensor:
        """Class probabilities (n, classes) for raw rows."""
        share = self.trained.answer(self.outputs(inputs)).double()
        return share / share.sum(1, keepdim=True)

    def values(self, inputs: Any) -> Tensor:
        """Predictions (n, k) in target units for raw rows."""
        return self.trained.answer(self.outputs(inputs))


def learn(source: Source, options: Options, *, net: NetLike = None, loss: LossLike = None, rows: Tensor | None = None,
          weight: Tensor | None = None, emphasis: Tensor | None = None, validation: float | None = None, watch: bool = False) -> Learned:
    """Train on `rows` of the source (default all), choosing what `options` leave open.

    `weight` (n of the source) says how often a row counts, in the encoder's statistics too; `emphasis` multiplies it in the loss alone.
    `validation` is the share of rows that choose the best weights; None: a tenth, where there are more than 1000 rows or patience asks
    for it. Raises InputError for what does not fit together, Diverged where the loss stops being finite.
    """
    with ONE_AT_A_TIME:
        rows = torch.arange(len(source)) if rows is None else rows
        chosen, rule, kind = _chosen(source, options, net)
        share = validation if validation is not None else VALID_SHARE if len(rows) > SMALL_ROWS or options.patience else 0.0
        train, valid = _divided(source, rows, share, options.seed)
        flat = not isinstance(source.inputs, Tensor) or source.inputs.dim() == 2
        here = options.device in ("auto", "cpu") and options.precision == "auto"
        small = flat and here and len(train) <= SMALL_ROWS and isinstance(net, str | None)
        if small:
            options = replace(options, device="cpu")
            if rule.entry.name == "backprop":
                rule = rules.choose(options.rule or SMALL_RULE)
                options = _filled(options, batch=len(train), epochs=SMALL_EPOCHS, optimizer=SMALL_OPTIMIZER)
        dtype = torch.float64 if small else torch.float32
        encoder = encoder_of(source, train, weight, kind, rule, chosen)
        data = _data(source, encoder, train, valid, _product(weight, emphasis), dtype)
        return _run(job_of(data, options, chosen, rule, kind, net, loss, dtype), watch)


def go_on(source: Source, options: Options, before: Learned | None, *, net: NetLike = None, loss: LossLike = None,
          weight: Tensor | None = None, emphasis: Tensor | None = None, watch: bool = False) -> Learned:
    """One pass over these rows from where `before` stopped. The first call fits the encoder; all later ones read as it says."""
    with ONE_AT_A_TIME:
        rows, module, dtype = torch.arange(len(source)), None, torch.float32
        options = replace(_filled(options, batch=PASS_BATCH), epochs=1, plan="eager", schedule=None)
        if before is not None:
            module = duplicate(before.module)
            dtype = next(module.parameters()).dtype
            options = replace(_filled(options, rule=before.options.rule, optimizer=before.options.optimizer),
                              seed=options.seed + before.epochs)
        chosen, rule, kind = _chosen(source, options, net)
        encoder = before.encoder if before else encoder_of(source, rows, weight, kind, rule, chosen)
        data = _data(source, encoder, rows, rows[:0], _product(weight, emphasis), dtype)
        job = job_of(data, options, chosen, rule, kind, net, loss, dtype, module)
        same = before is not None and (before.options.rule, before.options.optimizer) == (job.options.rule, job.options.optimizer)
        job.rule = carried = Carried(job.rule, before.state if before and same else None)
        learned = _run(job, watch)
        past = before.history if before else []
        done = before.epochs if before else 0
        history = [*past, *({**row, "epoch": done + 1} for row in learned.history)]
        return replace(learned, state=carried.state, history=history, epochs=done + 1)


def job_of(data: Data, options: Options, chosen: Chosen[NetTraits] | None, rule: Chosen[RuleTraits], kind: TargetKind, net: NetLike,
           loss: LossLike, dtype: torch.dtype, module: nn.Module | None = None) -> Job:
    """The job for data that is already encoded. A `module` is trained as it is; without one, `net` makes it."""
    options = options.checked()
    if module is None and not isinstance(net, str | None):
        with Aside(options.seed, pick_device(options.device)):
            module = _made(net, data, 1 if kind == "sign" else data.outputs)
    task = choose_task(options, module is not None, data.source)
    if len(data.valid):
        return assemble(data, options, chosen, rule, kind, task, module=module, loss=loss, dtype=dtype)
    if options.patience:
        raise InputError("patience needs rows to validate on, and there are none. Set validation_fraction to 0.1, or patience to None.")
    job = assemble(data, options, chosen, rule, kind, task, module=module, loss=loss, dtype=dtype, made_as=Whole, keeps_last=True)
    job.options = replace(job.options, patience=None)
    job.choices = [s for s in job.choices if not s.startswith("patience")]
    return job


def encoder_of(source: Source, rows: Tensor, weight: Tensor | None, kind: TargetKind, rule: Chosen[RuleTraits],
               net: Chosen[NetTraits] | None = None) -> Encoder:
    """An encoder fitted on `rows`, each counted as often as its weight says. A constant target is kept, unscaled."""
    spread = range_of(net, rule)
    classes = source.classes if kind in ("class", "sign") else ()
    bare = replace(source, targets=None, target_kind="none", classes=())
    inputs = InputEncoder.fit(bare, rows, range=spread, flatten=rule.entry.traits.reads == "features")
    share = torch.ones(len(rows), dtype=torch.float64) if weight is None else weight[rows].double()  # (rows,)
    scale = None
    if kind == "real":
        mean, factor = _moments(gather(source.targets, rows), share)
        scale = torch.stack([mean, torch.where(factor > 0, 1 / factor, torch.ones_like(factor))])  # (2, k)
    if weight is not None and spread != "unit":
        if inputs.features is not None:
            inputs = replace(inputs, features=replace(inputs.features, scale=_column_scales(inputs.features, source, rows, share)))
        elif inputs.scale is not None and inputs.kind == "array":
            x = gather(source.inputs, rows).double()
            flat, each = (x, share) if x.dim() == 2 else (x.reshape(-1, 1), share.repeat_interleave(x[0].numel()))
            inputs = replace(inputs, scale=torch.stack(_moments(flat, each)))  # (2, d)
    return Encoder(inputs, TargetEncoder(kind, classes, scale=scale))


def _column_scales(features: Features, source: Source, rows: Tensor, share: Tensor) -> Tensor:
    """Centre, factor and stand-in for a missing value of each column (columns, 3), weighted."""
    scale = features.scale.clone()
    for i, fitted in enumerate(features.columns):
        if fitted.kind == "numeric":
            values = source.inputs[fitted.name].values[rows]
            known = ~values.isnan()
            mean, factor = _moments(values[known][:, None], share[known])
            scale[i] = torch.stack([mean[0], factor[0], mean[0]])
    return scale


def _moments(values: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and 1 / sd (0 where constant) of the columns of (n, d), each (d,)."""
    values, total = values.double(), share.sum()
    mean = share @ values / total
    low, high = values.aminmax(dim=0)
    sd = (share @ (values - mean).square() / total).sqrt()
    return scaling(mean, torch.where(high > low, sd, torch.zeros_like(sd)))


def _data(source: Source, encoder: Encoder, train: Tensor, valid: Tensor, weight: Tensor | None, dtype: torch.dtype) -> Data:
    """The parts as tensors, with no test part: an estimator's caller holds the test rows."""
    scaled = None if weight is None else (weight / weight[train].double().mean()).to(dtype)

    def part(at: Tensor) -> Part:
        y = encoder.target.encode(source, at)
        return Part(encoder.inputs.encode(source, at), y.to(dtype) if y is not None and y.is_floating_point() else y, at,
                    None if scaled is None else scaled[at])

    target = encoder.target
    return Data(source.name, source, encoder, target.kind, target.classes, encoder.inputs.input_shape, target.outputs, part(train),
                part(valid), Door(part(train[:0])), lambda x: encoder.inputs.ready(x).to(dtype))


def _chosen(source: Source, options: Options, net: NetLike) -> tuple[Chosen[NetTraits] | None, Chosen[RuleTraits], TargetKind]:
    """Net (None: choose later, or it is the caller's own), rule, and the kind of targets it reads. Raises InputError."""
    chosen, rule = choose_rule(options, not isinstance(net, str | None))
    wanted = rule.entry.traits.target
    blind = wanted == "none" or choose_task(options, not isinstance(net, str | None), source).traits.targetless
    if blind != (source.target_kind == "none"):
        raise InputError(f"rule {rule.entry.name} learns {'without' if blind else 'from'} targets here; this estimator learns "
                         f"{'without' if source.target_kind == 'none' else 'from'} them. Use another rule or another estimator.")
    if source.target_kind == "real" and wanted not in ("any", "real"):
        raise InputError(f"rule {rule.entry.name} sorts into classes; a regressor has a numeric target. Use rule='backprop', or "
                         "NetworkClassifier.")
    return suited(chosen, source), rule, target_kind(rule, source, len(source.classes), options.loss)


def _divided(source: Source, rows: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Training rows and validation rows, stratified by class; each class keeps a training row."""
    if not 0 <= share < 1:
        raise InputError(f"validation_fraction must be at least 0 and below 1; got {share}.")
    if share == 0 or len(rows) < 2:
        return rows, rows[:0]
    parts = split(source, train=1 - share, valid=share, test=0.0, seed=seed, rows=rows)
    known = torch.isin(source.targets[parts.valid], source.targets[parts.train]) if source.target_kind == "class" else slice(None)
    return parts.train, parts.valid[known]


def _filled(options: Options, **usual: Any) -> Options:
    """Options with `usual` for those that are open."""
    return replace(options, **{name: value for name, value in usual.items() if getattr(options, name) is None})


def _product(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a * b


def _made(net: nn.Module | Callable[[tuple[int, ...], int], nn.Module], data: Data, outputs: int) -> nn.Module:
    """A copy of the caller's module, or what the caller's function makes of (input shape, outputs)."""
    if isinstance(net, nn.Module):
        return duplicate(net)
    module = net(data.input_shape, outputs)
    if not isinstance(module, nn.Module):
        raise InputError("net is a name, a torch.nn.Module, or a function of (input shape, outputs) that makes one; this one made a "
                         f"{type(module).__name__}.")
    return module


def _run(job: Job, watch: bool) -> Learned:
    """Train to the end, with no folder, and keep what predicts. The caller's number of threads is put back."""
    history: list[dict[str, Any]] = []
    ended, fault = None, ""
    with torch_threads(), _watching(watch) as tell:
        for event in job.events(made=_quick_plan(job)):
            tell(event)
            if isinstance(event, Evaluated):
                valid = {f"valid_{k}": v for k, v in event.valid.items()}
                history.append({"epoch": event.epoch, "step": event.step, "train_loss": event.train["loss"], **valid})
            if isinstance(event, Diagnosed) and event.fatal:
                fault = f"{event.layer}: {event.evidence}. {event.remedy[0].upper()}{event.remedy[1:]}."
            ended = event if isinstance(event, Finished) else ended
    assert ended is not None
    if ended.reason == "diverged":
        raise Diverged(f"The loss stopped being finite. {fault}")
    return Learned(job.trained.answering(), job.options, job.choices, history, ended.epochs)


def _quick_plan(job: Job) -> list[dict[str, Any]] | None:
    """Eager on one thread, untried, where the whole run is shorter than the trials; None: let the planner measure."""
    options, n = job.options, len(job.data.train)
    epochs = options.epochs or 1
    if options.plan not in ("auto", "eager") or options.precision == "bf16" or 6.0 * job.net.count() * n * epochs > QUICK_OPERATIONS:
        return None
    return [{"since": 0, "made": asdict(Plan(chunk=QUICK_CHUNK, threads=options.threads or 1))}]


@contextmanager
def _watching(watch: bool) -> Iterator[Callable[[Any], None]]:
    """The progress line on the standard error stream, or silence."""
    if not watch:
        yield lambda event: None
        return

    with Progress() as progress:
        yield progress
