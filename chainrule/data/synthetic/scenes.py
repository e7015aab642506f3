"""Pictures of a few shapes, or digits, on rough ground, with the box of each, drawn by the project."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from chainrule.core.boxes import intersection_over_union
from chainrule.core.errors import InputError
from chainrule.core.registry import datasets
from chainrule.data import fingerprint
from chainrule.data.readers.boxes import Line, gathered
from chainrule.data.readers.download import to_stderr
from chainrule.data.readers.embedded import digits
from chainrule.data.source import Source

TEST_SHARE = 0.2
LEAST_SIDE = 24
SMALLEST, LARGEST = 0.16, 0.42      # a shape's height and width, as shares of the side
OVERLAP = 0.05                      # of two boxes, the most that is drawn
TRIES = 20                          # for a place that is free
NOISE = 10.0                        # standard deviation of a pixel, of 255
Shape = Callable[[np.ndarray, np.ndarray], np.ndarray]   # places in the box, each from -1 to 1, to whether they are inside

SHAPES: dict[str, Shape] = {
    "disc": lambda y, x: y**2 + x**2 <= 1,
    "cross": lambda y, x: (np.abs(y) <= 1 / 3) | (np.abs(x) <= 1 / 3),
    "rectangle": lambda y, x: np.ones_like(y + x, bool),
    "triangle": lambda y, x: np.abs(x) <= (y + 1) / 2,
}


@datasets("scenes", source="drawn here; the question is that of Everingham et al. (2010), https://doi.org/10.1007/s11263-009-0275-4",
          maximum=255)
def scenes(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 2000, side: int = 64,
           objects: int = 3, content: Literal["shapes", "digits"] = "shapes", seed: int = 0) -> Source:
    """Pictures with one to `objects` shapes (or handwritten digits), each with its box; the last fifth tests.

    Boxes hug what is drawn, and hardly overlap. Raises InputError for options that allow no picture.
    """
    if count < 5 or side < LEAST_SIDE or objects < 1:
        raise InputError(f"scenes expects count of at least 5, side of at least {LEAST_SIDE} and objects of at least 1; got count={count}, "
                         f"side={side}, objects={objects}. Write e.g. scenes:count=2000.")
    templates = _digits() if content == "digits" else None
    drawn = [_one(np.random.default_rng([seed, number]), side, objects, templates) for number in range(count)]
    x = torch.from_numpy(np.stack([picture for picture, _ in drawn]))
    y, classes = gathered([lines for _, lines in drawn])
    what = f"scenes:count={count},side={side},objects={objects},content={content},seed={seed}"
    test = torch.arange(count - max(1, round(TEST_SHARE * count)), count)
    return Source("scenes", x, y, "boxes", {"kind": "named", "what": what}, fingerprint.of(x, y, classes), classes, {"test": test})


def _digits() -> Sequence[tuple[str, np.ndarray]]:
    """The embedded digits: names and pictures (8, 8) from 0 to 1."""
    source = digits()
    return [(source.classes[int(y)], x[0].numpy() / 16) for x, y in zip(source.inputs, source.targets, strict=True)]


def _one(random: np.random.Generator, side: int, objects: int, templates: Sequence[tuple[str, np.ndarray]] | None
         ) -> tuple[np.ndarray, list[Line]]:
    """A picture (3, side, side) and its boxes."""
    picture = _ground(random, side)
    lines: list[Line] = []
    for _ in range(int(random.integers(1, objects + 1))):
        for _ in range(TRIES):
            high, wide = (max(6, round(side * float(random.uniform(SMALLEST, LARGEST)))) for _ in range(2))
            if templates is not None:
                wide = max(6, round(0.8 * high))
            top, left = (int(random.integers(0, side - size + 1)) for size in (high, wide))
            label, cover = _shape(random, high, wide) if templates is None else _digit(random, high, wide, templates)
            rows, columns = (np.flatnonzero((cover > 0.5).any(axis)) for axis in (1, 0))
            box = (left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1)
            if not lines or _overlap(box, lines) <= OVERLAP:
                break
        else:
            continue
        ground = picture[top : top + high, left : left + wide]
        colour = _colour(random, ground.mean((0, 1)))
        ground += cover[..., None] * (colour - ground)
        lines.append((label, float(box[0]), float(box[1]), float(box[2]), float(box[3])))
    noisy = (picture + random.normal(0, NOISE, picture.shape)).round().clip(0, 255).astype(np.uint8)
    return noisy.transpose(2, 0, 1), lines


def _ground(random: np.random.Generator, side: int) -> np.ndarray:
    """A colour with stripes and a slope of brightness, (side, side, 3)."""
    rows, columns = np.mgrid[:side, :side] / side
    turned, waves = random.uniform(0, np.pi), random.uniform(2, 7)
    along = np.cos(turned) * rows + np.sin(turned) * columns
    light = 12 * np.sin(2 * np.pi * waves * along) + 30 * (random.uniform(-1, 1) * rows + random.uniform(-1, 1) * columns)
    ground: np.ndarray = random.uniform(60, 195, 3) + light[..., None]
    return ground


def _shape(random: np.random.Generator, high: int, wide: int) -> tuple[str, np.ndarray]:
    """A shape's name, and where it covers (high, wide)."""
    name = list(SHAPES)[int(random.integers(len(SHAPES)))]
    y, x = ((2 * np.arange(size) + 1) / size - 1 for size in (high, wide))
    return name, np.broadcast_to(SHAPES[name](y[:, None], x[None]), (high, wide)).astype(np.float64)


def _digit(random: np.random.Generator, high: int, wide: int, templates: Sequence[tuple[str, np.ndarray]]) -> tuple[str, np.ndarray]:
    """A digit's name, and how much of each pixel its ink covers, (high, wide), between the nearest places of the picture it came from."""
    name, ink = templates[int(random.integers(len(templates)))]

    def resampling(size: int, of: int) -> np.ndarray:
        at = np.clip((np.arange(size) + 0.5) * of / size - 0.5, 0, of - 1)
        weights: np.ndarray = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(of)))                  # (size, of)
        return weights

    cover = resampling(high, 8) @ ink @ resampling(wide, 8).T
    return name, np.clip(1.6 * cover / cover.max(), 0, 1)


def _colour(random: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """One that stands out from the ground by at least 60 of 255 on average."""
    for _ in range(100):
        colour: np.ndarray = random.uniform(0, 255, 3)
        if np.abs(colour - ground).mean() >= 60:
            return colour
    return np.where(ground > 127, 0.0, 255.0)


def _overlap(box: tuple[int, int, int, int], lines: Sequence[Line]) -> float:
    """The greatest share of what it covers together with one of the others that both cover."""
    others = torch.tensor([line[1:] for line in lines], dtype=torch.float64)
    return float(intersection_over_union(torch.tensor(box, dtype=torch.float64), others).max())
