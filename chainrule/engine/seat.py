"""A seat at the loop: one net, what it reads, where it is, its best weights, and its own validation, saving, diagnosis and end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.descend import descents
from chainrule.core.errors import CorruptFile
from chainrule.core.events import (
    NOT_FINITE,
    Commanded,
    Diagnosed,
    Entered,
    Evaluated,
    Event,
    Finished,
    Looked,
    Planned,
    Progressed,
    Sampled,
    Saved,
    Warned,
)
from chainrule.core.measure import higher_is_better
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.stage import Stage, Stages
from chainrule.core.tree import clone
from chainrule.data.feed.shuffled import Feed
from chainrule.engine.commands import NO_RATE, TOGETHER, Steering, factor_of
from chainrule.engine.looking import ROWS, Looking
from chainrule.engine.nonfinite import locate
from chainrule.engine.pace import Pace, as_recorded, by_clock, by_steps, cycle_ends
from chainrule.engine.plans.plan import arrange
from chainrule.engine.plans.planner import Choice
from chainrule.engine.plans.timeline import steps_of
from chainrule.engine.plans.verification import Mark
from chainrule.engine.position import Position, Sample, Settings, Validate
from chainrule.engine.randomness import Aside, Randomness
from chainrule.engine.stop import Stop
from chainrule.engine.store import Restored, Store

E = TypeVar("E", bound=Event)

DIAGNOSED = "diagnosed"                  # why training ended, where its doctor asked for it
SAVE_SHARE = 0.03                        # of wall time that saving may take
REMEDIES = {
    "input": "drop or impute that value",
    "optimizer": "start again from the best weights with a lower rate",
}
ENDED = ("budget", "patience", "stopped", DIAGNOSED)   # why a run is over; of one that was interrupted, or diverged, it is not done
LOWER_RATE = "lower the rate tenfold, clip the gradient (--rule backprop:clip=1), or scale the inputs"


class Seat:
    """One run at the loop. `train` the function says what the parts are; `learner` is what was last taken out of the seat's group.

    A seat decides what is true of itself: whether its stage is over, whether saving is due, which weights are best. When it is asked,
    and what follows, is the loop's.
    """

    stage: Stage
    feed: Feed
    view: Net                # of the net, what this stage trains
    learner: Learner
    looking: Looking
    looked_at: Batch | None  # the rows that looks replay a step with, once one has

    def __init__(self, stages: Stages, net: Net, feed_for: Callable[[int], Feed], validate: Validate, settings: Settings,
                 store: Store | None = None, stop: Stop | None = None, at: int = 0, sample: Sample | None = None):
        self.stages, self.net, self.feed_for, self.validate, self.sample = stages, net, feed_for, validate, sample
        self.settings, self.store, self.stop = settings, store, stop or Stop()
        self.position = Position(at=at)
        self.randomness = Randomness(settings.seed, net.device)
        self.best: dict[str, Tensor] = {}
        self.snapshots: dict[int, dict[str, Tensor]] = {}  # that are not on disk yet; without a store, all
        self.ending = ""
        self.dismissed = False                             # whether its doctor asks that training end
        self.restored: Restored | None = None
        self.steering = Steering(store.folder if store else None)
        self.began = self.last_saved = self.last_progress = time.perf_counter()
        self.counted_from = self.began, 0                  # when, and at which step, steps began to be counted for their speed
        self.earlier = self.compiling = self.saving = 0.0
        self.unsaved = False  # whether the last attempt to save failed, and a warning was given

    # Beginning and ending

    def start(self) -> Iterator[Event]:
        """Start the clock and take back the last checkpoint, where there is one; a run that had ended has ended."""
        self.began = self.last_saved = self.last_progress = time.perf_counter()
        self.restored = self.store.restore(self.net, self.randomness) if self.store else None
        if self.restored:
            at = self.position.at
            self.position = self.restored.position
            if self.position.stage >= len(self.stages):
                raise CorruptFile(f"The checkpoint is of stage {self.position.stage + 1}, and there are {len(self.stages)}. Train again.")
            self.position.at = max(at, self.position.at)
            self.best = {k: t.to(self.net.device) for k, t in self.restored.best.items()}
            self.earlier = self.position.seconds
            self.steering.pass_over()
            for sentence in self.restored.warnings:
                yield self.event(Warned, message=sentence)
        self.ending = self.position.finished

    def enter(self) -> None:
        """Enter the stage of the position: its feed, its view of the net, and a learner, fresh or as the checkpoint has it."""
        self.stage = self.stages[self.position.stage]
        restored, self.restored = self.restored, None
        if self.stage.begin is not None and restored is None:
            with torch.no_grad():
                self.stage.begin(self.net)
        self.feed = self._feed_of_stage()
        self.view = self.stage.view(self.net) if self.stage.view else self.net
        with Aside(self.settings.seed, self.net.device) if restored else self.randomness:  # what is restored has drawn already
            self.learner = Learner(self.view, clone(self.stage.rule.init(self.view)))
        if restored and self.store:
            self.learner = self.store.state_into(self.learner, restored.tensors)
        elif self.store and not self.position.step:
            self.store.check_room(self.net, self.learner.state)
        lasts = self.settings.look is not None or steps_of(self.stage, self.feed) > 1          # one step has no course to be watched
        self.looking = Looking(self.settings.observer if lasts else None, self.settings.look, len(self.stages))
        self.looked_at = None
        self.net.train()

    def _feed_of_stage(self) -> Feed:
        """The batches of a stage: what its `inputs` make of them, computed once, in evaluation mode, of the parts already trained."""
        feed = self.feed_for(self.position.stage)
        if self.stage.inputs is None:
            return feed
        self.net.module.eval()
        with Aside(self.settings.seed, self.net.device):
            return feed.through(partial(self.stage.inputs, self.net))

    @property
    def goes_on(self) -> bool:
        """Whether another stage follows the one that has ended."""
        return self.ending in ("budget", "patience") and self.position.stage + 1 < (len(self.settings.ends) or len(self.stages))

    def end(self, reason: str) -> None:
        """End the stage for this reason; with the last stage ends the run."""
        self.ending = reason
        if reason in ENDED and not self.goes_on:
            self.position.finished = reason

    def next_stage(self) -> None:
        """Leave the stage that has ended for the one that follows."""
        old, now = self.position, self.seconds()
        self.position = Position(stage=old.stage + 1, step=old.step, at=old.at, seconds=now, stage_began=now, history=old.history,
                                 plan=old.plan, stage_steps=[*old.stage_steps, old.stage_step], shares=old.shares, looks=old.looks,
                                 looking=old.looking, rates=old.rates)
        self.best, self.ending = {}, ""

    def finish(self) -> Finished:
        """The end of the run: the net holds the best weights."""
        position = self.position
        self.net.put(self.best)
        arrange(Learner(self.net, {}), channels_last=False)
        self.net.module.eval()
        return self.event(Finished, reason=self.ending, epochs=position.epoch, steps=position.step,
                          best_epoch=position.best.get("epoch", 0), best=position.best.get("measures", {}),
                          timing={"training": self.seconds() - self.compiling, "compiling": self.compiling}, saved=not self.unsaved,
                          stage_steps=[*position.stage_steps, position.stage_step], shares=position.shares, rates=position.rates)

    # Where it is

    @property
    def epoch_over(self) -> bool:
        return self.position.batch >= self.feed.batches

    def spent(self) -> str:
        """Why the stage is over, or nothing."""
        position, patience, seconds = self.position, self.settings.patience, self.stage.budget.seconds
        if self.dismissed or self.steering.stopped:
            return DIAGNOSED if self.dismissed else "stopped"
        if position.stage_step >= steps_of(self.stage, self.feed) or (seconds is not None and self.stage_seconds() >= seconds):
            return "budget"
        if self.settings.ends and position.stage_step >= self.settings.ends[position.stage]:
            return "budget"
        return "patience" if patience is not None and position.waited >= patience else ""

    def ahead(self) -> int | None:
        """How many steps may be taken at once: up to the end of the budget of steps or of the cycle, or to the next samples; None: as
        many as one likes.
        """
        done = self.position.stage_step
        bounds = [end for end in self._cycles() if end > done][:1]
        bounds += [done + at - self.position.step for at in self.settings.samples if at > self.position.step][:1]
        bounds += [done + int(at) - self.position.step for at, _ in self.settings.rates if at > self.position.step][:1]
        bounds += [done + at - self.position.step for at in (self.steering.pause_at,) if at > self.position.step]
        if self.stage.budget.steps is not None:
            bounds.append(self.stage.budget.steps)
        if self.settings.ends:
            bounds.append(self.settings.ends[self.position.stage])
        if (other := as_recorded(self.settings.shares, self.position.stage, done)[1]) is not None:
            bounds.append(other)
        return min(bounds) - done if bounds else None

    def pace(self) -> Pace:
        """How much of the stage, or of its cycle, is done: as recorded, by steps, by the clock where only that ends it, else nothing."""
        position, steps, seconds = self.position, steps_of(self.stage, self.feed), self.stage.budget.seconds
        if any(one[0] == position.stage for one in self.settings.shares):
            return as_recorded(self.settings.shares, position.stage, position.stage_step)[0]
        if steps < float("inf"):
            return by_steps(position.stage_step, self._cycles() or [int(steps)])
        part = self.stage_seconds() / seconds if seconds else 0.0
        return by_clock(position.shares, position.stage, position.stage_step, part)

    def _cycles(self) -> list[int]:
        cycles = self.settings.snapshots
        return cycle_ends(int(steps_of(self.stage, self.feed)), cycles) if cycles else []

    def obey(self, alone: bool = True) -> Iterator[Event]:
        """Do what commands have asked since the last time, and tell of it; `alone` says that its rate is its own to change."""
        step = self.position.step
        for command in self.steering.read(step):
            if command.word == "rate" and not (alone and any(descents(self.stage.rule))):
                yield self.event(Warned, message=f"The rate stays as it is: {NO_RATE if alone else TOGETHER}.")
                continue
            if command.word == "rate":
                self.position.rates = [*(one for one in self.position.rates if one[0] != step), [step, command.value]]
            yield self.event(Commanded, step=step, command=command.word, value=command.value)

    def cycle(self) -> int:
        """The number, from 1, of the cycle that has just ended; 0 within one."""
        ends = self._cycles()
        return ends.index(self.position.stage_step) + 1 if self.position.stage_step in ends else 0

    def count(self, losses: Tensor, rows: int) -> None:
        """Count steps of so many rows each; their losses (k,) are means over these, so the epoch's is weighted by them."""
        position = self.position
        position.batch += len(losses)
        position.step += len(losses)
        position.stage_step += len(losses)
        position.loss_sum += rows * float(losses.sum())
        position.loss_count += rows * len(losses)

    def seconds(self) -> float:
        """Seconds of the whole run, those before it was resumed included."""
        return self.earlier + time.perf_counter() - self.began

    def stage_seconds(self) -> float:
        return self.seconds() - self.position.stage_began

    def factor(self) -> float:
        """By how much commands have multiplied the rate at this step."""
        return factor_of(self.settings.rates or self.position.rates, self.position.step)

    # What it does of its own

    def mark(self, learner: Learner) -> Mark:
        """Copies of all that training moves, to come back to."""
        return Mark.of(learner, self.position, self.randomness, self.best, self.snapshots)

    def return_to(self, mark: Mark) -> Learner:
        """The seat as it was at a mark, and its learner; the numbers of its events go on."""
        for name, value in vars(mark.position).items():
            if name not in ("at", "rates"):                  # what was commanded holds when its step comes again
                setattr(self.position, name, value)
        self.randomness.inside, self.best, self.snapshots, self.last_saved = mark.randomness, mark.best, dict(mark.snapshots), -math.inf
        return self.take_back(mark.learner)

    def take_back(self, before: Learner) -> Learner:
        """The learner as it was before, in the tensors of the run."""
        self.view.load(before.net)
        return Learner(self.view, before.state)

    def planned(self, choice: Choice, name: str) -> Iterator[Event]:
        """Tell of a choice under this name, where it is not what was recorded anyway."""
        self.compiling += choice.compiling
        if not choice.recorded:
            yield self.event(Planned, name=name, precision=choice.plan.precision, seconds_per_step=choice.seconds_per_step,
                             rejected=choice.rejected, reason=choice.reason, made=self.position.plan,
                             since=self.position.stage_step, steps_per_chunk=choice.plan.chunk, compiling=choice.compiling)

    def entered(self) -> Entered:
        """Which of several stages begins, or goes on."""
        position = self.position
        return self.event(Entered, stage=position.stage, stages=len(self.stages), name=self.stage.name, epochs=self.stage.budget.epochs,
                          since=position.step - position.stage_step)

    def progress(self, now: float, loss: float) -> Progressed:
        """Where it is, how fast it goes, how long it will take."""
        position, total, (began, first) = self.position, steps_of(self.stage, self.feed), self.counted_from
        known, speed, self.last_progress = total != float("inf"), (position.step - first) / max(now - began, 1e-9), now
        left = [(total - position.stage_step) / speed] if known else []
        left += [] if self.stage.budget.seconds is None else [max(self.stage.budget.seconds - self.stage_seconds(), 0.0)]
        return self.event(Progressed, epoch=position.epoch, step=position.step, steps=int(total) if known else None, loss=loss,
                          steps_per_second=speed, remaining=min(left, default=None))

    def sampled(self) -> Iterator[Event]:
        """What the net makes now, where that is to be recorded after this step; nothing of the training notices."""
        if self.sample is None or self.position.step not in self.settings.samples or self.position.stage + 1 < len(self.stages):
            return
        with Aside(self.settings.seed, self.net.device):
            sketch = self.sample()
        self.net.train()
        if sketch.texts or sketch.pictures:
            pictures = [dict(sheet) for sheet in sketch.pictures]
            yield self.event(Sampled, step=self.position.step, texts=list(sketch.texts), pictures=pictures)

    def looks(self, step_seconds: float, beside: int) -> Iterator[Event]:
        """What a step from here would be, seen on a copy; nothing of the training notices. Where looking fails it is told once.

        `step_seconds` is what a step is expected to take, `beside` how many seats share the time.
        """
        began, position, observer = time.perf_counter(), self.position, self.settings.observer
        assert observer is not None
        number, trained = position.looks, self.seconds() - self.compiling - position.looking
        try:
            with Aside(self.settings.seed, self.net.device):
                self.looked_at = self.feed.some(ROWS) if self.looked_at is None else self.looked_at
                record = observer.look(self.learner, self.stage.rule, self.looked_at, number)
        except Exception as error:   # a look that fails must not end what it looks at
            self.looking.failed = f"{type(error).__name__}: {error}"
            yield self.event(Warned, message=f"Looking at the training has ended ({self.looking.failed}); the training goes on.")
            return
        a_step = trained / position.step if position.step else step_seconds
        self.looking.took(position, time.perf_counter() - began, trained, a_step, steps_of(self.stage, self.feed), beside)
        yield self.event(Looked, step=position.step, looks=record, number=number)

    def keep_snapshot(self, cycle: int) -> None:
        """Keep the weights as a snapshot; no checkpoint is written before it is on disk, so that a resumed run has it too."""
        self.snapshots[cycle] = clone(self.net.tensors)

    def evaluate(self) -> Evaluated:
        """Validate, and keep the weights where they are the best so far."""
        position = self.position
        self.net.module.eval()
        with torch.no_grad(), Aside(self.settings.seed, self.net.device):
            valid = self.validate(self.learner)
        self.net.settle()
        self.net.train()
        score = [valid[name] if higher_is_better(name) else -valid[name] for name in self.settings.monitor if name in valid]
        better = all(s == s for s in score) and (not position.best or not score or score > position.best["score"])
        if better:
            position.best = {"epoch": position.epoch, "step": position.step, "score": score, "measures": valid}
            self.best = clone(self.net.tensors)
        position.waited = 0 if better else position.waited + 1
        train = {"loss": position.loss_sum / max(position.loss_count, 1)}
        position.loss_sum, position.loss_count = 0.0, 0
        entry = {"epoch": position.epoch, "step": position.step, "train": train, "valid": valid, "best": better}
        position.history.append({"stage": position.stage, **entry})
        return self.event(Evaluated, **entry, stage=position.stage)

    def due(self, now: float) -> bool:
        """Whether it is time to save: for a snapshot at once, else never more often than saving costs 3 % of the time."""
        least = self.settings.save_every if self.settings.save_every is not None else max(1.0, self.saving / SAVE_SHARE)
        return self.store is not None and (now - self.last_saved >= least or bool(self.snapshots and not self.unsaved))

    def save(self) -> Iterator[Event]:
        """Save the position. A full disk costs one warning, not the run; the checkpoint before this one stays."""
        if self.store is None:
            return
        began = time.perf_counter()
        self.position.seconds = self.seconds()
        try:
            for number, tensors in self.snapshots.items():
                self.store.save_snapshot(number, tensors)
            self.store.save_best(self.best or self.net.tensors, self.position)
            path = self.store.save(self.net, self.learner.state, self.best, self.randomness, self.position)
        except OSError as error:
            self.last_saved = time.perf_counter()
            if not self.unsaved:
                yield self.event(Warned, message=f"Could not save to {self.store.folder}: {error.strerror or error}. "
                                                 "The checkpoint before this one is kept; free some space.")
            self.unsaved = True
            return
        self.last_saved = time.perf_counter()
        self.saving, self.unsaved, self.snapshots = self.last_saved - began, False, {}
        yield self.event(Saved, epoch=self.position.epoch, step=self.position.step, path=str(path), best=bool(self.best))

    def diverged(self, before: Learner, batches: Batch) -> Diagnosed:
        """Take back a chunk (k, n, ...) after which numbers are no longer finite, and find where that began."""
        position, drawn_from = self.position, self.randomness.inside
        with self.randomness:
            fault = locate(self.stage.rule, before, batches)
        self.randomness.inside = drawn_from
        self.learner = self.take_back(before)
        self.ending = position.finished = "diverged"
        rows = self.feed.rows(position.epoch, position.batch + fault.step)
        named = ", ".join(str(int(rows[r])) for r in fault.rows[:5]) + (" and more" if len(fault.rows) > 5 else "")
        where = f"epoch {position.epoch + 1}, batch {position.batch + fault.step + 1}"
        where += f", rows {named} of the data" if fault.rows else ""
        return self.event(Diagnosed, code=NOT_FINITE, layer=fault.layer, evidence=f"{fault.evidence} ({where})",
                          remedy=REMEDIES.get(fault.layer, LOWER_RATE), name="not finite", step=position.step + fault.step, first=True,
                          numbers={"step": position.step + fault.step, "rows": len(fault.rows)})

    def event(self, kind: type[E], **fields: Any) -> E:
        """An event of this run, numbered and timed."""
        event = kind(at=self.position.at, seconds=round(time.perf_counter() - self.began, 4), **fields)
        self.position.at += 1
        return event
