"""Aerial pictures with maps of roads, buildings and fields, drawn by the project; the maps to learn from are partly wrong.

After the maps that roads are learned from, which lack objects and are out of register: Mnih & Hinton (2012), Learning to label aerial
images from noisy data, ICML 29, https://icml.cc/2012/papers/318.pdf
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.registry import datasets
from chainrule.data import fingerprint
from chainrule.data.readers.download import to_stderr
from chainrule.data.source import Source

CLASSES = ("field", "building", "road")
FIELD, BUILDING, ROAD = range(3)
LEAST_SIDE, TEST_SHARE = 16, 0.25
FIELDS, ROADS, BUILDINGS, TREES = (4, 8), (1, 4), (4, 11), (2, 7)     # how many a map of 64 x 64 pixels has: from, to below
GRASS = np.array([[92, 122, 66], [128, 138, 84], [150, 132, 92], [106, 112, 60]], np.float64)
ROOFS = np.array([[150, 92, 78], [128, 124, 120], [168, 160, 148], [104, 88, 82]], np.float64)
ASPHALT, LEAVES = np.array([126.0, 122.0, 118.0]), np.array([58.0, 84.0, 44.0])
NOISE = 14.0                                                          # standard deviation of a pixel, of 255


class Maps(NamedTuple):
    """Pictures uint8 (n, 3, side, side), what each pixel is, uint8 (n, side, side), and what partly wrong maps say that it is."""

    pictures: Tensor
    clean: Tensor
    wrong: Tensor


def draw(count: int, side: int, *, wrong: float, shift: int, seed: int) -> Maps:
    """So many pictures with their maps. Each is a function of the seed and its own number."""
    drawn = [_one(np.random.default_rng([seed, number]), side, wrong, shift) for number in range(count)]
    return Maps(*(torch.from_numpy(np.stack(several)) for several in zip(*drawn, strict=True)))


@datasets("roads", source="Mnih & Hinton (2012), ICML 29, https://icml.cc/2012/papers/318.pdf", maximum=255)
def roads(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 800, side: int = 64,
          wrong: float = 0.3, shift: int = 2, seed: int = 0) -> Source:
    """Aerial pictures, and maps of fields, buildings and roads that are partly wrong; right ones in the test part, its last quarter.

    In the other maps each road and building is left out with probability `wrong`, and all that is left is moved by up to `shift` pixels
    either way, the same for the whole map. Raises InputError for options that allow no map.
    """
    if count < 4 or side < LEAST_SIDE or not 0 <= wrong < 1 or not 0 <= shift < side:
        raise InputError(f"roads expects count of at least 4, side of at least {LEAST_SIDE}, wrong from 0 to below 1 and shift from 0 to "
                         f"below the side; got count={count}, side={side}, wrong={wrong:g}, shift={shift}. Write e.g. roads:count=800.")
    maps = draw(count, side, wrong=wrong, shift=shift, seed=seed)
    test = torch.arange(count - max(1, round(TEST_SHARE * count)), count)
    y = maps.wrong.clone()
    y[test] = maps.clean[test]
    what = f"roads:count={count},side={side},wrong={wrong:g},shift={shift},seed={seed}"
    return Source("roads", maps.pictures, y, "maps", {"kind": "named", "what": what}, fingerprint.of(maps.pictures, y, CLASSES), CLASSES,
                  {"test": test})


def _one(random: np.random.Generator, side: int, wrong: float, shift: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture (3, side, side), what its pixels are, and what the wrong map says."""
    rows, columns = np.mgrid[:side, :side] + 0.5
    picture = _fields(random, rows, columns, side)
    clean, map_ = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    turned = random.uniform(0, np.pi)
    along, across = (np.cos(turned), np.sin(turned)), (-np.sin(turned), np.cos(turned))

    def add(shape: np.ndarray, kind: int, colour: np.ndarray) -> None:
        picture[shape] = colour + random.normal(0, 6, 3)
        clean[shape] = kind
        if random.random() >= wrong:
            map_[shape] = kind

    streets = [_street(random, rows, columns, side, (along, across)[i % 2]) for i in range(_number(random, ROADS, side))]
    paved = np.any(streets, 0)
    for shape in (_house(random, rows, columns, side, along, across) for _ in range(_number(random, BUILDINGS, side))):
        if not (shape & (paved | (clean == BUILDING))).any():
            add(shape, BUILDING, ROOFS[random.integers(len(ROOFS))])
    for shape in streets:
        add(shape, ROAD, ASPHALT)
    for _ in range(_number(random, TREES, side)):                     # they hide what is below and change no map
        y, x, radius = *random.uniform(0, side, 2), random.uniform(1.5, 3.5)
        picture[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = LEAVES + random.normal(0, 8, 3)
    picture *= random.uniform(0.75, 1.15)                             # how bright the day is
    noisy = (picture + random.normal(0, NOISE, picture.shape)).round().clip(0, 255).astype(np.uint8)
    down, right = random.integers(-shift, shift + 1, 2)
    return noisy.transpose(2, 0, 1), clean, _moved(map_, down, right)


def _number(random: np.random.Generator, ends: tuple[int, int], side: int) -> int:
    """How many objects of a kind a map of this side has, in proportion to its area; at least one."""
    return max(1, round(int(random.integers(*ends)) * (side / 64) ** 2))


def _fields(random: np.random.Generator, rows: np.ndarray, columns: np.ndarray, side: int) -> np.ndarray:
    """Ground (side, side, 3): plots, each nearest to a point of its own, of one colour with furrows."""
    points = random.uniform(0, side, (_number(random, FIELDS, side), 2))
    plot = ((rows[..., None] - points[:, 0]) ** 2 + (columns[..., None] - points[:, 1]) ** 2).argmin(-1)
    colours = GRASS[random.integers(len(GRASS), size=len(points))] + random.normal(0, 8, (len(points), 3))
    turned, spacing = random.uniform(0, np.pi, len(points))[plot], random.uniform(3, 6, len(points))[plot]
    furrows = np.sin(2 * np.pi * (np.cos(turned) * rows + np.sin(turned) * columns) / spacing)
    ground: np.ndarray = colours[plot] + 7 * furrows[..., None]
    return ground


def _street(random: np.random.Generator, rows: np.ndarray, columns: np.ndarray, side: int, along: tuple[float, float]) -> np.ndarray:
    """A straight road across the whole map, (side, side)."""
    y, x, width = *random.uniform(0.15 * side, 0.85 * side, 2), random.uniform(3.0, 6.0)
    away: np.ndarray = np.abs((rows - y) * along[1] - (columns - x) * along[0])
    return away < width / 2


def _house(random: np.random.Generator, rows: np.ndarray, columns: np.ndarray, side: int, along: tuple[float, float],
           across: tuple[float, float]) -> np.ndarray:
    """A rectangle (side, side) whose walls run along the streets."""
    y, x, long, short = *random.uniform(0, side, 2), random.uniform(3.0, 6.5), random.uniform(2.5, 4.5)
    inside: np.ndarray = ((np.abs((rows - y) * along[0] + (columns - x) * along[1]) < long)
                          & (np.abs((rows - y) * across[0] + (columns - x) * across[1]) < short))
    return inside


def _moved(map_: np.ndarray, down: int, right: int) -> np.ndarray:
    """A map moved by so many pixels; fields come in."""
    side = len(map_)
    moved = np.full_like(map_, FIELD)
    moved[max(0, down) : side + min(0, down), max(0, right) : side + min(0, right)] = (
        map_[max(0, -down) : side + min(0, -down), max(0, -right) : side + min(0, -right)])
    return moved
