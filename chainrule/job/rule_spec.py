"""A rule as it is asked for: its name, loss, optimizers, schedule and constraints, and the rule made of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from chainrule.core.criterion import Criterion, OfOutputs, Solve, Solver
from chainrule.core.descend import Constraint, Descend, Descent, Schedule
from chainrule.core.errors import InputError
from chainrule.core.registry import Chosen, Entry, constraints, optimizers, rules, schedules
from chainrule.core.rule import Rule
from chainrule.core.traits import NetTraits, NoTraits, OptimizerTraits, RuleTraits
from chainrule.data.source import Data
from chainrule.job.by_part import ByPart
from chainrule.job.options import LAYERS, NONE, Options
from chainrule.optim.schedules import in_shares


def parts_of(entry: Entry[RuleTraits]) -> list[str]:
    """The parts of a rule, each with an optimizer of its own: the options of it that are a `Descent`."""
    return [name for name, option in entry.options.items() if option.kind is Descent]


def schedule_of(options: Options) -> ByPart[NoTraits] | None:
    """The schedules that are asked for."""
    return ByPart.read(schedules, options.schedule) if options.schedule else None


def schedule_in_shares(options: Options) -> ByPart[NoTraits] | None:
    """The same, with epochs that they name as shares of the run. Raises InputError where the run does not have these epochs."""
    schedule = schedule_of(options)
    in_one_piece = options.by_stages is None and all(getattr(options, name) is None for name in ("steps", "seconds", "snapshots"))
    epochs = options.epochs if in_one_piece else None
    return None if schedule is None else replace(schedule, chosen=tuple((part, in_shares(one, epochs)) for part, one in schedule.chosen))


def stage_rule(options: Options, net: Chosen[NetTraits] | None) -> Chosen[RuleTraits] | None:
    """The rule by which parts of a net are learned without labels before the whole; None where there are no such stages.

    Raises InputError for one that reads targets.
    """
    own = net.entry.traits.stages if net is not None and options.from_ is None else None   # what is trained already begins with the whole
    spec = options.stages or own
    if spec in (None, LAYERS, NONE):
        return None
    chosen = rules.choose(spec) if rules.called(spec) else None
    if chosen is None or chosen.entry.traits.target != "none" or chosen.entry.traits.reads == "everything":
        raise InputError(f"--stages is layers, none or a rule that learns from batches without targets, e.g. divergence; got '{spec}'.")
    return chosen


def constraint_of(options: Options) -> ByPart[NoTraits] | None:
    """The constraints that are asked for."""
    return ByPart.read(constraints, options.constraint) if options.constraint else None


def with_parts(chosen: Chosen[RuleTraits]) -> Chosen[RuleTraits]:
    """The rule with the default optimizers of those of its parts that have one of their own and were given none."""
    defaults = {part: optimizers.choose(spec) for part, spec in chosen.entry.traits.parts.items() if part not in chosen.options}
    return Chosen(chosen.entry, {**chosen.options, **defaults})


def make_rule(chosen: Chosen[RuleTraits], criterion: Criterion | None, optimizer: Chosen[OptimizerTraits],
              schedule: ByPart[NoTraits] | None, constraint: ByPart[NoTraits] | None = None, *, cycles: int = 1,
              lanes: int = 1) -> Rule:
    """A rule from its name: a direction or an objective joined with an optimizer, or a whole rule given what its signature names.

    Each part of a rule has a `Descent` of its own, of the optimizer that the rule's options give it, else of `optimizer`. `cycles` is how
    often a run begins the schedule anew; a rule that carries state has so many `lanes`. Raises InputError where the optimizer, the
    schedule, the constraint or the cycles ask for what this rule does not offer.
    """
    entry, parts = chosen.entry, parts_of(chosen.entry)
    for asked, flag in ((schedule, "--schedule"), (constraint, "--constraint")):
        if asked is not None:
            asked.check(flag, entry.name, parts)
    wanted = inspect.signature(entry.make).parameters
    descends = not entry.traits.whole or "descent" in wanted or bool(parts)
    loss = criterion.loss if isinstance(criterion, OfOutputs) else None
    supplied: dict[str, Any] = {"criterion": criterion, "loss": loss, "lanes": lanes}
    follower = optimizer.make()
    if isinstance(follower, Solver) and entry.traits.objective is not None:
        return _solving(chosen, criterion, optimizer, follower, schedule, constraint)
    if entry.traits.whole:
        if constraint is not None and not descends:
            raise InputError(f"{entry.name} moves the weights by itself and takes no --constraint. Leave it out, or use --rule backprop.")
        if cycles > 1 and not descends:
            raise InputError(f"{entry.name} follows no schedule that --snapshots could begin anew. Leave it out, or use --rule backprop.")
        if "descent" in wanted:
            supplied["descent"] = _descent(entry, optimizer, schedule, constraint)
        own = {part: _descent(entry, chosen.options.get(part, optimizer), schedule, constraint, part) for part in parts}
        whole: Rule = entry.make(**{k: v for k, v in supplied.items() if k in wanted}, **{**chosen.options, **own})
        return whole
    descent = _descent(entry, optimizer, schedule, constraint)
    direction = partial(entry.make, **{name: supplied[name] for name in ("criterion", "loss") if name in wanted}, **chosen.options)
    traits = entry.traits
    additive = traits.additive is not None and all(chosen.options.get(option) is None for option in traits.additive)
    penalty = traits.penalty(**chosen.options) if traits.penalty is not None and optimizer.entry.traits.compares else None
    return Descend(direction, descent.optimizer, schedule=descent.schedule, reads=traits.reads, target=traits.target,
                   tolerance=traits.tolerance, additive=additive, constraint=descent.constraint, penalty=penalty)


def _solving(chosen: Chosen[RuleTraits], criterion: Criterion | None, optimizer: Chosen[OptimizerTraits], solver: Solver,
             schedule: ByPart[NoTraits] | None, constraint: ByPart[NoTraits] | None) -> Rule:
    """The rule that lowers what `chosen` lowers by a solver."""
    if constraint is not None:
        raise InputError(f"{optimizer.entry.name} chooses its own steps and cannot keep to {constraint}. Use --optimizer sgd or adam.")
    traits = chosen.entry.traits
    assert traits.objective is not None
    return Solve(traits.objective(criterion, **chosen.options), solver, schedule=_schedule(schedule, ""),
                 reads=optimizer.entry.traits.reads, tolerance=traits.tolerance)


def _descent(entry: Entry[RuleTraits], optimizer: Chosen[OptimizerTraits], schedule: ByPart[NoTraits] | None,
             constraint: ByPart[NoTraits] | None, part: str = "") -> Descent:
    """What moves a part of a rule, or all that it trains. Raises InputError for an optimizer that follows no direction of this rule."""
    follower = optimizer.make()
    if isinstance(follower, Solver):
        able = ", ".join(one.name for one in rules.entries() if one.traits.objective is not None)
        raise InputError(f"{optimizer.entry.name} needs the loss itself, at other weights too; {entry.name} offers only a direction. "
                         + (f"Write e.g. {entry.name}:{part}=adam." if part else f"Use --rule {able}, or --optimizer sgd."))
    if part and optimizer.entry.traits.compares:
        raise InputError(f"{optimizer.entry.name} compares one step's loss with the last one's, between which the other parts of "
                         f"{entry.name} have moved. Write e.g. {entry.name}:{part}=adam.")
    return Descent(follower, _schedule(schedule, part), _constraint(constraint, part))


def _schedule(asked: ByPart[NoTraits] | None, part: str) -> Schedule | None:
    """The schedule of a part: its own, else that of all."""
    every = asked.of(part) if asked is not None else []
    latest: Schedule | None = every[-1].make() if every else None
    return latest


def _constraint(asked: ByPart[NoTraits] | None, part: str) -> Constraint | None:
    """All that a part must keep to, one after the other."""
    every: list[Callable[[Any], None]] = [one.make() for one in asked.of(part)] if asked is not None else []

    def keep(params: Any) -> None:
        for one in every:
            one(params)

    return keep if len(every) > 1 else every[0] if every else None


def lanes_of(data: Data, options: Options) -> int:
    """How many lanes a rule that carries state has: as many as a batch has rows."""
    return min(options.batch or 1, len(data.train))
