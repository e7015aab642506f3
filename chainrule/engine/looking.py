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
GROWTH = 50                 # and where it is not: the next one after a fiftieth of the steps so far


@dataclass
class Looking:
    """The looks of one seat: whether the next one is due, and when the one after it will be.

    `every` steps, never, or as the time allows (None). What it has cost, and when it goes on, stands in the position, so that a run that is
    resumed goes on looking as it did. `cost` is what the last look took, in seconds.
    """

    observer: Observer | None
    every: int | None
    cost: float = 0.0
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
        self.cost = seconds
        position.looks += 1
        position.looking += seconds
        position.look_next = self._next(position, trained, step_seconds, steps, beside)

    def _next(self, position: Position, trained: float, step_seconds: float, steps: float, beside: int) -> int:
        done = position.stage_step
        if self.every is not None:
            return (done // self.every + 1) * self.every
        spent = (position.looking + self.cost) * beside                    # with the next look, as if all seats had looked so often
        expected = 0.0 if math.isinf(steps) else steps * step_seconds
        early = next((step for step in BEGINNING if step > done), None)
        if early is not None and spent <= max(FREE_SECONDS, SHARE * max(expected, trained)):
            return early
        missing = 0.0 if spent <= FREE_SECONDS else max(0.0, spent / SHARE - trained)
        wanted = done / GROWTH if math.isinf(steps) else steps / MOST
        gap = max(1.0, wanted, missing / max(step_seconds, 1e-9))
        even = 1 << math.ceil(math.log2(gap))                              # a power of two, so that seats side by side look together
        after = (done // even + 1) * even
        return after if after - done >= missing / max(step_seconds, 1e-9) else after + even
