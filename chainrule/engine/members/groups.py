"""Groups of several seats: stacked, so that one program advances all, or beside one another, each by a program for one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.descend import set_pace
from chainrule.core.errors import PlanRejected
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.stage import Stage
from chainrule.core.tree import leaves
from chainrule.engine.group import Events, Group, Lone
from chainrule.engine.members.parallel import Beside, beside_name, tried
from chainrule.engine.members.stacked import Abreast, Make, Together, member, stack
from chainrule.engine.nonfinite import finite, infinite, watched
from chainrule.engine.pace import Pace
from chainrule.engine.plans.eager import eager, unused
from chainrule.engine.plans.microbatch import OutOfMemory, words_of
from chainrule.engine.plans.plan import FUSED_STEPS, Plan, arrange
from chainrule.engine.plans.planner import Choice
from chainrule.engine.plans.timeline import Plans, steps_of
from chainrule.engine.plans.trial import per_step
from chainrule.engine.seat import Seat


@dataclass
class Member:
    """One net of several: its seat as it would have it alone, its rule remade with other numbers in place, and the ones it has.

    Rules of another `kind` (another loss, another optimizer) are never stacked.
    """

    seat: Seat
    make: Make
    numbers: Mapping[str, float] = field(default_factory=dict)
    kind: Any = None


class Stack(Group):
    """Members whose tensors are stacked, advanced by one program. They have one stage each; none of them draws random numbers.

    `lifted` names the numbers that members have of their own, `name` is how they are grouped in words, and `rejected` how they are not.
    `under` is the choice made for another group of the same shapes; `threads` is how many members may go beside one another.
    """

    apart = False
    rule: Together

    def __init__(self, members: Sequence[Member], lifted: Sequence[str], name: str, rejected: Sequence[dict[str, str]] = (), *,
                 threads: int = 1, under: Choice | None = None, size: int = 0):
        self.members, self.seats = list(members), [m.seat for m in members]
        self.lifted, self.name, self.rejected, self.threads, self.under = list(lifted), name, list(rejected), threads, under
        self.size = size or len(self.members)     # as it began: how the members are grouped when they go on from checkpoints

    def enter(self) -> None:
        for seat in self.seats:
            seat.enter()
            seat.net.idle = unused(seat.stage.rule, seat.learner, next(seat.feed.chunks(0, 0, 1))[0])
        self.join()

    def join(self) -> None:
        """Stack the learners of the seats."""
        self.feed = Abreast([seat.feed for seat in self.seats], self.apart)
        noted = self.seats[0].position.plan
        self.rule = Together(self.members[0].make, [{n: m.numbers[n] for n in self.lifted} for m in self.members], self.feed.shared,
                             noted[-1].get("at_once", 0) if noted else 0)
        self.learner = stack([seat.learner for seat in self.seats], self.rule)
        self.masks = infinite(self.learner.net)
        lead = self.seats[0]
        self.plans = Plans(Stage(self.rule, lead.stage.budget), self.feed, lead.settings, lead.position, lead.net.device)

    def choose(self) -> None:
        beside = ""
        while True:
            try:
                choice = self.plans.noted(self.under) if self.under else self.plans.first(self.learner)
                self.choice = replace(choice, reason=choice.reason + beside)
                return
            except OutOfMemory as error:
                lack = error.lack
            beside = f"; memory does not hold a step of all, so {self.fewer(lack)} take it at a time"

    def planned(self) -> Events:
        """Note the choice with every member: what `plans` has written is the list of the one that it follows."""
        live, entry = self.live, {**self.plans.position.plan[-1], "together": self.size, "apart": self.apart,
                            **({"at_once": self.rule.at_once} if self.rule.at_once else {})}
        choice = replace(self.choice, compiling=self.choice.compiling / len(live), rejected=[*self.choice.rejected, *self.rejected])
        arrange(self.learner, choice.plan.channels_last)
        for _, seat in live:
            position = seat.position
            if not choice.recorded:
                others = position.plan[:-1] if position is self.plans.position else position.plan
                position.plan = [*others, {**entry, "since": position.stage_step}]
            for event in seat.planned(choice, f"{self.name}, {choice.plan.name}"):
                yield seat, event

    def set_pace(self, paces: Sequence[Pace]) -> None:
        set_pace(self.learner.state, {name: torch.tensor([pace[name] for pace in paces], dtype=torch.float64) for name in paces[0]})

    def parts(self, batches: Any) -> Any:
        return batches

    def part(self, batches: Any, i: int) -> Batch:
        own: Batch = self.feed.of(batches, i)
        return own

    def not_finite(self, losses: Tensor) -> Collection[int]:
        tree = [watched(self.learner.net, self.masks), self.learner.state]
        bad = ~losses.isfinite().all(0)                                   # (members,)
        if not finite(tree):
            bad |= ~finite_members(tree, len(self.seats))
        return set(bad.nonzero().flatten().tolist())

    def undone(self, i: int) -> Learner:
        stacked, own = self.before.net.member(i), self.seats[i].net
        net = Net(own.module, stacked.params, stacked.buffers, caller=own.caller, idle=own.idle).clone()
        return Learner(net, member(self.before.state["rule"], i))

    def take(self, i: int) -> None:
        seat = self.seats[i]
        seat.net.load(self.learner.net.member(i))
        seat.learner = Learner(seat.net, member(self.learner.state["rule"], i))

    @torch.no_grad()
    def put(self, i: int) -> None:
        own = self.seats[i].learner
        stacked = [*self.learner.net.tensors.values(), *leaves(self.learner.state["rule"])]
        for into, t in zip(stacked, [*own.net.tensors.values(), *leaves(own.state)], strict=True):
            into[i].copy_(t)

    def change_due(self) -> bool:
        self._follow()
        return super().change_due()

    def _follow(self) -> None:
        """Let the plans follow a member that goes on: where the first has ended, its position no longer moves."""
        lead = self.live[0][1]
        self.plans.stage, self.plans.position = Stage(self.rule, lead.stage.budget), lead.position

    def wrong(self, batches: Any) -> bool:
        return False   # a member that has ended under a program could not go back to where the program was right

    def split(self, batches: Any, error: Exception) -> None:
        """Fewer members at a time: their tensors stay, and what a step has in between halves."""
        self.learner.net.load(self.before.net)
        self.learner = Learner(self.learner.net, self.before.state)
        self.seats[0].randomness.inside = self.drawn_from
        self._follow()
        at_once = self.fewer(words_of(error))
        reason = (f"Memory ran out: from step {self.plans.position.step} on {at_once} of the {len(self.seats)} nets that train together "
                  f"take{'s' * (at_once == 1)} a step at a time, which is the same step.")
        choice = replace(self.choice, reason=reason, rejected=[], later=[], recorded=False, compiling=0.0)
        self.choice = self.plans.noted(self.divided(batches, choice))

    def fewer(self, lack: str) -> int:
        """Half as many members at a time as before, at least one. Raises OutOfMemory, in the words `lack`, where it was one already."""
        now = self.rule.at_once or len(self.seats)
        if now == 1:
            raise OutOfMemory("not even one at a time do the nets that train together fit", lack)
        self.rule.at_once = -(-now // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return self.rule.at_once

    def divided(self, batches: Any, choice: Choice) -> Choice:
        """A choice whose steps are taken by fewer members at a time, as they are written: a program is of all of them."""
        return replace(choice, plan=Plan(threads=choice.plan.threads), advance=eager(self.rule.step))

    def change(self) -> Group:
        """A program in C runs members beside one another."""
        self._follow()
        plan, now = self.choice.later[0].plan, self.choice
        if not plan.native:
            self.choice = self.plans.change(self.learner, now)
            return self
        group = self._beside()
        try:
            choice = tried(self.rule, self.learner, [seat.stage.rule for seat in self.seats], group.feed, plan, self.threads,
                           self.seats[0].settings.seed)
            why = f"slower: {per_step(choice.seconds_per_step)} against {per_step(now.seconds_per_step)}"
        except PlanRejected as error:
            choice, why = None, str(error)
        if choice is None or choice.seconds_per_step >= now.seconds_per_step:
            refused = [{"plan": group.name, "reason": why}]
            self.choice = self.plans.noted(replace(now, later=now.later[1:], rejected=refused, reason=f"stayed with {now.plan.name}"))
            return self
        group.choice = self.plans.noted(choice)
        return group

    def _beside(self) -> Apart:
        """The same members and tensors, to go beside one another."""
        name = beside_name(len(self.seats), self.threads)
        group = Apart(self.members, self.lifted, name, self.rejected, threads=self.threads, size=self.size)
        group.rule, group.learner, group.masks, group.plans = self.rule, self.learner, self.masks, self.plans
        group.feed = Abreast(self.feed.feeds, apart=True)
        group.plans.feed = group.feed
        return group

    def without_ended(self) -> Group:
        """Eager steps need no program of their own for a smaller stack; any other is worth one where enough steps remain."""
        live, plan = self.live, self.choice.plan
        share, lead = len(live) / len(self.seats), live[0][1]
        making = lead.settings.memory.compile_seconds(plan.program) if plan.programmed else 0.0
        steps = max(steps_of(seat.stage, seat.feed) - seat.position.stage_step for _, seat in live)
        if self.choice.seconds_per_step * (1 - share) * steps < making:
            return self
        choice = replace(self.choice, seconds_per_step=self.choice.seconds_per_step * share)
        if len(live) == 1:
            self.take(live[0][0])
            return Lone.left(lead, choice)
        group = self._of_live()
        group.follow(choice)
        return group

    def _of_live(self) -> Stack:
        """A group like this one of the members that go on."""
        for i, _ in self.live:
            self.take(i)
        group = type(self)([self.members[i] for i, _ in self.live], self.lifted, self.name, self.rejected, threads=self.threads,
                           size=self.size)
        group.join()
        return group


class Apart(Stack):
    """Members whose tensors are stacked too, each of which is advanced by itself, some at a time."""

    apart = True

    def choose(self) -> None:
        recorded = self.plans.position.plan
        if not recorded:
            super().choose()
            return
        plan, seconds = Plan(**recorded[-1]["made"]), recorded[-1].get("seconds_per_step", 0.0)
        few = next(self.feed.feeds[0].chunks(0, 0, FUSED_STEPS))
        beside = Beside(plan, self.rule, self.learner, few, self._threads())
        self.choice = Choice(plan, beside.advance, seconds, "as recorded", recorded=True)

    def parts(self, batches: Any) -> Any:
        return lambda i: self.feed.of(batches, i)

    def _threads(self) -> int:
        return min(self.rule.at_once or self.threads, self.threads, len(self.seats))

    def fewer(self, lack: str) -> int:
        self.rule.at_once = self._threads() if self.choice.plan.native else 1
        return super().fewer(lack)

    def divided(self, batches: Any, choice: Choice) -> Choice:
        beside = Beside(choice.plan, self.rule, self.learner, self.feed.of(batches, 0), self.rule.at_once)
        return replace(choice, advance=beside.advance)

    def without_ended(self) -> Group:
        """Each has a program already, so leaving out the others always pays."""
        group = self._of_live()
        group.choice = replace(self.choice, seconds_per_step=self.choice.seconds_per_step * len(group.seats) / len(self.seats))
        return group


def finite_members(tree: Any, members: int) -> Tensor:
    """Which members of a stack have only finite numbers, (members,)."""
    floats = [t.detach() for t in leaves(tree) if (t.is_floating_point() or t.is_complex()) and t.numel()]
    return torch.stack([t.reshape(members, -1).isfinite().all(1).cpu() for t in floats]).all(0)
