"""Chains of residues folded on a lattice, with the pairs that touch: a net of contacts must read from the letters how the chain turns.

Chains on lattices: Lau & Dill (1989), https://doi.org/10.1021/ma00200a030
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.registry import datasets
from chainrule.data import fingerprint
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.readers.contacts import CLASSES, asked
from chainrule.data.readers.download import to_stderr
from chainrule.data.readers.sequences import pad
from chainrule.data.source import Source

LETTERS = tuple("ACDEFGHIKLMNPQRSTVWY")
CORE, SURFACE = "AVILMFWC", "KREQHY"                          # of residues with many neighbours, and with few
TURNS = {"left": "GS", "right": "PT", "straight": "ND"}       # of the two residues where a strand goes over into the next
STRANDS, RESIDUES = (7, 12), (5, 8)                           # of a chain, and of each of its strands: least and most
REACH = 2                                                     # lattice steps within which residues touch: of 3.8 angstrom each, about 8
CROWDED = 3                                                   # strands beside a residue's own, of four, that make it one of the core
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))                    # each a quarter to the left of the one before


class Chain(NamedTuple):
    """Places (t, 3) on a cubic lattice, one beside the other, and a letter for each."""

    places: np.ndarray
    letters: str


@datasets("chains", source="Lau & Dill (1989), https://doi.org/10.1021/ma00200a030: chains folded on a lattice")
def chains(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 600, noise: float = 0.05,
           seed: int = 0) -> Source:
    """Chains of 35 to 96 residues and the pairs of them that touch; pairs fewer than six apart are not asked for.

    A chain is a row of upright strands, each beside the one before, on a walk over the plane that crosses itself nowhere. The residues
    where it goes over into the next strand say whether it turns left, right or not; the others whether many or few strands stand around
    them. `noise` is the share of letters that are drawn anew from all. Raises InputError for options that allow no chain.
    """
    check_chains("chains", count, noise, 0.05)
    folded = [fold(np.random.default_rng([seed, number]), noise) for number in range(count)]
    codes = coded(folded)
    y = asked([touching(chain.places) for chain in folded], [len(chain.letters) for chain in folded], codes.shape[1])
    what = f"chains:count={count},noise={noise:g},seed={seed}"
    digest = fingerprint.of(codes, y, (*LETTERS, *CLASSES))
    return Source("chains", Symbols(codes, LETTERS), y, "pairs", {"kind": "named", "what": what}, digest, CLASSES)


def check_chains(name: str, count: int, noise: float, usual: float) -> None:
    """Raises InputError for fewer chains than there are parts, and for a share of noise that is none."""
    if count < 3 or not 0 <= noise <= 1:
        raise InputError(f"{name} expects count of at least 3 and noise from 0 to 1; got count={count}, noise={noise:g}. Write e.g. "
                         f"{name}:count=600,noise={usual:g}.")


def coded(chains: Sequence[Chain]) -> Tensor:
    """The number of each residue's letter (n, t), shorter chains filled up."""
    place = {letter: i for i, letter in enumerate(LETTERS)}
    return pad([torch.tensor([place[letter] for letter in chain.letters], dtype=torch.uint8) for chain in chains], fill=len(LETTERS))[0]


def fold(random: np.random.Generator, noise: float) -> Chain:
    """One chain."""
    strands, residues = (int(random.integers(low, high + 1)) for low, high in (STRANDS, RESIDUES))
    walk = None
    while walk is None:
        walk = _walk(random, strands)
    heights = np.arange(residues)
    places = np.concatenate([np.column_stack([np.tile(at, (residues, 1)), heights[:: -1 if k % 2 else 1]]) for k, at in enumerate(walk)])
    turns = ["straight", *(_turn(walk[k : k + 3]) for k in range(strands - 2))]    # of the step from each strand to the next
    letters = []
    for k, at in enumerate(walk):
        beside = sum(tuple(np.add(at, step)) in walk for step in STEPS)
        words = [CORE if beside >= CROWDED or (beside == CROWDED - 1 and random.random() < 0.5) else SURFACE for _ in range(residues)]
        if k > 0:
            words[0] = TURNS[turns[k - 1]]
        if k < strands - 1:
            words[-1] = TURNS[turns[k]]
        letters += [str(random.choice(list(word))) for word in words]
    drawn = random.random(len(letters)) < noise
    return Chain(places, "".join(str(random.choice(LETTERS)) if anew else letter for letter, anew in zip(letters, drawn, strict=True)))


def touching(places: np.ndarray) -> np.ndarray:
    """The pairs (k, 2), first < second, of residues at most REACH lattice steps from one another, as the crow flies."""
    squared = np.square(places[:, None] - places[None]).sum(2)                     # (t, t)
    first, second = np.nonzero(np.triu(squared <= REACH**2, 1))
    return np.column_stack([first, second])


def _walk(random: np.random.Generator, steps: int) -> list[tuple[int, int]] | None:
    """So many places of a walk over the plane, none twice; None where it has shut itself in. It prefers places with neighbours."""
    walk = [(0, 0), (1, 0)]
    while len(walk) < steps:
        free = [at for step in STEPS if (at := (walk[-1][0] + step[0], walk[-1][1] + step[1])) not in walk]
        if not free:
            return None
        beside = np.array([4.0 ** sum((x + dx, y + dy) in walk for dx, dy in STEPS) for x, y in free])
        walk.append(free[int(random.choice(len(free), p=beside / beside.sum()))])
    return walk


def _turn(three: list[tuple[int, int]]) -> str:
    """How the second of two steps turns against the first."""
    (ax, ay), (bx, by) = (np.subtract(three[i + 1], three[i]) for i in (0, 1))
    crossed = int(ax * by - ay * bx)
    return {1: "left", -1: "right", 0: "straight"}[crossed]
