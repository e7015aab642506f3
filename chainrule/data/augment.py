"""Augmentation: every batch altered at random, each sample in its own way, by tensor functions that run inside the step.

Moves of pictures say from where each new pixel is taken; those that follow each other share one resampling, so that pictures blur
once. What is moved by whole pixels is copied and does not blur at all. Zeros come in from outside, the mean of standardised inputs.

LeCun et al. (1998), https://doi.org/10.1109/5.726791; Simard, Steinkraus & Platt (2003), https://doi.org/10.1109/ICDAR.2003.1227801
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.core.descend import Alter
from chainrule.core.errors import InputError
from chainrule.core.registry import Chosen, augments
from chainrule.core.traits import AugmentTraits

Shape = tuple[int, ...]                                                # of one sample
Move = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]          # n, rows, columns -> rows, columns that the new pixels come from
KERNEL_SIGMAS = 4.0                                                    # a Gaussian is cut off beyond


def augmentation(spec: str, shape: Shape, name: str = "the data", placed: str = "") -> Alter:
    """What `spec`, e.g. `shift:2+flip+noise`, makes of a batch (n, ...) of samples of `shape`: a batch of the same shape, nothing mixed.

    Numbers are drawn by `torch.rand` and `torch.randn` alone, the same ones whatever executes the step. `placed` says what targets have
    places in the picture. Raises InputError for a name or a value that does not exist, where pictures (channels, height, width) are needed
    and the samples are none, and where pixels would move away from such targets.
    """
    chosen = [one for one in map(augments.choose, spec.split("+")) if not one.entry.traits.mixes]
    moving = next((one.entry.name for one in chosen if one.entry.traits.moves), None)
    if placed and moving is not None:
        able = ", ".join(entry.name for entry in augments.entries() if not (entry.traits.moves or entry.traits.mixes))
        raise InputError(f"{moving} moves pixels, and the {placed} of {name} would stay where they are. Use {able}, or leave out "
                         "--augment.")
    for one in chosen:
        if one.entry.traits.pictures and len(shape) != 3:
            raise InputError(f"{one.entry.name} alters pictures of (channels, height, width); {name} has samples of shape {shape}. Use "
                             "noise or drop, or leave out --augment.")
    alters: list[Alter] = []
    for moves, several in itertools.groupby(chosen, lambda one: bool(one.entry.traits.moves)):
        together = list(several)
        alters += [_resampling(together, shape)] if moves else [one.make(shape) for one in together]

    def alter(x: Tensor) -> Tensor:
        samples = x.reshape(len(x), *shape) if len(shape) == 3 else x  # rules that read features are given pictures flat
        with torch.autocast(x.device.type, enabled=False):              # places in pixels need more digits than bfloat16 has
            for one in alters:
                samples = one(samples)
        return samples.reshape(x.shape)

    return alter


def _resampling(several: Sequence[Chosen[AugmentTraits]], shape: Shape) -> Alter:
    moves = [one.make(shape) for one in several]
    whole = all(one.entry.traits.moves == "whole" for one in several)
    return partial(resampled, moves=moves, whole=whole)


def resampled(x: Tensor, moves: Sequence[Move], whole: bool) -> Tensor:
    """Pictures (n, c, h, w) after `moves`, the first one first; `whole` says that they all are by whole pixels, otherwise bilinear.

    Moves count rows and columns from the middle, and broadcast to (n, h, w). A pixel moved out of sight may be moved back.
    """
    n, channels, h, w = x.shape
    rows = torch.arange(h, device=x.device)[None, :, None] - (h - 1) / 2        # (1, h, 1)
    columns = torch.arange(w, device=x.device)[None, None, :] - (w - 1) / 2     # (1, 1, w)
    for move in reversed(moves):
        rows, columns = move(n, rows, columns)
    around = F.pad(x, (1, 2, 1, 2)).flatten(2)                                  # (n, c, (h + 3) * (w + 3)), zeros wherever one may look
    rows, columns = (rows + (h + 1) / 2).clamp(0, h + 1), (columns + (w + 1) / 2).clamp(0, w + 1)
    top, left = (rows, columns) if whole else (rows.floor(), columns.floor())
    place = (top * (w + 3) + left).long().flatten(1).unsqueeze(1)               # (n, 1, h * w)

    def pixels(further: int = 0) -> Tensor:
        return around.gather(2, (place + further).expand(n, channels, h * w)).view(n, channels, h, w)

    if whole:
        return pixels()
    below, right = ((at - first).unsqueeze(1).to(x.dtype) for at, first in ((rows, top), (columns, left)))  # shares of the next pixel
    upper = torch.lerp(pixels(), pixels(1), right)
    lower = torch.lerp(pixels(w + 3), pixels(w + 4), right)
    return torch.lerp(upper, lower, below)


def _five(shape: Shape, reach: int) -> list[Move]:
    """Pictures where they are, and moved by `reach` pixels to each corner."""
    return [_by(0, 0), *(_by(down, right) for down in (-reach, reach) for right in (-reach, reach))]


def _by(down: int, right: int) -> Move:
    return lambda n, rows, columns: (rows - down, columns - right)


def shift_views(shape: Shape, *, pixels: int) -> list[Move]:
    """The middle and the four corners."""
    return _five(shape, pixels)


def crop_views(shape: Shape, *, padding: int, fill: str) -> list[Move]:
    """The middle of the padded picture and its four corners."""
    return [_padded(move, shape, fill) for move in _five(shape, padding)]


def flip_views(shape: Shape, *, probability: float) -> list[Move]:
    """The picture and its reflection."""
    return [_by(0, 0), lambda n, rows, columns: (rows, -columns)]


@augments(source="LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791", pictures=True, moves="whole",
          views=shift_views)
def shift(shape: Shape, *, pixels: int = 2) -> Move:
    """Moves pictures by up to `pixels` up or down and left or right, every place equally likely; zeros come in."""
    _inside("shift", "pixels", pixels, min(shape[1:]) - 1, shape)

    def move(n: int, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        down, right = _between(n, -pixels, pixels, rows)                        # (n, 1, 1) each
        return rows - down, columns - right

    return move


@augments(source="He, Zhang, Ren & Sun (2016), https://arxiv.org/abs/1512.03385", pictures=True, moves="whole", views=crop_views)
def crop(shape: Shape, *, padding: int = 4, fill: Literal["zeros", "reflect"] = "zeros") -> Move:
    """Pads pictures on all sides, by zeros or their own reflection, and cuts out their size again anywhere."""
    _inside("crop", "padding", padding, min(shape[1:]) - 1, shape)
    return _padded(shift(shape, pixels=padding), shape, fill)


def _padded(move: Move, shape: Shape, fill: str) -> Move:
    """A move that sees zeros, or the picture's own reflection, beyond the border."""
    middle_row, middle_column = ((side - 1) / 2 for side in shape[1:])

    def padded(n: int, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        rows, columns = move(n, rows, columns)
        if fill == "zeros":
            return rows, columns
        return _reflected(rows, middle_row), _reflected(columns, middle_column)

    return padded


@augments(source="Krizhevsky, Sutskever & Hinton (2012), https://doi.org/10.1145/3065386", pictures=True, moves="whole", views=flip_views)
def flip(shape: Shape, *, probability: float = 0.5) -> Move:
    """Swaps left and right with the given probability."""
    _within("flip", "probability", probability, 0, 1)

    def move(n: int, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        upright = torch.rand(n, 1, 1, device=rows.device) >= probability           # (n, 1, 1)
        return rows, torch.where(upright, columns, -columns)

    return move


@augments(source="Ciresan, Meier, Gambardella & Schmidhuber (2010), https://doi.org/10.1162/NECO_a_00052", pictures=True, moves="between")
def rotate(shape: Shape, *, degrees: float = 15.0) -> Move:
    """Turns pictures about their middle by up to `degrees` either way."""
    _within("rotate", "degrees", degrees, 0, 180)

    def move(n: int, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        angle = _evenly(n, math.radians(degrees), rows)                         # (n, 1, 1)
        cos, sin = angle.cos(), angle.sin()
        return cos * rows + sin * columns, cos * columns - sin * rows

    return move


@augments(source="Ciresan, Meier, Gambardella & Schmidhuber (2010), https://doi.org/10.1162/NECO_a_00052", pictures=True, moves="between")
def scale(shape: Shape, *, share: float = 0.1) -> Move:
    """Enlarges or shrinks pictures about their middle by up to `share`."""
    _within("scale", "share", share, 0, 0.9)

    def move(n: int, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        factor = 1 + _evenly(n, share, rows)                                    # (n, 1, 1)
        return rows / factor, columns / factor

    return move


@augments(source="Simard, Steinkraus & Platt (2003), https://doi.org/10.1109/ICDAR.2003.1227801", pictures=True, moves="between")
def elastic(shape: Shape, *, alpha: float = 34.0, sigma: float = 4.0) -> Move:
    """Bends pictures: every pixel moves at random, as its neighbours do; fields smoothed over `sigma` pixels, times `alpha`."""
    _within("elastic", "alpha", alpha, 0, 1000)
    _within("elastic", "sigma", sigma, 0.1, 100)
    _, h, w = shape

    def move(n: int, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        field = 2 * torch.rand(2, n, h, w, device=rows.device) - 1
        down, right = alpha * (_gaussian(h, sigma, field) @ field @ _gaussian(w, sigma, field))  # (n, h, w) each
        return rows + down, columns + right

    return move


@augments(source="DeVries & Taylor (2017), https://arxiv.org/abs/1708.04552", pictures=True)
def cutout(shape: Shape, *, side: int = 8) -> Alter:
    """Sets a square of `side` pixels to zero; its middle lies anywhere, so that it may reach beyond the border."""
    _inside("cutout", "side", side, min(shape[1:]), shape)
    _, h, w = shape

    def covered(n: int, size: int, like: Tensor) -> Tensor:
        first = (torch.rand(n, 1, device=like.device) * size).floor() - side // 2                # (n, 1)
        at = torch.arange(size, device=like.device)                                              # (size,)
        return (at >= first) & (at < first + side)

    def alter(x: Tensor) -> Tensor:
        square = covered(len(x), h, x)[:, :, None] & covered(len(x), w, x)[:, None, :]           # (n, h, w)
        return torch.where(square.unsqueeze(1), 0.0, x)

    return alter


@augments(source="Howard (2013), https://arxiv.org/abs/1312.5402", pictures=True)
def brightness(shape: Shape, *, share: float = 0.5) -> Alter:
    """Multiplies pictures by up to `share` more or less than one."""
    _within("brightness", "share", share, 0, 1)
    return lambda x: x * (1 + _evenly(len(x), share, x).unsqueeze(1).to(x.dtype))


@augments(source="Howard (2013), https://arxiv.org/abs/1312.5402", pictures=True)
def contrast(shape: Shape, *, share: float = 0.5) -> Alter:
    """Multiplies what sets pixels apart from their picture's mean by up to `share` more or less than one."""
    _within("contrast", "share", share, 0, 1)

    def alter(x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)[:, None, None, None]                                         # (n, 1, 1, 1), summed in one order
        return torch.lerp(mean, x, 1 + _evenly(len(x), share, x).unsqueeze(1).to(x.dtype))

    return alter


@augments(source="Bishop (1995), https://doi.org/10.1162/neco.1995.7.1.108")
def noise(shape: Shape, *, sd: float = 0.1) -> Alter:
    """Adds Gaussian noise of standard deviation `sd` to every input."""
    _within("noise", "sd", sd, 0, 1000)
    return lambda x: x + sd * torch.randn(x.shape, device=x.device).to(x.dtype)  # not randn_like, which draws in the order of memory


@augments(source="Vincent, Larochelle, Bengio & Manzagol (2008), https://doi.org/10.1145/1390156.1390294")
def drop(shape: Shape, *, share: float = 0.1) -> Alter:
    """Sets each input to zero with probability `share`: to its mean, where inputs are standardised."""
    _within("drop", "share", share, 0, 1)
    return lambda x: torch.where(torch.rand(x.shape, device=x.device) < share, 0.0, x)


def _evenly(n: int, most: float, like: Tensor) -> Tensor:
    """Numbers from -most to most, every one equally likely, (n, 1, 1)."""
    return most * (2 * torch.rand(n, 1, 1, device=like.device) - 1)


def _between(n: int, low: int, high: int, like: Tensor) -> Tensor:
    """Pairs of whole numbers from low to high, every one equally likely, (2, n, 1, 1)."""
    return (torch.rand(2, n, 1, 1, device=like.device) * (high - low + 1)).floor() + low


def _reflected(at: Tensor, most: float) -> Tensor:
    """Places beyond -most or most, counted from the middle, mirrored at the outermost pixel, which is not doubled."""
    beyond = (at.abs() - most).clamp(min=0)
    return at - 2 * beyond * at.sign()


def _gaussian(size: int, sigma: float, like: Tensor) -> Tensor:
    """Smoothing along an axis as a symmetric matrix (size, size): weights that sum to one over the uncut Gaussian, zeros outside."""
    reach = int(KERNEL_SIGMAS * sigma + 0.5)
    total = sum(math.exp(-0.5 * (d / sigma) ** 2) for d in range(-reach, reach + 1))
    at = torch.arange(size, device=like.device)
    apart = (at[:, None] - at[None, :]).abs()
    return torch.where(apart <= reach, torch.exp(-0.5 * (apart / sigma) ** 2) / total, 0.0)


def _within(owner: str, option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{owner} expects {option} to be between {low} and {high}; got {value}. Choose one within, or leave out {owner}.")


def _inside(owner: str, option: str, value: int, most: int, shape: Shape) -> None:
    if not 0 <= value <= most:
        raise InputError(f"{owner} expects {option} to be from 0 to {most} for pictures of {shape[1]} x {shape[2]} pixels; got {value}. "
                         f"Choose one within, or leave out {owner}.")
