"""Schedules: the share of a run that is done, in [0, 1], to the factor of the rate, in torch operations alone."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from chainrule.core.descend import Schedule
from chainrule.core.errors import InputError
from chainrule.core.registry import Chosen, schedules
from chainrule.core.traits import NoTraits


@schedules(source="Robbins & Monro (1951), https://doi.org/10.1214/aoms/1177729586")
def constant() -> Schedule:
    """The same rate throughout."""
    return torch.ones_like


@schedules(source="Huang, Liu, van der Maaten & Weinberger (2016), https://arxiv.org/abs/1608.06993")
def step(*, at: tuple[float, ...] = (0.5, 0.75), factor: float = 0.1) -> Schedule:
    """Times `factor` at each of these shares of the run, or, from 1 on, after so many epochs: `at=30x60`.

    Whoever knows the epochs of the run makes shares of them: see `in_shares`. Raises InputError for what is neither.
    """
    _within("step", "factor", factor)
    for place in at:
        if not 0 < place < 1:
            raise InputError(f"step expects at to be shares of the run between 0 and 1, or whole epochs before its last; got {place:g}. "
                             "Write e.g. step:at=0.5x0.75,factor=0.1, or step:at=30x60 with --epochs 90.")

    def factor_of(share: Tensor) -> Tensor:
        return factor ** torch.stack([(share >= place).to(share.dtype) for place in at]).sum(0)

    return factor_of


def in_shares(chosen: Chosen[NoTraits], epochs: int | None) -> Chosen[NoTraits]:
    """The schedule with places named as epochs, from 1 on, turned into shares of a run of so many; None: one of unknown length.

    Raises InputError for epochs that are not whole, lie beyond the run, or belong to a run whose length is not known in epochs.
    """
    places = chosen.options.get("at", ())
    if all(place < 1 for place in places):
        return chosen
    name, text = chosen.entry.name, "x".join(f"{place:g}" for place in places)
    if epochs is None:
        raise InputError(f"{name}:at={text} names epochs of a run of --epochs N in one piece, without --steps, --seconds, --stages or "
                         f"--snapshots. Leave these out, or give shares of the run, e.g. {name}:at=0.5x0.75.")
    wrong = next((place for place in places if place != int(place) or place >= epochs), None)
    if wrong is not None:
        raise InputError(f"{name}:at={text} names epochs, whole numbers below the {epochs} of this run; got {wrong:g}. Give more --epochs, "
                         f"or shares of the run, e.g. {name}:at=0.5x0.75.")
    return replace(chosen, options={**chosen.options, "at": tuple(place / epochs for place in places)})


@schedules(source="Senior, Heigold, Ranzato & Yang (2013), https://doi.org/10.1109/ICASSP.2013.6638963")
def exponential(*, final: float = 0.01) -> Schedule:
    """By the same ratio every step, from 1 to `final`."""
    _within("exponential", "final", final)
    return lambda share: torch.exp(share * math.log(final))


@schedules(source="Robbins & Monro (1951), https://doi.org/10.1214/aoms/1177729586; Darken & Moody (1990), NIPS 3:832")
def inverse(*, final: float = 0.01) -> Schedule:
    """As 1 / t, begun where it is 1 and scaled to end at `final`: the sum of the rates has no limit, that of their squares has one."""
    _within("inverse", "final", final)
    return lambda share: 1 / (1 + share * (1 / final - 1))


@schedules(source="Bengio (2012), https://arxiv.org/abs/1206.5533")
def linear(*, final: float = 0.0) -> Schedule:
    """Straight from 1 down to `final`."""
    _within("linear", "final", final, zero=True)
    return lambda share: 1 - (1 - final) * share


@schedules(source="Chen, Papandreou, Kokkinos, Murphy & Yuille (2016), https://arxiv.org/abs/1606.00915")
def polynomial(*, power: float = 0.9, final: float = 0.0) -> Schedule:
    """From 1 down to `final`, above it by a power of the share of the run that is left.

    Raises InputError for a power not above 0.
    """
    _within("polynomial", "final", final, zero=True)
    if not 0 < power < math.inf:
        raise InputError(f"polynomial expects power to be a number above 0; got {power}. Write e.g. polynomial:power=0.9.")
    return lambda share: final + (1 - final) * (1 - share).clamp(min=0.0) ** power


@schedules(source="Loshchilov & Hutter (2016), https://arxiv.org/abs/1608.03983")
def cosine(*, final: float = 0.0) -> Schedule:
    """Half a cosine wave from 1 down to `final`."""
    _within("cosine", "final", final, zero=True)
    return lambda share: _glide(1.0, final, share)


@schedules(source="Loshchilov & Hutter (2016), https://arxiv.org/abs/1608.03983")
def cosine_restarts(*, cycles: int = 3, growth: float = 1.0, final: float = 0.0) -> Schedule:
    """Half a cosine wave from 1 down to `final`, over and over: each of the `cycles` lasts `growth` times as long as the one before.

    Raises InputError for fewer than one cycle or a growth not above 0.
    """
    _within("cosine-restarts", "final", final, zero=True)
    if cycles < 1 or not 0 < growth < math.inf:
        raise InputError(f"cosine-restarts expects cycles to be at least 1 and growth to be above 0; got cycles={cycles} and "
                         f"growth={growth}. Write e.g. cosine-restarts:cycles=3,growth=2.")
    lengths = [growth**i for i in range(cycles)]
    ends = [sum(lengths[: i + 1]) / sum(lengths) for i in range(cycles)]

    def factor(share: Tensor) -> Tensor:
        within = share / ends[0]
        for begin, end in pairwise(ends):
            within = torch.where(share >= begin, (share - begin) / (end - begin), within)
        return _glide(1.0, final, within)

    return factor


@schedules(source="Smith & Topin (2017), https://arxiv.org/abs/1708.07120")
def one_cycle(*, rise: float = 0.3, start: float = 0.04, final: float = 4e-6) -> Schedule:
    """Up from `start` to the full rate during the first `rise` of the run, then down to `final`, both as half cosine waves."""
    _within("one-cycle", "rise", rise)
    _within("one-cycle", "start", start)
    _within("one-cycle", "final", final)

    def factor(share: Tensor) -> Tensor:
        fallen = (share - rise) / (1 - rise) if rise < 1 else torch.zeros_like(share)
        return torch.where(share < rise, _glide(start, 1.0, share / rise), _glide(1.0, final, fallen))

    return factor


@schedules(source="Goyal et al. (2017), https://arxiv.org/abs/1706.02677")
def warm_up(*, rise: float = 0.1, start: float = 0.1, then: Literal["constant", "linear", "cosine"] = "constant") -> Schedule:
    """Straight up from `start` to the full rate during the first `rise` of the run, then constant, or down to zero."""
    _within("warm-up", "rise", rise)
    _within("warm-up", "start", start)

    def factor(share: Tensor) -> Tensor:
        up = start + (1 - start) * (share / rise).clamp(max=1.0)
        left = ((1 - share) / (1 - rise)).clamp(max=1.0) if rise < 1 else torch.ones_like(share)
        match then:
            case "linear":
                return up * left
            case "cosine":
                return up * _glide(0.0, 1.0, left)
        return up

    return factor


def _glide(begin: float, end: float, share: Tensor) -> Tensor:
    """Half a cosine wave from `begin` at share 0 to `end` at share 1."""
    return end + (begin - end) * 0.5 * (1 + torch.cos(math.pi * share))


def _within(name: str, option: str, value: float, *, zero: bool = False) -> None:
    if not (0 < value <= 1 or (zero and value == 0)):
        raise InputError(f"{name} expects {option} to be {'at least' if zero else 'above'} 0 and at most 1; got {value}. "
                         f"Write e.g. {name}:{option}=0.1.")
