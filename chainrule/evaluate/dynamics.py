"""How a net that is left to itself moves: whether what is near comes nearer or parts, against what the theory of random nets says.

Benettin, Galgani, Giorgilli & Strelcyn (1980), https://doi.org/10.1007/BF02128236; Sompolinsky, Crisanti & Sommers (1988),
https://doi.org/10.1103/PhysRevLett.61.259; in discrete time Molgedey, Schuchhardt & Schuster (1992),
https://doi.org/10.1103/PhysRevLett.69.3717
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp

Step = Callable[[Tensor], Tensor]      # a state (units,) to the next


def lyapunov(step: Step, state: Tensor, *, settle: int, steps: int, seed: int = 0) -> tuple[float, Tensor]:
    """The largest Lyapunov exponent, in nats a step, over so many `steps` after `settle` others, and the states (steps, units).

    A small displacement is carried along by the derivative of each step, and brought back to unit length after it.
    """
    with torch.no_grad():
        for _ in range(settle):
            state = step(state)
    ahead = torch.randn(state.shape, generator=torch.Generator().manual_seed(seed), dtype=state.dtype)
    ahead, total, states = ahead / ahead.norm(), 0.0, []
    for _ in range(steps):
        state, ahead = jvp(step, (state,), (ahead,))  # type: ignore[misc]  # declared as if it always gave a third
        length = float(ahead.norm())
        total += math.log(max(length, 1e-300))
        ahead = ahead / max(length, 1e-300)
        states.append(state)
    return total / steps, torch.stack(states)


def predicted_exponent(gain: float) -> float:
    """The exponent of x(t+1) = tanh(W x(t)) with many units and independent weights of variance gain^2 / units, in nats a step.

    The variance q of what a unit reads keeps itself up, q = g^2 <tanh^2>, and a displacement grows by g^2 <tanh'^2> a step, squared; means
    are over a normal variable of variance q.
    """
    z = torch.linspace(-12, 12, 4801, dtype=torch.float64)                         # sums over a fine grid are exact for what decays so
    weights = (-z.square() / 2).exp()
    weights = weights / weights.sum()
    q = 1.0
    for _ in range(10_000):
        after = gain**2 * float((weights * (math.sqrt(q) * z).tanh().square()).sum())
        if abs(after - q) < 1e-14:
            break
        q = after
    slopes = 1 - (math.sqrt(q) * z).tanh().square()
    return 0.5 * math.log(gain**2 * float((weights * slopes.square()).sum()))
