"""How many steps every optimizer needs down a bowl of condition number 1e4 and along Rosenbrock's valley, to a height of 1e-6.

Rosenbrock (1960), https://doi.org/10.1093/comjnl/3.3.175. The bowl's axes are turned against the parameters': along the axes, a rate for
every parameter would undo the condition. Three go down a bowl along the axes, because along turned ones they do not arrive: AdaGrad, at
best at 8e-5 after 30,000 steps (rate 2, of six settings), AdaDelta, at best at 1e-3 after 20,000 (rate 0.03, beta 0.999, epsilon 0.01,
exponential, of thirteen), and Rprop, at 1e-5 after 30,000, since it waits wherever a sign turns.
"""

import math

import pytest
import torch

from chainrule.core.criterion import Solver
from chainrule.core.registry import optimizers, schedules

# Setting, schedule (which ends at the bound), and the bound: steps to 1e-6, each with one look at the height and its slope.
BOWL = {
    "sgd": ("sgd:rate=0.000199", None, 33_000),
    "momentum": ("momentum:rate=0.0002,momentum=0.97", None, 750),
    "nesterov": ("nesterov:rate=0.0001,momentum=0.98", None, 920),
    "adam": ("adam:rate=0.5", "cosine", 5000),
    "adamw": ("adamw:rate=0.5,decay=0", "cosine", 5000),
    "adagrad": ("adagrad:rate=0.5", None, 30),
    "adadelta": ("adadelta", None, 500),
    "rmsprop": ("rmsprop:rate=0.01,momentum=0.95,beta=0.999", None, 3000),
    "muon": ("muon:rate=0.02,momentum=0.99", "exponential:0.0001", 6000),
    "rprop": ("rprop", None, 50),
    "irprop": ("irprop", None, 9600),
    "delta-bar-delta": ("delta-bar-delta:rate=0.0001", None, 17_500),
    "bold-driver": ("bold-driver:rate=0.0001", None, 32_000),
}
VALLEY = {
    "sgd": ("sgd:rate=0.0015", None, 10_100),
    "momentum": ("momentum:rate=0.001,momentum=0.95", None, 650),
    "nesterov": ("nesterov:rate=0.0005,momentum=0.95", None, 1350),
    "adam": ("adam:rate=0.1", None, 1150),
    "adamw": ("adamw:rate=0.1,decay=0", None, 1150),
    "adagrad": ("adagrad:rate=0.5", None, 7900),
    "adadelta": ("adadelta:beta=0.99,epsilon=0.0001", "exponential:0.001", 20_000),
    "rmsprop": ("rmsprop:rate=0.01,momentum=0.9", "linear", 3000),
    "muon": ("muon:rate=0.02", "exponential:0.0001", 3000),
    "rprop": ("rprop", None, 3600),
    "irprop": ("irprop", None, 3550),
    "delta-bar-delta": ("delta-bar-delta:rate=0.0005", None, 4950),
    "bold-driver": ("bold-driver:rate=0.001", None, 6500),
}
ALONG = {"adagrad", "adadelta", "rprop"}


def bowl(name: str):
    """Curvatures from 1 to 1e4 in ten dimensions, from (1, ..., 1); as a matrix for Muon, which asks for one."""
    torch.manual_seed(0)
    curvature = torch.logspace(0, 4, 10, dtype=torch.double)
    axes = torch.linalg.qr(torch.randn(10, 10, dtype=torch.double))[0]
    matrix = torch.diag(curvature) if name in ALONG else axes @ torch.diag(curvature) @ axes.T
    assert float(torch.linalg.cond(matrix)) == pytest.approx(1e4, rel=1e-6)
    shape = (5, 2) if name == "muon" else (10,)

    def look(w):
        slope = matrix @ w.flatten()
        return 0.5 * w.flatten() @ slope, slope.view(shape)

    return torch.ones(shape, dtype=torch.double), look


def valley(name: str):
    """Rosenbrock's, from (-1.2, 1); the bottom is at (1, 1)."""
    shape = (1, 2) if name == "muon" else (2,)

    def look(w):
        a, b = w.flatten().unbind()
        off = b - a * a
        return (1 - a) ** 2 + 100 * off * off, torch.stack([2 * (a - 1) - 400 * a * off, 200 * off]).view(shape)

    return torch.tensor([-1.2, 1.0], dtype=torch.double).view(shape), look


def steps_down(place, spec: str, schedule: str | None, most: int) -> float:
    w, look = place
    optimizer = optimizers.choose(spec).make()
    factor = schedules.choose(schedule).make() if schedule else None
    params = {"w": w}
    state = optimizer.init(params)
    for taken in range(most + 1):
        height, slope = look(w)
        if float(height) <= 1e-6:
            return taken
        state = optimizer.update(params, {"w": slope}, state, factor(torch.tensor(taken / most)) if factor else 1.0, height)
    return math.inf


def test_the_tables_name_every_optimizer_that_is_no_solver():
    ours = {entry.name for entry in optimizers.entries() if not isinstance(entry.make(), Solver)}
    assert set(BOWL) == set(VALLEY) == ours


@pytest.mark.parametrize("place", [bowl, valley])
def test_slopes_are_those_of_the_heights(place):
    for name in ("sgd", "muon", "rprop"):
        w, look = place(name)
        w = (w + 0.3).requires_grad_()
        torch.testing.assert_close(look(w)[1], torch.autograd.grad(look(w)[0], w)[0])


@pytest.mark.parametrize("name", BOWL)
def test_bottom_of_a_bowl_of_condition_number_ten_thousand(name):
    assert steps_down(bowl(name), *BOWL[name]) <= BOWL[name][2]


@pytest.mark.parametrize("name", VALLEY)
def test_bottom_of_the_valley(name):
    assert steps_down(valley(name), *VALLEY[name]) <= VALLEY[name][2]
