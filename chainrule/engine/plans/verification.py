"""Programs looked at again while they run: a few steps beside eager ones, now and then, and the way back to where they were last right."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import PlanRejected
from chainrule.core.rule import Learner, Rule
from chainrule.core.tree import clone
from chainrule.engine.plans.fidelity import attributes, own_steps
from chainrule.engine.plans.plan import Plan
from chainrule.engine.plans.reference import Reference
from chainrule.engine.plans.trial import Tally, compare

if TYPE_CHECKING:
    from chainrule.engine.plans.planner import Choice
    from chainrule.engine.position import Position
    from chainrule.engine.randomness import Randomness

FIRST_SECONDS = 1.0     # after a program has begun it is looked at again
CHECK_SHARE = 0.02      # of the time that looking may take from then on
CHECKED_STEPS = 10
DECIDING_STEPS = 5      # where chunks are shorter, those that follow are looked at too before a program is found wrong


@dataclass
class Mark:
    """A run as it was where its program was last seen to be right: copies of all that training moves."""

    learner: Learner
    position: Position
    randomness: dict[str, Any]
    best: dict[str, Tensor]
    snapshots: dict[int, dict[str, Tensor]]

    @classmethod
    def of(cls, learner: Learner, position: Position, randomness: Randomness, best: dict[str, Tensor],
           snapshots: dict[int, dict[str, Tensor]]) -> Mark:
        copied = Learner(learner.net.clone(), clone(learner.state))
        return cls(copied, copy.deepcopy(position), randomness.inside, best, dict(snapshots))


@dataclass
class Fault:
    """What is wrong with a program, and where the run was when it was not; None where it is right up to now."""

    why: str
    mark: Mark | None


class Recheck:
    """Whether the program of a choice still does what eager steps of the user's own module do."""

    def __init__(self, rule: Rule, seed: int):
        self.rule, self.seed = rule, seed
        self.choice: Choice | None = None
        self.tally = Tally(DECIDING_STEPS)

    def fault(self, learner: Learner, batches: Batch, choice: Choice, mark: Callable[[], Mark]) -> Fault | None:
        """Looks, where it is time to, before a chunk. Attributes and hooks are compared before every one: they cost microseconds."""
        if not choice.plan.programmed:
            return None
        now = time.perf_counter()
        if choice is not self.choice:
            self.choice, self.attributes, self.mark = choice, attributes(learner.net), mark()
            self.tally, self.next = Tally(DECIDING_STEPS), now + FIRST_SECONDS
            return None
        if attributes(learner.net) != self.attributes:
            return Fault("an attribute or a hook of the net has changed, which a program would not see", None)
        if now < self.next:
            return None
        try:
            if not self._right(learner, batches.rows(0, CHECKED_STEPS), choice):
                return None
        except PlanRejected as error:
            return Fault(str(error), self.mark)
        self.tally, self.mark = Tally(DECIDING_STEPS), mark()
        ended = time.perf_counter()
        self.next = ended + (ended - now) / CHECK_SHARE
        return None

    def _right(self, learner: Learner, few: Batch, choice: Choice) -> bool:
        """False where further steps are to tell. Raises PlanRejected where the program goes elsewhere than eager steps, by the standard by
        which it was admitted."""
        ours = own_steps(choice.advance, learner, few, self.seed)
        reference = Reference(self.rule, learner, few, Plan(threads=choice.plan.threads), self.seed)
        return compare(reference, ours, choice.plan, choice.advance, choice.reason == "asked for", self.tally)
