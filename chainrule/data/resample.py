"""Other samples of the same rows: k-fold re-division of what is not test, and rows drawn with replacement.

Kohavi (1995), IJCAI 1137 (folds); Efron (1979), https://doi.org/10.1214/aos/1176344552 (the bootstrap)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from chainrule.core.batch import map_tensors
from chainrule.core.errors import InputError
from chainrule.data.fold import parse_fold
from chainrule.data.source import Data, Part
from chainrule.data.splits import Splits, kfold
from chainrule.data.weights import one_on_average


def folded(data: Data, fold: str, seed: int, prepared: Callable[[Splits], Data]) -> Data:
    """`data` with its training and validation rows divided anew, fold 2/5 validating on the second fifth; the test rows stay.

    The encoder is fitted anew, by `prepared`, since other rows train. Raises InputError where there are fewer rows than folds.
    """
    number, folds = parse_fold(fold)
    free = torch.cat([data.train.rows, data.valid.rows]).sort().values
    divided = kfold(data.source, folds, test=0.0, seed=seed, rows=free)[number - 1]
    return prepared(Splits(divided.train, divided.valid, data.door.rows))


def crossed(data: Data, folds: int, seed: int, prepared: Callable[[Splits], Data]) -> Data:
    """`data` whose training part and validation part are both all that is not test, each with the number (n,) of a row's fold as its mask.

    The encoder is fitted anew, by `prepared`, on all of these rows. Raises InputError by time, where folds do not overlap, and where there
    are fewer rows than folds.
    """
    if data.source.times is not None:
        raise InputError("--folds trains on rows after those that it validates; by --time the future must stay unseen. Leave one out.")
    free = torch.cat([data.train.rows, data.valid.rows]).unique()
    number = torch.zeros(len(data.source), dtype=torch.int64)
    for i, divided in enumerate(kfold(data.source, folds, test=0.0, seed=seed, rows=free)):
        number[divided.valid] = i
    whole = prepared(Splits(free, free, data.door.rows))
    return replace(whole, train=replace(whole.train, mask=number[free]), valid=replace(whole.valid, mask=number[free]))


def bootstrapped(data: Data, number: int, seed: int) -> Data:
    """`data` with as many training rows, drawn with replacement by seed and number; validation, test and encoder stay."""
    part = data.train
    if not isinstance(part.x, Tensor):
        raise InputError(f"--bootstrap draws rows in memory, and {data.name} is read from disk while it trains. Leave out --bootstrap, or "
                         "train on fewer rows.")
    digest = hashlib.sha256(f"bootstrap/{seed}/{number}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    drawn = torch.randint(len(part), (len(part),), generator=generator).sort().values  # (n,)
    y = map_tensors(lambda t: t[drawn], part.y)
    weight = None if part.weight is None else one_on_average(part.weight[drawn], data.name)
    return replace(data, train=Part(part.x[drawn], y, part.rows[drawn], weight))
