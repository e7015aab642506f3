"""Associative memories: states that settle in what has been stored.

Hopfield (1982), https://doi.org/10.1073/pnas.79.8.2554; with continuous states Ramsauer et al. (2021), https://arxiv.org/abs/2008.02217
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets

CAPACITY = 10  # units for each pattern that is stored unasked: Hopfield's net loses more than one of seven


@nets("hopfield", source="Hopfield (1982), https://doi.org/10.1073/pnas.79.8.2554; Ramsauer et al. (2021), https://arxiv.org/abs/2008.02217",
      rule="hebb", kind="memory", tasks=("reconstruction",))
class Hopfield(nn.Module):
    """A memory of so many `patterns` (left out: one for ten units): (n, ...) -> the state that each row settles in (n, d).

    `form=classic`: inputs become signs, +1 above the unit's threshold and -1 else; the units are updated one after the other, in order, in
    so many `sweeps`, each to the sign of its field, which never raises the energy; what a sign stands for are the unit's two `levels`.
    `form=modern`: states are rows of numbers, replaced so many `sweeps` times by the mean of all patterns, weighted by the softmax of
    `beta` times their products with the state.
    """

    thresholds: Tensor

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, form: Literal["classic", "modern"] = "classic",
                 patterns: int | None = None, sweeps: int = 10, beta: float = 1.0):
        super().__init__()
        size = math.prod(inputs)
        self.count = max(1, size // CAPACITY) if patterns is None else patterns
        if self.count < 1 or sweeps < 1 or beta <= 0:
            raise InputError(f"hopfield needs at least one pattern, one sweep and a beta above 0; got patterns={patterns}, "
                             f"sweeps={sweeps}, beta={beta}. Write e.g. hopfield:patterns=6,sweeps=10.")
        self.form, self.sweeps, self.beta = form, sweeps, beta
        if form == "modern":
            self.patterns = nn.Parameter(torch.randn(self.count, size))
            return
        self.weight = nn.Parameter(torch.zeros(size, size))
        self.levels = nn.Parameter(torch.tensor([[-1.0], [1.0]]).repeat(1, size))     # (2, d)
        self.register_buffer("thresholds", torch.zeros(size))

    def signs(self, x: Tensor) -> Tensor:
        """The states (n, d) of +1 and -1 that inputs (n, ...) begin as."""
        return torch.where(x.flatten(1) > self.thresholds, 1.0, -1.0).to(x.dtype)

    def settle(self, state: Tensor) -> Tensor:
        """States (n, d) after the sweeps; a unit whose field is zero stays as it is."""
        if self.form == "modern":
            for _ in range(self.sweeps):
                state = (self.beta * state @ self.patterns.T).softmax(1) @ self.patterns
            return state
        weight = self.weight.detach()                                                 # a sign has no slope
        units = (state + 0 * weight[0]).T.contiguous()                                 # (d, n); of a stack each member its own
        for _ in range(self.sweeps):
            for i in range(len(units)):
                field = weight[i] @ units                                             # (n,)
                units[i] = torch.where(field == 0, units[i], field.sign())
        return units.T

    def energy(self, state: Tensor) -> Tensor:
        """The energy (n,) of states (n, d), which no update raises.

        Classic: -s W s / 2. Modern, up to a constant of the patterns: |s|^2 / 2 less the log of the summed exp(beta p s), by beta.
        """
        if self.form == "modern":
            return 0.5 * state.square().sum(1) - (self.beta * state @ self.patterns.T).logsumexp(1) / self.beta
        return -0.5 * ((state @ self.weight) * state).sum(1)

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "modern":
            return self.settle(x.flatten(1))
        return torch.where(self.settle(self.signs(x)) > 0, self.levels[1], self.levels[0])

    def extra_repr(self) -> str:
        return f"form={self.form}, patterns={self.count}, sweeps={self.sweeps}"
