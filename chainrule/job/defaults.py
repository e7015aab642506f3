"""What is chosen, and said, where the user left it open: net, loss, optimizer, batch, epochs, patience."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chainrule.core.errors import InputError
from chainrule.core.registry import Chosen, Entry, losses, nets, optimizers, rules, schedules, tasks
from chainrule.core.traits import PLACED, NetTraits, NoTraits, OptimizerTraits, RuleTraits, TaskTraits
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.readers.catalog import traits
from chainrule.data.source import Data, Source, TargetKind
from chainrule.job.by_part import ByPart
from chainrule.job.options import Options
from chainrule.job.rows import in_unit_range
from chainrule.job.rule_spec import constraint_of, schedule_in_shares, schedule_of, stage_rule, with_parts
from chainrule.tasks.task import Task

AIM_STEPS = 4000                 # epochs are chosen so that a run takes about this many steps, within bounds
FEWEST_EPOCHS, MOST_EPOCHS = 5, 200
MANY_ROWS = 500                  # from so many training rows on, a table gets the wider net
SEQUENTIAL = "lstm:hidden=64"    # of rows that are sequences of steps
LENET_PIXELS = 16                # from this height and width on, pictures go to a convolutional net
LONGEST = "longest"              # the option of nets that write: how many symbols at most


@dataclass(frozen=True)
class Choice:
    """The names resolved, each with its options, and the filled-in settings; `choices` tells what was chosen and why."""

    net: Chosen[NetTraits] | None
    rule: Chosen[RuleTraits]
    loss: Chosen[NoTraits] | None
    optimizer: Chosen[OptimizerTraits]
    schedule: ByPart[NoTraits] | None
    constraint: ByPart[NoTraits] | None
    options: Options
    choices: list[str]


def choose_rule(options: Options, own_module: bool,
                task: TaskTraits | None = None, sequences: bool = False) -> tuple[Chosen[NetTraits] | None, Chosen[RuleTraits]]:
    """Net and rule where at least one is named, each picking the other, or the task both, by whether rows are `sequences` of symbols.

    Net None: choose it from the data.
    """
    net = None if own_module or options.net is None else nets.choose(options.net)
    rule = None if options.rule is None else rules.choose(options.rule)
    usual = None if task is None else (task.sequences if sequences and rule is None else None) or task.net
    fits = rule.entry.traits.nets if rule is not None else ()
    if net is None and not own_module and (usual or fits):
        net = nets.choose(usual if usual is not None and (not fits or usual in fits) else fits[0])
    if rule is None:
        asked = task.rule if task is not None and net is not None else None
        rule = rules.choose(asked or (net and net.entry.traits.rule) or "backprop")
    return net, rule


def complete(options: Options, net: Chosen[NetTraits] | None, rule: Chosen[RuleTraits], task: Task, data: Data, own_module: bool,
             own_loss: bool) -> Choice:
    """Fill in what the user left open, from the kind and size of the data. Raises InputError where two settings exclude each other."""
    net, choices = _net(options, net, task, data, own_module)
    stages = stage_rule(options, net)
    loss, because = (None, "") if own_loss else _loss(options, net, rule, task, data)
    optimizer, batch, whole = _steps(options, net, rule, data)
    filled, lengths = _lengths(options, rule, batch, data, staged=stages is not None)
    choices += lengths
    usual = rule.entry.traits.epochs
    if options.batch is None and rule.entry.traits.reads != "everything":
        choices.append("the whole training part at each step" if whole else f"batch {batch}")
    if options.optimizer is None and usual is None:
        choices.append(f"optimizer {optimizer}")
    if options.loss is None and loss is not None:
        choices.append(f"loss {loss}{because}")
    schedule, cycles = _schedule(options)
    choices += cycles
    constraint = constraint_of(replace(options, constraint=options.constraint or rule.entry.traits.constraint))
    if options.optimizer is None:
        rule = with_parts(rule)
    if stages is not None and options.stages is None:
        choices.append(f"stages {stages}")
    stage_optimizer = options.stage_optimizer or (stages.entry.traits.optimizer if stages is not None else None)
    filled = replace(filled, stages=str(stages) if stages is not None else options.stages, stage_optimizer=stage_optimizer,
                     net=str(net) if net else options.net, rule=str(rule), loss=str(loss) if loss else options.loss,
                     schedule=str(schedule) if schedule else None, constraint=str(constraint) if constraint else None,
                     optimizer=str(optimizer), batch=batch)
    return Choice(net, rule, loss, optimizer, schedule_in_shares(filled.checked()), constraint, filled, choices)


def _net(options: Options, net: Chosen[NetTraits] | None, task: Task, data: Data,
         own_module: bool) -> tuple[Chosen[NetTraits] | None, list[str]]:
    """The net, with those of its options that data and task decide, and what was chosen; None where there is a module of one's own."""
    choices = []
    asked = {} if options.net is None else nets.choose(options.net).options
    if net is not None and net.entry.traits.suits is not None:
        choices += [f"{name} {'x'.join(map(str, value)) if isinstance(value, tuple) else value}" for name, value in net.options.items()
                    if name not in asked]
    if net is None and not own_module:
        net = nets.choose(_usual_net(data))
        choices.append(f"net {net}")
    if net is None:
        return None, choices
    if not tasks.find(task.name).traits.steps:
        net = Chosen(net.entry, {**net.entry.traits.whole, **net.options})
    net = of_rows(of_strings(of_series(net, data), data), len(data.train))
    return Chosen(net.entry, {**net.entry.traits.for_task.get(task.name, {}), **net.options}), choices


def _usual_net(data: Data) -> str:
    """The net for data of this kind and size where neither net nor task says which."""
    shape, features = data.input_shape, data.encoder.inputs.features
    if len(shape) == 3 and min(shape[1:]) >= LENET_PIXELS:
        return "lenet"
    if traits(data.source).sequential:
        return SEQUENTIAL
    if features is not None and any(column.kind == "text" for column in features.columns):
        return "mlp:dropout=0.5"
    return "mlp" if len(data.train) >= MANY_ROWS else "mlp:hidden=32"


def _loss(options: Options, net: Chosen[NetTraits] | None, rule: Chosen[RuleTraits], task: Task,
          data: Data) -> tuple[Chosen[NoTraits] | None, str]:
    """The loss, and in words why where the rows decided it; None for a rule that has no use for one.

    Raises InputError for a net that sorts into classes and a numeric target.
    """
    if rule.entry.traits.target == "none" or rule.entry.traits.own_costs:
        return None, ""
    because = ""
    name = options.loss or rule.entry.traits.loss or (net.entry.traits.loss if net else None) or task.loss or "squared"
    unit_loss = net.entry.traits.unit_loss if net is not None and tasks.find(task.name).traits.targetless else None
    if options.loss is None and unit_loss is not None and in_unit_range(data):
        name, because = unit_loss, ": the rows lie in [0, 1]"
    if data.target_kind == "real" and options.loss is None and name == "cross-entropy":
        raise InputError(f"{net.entry.name if net else 'this net'} sorts into classes; {data.name} has a numeric target. "
                         "Use --net linear or --net mlp, or --loss squared.")
    return losses.choose(name), because


def _steps(options: Options, net: Chosen[NetTraits] | None, rule: Chosen[RuleTraits],
           data: Data) -> tuple[Chosen[OptimizerTraits], int, bool]:
    """The optimizer, how many samples each step reads, and whether those are the whole training part because one needs them all.

    Raises InputError for an optimizer that compares losses of successive steps, over batches that differ.
    """
    n = len(data.train)
    own = net.entry.traits.optimizer(net.options) if net is not None and net.entry.traits.optimizer is not None else None
    optimizer = optimizers.choose(options.optimizer or own or rule.entry.traits.optimizer)
    whole = "everything" in (rule.entry.traits.reads, optimizer.entry.traits.reads if options.batch is None else None)
    usual = 32 if n < 5_000 else 50 if len(data.input_shape) == 3 else 128
    batch = n if whole else options.batch or rule.entry.traits.batch or usual
    if optimizer.entry.traits.compares and batch < n:
        raise InputError(f"{optimizer.entry.name} compares each step's loss with the last one's, which must be over the same rows; --batch "
                         f"{batch} of {n:,} gives it others. Leave out --batch, or use --optimizer sgd.")
    return optimizer, batch, whole


def _lengths(options: Options, rule: Chosen[RuleTraits], batch: int, data: Data, *, staged: bool) -> tuple[Options, list[str]]:
    """The options with epochs, epochs of each stage and patience filled in, and what was chosen.

    Raises InputError for patience where no rows validate.
    """
    choices = []
    epochs, stage_epochs, patience, usual = options.epochs, options.stage_epochs, options.patience, rule.entry.traits.epochs
    if epochs is None and options.steps is None and options.seconds is None:
        per_epoch = max(1, len(data.train) // batch)
        epochs = max(usual or max(FEWEST_EPOCHS, min(MOST_EPOCHS, round(AIM_STEPS / per_epoch))), options.snapshots or 0)
        if staged and stage_epochs is None:
            stage_epochs = epochs
        choices.append(f"{epochs} epochs of each stage" if staged and options.stage_epochs is None else f"{epochs} epochs")
    if not len(data.valid):
        if patience is not None:
            raise InputError(f"--patience {patience} waits for the validation part to improve, and --split leaves none. Leave it out, or "
                             "write --split train=.7,valid=.15,test=.15.")
        choices.append("the last weights, since no rows validate")
    elif patience is None and options.epochs is None and epochs is not None and usual is None and options.snapshots is None:
        patience = max(5, epochs // 4)
        choices.append(f"patience {patience}")
    return replace(options, epochs=epochs, stage_epochs=stage_epochs, patience=patience), choices


def _schedule(options: Options) -> tuple[ByPart[NoTraits] | None, list[str]]:
    """The schedule of the rate, that of snapshots where they are kept, and what was chosen.

    Raises InputError for snapshots of a schedule that has cycles of its own.
    """
    schedule = schedule_of(options)
    if not options.snapshots:
        return schedule, []
    if schedule is None:
        return ByPart.read(schedules, "cosine"), ["schedule cosine, begun anew for each snapshot"]
    cyclic = [one.entry.name for _, one in schedule.chosen if "cycles" in one.entry.options]
    if cyclic:
        raise InputError(f"--snapshots begins the schedule anew in each cycle, and {cyclic[0]} has cycles of its own. "
                         "Use --schedule cosine, or leave it out.")
    return schedule, []


def of_series(net: Chosen[NetTraits], data: Data) -> Chosen[NetTraits]:
    """A net that says how many targets a series has, and which season, with these as the data have them, where the user left them open."""
    form = data.encoder.inputs.lagging
    if form is None:
        return net
    known = {"targets": len(form.targets), "season": form.clock.season}
    open_ones = {name: value for name, value in known.items()
                 if name in net.entry.options and name not in net.options and value != net.entry.options[name].default}
    return Chosen(net.entry, {**net.options, **open_ones})


def of_strings(net: Chosen[NetTraits], data: Data) -> Chosen[NetTraits]:
    """A net that says how long the strings are that it writes, with the longest in training and its end, where the user left it open."""
    if data.target_kind != "labels" or LONGEST not in net.entry.options or LONGEST in net.options or not len(data.train):
        return net
    return Chosen(net.entry, {**net.options, LONGEST: int((data.train.y >= 0).sum(1).max()) + 1})


def of_rows(net: Chosen[NetTraits], rows: int) -> Chosen[NetTraits]:
    """A net that has a unit for each training row, with their number, where the user left it open."""
    if not net.entry.traits.units_of_rows or net.entry.traits.units_of_rows in net.options:
        return net
    return Chosen(net.entry, {**net.options, net.entry.traits.units_of_rows: rows})


def target_kind(rule: Chosen[RuleTraits], source: Source, classes: int, loss: str | None = None) -> TargetKind:
    """What `prepare` encodes the targets as, for this rule, this data, and a loss that is named."""
    wanted = rule.entry.traits.target
    if wanted == "any" and source.target_kind == "class" and classes == 2 and loss is not None:
        reads = losses.choose(loss).make().targets
        wanted = "sign" if "sign" in reads and "class" not in reads else wanted
    if wanted == "sign" and classes != 2 and rule.entry.traits.several:
        wanted = rule.entry.traits.several
    return source.target_kind if wanted == "any" else wanted


def choose_task(options: Options, own_module: bool, source: Source) -> Entry[TaskTraits]:
    """The task that is named, or that the net is made for, or what such data is usually asked.

    Raises InputError where the task does not answer such targets, or the net gives no answers of its kind.
    """
    net = nets.choose(options.net) if options.net is not None and not own_module else None
    made_for = net.entry.traits.tasks if net is not None else ()
    plain = (net is not None or own_module) and not made_for
    rule_name = options.rule or (net.entry.traits.rule if net is not None else None)
    blind = rule_name is not None and rules.choose(rule_name).entry.traits.target == "none"
    kind = "none" if blind else source.target_kind                                        # a rule may read no targets
    every = sorted(tasks.entries(), key=lambda entry: not entry.traits.steps)            # the more particular first
    stepped = kind == "steps" or isinstance(source.inputs, Symbols)
    fitting = [entry for entry in every if kind in entry.traits.targets]
    if options.task is not None:
        entry = tasks.find(options.task)
        if entry not in fitting:
            able = ", ".join(one.name for one in fitting if stepped or not one.traits.steps)
            raise InputError(f"The task {entry.name} needs other targets than {source.name} has ({kind}). Use --task {able}.")
        if made_for and entry.name not in made_for:
            raise InputError(f"The net {net.entry.name if net else ''} is made for {', '.join(made_for)}; got --task {entry.name}. Use "
                             f"--task {made_for[0]}, or another --net.")
        return entry
    asked = replace(source, target_kind=kind)
    usual = [entry for entry in fitting if entry.traits.usual is not None and entry.traits.usual(asked)]
    chosen_by = [] if net is None else [name for name, asking in net.entry.traits.for_task.items()
                                        if asking and all(net.options.get(option) == value for option, value in asking.items())]
    if chosen_by:
        return tasks.find(chosen_by[0])
    if made_for:
        first = next((entry for entry in (*usual, *fitting) if entry.name in made_for), tasks.find(made_for[0]))
        if kind not in first.traits.targets and set(PLACED) & {kind, *first.traits.targets}:
            raise InputError(f"The net {net.entry.name if net else ''} is made for {', '.join(made_for)}, whose targets are "
                             f"{' or '.join(first.traits.targets)}; {source.name} has {kind}. Use another --net, or leave it out.")
        return first
    chosen = next((entry for entry in usual if not (plain and entry.traits.steps)), None)
    if chosen is None:
        raise InputError(f"{source.name} asks for an answer at every step, which this net does not give. Use --net "
                         f"{next((one.traits.net for one in usual if one.traits.net), None) or 'rnn'}.")
    if net is not None and not made_for and not chosen.traits.rowwise and not chosen.traits.targetless:
        raise InputError(f"{net.entry.name} gives one answer a row; {source.name} has {kind} as targets, which {chosen.name} answers. Use "
                         f"--net {chosen.traits.net}.")
    return chosen
