"""The loop. One net and many seats side by side go the same way: a chunk, then whatever follows it, each in one place.

- changing the rate: `_set_pace`, before every chunk, from each seat's share of its stage
- looking at what the next step would be: `_look`, before what is advanced, for each seat that is due, on a copy
- putting back what is no longer finite: `_count`, after every chunk, while nothing moves
- obeying commands from outside: `_obey`, after every chunk; pausing: `_wait`, between chunks
- advancing, and reducing over processes: `_advance`, the one call in which tensors are moved
- validating and stopping: `_look_up`, at the end of an epoch, of a budget, of patience, or on a signal
- saving: `_save`, when it is due and when a seat ends
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from chainrule.core.events import Warned
from chainrule.core.threads import torch_threads
from chainrule.engine.group import Events, Group, Tail
from chainrule.engine.plans.microbatch import out_of_memory
from chainrule.engine.seat import Seat

PROGRESS_SECONDS = 0.1
PAUSE_SECONDS = 0.02   # between looks at whether a pause is over
ENDED = {"done": 0.0, "each": 0.0, "whole": 1.0}   # the pace of a seat that has ended: no schedule of its matters any more


class Loop:
    """A group of seats on its way."""

    def __init__(self, group: Group):
        self.group = group
        self.stop = group.seats[0].stop
        self.threads = torch.get_num_threads()             # a stage chooses its own

    def run(self) -> Events:
        """Train every seat to its end; yields (seat, event), for each the events of an ordinary run, the last `Finished`."""
        with torch_threads():
            yield from self._start()
            while self.group.live:
                torch.set_num_threads(self.threads)
                self.group.enter()
                yield from self._end_spent()
                if self.group.live:
                    for _, seat in self.group.live:
                        if len(seat.stages) > 1:
                            yield seat, seat.entered()
                    self._set_pace(self.group)
                    with self.stop.ending_at_once():
                        self.group.choose()
                    yield from self.group.planned()
                    self._measure_speed()
                    yield from self._obey()
                    yield from self._wait()
                while self.group.live:
                    yield from self._advance(self.group)
                    yield from self._look_up()
                    yield from self._wait()
                    self._leave_out_ended()
                for seat in self.group.seats:
                    if seat.goes_on:
                        seat.next_stage()

    def _start(self) -> Events:
        """Every seat from its last checkpoint, where there is one; those that had ended have ended."""
        for seat in self.group.seats:
            for event in seat.start():
                yield seat, event
            if seat.ending:
                yield seat, seat.finish()

    def _end_spent(self) -> Events:
        """End the stage of seats whose budget was spent before."""
        for _, seat in self.group.live:
            if reason := seat.spent():
                seat.end(reason)
                yield from self._end(seat)

    def _measure_speed(self) -> None:
        """Seats tell from here on how fast they go: planning is no part of it."""
        now = time.perf_counter()
        for _, seat in self.group.live:
            seat.counted_from = now, seat.position.step

    def _leave_out_ended(self) -> None:
        if self.group.live and len(self.group.live) < len(self.group.seats) and not self.stop.requested:
            with self.stop.ending_at_once():
                self.group = self.group.without_ended()

    def _advance(self, group: Group) -> Events:
        """Chunk by chunk to the end of the epoch, or to where a seat's budget or cycle ends, a plan changes, or a signal has come.

        Where processes share the work, their sums meet inside the plan's `advance`.
        """
        lead = group.live[0][1]
        for chunk in group.feed.chunks(lead.position.epoch, lead.position.batch, group.choice.plan.chunk):
            rest = chunk
            while True:
                yield from self._look(group)
                allowed = self._within(group, rest)
                batches = self._until_look(group, allowed)
                self._set_pace(group)
                if group.wrong(batches):
                    yield from self._warned()
                    return
                group.remember()
                try:
                    with group.seats[0].randomness:        # for several, nothing is drawn: seats whose steps draw go alone
                        learner, reports = group.choice.advance(group.learner, group.parts(batches))
                except Exception as error:
                    if not out_of_memory(error):
                        raise
                    group.split(batches, error)
                    yield from self._warned()
                    return
                yield from self._count(group, group.settle(learner, reports), batches)
                yield from self._obey()
                live, cut = group.live, len(batches) < len(allowed)
                over = not live or any(seat.spent() or seat.steering.paused for _, seat in live)
                if self.stop.requested or over or (not cut and len(allowed) < len(rest)):
                    return
                if len(batches) == len(rest):
                    break
                rest = rest.rows(len(batches), len(rest))
            if group.change_due():
                with self.stop.ending_at_once():
                    self.group = group.change()
                yield from self.group.planned()
                return
            if not live[0][1].epoch_over and self._due():
                yield from self._save(live)
        for i, seat in group.live:
            if not seat.epoch_over:
                yield from self._tail(i, seat)

    def _tail(self, i: int, seat: Seat) -> Events:
        """A seat's last batch by its own rule, where that batch is larger or smaller than the others'."""
        self.group.take(i)
        tail = Tail(seat)
        yield from self._advance(tail)
        if not seat.ending:
            tail.take(0)
            self.group.put(i)

    def _within(self, group: Group, chunk: Any) -> Any:
        """As much of a chunk as every seat's budget of steps, and its cycle, allow."""
        left = [ahead for _, seat in group.live if (ahead := seat.ahead()) is not None]
        return chunk.rows(0, min(left)) if left and min(left) < len(chunk) else chunk

    def _look(self, group: Group) -> Events:
        """Let whoever watches see what the next step would be, of each seat for which that is due; on copies, so that nothing moves."""
        due = [(i, seat) for i, seat in group.live if seat.looking.due(seat.position)]
        if due:
            self._set_pace(group)
        for i, seat in due:
            group.take(i)
            for event in seat.looks(group.choice.seconds_per_step, len(group.live)):
                yield seat, event

    def _until_look(self, group: Group, batches: Any) -> Any:
        """As much of what may be advanced as comes before the next look, in whole groups of fused steps, which stay as they were."""
        left = [ahead for _, seat in group.live if (ahead := seat.looking.ahead(seat.position)) is not None]
        if not left:
            return batches
        at, fused = group.live[0][1].position.batch, group.choice.plan.fused
        end = -(-(at + min(left)) // fused) * fused - at
        return batches.rows(0, end) if end < len(batches) else batches

    def _set_pace(self, group: Group) -> None:
        group.set_pace([ENDED if seat.ending else seat.pace() for seat in group.seats])

    def _count(self, group: Group, losses: Tensor, batches: Any) -> Events:
        """Note a chunk with every seat; one whose numbers are no longer finite is put back, diagnosed and ended."""
        bad, now = group.not_finite(losses), time.perf_counter()
        for i, seat in group.live:
            part = group.part(batches, i)
            if i in bad:
                yield seat, seat.diverged(group.undone(i), part)
                yield from self._save([(i, seat)], taken=True)
                yield from self._end(seat)
                continue
            seat.count(losses[:, i], part.x.shape[1])
            if cycle := seat.cycle():
                group.take(i)
                seat.keep_snapshot(cycle)
            if seat.position.step in seat.settings.samples:
                group.take(i)
                for event in seat.sampled():
                    yield seat, event
            if now - seat.last_progress >= PROGRESS_SECONDS:
                yield seat, seat.progress(now, float(losses[-1, i]))

    def _obey(self) -> Events:
        """What commands from outside ask of every seat."""
        for _, seat in self.group.live:
            for event in seat.obey(alone=len(self.group.seats) == 1):
                yield seat, event

    def _wait(self) -> Events:
        """While a command has paused a seat, nothing moves; what there is has been saved, to be looked at."""
        if any(seat.steering.paused for _, seat in self.group.live):
            yield from self._save(self.group.live)
        while any(seat.steering.paused for _, seat in self.group.live) and not self.stop.requested:
            time.sleep(PAUSE_SECONDS)
            yield from self._obey()

    def _look_up(self) -> Events:
        """What may follow chunks, for every seat: validation at an epoch's end, the best weights, stopping, saving.

        A signal ends all seats at one position, from which they go on together.
        """
        live, reasons = self.group.live, []
        for i, seat in live:
            position, over, reason = seat.position, seat.epoch_over, seat.spent()
            if over:
                position.epoch, position.batch = position.epoch + 1, 0
            if over or reason:
                self.group.take(i)
                yield seat, seat.evaluate()
                reason = reason or seat.spent()
            reasons.append(reason)
        interrupted = "interrupted" if self.stop.requested else ""
        for (i, seat), reason in zip(live, reasons, strict=True):
            if reason or interrupted:
                seat.end(reason or interrupted)
                yield from self._save([(i, seat)])
                yield from self._end(seat)
        if self._due():
            yield from self._save(self.group.live)

    def _due(self) -> bool:
        now = time.perf_counter()
        return any(seat.due(now) for _, seat in self.group.live)

    def _save(self, seats: Sequence[tuple[int, Seat]], taken: bool = False) -> Events:
        """Save these seats, at one position; each is due again when all together have cost their share of the time."""
        for i, seat in seats:
            if not taken:
                self.group.take(i)
            for event in seat.save():
                yield seat, event
        if len(seats) > 1:
            took = [seat.saving for _, seat in seats]
            cost, now = max(took) if any(seat.unsaved for _, seat in seats) else sum(took), time.perf_counter()
            for _, seat in seats:
                seat.saving, seat.last_saved = cost, now

    def _end(self, seat: Seat) -> Events:
        """Leave the stage of a seat that has ended; with the last stage its run."""
        if not self.group.live:
            torch.set_num_threads(self.threads)
        if not seat.goes_on:
            yield seat, seat.finish()

    def _warned(self) -> Events:
        """Tell why the group goes on otherwise, and how."""
        for _, seat in self.group.live:
            yield seat, seat.event(Warned, message=self.group.choice.reason)
        yield from self.group.planned()
