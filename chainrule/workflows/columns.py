"""What a report says of the columns of a table: how each is read, its gaps, its values in two parts, and what the net loses without it.

Permutation importance: Breiman (2001), https://doi.org/10.1023/A:1010933404324, section 10
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from chainrule.core.errors import ChainruleError
from chainrule.core.schema import as_type
from chainrule.data.encode.features import Fitted
from chainrule.data.source import Data, Part
from chainrule.evaluate.intervals import of_mean
from chainrule.job.trained import Trained
from chainrule.report.facts import Column
from chainrule.runs.folder import Folder

COLUMNS = "columns.json"
MOST_COLUMNS = 100
MOST_ROWS = 4000          # of a part whose values are counted
MOST_RUN, FEWEST = 100_000, 30   # rows that are run in all, and of one column at the least
SHUFFLES = 3
BINS, MOST_WORDS = 10, 9
MISSING = 0.5             # from which on an indicator says that there is no value


@dataclass(frozen=True)
class Stored:
    """The columns of a run as its folder keeps them."""

    columns: Sequence[Column]


def columns_at(path: Path, trained: Trained, data: Data | None) -> Sequence[Column]:
    """Every column that a run's net reads; the folder keeps them where the data are at hand, so that a report tells them without."""
    folder = Folder(path)
    if data is None:
        record = folder.read_typed(COLUMNS, Stored)
        stored = Stored([]) if record is None else as_type(Stored, record)
        columns: Sequence[Column] = stored.columns
        return columns
    columns = columns_of(trained, data)
    described = json.loads(json.dumps(asdict(Stored(columns))))
    before = None
    with suppress(ChainruleError):
        before = folder.read_json(COLUMNS)
    if columns and before != described:
        folder.write_json(COLUMNS, described)
    return columns


def columns_of(trained: Trained, data: Data) -> list[Column]:
    """Every column that the net reads, those it needs most first; nothing where the data is no table in memory."""
    features = trained.encoder.inputs.features
    if features is None or not len(data.valid) or len(features.columns) > MOST_COLUMNS:
        return []
    train, other = (part.rows_at(0, min(len(part), MOST_ROWS)).x for part in (data.train, data.valid))
    if not isinstance(train, Tensor) or not isinstance(other, Tensor):
        return []
    lost = importances(trained, data.valid)
    several, at = [], 0
    for fitted, (centre, factor, _) in zip(features.columns, features.scale.double().tolist(), strict=True):
        own = [part[:, at : at + len(fitted.outputs)].double() for part in (train, other)]
        at += len(fitted.outputs)
        bins, shares = _spread(fitted, own, centre, factor)
        several.append(Column(fitted.name, fitted.kind, _gaps(fitted, own[0]), bins, shares[0], shares[1], lost.get(fitted.name)))
    return sorted(several, key=lambda one: -one.importance[0] if one.importance else 0.0)


@torch.no_grad()
def importances(trained: Trained, part: Part) -> dict[str, tuple[float, float, float]]:
    """By how much the mean loss of rows rises when a column is shuffled among them, with the interval over rows; by column.

    The rise of a row is its mean over several shuffles. Nothing where the run's loss has no value, or too few rows could be run.
    """
    features, loss = trained.encoder.inputs.features, trained.loss
    if features is None or loss is None or not isinstance(part.y, Tensor) or trained.views is not None:
        return {}
    n = min(len(part), MOST_RUN // (SHUFFLES * len(features.columns)))
    if n < FEWEST:
        return {}
    few = part.rows_at(0, n)
    x, y = few.x, few.y.to(trained.device)
    each = loss.each

    def costs(at: Tensor) -> Tensor:
        return each(trained.outputs(at).to(trained.device), y).double().reshape(n, -1).sum(1)

    usual = costs(x)
    generator = torch.Generator().manual_seed(trained.seed)
    lost, at = {}, 0
    for fitted in features.columns:
        own = slice(at, at + len(fitted.outputs))
        at = own.stop
        rises = torch.zeros_like(usual)
        for _ in range(SHUFFLES):
            shuffled = x.clone()
            shuffled[:, own] = x[torch.randperm(n, generator=generator)][:, own]
            rises += costs(shuffled) - usual
        rises = (rises / SHUFFLES).cpu()
        if bool(rises.isfinite().all()):
            ends = of_mean(rises)
            lost[fitted.name] = (float(rises.mean()), ends.low, ends.high)
    return lost


def _gaps(fitted: Fitted, own: Tensor) -> str:
    """The share of training rows without a value."""
    if not fitted.indicator:
        return "none"
    return f"{100 * float((own[:, -1] > MISSING).double().mean()):.1f} %"


def _spread(fitted: Fitted, own: list[Tensor], centre: float, factor: float) -> tuple[list[str], list[list[float]]]:
    """Names of bins, and the share of rows in each of them for both parts: of words the most frequent, of numbers even steps."""
    if fitted.kind == "text" or not fitted.outputs:
        return [], [[], []]
    if fitted.kind == "categorical":
        words = len(fitted.categories)
        shares = [part[:, :words].mean(0) for part in own]
        order = shares[0].argsort(descending=True)[:MOST_WORDS].tolist()
        names = [fitted.categories[i] for i in order]
        counted = [[float(part[i]) for i in order] for part in shares]
        rest = [max(0.0, 1 - sum(row)) for row in counted]
        return ([*names, "others"], [[*row, r] for row, r in zip(counted, rest, strict=True)]) if max(rest) > 1e-9 else (names, counted)
    values = [_numbers(fitted, part, centre, factor) for part in own]
    both = torch.cat(values)
    if not len(both):
        return [], [[], []]
    low, high = float(both.quantile(0.01)), float(both.quantile(0.99))
    if high <= low:
        return [f"{low:.4g}"], [[1.0], [1.0]]
    edges = torch.linspace(low, high, BINS + 1, dtype=torch.float64)
    names = [f"{a:.4g} to {b:.4g}" for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]
    return names, [(torch.histc(v.clamp(low, high), BINS, low, high) / max(len(v), 1)).tolist() for v in values]


def _numbers(fitted: Fitted, own: Tensor, centre: float, factor: float) -> Tensor:
    """The values of a column of numbers in its units, those that are there."""
    there = own[:, -1] <= MISSING if fitted.indicator else torch.ones(len(own), dtype=torch.bool)
    return own[there, 0] / factor + centre if factor else torch.full((int(there.sum()),), centre, dtype=torch.float64)
