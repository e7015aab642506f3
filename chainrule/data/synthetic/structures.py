"""Chains of residues folded on a lattice, each residue tagged by its local structure: part of a helix, of a strand, or of neither.

Chains on lattices: Lau & Dill (1989), https://doi.org/10.1021/ma00200a030; tags from geometry: Kabsch & Sander (1983),
https://doi.org/10.1002/bip.360221211; letters by structure: Chou & Fasman (1978), https://doi.org/10.1002/9780470122921.ch2
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from chainrule.core.registry import datasets
from chainrule.data import fingerprint
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.readers.download import to_stderr
from chainrule.data.readers.sequences import pad
from chainrule.data.source import Source
from chainrule.data.synthetic.chains import LETTERS, Chain, check_chains, coded

TAGS = ("helix", "loop", "strand")
HELIX, LOOP, STRAND = range(3)
FAVOURED = {HELIX: "AELMQKRH", STRAND: "VIYCWFT", LOOP: "GNPSD"}     # residues that each structure has more often than others
RESIDUES = (40, 90)                          # of a chain: least and most
TURNS, RUNS, BENDS = (3, 6), (4, 8), (2, 5)  # turns of a helix, and steps of a strand and of a loop: least and most
STRAIGHT = 4                                 # residues in a row along one axis that are a strand, at least
WOUND = 3                                    # turns, each two residues after the last, that are a helix, at least
AXES = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
TRIES = 40                                   # of a piece before the whole chain is begun anew


@datasets("structures", source="Kabsch & Sander (1983), https://doi.org/10.1002/bip.360221211: helices, strands and loops of a lattice")
def structures(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 600, noise: float = 0.4,
               seed: int = 0) -> Source:
    """Chains of 40 to 90 residues on a cubic lattice, crossing themselves nowhere, with a tag for each residue.

    A chain is made of pieces in random order: strands, straight on; helices, winding up about an axis; loops, any way. The tags are read
    from where the residues are: at least four in a row along one axis are a strand; a turn is four whose ends touch, and at least three
    turns, each two residues after the last, are a helix; all others are a loop. Each residue's letter is one that its structure favours,
    or, for the share `noise` of them, any: what a residue is must be told by its neighbours as well. Raises InputError for options that
    allow no chain.
    """
    check_chains("structures", count, noise, 0.4)
    folded = [wound(np.random.default_rng([seed, number]), noise) for number in range(count)]
    codes = coded(folded)
    y, _ = pad([torch.from_numpy(tags_of(chain.places)) for chain in folded])
    what = f"structures:count={count},noise={noise:g},seed={seed}"
    digest = fingerprint.of(codes, y, (*LETTERS, *TAGS))
    return Source("structures", Symbols(codes, LETTERS), y, "steps", {"kind": "named", "what": what}, digest, TAGS)


def wound(random: np.random.Generator, noise: float) -> Chain:
    """One chain."""
    length, places = int(random.integers(RESIDUES[0], RESIDUES[1] + 1)), None
    while places is None:
        places = _walk(random, length)
    letters = []
    for tag, anew in zip(tags_of(places).tolist(), random.random(length) < noise, strict=True):
        letters.append(str(random.choice(list(LETTERS if anew else FAVOURED[tag]))))
    return Chain(places, "".join(letters))


def tags_of(places: np.ndarray) -> np.ndarray:
    """The tag (t,) of each residue of a chain at places (t, 3), from these alone."""
    tags = np.full(len(places), LOOP)
    moves = np.diff(places, axis=0)                                              # (t - 1, 3)
    begin = 0
    for k in range(1, len(moves) + 1):                                           # runs of moves that are alike
        if k == len(moves) or (moves[k] != moves[begin]).any():
            if k - begin >= STRAIGHT - 1:
                tags[begin : k + 1] = STRAND
            begin = k
    turns = [k for k in range(len(places) - 3) if np.abs(places[k + 3] - places[k]).sum() == 1]
    for first in turns:
        run = [first]
        while run[-1] + 2 in turns:
            run.append(run[-1] + 2)
        if len(run) >= WOUND:
            tags[first : run[-1] + 4] = HELIX
    return tags


def _walk(random: np.random.Generator, length: int) -> np.ndarray | None:
    """Places (length, 3) of a chain of pieces; None where it has shut itself in."""
    walk = [(0, 0, 0)]
    while len(walk) < length:
        for _ in range(TRIES):
            piece = _piece(random)
            ahead = [(int(at[0]), int(at[1]), int(at[2])) for at in np.cumsum(piece, axis=0) + np.array(walk[-1])]
            if len(set(ahead)) == len(ahead) and not set(ahead) & set(walk):
                walk += ahead
                break
        else:
            return None
    return np.array(walk[:length])


def _piece(random: np.random.Generator) -> np.ndarray:
    """The moves (k, 3) of a strand, a helix or a loop, any way round."""
    kind = int(random.integers(3))
    if kind == STRAND:
        return np.tile(AXES[random.integers(6)], (int(random.integers(RUNS[0], RUNS[1] + 1)), 1))
    if kind == LOOP:
        return AXES[random.integers(6, size=int(random.integers(BENDS[0], BENDS[1] + 1)))]
    x, y, z = (sign * axis for sign, axis in zip(random.choice([-1, 1], 3), np.eye(3, dtype=int)[random.permutation(3)], strict=True))
    moves = np.array([x, y, -x, z, x, -y, -x, z])                                # two turns, and up; every second four touch
    return np.resize(moves, (2 * int(random.integers(TURNS[0], TURNS[1] + 1)) + 1, 3))
