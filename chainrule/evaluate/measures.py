"""How good a net's answers are: every measure with an interval, from outputs and targets as tensors.

Definitions are scikit-learn's (https://scikit-learn.org/stable/modules/model_evaluation.html): the Brier score (1950) is halved for
two classes; ROC areas and average precisions of several classes are one against the rest, and their mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.evaluate.calibration import BINS, bin_numbers
from chainrule.evaluate.intervals import bootstrap_weighted, enough_repeats, spread, wilson
from chainrule.evaluate.result import Measure, Result

TOP = (2, 3, 5)
Derived = Mapping[str, tuple[str, Callable[[float], float]]]
Statistics = Callable[[Tensor], Tensor]  # how often each case counts (n, b) -> (m, b)


def classification(probabilities: Tensor, y: Tensor, classes: Sequence[str], *, level: float = 0.95, seed: int = 0,
                   intervals: bool = True, opened: int = 0) -> Result:
    """Measures of class probabilities (n, c) against classes (n,).

    Scores that are not probabilities are welcome: measures that need probabilities are then left out and `notes` says so.
    Raises InputError where a row is not finite, or shapes and classes do not belong together.
    """
    scores, y = probabilities.detach().cpu(), y.detach().cpu().flatten()
    _check_classes(scores, y, classes)
    n, c = scores.shape
    names = [str(name) for name in classes]
    tiny = torch.finfo(torch.float64 if scores.dtype == torch.float64 else torch.float32).eps
    scores = scores.double()
    predicted = scores.argmax(1)                                         # (n,)
    confusion = torch.bincount(y * c + predicted, minlength=c * c).reshape(c, c)
    right = int(confusion.trace())
    measures = {"accuracy": _share(right, n, level)}
    own = scores.gather(1, y[:, None])                                   # (n, 1)
    before = (scores > own).sum(1) + ((scores == own) & (torch.arange(c) < y[:, None])).sum(1)
    for k in (k for k in TOP if c > k):
        measures[f"top_{k}"] = _share(int((before < k).sum()), n, level)

    keys: list[str] = []
    statistics: list[Statistics] = []
    notes = _per_class(confusion, names, measures, level)
    for part in (_macro_measures(y, predicted, c), _ranking_measures(scores, y, names, notes),
                 _probability_measures(scores, y, predicted, tiny, notes)):
        keys += part[0]
        statistics += part[1]
    measures |= _measured(keys, statistics, n, n * c, level, seed, intervals)
    measures = {k: measures[k] for k in [k for k in measures if not k.endswith("]")] + [k for k in measures if k.endswith("]")]}
    return Result("classification", n, n - right, right / n, wilson(right, n, level), confusion.tolist(), tuple(names), measures,
                  opened, level, tuple(notes + _pointlike(measures)))


def regression(predictions: Tensor, y: Tensor, targets: Sequence[str] = (), *, level: float = 0.95, seed: int = 0,
               intervals: bool = True, opened: int = 0) -> Result:
    """Measures of predictions (n, k) against targets (n, k), in the units of both; where k > 1 the mean over targets.

    RMSE is the root of that mean squared error. With `targets` named, each has its own measures as well.
    Raises InputError where shapes differ or a row is not finite.
    """
    p, t = predictions.detach().cpu().double(), y.detach().cpu().double()
    if len(p) != len(t) or p.numel() != t.numel() or len(t) == 0:
        raise InputError(f"Regression needs predictions and targets of one shape; got {tuple(p.shape)} and {tuple(t.shape)}. "
                         "Give the net as many outputs as there are target columns.")
    n = len(t)
    p, t = p.reshape(n, -1), t.reshape(n, -1)                            # (n, k)
    _check_finite(p, "predictions")
    _check_finite(t, "targets")
    k = t.shape[1]
    if targets and len(targets) != k:
        raise InputError(f"Regression needs a name for each of {k} targets; got {len(targets)}: {', '.join(targets)}. "
                         "Name them all or none.")
    off = p - t
    centred = t - t.mean(0)
    columns = torch.cat([off.square(), off.abs(), centred, centred.square()], 1).T  # (4k, n)
    scale = centred.square().mean(0)[:, None]                            # (k, 1)
    varied = scale.squeeze(1) > 0                                        # (k,)

    def statistics(w: Tensor) -> Tensor:
        squared, absolute, mean, second = (columns @ w.double() / n).reshape(4, k, -1)
        variance = second - mean.square()
        r2 = torch.where(variance > 1e-12 * scale, 1 - squared / variance, torch.nan)[varied]
        whole = [squared.mean(0), squared.mean(0).sqrt(), absolute.mean(0), *([r2.nanmean(0)] if len(r2) else [])]
        each = [squared, squared.sqrt(), absolute, r2] if targets else []
        return torch.cat([torch.stack(whole), *each])

    notes = []
    if not bool(varied.all()):
        what = ", ".join(str(targets[i]) if targets else str(i) for i in (~varied).nonzero().squeeze(1).tolist())
        notes.append(f"r2 is undefined where all targets are equal, and is left out for: {what}.")
    keys = ["mse", "rmse", "mae", *(["r2"] if bool(varied.any()) else [])]
    if targets:
        keys += [f"{m}[{name}]" for m in ("mse", "rmse", "mae") for name in targets]
        keys += [f"r2[{name}]" for name, v in zip(targets, varied.tolist(), strict=True) if v]
    measures = _measured(keys, [statistics], n, n * k, level, seed, intervals)
    notes += _pointlike(measures)
    return Result("regression", n, None, None, None, None, (), measures, opened, level, tuple(notes), tuple(map(str, targets)))


def density(scores: Tensor, *, name: str = "log_likelihood", level: float = 0.95, seed: int = 0, intervals: bool = True,
            opened: int = 0) -> Result:
    """The mean of a per-case score (n,): a log likelihood in nats, a reconstruction error; `name` says which."""
    scores = scores.detach().cpu().double().flatten()                    # (n,)
    if len(scores) == 0:
        raise InputError("A mean needs at least one case; got none. Give a part with rows.")
    _check_finite(scores[:, None], "scores")
    measures = _measured([name], [lambda w: (scores @ w.double() / len(scores))[None]], len(scores), len(scores), level, seed, intervals)
    return Result("density", len(scores), None, None, None, None, (), measures, opened, level, tuple(_pointlike(measures)))


def step_means(task: str, shares: dict[str, Tensor], *, weights: Tensor | None = None, derived: Derived | None = None, level: float = 0.95,
               seed: int = 0) -> Result:
    """Means over sequences of what is measured of their steps, each (n,), sequences counting by `weights` (n,), with bootstrap intervals.

    `derived` names what follows from one of them by an increasing function, whose interval is that of the mean, mapped.
    """
    names = list(shares)
    values = torch.stack([shares[name].detach().cpu().double() for name in names])       # (m, n)
    n = values.shape[1]
    if n == 0:
        raise InputError("A mean needs at least one sequence; got none. Give a part with rows.")
    _check_finite(values.T, "measures")
    counts = torch.ones(n, dtype=torch.float64) if weights is None else weights.double().cpu()

    def statistics(w: Tensor) -> Tensor:
        own = counts[:, None] * w.double()                                               # (n, b)
        return values @ own / own.sum(0)

    measures = _measured(names, [statistics], n, n, level, seed, True)
    for name, (of, grow) in (derived or {}).items():
        m = measures[of]
        low, high = (None if end is None else grow(end) for end in (m.low, m.high))
        measures[name] = Measure(grow(m.value), low, high, m.method)
    return Result(task, n, None, None, None, None, (), measures, 0, level, tuple(_pointlike(measures)))


@torch.no_grad()
def quick_regression(predictions: Tensor, y: Tensor) -> dict[str, float]:
    """RMSE, MAE and R2 of predictions (n, k) against targets (n, k), with one host transfer; an undefined r2 is left out."""
    p, t = (v.float().reshape(len(v), -1) for v in (predictions, y))
    squared = (p - t).square().mean(0)                                   # (k,)
    variance = (t - t.mean(0)).square().mean(0)
    r2 = torch.where(variance > 0, 1 - squared / variance, torch.nan).nanmean()
    values = torch.stack([squared.mean().sqrt(), (p - t).abs().mean(), r2]).tolist()
    return {name: v for name, v in zip(("rmse", "mae", "r2"), values, strict=True) if v == v}


def _macro_measures(y: Tensor, predicted: Tensor, c: int) -> tuple[list[str], list[Statistics]]:
    """The means over classes of precision, recall and F1, each over the classes where it is defined."""
    hit = y == predicted

    def statistics(w: Tensor) -> Tensor:
        zero = w.new_zeros(c, w.shape[1])
        cases, called = zero.index_add(0, y, w), zero.index_add(0, predicted, w)  # (c, b)
        tp = zero.index_add(0, y[hit], w[hit])
        return torch.stack([(tp / called).nanmean(0), (tp / cases).nanmean(0), (2 * tp / (cases + called)).nanmean(0)])

    return ["macro_precision", "macro_recall", "macro_f1"], [statistics]


def _per_class(confusion: Tensor, names: list[str], measures: dict[str, Measure], level: float) -> list[str]:
    """Adds precision, recall and F1 of each class where defined; returns sentences on where they are not.

    F1 = 2 q / (1 + q) with q = tp / (tp + fp + fn), which is a share of counted cases: its interval is that of q, carried over.
    """
    cases, called, tp = confusion.sum(1).tolist(), confusion.sum(0).tolist(), confusion.diagonal().tolist()
    for i, name in enumerate(names):
        if called[i]:
            measures[f"precision[{name}]"] = _share(tp[i], called[i], level)
        if cases[i]:
            measures[f"recall[{name}]"] = _share(tp[i], cases[i], level)
        if cases[i] + called[i]:
            value, low, high = (2 * q / (1 + q) for q in _ends(tp[i], cases[i] + called[i] - tp[i], level))
            measures[f"f1[{name}]"] = Measure(value, low, high, "Wilson")
    notes = []
    for what, counts, measure in (("no case is", cases, "recall"), ("no case is called", called, "precision")):
        lacking = [name for name, k in zip(names, counts, strict=True) if k == 0]
        if lacking:
            notes.append(f"{what} {_listed(lacking)}: {measure} is undefined there and left out, also of the mean over classes.")
    return notes


def _ranking_measures(scores: Tensor, y: Tensor, names: list[str], notes: list[str]) -> tuple[list[str], list[Statistics]]:
    """ROC area and average precision of each class against the rest (of the second class where there are two), and means."""
    n, c = scores.shape
    cases = torch.bincount(y, minlength=c).tolist()
    ranked = [i for i in (range(c) if c > 2 else [1]) if 0 < cases[i] < n]
    skipped = [name for i, name in enumerate(names) if not 0 < cases[i] < n]
    if skipped:
        notes.append(f"ROC area and average precision need cases inside and outside a class, and are left out for {_listed(skipped)}.")
    if not ranked:
        return [], []
    groups = [_rank_groups(scores[:, i] - (0 if c > 2 else scores[:, 0]), y == i) for i in ranked]

    def statistics(w: Tensor) -> Tensor:
        both = torch.stack([_areas(group, size, w) for group, size in groups], 1)  # (2, ranked, b)
        return torch.cat([both.nanmean(1), *(both if c > 2 else ())])

    each = [f"{m}[{names[i]}]" for m in ("roc_auc", "average_precision") for i in ranked] if c > 2 else []
    return ["roc_auc", "average_precision", *each], [statistics]


def _rank_groups(scores: Tensor, positive: Tensor) -> tuple[Tensor, int]:
    """Group numbers (n,), even for negatives, odd for positives, by falling score: equal scores share a group, and so do
    neighbouring scores that only negatives have, because no area depends on the order among these. Returns also the number of groups.
    """
    order = scores.argsort(descending=True, stable=True)
    tie = torch.cat([torch.zeros(1, dtype=torch.long), (scores[order].diff() != 0).long().cumsum(0)])  # (n,)
    held = torch.zeros(int(tie[-1]) + 1, dtype=torch.long).index_add_(0, tie, positive[order].long()) > 0
    starts = held.clone()
    starts[1:] |= held[:-1]
    starts[0] = False
    group = starts.long().cumsum(0)                                      # (ties,)
    numbers = torch.empty_like(order)
    numbers[order] = 2 * group[tie] + positive[order].long()
    return numbers, int(group[-1]) + 1


def _areas(group: Tensor, size: int, w: Tensor) -> Tensor:
    """Area under the ROC curve and average precision (2, b) of cases that count `w` times each (n, b)."""
    count = w.new_zeros(2 * size, w.shape[1]).index_add_(0, group, w).reshape(size, 2, -1)
    negative, positive = count.unbind(1)                                 # (size, b), by falling score
    fp, tp = negative.cumsum(0), positive.cumsum(0)
    positives, negatives = tp[-1], fp[-1]
    roc = (positive * (negatives - fp + negative / 2)).sum(0) / (positives * negatives)
    precision = (positive * tp / (tp + fp).clamp(min=1)).sum(0) / positives
    return torch.stack([roc, torch.where(negatives > 0, precision, torch.nan)])


def _probability_measures(scores: Tensor, y: Tensor, predicted: Tensor, tiny: float,
                          notes: list[str]) -> tuple[list[str], list[Statistics]]:
    """Log loss, Brier score and expected calibration error."""
    n, c = scores.shape
    if bool((scores < 0).any()) or float((scores.sum(1) - 1).abs().max()) > 1e-2:
        notes.append("The outputs are not probabilities: log loss, Brier score and calibration error are left out.")
        return [], []
    own = scores.gather(1, y[:, None]).squeeze(1)
    brier = (scores.square().sum(1) - 2 * own + 1) / (1 if c > 2 else 2)
    columns = torch.stack([-(own.clamp(tiny, 1 - tiny)).log(), brier])   # (2, n)
    confidence = scores.amax(1)
    over, bins = (predicted == y).double() - confidence, bin_numbers(confidence)

    def means(w: Tensor) -> Tensor:
        gap = w.new_zeros(BINS, w.shape[1]).index_add_(0, bins, w * over.to(w.dtype)[:, None])
        return torch.cat([columns.to(w.dtype) @ w, gap.abs().sum(0, keepdim=True)]) / n

    return ["log_loss", "brier", "ece"], [means]


def _measured(keys: list[str], statistics: list[Statistics], n: int, numbers: int, level: float, seed: int,
              intervals: bool) -> dict[str, Measure]:
    """Values at the sample itself, where all must be defined, and their intervals from resamples that they share."""

    def at(w: Tensor) -> Tensor:
        return torch.cat([f(w) for f in statistics])

    values = at(torch.ones(n, 1, dtype=torch.float64)).squeeze(1).tolist()
    if not intervals:
        return {key: Measure(v, None, None, "without interval") for key, v in zip(keys, values, strict=True)}
    repeats = enough_repeats(numbers)
    drawn = bootstrap_weighted(at, n, seed=seed, repeats=repeats, width=2)
    found = {}
    for key, value, row in zip(keys, values, drawn, strict=True):
        low, high = spread(row, level)
        method = f"bootstrap, {repeats:,} resamples"
        if key == "ece":  # resampling adds noise to every bin, so it errs upwards as much as the sample itself does: reflect
            low, high, method = min(value, max(0.0, 2 * value - high)), max(value, min(1.0, 2 * value - low)), method + ", reflected"
        found[key] = Measure(value, min(low, value), max(high, value), method)
    return found


def _ends(k: int, n: int, level: float) -> tuple[float, float, float]:
    ends = wilson(k, n, level)
    return k / n, ends.low, ends.high


def _share(k: int, n: int, level: float) -> Measure:
    return Measure(*_ends(k, n, level), "Wilson")


def _pointlike(measures: dict[str, Measure]) -> list[str]:
    names = [k for k, m in measures.items() if m.low == m.high and m.low is not None]
    if not names:
        return []
    return [f"{_listed(names)}: no resample differed, so the interval has no width; that is not certainty."]


def _listed(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _check_finite(values: Tensor, what: str) -> None:
    bad = (~values.isfinite()).any(1).nonzero().squeeze(1)
    if len(bad):
        raise InputError(f"Measures need finite {what}; row {int(bad[0])} is not ({len(bad)} of {len(values)} rows). "
                         "Lower the rate or look for NaN in the inputs.")


def _check_classes(scores: Tensor, y: Tensor, classes: Sequence[str]) -> None:
    if scores.dim() != 2 or len(scores) != len(y) or len(y) == 0 or scores.shape[1] != len(classes) or len(classes) < 2:
        raise InputError(f"Classification needs outputs (n, {len(classes)}), one column for each of at least two classes, and n classes; "
                         f"got {tuple(scores.shape)} and {tuple(y.shape)}. Give the net one output per class.")
    if len(set(map(str, classes))) < len(classes):
        raise InputError(f"Classes need different names; got {', '.join(map(str, classes))}. Rename one.")
    if y.is_floating_point() or bool((y < 0).any()) or bool((y >= len(classes)).any()):
        raise InputError(f"Classification needs whole class numbers from 0 to {len(classes) - 1}; got {y.dtype} from {y.min()} to "
                         f"{y.max()}. Encode the targets first.")
    _check_finite(scores, "outputs")
