"""Chains with the pairs of residues that touch: a folder of a FASTA file beside `contacts.csv` with the columns sequence, i and j."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data import fingerprint
from chainrule.data.readers import fasta
from chainrule.data.source import Source

CONTACTS = "contacts.csv"
COLUMNS = ("sequence", "i", "j")
CLASSES = ("apart", "contact")
NEAREST = 6          # residues that are fewer apart along the chain touch as a matter of course, and are not asked for: Moult et al. (2016)


def asked(pairs: Sequence[np.ndarray], lengths: Sequence[int], longest: int) -> Tensor:
    """What is asked of chains of these lengths, int8 (n, longest, longest): 1 for the pairs (k, 2) that touch, 0 for others, and -1 for
    those fewer than NEAREST apart or past the end of a chain."""
    apart = torch.arange(longest)[:, None] - torch.arange(longest)
    y = torch.full((len(pairs), longest, longest), -1, dtype=torch.int8)
    for into, touching, length in zip(y, pairs, lengths, strict=True):
        into[:length, :length] = 0
        first, second = torch.from_numpy(np.ascontiguousarray(touching.T, dtype=np.int64))
        into[first, second] = into[second, first] = 1
        into[apart.abs() < NEAREST] = -1
    return y


def find(folder: Path) -> Path | None:
    """The FASTA file of a folder that holds contacts; None where it holds none. Raises InputError where there is no one such file."""
    if not (folder / CONTACTS).is_file():
        return None
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in fasta.SUFFIXES)
    if len(files) != 1:
        raise InputError(f"{folder} holds {CONTACTS}; expected one FASTA file beside it ({' '.join(fasta.SUFFIXES)}), got {len(files)}. "
                         "Put the chains into one.")
    return files[0]


def source(folder: Path, file: Path, *, targets: bool = True) -> Source:
    """The chains of a folder with what is asked of their pairs."""
    chains = fasta.source(file, file.suffix.lower(), origin={"kind": "folder", "what": str(folder.absolute())}, name=folder.name,
                          targets=False)
    if not targets:
        return chains
    lengths = chains.inputs.lengths.tolist()
    pairs = _read(folder / CONTACTS, list(chains.labels["sequence"]), lengths)
    y = asked(pairs, lengths, chains.inputs.shape[1])
    digest = fingerprint.of(chains.inputs.codes, y, (*chains.inputs.alphabet, *CLASSES))
    return replace(chains, targets=y, target_kind="pairs", classes=CLASSES, fingerprint=digest)


def _read(path: Path, names: list[str], lengths: list[int]) -> list[np.ndarray]:
    """The pairs (k, 2), counted from 0, of each chain. Raises InputError naming the line of one that is none."""
    import polars as pl

    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise InputError(f"{path} tells chains apart by their names, and two are called '{twice}'. Give each a name of its own.")
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} could not be read as a table: {str(error).splitlines()[0]}. Expected the columns {', '.join(COLUMNS)}.") \
            from error
    lacking = [name for name in COLUMNS if name not in frame.columns]
    if lacking:
        raise InputError(f"{path}: expected the columns {', '.join(COLUMNS)}; got {', '.join(frame.columns)}. Name them so.")
    place = {name: number for number, name in enumerate(names)}
    pairs: list[list[tuple[int, int]]] = [[] for _ in names]
    for line, (name, *ends) in enumerate(frame.select(COLUMNS).iter_rows(), 2):
        if name not in place:
            raise InputError(f"{path}, line {line}: no sequence is called '{name}'. Correct it, or add its letters to the FASTA file.")
        chain = place[name]
        numbers = [int(end) if end is not None and end.strip().isdigit() else 0 for end in ends]
        if not all(1 <= number <= lengths[chain] for number in numbers):
            raise InputError(f"{path}, line {line}: expected i and j from 1 to {lengths[chain]}, the residues of '{name}'; got "
                             f"{', '.join(map(str, ends))}. Correct it.")
        pairs[chain].append((numbers[0] - 1, numbers[1] - 1))
    return [np.array(sorted(several), np.int64).reshape(-1, 2) for several in pairs]
