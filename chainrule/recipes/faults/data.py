"""The data of the programs, small and the same for every seed: digits, parts of MNIST, made pictures, points, sequences, tables; and
spoilt forms of them, where the fault lies in the data.

A name may have options, as `digits:rows=60`. Rows that validate and test are the same whatever is done to the training rows.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest
from chainrule.data.load import load
from chainrule.data.source import Source

HELD_OUT = 300          # rows that validate, and as many that test
WIDE = 14               # the side of the reduced MNIST pictures
Made = Callable[..., Source]
SOURCES: dict[str, Made] = {}


def maker(function: Made) -> Made:
    """Enter a maker under its name, with hyphens."""
    SOURCES[function.__name__.replace("_", "-")] = function
    return function


@cache
def source(text: str) -> Source:
    """The source that a program names: one of `SOURCES` with its options, else a set that chainrule embeds. Raises InputError."""
    name, _, options = text.partition(":")
    if name not in SOURCES:
        return load(text)
    known = inspect.signature(SOURCES[name]).parameters
    values = {}
    for item in filter(None, options.split(",")):
        key, _, value = item.partition("=")
        if key not in known:
            raise InputError(f"The data {name} has no option '{key}'. {suggest(key, known)}")
        values[key] = type(known[key].default)(value)
    return SOURCES[name](**values)


def divided(name: str, x: Tensor, y: Tensor, rows: int, held_out: int = HELD_OUT) -> Source:
    """The last rows validate and test, `held_out` each; of the others the first `rows` train."""
    rows = min(rows, len(x) - 2 * held_out)
    chosen = torch.cat([torch.arange(rows), torch.arange(len(x) - 2 * held_out, len(x))])
    whole = load((x[chosen], y[chosen]), name=name)
    return replace(whole, parts={"valid": torch.arange(rows, rows + held_out), "test": torch.arange(rows + held_out, rows + 2 * held_out)})


def mixed(n: int, seed: int = 0) -> Tensor:
    """The numbers below n in a random order that is always the same."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def permuted(y: Tensor) -> Tensor:
    """Targets that belong to other rows."""
    return y[mixed(len(y), seed=1)]


@cache
def _digits() -> tuple[Tensor, Tensor]:
    """Pictures (1797, 1, 8, 8) uint8 and their digits, in a random order: writers follow one another in the file."""
    whole = load("digits")
    order = mixed(len(whole))
    return whole.inputs[order], whole.targets[order]


@maker
def digits(rows: int = 1197, labels: str = "true", noise: float = 0.0) -> Source:
    """`labels` may be permuted; a share `noise` of the training labels is drawn anew."""
    x, y = _digits()
    y = permuted(y) if labels == "permuted" else y.clone()
    if noise:
        generator = torch.Generator().manual_seed(2)
        wrong = torch.rand(len(y) - 2 * HELD_OUT, generator=generator) < noise
        y[: len(wrong)][wrong] = torch.randint(10, (int(wrong.sum()),), generator=generator)
    return divided("digits", x, y, rows)


@maker
def digit_rows(rows: int = 1197, labels: str = "true") -> Source:
    """Digits as sequences of eight rows of eight pixels from 0 to 1."""
    x, y = _digits()
    return divided("digit-rows", x[:, 0].float() / 16, permuted(y) if labels == "permuted" else y, rows)


@maker
def digit_pixels(rows: int = 600) -> Source:
    """Digits as sequences of 64 pixels, one a step."""
    x, y = _digits()
    return divided("digit-pixels", (x[:, 0].float() / 16).flatten(1)[:, :, None], y, rows, 200)


@maker
def mnist(rows: int = 2000, labels: str = "true") -> Source:
    """Pictures of MNIST reduced to 14 x 14 by the mean of each four pixels."""
    whole = load("mnist")
    order = mixed(len(whole))[: 2000 + 2 * HELD_OUT]
    x = whole.inputs[order].float().unflatten(3, (WIDE, 2)).unflatten(2, (WIDE, 2)).mean((3, 5)).round().to(torch.uint8)
    y = whole.targets[order]
    return divided("mnist", x, permuted(y) if labels == "permuted" else y, rows)


@maker
def patterns(rows: int = 800, labels: str = "true") -> Source:
    """Pictures (3, 12, 12) of six blurred patterns, each shifted at random by up to two pixels, under noise."""
    generator = torch.Generator().manual_seed(3)
    count = 800 + 2 * HELD_OUT
    y = torch.randint(6, (count,), generator=generator)
    kinds = (128 + 40 * torch.randn(6, 3, 4, 4, generator=generator)).repeat_interleave(3, 2).repeat_interleave(3, 3)
    shifts = torch.randint(-2, 3, (count, 2), generator=generator)
    x = torch.stack([kinds[label].roll(tuple(shift), (1, 2)) for label, shift in zip(y.tolist(), shifts.tolist(), strict=True)])
    x = (x + 25 * torch.randn(x.shape, generator=generator)).clamp(0, 255).to(torch.uint8)
    return divided("patterns", x, permuted(y) if labels == "permuted" else y, rows)


@maker
def circles(rows: int = 500) -> Source:
    """Points (n, 2) on a disc and on the ring about it."""
    generator = torch.Generator().manual_seed(4)
    count = 500 + 2 * HELD_OUT
    y = torch.arange(count) % 2
    radius = torch.where(y == 1, 1.7, 0.6) + 0.2 * torch.randn(count, generator=generator)
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    return divided("circles", torch.stack([radius * angle.cos(), radius * angle.sin()], 1), y, rows)


@maker
def quadrants(rows: int = 500) -> Source:
    """Points (n, 2) whose class is whether both numbers have the same sign."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(500 + 2 * HELD_OUT, 2, generator=generator)
    return divided("quadrants", x, (x[:, 0] * x[:, 1] > 0).long(), rows)


@maker
def waves(rows: int = 500) -> Source:
    """Three numbers (n, 3) and a smooth function of them, with little noise."""
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(500 + 2 * HELD_OUT, 3, generator=generator)
    y = (1.5 * x[:, 0]).sin() + x[:, 1] * x[:, 2] + 0.5 * x[:, 1] + 0.1 * torch.randn(len(x), generator=generator)
    return divided("waves", x, 30 + 12 * y, rows)


@maker
def rare(share: float = 0.05, noise: float = 2.0, rows: int = 1500) -> Source:
    """Two clouds in ten dimensions, of which the second has this share of the rows; `noise` is their spread, 3 units apart."""
    generator = torch.Generator().manual_seed(7)
    count = 1500 + 2 * HELD_OUT
    y = (torch.arange(count) % round(1 / share) == 0).long()[mixed(count)]
    centre = torch.full((10,), 3 / math.sqrt(10))
    return divided("rare", y[:, None] * centre + noise * torch.randn(count, 10, generator=generator), y, rows)


@maker
def copied(share: float = 0.5, rows: int = 400) -> Source:
    """Points with classes that are half chance; a `share` of the validation rows are training rows."""
    generator = torch.Generator().manual_seed(8)
    count = 400 + 2 * HELD_OUT
    x = torch.randn(count, 20, generator=generator)
    y = (x[:, 0] + 1.5 * torch.randn(count, generator=generator) > 0).long()
    some = torch.arange(round(share * HELD_OUT))
    x[400 + some], y[400 + some] = x[some], y[some]
    return divided("copied", x, y, rows)


@maker
def recall(length: int = 40, rows: int = 800) -> Source:
    """Sequences (n, length, 5) whose first step says which of four classes it is; all later steps are noise in the fifth number."""
    generator = torch.Generator().manual_seed(9)
    count = 800 + 2 * HELD_OUT
    y = torch.randint(4, (count,), generator=generator)
    x = torch.zeros(count, length, 5)
    x[:, :, 4] = 0.3 * torch.randn(count, length, generator=generator)
    x[torch.arange(count), 0, y] = 3.0
    return divided("recall", x, y, rows)


@maker
def clouds(rows: int = 1200, centres: int = 4) -> Source:
    """Points (n, 2) about centres on a circle, for generators."""
    generator = torch.Generator().manual_seed(10)
    count = 1200 + 2 * HELD_OUT
    y = torch.arange(count) % centres
    angle = 2 * math.pi * y / centres
    x = torch.stack([angle.cos(), angle.sin()], 1) + 0.15 * torch.randn(count, 2, generator=generator)
    return divided("clouds", x, y, rows)
