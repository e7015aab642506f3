"""Train, validation and test rows: stratified by class, whole groups, or by time; k-fold re-division. Kohavi (1995), IJCAI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest
from chainrule.core.text import counted
from chainrule.data.encode.lagged import Lagged
from chainrule.data.source import Source

SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}


@dataclass(frozen=True)
class Splits:
    """Row numbers of the source in each part, int64, ascending; no row is in two parts."""

    train: Tensor
    valid: Tensor
    test: Tensor


def parse_split(text: str) -> dict[str, float]:
    """Shares from `train=.7,valid=.15,test=.15`; those left out share what is left in their usual ratio."""
    shares: dict[str, float] = {}
    for item in filter(None, text.split(",")):
        name, _, value = item.partition("=")
        if name.strip() not in SHARES:
            raise InputError(f"--split has no part '{name.strip()}'. {suggest(name.strip(), SHARES)} Write --split "
                             "train=.7,valid=.15,test=.15.")
        if name.strip() in shares:
            raise InputError(f"--split names {name.strip()} twice. Name each part once, e.g. train=.7,valid=.15,test=.15.")
        try:
            shares[name.strip()] = float(value)
        except ValueError:
            raise InputError(f"--split expects a number for {name.strip()}; got '{value}'. Write --split "
                             "train=.7,valid=.15,test=.15.") from None
    absent = {name: share for name, share in SHARES.items() if name not in shares}
    left = max(0.0, round(1 - sum(shares.values()), 9))
    shares |= {name: left * share / sum(absent.values()) for name, share in absent.items()}
    return _checked(shares)


def _checked(shares: Mapping[str, float]) -> dict[str, float]:
    unknown = [name for name in shares if name not in SHARES]
    if unknown:
        raise InputError(f"a split has no part '{unknown[0]}'. {suggest(unknown[0], SHARES)}")
    whole = {name: float(shares.get(name, 0.0)) for name in SHARES}
    if any(not 0 <= s <= 1 for s in whole.values()) or abs(sum(whole.values()) - 1) > 1e-6 or whole["train"] == 0:
        raise InputError(f"expected shares that add up to 1, with some for train; got {', '.join(f'{k}={v:g}' for k, v in whole.items())}. "
                         "Write --split train=.7,valid=.15,test=.15.")
    return whole


def split(source: Source, *, train: float = SHARES["train"], valid: float = SHARES["valid"], test: float = SHARES["test"], seed: int = 0,
          rows: Tensor | None = None) -> Splits:
    """Divide the source (or `rows` of it) by its times, else its groups, else stratified by its classes, else at random.

    Parts that the source itself defines are kept, and what is left is divided in the ratio of the shares that are left.
    Raises InputError where there are fewer rows, groups or times than parts.
    """
    shares = _checked({"train": train, "valid": valid, "test": test})
    rows = torch.arange(len(source)) if rows is None else rows
    wanted = marked(rows, len(source))
    defined = {name: numbers[wanted[numbers]] for name, numbers in source.parts.items()}
    defined = {name: numbers for name, numbers in defined.items() if len(numbers)}
    for numbers in defined.values():
        wanted[numbers] = False
    free = rows[wanted[rows]] if defined else rows
    left = {name: share for name, share in shares.items() if name not in defined}
    if sum(left.values()) == 0 or ("train" in defined and not len(free)):  # nothing is left, or no part asks for it
        parts = [free[:0] for _ in left]
    else:
        parts = _divide(source, free, [s / sum(left.values()) for s in left.values()], seed, list(left))
    divided = {**defined, **dict(zip(left, parts))}
    return Splits(*(divided[name].sort().values.long() for name in SHARES))


def marked(numbers: Tensor, n: int) -> Tensor:
    """(n,) bool, true at these numbers."""
    mask = torch.zeros(n, dtype=torch.bool)
    mask[numbers] = True
    return mask


def _divide(source: Source, rows: Tensor, shares: list[float], seed: int, names: list[str]) -> list[Tensor]:
    """Rows in parts of about these shares; the first part is the training one."""
    if isinstance(source.inputs, Lagged):
        return _by_steps(source, rows, shares, names)
    wanted = sum(s > 0 for s in shares)
    if len(rows) < wanted:
        raise InputError(f"{source.name} has {counted(len(rows), 'row')} to divide into {' and '.join(names)}; at least "
                         f"{wanted} are needed. Give more data, or set shares to 0 with --split.")
    counts = _counts(len(rows), shares)
    if source.times is not None and source.groups is not None:
        raise InputError("expected --group or --time; got both, and whole groups cannot also be in order of time. Drop one.")
    if source.times is not None:
        return _by_time(source, rows, counts)
    if source.groups is not None:
        return _by_group(source, rows, counts, seed)
    return _stratified(rows, _strata(source, rows), counts, seed)


def _counts(n: int, shares: list[float]) -> list[int]:
    """n in whole numbers by largest remainder; a share above zero gets at least one."""
    exact = [n * s for s in shares]
    counts = [int(e) for e in exact]
    for at in sorted(range(len(shares)), key=lambda i: counts[i] - exact[i])[: n - sum(counts)]:
        counts[at] += 1
    for at, share in enumerate(shares):
        if share > 0 and counts[at] == 0:
            counts[counts.index(max(counts))] -= 1
            counts[at] = 1
    return counts


def _strata(source: Source, rows: Tensor) -> Tensor:
    """The class of each row, (n,), in one byte where that is enough; all zero where there are no classes."""
    if source.target_kind != "class":
        return torch.zeros(len(rows), dtype=torch.uint8)
    strata: Tensor = source.targets.to(torch.uint8 if len(source.classes) <= 256 else torch.int64)[rows]
    return strata


def _shuffled_by_stratum(strata: Tensor, seed: int) -> Tensor:
    """Positions (n,) sorted by stratum, in random order within each."""
    order = torch.randperm(len(strata), generator=torch.Generator().manual_seed(seed))
    return order[strata[order].argsort(stable=True)] if bool(strata.any()) else order


def _stratified(rows: Tensor, strata: Tensor, counts: list[int], seed: int) -> list[Tensor]:
    """Every k-th row of the list sorted by class, so that each part has its share of each class to within a row or so.

    The first row of each class is set aside for training, while there are enough others.
    """
    order = _shuffled_by_stratum(strata, seed)
    ranked = strata[order]
    first = torch.ones(len(order), dtype=torch.bool)
    first[1:] = ranked[1:] != ranked[:-1]
    if int((~first).sum()) < sum(counts[1:]):
        first[:] = False
    head, pool, parts = _chosen(order, first), _chosen(order, ~first), []
    del order, ranked, first  # at 20 million rows a list of them takes 160 MB
    for count in reversed(counts[1:]):
        at = ((torch.arange(count, dtype=torch.float64) + 0.5) * (len(pool) / max(count, 1))).long()
        chosen = torch.zeros(len(pool), dtype=torch.bool)
        chosen[at] = True
        parts.append(rows[_chosen(pool, chosen)])
        pool = _chosen(pool, ~chosen)
    return [rows[torch.cat([head, pool])], *reversed(parts)]


def _chosen(values: Tensor, mask: Tensor) -> Tensor:
    """`values[mask]` by NumPy, which needs no list of the places chosen, as long as the values."""
    return torch.from_numpy(values.numpy()[mask.numpy()])


def sample(source: Source, rows: Tensor, count: int, seed: int = 0) -> Tensor:
    """`count` of the rows, ascending, with every class in about its share and, while they suffice, at least once."""
    if count >= len(rows):
        return rows
    return _stratified(rows, _strata(source, rows), [count, len(rows) - count], seed)[0].sort().values


def _by_group(source: Source, rows: Tensor, counts: list[int], seed: int) -> list[Tensor]:
    """Whole groups, the largest first, each to the part that lacks most; no part stays empty."""
    _, group = source.groups[rows].unique(return_inverse=True)  # (n,)
    sizes = torch.bincount(group)
    wanted = [i for i, c in enumerate(counts) if c > 0]
    if len(sizes) < len(wanted):
        raise InputError(f"{source.name} has {counted(len(sizes), 'group')} to divide into {len(wanted)} parts; a group is "
                         "never divided. Give more groups, or set shares to 0 with --split.")
    order = torch.randperm(len(sizes), generator=torch.Generator().manual_seed(seed))
    largest_first = order[sizes[order].argsort(descending=True, stable=True)].tolist()
    lacking, part_of, empty = list(map(float, counts)), torch.zeros(len(sizes), dtype=torch.int64), set(wanted)
    for done, g in enumerate(largest_first):
        among = empty if len(largest_first) - done == len(empty) else set(wanted)
        part = max(sorted(among), key=lambda i: lacking[i])
        part_of[g], lacking[part] = part, lacking[part] - int(sizes[g])
        empty.discard(part)
    return [rows[part_of[group] == i] for i in range(len(counts))]


def _by_time(source: Source, rows: Tensor, counts: list[int]) -> list[Tensor]:
    """The earliest rows train, the latest test; rows of one time stay together."""
    ordered, order = source.times[rows].sort(stable=True)
    edges, begin = [], 0
    for end in np.cumsum(counts).tolist():
        while 0 < end < len(ordered) and ordered[end] == ordered[end - 1]:
            end += 1
        edges.append((begin, max(begin, end)))
        begin = max(begin, end)
    for count, (a, b) in zip(counts, edges):
        if count and a == b:
            raise InputError(f"{source.name} has {len(ordered.unique())} different times; too few rows follow each other to make "
                             f"{len(counts)} parts by time. "
                             "Give a finer --time column, or set shares to 0 with --split.")
    return [rows[order[a:b]] for a, b in edges]


def _by_steps(source: Source, rows: Tensor, shares: list[float], names: list[str]) -> list[Tensor]:
    """The steps of a series in parts, one after the other: a row belongs to the part in which all that it foretells lies.

    So no step is foretold in two parts, and there is a gap of horizon - 1 rows between them; what a row reads may lie in the part before.
    """
    form = source.inputs.form
    before = form.lags if len(rows) and int(rows.min()) == 0 else 0        # steps that are only read
    ordered, lost = rows.sort().values, form.horizon - 1
    counts = _counts(len(rows) + lost + before, shares)
    counts[0] = max(counts[0] - before, 0)
    parts, begin = [], 0
    for name, share, count in zip(names * len(shares) if len(names) == 1 else names, shares, counts):
        if share > 0 and count <= lost:
            beside = f" beside the {before} that are read before its first forecast" if before and not begin else ""
            raise InputError(f"{source.name}: the {name} part has {max(count, 0)} of {len(source.inputs.values)} steps{beside}, fewer than "
                             f"--horizon {form.horizon}. Foretell fewer steps, lower --lags, or give that part more with --split.")
        parts.append(ordered[begin : begin + max(count - lost, 0)])
        begin += count
    return parts


def kfold(source: Source, folds: int = 5, *, test: float = SHARES["test"], seed: int = 0, rows: Tensor | None = None) -> list[Splits]:
    """The same sealed test part in each; the rest is divided into `folds`, each of which is the validation part once.

    Groups stay whole. By time, fold i trains on what precedes its validation part (rolling origin), so some rows wait unused.
    """
    if folds < 2:
        raise InputError(f"expected at least 2 folds; got {folds}.")
    base = split(source, train=1 - test, valid=0.0, test=test, seed=seed, rows=rows)
    free = torch.cat([base.train, base.valid]).sort().values
    blocks = _blocks(source, free, folds, seed)
    several = []
    for i in range(folds):
        if source.times is not None:
            before, valid = torch.cat(blocks[: i + 1]), blocks[i + 1]
        else:
            before, valid = torch.cat([b for j, b in enumerate(blocks) if j != i]), blocks[i]
        several.append(Splits(before.sort().values, valid.sort().values, base.test))
    return several


def _blocks(source: Source, rows: Tensor, folds: int, seed: int) -> list[Tensor]:
    if source.times is not None or source.groups is not None:
        count = folds + (source.times is not None)
        return _divide(source, rows, [1 / count] * count, seed, ["folds"])
    if len(rows) < folds:
        raise InputError(f"{source.name} has {len(rows)} rows to divide into {folds} folds. Give more data or fewer folds.")
    order = _shuffled_by_stratum(_strata(source, rows), seed)
    return [rows[order[i::folds]] for i in range(folds)]
