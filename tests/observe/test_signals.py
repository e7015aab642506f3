"""Signals against derivatives by hand; surfaces against the loss itself and a quadratic's closed form; nothing is touched."""

import copy

import pytest
import torch
from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.observe import surface
from chainrule.observe.signals import signals


def squared(outputs, y):
    return 0.5 * (outputs - y).square().sum(1)


def test_activations_and_gradients_by_the_chain_rule():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 2)).double()
    x, y = torch.randn(7, 5, dtype=torch.float64), torch.randn(7, 2, dtype=torch.float64)
    below, middle, top = signals(net, x, y, squared)
    assert [below.name, middle.name, top.name] == ["0", "2", "4"]
    assert middle.kind == "Linear + ReLU"
    h1 = (x @ net[0].weight.T + net[0].bias).tanh()
    h2 = (h1 @ net[2].weight.T + net[2].bias).relu()
    out = h2 @ net[4].weight.T + net[4].bias
    d2 = (out - y) @ net[4].weight
    d1 = (d2 * (h2 > 0)) @ net[2].weight
    for got, a, g in ((below, h1, d1), (middle, h2, d2), (top, out, out - y)):
        torch.testing.assert_close(got.activations, a.detach())
        torch.testing.assert_close(got.gradients, g.detach())
    assert below.figures["activation_sd"] == pytest.approx(float(h1.detach().std(correction=0)))
    assert middle.figures["zero"] == pytest.approx(float((h2 == 0).double().mean()))


def test_looking_touches_nothing():
    net = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(4, 2)).eval()
    before, random = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    found = signals(net, torch.randn(7, 5, generator=torch.Generator().manual_seed(0)), torch.zeros(7, 2), squared)
    assert [s.kind for s in found] == ["Linear + BatchNorm1d + ReLU + Dropout", "Linear"]
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not net.training
    assert net[2].inplace
    assert all(p.grad is None for p in net.parameters())


def test_a_net_without_weights_is_refused():
    with pytest.raises(InputError, match="no layer"):
        signals(nn.Sequential(nn.ReLU()), torch.ones(2, 3), torch.zeros(2, 3), squared)


def quadratic():
    net = Net.of(nn.Linear(2, 1, bias=False).double())
    g = torch.Generator().manual_seed(0)
    x = torch.randn(50, 2, generator=g, dtype=torch.float64)
    return net, x, x @ torch.tensor([[1.0], [-2.0]], dtype=torch.float64)


def test_two_numbers_give_the_quadratic_and_stay_where_they_are():
    net, x, y = quadratic()
    before = net.params["weight"].detach().clone()
    plane = surface.of_parameters([{"weight": torch.zeros(1, 2, dtype=torch.float64)}, {"weight": torch.ones(1, 2, dtype=torch.float64)}])
    assert plane.path.tolist() == [[0, 0], [1, 1]]
    across, up = torch.linspace(-1, 2, 4, dtype=torch.float64), torch.linspace(-3, 0, 3, dtype=torch.float64)
    found = surface.heights(net, plane, across, up, lambda at: squared(at(x), y).mean())
    for i, b in enumerate(up):
        for j, a in enumerate(across):
            e = torch.tensor([a - 1, b + 2], dtype=torch.float64)
            assert float(found[i, j]) == pytest.approx(float(0.5 * e @ (x.T @ x / 50) @ e), abs=1e-12)
    assert torch.equal(net.params["weight"], before)


def test_the_plane_of_a_flat_path_holds_all_of_it():
    """A path made in a known plane: the principal directions span it, and give back every point."""
    g = torch.Generator().manual_seed(1)
    one, two = torch.randn(6, generator=g, dtype=torch.float64), torch.randn(6, generator=g, dtype=torch.float64)
    path = [{"a": (i * one + i * i * two)[:4].reshape(2, 2), "b": (i * one + i * i * two)[4:]} for i in torch.linspace(0, 1, 9).double()]
    plane = surface.of_path(path)
    assert sum(plane.shares) == pytest.approx(1)
    assert plane.shares[0] > plane.shares[1]
    for (a, b), params in zip(plane.path.tolist(), path, strict=True):
        back = plane.at(a, b)
        torch.testing.assert_close(back["a"], params["a"])
        torch.testing.assert_close(back["b"], params["b"])
    assert plane.path[-1].tolist() == [0, 0]


def test_random_directions_are_as_long_as_each_units_weights():
    params = dict(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(4, 5)).double().named_parameters())
    plane = surface.at_random(params, seed=4)
    for made in (plane.first, plane.second):
        for name, p in params.items():
            if p.dim() > 1:
                torch.testing.assert_close(made[name].flatten(1).norm(dim=1), p.detach().flatten(1).norm(dim=1))
            else:
                assert not made[name].any()
    assert not torch.equal(plane.first["1.weight"], plane.second["1.weight"])
