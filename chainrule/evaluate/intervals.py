"""Intervals: exact or score intervals for counts, the percentile bootstrap for everything else.

Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953; Clopper & Pearson (1934), https://doi.org/10.1093/biomet/26.4.404;
Efron (1979), https://doi.org/10.1214/aos/1176344552
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError

BATCH_NUMBERS = 2**22  # how many resampled numbers are held at once
MOST_NUMBERS = 10**9   # beyond this much work, measures draw fewer resamples (and say how many)


@dataclass(frozen=True)
class Interval:
    """Both ends of an interval that covers the true value in a share `level` of samples."""

    low: float
    high: float
    level: float


def wilson(k: int, n: int, level: float = 0.95) -> Interval:
    """The score interval of a share, from `k` successes in `n`: close to its level on average, never empty, never outside [0, 1]."""
    from scipy.special import ndtri

    _check_count(k, n, level)
    z2 = float(ndtri(0.5 + level / 2)) ** 2
    centre = (k + z2 / 2) / (n + z2)
    half = math.sqrt(z2 * (k * (n - k) / n + z2 / 4)) / (n + z2)
    return Interval(0.0 if k == 0 else centre - half, 1.0 if k == n else centre + half, level)


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Interval:
    """The exact interval of a share, from `k` successes in `n`: covers at least at its level, whatever the true share."""
    from scipy.special import betaincinv

    _check_count(k, n, level)
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))
    return Interval(low, high, level)


def bootstrap(statistic: Callable[..., Tensor], *arrays: Tensor, seed: int = 0, repeats: int = 2000, level: float = 0.95) -> Interval:
    """The percentile interval of any statistic under resampling of rows with replacement.

    `statistic` gets the resampled arrays, each (b, n, ...), and returns (b,): it reduces the second axis. NaN marks a
    resample on which it is undefined; such resamples are left out.
    """
    n = _same_length(arrays)
    width = sum(a[0].numel() for a in arrays)
    values = [statistic(*(a[rows] for a in arrays)).double() for rows in _draws(n, seed, repeats, max(1, width))]
    low, high = spread(torch.cat(values), level)
    return Interval(low, high, level)


def bootstrap_weighted(statistics: Callable[[Tensor], Tensor], n: int, *, seed: int = 0, repeats: int = 2000,
                       width: int = 1) -> Tensor:
    """Many statistics on the same resamples, (m, repeats): much faster where each is a function of weighted sums.

    `statistics` gets how often each row was drawn, (n, b) float32, and returns (m, b). `width` is how many numbers it
    holds for each of these. The resamples are those of `bootstrap` under the same seed.
    """
    values = [statistics(_counts(rows)) for rows in _draws(n, seed, repeats, width)]
    return torch.cat(values, 1)


def spread(values: Tensor, level: float) -> tuple[float, float]:
    """The central share `level` of resampled values (repeats,), undefined ones (NaN) left out."""
    values = values[~values.isnan()].double()
    if len(values) == 0:
        raise InputError("A bootstrap needs a statistic that is defined on some resample; got none. Give more test cases.")
    ends = torch.quantile(values, torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64))
    low, high = ends.tolist()
    return low, high


def enough_repeats(numbers: int, wanted: int = 2000, least: int = 200) -> int:
    """How many resamples of a statistic that reads `numbers` numbers are affordable."""
    return max(least, min(wanted, MOST_NUMBERS // max(1, numbers)))


def _draws(n: int, seed: int, repeats: int, width: int) -> Iterator[Tensor]:
    """Row numbers of resamples, (b, n) at a time; what is drawn does not depend on b."""
    random = np.random.default_rng(seed)
    batch = max(1, BATCH_NUMBERS // (n * width))
    for start in range(0, repeats, batch):
        rows = np.stack([random.integers(0, n, n, dtype=np.int32) for _ in range(min(batch, repeats - start))])
        yield torch.from_numpy(rows)


def _counts(rows: Tensor) -> Tensor:
    """How often each of n rows occurs in each of b resamples: (b, n) -> (n, b)."""
    n = rows.shape[1]
    counts = np.stack([np.bincount(r, minlength=n) for r in rows.numpy()]).astype(np.float32)
    return torch.from_numpy(counts).T.contiguous()


def _same_length(arrays: tuple[Tensor, ...]) -> int:
    lengths = {len(a) for a in arrays}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(f"A bootstrap needs arrays with one row per case; got lengths {sorted(lengths)}. "
                         "Give equally many rows, at least one.")
    return lengths.pop()


def _check_count(k: int, n: int, level: float) -> None:
    if n < 1 or not 0 <= k <= n:
        raise InputError(f"An interval of a share needs 0 <= k <= n and n >= 1; got k = {k}, n = {n}. Count the cases again.")
    if not 0 < level < 1:
        raise InputError(f"An interval's level lies between 0 and 1; got {level}. Write 0.95 for 95 %.")
