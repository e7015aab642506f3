"""What rows of a source hold, as one short name that no name of a column, no order of rows or columns and no place of a file changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.data.encode.columns import Column, Table, is_number
from chainrule.data.encode.lagged import Lagged
from chainrule.data.encode.series import Series
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.row_hashes import row_hashes
from chainrule.data.source import Source
from chainrule.data.storage.stored import StoredArray, StoredTable

BLOCK = 65_536      # rows hashed at once
LENGTH = 16         # hexadecimal digits of a name
MISSING = np.uint64(0x9E3779B97F4A7C15)


def content_of(source: Source, rows: Tensor) -> str:
    """A name for what rows (n,) hold, inputs and targets; empty where there are none, or their inputs are of a kind that is not known.

    The values of a row are added up as they are, whichever column has them: renaming, moving or taking another column as the target gives
    the same name. One value that is changed, or read as another kind, gives another.
    """
    if not len(rows):
        return ""
    totals = [*_inputs(source, rows)]
    if not totals:
        return ""
    total = np.concatenate(totals)                                                         # (n,)
    for leaf in pytree.tree_leaves(source.targets):
        if isinstance(leaf, Tensor) and len(leaf) == len(source):
            total += _target(leaf[rows], source.classes if source.target_kind == "class" else ())
    return hashlib.sha256(f"{len(rows)} ".encode() + np.sort(total).tobytes()).hexdigest()[:LENGTH]


def _inputs(source: Source, rows: Tensor) -> Iterator[np.ndarray]:
    """Numbers (few,) uint64 for the inputs of rows, block by block, in the order of the rows."""
    inputs = source.inputs
    if isinstance(inputs, StoredTable | StoredArray):                                      # rows of a part are ascending
        for piece in inputs.pieces(rows):
            yield _table(piece) if isinstance(piece, Table) else _array(piece)
        return
    words = np.append(_words(inputs.alphabet), MISSING) if isinstance(inputs, Symbols) else None
    for few in rows.split(BLOCK):
        if isinstance(inputs, Table):
            yield _table(inputs.take(few))
        elif isinstance(inputs, Symbols):
            assert words is not None
            codes = inputs.codes[few].long().clamp(max=len(words) - 1)
            yield _array(torch.from_numpy(words.view(np.int64))[codes])
        elif isinstance(inputs, Series):
            yield _array(inputs.values[few].nan_to_num(nan=1e300))
        elif isinstance(inputs, Lagged):
            yield _array(inputs.ahead()[few] if not inputs.ends else inputs.values[few])
        elif isinstance(inputs, Tensor):
            yield _array(inputs[few])


def _table(table: Table) -> np.ndarray:
    total = np.zeros(len(table), np.uint64)
    for column in table.columns:
        total += _column(column)
    return total


def _column(column: Column) -> np.ndarray:
    """A number (n,) for each value: of words by the word, of numbers by the number."""
    if column.categories or not column.values.is_floating_point():
        words = np.append(_words(column.categories), MISSING)
        coded: np.ndarray = words[column.values.numpy()]                                   # a missing one is -1, the last
        return coded
    return _numbers(column.values)


def _target(values: Tensor, classes: Sequence[str]) -> np.ndarray:
    if classes and values.dim() == 1 and not values.is_floating_point():
        named: np.ndarray = np.append(_words(classes), MISSING)[values.long().numpy()]
        return named
    if values.is_floating_point() and values.dim() <= 2:
        columns = values.double().reshape(len(values), -1).unbind(1)
        return sum((_numbers(column) for column in columns), np.zeros(len(values), np.uint64))
    return _array(values)


def _array(values: Tensor) -> np.ndarray:
    hashes: np.ndarray = row_hashes(values).numpy().view(np.uint64)
    return hashes.copy()


def _numbers(values: Tensor) -> np.ndarray:
    numbers = values.double().numpy() + 0.0                                                # -0 is 0
    hashes = _mixed(numbers.view(np.uint64))
    hashes[np.isnan(numbers)] = MISSING
    return hashes


def _words(words: Sequence[str]) -> np.ndarray:
    """A number (k,) for each word; of one that is a number, as a class may be called, that of the number."""
    digests = [hashlib.sha256(word.encode(errors="surrogatepass")).digest()[:8] for word in words]
    hashes = np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)
    numbers = [place for place, word in enumerate(words) if is_number(word)]
    hashes[numbers] = _numbers(torch.tensor([float(words[place]) for place in numbers], dtype=torch.float64))
    return hashes


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Steele, Lea & Flood (2014), the finaliser of SplitMix64, https://doi.org/10.1145/2714064.2660195"""
    z = bits + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed
