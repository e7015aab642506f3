"""How a training is drawn in few columns: a bar with the time that is left, parts that are never broken, losses as a line of blocks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

LEAST_BAR, MOST_BAR = 6, 40
BLOCKS = "▁▂▃▄▅▆▇█"
MOST_POINTS = 512       # of losses that are remembered; beyond it neighbours become their mean
SPARKS = 24             # columns of a line of blocks
DECADES = 10.0          # from this ratio of the largest to the smallest loss on they are drawn by their logarithm
FLAT = 0.1              # a share of the greatest, less than which does not go from the lowest block to the highest


def bar_line(width: int, where: Sequence[str], share: float | None, left: Sequence[str], signs: str = "━─") -> str:
    """Where a training is, a bar and the time left in at most `width` columns: of `where` and `left`, the longest first, what fits.

    The bar is never shorter than six columns where a share is known, and the shortest time always stands.
    """
    bar = 0 if share is None else LEAST_BAR + 2
    time = next((one for one in left if len(one) + bar <= width), left[-1] if left else "")
    room = width - len(time) - (2 if time else 0)
    place = next((one for one in where if len(one) + bar <= room), "")
    parts = [place] if place else []
    if share is not None:
        long = max(LEAST_BAR, min(MOST_BAR, room - (len(place) + 2 if place else 0)))
        done = round(long * min(max(share, 0.0), 1.0))
        parts.append(signs[0] * done + signs[1] * (long - done))
    return "  ".join([*parts, *([time] if time else [])])


def packed(width: int, parts: Sequence[str]) -> list[str]:
    """Parts in as few lines as hold them whole, in their order; one that is wider than a line is cut with a sign that says so."""
    lines: list[str] = []
    for part in filter(None, parts):
        short = part if len(part) <= width else part[: max(width - 1, 0)] + "…"
        if lines and len(lines[-1]) + 2 + len(short) <= width:
            lines[-1] += "  " + short
        else:
            lines.append(short)
    return lines


class Losses:
    """The losses of a training, few enough to be kept: neighbours become their mean when there are too many."""

    def __init__(self) -> None:
        self.points: list[float] = []
        self._each, self._pending = 1, list[float]()

    def add(self, loss: float) -> None:
        self._pending.append(loss)
        if len(self._pending) < self._each:
            return
        self.points.append(sum(self._pending) / len(self._pending))
        self._pending = []
        if len(self.points) >= MOST_POINTS:
            self.points = [sum(self.points[i : i + 2]) / 2 for i in range(0, len(self.points), 2)]
            self._each *= 2

    def line(self, most: int = SPARKS) -> str:
        return sparks(self.points, most)


def sparks(points: Sequence[float], most: int = SPARKS) -> str:
    """Numbers as blocks of eight heights in at most so many columns, each the mean of those that share it; what is not finite is a cross.

    >>> sparks([8, 4, 2, 1]), sparks([1.0]), sparks([1, 10, 100]), sparks([2.30, 2.31, 2.30])
    ('█▄▂▁', '', '▁▅█', '███')
    """
    if len(points) < 2:
        return ""
    columns = min(most, len(points))
    edges = [round(i * len(points) / columns) for i in range(columns + 1)]
    means = [sum(points[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    finite = [value for value in means if math.isfinite(value)]
    if not finite:
        return "×" * columns
    least, most_of = min(finite), max(finite)
    logarithmic = least > 0 and most_of / least >= DECADES
    heights = [math.log(value) if logarithmic else value for value in finite]
    high = max(heights)
    span = max(high - min(heights), FLAT if logarithmic else FLAT * abs(high))
    drawn = iter(BLOCKS[round((1 - (high - height) / span) * (len(BLOCKS) - 1)) if span > 0 else 0] for height in heights)
    return "".join(next(drawn) if math.isfinite(value) else "×" for value in means)
