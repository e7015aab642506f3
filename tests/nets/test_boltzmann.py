"""Boltzmann machines against the full table of the states of all their units."""

import math

import pytest
import torch
from energies import table
from torch import Tensor

import chainrule.nets.boltzmann
from chainrule.core.errors import InputError
from chainrule.nets.boltzmann import Boltzmann


def machine(visible: int, hidden: int, spread: float = 1.0) -> Boltzmann:
    torch.manual_seed(visible * 10 + hidden)
    net = Boltzmann((visible,), 0, hidden=hidden).double()
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(std=spread)
    return net


def minus_energies(net: Boltzmann) -> Tensor:
    """Minus the energy of every joint state (2^visible, 2^hidden), pair by pair as in the paper."""
    units, upper = len(net.bias), net.weight
    every = [sum(s[i] * s[j] * upper[i, j] for i in range(units) for j in range(i + 1, units)) + s @ net.bias for s in table(units)]
    return torch.stack(every).view(2**net.size, -1)


@torch.no_grad()
def test_energies_free_energies_and_likelihoods_are_those_of_the_full_table():
    net = machine(4, 3)
    minus = minus_energies(net)
    torch.testing.assert_close(-net.energy(table(7)), minus.flatten())
    torch.testing.assert_close(-net.free_energy(table(4)), minus.logsumexp(1))
    torch.testing.assert_close(net.log_partition(), minus.flatten().logsumexp(0))
    shares = net.log_prob(table(4)).exp()
    torch.testing.assert_close(shares, minus.flatten().softmax(0).view(16, 8).sum(1))
    v = table(4)
    at = torch.arange(16) % 4
    flipped = v.clone()
    flipped[torch.arange(16), at] = 1 - v[torch.arange(16), at]
    own, other = net.log_prob(v).exp(), net.log_prob(flipped).exp()
    torch.testing.assert_close(net.pseudo_likelihood(v), 4 * (own / (own + other)).log())


@torch.no_grad()
def test_a_sweep_leaves_the_distribution_as_it_is_and_moves_as_its_transition_matrix():
    """Second derivation: the product of one matrix a unit, from the full table, over all 16 states of three units and one hidden one."""
    net = machine(3, 1)
    states, shares = table(4), minus_energies(net).flatten().softmax(0)
    whole = torch.eye(16, dtype=torch.float64)
    for i in range(4):
        alike = (states[:, None] == states).double()
        alike[:, :, i] = 1
        reach = alike.prod(2) * shares                                         # to the states that differ in this unit at most
        whole = whole @ (reach / reach.sum(1, keepdim=True))
    torch.testing.assert_close(shares @ whole, shares)
    torch.manual_seed(0)
    for begin in (0, 6, 15):
        after = net.gibbs(states[begin].expand(20_000, -1)) @ torch.tensor([8.0, 4, 2, 1], dtype=torch.float64)
        counts = torch.bincount(after.long(), minlength=16) / 20_000
        assert float((counts - whole[begin]).abs().max()) < 5 * 0.5 / math.sqrt(20_000)
    fixed = net.swept(states, 3)
    assert torch.equal(fixed[:, :3], states[:, :3])


@torch.no_grad()
def test_means_settle_where_the_mean_field_is():
    net = machine(4, 3, spread=0.5)
    means = net.settled(net.begun(table(4)), 4, rounds=400)
    torch.testing.assert_close(means[:, 4:], torch.sigmoid(net.total(means))[:, 4:])
    assert torch.equal(means[:, :4], table(4))
    free = net.settled(torch.full((1, 7), 0.5, dtype=torch.float64), 0, rounds=400)
    torch.testing.assert_close(free, torch.sigmoid(free @ (net.weight.triu(1) + net.weight.triu(1).T) + net.bias))
    torch.testing.assert_close(net(table(4)), net.settled(net.begun(table(4)), 4)[:, 4:])


@torch.no_grad()
def test_the_mean_field_bounds_the_free_energy(monkeypatch):
    net = machine(4, 3, spread=0.7)
    exact = net.free_energy(table(4))
    assert net.caveat == ""
    monkeypatch.setattr(chainrule.nets.boltzmann, "SUMMED", 2)
    bound = net.free_energy(table(4))
    assert bool((bound >= exact - 1e-12).all())
    assert float((bound - exact).max()) < 0.5
    assert "mean field" in net.caveat


@torch.no_grad()
def test_annealing_finds_the_partition_function():
    net = machine(5, 3)
    torch.manual_seed(0)
    found = net.estimate_log_partition(torch.full((5,), 0.4), temperatures=400, chains=500)
    exact = float(net.log_partition())
    assert abs(math.expm1(found.value - exact)) < 0.03
    assert found.low < found.value < found.high


@torch.no_grad()
def test_samples_have_the_exact_distribution():
    net = machine(3, 2)
    torch.manual_seed(0)
    drawn = net.sample(20_000, steps=40)
    seen = torch.bincount((drawn @ torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)).long(), minlength=8) / 20_000
    assert 0.5 * float((seen - net.log_prob(table(3)).exp()).abs().sum()) < 0.015


def test_what_cannot_be_done_is_said():
    with pytest.raises(InputError, match="at most 20 units; this machine has 25"):
        Boltzmann((20,), 0, hidden=5).log_partition()
    with pytest.raises(InputError, match="hidden=-1"):
        Boltzmann((20,), 0, hidden=-1)
    assert Boltzmann((3,), 0, hidden=0)(torch.rand(2, 3)).shape == (2, 0)
