"""A linear model of a run's own inputs, fitted to its training part where that takes a moment: what a net has to be better than.

Classes: multinomial logistic regression with the penalty |w|^2 / 2 beside the summed loss, by L-BFGS (Liu & Nocedal 1989,
https://doi.org/10.1007/BF01589116). Numbers: ridge regression whose penalty is chosen by generalised cross-validation (Golub, Heath & Wahba
1979, https://doi.org/10.1080/00401706.1979.10489751).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chainrule.data.source import Data, Part
from chainrule.evaluate.result import Baseline
from chainrule.job.trained import Trained
from chainrule.tasks.classification import Classification
from chainrule.tasks.forecast import Forecast
from chainrule.tasks.regression import Regression

NAME = "a linear model"
MOST_WORK = 2e7                 # rows x columns x outputs of one pass over the training part: about a second in all
MOST_COLUMNS = 1000             # whose covariances are decomposed
MOST_CUBES = 4e9                # rows x columns x columns
PASSES = 80                     # of L-BFGS at most
PENALTIES = torch.logspace(-6, 3, 19, dtype=torch.float64)     # of ridge regression, times the number of rows
OF_INTERVALS = ("coverage",)    # measures of the net's intervals, which a linear model has not


@dataclass(frozen=True)
class Linear:
    """Weights (d, k) and bias (k,) of flattened inputs as the net reads them."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs (n, k) in float64, for inputs (n, ...)."""
        return x.flatten(1).double() @ self.weight + self.bias

    def answer(self, trained: Trained, x: Any) -> Tensor:
        """What it says of stored inputs (n, ...), in the form of the task's answers."""
        raw = self(trained.ready(x[:]).cpu())
        if isinstance(trained.task, Classification):
            return raw.softmax(1)
        return trained.task.target.unscale(raw)

    def baseline(self, trained: Trained, part: Part) -> Baseline:
        """What it scores on a part, by the measures of the task that are of single answers."""
        task = trained.task
        if isinstance(task, Classification):
            task = Classification(trained.encoder)         # without a threshold that was chosen for the net
        result = task.measure(self.answer(trained, part.x), task.truth(part, trained.ready), seed=trained.seed)
        measures = {name: m for name, m in result.measures.items() if not name.endswith("]") and name not in OF_INTERVALS}
        return Baseline(NAME, measures)


_last: list[tuple[str, Linear | None]] = []     # the nets of a sweep mostly learn from the same rows


def linear_of(trained: Trained, data: Data) -> Linear | None:
    """The linear model of the training part; None where the task has none, where it would take seconds, or where the parts overlap.

    It depends on the rows alone: no random number is drawn.
    """
    train, task = data.train, trained.task
    if not isinstance(task, Classification | Regression | Forecast) or not isinstance(train.x, Tensor) or len(train) < 2:
        return None
    if train.mask is not None or bool(torch.isin(data.valid.rows, train.rows).any()):
        return None
    columns, outputs = train.x[:1].numel(), max(len(task.classes), 1 if train.y is None else train.y[:1].numel())
    if not _quick(len(train), columns, outputs, bool(task.classes)):
        return None
    ready = trained.ready(train.x)
    if not isinstance(ready, Tensor) or not ready.is_floating_point():
        return None
    x = ready.flatten(1).double().cpu()                                                   # (n, d)
    y = task.truth(train, trained.ready) if task.classes else train.y.flatten(1).double().cpu()
    key = hashlib.sha256(b"".join(t.contiguous().numpy().tobytes() for t in (x, y))).hexdigest()
    if not _last or _last[0][0] != key:
        _last[:] = [(key, logistic(x, y, len(task.classes)) if task.classes else ridge(x, y))]
    return _last[0][1]


def _quick(rows: int, columns: int, outputs: int, classes: bool) -> bool:
    if classes:
        return rows * columns * outputs <= MOST_WORK
    return columns <= MOST_COLUMNS and rows * columns * columns <= MOST_CUBES


def logistic(x: Tensor, y: Tensor, classes: int) -> Linear | None:
    """Of class numbers (n,) by inputs (n, d), these standardised while it is fitted; None where the loss does not stay finite."""
    centre, scale = _standard(x)
    z = (x - centre) / scale
    weight = torch.zeros(x.shape[1], classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=PASSES, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        value = (torch.nn.functional.cross_entropy(z @ weight + bias, y, reduction="sum") + weight.square().sum() / 2) / len(x)
        value.backward()
        return value

    with torch.enable_grad():
        solver.step(loss)
    return _unscaled(weight.detach(), bias.detach(), centre, scale)


def ridge(x: Tensor, y: Tensor) -> Linear | None:
    """Of numbers (n, k) by inputs (n, d): the penalty of those in PENALTIES, times n, that generalised cross-validation likes best."""
    n, (centre, scale) = len(x), _standard(x)
    z, mean = (x - centre) / scale, y.mean(0)
    off = y - mean
    values, vectors = torch.linalg.eigh(z.T @ z)                                          # (d,), (d, d)
    values = values.clamp(min=0)
    along = vectors.T @ (z.T @ off)                                                       # (d, k)
    best, chosen, total = float("inf"), along * 0, off.square().sum()
    for penalty in (PENALTIES * n).tolist():
        coefficients = along / (values + penalty)[:, None]
        left = total - (coefficients * (2 * along - values[:, None] * coefficients)).sum()     # squares that are left, without a pass
        free = n - 1 - float((values / (values + penalty)).sum())
        score = max(float(left), 0.0) / free**2 if free > 0 else float("inf")
        if score < best:
            best, chosen = score, coefficients
    return _unscaled(vectors @ chosen, mean, centre, scale)


def _standard(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column, 1 where it is constant."""
    scale = x.std(0, correction=0)
    return x.mean(0), torch.where(scale > 0, scale, 1.0)


def _unscaled(weight: Tensor, bias: Tensor, centre: Tensor, scale: Tensor) -> Linear | None:
    """The same model of inputs as they are; None where a number of it is not finite."""
    weight = weight / scale[:, None]
    bias = bias - centre @ weight
    return Linear(weight, bias) if bool(weight.isfinite().all() and bias.isfinite().all()) else None
