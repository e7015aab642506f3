"""The simplex against scipy's, move by move, and what it refuses; the level against the mean."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from task_data import waves
from torch import Tensor, nn

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses
from chainrule.data.reading import Reading
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.losses.classic import squared
from chainrule.rules.nelder_mead import NelderMead


class Valley(nn.Module):
    """Rosenbrock's valley as the answer of a net of two weights, whose square is what is lowered."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.place
        return torch.stack([1 - a, 10 * (b - a**2)])[None].expand(len(x), -1)


def test_every_move_is_scipys():
    net = Net.of(Valley())
    rule = NelderMead(Supervised(squared()), size=0.5)
    state, batch = rule.init(net), Batch(torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64))
    start = state["corners"].numpy().copy()
    path = []
    for _ in range(60):
        net, state, report = rule.step(net, state, batch)
        path.append((net.params["place"].tolist(), float(report["loss"])))
    seen = []
    minimize(lambda p: 0.5 * ((1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2), start[0], method="Nelder-Mead",
             callback=lambda p: seen.append(p.copy()), options={"initial_simplex": start, "maxiter": 60, "xatol": 0, "fatol": 0})
    np.testing.assert_allclose([place for place, _ in path][: len(seen)], seen, rtol=1e-9)
    a, b = path[-1][0]
    assert path[-1][1] == pytest.approx(0.5 * ((1 - a) ** 2 + 100 * (b - a * a) ** 2), rel=1e-9)


def test_it_refuses_many_weights_and_no_size():
    with pytest.raises(InputError, match="1 to 20 weights"):
        NelderMead(Supervised(losses.choose("squared").make())).init(Net.of(nn.Linear(7, 3)))
    with pytest.raises(InputError, match="size above 0"):
        NelderMead(Supervised(squared()), size=0.0)


def test_the_rate_that_smooths_best_is_found():
    rng = np.random.default_rng(0)
    source = cr.load({"y": 0.3 * rng.normal(size=150).cumsum() + rng.normal(size=150)}, target="y", reading=Reading(horizon=2, lags=20))
    job = build(source, Options(net="exponential", plan="eager", threads=1))
    for _ in job.events():
        pass
    part, module = job.data.train, job.net.module

    def cost(rate: float) -> float:
        with torch.no_grad():
            module.rates.fill_(float(np.log(rate / (1 - rate))))
            return float((module(part.x) - part.y).square().sum(1).mean())

    found = float(module.rates.detach().sigmoid())
    grid = np.linspace(0.02, 0.98, 97)
    best = min(grid, key=cost)
    assert found == pytest.approx(best, abs=0.02)


def test_the_level_is_the_mean_of_what_came():
    job = build(waves(), Options(net="mean", plan="eager", threads=1))
    for _ in job.events():
        pass
    assert float(job.net.params["level"].detach()) == pytest.approx(float(job.data.train.y.mean()), rel=1e-5)
    naive = build(waves(), Options(net="naive", plan="eager", threads=1))
    for _ in naive.events():
        pass
    part = naive.data.valid
    torch.testing.assert_close(naive.trained.predictions(part), naive.task.naive(part.x))
    with pytest.raises(InputError, match="level fits a net that is one constant"):
        build(waves(), Options(net="ar", rule="level"))
