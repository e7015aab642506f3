"""The plans of one stage, in the order it runs under them: chosen, as recorded, changed over in mid-run, split where memory ran out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch

from chainrule.core.batch import Batch
from chainrule.core.errors import PlanRejected
from chainrule.core.rule import Learner
from chainrule.core.stage import Stage
from chainrule.data.feed.shuffled import Feed
from chainrule.engine.plans.cache import about
from chainrule.engine.plans.eager import copied
from chainrule.engine.plans.microbatch import MOST_PARTS, OutOfMemory, normalises_by_batch, words_of
from chainrule.engine.plans.plan import FUSED_STEPS, Plan, arrange
from chainrule.engine.plans.planner import Choice, Later, Planning, change_over, choose
from chainrule.engine.plans.signature import signature
from chainrule.engine.plans.verification import Fault, Mark, Recheck
from chainrule.engine.randomness import Aside

if TYPE_CHECKING:
    from chainrule.engine.position import Position, Settings

CHANGING_SECONDS = 1.0  # a program that became ready with less than this left is not tried any more


class Plans:
    """Which plan a stage runs under from which step on; `position.plan` keeps the list, so that a resumed run follows it to the step.

    `beside` says that native programs may be compiled in a process beside the training.
    """

    def __init__(self, stage: Stage, feed: Feed, settings: Settings, position: Position, device: torch.device, beside: bool = False):
        self.stage, self.feed, self.settings, self.position, self.device = stage, feed, settings, position, device
        self.beside = beside
        self.most_threads = torch.get_num_threads()  # before a plan sets its own
        self.recheck = Recheck(stage.rule, settings.seed)

    def first(self, learner: Learner) -> Choice:
        """The recorded plan when resuming or repeating, so that the numbers stay the same; otherwise the one that trials choose."""
        known, position = self.settings.made or self.position.plan, self.position
        before = [one for one in known if one.get("stage", 0) < position.stage]
        recorded = [one for one in known if one.get("stage", 0) == position.stage and one["since"] <= position.stage_step]
        if recorded:
            position.plan = [*before, *recorded]
            return self._as_recorded(recorded[-1], learner)
        with Aside(self.settings.seed, self.device):
            choice = choose(self.stage.rule, learner, self.few(), self.planning())
        return self.noted(choice)

    def due(self, now: Choice, seconds: float) -> bool:
        """Whether another plan is to be taken, or tried, at this step: as recorded, because the stage has lasted long enough, or because
        its program is ready."""
        position = self.position
        ahead = [one["since"] for one in self._made() if one["since"] >= position.stage_step]
        if ahead or not now.later:
            return position.stage_step in ahead
        left, later = (steps_of(self.stage, self.feed) - position.stage_step) * now.seconds_per_step, now.later[0]
        return later.written.ready() and left > CHANGING_SECONDS if later.written else seconds >= later.seconds < left

    def change(self, learner: Learner, now: Choice) -> Choice:
        """Another plan from here on, where it is faster and agrees, or is what was recorded; or the same while its program is compiled."""
        recorded = [one for one in self._made() if one["since"] == self.position.stage_step]
        if recorded:
            self.position.plan = [*self.position.plan, *recorded]
            return self._as_recorded(recorded[-1], learner)
        with Aside(self.settings.seed, self.device):
            choice = change_over(self.stage.rule, learner, self.few(), now, self.planning())
        arrange(learner, choice.plan.channels_last)
        return choice if choice.recorded else self.noted(choice)

    def fault(self, learner: Learner, batches: Batch, now: Choice, mark: Callable[[], Mark]) -> Fault | None:
        """What is found to be wrong with the program that is to run the next chunk. A run that repeats another follows it instead."""
        return self.recheck.fault(learner, batches, now, mark) if self.settings.made is None else None

    def without_program(self, learner: Learner, batches: Batch, now: Choice, fault: Fault) -> Choice:
        """Eager from here on, where a program was found to be wrong; if by its numbers, it is not tried again for this work."""
        plan = Plan(threads=now.plan.threads)
        if fault.mark is not None:
            memory, step = self.settings.memory, signature(self.stage.rule, learner, batches[0], self.settings.seed)
            words = about(self.settings.identity, learner, batches, step.digest, self.planning().choices_of_threads)
            known = memory.recall(words)
            memory.keep(words, replace(known, refused={**known.refused, now.plan.name: fault.why}))
        reason = f"The {now.plan.name} program was found wrong: {fault.why}. The run goes on eagerly from step {self.position.step}, "
        reason += "where it was last right." if fault.mark else "up to which it was right."
        return self.noted(Choice(plan, plan.build(self.stage.rule, learner, batches), now.seconds_per_step, reason))

    def in_parts(self, learner: Learner, batches: Batch, now: Choice, error: Exception) -> Choice:
        """After memory ran out: eager, each batch in twice as many parts. The same step, unless layers normalise by the batch.

        Raises OutOfMemory where the step cannot be split, or has been split often enough.
        """
        parts = 2 * now.plan.parts
        plan = Plan(threads=now.plan.threads, parts=parts)
        if parts > min(MOST_PARTS, len(batches[0])):
            raise OutOfMemory(f"a batch in {now.plan.parts} parts does not fit either", words_of(error)) from error
        try:
            advance = plan.build(self.stage.rule, learner, batches)
        except PlanRejected as refused:
            raise OutOfMemory(str(refused), words_of(error)) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        beside = " Batch normalisation sees one part at a time." if normalises_by_batch(learner.net) else ""
        reason = f"Memory ran out: from step {self.position.step} on each batch goes in {parts} parts, which give the same step.{beside}"
        return self.noted(Choice(plan, advance, now.seconds_per_step, reason))

    def _made(self) -> list[dict[str, Any]]:
        """The plans of this stage among those that were given."""
        return [one for one in self.settings.made or () if one.get("stage", 0) == self.position.stage]

    def noted(self, choice: Choice) -> Choice:
        """The choice, written into the list of the position that the plans follow, from this step on."""
        later = [{"plan": asdict(one.plan), "seconds": one.seconds} for one in choice.later]
        entry = {"stage": self.position.stage, "since": self.position.stage_step, "made": asdict(choice.plan),
                 "seconds_per_step": choice.seconds_per_step, "later": later}
        self.position.plan = [*self.position.plan, entry]
        return choice

    def _as_recorded(self, entry: dict[str, Any], learner: Learner) -> Choice:
        """The plan built; compiling happens here, on a copy, where a signal can still end it at once."""
        began = time.perf_counter()
        plan, few = Plan(**entry["made"]), self.few()
        advance = plan.build(self.stage.rule, learner, few)
        if plan.programmed:
            with Aside(self.settings.seed, self.device):
                advance(copied(learner), few)
        later = [Later(Plan(**one["plan"]), one["seconds"]) for one in entry.get("later", [])]
        return Choice(plan, advance, entry.get("seconds_per_step", 0.0), "as recorded", later=later, recorded=True,
                      compiling=time.perf_counter() - began if plan.programmed else 0.0)

    def planning(self) -> Planning:
        """What a choice is made for at this step."""
        settings, steps = self.settings, steps_of(self.stage, self.feed)
        return Planning(steps - self.position.stage_step, self.feed.longest_chunk(), settings.plan, settings.precision, settings.threads,
                        settings.seed, sure=self.stage.budget.seconds is None and settings.patience is None and steps < float("inf"),
                        identity=settings.identity, memory=settings.memory,
                        most_threads=self.most_threads, beside=self.beside)

    def few(self) -> Batch:
        """Some real batches, enough for one compiled group of steps, to plan with."""
        return next(self.feed.chunks(0, 0, min(FUSED_STEPS, self.feed.longest_chunk())))


def steps_of(stage: Stage, feed: Feed) -> float:
    """How many steps a stage takes at most; infinite where only a deadline ends it."""
    bounds = [float(stage.budget.steps)] if stage.budget.steps is not None else []
    if stage.budget.epochs is not None:
        bounds.append(float(stage.budget.epochs * feed.batches))
    return min(bounds, default=float("inf"))
