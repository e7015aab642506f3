"""Linear dynamical systems: a hidden state that moves linearly, seen through a linear map, both with Gaussian noise.

Kalman (1960), https://doi.org/10.1115/1.3662552; Ghahramani & Hinton (1996), https://www.cs.toronto.edu/~hinton/absps/tr-96-2.html
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chainrule.core.abilities.densities import Smoothing
from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.core.steps import until_last
from chainrule.nets.layers.kalman import System, kalman_filter, smoother


class Start(nn.Module):
    """Mean (states,) and lower Cholesky factor (states, states) of the first state."""

    def __init__(self, states: int):
        super().__init__()
        self.mean, self.scale = nn.Parameter(torch.zeros(states)), nn.Parameter(torch.eye(states))


class Linear(nn.Module):
    """A linear map (out, states) and the lower Cholesky factor (out, out) of the noise added to it; of emissions an offset (out,) too."""

    def __init__(self, states: int, out: int, offset: bool):
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.empty(out, states)), nn.Parameter(torch.eye(out))
        self.offset = nn.Parameter(torch.zeros(out)) if offset else None


@nets("lds", source="Kalman (1960), https://doi.org/10.1115/1.3662552", rule="kalman-em", kind="generative", tasks=("density",),
      sequences=True)
class LinearDynamicalSystem(nn.Module):
    """A hidden state that moves linearly with noise: (n, t, d) -> the mean of the state at each step, given all steps (n, t, states).

    A number that is NaN was not observed; where all of a step are, up to the last one that is not, the state is foretold. Steps past the
    end of a sequence have means of zero. Raises InputError for inputs that are no sequences of numbers.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, states: int = 2):
        super().__init__()
        if len(inputs) != 2:
            raise InputError(f"lds reads sequences of rows of numbers (t, d); got inputs of shape {inputs}. Give a series with --time, or "
                             "use --net mixture.")
        if states < 1:
            raise InputError(f"lds needs at least one state; got {states}. Write lds:states=2.")
        self.length = inputs[0]
        self.start, self.transition, self.emission = Start(states), Linear(states, states, False), Linear(states, inputs[1], True)
        nn.init.normal_(self.emission.weight, std=0.5)
        with torch.no_grad():
            self.transition.weight.copy_(0.95 * torch.eye(states))

    @property
    def system(self) -> System:
        factors = (self.start.scale.tril(), self.transition.scale.tril(), self.emission.scale.tril())
        first, process, noise = (factor @ factor.T for factor in factors)
        assert self.emission.offset is not None
        return System(self.start.mean, first, self.transition.weight, process, self.emission.weight, self.emission.offset, noise)

    def present(self, x: Tensor) -> Tensor:
        """The steps (n, t) that exist: those up to the last of which a number was observed."""
        return until_last((~x.isnan()).any(2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(self.present(x)[..., None], self.smoothed(x).means, 0.0)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log likelihood (n,) of what was observed of sequences (n, t, d)."""
        return kalman_filter(self.system, x, ~x.isnan()).log_likelihood

    def smoothed(self, x: Tensor) -> Smoothing:
        """The states given whole sequences (n, t, d)."""
        return smoother(self.system, x, ~x.isnan())

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """So many sequences (count, t, d), as long as the inputs."""
        return self.draw(count)[0]

    @torch.no_grad()
    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """So many sequences (count, t, d), as long as the inputs, and the states (count, t, s) behind them."""
        first, moves, sees = (part.scale.tril().T for part in (self.start, self.transition, self.emission))

        def noise(factor: Tensor, *shape: int) -> Tensor:
            return torch.randn(*shape, len(factor), dtype=factor.dtype, device=factor.device) @ factor

        state = self.start.mean + noise(first, count)
        states = [state]
        for _ in range(1, self.length):
            state = state @ self.transition.weight.T + noise(moves, count)
            states.append(state)
        path = torch.stack(states, 1)                                                     # (count, t, s)
        return path @ self.emission.weight.T + self.system.offset + noise(sees, count, self.length), path

    def extra_repr(self) -> str:
        return f"states={len(self.start.mean)}"
