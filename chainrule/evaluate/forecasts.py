"""How good forecasts of several steps are, by how far ahead they are, and how wide intervals around them must be.

MASE: Hyndman & Koehler (2006), https://doi.org/10.1016/j.ijforecast.2006.03.001; sMAPE: Makridakis (1993),
https://doi.org/10.1016/0169-2070(93)90079-3; intervals: Vovk, Gammerman & Shafer (2005), https://doi.org/10.1007/b106715
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.evaluate.blocks import block_means
from chainrule.evaluate.intervals import of_mean
from chainrule.evaluate.result import Measure, Result

LEVEL = 0.95
METHOD = "t of a mean of blocks"
ENDS = {"smape": 2.0, "coverage": 1.0}       # the most that a measure can be


def forecast(predictions: Tensor, y: Tensor, errors: Sequence[float], *, widths: Tensor | None = None, level: float = LEVEL,
             task: str = "forecast") -> Result:
    """Measures of forecasts (n, horizon * k) of k targets against what came, by step ahead and over all steps.

    `mase` is the mean absolute error over that of the naive forecast one step ahead in training, `errors` (k,); `smape` the mean of
    2 |e| / (|y| + |f|); `rmse` is in the targets' units, the root of the mean over targets; `coverage` the share of values no further
    from their forecast than `widths` (horizon * k). Origins overlap: intervals are those of a mean over blocks of `horizon` neighbours.
    Raises InputError where shapes differ or a number is not finite.
    """
    k = len(errors)
    by_step = _by_step(predictions, y, errors, widths)                                     # each (n, horizon)
    n, horizon = by_step["rmse"].shape
    notes = []
    if n < 2 * horizon:
        notes.append(f"{n} origins whose {horizon} steps overlap are fewer than two blocks of {horizon}; they have no interval.")
    measures = {name: _measure(name, values.mean(1), horizon, level) for name, values in by_step.items()}
    for step in range(horizon):
        measures |= {f"{name}[{step + 1}]": _measure(name, values[:, step], horizon, level) for name, values in by_step.items()}
    if k > 1:
        notes.append(f"every measure is the mean over {k} targets.")
    return Result(task, n, None, None, None, None, (), measures, 0, level, tuple(notes), tuple(str(s + 1) for s in range(horizon)),
                  "steps ahead")


def quick_forecast(predictions: Tensor, y: Tensor, errors: Sequence[float]) -> dict[str, float]:
    """MASE, sMAPE and RMSE over all steps."""
    means = {name: float(values.mean()) for name, values in _by_step(predictions, y, errors, None).items()}
    return {**means, "rmse": math.sqrt(means["rmse"])}


def scaled_errors(predictions: Tensor, y: Tensor, errors: Sequence[float]) -> Tensor:
    """The mean absolute scaled error (n,) of each origin, over its steps and targets."""
    return _by_step(predictions, y, errors, None)["mase"].mean(1)


def half_widths(predictions: Tensor, y: Tensor, level: float = LEVEL) -> Tensor:
    """How far from its forecast a further value lies in a share `level` of cases, for each number that is foretold (k,).

    The ceil((n + 1) level)-th smallest absolute residual of n cases, that none of them was trained on; their greatest where these are too
    few.
    """
    off = (predictions.double() - y.double()).abs()                                        # (n, k)
    n = len(off)
    return off.sort(0).values[min(n, math.ceil((n + 1) * level)) - 1]


def _by_step(predictions: Tensor, y: Tensor, errors: Sequence[float], widths: Tensor | None) -> dict[str, Tensor]:
    """What is measured of each origin and step, the mean over targets, float64 (n, horizon); squared errors under `rmse`."""
    p, t, k = predictions.detach().cpu().double(), y.detach().cpu().double(), len(errors)
    if p.shape != t.shape or not len(t) or t.dim() != 2 or t.shape[1] % k:
        raise InputError(f"Forecasts need predictions and truth of one shape, so many steps of {k} targets; got {tuple(p.shape)} and "
                         f"{tuple(t.shape)}.")
    for values, what in ((p, "forecasts"), (t, "values")):
        if not bool(values.isfinite().all()):
            raise InputError(f"Row {int((~values.isfinite()).any(1).nonzero()[0, 0]) + 1} of the {what} is not finite.")
    p, t = p.unflatten(1, (-1, k)), t.unflatten(1, (-1, k))                                # (n, horizon, k)
    off, unit = (p - t).abs(), torch.tensor(errors, dtype=torch.float64)
    size = p.abs() + t.abs()
    measures = {"mase": (off / unit).mean(2), "smape": torch.where(size > 0, 2 * off / size.clamp(min=1e-300), 0.0).mean(2),
                "rmse": off.square().mean(2)}
    if not bool((unit > 0).all()):
        del measures["mase"]
    if widths is not None:
        measures["coverage"] = (off <= widths.double().reshape(1, -1, k)).double().mean(2)
    return measures


def _measure(name: str, values: Tensor, block: int, level: float) -> Measure:
    """The mean of values (n,) and its interval; of squared errors the root."""
    value, several = float(values.mean()), block_means(values, block)
    low, high = None, None
    if len(several) > 1:
        ends = of_mean(several, level)
        low, high = min(value, max(0.0, ends.low)), max(value, min(ENDS.get(name, math.inf), ends.high))
    if name == "rmse":
        value, low, high = math.sqrt(value), None if low is None else math.sqrt(low), None if high is None else math.sqrt(high)
    return Measure(value, low, high, METHOD if low is not None else "without interval")
