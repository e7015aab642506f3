"""Restricted Boltzmann machines against the full table of their joint states, and against integrals."""

import math

import pytest
import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import nets
from chainrule.nets.rbm import RBM


def table(size: int) -> Tensor:
    """All states of `size` binary units: (2^size, size)."""
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * size).reshape(-1, size)


def machine(visible: int, hidden: int, units: str = "binary") -> RBM:
    torch.manual_seed(visible * 10 + hidden)
    net = RBM((visible,), 0, hidden=hidden, units=units).double()
    with torch.no_grad():
        for p in net.parameters():
            p.normal_()
    return net


def joint(net: RBM) -> Tensor:
    """Minus the energy of every (visible, hidden) state, term by term as in the paper: (2^visible, 2^hidden)."""
    v, h = table(net.weight.shape[1]), table(net.weight.shape[0])
    return torch.stack([torch.stack([b @ net.weight @ a + a @ net.visible_bias + b @ net.hidden_bias for b in h]) for a in v])


@torch.no_grad()
def test_energies_and_probabilities_are_those_of_the_full_table():
    net = machine(4, 3)
    v, h, minus_energy = table(4), table(3), joint(net)
    pairs = -net.energy(v.repeat_interleave(8, 0), h.repeat(16, 1)).reshape(16, 8)
    torch.testing.assert_close(pairs, minus_energy)
    torch.testing.assert_close(-net.free_energy(v), minus_energy.logsumexp(1))
    torch.testing.assert_close(net.hidden(v), minus_energy.softmax(1) @ h)
    torch.testing.assert_close(net.visible(h), minus_energy.softmax(0).T @ v)
    torch.testing.assert_close(net.log_prob(v).exp().sum(), torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize(("visible", "hidden"), [(4, 3), (3, 5), (16, 15)])
@torch.no_grad()
def test_log_partition_by_either_layer(visible, hidden):
    """The code enumerates the smaller layer (more than one chunk for 15 units); here the larger one is."""
    net = machine(visible, hidden)
    if visible > hidden:
        other = -net.free_energy(table(visible))
    else:
        h = table(hidden)
        other = h @ net.hidden_bias + torch.log1p((h @ net.weight + net.visible_bias).exp()).sum(1)
    torch.testing.assert_close(net.log_partition(), other.logsumexp(0))


@torch.no_grad()
def test_gaussian_units_integrate_to_one():
    net = machine(2, 3, "gaussian")
    grid = torch.linspace(-14, 14, 561, dtype=torch.float64)
    v = torch.cartesian_prod(grid, grid)
    density = net.log_prob(v).exp() * (grid[1] - grid[0]) ** 2
    torch.testing.assert_close(density.sum(), torch.tensor(1.0, dtype=torch.float64), rtol=1e-6, atol=0)
    h = table(3)[5:6]
    given = torch.softmax(-net.energy(v, h.expand(len(v), -1)), 0)
    torch.testing.assert_close(given @ v, net.visible(h)[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(-net.free_energy(v[:5]), torch.stack([-net.energy(v[:5], s.expand(5, -1)) for s in table(3)]).logsumexp(0))


@torch.no_grad()
def test_samples_have_the_exact_distribution():
    net = machine(3, 2)
    torch.manual_seed(0)
    drawn = net.sample(20_000, steps=60)
    seen = torch.bincount((drawn @ torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)).long(), minlength=8) / 20_000
    exact = net.log_prob(table(3)).exp()
    assert (0.5 * (seen - exact).abs().sum()).item() < 0.015  # sampling alone gives about 0.007


@torch.no_grad()
def test_gaussian_samples_have_the_exact_mean_and_spread():
    net = machine(2, 2, "gaussian")
    torch.manual_seed(0)
    drawn = net.sample(20_000, steps=60)
    h = table(2)
    odds = (-net.log_partition() + torch.stack([net._mass(s[None])[0] for s in h])).exp()
    means = net.visible(h)
    mean = odds @ means
    variance = 1 + odds @ means.square() - mean.square()
    torch.testing.assert_close(drawn.mean(0), mean, rtol=0, atol=5 * math.sqrt(variance.max() / 20_000))
    torch.testing.assert_close(drawn.var(0), variance, rtol=0.06, atol=0)


def test_forward_flattens_and_gives_the_hidden_probabilities():
    net = nets.choose("rbm:hidden=7").make((1, 4, 5), 10)
    x = torch.rand(6, 1, 4, 5)
    torch.testing.assert_close(net(x), Net.of(net).clone().call("hidden", x.flatten(1)))
    assert net(x).shape == (6, 7)
    assert "visible=20, hidden=7, units=binary" in repr(net)


def test_what_cannot_be_done_is_said():
    with pytest.raises(InputError, match="at most 20 units"):
        RBM((30,), 0, hidden=25).log_partition()
    with pytest.raises(InputError, match="hidden=0"):
        RBM((30,), 0, hidden=0)
