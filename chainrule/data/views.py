"""Views of pictures, whose answers are averaged: places and reflections that are counted out, or draws of an augmentation.

Krizhevsky, Sutskever & Hinton (2012), https://doi.org/10.1145/3065386, section 4.1: ten, the four corners and the middle, each as it is and
reflected.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from chainrule.core.descend import Alter
from chainrule.core.errors import InputError, suggest
from chainrule.core.registry import augments
from chainrule.data.augment import Shape, augmentation, resampled

TEN_CROP = "ten-crop"          # crop and flip
FEWEST, MOST = 2, 1000


@dataclass(frozen=True)
class Views:
    """What makes each view of a batch (n, ...) as a net reads it; `drawn` says that some follow from random numbers."""

    alters: tuple[Alter, ...]
    drawn: bool = False

    def __len__(self) -> int:
        return len(self.alters)


def views_of(spec: str, augment: str | None, shape: Shape, name: str = "the data") -> Views:
    """The views that `spec` names: `ten-crop`, names of augmentations such as `crop:4+flip`, or how many draws of `augment`.

    Of drawn ones the first is the row as it is. Raises InputError where there are no such views.
    """
    if spec.isascii() and spec.isdigit():
        if not FEWEST <= int(spec) <= MOST:
            raise InputError(f"--views expects {FEWEST} to {MOST} draws; got {spec}. Write e.g. --views 10, or leave it out.")
        if augment is None:
            raise InputError(f"--views {spec} draws views by --augment, and none is given. Name one, or write --views {TEN_CROP}.")
        return Views((_as_it_is, *[augmentation(augment, shape, name)] * (int(spec) - 1)), drawn=True)
    if len(shape) != 3:
        raise InputError(f"--views {spec} are views of pictures (channels, height, width); {name} has samples of shape {shape}. Leave it "
                         "out.")
    first, _, options = spec.partition(":")
    names = f"crop{':' * bool(options)}{options}+flip" if first == TEN_CROP and "+" not in options else spec
    able = [TEN_CROP, *(entry.name for entry in augments.entries() if entry.traits.views is not None)]
    moves = []
    for one in names.split("+"):
        called = one.partition(":")[0]
        if called not in able:
            raise InputError(f"There are no views by {called} that could be counted out. {suggest(called, able)} Or give the number of "
                             "draws of --augment: --views 10.")
        chosen = augments.choose(one)
        assert chosen.entry.traits.views is not None
        chosen.make(shape)                                               # its values are in their range
        moves.append(chosen.entry.traits.views(shape, **chosen.values()))
    return Views(tuple(partial(_moved, shape=shape, moves=list(several)) for several in itertools.product(*moves)))


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _moved(x: Tensor, shape: Shape, moves: list[object]) -> Tensor:
    """Rows (n, ...), flat or not, as pictures moved by whole pixels."""
    return resampled(x.reshape(len(x), *shape), moves, whole=True).reshape(x.shape)  # type: ignore[arg-type]
