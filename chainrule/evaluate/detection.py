"""How good boxes are: which of them are right, how much they share with the true ones, and precision as recall grows.

Everingham, Van Gool, Williams, Winn & Zisserman (2010), https://doi.org/10.1007/s11263-009-0275-4: an answer is right where it shares
half of what it and the true box of its class that is nearest cover, and is the surest to claim that box. Average precision is the area
below the precision that can be had at each recall or more. Pictures are the cases of which intervals are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.core.boxes import intersection_over_union
from chainrule.core.errors import InputError
from chainrule.evaluate.intervals import influences
from chainrule.evaluate.measures import area
from chainrule.evaluate.result import Result

RIGHT = 0.5      # of what two boxes cover, what they must share
SURE = 0.5       # a confidence from which on a box counts as answered; average precision looks at all
SAME = 0.5       # two answers of one class that share as much are about one object


def suppressed(corners: Tensor, confidences: Tensor, labels: Tensor, most: int, overlap: float = SAME) -> Tensor:
    """The boxes that are left where a surer one of their class is not in nearly the same place, the surest first: (n, m, 6), m <= `most`.

    Of candidates (n, k, 4) with confidences (n, k), 0 for none, and class numbers (n, k). A row is left, top, right, bottom, class and
    confidence; class -1 and confidence 0 fill up. Non-maximum suppression: Felzenszwalb, Girshick, McAllester & Ramanan (2010),
    https://doi.org/10.1109/TPAMI.2009.167, section 7.2.
    """
    left, rows = confidences.clone(), torch.arange(len(corners), device=corners.device)
    answers = []
    for _ in range(min(most, corners.shape[1])):
        confidence, at = left.max(1)                                                         # (n,)
        if not bool((confidence > 0).any()):
            break
        box, label = corners[rows, at], labels[rows, at]
        answers.append(torch.cat([box, torch.where(confidence > 0, label, -1)[:, None].to(box), confidence[:, None]], 1))
        covered = (intersection_over_union(box[:, None], corners) > overlap) & (labels == label[:, None])
        covered[rows, at] = True
        left = torch.where(covered, 0.0, left)
    if not answers:
        return corners.new_tensor([0.0, 0, 0, 0, -1, 0]).expand(len(corners), 1, 6)
    return torch.stack(answers, 1)


@dataclass(frozen=True)
class Matches:
    """Answers beside true boxes: which of the former are `right` (n, m), which of the latter are `claimed` (n, k) by one that is sure, and
    the greatest `overlap` (n, k) of each with a sure answer of its class.
    """

    right: Tensor
    claimed: Tensor
    overlap: Tensor


def matched(answer: Tensor, truth: Tensor) -> Matches:
    """Which answers (n, m, 6), the surest of each picture first, are right beside true boxes (n, k, 5): edges and class, -1 for none."""
    same = (answer[:, :, None, 4] == truth[:, None, :, 4]) & (truth[:, None, :, 4] >= 0)      # (n, m, k)
    shares = torch.where(same, intersection_over_union(answer[:, :, None, :4], truth[:, None, :, :4]), 0.0)
    rows = torch.arange(len(answer))
    taken = torch.zeros(truth.shape[:2], dtype=torch.bool)                                   # (n, k)
    sure = answer[..., 5] >= SURE
    right, claimed = torch.zeros(answer.shape[:2], dtype=torch.bool), taken.clone()
    for number in range(answer.shape[1]):
        best, at = shares[:, number].max(1)                                                  # (n,)
        hit = (best >= RIGHT) & ~taken[rows, at]
        right[:, number] = hit
        taken[rows[hit], at[hit]] = True
        certain = hit & sure[:, number]
        claimed[rows[certain], at[certain]] = True
    return Matches(right, claimed, torch.where(sure[:, :, None], shares, 0.0).amax(1))


def average_precision(right: Tensor, weights: Tensor, positives: Tensor) -> Tensor:
    """The area below the precision that can be had at each recall or more, (b,), of answers in falling order of confidence.

    `right` (m,) are 0 or 1, each answer counts by `weights` (m, b), and `positives` (b,) is how many boxes there are to be found.
    """
    hits = (right[:, None] * weights).cumsum(0)                                              # (m, b)
    precision = hits / weights.cumsum(0).clamp(min=1e-12)
    attainable = precision.flip(0).cummax(0).values.flip(0)
    return (attainable * right[:, None] * weights).sum(0) / positives


Statistic = Callable[[Tensor], Tensor]       # of how often each picture counts, (n, 1), to a value (1,)


def statistics(answer: Tensor, truth: Tensor, classes: int) -> dict[str, Statistic]:
    """The measures of answers (n, m, 6) to true boxes (n, k, 5), each a function of how often pictures count.

    `iou`, `recall` and `precision` are of boxes, `average_precision` the mean over the classes that are there; those of a class are called
    by its number. Without true boxes there are none of these but `precision`, which counts 0 where nothing is answered.
    """
    matches = matched(answer, truth)
    present, sure = truth[..., 4] >= 0, answer[..., 5] >= SURE
    boxes, answered = (each.double().sum(1) for each in (present, sure))                      # (n,)
    shared = torch.where(present, matches.overlap.double(), 0.0).sum(1)
    hits = (matches.right & sure).double().sum(1)
    by_name: dict[str, Statistic] = {}

    def ratio(name: str, above: Tensor, below: Tensor) -> None:
        by_name[name] = lambda w: (w * above[:, None]).sum(0) / (w * below[:, None]).sum(0).clamp(min=1e-12)

    if float(boxes.sum()):
        ratio("iou", shared, boxes)
    ratio("precision", hits, answered)
    if float(boxes.sum()):
        ratio("recall", matches.claimed.double().sum(1), boxes)
    picture = torch.arange(len(answer))[:, None].expand(answer.shape[:2])
    each: list[Statistic] = []
    for label in range(classes):
        count = (truth[..., 4] == label).double().sum(1)                                     # (n,)
        if not float(count.sum()):
            continue
        chosen = answer[..., 4] == label
        order = answer[..., 5][chosen].argsort(descending=True, stable=True)
        right, where = matches.right[chosen][order].double(), picture[chosen][order]
        each.append(lambda w, right=right, where=where, count=count:             # type: ignore[misc]
                    average_precision(right, w[where], (w * count[:, None]).sum(0)))
        by_name[f"average_precision[{label}]"] = each[-1]
    if each:
        by_name["average_precision"] = lambda w: torch.stack([one(w) for one in each]).mean(0)
    return by_name


def quick(answer: Tensor, truth: Tensor, classes: int) -> dict[str, float]:
    """The measures without intervals."""
    once = torch.ones(len(answer), 1, dtype=torch.float64)
    return {name: float(f(once)) for name, f in statistics(answer, truth, classes).items() if not name.endswith("]")}


def detection(answer: Tensor, truth: Tensor, classes: Sequence[str], *, task: str = "detection", level: float = 0.95) -> Result:
    """Measures of answered boxes (n, m, 6) against true ones (n, k, 5), with intervals over pictures. Raises InputError without boxes."""
    n, by_name = len(answer), statistics(answer, truth, len(classes))
    if "iou" not in by_name:
        raise InputError("Measures of boxes need at least one true box; got none. Give pictures with marked objects.")
    names = sorted(by_name, key=lambda name: ("[" in name, list(by_name).index(name)))
    values, influence = influences(lambda w: torch.stack([by_name[name](w) for name in names]), n)
    measures, shown = {}, []
    for name, value, moved in zip(names, values.tolist(), influence, strict=True):
        head, bracket, number = name.partition("[")
        label = classes[int(number[:-1])] if bracket else ""
        shown += [label] if bracket else []
        measures[f"{head}[{label}]" if bracket else head] = area(value, moved, n, level)
    certain = bool((answer[..., 5] >= SURE).any())
    notes = () if certain else (f"no box is answered with a confidence of {SURE:g} or more: precision counts 0.",)
    return Result(task, n, None, None, None, None, (), measures, 0, level, notes, tuple(shown))
