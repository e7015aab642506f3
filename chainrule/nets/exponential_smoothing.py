"""Exponential smoothing: a level, a trend and a season that forget at rates which are fitted.

Brown (1959), Statistical forecasting for inventory control; Holt (1957, reprinted 2004), https://doi.org/10.1016/j.ijforecast.2003.09.015;
Winters (1960), https://doi.org/10.1287/mnsc.6.3.324; first values as in Hyndman et al. (2008), https://doi.org/10.1007/978-3-540-71918-2
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.windows import check_windows

TREND_STEPS = 10         # over which the first trend is measured, where there is no season


def rates(*first: float, targets: int) -> nn.Parameter:
    """Rates between 0 and 1 as log-odds (rates, targets), beginning with these."""
    return nn.Parameter(torch.tensor([[math.log(rate / (1 - rate))] for rate in first]).repeat(1, targets))


@nets("exponential", source="Brown (1959); Hyndman, Koehler, Ord & Snyder (2008), https://doi.org/10.1007/978-3-540-71918-2",
      rule="nelder-mead", loss="squared", kind="forecaster", tasks=("forecast",))
class Exponential(nn.Module):
    """Simple exponential smoothing, a level for every step ahead: (n, t, d) -> (n, outputs).

    l = a x + (1 - a) l, from the first value of a window on; the rate a, one for each target, is fitted to all steps ahead.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, targets: int = 1):
        super().__init__()
        check_windows("exponential", inputs, outputs, targets)
        self.targets, self.horizon = targets, outputs // targets
        self.rates = rates(0.5, targets=targets)

    def forward(self, x: Tensor) -> Tensor:
        (rate,) = self.rates.sigmoid()                                                      # (targets,)
        seen = x[..., : self.targets]
        past = torch.arange(x.shape[1] - 1, -1, -1, dtype=x.dtype, device=x.device)[:, None]
        share = rate * (1 - rate) ** past                                                   # (t, targets)
        level: Tensor = (seen[:, 1:] * share[1:]).sum(1) + seen[:, 0] * (1 - rate) ** past[0]
        return level.repeat(1, self.horizon)


@nets("holt", source="Holt (1957), https://doi.org/10.1016/j.ijforecast.2003.09.015", rule="nelder-mead", loss="squared", kind="forecaster",
      tasks=("forecast",))
class Holt(nn.Module):
    """A level and a trend that goes on in a line, or with `damping` below 1 ever more slowly: (n, t, d) -> (n, outputs)."""

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, damping: float = 1.0, targets: int = 1):
        super().__init__()
        check_windows("holt", inputs, outputs, targets, steps=2)
        if not 0 < damping <= 1:
            raise InputError(f"holt expects damping above 0 and at most 1; got {damping}. Write e.g. holt:damping=0.98.")
        self.targets, self.horizon, self.damping = targets, outputs // targets, damping
        self.rates = rates(0.5, 0.1, targets=targets)

    def forward(self, x: Tensor) -> Tensor:
        seen, (a, b) = x[..., : self.targets], self.rates.sigmoid()
        steps = min(TREND_STEPS, x.shape[1])
        trend = (seen[:, steps - 1] - seen[:, 0]) / (steps - 1)                             # (n, targets)
        level = seen[:, 0] - self.damping * trend
        for value in seen.unbind(1):
            before, drift = level, self.damping * trend
            level = a * value + (1 - a) * (level + drift)
            trend = b * (level - before) + (1 - b) * drift
        return (level[:, None] + damped(self.damping, self.horizon, level)[:, None] * trend[:, None, :]).flatten(1)


@nets("holt-winters", source="Winters (1960), https://doi.org/10.1287/mnsc.6.3.324", rule="nelder-mead", loss="squared", kind="forecaster",
      tasks=("forecast",))
class HoltWinters(nn.Module):
    """A level, a trend, and a place for each step of a season, added up: (n, t, d) -> (n, outputs).

    The season has `season` steps, those of the stamps where it is left out. A window begins with its first season and, where it holds two,
    the trend between them.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, season: int = 0, damping: float = 1.0, targets: int = 1):
        super().__init__()
        if season < 2:
            raise InputError(f"holt-winters needs a season of at least 2 steps, and the stamps say none; got {season}. Write e.g. "
                             "holt-winters:season=12, or use --net holt.")
        check_windows("holt-winters", inputs, outputs, targets, steps=season, what="season")
        if not 0 < damping <= 1:
            raise InputError(f"holt-winters expects damping above 0 and at most 1; got {damping}. Write e.g. holt-winters:damping=0.98.")
        self.targets, self.horizon, self.season, self.damping = targets, outputs // targets, season, damping
        self.rates = rates(0.3, 0.05, 0.1, targets=targets)

    def forward(self, x: Tensor) -> Tensor:
        m, seen, (a, b, c) = self.season, x[..., : self.targets], self.rates.sigmoid()
        first = seen[:, :m].mean(1)                                                         # (n, targets)
        trend = (seen[:, m : 2 * m].mean(1) - first) / m if x.shape[1] >= 2 * m else torch.zeros_like(first)
        middle = torch.arange(m, dtype=x.dtype, device=x.device)[:, None] - (m - 1) / 2
        seasons = list((seen[:, :m] - first[:, None] - middle * trend[:, None]).unbind(1))
        level = first - trend * (m + 1) / 2
        for step, value in enumerate(seen.unbind(1)):
            before, drift, place = level, self.damping * trend, seasons[step % m]
            level = a * (value - place) + (1 - a) * (before + drift)
            trend = b * (level - before) + (1 - b) * drift
            seasons[step % m] = c * (value - before - drift) + (1 - c) * place
        after = torch.stack([seasons[(x.shape[1] + step) % m] for step in range(self.horizon)], 1)
        return (level[:, None] + damped(self.damping, self.horizon, level)[:, None] * trend[:, None, :] + after).flatten(1)


def damped(damping: float, horizon: int, like: Tensor) -> Tensor:
    """How often a trend counts by each step ahead, (horizon,): damping + damping^2 + ..."""
    return (damping ** torch.arange(1, horizon + 1, dtype=like.dtype, device=like.device)).cumsum(0)
