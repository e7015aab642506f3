"""How good maps are: what each class shares of its true and its answered pixels, and the share of pixels right.

Everingham, Van Gool, Williams, Winn & Zisserman (2010), https://doi.org/10.1007/s11263-009-0275-4. Pictures are the cases: pixels of one
are alike, so intervals follow from the influence of each picture, which the bootstrap over pictures would draw from.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.evaluate.intervals import influences
from chainrule.evaluate.measures import area
from chainrule.evaluate.result import Result


def confusions(answered: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Counts of pixels (n, classes, classes), true classes by answered ones, of class numbers (n, h, w) and (n, h, w).

    >>> confusions(torch.tensor([[[0, 1], [1, 1]]]), torch.tensor([[[0, 0], [1, 1]]]), 2).tolist()
    [[[1, 1], [0, 2]]]
    """
    n = len(truth)
    picture = torch.arange(n, device=truth.device)[:, None, None]
    at = (picture * classes + truth.long()) * classes + answered.long()                  # (n, h, w)
    return torch.bincount(at.flatten(), minlength=n * classes**2).view(n, classes, classes)


def shares(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union of each class (classes,), NaN of one that is nowhere, and the share of pixels right, a scalar.

    `counts` (classes, classes) are those of all pictures together.
    """
    own = counts.diagonal(dim1=-2, dim2=-1)
    covered = counts.sum(-1) + counts.sum(-2) - own
    return own / torch.where(covered > 0, covered, torch.nan), own.sum() / counts.sum()


def segmentation(counts: Tensor, classes: Sequence[str], *, task: str = "segmentation", level: float = 0.95) -> Result:
    """Measures of counts (n, classes, classes) of the pixels of each picture, with intervals over pictures.

    `iou` is the mean over the classes that are anywhere, true or answered. Raises InputError without pictures.
    """
    n = len(counts)
    if n == 0:
        raise InputError("Measures of maps need at least one picture; got none. Give a part with rows.")
    each = counts.detach().cpu().double()
    present = [i for i in range(len(classes)) if float(each.sum(0)[i].sum() + each.sum(0)[:, i].sum())]

    def statistics(w: Tensor) -> Tensor:                                                 # (n, 1) -> (2 + present, 1)
        own, right = shares((each * w[:, :, None]).sum(0))
        return torch.cat([own[present].mean()[None], right[None], own[present]])[:, None]

    values, influence = influences(statistics, n)
    names = ["iou", "accuracy", *(f"iou[{classes[i]}]" for i in present)]
    measures = {name: area(value, moved, n, level) for name, value, moved in zip(names, values.tolist(), influence, strict=True)}
    absent = [name for i, name in enumerate(classes) if i not in present]
    notes = (f"no pixel is, or is called, {', '.join(absent)}: left out.",) if absent else ()
    return Result(task, n, None, None, None, None, (), measures, 0, level, notes, tuple(classes[i] for i in present))
