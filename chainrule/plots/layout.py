"""Where the nodes of a graph stand whose edges all lead down: in ranks, each below all it reads, long edges in lanes beside the nodes.

Ranks by the longest path, places near the middle of what is read: Sugiyama, Tagawa & Toda (1981), https://doi.org/10.1109/TSMC.1981.4308636
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
LANE, ASIDE = 0.12, 0.62       # between lanes, and of the first one from the middle of the outermost node it passes, in nodes
TURN = 0.5                     # ranks from a node within which a line has reached its lane


@dataclass(frozen=True)
class Layout:
    """The place of each node, across in nodes from the left one and down in ranks, and the corners of each edge from tail to head."""

    places: tuple[Point, ...]
    lines: tuple[tuple[Point, ...], ...]

    @property
    def width(self) -> float:
        """From the left node's middle to the rightmost node or lane."""
        return max(x for line in (self.places, *self.lines) for x, _ in line)

    @property
    def height(self) -> float:
        """From the first rank to the last."""
        return max(y for _, y in self.places)


def layout(count: int, edges: Sequence[tuple[int, int]]) -> Layout:
    """The layout of nodes 0 to `count` - 1 for edges (tail, head) with tail < head.

    >>> layout(3, [(0, 1), (1, 2), (0, 2)]).lines[2]
    ((0.0, 0.0), (0.62, 0.5), (0.62, 1.5), (0.0, 2.0))
    """
    sources: list[list[int]] = [[] for _ in range(count)]
    for tail, head in edges:
        sources[head].append(tail)
    ranks = [0] * count
    for node in range(count):
        ranks[node] = max((ranks[tail] + 1 for tail in sources[node]), default=0)
    across = _across(ranks, sources)
    lanes = _lanes(ranks, across, edges)
    lines = [_line((across[tail], ranks[tail]), (across[head], ranks[head]), lanes.get(tail)) for tail, head in edges]
    left = min(min(across), *(x for line in lines for x, _ in line)) if lines else min(across)
    return Layout(tuple((round(x - left, 3), float(y)) for x, y in zip(across, ranks, strict=True)),
                  tuple(tuple((round(x - left, 3), float(y)) for x, y in line) for line in lines))


def _across(ranks: Sequence[int], sources: Sequence[Sequence[int]]) -> list[float]:
    """Of each node: under the middle of what it reads, at least one node from its neighbours."""
    across = [0.0] * len(ranks)
    for rank in range(max(ranks, default=0) + 1):
        own = [node for node, other in enumerate(ranks) if other == rank]
        wanted = {node: sum(across[tail] for tail in sources[node]) / len(sources[node]) if sources[node] else 0.0 for node in own}
        own.sort(key=lambda node: (wanted[node], node))
        for k, node in enumerate(own):
            across[node] = wanted[node] if k == 0 else max(wanted[node], across[own[k - 1]] + 1)
        shift = sum(wanted[node] - across[node] for node in own) / max(len(own), 1)
        for node in own:
            across[node] += shift
    return across


def _lanes(ranks: Sequence[int], across: Sequence[float], edges: Sequence[tuple[int, int]]) -> dict[int, float]:
    """Where the long edges of each node run down: one lane for all of them, those that end soon further in."""
    ends: dict[int, int] = defaultdict(int)
    for tail, head in edges:
        if ranks[head] - ranks[tail] > 1:
            ends[tail] = max(ends[tail], ranks[head])
    widest = [max(x for x, other in zip(across, ranks, strict=True) if other == rank) for rank in range(max(ranks, default=0) + 1)]
    taken: list[list[range]] = []
    lanes = {}
    for tail in sorted(ends, key=lambda tail: (ends[tail] - ranks[tail], ranks[tail])):
        passed = range(ranks[tail] + 1, ends[tail])
        lane = next((k for k, ranges in enumerate(taken) if all(passed.stop <= r.start or r.stop <= passed.start for r in ranges)),
                    len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append(passed)
        lanes[tail] = max(widest[rank] for rank in passed) + ASIDE + LANE * lane
    return lanes


def _line(start: Point, end: Point, lane: float | None) -> tuple[Point, ...]:
    if end[1] - start[1] <= 1 or lane is None:
        return start, end
    return start, (lane, start[1] + TURN), (lane, end[1] - TURN), end
