"""How good a net's answers are: every measure with an interval, from outputs and targets as tensors.

Definitions are scikit-learn's (https://scikit-learn.org/stable/modules/model_evaluation.html): the Brier score (1950) is halved for
two classes; ROC areas and average precisions of several classes are one against the rest, and their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.measure import is_share
from chainrule.core.text import label
from chainrule.evaluate.calibration import ece, ece_interval
from chainrule.evaluate.intervals import Interval, influences, of_area, of_combined, of_log, of_mean, wilson
from chainrule.evaluate.result import Measure, Result

TOP = (2, 3, 5)
MEAN, AREA, COMBINED = "t of a mean, unskewed", "t of the logit", "Wilson, effective cases"  # how intervals are made
PRIOR = 2.0  # cases at the mean over classes that each class is given for its variance, so that no share of few cases has none

MOST_CLASSES = 1000   # of which each is ranked against the rest, and all are set against all
Derived = Mapping[str, tuple[str, Callable[[float], float]]]

def classification(probabilities: Tensor, y: Tensor, classes: Sequence[str], *, level: float = 0.95, seed: int = 0,
                   intervals: bool = True, opened: int = 0, decided: Tensor | None = None) -> Result:
    """Measures of class probabilities (n, c) against classes (n,); `decided` (n,) are the answers, where they are not the likeliest.

    Scores that are not probabilities are welcome: measures that need probabilities are then left out and `notes` says so.
    Raises InputError where a row is not finite, or shapes and classes do not belong together.

    >>> shares = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> result = classification(shares, torch.tensor([0, 1, 1]), ("no", "yes"))
    >>> result.errors, result.confusion
    (1, [[1, 0], [1, 1]])
    """
    scores, y = probabilities.detach().cpu(), y.detach().cpu().flatten()
    _check_classes(scores, y, classes)
    n, c = scores.shape
    names = [str(name) for name in classes]
    tiny = torch.finfo(torch.float64 if scores.dtype == torch.float64 else torch.float32).eps
    scores = scores.double()
    predicted = scores.argmax(1) if decided is None else decided.cpu()   # (n,)
    counts = Counts.of(y, predicted, c)
    right = int(counts.right.sum())
    measures = {"accuracy": _share(right, n, level)}
    own = scores.gather(1, y[:, None])                                   # (n, 1)
    before = (scores > own).sum(1) + ((scores == own) & (torch.arange(c) < y[:, None])).sum(1)
    for k in (k for k in TOP if c > k):
        measures[f"top_{k}"] = _share(int((before < k).sum()), n, level)

    notes = _per_class(counts, names, measures, level)
    others = _macro_measures(counts, level) | _ranking_measures(scores, y, names, level, notes)
    others |= _probability_measures(scores, y, tiny, level, seed if intervals else None, notes)
    measures |= others if intervals else _without(others)
    measures = {k: measures[k] for k in [k for k in measures if not k.endswith("]")] + [k for k in measures if k.endswith("]")]}
    return Result("classification", n, n - right, right / n, wilson(right, n, level), _confusion(y, predicted, c, notes), tuple(names),
                  measures,
                  opened, level, tuple(notes + _pointlike(measures)))


def _confusion(y: Tensor, predicted: Tensor, c: int, notes: list[str]) -> list[list[int]] | None:
    """Who is taken for whom, (c, c); None of so many classes that the table would fill the memory."""
    if c > MOST_CLASSES:
        notes.append(f"the table of who is taken for whom is left out: it would have {c:,} rows of as many counts.")
        return None
    table: list[list[int]] = torch.bincount(y * c + predicted, minlength=c * c).reshape(c, c).tolist()
    return table


def regression(predictions: Tensor, y: Tensor, targets: Sequence[str] = (), *, level: float = 0.95, intervals: bool = True,
               opened: int = 0) -> Result:
    """Measures of predictions (n, k) against targets (n, k), in the units of both; where k > 1 the mean over targets.

    RMSE is the root of that mean squared error. With `targets` named, each has its own measures as well.
    Raises InputError where shapes differ or a row is not finite.

    >>> result = regression(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]]), intervals=False)
    >>> result.measures["mse"].value, result.measures["mae"].value
    (2.0, 1.0)
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
    varied = (t != t[:1]).any(0)                                         # (k,)
    notes = []
    if not bool(varied.all()):
        what = ", ".join(str(targets[i]) if targets else str(i) for i in (~varied).nonzero().squeeze(1).tolist())
        notes.append(f"r2 is undefined where all targets are equal, and is left out for: {what}.")
    measures = _real_measures(p, t, varied, level)
    each = [_real_measures(p[:, i : i + 1], t[:, i : i + 1], varied[i : i + 1], level) for i in range(k if targets else 0)]
    for key in ("mse", "rmse", "mae", "r2"):
        measures |= {f"{key}[{name}]": own[key] for name, own in zip(targets, each, strict=False) if key in own}
    notes += _pointlike(measures)
    measures = measures if intervals else _without(measures)
    return Result("regression", n, None, None, None, None, (), measures, opened, level, tuple(notes), tuple(map(str, targets)))


def density(scores: Tensor, *, name: str = "log_likelihood", task: str = "density", level: float = 0.95, intervals: bool = True,
            opened: int = 0) -> Result:
    """The mean of a per-case score (n,): a log likelihood in nats, a reconstruction error; `name` says which."""
    scores = scores.detach().cpu().double().flatten()                    # (n,)
    if len(scores) == 0:
        raise InputError("A mean needs at least one case; got none. Give a part with rows.")
    _check_finite(scores[:, None], "scores")
    measures = {name: _mean(scores, level, -math.inf)}
    notes = _pointlike(measures)
    measures = measures if intervals else _without(measures)
    return Result(task, len(scores), None, None, None, None, (), measures, opened, level, tuple(notes))


def step_means(task: str, shares: dict[str, Tensor], *, weights: Tensor | None = None, derived: Derived | None = None,
               level: float = 0.95) -> Result:
    """Means over sequences of what is measured of their steps, each (n,), sequences counting by `weights` (n,), with intervals.

    `derived` names what follows from one of them by an increasing function, whose interval is that of the mean, mapped.
    """
    measures: dict[str, Measure] = {}
    n = len(next(iter(shares.values())))
    if n == 0:
        raise InputError("A mean needs at least one sequence; got none. Give a part with rows.")
    for name, each in shares.items():
        values = each.detach().cpu().double()
        _check_finite(values[:, None], "measures")
        ends = (0.0, 1.0) if is_share(name) else (-math.inf, math.inf)
        if weights is None and is_share(name) and bool(((values == 0) | (values == 1)).all()):
            measures[name] = _share(int(values.sum()), n, level)
            continue
        if weights is not None:                                          # a ratio of means: its value, and each sequence's influence on it
            counts = weights.double().cpu()
            value = (counts * values).sum() / counts.sum()
            values = value + counts * (values - value) / counts.mean()
        measures[name] = _mean(values, level, *ends)
    for name, (of, grow) in (derived or {}).items():
        m = measures[of]
        low, high = (None if end is None else grow(end) for end in (m.low, m.high))
        measures[name] = Measure(grow(m.value), low, high, m.method)
    return Result(task, n, None, None, None, None, (), measures, 0, level, tuple(_pointlike(measures)))


@torch.no_grad()
def quick_regression(predictions: Tensor, y: Tensor) -> dict[str, float]:
    """RMSE, MAE and R2 of predictions (n, k) against targets (n, k), with one host transfer; an undefined r2 is left out.

    Of several targets r2 comes first, since they may differ in their units.
    """
    p, t = (v.float().reshape(len(v), -1) for v in (predictions, y))
    squared = (p - t).square().mean(0)                                   # (k,)
    variance = (t - t.mean(0)).square().mean(0)
    r2 = torch.where(variance > 0, 1 - squared / variance, torch.nan).nanmean()
    values = torch.stack([squared.mean().sqrt(), (p - t).abs().mean(), r2]).tolist()
    named = {name: v for name, v in zip(("rmse", "mae", "r2"), values, strict=True) if v == v}
    return named if p.shape[1] == 1 or "r2" not in named else {"r2": named["r2"], **named}


def _real_measures(p: Tensor, t: Tensor, varied: Tensor, level: float) -> dict[str, Measure]:
    """MSE, its root, MAE and r2 of predictions (n, k); r2 over the targets that are `varied` (k,), where there are any."""
    off = p - t
    mse = _mean(off.square().mean(1), level)
    root = Measure(math.sqrt(mse.value), math.sqrt(mse.low or 0.0), math.sqrt(mse.high or 0.0), MEAN)
    measures = {"mse": mse, "rmse": root, "mae": _mean(off.abs().mean(1), level)}
    if not bool(varied.any()):
        return measures
    squared, around = off.square()[:, varied], (t - t.mean(0)).square()[:, varied]
    left = squared.mean(0) / around.mean(0)                              # (k,), the share of variance left unexplained
    unexplained = float(left.mean())
    without = _left_without(squared, t[:, varied])                       # (n,), that mean without each case
    if bool((without > 0).all()):                                        # the jackknife, whose errors are the safer ones for so few cases
        influence = (without.log().mean() - without.log()) * (len(t) - 1)
    else:
        influence = ((squared - left * around) / around.mean(0)).mean(1) / max(unexplained, 1e-300)
    ends = of_log(unexplained, influence, level)
    return measures | {"r2": Measure(1 - unexplained, 1 - ends.high, 1 - ends.low, "t of the log")}


def _left_without(squared: Tensor, t: Tensor) -> Tensor:
    """The mean over targets of the share of variance left unexplained when each case is left out, (n,); 0 where one is undefined.

    `squared` are squared errors (n, k) and `t` the targets (n, k).
    """
    n = len(t)
    if n < 3:
        return torch.zeros(n, dtype=t.dtype)
    around = t - t.mean(0)
    variance = (around.square().sum(0) - around.square() * n / (n - 1)) / (n - 1)   # (n, k)
    share = (squared.sum(0) - squared) / (n - 1) / variance
    defined = (variance > 1e-12 * around.square().mean(0)).all(1)
    return torch.where(defined, share.mean(1), 0.0)


@dataclass(frozen=True)
class Counts:
    """How often each class (c,) is true, is called, and both at once; and the wrong cases, their true and called classes (w,)."""

    cases: Tensor
    called: Tensor
    right: Tensor
    wrong: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, y: Tensor, predicted: Tensor, c: int) -> Counts:
        right = y == predicted
        cases, called, both = (torch.bincount(which, minlength=c) for which in (y, predicted, y[right]))
        return cls(cases, called, both, (y[~right], predicted[~right]))


def _macro_measures(counts: Counts, level: float) -> dict[str, Measure]:
    """The means of precision, recall and F1 over the classes that occur or are called; where undefined they count 0.

    That is scikit-learn's definition. Precisions of different classes are independent given how often each is called, recalls given how
    often each occurs; two F1 share the cases of the one that are called the other.
    """
    present = counts.cases + counts.called > 0
    cases, called, tp = (of[present].double() for of in (counts.cases, counts.called, counts.right))         # (c,)
    measures = {}
    for key, of in (("macro_precision", called), ("macro_recall", cases)):
        value = float((tp / of.clamp(min=1)).mean())
        share = (tp + PRIOR * value) / (of + PRIOR)                      # (c,), none 0 or 1 unless all are
        variances = torch.where(of > 0, share * (1 - share) / of.clamp(min=1), 0.0) / len(of) ** 2
        ends = of_combined(value, variances, of - 1, len(of) ** 2 / float((1 / of[of > 0]).sum()), level)
        measures[key] = _between(value, ends, COMBINED, 0.0, 1.0)
    both = cases + called
    value = float((2 * tp / both).mean())
    f1 = (2 * tp + 2 * PRIOR * value) / (both + 2 * PRIOR)
    each = torch.zeros(len(present), dtype=torch.float64)                # (classes,), 0 for those that do not occur
    each[present] = f1 / both
    shared, (true, answered) = torch.zeros_like(each), counts.wrong
    shared.index_add_(0, true, each[answered]).index_add_(0, answered, each[true])
    variances = (f1 * (1 - f1) * (2 - f1) / both + (each * shared)[present]) / len(both) ** 2
    ends = of_combined(value, variances, both / 2 - 1, len(both) ** 2 / float((2 / both).sum()), level)
    return measures | {"macro_f1": _between(value, ends, COMBINED, 0.0, 1.0)}


def _per_class(tally: Counts, names: list[str], measures: dict[str, Measure], level: float) -> list[str]:
    """Adds precision, recall and F1 of each class where defined; returns sentences on where they are not.

    F1 = 2 q / (1 + q) with q = tp / (tp + fp + fn), which is a share of counted cases: its interval is that of q, carried over.
    """
    cases, called, tp = tally.cases.tolist(), tally.called.tolist(), tally.right.tolist()
    for i, name in enumerate(names):
        if called[i]:
            measures[f"precision[{name}]"] = _share(tp[i], called[i], level)
        if cases[i]:
            measures[f"recall[{name}]"] = _share(tp[i], cases[i], level)
        if cases[i] + called[i]:
            value, low, high = (2 * q / (1 + q) for q in _ends(tp[i], cases[i] + called[i] - tp[i], level))
            measures[f"f1[{name}]"] = Measure(value, low, high, "Wilson")
    notes = []
    for what, counts, others, measure in (("no case is", cases, called, "recall"), ("no case is called", called, cases, "precision")):
        lacking = [name for name, k, other in zip(names, counts, others, strict=True) if k == 0 and other]
        if lacking:
            notes.append(f"{what} {_listed(lacking)}: {measure} is undefined there and left out; in the mean over classes it counts 0.")
    absent = [name for name, k, other in zip(names, cases, called, strict=True) if k == other == 0]
    if absent:
        notes.append(f"no case is, or is called, {_listed(absent)}: recall is undefined there, as all is, and left out, also of the means "
                     "over classes.")
    return notes


def _ranking_measures(scores: Tensor, y: Tensor, names: list[str], level: float, notes: list[str]) -> dict[str, Measure]:
    """ROC area and average precision of each class against the rest (of the second class where there are two), and means."""
    n, c = scores.shape
    if c > MOST_CLASSES:
        notes.append(f"ROC area and average precision of {c:,} classes, each against the rest, are left out.")
        return {}
    cases = torch.bincount(y, minlength=c).tolist()
    ranked = [i for i in (range(c) if c > 2 else [1]) if 0 < cases[i] < n]
    skipped = [name for i, name in enumerate(names) if not 0 < cases[i] < n]
    if skipped:
        notes.append(f"ROC area and average precision need cases inside and outside a class, and are left out for {_listed(skipped)}.")
    if not ranked:
        return {}
    keys = ("roc_auc", "average_precision")
    each: dict[str, Measure] = {}
    values, influence, scarcity = torch.zeros(2, dtype=torch.float64), torch.zeros(2, n, dtype=torch.float64), 0.0
    for i in ranked:
        group, size = _rank_groups(scores[:, i] - (0 if c > 2 else scores[:, 0]), y == i)
        own, moved = influences(lambda w, group=group, size=size: _areas(group, size, w), n)  # type: ignore[misc]
        fewest = min(cases[i], n - cases[i])
        each |= {f"{key}[{names[i]}]": area(float(own[j]), moved[j], fewest, level) for j, key in enumerate(keys)}
        values, influence, scarcity = values + own, influence + moved, scarcity + 1 / fewest
    k = len(ranked)
    means = {key: area(float(values[j]) / k, influence[j] / k, k * k / scarcity, level) for j, key in enumerate(keys)}
    return means | each if c > 2 else means


def _rank_groups(scores: Tensor, positive: Tensor) -> tuple[Tensor, int]:
    """Group numbers (n,), even for negatives, odd for positives, by falling score: equal scores share a group, and so do
    neighbouring scores that only negatives have, because no area depends on the order among these. Returns also the number of groups.
    """
    order = scores.argsort(descending=True, stable=True)
    tie = torch.cat([torch.zeros(1, dtype=torch.long), (scores[order].diff() != 0).long().cumsum(0)])  # (n,)
    mixed = torch.zeros(int(tie[-1]) + 1, dtype=torch.long).index_add_(0, tie, positive[order].long()) > 0
    starts = mixed.clone()
    starts[1:] |= mixed[:-1]
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
    return torch.stack([roc, precision])


def _probability_measures(scores: Tensor, y: Tensor, tiny: float, level: float, seed: int | None,
                          notes: list[str]) -> dict[str, Measure]:
    """Log loss, Brier score and expected calibration error; the interval of the last, which takes time, only where a seed is given."""
    c = scores.shape[1]
    if bool((scores < 0).any()) or float((scores.sum(1) - 1).abs().max()) > 1e-2:
        notes.append("The outputs are not probabilities: log loss, Brier score and calibration error are left out.")
        return {}
    own = scores.gather(1, y[:, None]).squeeze(1)
    brier = (scores.square().sum(1) - 2 * own + 1) / (1 if c > 2 else 2)  # (n,)
    error = ece(scores, y)
    ends = Interval(error, error, level) if seed is None else ece_interval(scores, y, level=level, seed=seed)
    return {"log_loss": _mean(-(own.clamp(tiny, 1 - tiny)).log(), level), "brier": _mean(brier, level, 0.0, 2.0 if c > 2 else 1.0),
            "ece": _between(error, ends, "simulated nets of that error", 0.0, 1.0)}


def _mean(values: Tensor, level: float, least: float = 0.0, most: float = math.inf) -> Measure:
    """The mean of values (n,) that cannot lie outside [least, most]."""
    return _between(float(values.mean()), of_mean(values, level), MEAN, least, most)


def area(value: float, influence: Tensor, fewest: float, level: float) -> Measure:
    """A value from 0 to 1 that follows from all cases, with the interval that their influences (n,) on it give."""
    return _between(value, of_area(value, influence, fewest, level), AREA, 0.0, 1.0)


def _between(value: float, ends: Interval, method: str, least: float, most: float) -> Measure:
    return Measure(value, min(value, max(least, ends.low)), max(value, min(most, ends.high)), method)


def _without(measures: dict[str, Measure]) -> dict[str, Measure]:
    return {key: Measure(m.value, None, None, "without interval") for key, m in measures.items()}


def _ends(k: int, n: int, level: float) -> tuple[float, float, float]:
    ends = wilson(k, n, level)
    return k / n, ends.low, ends.high


def _share(k: int, n: int, level: float) -> Measure:
    return Measure(*_ends(k, n, level), "Wilson")


def _pointlike(measures: dict[str, Measure]) -> list[str]:
    names = [k for k, m in measures.items() if m.low == m.high and m.low is not None]
    if not names:
        return []
    return [f"{_listed(names)}: all cases are alike, so the interval has no width; that is not certainty."]


def _listed(names: list[str], most: int = 6) -> str:
    return ", ".join(map(label, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")


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
