"""When a training is looked at: often while it begins, then as often as costs a fiftieth of its time, or half a second in all."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chainrule.core.looking import BEGINNING, NEVER

if TYPE_CHECKING:
    from chainrule.core.looking import Observer
    from chainrule.engine.position import Position

ROWS = 256                  # training rows, always the same ones, that a step is replayed with
SHARE = 0.02                # of the time of training that looking may take
FREE_SECONDS = 0.5          # that it may take in any case: a training of seconds is judged by its last looks too, see docs/decisions
MOST = 200                  # looks wanted of a stage whose length is known
BEGIN = 0.5                 # of that time, where the length is known, for the beginning: the end is to be seen too
FIRST = 5                   # looks that may take it all, since diagnoses of the beginning are medians over five
GROWTH = 50                 # and where it is not: the next one after a fiftieth of the steps so far


@dataclass
class Looking:
    """The looks of one seat: whether the next one is due, and when the one after it will be.

    `every` steps, never, or as the time allows (None). What it has cost, and when it goes on, stands in the position, so that a run that is
    resumed goes on looking as it did. `stages` is how many stages share that time, `least` what a look takes, as the quickest shows: the
    first of their kind in a process take far longer.
    """

    observer: Observer | None
    every: int | None
    stages: int = 1
    least: float = field(default=math.inf, init=False)
    failed: str = field(default="", init=False)

    def due(self, position: Position) -> bool:
        """Whether a look is due before the next step."""
        return self.ahead(position) == 0

    def ahead(self, position: Position) -> int | None:
        """Steps until the next look; None where there is none."""
        if self.observer is None or self.every == NEVER or self.failed:
            return None
        return max(0, position.look_next - position.stage_step)

    def took(self, position: Position, seconds: float, trained: float, step_seconds: float, steps: float, beside: int) -> None:
        """Note a look that has taken so many seconds, and choose the step of the next one.

        `trained` are the seconds that training took up to now, `step_seconds` those of a step, `steps` how many the stage has in all, and
        `beside` how many seats share that time.
        """
        position.looks += 1
        position.looking += seconds
        self.least = min(self.least, seconds)
        position.look_next = self._next(position, trained, step_seconds, steps, beside)

    def _next(self, position: Position, trained: float, step_seconds: float, steps: float, beside: int) -> int:
        done = position.stage_step
        if self.every is not None:
            return (done // self.every + 1) * self.every
        endless, a_step = math.isinf(steps), max(step_seconds, 1e-9)
        spent, usual = position.looking * beside, self.least * beside      # as if all seats had looked so often
        free = FREE_SECONDS * (position.stage + 1) / self.stages
        allowed = max(free, SHARE * (trained if endless else trained + (steps - done) * step_seconds))
        early = next((step for step in BEGINNING if step > done), None)
        if early is not None and spent + usual <= allowed * (1.0 if endless or position.looks < FIRST else BEGIN):
            return early
        if spent + usual > allowed or endless:
            gap = max(0.0, (spent + usual) / SHARE - trained) / a_step if spent + usual > free else 0.0
        else:
            gap = (steps - done) * usual / (allowed - spent)   # what may still be spent reaches to the end
        least, gap = gap, max(1.0, gap, done / GROWTH if endless else steps / MOST)
        even = 1 << math.ceil(math.log2(gap))                              # a power of two, so that seats side by side look together
        after = (done // even + 1) * even
        return after if after - done >= least else after + even
