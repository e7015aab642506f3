"""How much of a stage is done where a chunk begins: by the steps that the stage has, or by the clock where nothing else bounds it."""

from __future__ import annotations

from collections.abc import Sequence

Pace = dict[str, float]            # `done` of `whole`, and what `each` step adds: see core.descend.set_pace

PARTS = 1000                       # a clock is read in so many parts of a stage, each change of which is recorded


def by_steps(done: int, ends: Sequence[int]) -> Pace:
    """The share that goes from 0 at the first step to 1 at the last one of the cycle that step number `done` is in.

    `ends` are the numbers of steps after which cycles end; a stage in one piece has one.
    """
    end = next((end for end in ends if end > done), ends[-1])
    begin = max((end for end in ends if end <= done), default=0)
    return {"done": float(done - begin), "each": 1.0, "whole": float(max(end - begin - 1, 1))}


def cycle_ends(steps: int, cycles: int) -> list[int]:
    """How many steps are done where each of so many cycles of equal length, to the step, ends."""
    return [-(-steps * k // cycles) for k in range(1, cycles + 1)]


def by_clock(shares: list[list[int]], stage: int, step: int, part: float) -> Pace:
    """The share `part` of the time, noted in `shares` as [stage, step from which on, thousandths] where it has changed; it never falls."""
    thousandths = min(max(int(part * PARTS), 0), PARTS)
    last = next((one for one in reversed(shares) if one[0] == stage), None)
    if last is None or thousandths > last[2]:
        if last is not None and last[1] == step:
            shares.remove(last)
        shares.append([stage, step, thousandths])
        return {"done": float(thousandths), "each": 0.0, "whole": float(PARTS)}
    return {"done": float(last[2]), "each": 0.0, "whole": float(PARTS)}


def as_recorded(shares: Sequence[Sequence[int]], stage: int, step: int) -> tuple[Pace, int | None]:
    """The share that was taken at this step, and the next step at which another one was."""
    mine = [one for one in shares if one[0] == stage]
    thousandths = max((one for one in mine if one[1] <= step), key=lambda one: one[1], default=[0, 0, 0])[2]
    return {"done": float(thousandths), "each": 0.0, "whole": float(PARTS)}, min((one[1] for one in mine if one[1] > step), default=None)
