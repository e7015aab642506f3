"""The loop of a stack of members: one program advances all, and each is validated, stopped, saved and ended as if it were alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from chainrule.core.descend import set_pace
from chainrule.core.errors import PlanRejected
from chainrule.core.events import Event, Planned, Warned
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Rule
from chainrule.core.stage import Stage
from chainrule.core.tree import clone, leaves
from chainrule.engine.members.parallel import Beside, said, tried
from chainrule.engine.members.stacked import Abreast, Make, Together, member, stack
from chainrule.engine.nonfinite import finite
from chainrule.engine.plans.eager import eager, unused
from chainrule.engine.plans.plan import FUSED_STEPS, Plan
from chainrule.engine.plans.planner import Choice
from chainrule.engine.plans.timeline import Plans, steps_of
from chainrule.engine.plans.trial import per_step
from chainrule.engine.randomness import Aside
from chainrule.engine.train import PROGRESS_SECONDS, Training

Told = Iterator[tuple[int, Event]]


@dataclass
class Member:
    """One net of several: its training as it would be alone, its rule remade with other numbers in place, and the ones it has.

    Rules of another `kind` (another loss, another optimizer) are never stacked.
    """

    training: Training
    make: Make
    numbers: dict[str, float] = field(default_factory=dict)
    kind: Any = None


class Seat:
    """A member in a stack. `learner` is what it was when it was last taken from the stack, in the tensors of its own net."""

    learner: Learner

    def __init__(self, number: int, of: Member):
        self.number, self.member, self.training = number, of, of.training
        self.stage, self.feed = self.training.stages[0], self.training.feed_for(0)

    def begin(self) -> Told:
        """As at the beginning of a run: restored from the last checkpoint, or fresh."""
        training = self.training
        starts(training)
        restored = training._restore()
        for sentence in restored.warnings if restored else ():
            yield self.number, training._event(Warned, message=sentence)
        with Aside(training.settings.seed, training.net.device) if restored else training.randomness:
            self.learner = Learner(training.net, clone(self.stage.rule.init(training.net)))
        if restored and training.store:
            self.learner = training.store.state_into(self.learner, restored.tensors)
        training.net.module.train()
        training.net.idle = unused(self.stage.rule, self.learner, next(self.feed.chunks(0, 0, 1))[0])

    def spent(self) -> str:
        return self.training._spent(self.stage, self.feed)

    def due(self) -> bool:
        return self.training._due(time.perf_counter())

    def save(self) -> Told:
        for event in self.training._save(self.learner):
            yield self.number, event

    def end(self, reason: str) -> Told:
        self.training.ending = reason
        yield self.number, self.training._end()


class Joint:
    """Seats that advance together, all from one position. One that has ended stays in the stack until leaving it out pays.

    `lifted` names the numbers that members have of their own; `said` is how members are grouped, and `rejected` how they are not.
    With `apart`, members advance beside one another, each by a program for one, `threads` at a time.
    """

    plans: Plans
    choice: Choice

    def __init__(self, seats: Sequence[Seat], lifted: Sequence[str], said: str, rejected: Sequence[dict[str, str]] = (), *,
                 apart: bool = False, threads: int = 1):
        self.lifted, self.said, self.rejected, self.size = lifted, said, list(rejected), len(seats)
        self.apart, self.threads = apart, threads
        self.seats: list[Seat] = []
        self._seat(seats)
        self.began, self.steps = time.perf_counter(), 0

    def _seat(self, seats: Sequence[Seat]) -> None:
        """Stack the learners of these seats; a seat that is left alone goes on by its own rule."""
        self.seats, self.alone = list(seats), len(seats) == 1 and not self.apart
        self.feed, first = Abreast([seat.feed for seat in self.seats], self.apart), self.seats[0]
        self.rule: Rule = first.stage.rule
        self.learner = first.learner
        if not self.alone:
            numbers = [{name: seat.member.numbers[name] for name in self.lifted} for seat in self.seats]
            together = Together(first.member.make, numbers, self.feed.shared)
            self.rule, self.learner = together, stack([seat.learner for seat in self.seats], together)
        training = first.training
        self.plans = Plans(Stage(self.rule, first.stage.budget), self.feed, training.settings,  # type: ignore[arg-type]
                           training.position, training.net.device)

    @property
    def live(self) -> list[tuple[int, Seat]]:
        """The seats that go on, with their places in the stack."""
        return [(i, seat) for i, seat in enumerate(self.seats) if not seat.training.ending]

    def run(self, under: Choice | None = None) -> Told:
        """To the end of every member. `under` is the choice made for another stack of the same shapes."""
        for _, seat in self.live:
            if reason := seat.spent():
                yield from seat.end(reason)
        if not self.live:
            return
        stop = self.seats[0].training.stop
        self._set_pace()
        with stop.ending_at_once():
            self.choice = self._first(under)
        yield from self._planned()
        while self.live:
            yield from self._epoch()
            yield from self._after()
            live = [seat for _, seat in self.live]
            if live and len(live) < len(self.seats) and self._leaving_out_pays(len(live)):
                with stop.ending_at_once():
                    self._leave_out(live)
            if live and live[0].training.position.batch == 0 and self._change_due():
                with stop.ending_at_once():
                    self.choice = self._change()
                yield from self._planned()

    def _first(self, under: Choice | None) -> Choice:
        recorded = self.plans.position.plan
        if recorded and self.apart:
            plan = Plan(**recorded[-1]["made"])
            return Choice(plan, self._beside(plan).advance, recorded[-1].get("seconds_per_step", 0.0), "as recorded", recorded=True)
        return self.plans._noted(under) if under else self.plans.first(self.learner)

    def _beside(self, plan: Plan) -> Beside:
        few = next(self.feed.feeds[0].chunks(0, 0, FUSED_STEPS))
        assert isinstance(self.rule, Together)
        return Beside(plan, self.rule, self.learner, few, min(self.threads, len(self.seats)))

    def _planned(self) -> Told:
        """Tell every member of the plan, and note it with each: the first one's list is what `plans` has written."""
        live, entry = self.live, self.seats[0].training.position.plan[-1]
        choice = replace(self.choice, compiling=self.choice.compiling / len(live), rejected=[*self.choice.rejected, *self.rejected])
        entry |= {"together": self.size, "apart": self.apart}
        for _, seat in live:
            training = seat.training
            if training.position.plan[-1:] != [entry]:
                training.position.plan = [*training.position.plan, dict(entry)]
            for event in training._planned(self.learner, choice):
                yield seat.number, replace(event, name=f"{self.said}, {event.name}") if isinstance(event, Planned) else event

    def _epoch(self) -> Told:
        """Up to the end of the epoch or of a cycle, or to where a member's budget is spent, or to a signal."""
        first = self.live[0][1].training
        for chunk in self.feed.chunks(first.position.epoch, first.position.batch, self.choice.plan.chunk):
            batches = self._within(chunk)
            yield from self._chunk(batches)
            if first.stop.requested or len(batches) < len(chunk) or not self.live or any(seat.spent() for _, seat in self.live):
                return
            _, seat = self.live[0]
            if seat.training.position.batch < seat.feed.batches and any(seat.due() for _, seat in self.live):
                yield from self._save()
        for i, seat in self.live:
            if seat.training.position.batch < seat.feed.batches:
                yield from self._tail(i, seat)

    def _chunk(self, batches: Any) -> Told:
        """Advance, and note it with every member; one whose numbers are no longer finite is put back, diagnosed and ended."""
        self._set_pace()
        net, before = self.learner.net, Learner(self.learner.net.clone(), clone(self.learner.state))
        with self.seats[0].training.randomness:                           # nothing is drawn: members that draw go alone
            given: Any = (lambda i: self.feed.of(batches, i)) if self.apart else batches
            learner, reports = self.choice.advance(self.learner, given)
        if learner.net is not net:
            net.load(learner.net)
        self.learner = Learner(net, learner.state)
        losses = reports["loss"].double().cpu().reshape(len(batches), len(self.seats))
        bad = ~losses.isfinite().all(0)                                   # (members,)
        if not finite([net.tensors, learner.state]):
            bad |= ~finite_members([net.tensors, learner.state], 0 if self.alone else len(self.seats))
        self.steps += len(batches)
        now = time.perf_counter()
        for i, seat in self.live:
            training = seat.training
            if bad[i]:
                for event in training._diverged(seat.stage, training.net, self._was(before, i, seat), self.feed.of(batches, i), seat.feed):
                    yield seat.number, event
                yield from seat.end("diverged")
                continue
            training._moved(losses[:, i], self.feed.of(batches, i).x.shape[1])
            if cycle := training._cycle(seat.stage, seat.feed):
                self._take(i, seat)
                training._keep(cycle)
            if now - training.last_progress >= PROGRESS_SECONDS:
                speed = self.steps / max(now - self.began, 1e-9)
                yield seat.number, training._progress(now, float(losses[-1, i]), speed, steps_of(seat.stage, seat.feed))

    def _set_pace(self) -> None:
        """Give every seat the share of its own stage."""
        paces = [seat.training._pace(seat.stage, seat.feed) for seat in self.seats]
        together = {name: torch.tensor([pace[name] for pace in paces], dtype=torch.float64) for name in paces[0]}
        set_pace(self.learner.state, paces[0] if self.alone else together)

    def _was(self, before: Learner, i: int, seat: Seat) -> Learner:
        """One member of a stacked learner, on the member's own module."""
        if self.alone:
            return before
        net, own = before.net.member(i), seat.training.net
        return Learner(Net(own.module, net.params, net.buffers, caller=own.caller, idle=own.idle).clone(), member(before.state["rule"], i))

    def _tail(self, i: int, seat: Seat) -> Told:
        """A member's last batch by its own rule, where that batch is larger or smaller than the others'."""
        self._take(i, seat)
        alone = Joint([seat], (), self.said)
        alone.choice = replace(self.choice, advance=eager(seat.stage.rule.step))
        position = seat.training.position
        for chunk in seat.feed.chunks(position.epoch, position.batch, 1):
            yield from alone._chunk(alone._within(chunk))
        seat.learner = alone.learner
        held = [*self.learner.net.tensors.values(), *leaves(self.learner.state if self.alone else self.learner.state["rule"])]
        with torch.no_grad():
            for into, t in zip(held, [*seat.learner.net.tensors.values(), *leaves(seat.learner.state)], strict=True):
                into[i].copy_(t)

    def _after(self) -> Told:
        """What may follow a chunk, for every member: validation at an epoch's end, the best weights, stopping, saving."""
        for i, seat in self.live:
            training, position = seat.training, seat.training.position
            over = position.batch >= seat.feed.batches
            if over:
                position.epoch, position.batch = position.epoch + 1, 0
            if over or seat.spent():
                self._take(i, seat)
                yield seat.number, training._evaluate(seat.learner)
            ending = seat.spent() or ("interrupted" if training.stop.requested else "")
            if not ending:
                continue
            if ending in ("budget", "patience"):
                position.finished = ending
            self._take(i, seat)
            if training.store:
                yield from seat.save()
            yield from seat.end(ending)
        if any(seat.due() for _, seat in self.live):
            yield from self._save()

    def _save(self) -> Told:
        """Save all, so that all stay at one position; each is due again when all together have cost their share of the time."""
        for i, seat in self.live:
            self._take(i, seat)
            yield from seat.save()
        live = [seat.training for _, seat in self.live]
        cost, now = sum(training.saving for training in live), time.perf_counter()
        for training in live:
            training.saving, training.last_saved = cost, now

    def _take(self, i: int, seat: Seat) -> None:
        """Copy a member's tensors out of the stack."""
        if self.alone:
            seat.learner = self.learner
            return
        seat.training.net.load(self.learner.net.member(i))
        seat.learner = Learner(seat.training.net, member(self.learner.state["rule"], i))

    def _within(self, chunk: Any) -> Any:
        """As much of a chunk as every member's budget of steps, and its cycle, allow."""
        left = [ahead for _, seat in self.live if (ahead := seat.training._ahead(seat.stage, seat.feed)) is not None]
        return chunk.rows(0, min(left)) if left and min(left) < len(chunk) else chunk

    def _leaving_out_pays(self, live: int) -> bool:
        """Whether the time that a smaller stack saves is worth making its program; eager steps need none."""
        plan = self.choice.plan
        if self.apart:
            return True
        making = self.seats[0].training.settings.memory.compile_seconds(plan.program) if plan.programmed else 0.0
        steps = max(steps_of(seat.stage, seat.feed) - seat.training.position.stage_step for _, seat in self.live)
        return self.choice.seconds_per_step * (1 - live / len(self.seats)) * steps >= making

    def _leave_out(self, live: list[Seat]) -> None:
        """A stack of those that go on, under the same plan."""
        for i, seat in self.live:
            self._take(i, seat)
        share = len(live) / len(self.seats)
        self._seat(live)
        advance = self.choice.advance
        if not self.apart:
            try:
                advance = self.choice.plan.build(self.rule, self.learner, self.plans._few())
            except PlanRejected:
                advance = eager(self.rule.step)
        self.choice = replace(self.choice, advance=advance, seconds_per_step=self.choice.seconds_per_step * share)

    def _change(self) -> Choice:
        """Another plan from here on, where it is faster and agrees. A program in C runs members beside one another."""
        plan, now = self.choice.later[0].plan, self.choice
        if self.alone or not plan.native:
            return self.plans.change(self.learner, now)
        feed, rules = Abreast(self.feed.feeds, apart=True), [seat.stage.rule for seat in self.seats]
        assert isinstance(self.rule, Together)
        told = said(len(self.seats), self.threads)
        try:
            choice = tried(self.rule, self.learner, rules, feed, plan, self.threads, self.seats[0].training.settings.seed)
            why = f"slower: {per_step(choice.seconds_per_step)} against {per_step(now.seconds_per_step)}"
        except PlanRejected as error:
            choice, why = None, str(error)
        if choice is None or choice.seconds_per_step >= now.seconds_per_step:
            stayed = replace(now, later=now.later[1:], rejected=[{"plan": told, "reason": why}], reason=f"stayed with {now.plan.name}")
            return self.plans._noted(stayed)
        self.apart, self.feed, self.said, self.plans.feed = True, feed, told, feed  # type: ignore[assignment]
        return self.plans._noted(choice)

    def _change_due(self) -> bool:
        return self.plans.due(self.choice, time.perf_counter() - self.began)


def starts(training: Training) -> None:
    """A member's clock starts: the time in which others trained is none of its own."""
    training.began = training.last_saved = training.last_progress = time.perf_counter()


def finite_members(tree: Any, members: int) -> Tensor:
    """Which members of a stack have only finite numbers, (members,); for a lone learner (0 members) the one answer, (1,)."""
    floats = [t.detach() for t in leaves(tree) if t.is_floating_point() and t.numel()]
    each = [(t.reshape(members, -1) if members else t.reshape(1, -1)).isfinite().all(1).cpu() for t in floats]
    return torch.stack(each).all(0)
