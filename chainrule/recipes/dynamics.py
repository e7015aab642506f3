"""A recurrent net that is left to itself: it settles, oscillates or is chaotic, by nothing but its weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from chainrule.core.files import write_file
from chainrule.core.registry import recipes
from chainrule.evaluate.dynamics import lyapunov, predicted_exponent
from chainrule.nets.rnn import ElmanLayer
from chainrule.plots.dynamics import trajectories
from chainrule.plots.figure import to_png
from chainrule.recipes.outcome import Figure, Outcome, Setting

SOURCE = ("Sompolinsky, Crisanti & Sommers (1988), https://doi.org/10.1103/PhysRevLett.61.259; Molgedey, Schuchhardt & Schuster (1992), "
          "https://doi.org/10.1103/PhysRevLett.69.3717")
UNITS, SETTLE, STEPS, SHOWN = 1000, 500, 2000, 120
GAINS = (0.5, 0.9, 1.5, 3.0)            # of random weights; from 1 on they do not come to rest
TURN = 2 * math.pi / 17                 # of two units whose weights turn and stretch the plane: a rhythm of nearly 17 steps
STRETCH = 1.2


class Rest(NamedTuple):
    """A net left to itself: its largest Lyapunov exponent in nats a step, and its first states (SHOWN, units)."""

    exponent: float
    states: Tensor


@recipes("dynamics", source=SOURCE)
def dynamics(setting: Setting) -> Outcome:
    """Elman layers without inputs: random weights below and above a gain of 1, and two units that turn the plane.

    The exponent says by what factor a small displacement grows a step: below 0 the net settles, at 0 it keeps time, above 0 it is chaotic.
    For many random weights the theory foretells it.
    """
    units = 200 if setting.short else UNITS
    rows, drawn = [["weights", "exponent, nats a step", "foretold", "it"]], dict[str, Tensor]()
    worst = 0.0
    for gain in GAINS:
        torch.manual_seed(0)
        weights = gain / math.sqrt(units) * torch.randn(units, units, dtype=torch.float64)
        rest, theory = left_alone(weights), predicted_exponent(gain)
        worst = max(worst, abs(rest.exponent - theory))
        rows.append([f"random, gain {gain:g}", f"{rest.exponent:.3f}", f"{theory:.3f}", _word(rest.exponent)])
        drawn[f"random weights of gain {gain:g}: {_word(rest.exponent)}"] = rest.states
    turning = STRETCH * torch.tensor([[math.cos(TURN), -math.sin(TURN)], [math.sin(TURN), math.cos(TURN)]], dtype=torch.float64)
    rest = left_alone(turning)
    rows.append(["two units that turn the plane", f"{rest.exponent:.3f}", "0", _word(rest.exponent)])
    drawn[f"two units that turn the plane: {_word(rest.exponent)}"] = rest.states
    figures = [
        Figure("greatest difference of an exponent from the theory of many random weights, nats a step", worst, published=0.05,
               goal="none" if setting.short else "at most", source=SOURCE),
        Figure("exponent of two units that keep time, away from 0", abs(rest.exponent), published=0.01, goal="at most",
               source="a limit cycle has none"),
    ]
    path = setting.out / "dynamics.png"
    write_file(path, to_png(trajectories(drawn)))
    return Outcome(figures, rows, pictures=[path])


def left_alone(weights: Tensor) -> Rest:
    """An Elman layer of these recurrent weights (units, units), without inputs, from a random state."""
    layer = ElmanLayer(1, len(weights)).to(weights.dtype)
    with torch.no_grad():
        layer.recurs.weight.copy_(weights)
    layer.requires_grad_(False)
    silence = torch.zeros(1, len(weights), dtype=weights.dtype)

    def step(state: Tensor) -> Tensor:
        after: Tensor = layer.cell(silence, (state[None],))[0][0]
        return after

    start = 0.5 * torch.randn(len(weights), generator=torch.Generator().manual_seed(1), dtype=weights.dtype)
    exponent, _ = lyapunov(step, start, settle=SETTLE, steps=STEPS if len(weights) > 2 else 10 * STEPS)
    states = [start]
    while len(states) < SHOWN:
        states.append(step(states[-1]))
    return Rest(exponent, torch.stack(states))


def _word(exponent: float) -> str:
    return "settles" if exponent < -0.02 else "is chaotic" if exponent > 0.02 else "oscillates"
