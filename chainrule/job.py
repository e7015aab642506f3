"""A job: options and data made into what the engine runs, and what later opens the test part or predicts new rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

import chainrule
from chainrule.core.errors import InputError
from chainrule.core.events import Event
from chainrule.core.losses import Loss, custom, identity, shares
from chainrule.core.net import Net
from chainrule.core.objective import Solve, Solver
from chainrule.core.registry import Chosen, constraints, inits, optimizers, rules, schedules
from chainrule.core.rule import Alter, Batch, Budget, Descend, Learner, Rule, Stage, Stages, prepared, restarted
from chainrule.core.tree import clone
from chainrule.data.augment import augmentation
from chainrule.data.encode import TargetKind
from chainrule.data.feed import Feed, feed_of
from chainrule.data.source import Data, Part, Source
from chainrule.engine.eager import copied
from chainrule.engine.inference import Inference
from chainrule.engine.memory import Memory, usual_folder
from chainrule.engine.planner import check_asked
from chainrule.engine.randomness import Aside
from chainrule.engine.store import Store
from chainrule.engine.train import Settings, Stop, Training, Validate
from chainrule.options import Options, choose_rule, complete, target_kind
from chainrule.resample import bootstrapped, folded
from chainrule.weighting import weighted

LossLike = str | Callable[[Tensor, Tensor], Tensor] | None
EVALUATION_ROWS = 250   # a forward pass of more holds more memory than a step, and is hardly faster
DENSITY_ROWS = 2000
FIT_ROWS = 8
INIT_ROWS = 256
DENSITIES = {"free_energy": "free_energy", "log_prob": "log_likelihood"}


@dataclass
class Job:
    """Everything of one run that is not yet on disk. `said` lists what was chosen for the user.

    `augment` alters the inputs of training steps; the `rule` itself knows nothing of it, so that validation may use it.
    """

    source: Source
    data: Data
    net: Net
    net_name: str
    rule: Rule
    rule_name: str
    loss: Loss | None
    options: Options
    said: list[str]
    device: torch.device
    target: TargetKind
    keeps_last: bool = False
    one_hot: int = 0
    augment: Alter | None = None

    def events(self, store: Store | None = None, stop: Stop | None = None, at: int = 0,
               made: list[dict[str, Any]] | None = None) -> Iterator[Event]:
        """Train, as a stream of events; afterwards `net` holds the best weights. `made` are plans recorded earlier."""
        return self.training(store, stop, at, made).run()

    def training(self, store: Store | None = None, stop: Stop | None = None, at: int = 0,
                 made: list[dict[str, Any]] | None = None) -> Training:
        """What the engine runs for this job."""
        options, feed = self.options, self.feed()
        settings = Settings(seed=options.seed, plan=options.plan, precision=options.precision, threads=options.threads,
                            patience=options.patience, monitor=self.monitor, save_every=options.save_every, made=made,
                            identity=self.identity, memory=Memory(usual_folder()), snapshots=options.snapshots or 0)
        stages, validate = self.stages()
        return Training(stages, self.net, lambda _: feed, validate, settings, store, stop or Stop(), at)

    def stages(self) -> tuple[Stages, Validate]:
        """What is trained, by which rule and for how long, one after the other, and what measures it at the end of each epoch."""
        options = self.options
        if options.stages is None:
            return [Stage(self.reading(self.rule), Budget(options.epochs, options.steps, options.seconds))], self.validate
        from chainrule.layerwise import stages_of

        return stages_of(self)

    def anew(self, budget: Budget) -> Rule:
        """Its rule made anew for a budget of its own, over which a schedule runs."""
        options = replace(self.options, epochs=budget.epochs, steps=budget.steps)
        schedule = schedules.choose(options.schedule) if options.schedule else None
        constraint = constraints.choose(options.constraint) if options.constraint else None
        return make_rule(rules.choose(self.rule_name), self.loss, optimizers.choose(str(options.optimizer)), schedule,
                         _steps(options, len(self.data.train)), constraint)

    def kind(self) -> tuple[tuple[Any, ...], dict[str, float]]:
        """What members of a stack must have in common, beside shapes; and the numbers in which they may differ, e.g. `optimizer.rate`."""
        options = self.options
        common: list[Any] = []
        numbers: dict[str, float] = {}
        for owner, chosen in (("rule", rules.choose(self.rule_name)), ("optimizer", optimizers.choose(str(options.optimizer)))):
            values = {f"{owner}.{name}": chosen.options.get(name, option.default) for name, option in chosen.entry.options.items()}
            numbers |= {name: value for name, value in values.items() if isinstance(value, float)}
            common += [chosen.entry.name, *((name, value) for name, value in values.items() if name not in numbers)]
        steps = _steps(options, len(self.data.train)) if options.schedule else 0
        return (*common, options.loss, options.schedule, options.snapshots, options.constraint, steps, options.augment, options.plan,
                options.precision, options.threads, self.one_hot, self.target, self.data.encoder.maximum,
                self.data.train.weight is None), numbers

    def remaking(self) -> Callable[[Mapping[str, Any]], Rule]:
        """A function that makes its rule anew with some of its `numbers` replaced."""
        rule, optimizer = rules.choose(self.rule_name), optimizers.choose(str(self.options.optimizer))
        schedule = schedules.choose(self.options.schedule) if self.options.schedule else None
        constraint = constraints.choose(self.options.constraint) if self.options.constraint else None
        steps = _steps(self.options, len(self.data.train))

        def make(numbers: Mapping[str, Any]) -> Rule:
            def at(chosen: Chosen, owner: str) -> Chosen:
                own = {name.removeprefix(owner): value for name, value in numbers.items() if name.startswith(owner)}
                return replace(chosen, options={**chosen.options, **own})

            remade = make_rule(at(rule, "rule."), self.loss, at(optimizer, "optimizer."), schedule, steps, constraint,
                               self.options.snapshots or 1)
            return self.reading(remade)

        return make

    def reading(self, rule: Rule) -> Rule:
        """`rule` as it reads the feed's batches, which come as they are stored: what a net reads is made of them inside the step."""
        return prepared(rule, self.data.ready, self.augment)

    def feed(self) -> Feed:
        """The training part in batches, inputs as they are stored, targets as this job's rule and loss read them."""
        return feed_of(self.data.train, as_stored, batch=self.options.batch or 1, seed=self.options.seed, device=self.device,
                       everything=self.whole, one_hot=self.one_hot)

    @property
    def whole(self) -> bool:
        """Whether each step reads all rows: as its rule must, or as its solver would unless a smaller batch was asked for."""
        smaller = isinstance(self.rule, Solve) and (self.options.batch or 1) < len(self.data.train)
        return self.rule.reads == "everything" and not smaller

    @property
    def identity(self) -> str:
        """Net, rule and loss in words, under which measured plans are remembered."""
        loss = self.loss.name if self.loss else "no loss"
        options = self.options
        return " | ".join([self.net_name, self.rule_name, loss, str(options.optimizer), str(options.schedule), str(options.augment),
                           str(options.constraint), str(options.snapshots),
                           type(self.net.module).__qualname__, f"chainrule {chainrule.__version__}"])

    @property
    def monitor(self) -> tuple[str, ...]:
        """What decides which weights are best; nothing where the rule says that its last ones are."""
        if self.keeps_last:
            return ()
        return ("accuracy", "loss") if self.data.task == "classification" else ("loss",)

    def validate(self, learner: Learner) -> dict[str, float]:
        """Loss and, where there are targets, accuracy or errors on the validation part."""
        part = self.data.valid
        if self.loss is None or part.y is None:
            rows = part.x[:DENSITY_ROWS].to(self.device)
            batch = Batch(self.data.ready(rows), None)
            *_, report = self.rule.step(*copied(learner), batch)
            return {"loss": float(report["loss"])}
        from chainrule.evaluate.measures import quick

        y = part.y.to(self.device)
        outputs = self.inference.plainly(part.x)
        weight = None if part.weight is None else part.weight.to(self.device)
        loss = float(Batch(outputs, y, weight).mean(self.loss.each(outputs, y)))
        if self.data.task == "classification":
            return {"loss": loss, **quick(self.probabilities(outputs), self.class_numbers(y), "classification")}
        unscale = self.data.encoder.unscale
        return {"loss": loss, **quick(unscale(self.loss.link(outputs).cpu()), unscale(part.y), "regression")}

    @cached_property
    def inference(self) -> Inference:
        """What runs rows through the net."""
        return Inference(self.net, self.data.ready, self.device, self.options.precision)

    def outputs(self, x: Tensor, expected: int | None = None) -> Tensor:
        """Raw scores (n, outputs) for stored inputs (n, ...), in the fastest way where `expected` rows, or these, are many."""
        self.net.module.eval()
        return self.inference(x, expected)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Class probabilities (n, classes) from raw scores."""
        assert self.loss is not None
        return probabilities(outputs, self.target == "sign", self.loss.link)

    def class_numbers(self, y: Tensor) -> Tensor:
        """Targets as the rule reads them, as class numbers (n,)."""
        return ((y + 1) / 2).round().long().reshape(-1) if self.target == "sign" else y

    def predictions(self, part: Part, expected: int | None = None) -> Tensor:
        """What the net says of a part: class probabilities (n, classes), values in target units (n, k), or scores (n,).

        Where the part is one block of more, `expected` is how many rows are to come in all.
        """
        outputs = self.outputs(part.x, expected)
        if self.loss is None:
            return outputs
        if self.data.task == "classification":
            return self.probabilities(outputs).cpu()
        return self.data.encoder.unscale(self.loss.link(outputs).cpu())

    def scores(self, part: Part) -> tuple[str, Tensor]:
        """What a net without targets says of each sample, (n,), by its own name: log likelihood, free energy, or its mean output."""
        for method, name in DENSITIES.items():
            if hasattr(self.net.module, method):
                self.net.module.eval()
                with torch.no_grad():
                    said = [self.net.call(method, self.data.ready(rows.to(self.device))) for rows in part.x.split(EVALUATION_ROWS)]
                return name, torch.cat(said).cpu()
        return "mean_output", self.outputs(part.x).mean(1).cpu()


def build(source: Source, options: Options, *, module: nn.Module | None = None, loss: LossLike = None,
          weights: Tensor | None = None) -> Job:
    """Split, encode, choose and construct. Raises InputError for anything that does not fit together."""
    from chainrule.data import prepare
    from chainrule.data.splits import parse_split

    options = options.checked()
    check_asked(options.plan, options.precision, pick_device(options.device))
    net_chosen, rule_chosen = choose_rule(options, module is not None)
    classes = [c.strip() for c in options.classes.split(",")] if options.classes else None
    kind = target_kind(rule_chosen, source, len(classes) if classes else len(source.classes))
    if rule_chosen.entry.traits["target"] == "any" and source.task == "none":
        raise InputError(f"{rule_chosen.entry.name} needs targets; {source.name} has none. Name a column with --target, or use --net rbm.")
    encoded = partial(prepare, source, seed=options.division, range=rule_chosen.entry.traits.get("range", "standard"), target=kind,
                      flatten=rule_chosen.entry.traits["reads"] == "features", classes=classes, weights=weights,
                      bounded=bool(net_chosen and net_chosen.entry.traits.get("bounded")))
    data = encoded(split=parse_split(options.split) if options.split else None)
    if options.fold:
        data = folded(data, options.fold, options.division, lambda rows: encoded(split=rows))
    if options.bootstrap:
        data = bootstrapped(data, options.bootstrap, options.seed)
    if options.class_weights:
        data = weighted(data, options.class_weights)
    return assemble(data, options, net_chosen, rule_chosen, kind, module=module, loss=loss)


def assemble(data: Data, options: Options, net_chosen: Chosen | None, rule_chosen: Chosen, kind: TargetKind, *,
             module: nn.Module | None = None, loss: LossLike = None, dtype: torch.dtype = torch.float32, made_as: type[Job] = Job,
             keeps_last: bool = False) -> Job:
    """The job for data that is already split and encoded, with what the options leave open chosen."""
    device = pick_device(options.device)
    choice = complete(options, net_chosen, rule_chosen, data, module is not None, callable(loss))
    the_loss = custom(loss, data.task) if callable(loss) else choice.loss.make() if choice.loss else None
    if the_loss is not None and kind not in the_loss.targets:
        raise InputError(f"loss {the_loss.name} reads {' or '.join(the_loss.targets)} targets; {data.name} gives {kind} ones. "
                         f"Use --loss {'squared' if kind == 'real' else 'cross-entropy' if kind == 'class' else 'hinge'}.")
    init = options.init
    with Aside(options.seed, device):
        if module is None:
            assert choice.net is not None
            from chainrule.onelayer import trainable

            module = choice.net.make(data.input_shape, 1 if kind == "sign" else data.outputs)
            trainable(module, str(choice.net))
            init = init or choice.net.entry.traits.get("init")
        if init:
            from chainrule.nets.initial import initialise

            start = inits.choose(init)
            initialise(module, start, _few(data) if start.entry.traits.get("reads_data") else None)
    module.to(device=device, dtype=dtype)
    steps, cycles = _steps(choice.options, len(data.train)), choice.options.snapshots or 1
    if steps < cycles:
        raise InputError(f"--snapshots {cycles} needs at least a step for each; {choice.options.epochs} epochs have {steps}. Give more "
                         "--epochs, or a smaller --batch.")
    rule = make_rule(rule_chosen, the_loss, choice.optimizer, choice.schedule, steps, choice.constraint, cycles)
    name = str(choice.net) if choice.net else type(module).__name__
    wanted = inspect.signature(rule_chosen.entry.make).parameters
    spread = the_loss is not None and the_loss.one_hot and kind == "class" and "loss" in wanted
    job = made_as(data.source, data, Net.of(module), name, rule, str(rule_chosen), the_loss, choice.options, choice.said, device, kind,
                  keeps_last=keeps_last or rule_chosen.entry.traits.get("best") == "last",
                  one_hot=data.outputs if spread else 0,
                  augment=augmentation(options.augment, data.encoder.shape, data.name) if options.augment else None)
    _check_fit(job)
    if choice.options.stages:
        job.stages()
    return job


def make_rule(chosen: Chosen, loss: Loss | None, optimizer: Chosen, schedule: Chosen | None, steps: int,
              constraint: Chosen | None = None, cycles: int = 1) -> Rule:
    """A rule from its name: a direction or an objective joined with an optimizer, or a whole rule given what its signature names.

    The schedule is gone through in each of so many `cycles`.

    Raises InputError where the optimizer, or the constraint, asks for what this rule does not offer.
    """
    made = chosen.entry.make
    follower = optimizer.make()
    rate = schedule.make() if schedule else None
    supplied: dict[str, Any] = {"loss": loss, "optimizer": follower, "steps_total": steps,
                                "schedule": restarted(rate, cycles) if rate and cycles > 1 else rate}
    wanted = inspect.signature(made).parameters
    offers = chosen.entry.traits.get("objective")
    takes = not chosen.entry.traits["whole"] or "optimizer" in wanted
    if isinstance(follower, Solver) and (takes or offers):
        if offers is None:
            able = ", ".join(entry.name for entry in rules.entries() if "objective" in entry.traits)
            raise InputError(f"{optimizer.entry.name} needs the loss itself, at other weights too; {chosen.entry.name} offers only a "
                             f"direction. Use --rule {able}, or --optimizer sgd.")
        if constraint is not None:
            raise InputError(f"{optimizer.entry.name} chooses its own steps and cannot keep to {constraint}. Use --optimizer sgd or adam.")
        return Solve(offers(loss, **chosen.options), follower, schedule=supplied["schedule"], steps=steps,
                     reads=optimizer.entry.traits.get("reads", "batch"), tolerance=chosen.entry.traits["tolerance"])
    if constraint is not None and chosen.entry.traits["whole"]:
        raise InputError(f"{chosen.entry.name} moves the weights by itself and takes no --constraint. Leave it out, or use --rule "
                         "backprop.")
    if chosen.entry.traits["whole"]:
        if cycles > 1 and "schedule" not in wanted:
            raise InputError(f"{chosen.entry.name} follows no schedule that --snapshots could begin anew. Leave it out, or use --rule "
                             "backprop.")
        return chosen.make(**{k: v for k, v in supplied.items() if k in wanted})
    direction = partial(made, **({"loss": loss} if "loss" in wanted else {}), **chosen.options)
    traits = chosen.entry.traits
    additive = "additive" in traits and all(chosen.options.get(option) is None for option in traits["additive"])
    penalty = traits["penalty"](**chosen.options) if "penalty" in traits and optimizer.entry.traits.get("compares") else None
    return Descend(direction, supplied["optimizer"], schedule=supplied["schedule"], steps=steps, reads=traits["reads"],
                   target=traits["target"], tolerance=traits["tolerance"], additive=additive,
                   constraint=constraint.make() if constraint else None, penalty=penalty)


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA, then MPS, then the CPU. Raises InputError where the machine lacks what was asked for."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    if name not in ("cpu", "cuda", "mps"):
        raise InputError(f"--device is auto, cpu, cuda or mps; got '{name}'.")
    if (name == "cuda" and not torch.cuda.is_available()) or (name == "mps" and not torch.backends.mps.is_available()):
        raise InputError(f"--device {name} is not on this machine. Use --device cpu, or leave it out.")
    return torch.device(name)


def probabilities(outputs: Tensor, signed: bool, link: Callable[[Tensor], Tensor]) -> Tensor:
    """Class probabilities (n, classes) from the raw scores of a net, `signed` where it gives one for two classes."""
    if signed:
        positive = torch.sigmoid(2 * outputs.reshape(-1))
        return torch.stack([1 - positive, positive], 1)
    return shares(outputs) if link is identity else link(outputs)


def as_stored(x: Tensor) -> Tensor:
    return x


def _few(data: Data) -> Tensor:
    """Training rows (n, ...) spread over the whole part, since neighbours may be alike, as a net reads them."""
    n = len(data.train)
    return data.ready(data.train.x[torch.linspace(0, n - 1, min(n, INIT_ROWS)).long()])


def _steps(options: Options, n: int) -> int:
    """How many steps a run takes at most, over which a schedule runs; an epoch's where only a deadline ends it."""
    per_epoch = max(1, -(-n // (options.batch or 1)))
    bounds = [bound for bound in (options.steps, per_epoch * (options.epochs or 0)) if bound]
    return min(bounds, default=per_epoch)


def _check_fit(job: Job) -> None:
    """Take one step on a copy before anything is saved, so that a rule, a net and a loss that do not fit are said at once."""
    part, rows = job.data.train, slice(0, FIT_ROWS)
    few = part.x[rows].to(job.device)
    batch = Batch(few, None if part.y is None else part.y[rows].to(job.device))
    try:
        with Aside(job.options.seed, job.device):
            tried = copied(Learner(job.net, {}))
            state = clone(job.rule.init(tried.net))
            if job.rule.reads != "everything":
                job.reading(job.rule).step(tried.net, state, batch)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        shape = tuple(job.data.ready(few).shape[1:])
        reason = str(error).splitlines()[0]
        raise InputError(f"{job.net_name} does not fit {job.data.name}: inputs of shape {shape}, {job.data.outputs} outputs wanted "
                         f"({reason}). Check --net and --loss against the data.") from None


def split_sizes(data: Data) -> dict[str, int]:
    return {"train": len(data.train), "valid": len(data.valid), "test": len(data.door)}


