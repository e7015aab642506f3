"""Looks at second moments: the noise of gradients from each sample's own, curvature from whole Hessians and finite differences."""

import math

import numpy as np
import pytest
import torch
from scenes import scene, tanh_net
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised, mean_costs
from chainrule.core.net import Net
from chainrule.losses.classic import cross_entropy, squared
from chainrule.observe.looks import curvature as looks
from chainrule.observe.looks.curvature import curvature, largest
from chainrule.observe.looks.noise import noise, scale_of
from chainrule.observe.observer import on_host


def test_the_noise_scale_is_that_of_the_samples_own_gradients():
    """The formula is without bias: over many draws of rows, trace and square of the mean are those of the whole population."""
    torch.manual_seed(0)
    module, x, y = tanh_net(256)
    rows = []
    for row, wanted in zip(x, y, strict=True):
        loss = cross_entropy().each(module(row[None]), wanted[None]).sum()
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(module.parameters()))]))
    each = torch.stack(rows)                                            # (n, parameters)
    small = torch.stack([part.mean(0).square().sum() for part in each.split(32)]).mean()
    expected = scale_of(float(small), float(each.mean(0).square().sum()), 32, 256)
    assert noise(scene(module, x, y)) == pytest.approx(expected)
    generator = torch.Generator().manual_seed(3)
    traces, squares = [], []
    population = each
    mean, trace = population.mean(0), float((population - population.mean(0)).square().sum(1).mean())
    for _ in range(3000):
        drawn = population[torch.randint(256, (32,), generator=generator)]
        parts = float(torch.stack([p.mean(0).square().sum() for p in drawn.split(4)]).mean())
        whole = float(drawn.mean(0).square().sum())
        squares.append((32 * whole - 4 * parts) / 28)
        traces.append((parts - whole) / (1 / 4 - 1 / 32))
    assert np.mean(traces) == pytest.approx(trace, rel=0.05)
    assert np.mean(squares) == pytest.approx(float(mean.square().sum()), rel=0.2)


def hessian(module, x, y, criterion):
    params = dict(module.named_parameters())
    shapes = [p.shape for p in params.values()]
    flat = torch.cat([p.detach().flatten() for p in params.values()])

    def loss(flat):
        parts = [t.view(s) for t, s in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True)]
        out = torch.func.functional_call(module, dict(zip(params, parts, strict=True)), (x,))
        return criterion.costs(out, Batch(x, y)).mean()

    return torch.autograd.functional.hessian(loss, flat), torch.func.grad(loss)(flat)


@pytest.fixture(autouse=True)
def _as_long_as_it_takes(monkeypatch):
    monkeypatch.setattr(looks, "SECONDS", math.inf)


def test_a_dear_product_is_taken_a_few_times_only(monkeypatch):
    """Two eigenvalues so near that 32 rounds do not part them; with no time left there are four, and the value is below the largest."""
    matrix, taken = torch.diag(torch.tensor([1.0, 0.97], dtype=torch.float64)), []

    def times(v):
        taken.append(1)
        return [matrix @ v[0]]

    start = [torch.tensor([0.01, 1.0], dtype=torch.float64)]
    monkeypatch.setattr(looks, "NEAR", 0.0)
    assert 0.97 < largest(times, start) <= 1
    assert len(taken) == looks.ROUNDS
    taken.clear()
    monkeypatch.setattr(looks, "SECONDS", -1.0)
    assert 0.97 < largest(times, start) < 0.98
    assert len(taken) == looks.FEWEST


def test_curvature_is_the_largest_eigenvalue_of_the_whole_hessian():
    module, x, y = tanh_net()
    one = scene(module, x, y)
    found = on_host(curvature(one))
    matrix, slope = hessian(module, x, y, Supervised(cross_entropy()))
    assert found["curvature"] == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]), rel=0.05)
    assert found["slope_curvature"] == pytest.approx(float(slope @ matrix @ slope / slope.square().sum()), rel=1e-6)


def test_curvature_along_the_gradient_is_that_of_finite_differences():
    module, x, y = tanh_net()
    found = on_host(curvature(scene(module, x, y)))["slope_curvature"]
    net = Net.of(module)
    loss = lambda: mean_costs(Supervised(cross_entropy())(net, Batch(x, y)), Batch(x, y))[0]
    g = torch.autograd.grad(loss(), list(net.params.values()))
    norm, step, values = math.sqrt(sum(float(t.square().sum()) for t in g)), 1e-3, []
    for k in (-1, 0, 1):
        with torch.no_grad():
            for p, t in zip(net.params.values(), g, strict=True):
                p += k * step * t / norm
            values.append(float(loss()))
            for p, t in zip(net.params.values(), g, strict=True):
                p -= k * step * t / norm
    assert found == pytest.approx((values[0] - 2 * values[1] + values[2]) / step**2, rel=1e-3)


@pytest.mark.parametrize("values", [(3.0, 1.0, 0.5), (2.0, -5.0, 1.0), (-1.0, -4.0, -2.0)])
def test_the_largest_eigenvalue_is_found_where_another_is_larger_in_size(values):
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    matrix = q @ torch.tensor(values, dtype=torch.float64).diag() @ q.T
    found = largest(lambda v: [matrix @ v[0]], [torch.ones(3, dtype=torch.float64)])
    assert found == pytest.approx(max(values), abs=0.05)


def test_the_delta_rules_own_step_is_beyond_two_by_the_curvature():
    """One linear unit on x = (34, 1, 4): the curvature is |x|^2 + 1, so rates from 2 / 1174 on diverge."""
    module = nn.Linear(3, 1).double()
    x = torch.tensor([[34.0, 1.0, 4.0]] * 4, dtype=torch.float64)
    found = on_host(curvature(scene(module, x, torch.ones(4, 1, dtype=torch.float64), Supervised(squared()))))
    assert found["curvature"] == pytest.approx(34**2 + 1 + 16 + 1, rel=0.02)
