"""A rule as it is asked for: its name, loss, optimizer, schedule and constraint, and the rule made of them."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from chainrule.core.criterion import Criterion, OfOutputs, Solve, Solver
from chainrule.core.descend import Descend
from chainrule.core.errors import InputError
from chainrule.core.registry import Chosen, rules
from chainrule.core.rule import Rule
from chainrule.core.traits import NoTraits, OptimizerTraits, RuleTraits
from chainrule.data.source import Data
from chainrule.job.options import Options


def make_rule(chosen: Chosen[RuleTraits], criterion: Criterion | None, optimizer: Chosen[OptimizerTraits],
              schedule: Chosen[NoTraits] | None, constraint: Chosen[NoTraits] | None = None, *, cycles: int = 1,
              lanes: int = 1) -> Rule:
    """A rule from its name: a direction or an objective joined with an optimizer, or a whole rule given what its signature names.

    `cycles` is how often a run begins the schedule anew; a rule that carries state has so many `lanes`. Raises InputError where the
    optimizer, the constraint or the cycles ask for what this rule does not offer.
    """
    made = chosen.entry.make
    follower = optimizer.make()
    loss = criterion.loss if isinstance(criterion, OfOutputs) else None
    supplied: dict[str, Any] = {"criterion": criterion, "loss": loss, "optimizer": follower, "lanes": lanes,
                                "schedule": schedule.make() if schedule else None}
    wanted = inspect.signature(made).parameters
    offers = chosen.entry.traits.objective
    takes = not chosen.entry.traits.whole or "optimizer" in wanted
    if isinstance(follower, Solver) and (takes or offers):
        if offers is None:
            able = ", ".join(entry.name for entry in rules.entries() if entry.traits.objective is not None)
            raise InputError(f"{optimizer.entry.name} needs the loss itself, at other weights too; {chosen.entry.name} offers only a "
                             f"direction. Use --rule {able}, or --optimizer sgd.")
        if constraint is not None:
            raise InputError(f"{optimizer.entry.name} chooses its own steps and cannot keep to {constraint}. Use --optimizer sgd or adam.")
        return Solve(offers(criterion, **chosen.options), follower, schedule=supplied["schedule"],
                     reads=optimizer.entry.traits.reads, tolerance=chosen.entry.traits.tolerance)
    if constraint is not None and chosen.entry.traits.whole:
        raise InputError(f"{chosen.entry.name} moves the weights by itself and takes no --constraint. Leave it out, or use --rule "
                         "backprop.")
    if chosen.entry.traits.whole:
        if cycles > 1 and "schedule" not in wanted:
            raise InputError(f"{chosen.entry.name} follows no schedule that --snapshots could begin anew. Leave it out, or use --rule "
                             "backprop.")
        whole: Rule = chosen.make(**{k: v for k, v in supplied.items() if k in wanted})
        return whole
    direction = partial(made, **{name: supplied[name] for name in ("criterion", "loss") if name in wanted}, **chosen.options)
    traits = chosen.entry.traits
    additive = traits.additive is not None and all(chosen.options.get(option) is None for option in traits.additive)
    penalty = traits.penalty(**chosen.options) if traits.penalty is not None and optimizer.entry.traits.compares else None
    return Descend(direction, supplied["optimizer"], schedule=supplied["schedule"], reads=traits.reads,
                   target=traits.target, tolerance=traits.tolerance, additive=additive,
                   constraint=constraint.make() if constraint else None, penalty=penalty)


def lanes_of(data: Data, options: Options) -> int:
    """How many lanes a rule that carries state has: as many as a batch has rows."""
    return min(options.batch or 1, len(data.train))
