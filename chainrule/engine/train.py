"""Training as a generator of events: advance a chunk, hand out what happened, validate, keep the best, save."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import torch

from chainrule.core.batch import Batch
from chainrule.core.descend import set_pace
from chainrule.core.events import Diagnosed, Evaluated, Event, Finished, Planned, Progressed, Saved, Warned
from chainrule.core.measure import higher_is_better
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.stage import Stage, Stages
from chainrule.core.tree import clone
from chainrule.data.feed.shuffled import Feed
from chainrule.engine.nonfinite import finite, locate
from chainrule.engine.pace import Pace, as_recorded, by_clock, by_steps
from chainrule.engine.plans.microbatch import out_of_memory
from chainrule.engine.plans.plan import arrange
from chainrule.engine.plans.planner import Choice
from chainrule.engine.plans.timeline import Plans, steps_of
from chainrule.engine.plans.verification import Mark
from chainrule.engine.position import Position, Settings, Validate
from chainrule.engine.randomness import Aside, Randomness
from chainrule.engine.stop import Stop
from chainrule.engine.store import Restored, Store

E = TypeVar("E", bound=Event)

PROGRESS_SECONDS = 0.1
SAVE_SHARE = 0.03                        # of wall time that saving may take
REMEDIES = {
    "input": "drop or impute that value",
    "optimizer": "start again from the best weights with a lower rate",
}
LOWER_RATE = "lower the rate tenfold, clip the gradient (--rule backprop:clip=1), or scale the inputs"


def train(stages: Stages, net: Net, feed_for: Callable[[int], Feed], validate: Validate, settings: Settings,
          store: Store | None = None, stop: Stop | None = None, at: int = 0) -> Iterator[Event]:
    """Train `net` in place through `stages`; at the end it holds the best weights seen. Yields events, the last `Finished`.

    `feed_for(stage)` gives the batches, `validate(learner)` the measures at each epoch's end. With a `store` that holds a checkpoint
    the run goes on from there, bit for bit as if it had never stopped. `at` numbers the first event.
    """
    return Training(stages, net, feed_for, validate, settings, store, stop or Stop(), at).run()


def cycle_ends(steps: int, cycles: int) -> list[int]:
    """How many steps are done where each of so many cycles of equal length, to the step, ends."""
    return [-(-steps * k // cycles) for k in range(1, cycles + 1)]


class Training:
    """One process's part of a run. The loop is `_stage`; stopping and saving are decided there and nowhere else."""

    def __init__(self, stages: Stages, net: Net, feed_for: Callable[[int], Feed], validate: Validate, settings: Settings,
                 store: Store | None, stop: Stop, at: int):
        self.stages, self.net, self.feed_for, self.validate = stages, net, feed_for, validate
        self.settings, self.store, self.stop = settings, store, stop
        self.position = Position(at=at)
        self.randomness = Randomness(settings.seed, net.device)
        self.best: dict[str, torch.Tensor] = {}
        self.kept: dict[int, dict[str, torch.Tensor]] = {}  # snapshots that are not on disk yet; without a store, all
        self.ending = ""
        self.began = self.last_saved = self.last_progress = time.perf_counter()
        self.before = self.compiling = self.saving = 0.0
        self.unsaved = False  # whether the last attempt to save failed, and was said

    def run(self) -> Iterator[Event]:
        restored = self._restore()
        if restored:
            for sentence in restored.warnings:
                yield self._event(Warned, message=sentence)
        self.ending = self.position.finished
        threads = torch.get_num_threads()
        try:
            while not self.ending:
                torch.set_num_threads(threads)  # a stage chooses its own
                yield from self._stage(self.stages[self.position.stage], restored)
                restored = None
                if self.ending in ("budget", "patience") and self.position.stage + 1 < len(self.stages):
                    self._next_stage()
        finally:
            torch.set_num_threads(threads)
        yield self._end()

    def _stage(self, stage: Stage, restored: Restored | None) -> Iterator[Event]:
        position = self.position
        feed = self._feed(stage)
        view = stage.view(self.net) if stage.view else self.net
        with Aside(self.settings.seed, self.net.device) if restored else self.randomness:  # what is restored has drawn already
            learner = Learner(view, clone(stage.rule.init(view)))
        if restored and self.store:
            learner = self.store.state_into(learner, restored.tensors)
        self.net.module.train()
        set_pace(learner.state, self._pace(stage, feed))
        plans = Plans(stage, feed, self.settings, position, self.net.device)
        with self.stop.ending_at_once():
            choice = plans.first(learner)
        yield from self._planned(learner, choice)
        loop_began, steps_before = time.perf_counter(), position.step
        while not (self.ending or self._spent(stage, feed)):
            for chunk in feed.chunks(position.epoch, position.batch, choice.plan.chunk):
                batches = self._within(stage, feed, chunk)
                set_pace(learner.state, self._pace(stage, feed))
                mark = partial(Mark.of, learner, position, self.randomness, self.best, self.kept)
                if fault := plans.fault(learner, batches, choice, mark):
                    learner = self._return(view, fault.mark) if fault.mark else learner
                    choice = plans.without_program(learner, batches, choice, fault)
                    yield self._event(Warned, message=choice.reason)
                    yield from self._planned(learner, choice)
                    break
                before, drawn_from = Learner(view.clone(), clone(learner.state)), self.randomness.inside
                try:
                    with self.randomness:
                        learner, reports = choice.advance(learner, batches)
                except Exception as error:
                    if not out_of_memory(error):
                        raise
                    self.randomness.inside = drawn_from
                    learner = self._back(view, before)
                    choice = plans.in_parts(learner, batches, choice, error)
                    yield self._event(Warned, message=choice.reason)
                    yield from self._planned(learner, choice)
                    break
                if learner.net is not view:  # a rule may return its net anew; what is kept is the one that was given
                    view.load(learner.net)
                    learner = Learner(view, learner.state)
                losses = reports["loss"].double().cpu()
                if not (bool(losses.isfinite().all()) and finite([learner.net.tensors, learner.state])):
                    self.randomness.inside = drawn_from
                    yield from self._diverged(stage, view, before, batches, feed)
                    return
                self._moved(losses, batches.x.shape[1])
                if cycle := self._cycle(stage, feed):
                    self._keep(cycle)
                now = time.perf_counter()
                if now - self.last_progress >= PROGRESS_SECONDS:
                    speed = (position.step - steps_before) / max(now - loop_began, 1e-9)
                    yield self._progress(now, float(losses[-1]), speed, steps_of(stage, feed))
                if self.stop.requested or self._spent(stage, feed) or len(batches) < len(chunk):
                    break
                if plans.due(choice, self._seconds() - position.stage_began - self.compiling):
                    with self.stop.ending_at_once():
                        choice = plans.change(learner, choice)
                    yield from self._planned(learner, choice)
                    break
                if position.batch < feed.batches and self._due(now):
                    yield from self._save(learner)
            if position.batch >= feed.batches:
                position.epoch, position.batch = position.epoch + 1, 0
                yield self._evaluate(learner)
            elif self._spent(stage, feed):
                yield self._evaluate(learner)
            self.ending = self._spent(stage, feed) or ("interrupted" if self.stop.requested else "")
            if self.ending in ("budget", "patience") and position.stage + 1 == len(self.stages):
                position.finished = self.ending
            if self.store and (self.ending or self._due(time.perf_counter())):
                yield from self._save(learner)
        self.ending = self.ending or self._spent(stage, feed)

    def _feed(self, stage: Stage) -> Feed:
        """The batches of a stage: what its `inputs` make of them, computed once, in evaluation mode, of the parts already trained."""
        feed = self.feed_for(self.position.stage)
        if stage.inputs is None:
            return feed
        self.net.module.eval()
        with Aside(self.settings.seed, self.net.device):
            return feed.through(partial(stage.inputs, self.net))

    def _planned(self, learner: Learner, choice: Choice) -> Iterator[Event]:
        """Lay out the learner for a choice and, where it is not what was recorded anyway, tell of it."""
        arrange(learner, choice.plan.channels_last)
        self.compiling += choice.compiling
        if not choice.recorded:
            yield self._event(Planned, name=choice.plan.name, precision=choice.plan.precision, seconds_per_step=choice.seconds_per_step,
                              rejected=choice.rejected, reason=choice.reason, made=self.position.plan,
                              since=self.position.stage_step, steps_per_chunk=choice.plan.chunk, compiling=choice.compiling)

    def _return(self, view: Net, mark: Mark) -> Learner:
        """The run as it was at a mark; the numbers of its events go on."""
        for name, value in vars(mark.position).items():
            if name != "at":
                setattr(self.position, name, value)
        self.randomness.inside, self.best, self.kept, self.last_saved = mark.randomness, mark.best, dict(mark.snapshots), -math.inf
        return self._back(view, mark.learner)

    def _back(self, view: Net, before: Learner) -> Learner:
        """The learner as it was before a chunk, in the tensors of the run."""
        view.load(before.net)
        return Learner(view, before.state)

    def _spent(self, stage: Stage, feed: Feed) -> str:
        """Why the stage is over, or nothing."""
        position, patience, seconds = self.position, self.settings.patience, stage.budget.seconds
        if position.stage_step >= steps_of(stage, feed) or (seconds is not None and self._seconds() - position.stage_began >= seconds):
            return "budget"
        if self.settings.ends and position.stage_step >= self.settings.ends[position.stage]:
            return "budget"
        return "patience" if patience is not None and position.waited >= patience else ""

    def _within(self, stage: Stage, feed: Feed, chunk: Batch) -> Batch:
        """As much of a chunk as the budget of steps, and the cycle, allow."""
        left = self._ahead(stage, feed)
        return chunk if left is None or left >= len(chunk) else chunk.rows(0, left)

    def _ahead(self, stage: Stage, feed: Feed) -> int | None:
        """How many steps may be taken at once: up to the end of the budget of steps or of the cycle; None: as many as one likes."""
        done = self.position.stage_step
        bounds = [end for end in self._cycles(stage, feed) if end > done][:1]
        if stage.budget.steps is not None:
            bounds.append(stage.budget.steps)
        if self.settings.ends:
            bounds.append(self.settings.ends[self.position.stage])
        if (other := as_recorded(self.settings.shares, self.position.stage, done)[1]) is not None:
            bounds.append(other)
        return min(bounds) - done if bounds else None

    def _pace(self, stage: Stage, feed: Feed) -> Pace:
        """How much of the stage, or of its cycle, is done: as recorded, by steps, by the clock where only that ends it, else nothing."""
        position, steps, seconds = self.position, steps_of(stage, feed), stage.budget.seconds
        if any(one[0] == position.stage for one in self.settings.shares):
            return as_recorded(self.settings.shares, position.stage, position.stage_step)[0]
        if steps < float("inf"):
            return by_steps(position.stage_step, self._cycles(stage, feed) or [int(steps)])
        part = (self._seconds() - position.stage_began) / seconds if seconds else 0.0
        return by_clock(position.shares, position.stage, position.stage_step, part)

    def _cycles(self, stage: Stage, feed: Feed) -> list[int]:
        cycles = self.settings.snapshots
        return cycle_ends(int(steps_of(stage, feed)), cycles) if cycles else []

    def _cycle(self, stage: Stage, feed: Feed) -> int:
        """The number, from 1, of the cycle that has just ended; 0 within one."""
        ends = self._cycles(stage, feed)
        return ends.index(self.position.stage_step) + 1 if self.position.stage_step in ends else 0

    def _keep(self, cycle: int) -> None:
        """Keep the weights as a snapshot; no checkpoint is written before it is on disk, so that a resumed run has it too."""
        self.kept[cycle] = clone(self.net.tensors)

    def _moved(self, losses: torch.Tensor, rows: int) -> None:
        """Count steps of so many rows each; their losses (k,) are means over these, so the epoch's is weighted by them."""
        position = self.position
        position.batch += len(losses)
        position.step += len(losses)
        position.stage_step += len(losses)
        position.loss_sum += rows * float(losses.sum())
        position.loss_count += rows * len(losses)

    def _next_stage(self) -> None:
        old = self.position
        now = self._seconds()
        self.position = Position(stage=old.stage + 1, step=old.step, at=old.at, seconds=now, stage_began=now, history=old.history,
                                 plan=old.plan, stage_steps=[*old.stage_steps, old.stage_step], shares=old.shares)
        self.best, self.ending = {}, ""

    def _progress(self, now: float, loss: float, speed: float, total: float) -> Progressed:
        position, known = self.position, total != float("inf")
        self.last_progress = now
        return self._event(Progressed, epoch=position.epoch, step=position.step, steps=int(total) if known else None, loss=loss,
                           steps_per_second=speed, remaining=(total - position.stage_step) / speed if known else None)

    def _evaluate(self, learner: Learner) -> Evaluated:
        position = self.position
        self.net.module.eval()
        with torch.no_grad(), Aside(self.settings.seed, self.net.device):
            valid = self.validate(learner)
        self.net.module.train()
        score = [valid[name] if higher_is_better(name) else -valid[name] for name in self.settings.monitor if name in valid]
        better = all(s == s for s in score) and (not position.best or not score or score > position.best["score"])
        if better:
            position.best = {"epoch": position.epoch, "step": position.step, "score": score, "measures": valid}
            self.best = clone(self.net.tensors)
        position.waited = 0 if better else position.waited + 1
        train = {"loss": position.loss_sum / max(position.loss_count, 1)}
        position.loss_sum, position.loss_count = 0.0, 0
        told = {"epoch": position.epoch, "step": position.step, "train": train, "valid": valid, "best": better}
        position.history.append({"stage": position.stage, **told})
        return self._event(Evaluated, **told)

    def _due(self, now: float) -> bool:
        """Whether it is time to save: for a snapshot at once, else never more often than saving costs 3 % of the time."""
        least = self.settings.save_every if self.settings.save_every is not None else max(1.0, self.saving / SAVE_SHARE)
        return self.store is not None and (now - self.last_saved >= least or bool(self.kept and not self.unsaved))

    def _save(self, learner: Learner) -> Iterator[Event]:
        """Save the position. A full disk costs one warning, not the run; the checkpoint before this one stays."""
        assert self.store is not None
        began = time.perf_counter()
        self.position.seconds = self._seconds()
        try:
            for number, tensors in self.kept.items():
                self.store.save_snapshot(number, tensors)
            self.store.save_best(self.best or self.net.tensors, self.position)
            path = self.store.save(self.net, learner.state, self.best, self.randomness, self.position)
        except OSError as error:
            self.last_saved = time.perf_counter()
            if not self.unsaved:
                yield self._event(Warned, message=f"Could not save to {self.store.folder}: {error.strerror or error}. "
                                                  "The checkpoint before this one is kept; free some space.")
            self.unsaved = True
            return
        self.last_saved = time.perf_counter()
        self.saving, self.unsaved, self.kept = self.last_saved - began, False, {}
        yield self._event(Saved, epoch=self.position.epoch, step=self.position.step, path=str(path), best=bool(self.best))

    def _diverged(self, stage: Stage, view: Net, before: Learner, batches: Batch, feed: Feed) -> Iterator[Event]:
        """Put back the last good weights, find where it began, and say so."""
        position, drawn_from = self.position, self.randomness.inside
        with self.randomness:
            fault = locate(stage.rule, before, batches)
        self.randomness.inside = drawn_from
        view.load(before.net)
        rows = feed.rows(position.epoch, position.batch + fault.step)
        named = ", ".join(str(int(rows[r])) for r in fault.rows[:5]) + (" and more" if len(fault.rows) > 5 else "")
        where = f"epoch {position.epoch + 1}, batch {position.batch + fault.step + 1}"
        where += f", rows {named} of the data" if fault.rows else ""
        yield self._event(Diagnosed, code="D21", layer=fault.layer, evidence=f"{fault.evidence} ({where})",
                          remedy=REMEDIES.get(fault.layer, LOWER_RATE))
        self.ending = position.finished = "diverged"
        if self.store:
            yield from self._save(before)

    def _restore(self) -> Restored | None:
        restored = self.store.restore(self.net, self.randomness) if self.store else None
        if restored:
            at = self.position.at
            self.position = Position(**restored.position)
            self.position.at = max(at, self.position.at)
            self.best = {k: t.to(self.net.device) for k, t in restored.best.items()}
            self.before = self.position.seconds
        return restored

    def _end(self) -> Finished:
        position = self.position
        with torch.no_grad():
            for name, t in self.net.tensors.items():
                t.copy_(self.best.get(name, t))
        arrange(Learner(self.net, {}), channels_last=False)
        self.net.module.eval()
        return self._event(Finished, reason=self.ending, epochs=position.epoch, steps=position.step,
                           best_epoch=position.best.get("epoch", 0), best=position.best.get("measures", {}),
                           timing={"training": self._seconds() - self.compiling, "compiling": self.compiling}, saved=not self.unsaved,
                           stage_steps=[*position.stage_steps, position.stage_step], shares=position.shares)

    def _seconds(self) -> float:
        return self.before + time.perf_counter() - self.began

    def _event(self, kind: type[E], **fields: Any) -> E:
        event = kind(at=self.position.at, seconds=round(time.perf_counter() - self.began, 4), **fields)
        self.position.at += 1
        return event
