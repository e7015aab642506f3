"""What a fitted logistic curve says, and how surely: coefficients with errors, and the dose at which a share responds.

Wald (1943), https://doi.org/10.1090/S0002-9947-1943-0012401-3; the delta method on the dose: Finney (1947), Probit Analysis
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.evaluate.intervals import Interval
from chainrule.evaluate.quantiles import student


@dataclass(frozen=True)
class Coefficient:
    """One line of a table of coefficients: log-odds for each unit of the input, its standard error, z, two-sided p, and interval."""

    name: str
    value: float
    error: float
    z: float
    p: float
    interval: Interval


@dataclass(frozen=True)
class Dose:
    """The input at which a share responds, its standard error, and its interval."""

    share: float
    value: float
    error: float
    interval: Interval


def logistic_covariance(x: Tensor, slopes: Tensor, intercept: Tensor | float, weight: Tensor | None = None) -> Tensor:
    """The inverse Fisher information (d + 1, d + 1), intercept last, of p = 1 / (1 + exp(-(x slopes + intercept))) for inputs (n, d).

    `weight` (n,) counts how often a row was seen. Raises InputError where the information is singular, so that no errors exist.
    """
    x = x.flatten(1).double()
    design = torch.cat([x, torch.ones_like(x[:, :1])], 1)                              # (n, d + 1)
    p = torch.sigmoid(x @ slopes.double().flatten() + intercept)                       # (n,)
    share = p * (1 - p) * (1 if weight is None else weight.double())
    information = design.T @ (design * share[:, None])                                 # (d + 1, d + 1)
    scale = information.diagonal().clamp(min=torch.finfo(torch.double).tiny).sqrt()
    values = torch.linalg.eigvalsh(information / scale / scale[:, None])
    if float(values[0]) <= 1e-12 * float(values[-1]) or float(share.sum()) < 1e-8:
        raise InputError("The coefficients have no standard errors: their information is singular, because the classes are separated, or "
                         "an input repeats others. Use a ridge and no errors, or leave the input out.")
    covariance: Tensor = torch.linalg.inv(information)
    return covariance


def coefficients(x: Tensor, slopes: Tensor, intercept: Tensor | float, names: Sequence[str], *, weight: Tensor | None = None,
                 level: float = 0.95) -> list[Coefficient]:
    """A line for each slope and then the intercept, at the maximum of the likelihood. Raises InputError as `logistic_covariance` does."""
    values = torch.cat([slopes.double().flatten(), torch.as_tensor(intercept, dtype=torch.float64).reshape(1)]).tolist()
    if len(names) != len(values) - 1:
        raise InputError(f"coefficients expects a name for each of {len(values) - 1} inputs; got {len(names)}.")
    errors = logistic_covariance(x, slopes, intercept, weight).diagonal().sqrt().tolist()
    z = student(level, math.inf)
    return [Coefficient(name, v, e, v / e, math.erfc(abs(v / e) / math.sqrt(2)), Interval(v - z * e, v + z * e, level))
            for name, v, e in zip([*names, "intercept"], values, errors, strict=True)]


def effective_dose(slope: float, intercept: float, covariance: Tensor, *, share: float = 0.5, level: float = 0.95) -> Dose:
    """Where the curve reaches `share`: (logit(share) - intercept) / slope, its error by the delta method.

    `covariance` (2, 2) is of slope and intercept, in this order, as `logistic_covariance` gives it. For half, ED50 = -intercept / slope.
    Raises InputError for a share outside (0, 1) and for a flat curve.
    """
    if not 0 < share < 1 or slope == 0:
        raise InputError(f"effective_dose expects a share between 0 and 1 and a slope that is not 0; got share={share}, slope={slope}.")
    value = (math.log(share / (1 - share)) - intercept) / slope
    tilt = torch.tensor([-value / slope, -1 / slope], dtype=torch.float64)             # d value / d (slope, intercept)
    error = float((tilt @ covariance.double() @ tilt).sqrt())
    z = student(level, math.inf)
    return Dose(share, value, error, Interval(value - z * error, value + z * error, level))
