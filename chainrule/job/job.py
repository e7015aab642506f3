"""A job: options and data made into what the engine runs; what answers when it has trained is its `Trained`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

import chainrule
from chainrule.core.abilities.densities import HasChain
from chainrule.core.abilities.nets import Samples
from chainrule.core.abilities.tasks import Draws, JudgesSamples, Watches
from chainrule.core.batch import Batch, map_tensors
from chainrule.core.criterion import Criterion, Solve, separated
from chainrule.core.descend import Alter, Read, prepared
from chainrule.core.errors import InputError
from chainrule.core.events import Event, Finished
from chainrule.core.looking import Observer, steps_between
from chainrule.core.loss import Loss, identity
from chainrule.core.net import Net
from chainrule.core.registry import Chosen, optimizers, rules, tasks
from chainrule.core.rule import Learner, Rule
from chainrule.core.sampling import Request, Sketch
from chainrule.core.sheets import packed, room_for
from chainrule.core.stage import Budget, Stage, Stages
from chainrule.data.feed.lanes import Lanes
from chainrule.data.feed.shuffled import Feed, feed_of
from chainrule.data.source import Data, Source, TargetKind
from chainrule.engine.consult import Consulted
from chainrule.engine.plans.cache import Memory, usual_folder
from chainrule.engine.plans.eager import copied
from chainrule.engine.position import Settings, Validate
from chainrule.engine.seat import Seat
from chainrule.engine.stop import Stop
from chainrule.engine.store import Store
from chainrule.engine.train import train_seat
from chainrule.job.buckets import bucketed
from chainrule.job.greedy import stages_of
from chainrule.job.options import LAYERS, Options
from chainrule.job.pretraining import measuring, pretraining_of, whole_after
from chainrule.job.rule_spec import constraint_of, lanes_of, make_rule, schedule_in_shares
from chainrule.job.start import Start
from chainrule.job.trained import Trained
from chainrule.tasks.task import Task

DENSITY_ROWS = 2000
PICTURED_AT = (100, 300, 1000, 3000, 10_000)       # steps after which pictures are recorded
CHAIN_STEPS = 200                                  # of the Markov chain that ends at each


@dataclass
class Job:
    """Everything of one run that is not yet on disk. `trained` holds the net; `choices` lists what was chosen for the user.

    `augment` alters the inputs of training steps; the `rule` itself knows nothing of it, so that validation may use it; `mix` mixes these
    with each other. `start` are the trained weights that the net began with, None where it was drawn anew. The `doctor` is shown all
    events; `facts` are what it knows before the first, for the log. The `observer` looks at its steps, None for nobody.
    """

    source: Source
    data: Data
    trained: Trained
    rule: Rule
    rule_name: str
    options: Options
    choices: list[str]
    keeps_last: bool = False
    one_hot: int = 0
    augment: Alter | None = None
    mix: Read | None = None
    start: Start | None = None
    doctor: Consulted | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    observer: Observer | None = None

    @property
    def net(self) -> Net:
        return self.trained.net

    @property
    def net_name(self) -> str:
        return self.trained.net_name

    @property
    def task(self) -> Task:
        return self.trained.task

    @property
    def loss(self) -> Loss | None:
        return self.trained.loss

    @property
    def device(self) -> torch.device:
        return self.trained.device

    @property
    def target(self) -> TargetKind:
        """What its targets are encoded as."""
        return self.trained.encoder.target.kind

    def events(self, store: Store | None = None, stop: Stop | None = None, at: int = 0,
               made: list[dict[str, Any]] | None = None) -> Iterator[Event]:
        """Train, as a stream of events; afterwards `net` holds the best weights. `made` are plans recorded earlier."""
        return train_seat(self.seat(store, stop, at, made))

    def seat(self, store: Store | None = None, stop: Stop | None = None, at: int = 0,
             made: list[dict[str, Any]] | None = None, again: Finished | None = None) -> Seat:
        """Its place at the engine's loop; `again` is the end of a run that is to be repeated step by step."""
        options, feed = self.options, self.feed()
        settings = Settings(seed=options.seed, plan=options.plan, precision=options.precision, threads=options.threads,
                            patience=options.patience, monitor=self.monitor, save_every=options.save_every, made=made,
                            identity=self.identity, memory=Memory(usual_folder()), snapshots=options.snapshots or 0,
                            samples=self.drawn_at,
                            ends=tuple(again.stage_steps) if again else (),
                            shares=tuple(map(tuple, again.shares)) if again else (),
                            rates=tuple(map(tuple, again.rates)) if again else (),
                            doctor=self.doctor, look=steps_between(options.look), observer=self.observer)
        stages, validate = self.stages()
        return Seat(stages, self.net, lambda _: feed, validate, settings, store, stop, at, sample=self.sample)

    @property
    def drawn_at(self) -> tuple[int, ...]:
        """After which steps samples of the net are recorded: texts as the task asks, and pictures of a net that generates them."""
        if isinstance(self.task, Draws):
            return self.task.drawn_at
        shape = self.data.encoder.inputs.picture_shape
        return PICTURED_AT if isinstance(self.net.module, Samples) and shape is not None and room_for(shape) else ()

    def sample(self) -> Sketch:
        """What the net makes as it is now."""
        if isinstance(self.task, Draws):
            return Sketch(self.trained.sample(self.task.drawn_then).texts)
        shape = self.data.encoder.inputs.picture_shape
        assert shape is not None
        steps = CHAIN_STEPS if isinstance(self.net.module, HasChain) else None
        try:
            rows = self.trained.sample(Request(room_for(shape), steps=steps)).rows
        except InputError:                             # a net that cannot be drawn from as it is has nothing to show
            rows = None
        return Sketch() if rows is None else Sketch(pictures=(packed(rows.reshape(-1, *shape)),))

    def stages(self) -> tuple[Stages, Validate]:
        """What is trained, by which rule and for how long, one after the other, and what measures it at the end of each epoch."""
        options = self.options
        budget = Budget(options.epochs, options.steps, options.seconds)
        if options.by_stages is None:
            return [Stage(self.reading(self.rule), budget)], self.validate
        example = self.data.ready(self.data.train.x[:2].to(self.device))
        if options.stages != LAYERS:
            again = tasks.find(self.task.name).traits.targetless
            before = pretraining_of(self.net, example, len(self.task.classes), again, budget, options.stage_epochs, self.stage_rule,
                                    self.data.ready)
            last = whole_after(self.net, before, again, self.reading(self.rule), budget, options.stage_epochs)
            return [*before, last], measuring(self.net, before, self.data.valid, self.validate)
        return stages_of(self.net, example, 1 if self.target == "sign" else self.data.outputs, budget, self.anew, self.reading,
                         lambda net, learner: replace(self, trained=replace(self.trained, net=net)).validate(learner))

    @property
    def criterion(self) -> Criterion | None:
        """What is lowered; None for rules that read no targets."""
        return self.task.criterion(self.loss)

    @property
    def learned(self) -> Criterion | None:
        """The criterion as its rule lowers it: of an ensemble, the loss of each member."""
        return separated(self.criterion, self.net.module)

    def anew(self) -> Rule:
        """Its rule made anew."""
        options = self.options
        return make_rule(rules.choose(self.rule_name), self.learned, optimizers.choose(str(options.optimizer)),
                         schedule_in_shares(options), constraint_of(options), lanes=lanes_of(self.data, options))

    def stage_rule(self, slower: float) -> Rule:
        """The rule of a stage before the whole, made anew, at so many times its rate."""
        optimizer = optimizers.choose(str(self.options.stage_optimizer))
        rate = optimizer.values().get("rate")
        optimizer = optimizer if rate is None or slower == 1 else optimizer.at({"rate": slower * rate})
        return make_rule(rules.choose(str(self.options.stages)), None, optimizer, None)

    def kind(self) -> tuple[tuple[Any, ...], dict[str, float]]:
        """What members of a stack must have in common, beside shapes; and the numbers in which they may differ, e.g. `optimizer.rate`."""
        options = self.options
        common: list[Any] = []
        numbers: dict[str, float] = {}
        for owner, chosen in (("rule", rules.choose(self.rule_name)), ("optimizer", optimizers.choose(str(options.optimizer)))):
            values = {f"{owner}.{name}": value for name, value in chosen.values().items()}
            numbers |= {name: value for name, value in values.items() if isinstance(value, float)}
            common += [chosen.entry.name, *((name, value) for name, value in values.items() if name not in numbers)]
        return (*common, options.loss, options.schedule, options.snapshots, options.constraint, options.augment, options.plan,
                options.precision, options.threads, self.one_hot, options.buckets, self.target, self.data.encoder.inputs.scaling,
                self.data.train.weight is None), numbers

    def remaking(self) -> Callable[[Mapping[str, Any]], Rule]:
        """A function that makes its rule anew with some of its `numbers` replaced."""
        rule, optimizer = rules.choose(self.rule_name), optimizers.choose(str(self.options.optimizer))
        schedule, constraint = schedule_in_shares(self.options), constraint_of(self.options)

        def make(numbers: Mapping[str, Any]) -> Rule:
            def at(chosen: Chosen[Any], owner: str) -> Chosen[Any]:
                return chosen.at({name.removeprefix(owner): value for name, value in numbers.items() if name.startswith(owner)})

            remade = make_rule(at(rule, "rule."), self.learned, at(optimizer, "optimizer."), schedule, constraint,
                               cycles=self.options.snapshots or 1, lanes=lanes_of(self.data, self.options))
            return self.reading(remade)

        return make

    def reading(self, rule: Rule) -> Rule:
        """`rule` as it reads the feed's batches, which come as they are stored: what a net reads is made of them inside the step."""
        return prepared(rule, self.data.ready, self.augment, mix=self.mix)

    def feed(self) -> Feed:
        """The training part in batches, inputs as they are stored, targets as this job's rule and loss read them."""
        if rules.choose(self.rule_name).entry.traits.carries:
            return Lanes(self.data.train, identity, lanes=lanes_of(self.data, self.options), seed=self.options.seed,
                         device=self.device)
        if self.options.buckets is not None and not self.whole:
            return bucketed(self.data, self.options.buckets, batch=self.options.batch or 1, seed=self.options.seed, device=self.device,
                            one_hot=self.one_hot)
        return feed_of(self.data.train, identity, batch=self.options.batch or 1, seed=self.options.seed, device=self.device,
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
        return ("loss",) if self.options.folds else self.task.watch

    def validate(self, learner: Learner) -> dict[str, float]:
        """The costs and quick measures of the validation part; what the rule reports of it, where it brings its own costs.

        Nothing where no rows validate, so that the last weights are the result.
        """
        part, criterion = self.data.valid, self.criterion
        if not len(part):
            return {}
        if criterion is None or (part.y is None and self.loss is not None):
            few = part.rows_at(0, DENSITY_ROWS)
            y = map_tensors(lambda t: t.to(self.device), few.y) if self.rule.target == "any" else None
            x = self.data.ready(few.x[:].to(self.device))
            *_, report = self.rule.step(*copied(learner), Batch(x, y))
            judged = self.task.quick_of_samples(self.trained.inference, part) if isinstance(self.task, JudgesSamples) else {}
            more = self.task.watched_on(learner.net, x) if isinstance(self.task, Watches) else {}
            return {"loss": float(report["loss"]), **judged, **more}
        return self.task.validate(self.trained.inference, part, criterion, self.loss)
