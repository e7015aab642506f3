"""Sequences that ask for memory: sums of binary numbers, the adding problem, and copying.

Hinton (2012), Neural networks for machine learning, lecture 7; Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735;
Arjovsky, Shah & Bengio (2016), https://arxiv.org/abs/1511.06464
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.registry import datasets
from chainrule.data import fingerprint
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.readers.download import to_stderr
from chainrule.data.source import Source

LATE = 2                    # steps after its digits until a digit of a sum is asked for
ABSENT = -1                 # where nothing is asked
BITS = ("0", "1")
SYMBOLS, COPIED = "ABCDEFGH", 10


@datasets("addition", source="Hinton (2012), Neural networks for machine learning, lecture 7, "
                             "https://www.cs.toronto.edu/~hinton/coursera_lectures.html")
def addition(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, length: int = 12, count: int = 4000,
             exact: bool = False, seed: int = 0) -> Source:
    """Pairs of binary numbers, lowest digits first, whose sum is asked for digit by digit, each two steps after its digits were shown.

    The numbers have 1 to `length` digits each pair, or just so many where `exact`; the sum has one more. Rows are (length + 3, 2), zeros
    after the last digits; nothing is asked in the first two steps and after the sum. Raises InputError for less than one digit or two
    pairs.
    """
    if length < 1 or count < 2:
        raise InputError(f"addition expects a length of at least 1 digit and at least 2 pairs; got length={length}, count={count}. Write "
                         "e.g. addition:length=12,count=4000.")
    random = torch.Generator().manual_seed(seed)
    digits = torch.randint(1, length + 1, (count,), generator=random) if not exact else torch.full((count,), length)
    bits = torch.randint(2, (count, 2, length), generator=random, dtype=torch.uint8)
    x, y = summands(bits * (torch.arange(length) < digits[:, None, None]), digits)
    what = f"addition:length={length},count={count},exact={'yes' if exact else 'no'},seed={seed}"
    return Source("addition", x, y, "steps", {"kind": "named", "what": what}, fingerprint.of(x, y, BITS), BITS)


def summands(bits: Tensor, digits: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs (n, t + 3, 2) and targets (n, t + 3), -1 where nothing is asked, of pairs of binary numbers (n, 2, t), lowest digits first.

    `digits` (n,) says how many of them each pair has; its sum has one more.
    """
    count, _, length = bits.shape
    steps = length + 1 + LATE
    x = torch.zeros(count, steps, 2)
    x[:, :length] = bits.transpose(1, 2).float()
    total, carry = torch.zeros(count, length + 1, dtype=torch.int64), torch.zeros(count, dtype=torch.int64)
    for place in range(length):
        column = bits[:, :, place].long().sum(1) + carry
        total[:, place], carry = column % 2, column // 2
    total[:, length] = carry
    y = torch.full((count, steps), ABSENT)
    y[:, LATE:] = torch.where(torch.arange(length + 1) <= digits[:, None], total, ABSENT)
    return x, y


@datasets("adding", source="Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735, experiment 4; Le, Jaitly & Hinton "
                           "(2015), https://arxiv.org/abs/1504.00941", sequential=True)
def adding(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, length: int = 100, count: int = 10_000,
           seed: int = 0) -> Source:
    """Numbers between 0 and 1, two of which are marked, one in each half: their sum is asked for at the end. Rows are (length, 2).

    Who always says 1 has a mean squared error of 1/6. Raises InputError for less than two steps or two rows.
    """
    if length < 2 or count < 2:
        raise InputError(f"adding expects a length of at least 2 steps and at least 2 rows; got length={length}, count={count}. Write e.g. "
                         "adding:length=100,count=10000.")
    random = torch.Generator().manual_seed(seed)
    x = torch.zeros(count, length, 2)
    x[:, :, 0] = torch.rand(count, length, generator=random)
    first = torch.randint(length // 2, (count, 1), generator=random)
    second = torch.randint(length // 2, length, (count, 1), generator=random)
    marked = torch.cat([first, second], 1)                                                       # (n, 2)
    x[:, :, 1].scatter_(1, marked, 1.0)
    y = x[:, :, 0].gather(1, marked).sum(1)
    what = f"adding:length={length},count={count},seed={seed}"
    return Source("adding", x, y, "real", {"kind": "named", "what": what}, fingerprint.of(x, y))


@datasets("copying", source="Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; Arjovsky, Shah & Bengio (2016), "
                            "https://arxiv.org/abs/1511.06464")
def copying(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, length: int = 100, count: int = 4000,
            seed: int = 0) -> Source:
    """Ten letters of eight, `length` blanks, a mark, and then the ten letters again are asked for, in their order.

    Nothing is asked before the mark. Raises InputError for less than one blank or two rows.
    """
    if length < 1 or count < 2:
        raise InputError(f"copying expects a length of at least 1 blank and at least 2 rows; got length={length}, count={count}. Write "
                         "e.g. copying:length=100,count=4000.")
    random = torch.Generator().manual_seed(seed)
    letters = torch.randint(len(SYMBOLS), (count, COPIED), generator=random)
    alphabet = (*SYMBOLS, "_", ">")
    codes = torch.full((count, 2 * COPIED + length), alphabet.index("_"), dtype=torch.uint8)
    codes[:, :COPIED] = letters.to(torch.uint8)
    codes[:, -COPIED - 1] = alphabet.index(">")
    y = torch.full(codes.shape, ABSENT)
    y[:, -COPIED:] = letters
    what = f"copying:length={length},count={count},seed={seed}"
    return Source("copying", Symbols(codes, alphabet), y, "steps", {"kind": "named", "what": what},
                  fingerprint.of(codes, y, (*alphabet, *SYMBOLS)), tuple(SYMBOLS))
