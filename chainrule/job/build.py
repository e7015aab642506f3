"""Options and data made into a job: split, encoded, chosen, constructed, and tried once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor, nn

from chainrule.core.abilities.nets import ReadsBatch
from chainrule.core.abilities.sequences import ReadsAhead
from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion, Supervised, separated
from chainrule.core.descend import Descend, Read
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss, OwnLoss, identity
from chainrule.core.net import Net
from chainrule.core.registry import Chosen, Entry, inits, nets, rules, tasks
from chainrule.core.rule import Learner, Rule
from chainrule.core.text import counted
from chainrule.core.traits import PLACED, NetTraits, RuleTraits, TaskTraits
from chainrule.data.augment import augmentation
from chainrule.data.class_weights import weighted
from chainrule.data.encode.columns import Table
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.encode.words import word_by_word
from chainrule.data.giving_targets import giving_targets, learning_without
from chainrule.data.mixing import mixing
from chainrule.data.prepare import prepare, with_targets
from chainrule.data.resample import bootstrapped, crossed, folded
from chainrule.data.source import Data, Source, TargetKind
from chainrule.data.splits import parse_split
from chainrule.data.windows import in_windows
from chainrule.engine.plans.eager import copied
from chainrule.engine.plans.planner import check_asked
from chainrule.engine.plans.timeline import steps_of
from chainrule.engine.randomness import Aside
from chainrule.job.buckets import check_buckets
from chainrule.job.cross_validation import shared_out
from chainrule.job.defaults import Choice, choose_rule, choose_task, complete, target_kind
from chainrule.job.device import pick_device
from chainrule.job.job import Job
from chainrule.job.memory import check_memory
from chainrule.job.options import Options
from chainrule.job.own import NOTHING, Own
from chainrule.job.own_loss import custom, read_as
from chainrule.job.own_module import complete_lazy, looks_up, numbers_read
from chainrule.job.rows import ends_of, with_notes, with_range
from chainrule.job.rule_spec import lanes_of, make_rule, stage_rule
from chainrule.job.start import Start, opened
from chainrule.job.suited import check_range, reading_range, suited
from chainrule.job.trained import Trained, as_read, views_for
from chainrule.job.trial_step import check_fit
from chainrule.nets.init.initial import initialise
from chainrule.tasks.task import Task, batch_of

LossLike = str | Callable[[Tensor, Tensor], Tensor] | None
STRUCTURED = {"steps": "one for every step of its sequences", "labels": "several in a row", "pairs": "one for every pair of steps",
              "maps": "one for every pixel", "boxes": "several, in boxes"}
USUAL_LOSSES = {"real": "squared", "class": "cross-entropy", "labels": "ctc"}
FIT_ROWS = 8
WINDOW = 64  # steps of a long sequence in a row, where its rule names no number
INIT_ROWS = 256


def build(source: Source, options: Options, own: Own = NOTHING, start: Start | None = None) -> Job:
    """Split, encode, choose and construct. Raises InputError for anything that does not fit together.

    `start` is what a run that is built again began with; without it `options` say what the net begins with.
    """
    options = options.checked()
    if start is None and options.from_ is not None:
        start = opened(options.from_)
        options = start.options(options, own)
    check_asked(options.plan, options.precision, pick_device(options.device))
    if options.task is not None:
        source = with_targets(source, tasks.find(options.task).traits.targets)
    source = as_sequences(source, options, own)
    task = choose_task(options, own.net is not None, source)
    net_chosen, rule_chosen = choose_rule(options, own.net is not None, task.traits, isinstance(source.inputs, Symbols))
    window = rule_chosen.options.get("window", WINDOW)
    if net_chosen is not None and net_chosen.entry.traits.sequences:
        source = in_windows(source, window)
    source = cast(type[Task], task.make).read(source, window)
    net_chosen = suited(net_chosen, source)
    classes = [c.strip() for c in options.classes.split(",")] if options.classes else None
    kind = target_kind(rule_chosen, source, len(classes) if classes else len(source.classes), options.loss)
    traits = rule_chosen.entry.traits
    general = traits.target == "none" or "criterion" in inspect.signature(rule_chosen.entry.make).parameters
    general = general or (traits.steps and source.target_kind == "steps")
    if source.target_kind in STRUCTURED and not (general and traits.target in ("any", source.target_kind, "none")):
        raise InputError(f"{rule_chosen.entry.name} reads one target a sample; {source.name} has {STRUCTURED[source.target_kind]}. Use "
                         "--rule backprop.")
    if traits.carries and not (isinstance(source.inputs, Symbols) and source.inputs.of_text):
        raise InputError(f"{rule_chosen.entry.name} carries its state along one text, and the rows of {source.name} do not go on from one "
                         "another. Use --rule backprop, or give a .txt file.")
    if traits.target == "any" and source.target_kind == "none" and not task.traits.targetless:
        raise InputError(f"{rule_chosen.entry.name} needs targets; {source.name} has none. {giving_targets(source)}, or use "
                         f"{learning_without(source)}.")
    before = stage_rule(options, net_chosen)
    scaled_to = reading_range(options.scale, net_chosen, before or rule_chosen)
    encoded = partial(prepare, source, seed=options.division, range=scaled_to, target=kind,
                      flatten=traits.reads == "features" and not (net_chosen and net_chosen.entry.traits.pictures),
                      classes=classes, weights=own.weights, codes=own.net is not None and looks_up(own.net, source),
                      bounded=bool(net_chosen and net_chosen.entry.traits.bounded), like=None if start is None else start.like)
    data = encoded(split=parse_split(options.split) if options.split else None)
    if options.fold:
        data = folded(data, options.fold, options.division, lambda rows: encoded(split=rows))
    if options.folds:
        data = crossed(data, options.folds, options.division, lambda rows: encoded(split=rows))
    if options.bootstrap:
        data = bootstrapped(data, options.bootstrap, options.seed)
    if options.class_weights:
        data = weighted(data, options.class_weights)
    return assemble(data, options, net_chosen, rule_chosen, kind, task, module=own.net, loss=own.loss, start=start)


def as_sequences(source: Source, options: Options, own: Own) -> Source:
    """The source with its column of sentences word by word, where the net that is named reads sequences; else as it is.

    Other columns are then left out, which is noted. Raises InputError for several columns of sentences.
    """
    if own.net is not None or options.net is None or not isinstance(source.inputs, Table):
        return source
    net = nets.choose(options.net).entry
    texts = [column for column in source.inputs.columns if column.kind == "text"]
    if not net.traits.sentences or not texts:
        return source
    if len(texts) > 1:
        raise InputError(f"{net.name} reads one column of sentences word by word; {source.name} has {', '.join(c.name for c in texts)}. "
                         f"Leave all but one out: --columns {texts[-1].name}:out, or use --net mlp.")
    symbols, note = word_by_word(texts[0])
    others = [name for name in source.inputs.names if name != texts[0].name]
    left_out = f"{net.name} reads '{texts[0].name}' word by word, and nothing else: {', '.join(others)} left out." if others else ""
    return replace(source, inputs=symbols, notes=(*source.notes, *filter(None, (note, left_out))))


def assemble(data: Data, options: Options, net_chosen: Chosen[NetTraits] | None, rule_chosen: Chosen[RuleTraits], kind: TargetKind,
             task_chosen: Entry[TaskTraits], *,
             module: nn.Module | None = None, loss: LossLike = None, dtype: torch.dtype = torch.float32, made_as: type[Job] = Job,
             keeps_last: bool = False, start: Start | None = None) -> Job:
    """The job for data that is already split and encoded, with what the options leave open chosen."""
    device = pick_device(options.device)
    task: Task = task_chosen.make(data.encoder)
    net_chosen = suited(net_chosen, data.source, data.encoder.inputs.groups)
    choice = complete(options, net_chosen, rule_chosen, task, data, module is not None, callable(loss))
    rule_chosen = choice.rule
    the_loss = choice.loss.make() if choice.loss else None
    if the_loss is not None:
        check_loss(the_loss, data, "rows" if task_chosen.traits.targetless else task_chosen.traits.compares or kind)
    init, name = options.init, str(choice.net) if choice.net else type(module).__name__
    if module is None and choice.net is not None:
        check_memory(choice.net, data.input_shape, task.outputs)
    with Aside(options.seed, device):
        if module is None:
            assert choice.net is not None
            module = choice.net.make(data.input_shape, task.outputs).to(device=device, dtype=dtype)
            trainable(module, name, choice.net)
            check_ahead(module, name, task_chosen)
            init = init or choice.net.entry.traits.init
        elif choice.net is None:
            dtype = numbers_read(module.to(device))
        data = replace(data, ready=partial(as_read, data.encoder.inputs, dtype))
        check_range(choice.net, rule_chosen, data)
        complete_lazy(module, data.ready(data.train.x[:FIT_ROWS].to(device)))
        trainable(module, name, choice.net)
        if init:
            _draw_weights(module, init, data)
        if start is not None:
            start = start.into(module, choice.net, data.encoder, task, options.freeze)
        data = with_range(data)
        if task_chosen.traits.targetless:
            data = with_notes(data, module)
        if options.folds:
            data = shared_out(data, module, options.folds)
    net = Net.of(module)
    if not net.count() and any(True for _ in module.parameters()):
        raise InputError(f"every parameter of {type(module).__name__} is frozen (requires_grad=False): there is nothing to train. "
                         "Unfreeze some.")
    if callable(loss):
        with Aside(options.seed, device):
            the_loss = _own_loss(loss, net, data, task)
    criterion = separated(task.criterion(the_loss), module)
    rule = _rule(choice, criterion, the_loss, module, data)
    trained = Trained(net, name, data.encoder, task, the_loss, device, choice.options.precision, choice.options.seed, dtype,
                      constant=task.constant(net, data.train, data.ready) if len(data.train) else None,
                      views=views_for(options, task, data.encoder.inputs.shape))
    if choice.options.buckets is not None:
        choice.choices.append(check_buckets(data, module, name, rule_chosen.entry.traits, device))
    placed = kind if kind in PLACED else ""
    job = made_as(data.source, data, trained, rule, str(rule_chosen), choice.options, choice.choices,
                  keeps_last=keeps_last or rule_chosen.entry.traits.best == "last",
                  one_hot=data.outputs if kind == "class" and task.classes and _spreads_classes(rule_chosen, the_loss) else 0,
                  augment=augmentation(options.augment, data.encoder.inputs.shape, data.name, placed) if options.augment else None,
                  mix=_mix(options, data, rule, rule_chosen, criterion), start=start)
    _check_steps(job, own_module=choice.net is None)
    return job


def _draw_weights(module: nn.Module, init: str, data: Data) -> None:
    """Weights drawn anew as `init` says, from training rows where it reads some."""
    drawn = inits.choose(init)
    initialise(module, drawn, _few(data) if drawn.entry.traits.reads_data else None)


def _rule(choice: Choice, criterion: Criterion | None, loss: Loss | None, module: nn.Module, data: Data) -> Rule:
    """The rule that was chosen; one that goes down a value of the whole batch must see the batch undivided."""
    rule = make_rule(choice.rule, criterion, choice.optimizer, choice.schedule, choice.constraint,
                     cycles=choice.options.snapshots or 1, lanes=lanes_of(data, choice.options))
    of_batch = loss is not None and loss.own is not None and loss.own.over in ("sum", "batch")
    if isinstance(rule, Descend) and (of_batch or (isinstance(module, ReadsBatch) and module.batchwise)):
        rule.additive = False
    return rule


def _spreads_classes(rule: Chosen[RuleTraits], loss: Loss | None) -> bool:
    """Whether classes are fed as one number for each of them, since the loss reads such and the rule has a use for a loss."""
    return loss is not None and loss.one_hot and bool({"loss", "criterion"} & set(inspect.signature(rule.entry.make).parameters))


def _check_steps(job: Job, own_module: bool) -> None:
    """Raises InputError where the steps are too few, rows do not follow one another, or a first step on copies fails."""
    if (cycles := job.options.snapshots) and (steps := int(steps_of(job.stages()[0][0], job.feed()))) < cycles:
        raise InputError(f"--snapshots {cycles} needs at least a step for each; got {counted(steps, 'step')} in all. Train for more "
                         "--epochs or --steps, or with a smaller --batch.")
    if rules.choose(job.rule_name).entry.traits.carries:
        job.feed()
    check_fit(job, _first_rows(job), own_module)
    if job.options.by_stages:
        job.stages()


def _mix(options: Options, data: Data, rule: Rule, chosen: Chosen[RuleTraits], criterion: Criterion | None) -> Read | None:
    """What mixes the samples of a batch. Raises InputError where rule or task know no loss of a sample by two targets."""
    mix = mixing(options.augment, data.encoder.inputs.shape, data.name) if options.augment else None
    descends = isinstance(rule, Descend) and chosen.entry.traits.objective is not None
    if mix is not None and not (descends and isinstance(criterion, Supervised)):
        raise InputError(f"--augment {options.augment} mixes samples and their targets, for a rule that goes down one loss of each sample. "
                         "Use --rule backprop with --optimizer adam or sgd, or leave it out.")
    return mix


def check_loss(loss: Loss, data: Data, kind: TargetKind | Literal["rows"]) -> None:
    """Raises InputError for a loss that does not read targets of a kind; `rows` are the inputs themselves, as a net reads them."""
    reads = "real" if kind == "rows" else "class" if kind in STRUCTURED and kind != "labels" else kind
    if reads in loss.targets:
        return
    usual = f"Use --loss {USUAL_LOSSES.get(reads, 'hinge')}."
    if loss.targets != ("share",) or reads != "real":
        of = "the rows themselves, which are real" if kind == "rows" else f"{kind} ones"
        raise InputError(f"loss {loss.name} reads {' or '.join(loss.targets)} targets; {data.name} gives {of}. {usual}")
    if kind != "rows":
        raise InputError(f"loss {loss.name} reads targets from 0 to 1; those of {data.name} are scaled to their mean and spread. {usual}")
    low, high = ends_of(data)
    if low < 0 or high > 1:
        raise InputError(f"loss {loss.name} reads targets from 0 to 1; the rows of {data.name} go from {low:.4g} to {high:.4g} as a net "
                         f"reads them. {usual}")


def _few(data: Data) -> Tensor:
    """Training rows (n, ...) spread over the whole part, since neighbours may be alike, as a net reads them."""
    n = len(data.train)
    return data.ready(data.train.x[torch.linspace(0, n - 1, min(n, INIT_ROWS)).long()])


def _own_loss(loss: Callable[[Tensor, Tensor], Tensor], net: Net, data: Data, task: Task) -> Loss:
    """The user's own loss as it reads this net's outputs and these targets, row by row where rows or steps are weighed.

    Raises InputError where it has no value for a row alone.
    """
    batch = batch_of(data.train.rows_at(0, FIT_ROWS), net.device)
    seen: list[tuple[Tensor, Tensor]] = []

    def look(outputs: Tensor, y: Tensor) -> Tensor:
        seen.append((outputs.detach(), y))
        return outputs.new_zeros(len(outputs))

    criterion, trial = task.criterion(Loss("", look, identity, ())), copied(Learner(net, {})).net
    trial.module.eval()
    try:
        with torch.no_grad():
            if criterion is not None:
                criterion(trial, batch.with_inputs(data.ready(batch.x)))
    except Exception:  # said where a step is tried
        seen.clear()
    own = read_as(loss, *seen[0], classes=len(task.classes)) if seen else OwnLoss()
    return custom(loss, own, task.probabilistic, by_rows=data.train.weight is not None or data.train.mask is not None)


def _first_rows(job: Job) -> Batch:
    """Training rows as a step reads them: no more than a batch has, since a net may ask for several."""
    carries = rules.choose(job.rule_name).entry.traits.carries
    rows = lanes_of(job.data, job.options) if carries else min(FIT_ROWS, job.options.batch or FIT_ROWS)
    return batch_of(job.data.train.rows_at(0, rows), job.device)


def check_ahead(module: nn.Module, name: str, task: Entry[TaskTraits]) -> None:
    """Raises InputError where a net sees the steps that it is asked to foretell."""
    if task.traits.foretells and isinstance(module, ReadsAhead) and module.reads_ahead:
        raise InputError(f"{name} reads a sequence from its end too, and {task.name} asks what comes next, which it would see. Leave out "
                         "bidirectional.")


def trainable(module: nn.Module, name: str, family: Chosen[NetTraits] | None) -> None:
    """Raises InputError where a net, one's own or of a `family`, has nothing to train, and is no forecaster that needs nothing."""
    if any(p.numel() for p in module.parameters()) or (family is not None and family.entry.traits.kind == "forecaster"):
        return
    if family is None:
        raise InputError(f"{name} has no parameters: there is nothing to train. Give it some, e.g. a torch.nn.Linear.")
    able = ", ".join(e.name for e in nets.entries() if e.traits.kind != "fixed")
    raise InputError(f"{name} has nothing to train: its weights are fixed when it is made. Train one of {able}.")
