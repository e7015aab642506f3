"""Pen strokes made of pictures of digits: each is thinned to a skeleton, which a pen then follows.

Thinning: Zhang & Suen (1984), https://doi.org/10.1145/357994.358023; offsets and lifts of a pen as a sequence: Graves (2013),
https://arxiv.org/abs/1308.0850; of digits: de Jong (2016), https://edwin-de-jong.github.io/blog/mnist-sequence-data/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.registry import datasets
from chainrule.data import fingerprint
from chainrule.data.readers import catalog
from chainrule.data.readers.download import folders, to_stderr
from chainrule.data.readers.embedded import digits as embedded
from chainrule.data.source import Source

SIDE = 24                   # pixels of the pictures that are thinned, at least: smaller ones are enlarged by a whole factor
TEST_SHARE = 0.25
AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))     # the neighbours P2 to P9 of a pixel, clockwise
Place = tuple[int, int]     # row and column
Stroke = list[Place]        # the pixels that the pen passes without being lifted


@datasets("strokes", source="Zhang & Suen (1984), https://doi.org/10.1145/357994.358023; Graves (2013), https://arxiv.org/abs/1308.0850; "
                            "digits of LeCun et al. (1998), https://doi.org/10.1109/5.726791", sequential=True)
def strokes(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int | None = None,
            source: Literal["auto", "mnist", "digits"] = "digits") -> Source:
    """The way of a pen (n, steps, 3) that draws a digit: how far right and down each step goes, and 1 where the pen is down on the way.

    Pictures are thinned to skeletons one pixel wide, and the pen follows these: strokes begin at ends where there are some, every two
    neighbours are passed once, and at crossings the pen goes on as straight as it can. The first step comes from the upper left corner.
    Shorter sequences begin with steps that go nowhere. `auto` takes MNIST where it is at hand, of which the last quarter tests and is of
    its test part, else the embedded digits. Raises InputError for fewer than ten.
    """
    if count is not None and count < 10:
        raise InputError(f"strokes expects at least 10 digits; got count={count}. Write e.g. strokes:count=1000.")
    at_hand = source == "auto" and any(catalog.holds(folder, "mnist") for folder in folders("mnist", (), data_dir))
    single = catalog.mnist(data_dir, say) if source == "mnist" or at_hand else embedded()
    rows, test = _chosen(single, count)
    pictures = enlarged(single.inputs[rows, 0])
    ways = [steps_of(strokes_of(skeleton)) for skeleton in thinned(inked(pictures))]
    longest = max(map(len, ways))
    x = torch.from_numpy(np.stack([np.pad(way, ((longest - len(way), 0), (0, 0))) for way in ways]))
    y = single.targets[rows]
    what = f"strokes:{'' if count is None else f'count={count},'}source={single.name}"
    return Source("strokes", x, y, "class", {"kind": "named", "what": what}, fingerprint.of(x, y, single.classes), single.classes,
                  {"test": test} if len(test) else {})


def _chosen(single: Source, count: int | None) -> tuple[Tensor, Tensor]:
    """The rows that are drawn, and which of these test: a quarter out of the set's own test part, where it has one, comes last."""
    official = single.parts.get("test")
    if official is None:
        return torch.arange(min(count or len(single), len(single))), torch.empty(0, dtype=torch.int64)
    marks = torch.ones(len(single), dtype=torch.bool)
    marks[official] = False
    tests = len(official) if count is None else min(len(official), round(TEST_SHARE * count))
    trains = int(marks.sum()) if count is None else min(int(marks.sum()), count - tests)
    rows = torch.cat([marks.nonzero()[:trains, 0], official[:tests]])
    return rows, torch.arange(trains, trains + tests)


def enlarged(pictures: Tensor) -> Tensor:
    """Pictures (n, h, w) with at least so many pixels a side as lines need to be thinned; new ones lie on lines between the old."""
    factor = -(-SIDE // min(pictures.shape[1:]))
    if factor == 1:
        return pictures.float()
    size = [side * factor for side in pictures.shape[1:]]
    return torch.nn.functional.interpolate(pictures[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0]


def inked(pictures: Tensor) -> NDArray[np.bool_]:
    """Where pictures (n, h, w) are brighter than half their brightest pixel."""
    ink: NDArray[np.bool_] = (pictures > pictures.amax((1, 2), keepdim=True) / 2).numpy()
    return ink


def thinned(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Skeletons (n, h, w): border pixels go, in two turns, from below right and above left, as long as none that goes parts a line."""
    ink = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    changed = np.ones(len(ink), bool)
    while changed.any():
        before = ink[changed].copy()
        now = before.copy()
        for turn in (0, 1):
            p = np.stack([np.roll(now, (-down, -right), (1, 2)) for down, right in AROUND])    # P2 to P9, (8, n, h, w)
            neighbours, parts = p.sum(0), (~p & np.roll(p, -1, 0)).sum(0)
            up, right, down, left = p[0], p[2], p[4], p[6]
            free = ~(up & right & down) & ~(right & down & left) if turn == 0 else ~(up & right & left) & ~(up & down & left)
            now = now & ~((neighbours >= 2) & (neighbours <= 6) & (parts == 1) & free)
        ink[changed] = now
        changed[changed] = (now != before).any((1, 2))
    return ink[:, 1:-1, 1:-1]


def strokes_of(skeleton: NDArray[np.bool_]) -> list[Stroke]:
    """The strokes that draw a skeleton (h, w): every pixel is passed, and every two neighbours follow each other once.

    Two pixels are neighbours that touch, at a corner too, unless a third of the skeleton touches both by its sides.
    """
    places: list[Place] = [(row, column) for row, column in np.argwhere(skeleton).tolist()]
    free = {place: set(_neighbours(skeleton, place)) for place in places}
    done: list[Stroke] = [[place] for place in places if not free[place]]
    while any(free.values()):
        ends = [place for place in places if len(free[place]) == 1] or [place for place in places if free[place]]
        stroke = [_nearest(ends, done[-1][-1] if done else (0, 0))]
        while free[stroke[-1]]:
            stroke.append(_straightest(stroke, free[stroke[-1]]))
            free[stroke[-2]].discard(stroke[-1])
            free[stroke[-1]].discard(stroke[-2])
        done.append(stroke)
    return done


def _neighbours(skeleton: NDArray[np.bool_], place: Place) -> Iterator[Place]:
    row, column = place
    height, width = skeleton.shape

    def there(down: int, right: int) -> bool:
        return 0 <= row + down < height and 0 <= column + right < width and bool(skeleton[row + down, column + right])

    for down, right in AROUND:
        if there(down, right) and not (down and right and (there(down, 0) or there(0, right))):
            yield row + down, column + right


def _nearest(places: list[Place], to: Place) -> Place:
    return min(places, key=lambda place: ((place[0] - to[0]) ** 2 + (place[1] - to[1]) ** 2, place))


def _straightest(stroke: Stroke, ways: set[Place]) -> Place:
    """The way that turns least from the last two steps, or the first in reading order."""
    row, column = stroke[-1]
    before = stroke[max(len(stroke) - 3, 0)]
    return min(ways, key=lambda place: (-((place[0] - row) * (row - before[0]) + (place[1] - column) * (column - before[1])), place))


def steps_of(strokes: list[Stroke]) -> NDArray[np.float32]:
    """Offsets right and down from pixel to pixel, and 1 where the pen is down on the way (steps, 3), from the upper left corner on."""
    steps, at = list[tuple[int, int, float]](), (0, 0)
    for stroke in strokes:
        for number, place in enumerate(stroke):
            steps.append((place[1] - at[1], place[0] - at[0], float(number > 0)))
            at = place
    return np.array(steps, np.float32).reshape(-1, 3)
