"""The pictures of a classification: who is taken for whom, how sure answers are right, and the operating points of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chainrule.core.registry import pictures
from chainrule.evaluate import calibration, curves
from chainrule.plots.evaluation import confusion_matrix, precision_recall, reliability, roc

FEWEST = 10   # cases of a bin, if there are so many

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CLASSES = 1000


@pictures("confusion", source="Pearson (1904)", task="classification", when=("test",))
def confusion(probabilities: Tensor, truth: Tensor, names: Sequence[str], decided: Tensor | None = None) -> Figure | None:
    """Counts of true classes by answered ones, with shares of each row; from probabilities (n, classes) and class numbers (n,).

    `decided` (n,) are the answers, where they are not the likeliest. None of more classes than anybody sees cells of.
    """
    if len(names) > MOST_CLASSES:
        return None
    matrix = torch.zeros(len(names), len(names), dtype=torch.int64)
    matrix.index_put_((truth, probabilities.argmax(1) if decided is None else decided), torch.tensor(1), accumulate=True)
    return confusion_matrix(matrix.tolist(), names)


@pictures("calibration", source="Murphy & Winkler (1977), https://doi.org/10.2307/2346866", task="classification", when=("test",))
def calibrated(probabilities: Tensor, truth: Tensor, names: Sequence[str]) -> Figure:
    """How often answers of each certainty are right."""
    return reliability(calibration.reliability(probabilities, truth, fewest=FEWEST))


@pictures("roc", source="Green & Swets (1966); Fawcett (2006), https://doi.org/10.1016/j.patrec.2005.10.010", task="classification",
          when=("test",))
def operating(probabilities: Tensor, truth: Tensor, names: Sequence[str]) -> Figure | None:
    """True against false positive rates of each class against the rest; None where no class is both there and absent."""
    points = _points(probabilities, truth, names)
    return roc(points) if points else None


@pictures("precision-recall", source="Davis & Goadrich (2006), https://doi.org/10.1145/1143844.1143874", task="classification",
          when=("test",))
def precise(probabilities: Tensor, truth: Tensor, names: Sequence[str]) -> Figure | None:
    """Precision against recall of each class against the rest; None where no class is both there and absent."""
    points = _points(probabilities, truth, names)
    return precision_recall(points) if points else None


def _points(probabilities: Tensor, truth: Tensor, names: Sequence[str]) -> dict[str, curves.OperatingPoints]:
    present = [c for c in range(len(names)) if 0 < int((truth == c).sum()) < len(truth)]
    return {names[c]: curves.operating_points(probabilities[:, c], truth == c) for c in (present[1:] if len(names) == 2 else present)}
