"""What the loop advances: a group of seats, their tensors and the plan they run under. Here the group of one seat."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.descend import multiply_rate, set_pace
from chainrule.core.errors import PlanRejected
from chainrule.core.events import Event
from chainrule.core.rule import Learner, Report, Rule
from chainrule.core.tree import clone
from chainrule.engine.nonfinite import finite, infinite, watched
from chainrule.engine.pace import Pace
from chainrule.engine.plans.eager import eager
from chainrule.engine.plans.microbatch import OutOfMemory, words_of
from chainrule.engine.plans.plan import Plan, arrange
from chainrule.engine.plans.planner import Choice
from chainrule.engine.plans.timeline import Plans
from chainrule.engine.seat import Seat

Events = Iterator[tuple[Seat, Event]]


class Group(ABC):
    """Seats that advance together, all from one position, by one choice of plan.

    The loop asks a group to advance, to hand a seat's tensors out and to take them back; how they lie in memory is the group's affair.
    Seats are named by their place. One that has ended keeps its place until the group goes on without it.
    """

    seats: list[Seat]
    feed: Any                # hands out chunks, of all seats together
    rule: Rule
    learner: Learner
    plans: Plans
    choice: Choice
    before: Learner          # as it was before the last chunk

    @property
    def live(self) -> list[tuple[int, Seat]]:
        """The seats that go on, with their places."""
        return [(i, seat) for i, seat in enumerate(self.seats) if not seat.ending]

    @abstractmethod
    def enter(self) -> None:
        """Every seat at the beginning of its stage, and their tensors where the group wants them."""

    @abstractmethod
    def choose(self) -> None:
        """Choose the first plan of the stage, or take the recorded one."""

    def follow(self, choice: Choice) -> None:
        """Go on by the plan of a choice, made for this group; by eager steps where it cannot be."""
        try:
            advance = choice.plan.build(self.rule, self.learner, self.plans.few())
        except PlanRejected:
            advance = eager(self.rule.step)
        self.choice = replace(choice, advance=advance)

    @abstractmethod
    def planned(self) -> Events:
        """Lay out the tensors for the choice, note it with every live seat, and tell of it."""

    @abstractmethod
    def set_pace(self, paces: Sequence[Pace]) -> None:
        """Give every seat's rule the share of its own stage."""

    def remember(self) -> None:
        """Keep copies of what the next chunk moves."""
        net, state = self.learner
        self.before, self.drawn_from = Learner(net.clone(), clone(state)), self.seats[0].randomness.inside

    def settle(self, learner: Learner, reports: Report) -> Tensor:
        """Take up what the plan's `advance` returned; the losses (k, seats) of its steps."""
        net = self.learner.net
        if learner.net is not net:                         # a rule may return its net anew; what stays is the one that was given
            net.load(learner.net)
        self.learner = Learner(net, learner.state)
        return reports["loss"].double().cpu().reshape(-1, len(self.seats))

    @abstractmethod
    def parts(self, batches: Any) -> Any:
        """A chunk as the plan's `advance` reads it."""

    @abstractmethod
    def part(self, batches: Any, i: int) -> Batch:
        """One seat's part of a chunk, (k, n, ...)."""

    @abstractmethod
    def not_finite(self, losses: Tensor) -> Collection[int]:
        """The places where a loss of (k, seats), a parameter or a number of the rule's state is no longer finite."""

    @abstractmethod
    def undone(self, i: int) -> Learner:
        """A seat's learner as it was before the last chunk, on its own module; what the chunk drew has not been drawn either."""

    @abstractmethod
    def take(self, i: int) -> None:
        """Bring a seat's own net and learner up to date."""

    @abstractmethod
    def put(self, i: int) -> None:
        """Take a seat's tensors back in, after it went a way of its own."""

    @abstractmethod
    def wrong(self, batches: Any) -> bool:
        """Whether the program that is to run the next chunk is found wrong; then the group is back where it was right, and eager."""

    @abstractmethod
    def split(self, batches: Any, error: Exception) -> None:
        """After memory ran out: as before the chunk, and less at a time from here on. Raises OutOfMemory where that cannot be."""

    def change_due(self) -> bool:
        """Whether another plan is to be taken, or tried, at this step."""
        return self.plans.due(self.choice, self.live[0][1].stage_seconds() - sum(seat.compiling for seat in self.seats))

    @abstractmethod
    def change(self) -> Group:
        """The group under another plan from here on, where that is faster and agrees, or is what was recorded."""

    @abstractmethod
    def without_ended(self) -> Group:
        """The seats that go on, under the same plan, where leaving out the others pays; otherwise the group as it is."""


class Lone(Group):
    """One seat by its own rule: how one net is trained."""

    def __init__(self, seat: Seat):
        self.seats = [seat]

    def enter(self) -> None:
        self.seats[0].enter()
        self._sit()

    def _sit(self) -> None:
        seat = self.seats[0]
        self.feed, self.rule, self.learner, self.masks = seat.feed, seat.stage.rule, seat.learner, infinite(seat.learner.net)
        self.factor = seat.factor()
        multiply_rate(self.rule, self.factor)
        self.plans = Plans(seat.stage, seat.feed, seat.settings, seat.position, seat.net.device, beside=True)

    @classmethod
    def left(cls, seat: Seat, choice: Choice) -> Lone:
        """The seat that others left, in the middle of its stage, under the plan that they had; eagerly where it cannot be made for one."""
        group = cls(seat)
        group._sit()
        group.follow(choice)
        return group

    def choose(self) -> None:
        self.choice = self.plans.first(self.learner)

    def planned(self) -> Events:
        arrange(self.learner, self.choice.plan.channels_last)
        for event in self.seats[0].planned(self.choice, self.choice.plan.name):
            yield self.seats[0], event

    def set_pace(self, paces: Sequence[Pace]) -> None:
        set_pace(self.learner.state, paces[0])
        if (factor := self.seats[0].factor()) != self.factor:
            self._change_rate(factor)

    def _change_rate(self, factor: float) -> None:
        """Multiply the rate that the rule began with; a program, which has the rate in it, is made anew, or gives way to eager steps."""
        self.factor = factor
        multiply_rate(self.rule, factor)
        self.follow(replace(self.choice, later=[]))

    def parts(self, batches: Batch) -> Batch:
        return batches

    def part(self, batches: Batch, i: int) -> Batch:
        return batches

    def not_finite(self, losses: Tensor) -> Collection[int]:
        return () if bool(losses.isfinite().all()) and finite([watched(self.learner.net, self.masks), self.learner.state]) else (0,)

    def undone(self, i: int) -> Learner:
        self.seats[0].randomness.inside = self.drawn_from
        return self.before

    def take(self, i: int) -> None:
        self.seats[0].learner = self.learner

    def put(self, i: int) -> None:
        self.learner = self.seats[0].learner

    def wrong(self, batches: Batch) -> bool:
        fault = self.plans.fault(self.learner, batches, self.choice, lambda: self.seats[0].mark(self.learner))
        if fault is None:
            return False
        if fault.mark:
            self.learner = self.seats[0].return_to(fault.mark)
        self.choice = self.plans.without_program(self.learner, batches, self.choice, fault)
        return True

    def split(self, batches: Batch, error: Exception) -> None:
        self.learner = self.seats[0].take_back(self.undone(0))
        self.choice = self.plans.in_parts(self.learner, batches, self.choice, error)

    def change(self) -> Group:
        self.choice = self.plans.change(self.learner, self.choice)
        return self

    def without_ended(self) -> Group:
        return self


class Tail(Lone):
    """A seat of a group by steps as they are written, for a last batch that the group's program cannot take."""

    def __init__(self, seat: Seat):
        super().__init__(seat)
        self._sit()
        self.choice = Choice(Plan(), eager(self.rule.step), 0.0, "a last batch of another size")

    def split(self, batches: Batch, error: Exception) -> None:
        raise OutOfMemory("a last batch of another size does not fit", words_of(error)) from error
