"""Forecasts that need next to no model: the last value, the mean of all, the mean of the last few.

Hyndman & Athanasopoulos (2021), Forecasting: principles and practice, section 5.2; Hyndman & Koehler (2006),
https://doi.org/10.1016/j.ijforecast.2006.03.001
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chainrule.core.registry import nets
from chainrule.nets.layers.windows import check_windows

SOURCE = "Hyndman & Athanasopoulos (2021), section 5.2; Hyndman & Koehler (2006), https://doi.org/10.1016/j.ijforecast.2006.03.001"


class Weighed(nn.Module):
    """Every step ahead is a sum of the steps read, times fixed weights (horizon, t)."""

    weights: Tensor

    def __init__(self, weights: Tensor, targets: int):
        super().__init__()
        self.targets = targets
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("ht,ntk->nhk", self.weights, x[..., : self.targets]).flatten(1)


@nets("naive", source=SOURCE, rule="level", loss="squared", kind="forecaster", tasks=("forecast",))
class Naive(Weighed):
    """What was `period` steps before, the last value where it is 1, again and again: (n, t, d) -> (n, outputs). Nothing is learned."""

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, period: int = 1, targets: int = 1):
        check_windows("naive", inputs, outputs, targets, steps=period, what="period")
        weights = torch.eye(inputs[0])[inputs[0] - period :]                                # (period, t)
        super().__init__(weights.repeat(-(-outputs // (targets * period)), 1)[: outputs // targets], targets)


@nets("mean", source=SOURCE, rule="level", loss="squared", kind="forecaster", tasks=("forecast",))
class Mean(nn.Module):
    """The mean of the training part, whatever is read: (n, t, d) -> (n, outputs)."""

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, targets: int = 1):
        super().__init__()
        check_windows("mean", inputs, outputs, targets)
        self.horizon = outputs // targets
        self.level = nn.Parameter(torch.zeros(targets))

    def forward(self, x: Tensor) -> Tensor:
        return self.level.repeat(self.horizon).expand(len(x), -1)


@nets("moving-average", source=SOURCE, rule="level", loss="squared", kind="forecaster", tasks=("forecast",))
class MovingAverage(Weighed):
    """The mean of the last `width` steps, for every step ahead: (n, t, d) -> (n, outputs). Nothing is learned."""

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, width: int = 3, targets: int = 1):
        check_windows("moving-average", inputs, outputs, targets, steps=width, what="width")
        weights = torch.zeros(outputs // targets, inputs[0])
        weights[:, -width:] = 1 / width
        super().__init__(weights, targets)
