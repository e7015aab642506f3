"""Restricted Boltzmann machines against the full table of their joint states, and against integrals."""

import itertools
import math

import pytest
import torch
from energies import table
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import nets
from chainrule.nets.layers.annealing import inverse_temperatures
from chainrule.nets.rbm import RBM


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


def grouped(groups: tuple[int, ...], hidden: int) -> tuple[RBM, Tensor]:
    """A machine of groups of visible units, and all their states."""
    torch.manual_seed(3)
    net = RBM((sum(groups),), 0, hidden=hidden, units="multinomial", groups=groups).double()
    with torch.no_grad():
        for p in net.parameters():
            p.normal_()
    choices = [torch.eye(size, dtype=torch.float64) if size > 1 else torch.tensor([[0.0], [1.0]]).double() for size in groups]
    return net, torch.stack([torch.cat(one) for one in itertools.product(*choices)])


@torch.no_grad()
def test_groups_of_units_have_the_likelihoods_of_the_table_of_their_states():
    net, v = grouped((3, 1, 2), 3)
    h = table(3)
    minus = torch.stack([torch.stack([b @ net.weight @ a + a @ net.visible_bias + b @ net.hidden_bias for b in h]) for a in v])
    torch.testing.assert_close(net.log_prob(v), minus.flatten().log_softmax(0).view(minus.shape).logsumexp(1))
    torch.testing.assert_close(net.visible(h), minus.softmax(0).T @ v)
    torch.testing.assert_close(net.log_prob(v).exp().sum(), torch.tensor(1.0, dtype=torch.float64))


def test_groups_follow_from_the_inputs_or_are_named():
    assert RBM((4, 5), 0, hidden=2, units="multinomial")._visible.groups == (5, 5, 5, 5)
    assert RBM((6,), 0, hidden=2, units="multinomial", groups=(3,))._visible.groups == (3, 3)
    with pytest.raises(InputError, match=r"6 units together; got groups=4x1"):
        RBM((6,), 0, hidden=2, units="multinomial", groups=(4, 1))
    with pytest.raises(InputError, match="units=binary"):
        RBM((6,), 0, hidden=2, groups=(3, 3))


@torch.no_grad()
def test_rectified_units_have_a_free_energy_and_no_partition_function():
    """The slope of the free energy is the mean of the hidden units: the copies that are on."""
    net = machine(4, 3, "relu")
    v = torch.randn(6, 4, dtype=torch.float64)
    slope = torch.func.grad(lambda bias: torch.func.functional_call(Free(net), {"net.hidden_bias": bias}, v).sum())(net.hidden_bias)
    torch.testing.assert_close(-slope, net.hidden(v).sum(0))
    assert net.partition == "none"
    for ask in (net.log_partition, lambda: net.log_weights(torch.zeros(4), temperatures=3, chains=2)):
        with pytest.raises(InputError, match=r"partition function"):
            ask()


class Free(torch.nn.Module):
    def __init__(self, net: RBM):
        super().__init__()
        self.net = net

    def forward(self, v: Tensor) -> Tensor:
        return self.net.free_energy(v)


@pytest.mark.parametrize("units", ["binary", "gaussian", "multinomial"])
@torch.no_grad()
def test_annealing_finds_the_partition_function_from_any_base(units):
    net = grouped((3, 1, 2), 4)[0] if units == "multinomial" else machine(6, 4, units)
    if units == "gaussian":
        net.weight.mul_(0.5)
    exact = float(net.log_partition())
    for mean in (torch.full((6,), 0.3), torch.linspace(0.1, 0.8, 6)):
        torch.manual_seed(0)
        found = net.estimate_log_partition(mean, temperatures=400, chains=1000)
        assert abs(math.expm1(found.value - exact)) < 0.03
        assert found.low < found.value < found.high
        assert found.high - found.low < 0.1


@torch.no_grad()
def test_the_interval_of_annealing_covers_the_truth_about_as_often_as_it_says():
    net = machine(5, 3)
    exact, covered = float(net.log_partition()), 0
    for seed in range(60):
        torch.manual_seed(seed)
        found = net.estimate_log_partition(torch.full((5,), 0.5), temperatures=30, chains=60)
        covered += found.low <= exact <= found.high
    assert covered >= 50


def test_temperatures_are_spaced_as_in_the_paper():
    at = inverse_temperatures(14_501)
    assert (at[0], at[500], at[4500], at[-1]) == pytest.approx((0.0, 0.5, 0.9, 1.0))
    assert all(a < b for a, b in itertools.pairwise(at))
    assert inverse_temperatures(2) == [0.0, 1.0]


@torch.no_grad()
def test_the_pseudo_likelihood_is_that_of_each_unit_given_the_others():
    net, v = machine(3, 2), table(3)
    at = torch.arange(8) % 3
    flipped = v.clone()
    flipped[torch.arange(8), at] = 1 - v[torch.arange(8), at]
    own, other = net.log_prob(v).exp(), net.log_prob(flipped).exp()
    torch.testing.assert_close(net.pseudo_likelihood(v), 3 * (own / (own + other)).log())


def tempered_shares(net: RBM, inverse: float) -> Tensor:
    """The probabilities (2^visible,) at an inverse temperature, from the energies of all joint states."""
    v, h = table(net.weight.shape[1]), table(net.weight.shape[0])
    minus = inverse * ((v @ net.visible_bias)[:, None] + v @ net.weight.T @ h.T + h @ net.hidden_bias)
    return minus.flatten().softmax(0).view(minus.shape).sum(1)


@torch.no_grad()
def test_a_tempered_round_moves_as_the_transition_matrix_whose_eigenvector_is_the_tempered_distribution():
    net, inverse = machine(3, 2), 0.4
    v, h = table(3), table(2)

    def odds(p: Tensor, states: Tensor) -> Tensor:
        return (p[:, None] * states + (1 - p[:, None]) * (1 - states)).prod(2)

    up = torch.sigmoid(inverse * (v @ net.weight.T + net.hidden_bias))
    down = torch.sigmoid(inverse * (h @ net.weight + net.visible_bias))
    transition, shares = odds(up, h) @ odds(down, v), tempered_shares(net, inverse)
    torch.testing.assert_close(shares @ transition, shares)
    torch.manual_seed(0)
    chains = v[:, None].expand(8, 20_000, 3)
    after = net.tempered(chains, torch.full((8, 1, 1), inverse, dtype=torch.float64)) @ torch.tensor([4.0, 2, 1], dtype=torch.float64)
    for i in range(8):
        counts = torch.bincount(after[i].long(), minlength=8) / 20_000
        assert float((counts - transition[i]).abs().max()) < 5 * 0.5 / math.sqrt(20_000)


@torch.no_grad()
def test_exchanges_keep_the_joint_distribution_of_all_temperatures(monkeypatch):
    """The matrix of an exchange over all 64 pairs of states, its acceptances measured on a grid of what the draws can be."""
    net, grid = machine(3, 2), 4000
    net.weight.mul_(2)
    inverse = torch.tensor([1.0, 0.3], dtype=torch.float64)[:, None, None]
    monkeypatch.setattr(torch, "rand_like", lambda x: ((torch.arange(grid) + 0.5) / grid).to(x).expand(x.shape))
    v, place = table(3), torch.tensor([4.0, 2, 1], dtype=torch.float64)
    joint = tempered_shares(net, 1.0)[:, None] * tempered_shares(net, 0.3)                          # (8, 8)
    transition = torch.zeros(64, 64, dtype=torch.float64)
    for a in range(8):
        for b in range(8):
            after, share = net.exchanged(torch.stack([v[a].expand(grid, 3), v[b].expand(grid, 3)]), inverse)
            first, second = (after @ place).long()
            transition[8 * a + b] = torch.bincount(8 * first + second, minlength=64) / grid
            assert 0 <= float(share) <= 1
    pi = joint.flatten()
    assert float((pi @ transition - pi).abs().max()) < 2 / grid
    assert float((torch.eye(64) - transition).abs().max()) > 0.9                                   # so something is exchanged
    flow = pi[:, None] * transition
    torch.testing.assert_close(flow, flow.T, rtol=0, atol=2 / grid)                                # detailed balance


@torch.no_grad()
def test_exchanges_are_between_neighbours():
    net, inverse = machine(3, 2), torch.linspace(1, 0, 5, dtype=torch.float64)[:, None, None]
    torch.manual_seed(0)
    v = net.draw_visible(torch.full((5, 400, 3), 0.5, dtype=torch.float64))
    after, share = net.exchanged(v, inverse)
    assert 0.2 < float(share) < 1
    torch.testing.assert_close(after.sum(0), v.sum(0))                                             # nothing is lost


@pytest.mark.parametrize("temperatures", [2, 3])
@torch.no_grad()
def test_annealing_backward_says_how_probable_it_is_that_annealing_forward_ends_at_a_row(temperatures):
    """Its weights have as their mean the probability by the chain of transitions, multiplied out over all states."""
    net, mean = machine(3, 2), torch.tensor([0.3, 0.5, 0.8], dtype=torch.float64)
    for p in net.parameters():
        p.mul_(0.5)                                                                                # so that weights differ little
    v, h = table(3), table(2)
    bias, _ = net.base(mean)
    at = (v @ bias).softmax(0)                                                                     # p_0(v)
    for high in inverse_temperatures(temperatures)[1:]:
        own = torch.lerp(bias, net.visible_bias, high)
        up = torch.distributions.Bernoulli(logits=high * (v @ net.weight.T + net.hidden_bias))
        down = torch.distributions.Bernoulli(logits=high * (h @ net.weight) + own)
        climbs = torch.stack([up.log_prob(states).sum(1) for states in h], 1).exp()                # (v, h)
        falls = torch.stack([down.log_prob(states).sum(1) for states in v], 1).exp()               # (h, v)
        at = at @ climbs @ falls
    torch.manual_seed(0)
    chains = 40_000
    each = net.reverse_log_likelihood(v, mean, temperatures=temperatures, chains=chains).exp()
    torch.testing.assert_close(each, at, rtol=0.03, atol=0.0)


@pytest.mark.parametrize("units", ["binary", "gaussian", "multinomial"])
@torch.no_grad()
def test_annealing_backward_is_a_bound_that_comes_near_the_likelihood(units):
    net = grouped((3, 1, 2), 4)[0] if units == "multinomial" else machine(6, 4, units)
    if units == "gaussian":
        net.weight.mul_(0.5)
    torch.manual_seed(1)
    v = net.sample(40, steps=50)
    exact, mean = net.log_prob(v), torch.full((6,), 0.4)
    coarse, fine = (net.reverse_log_likelihood(v, mean, temperatures=count, chains=20) - exact for count in (5, 800))
    assert float(coarse.mean()) < float(fine.mean()) + 0.02
    assert abs(float(fine.mean())) < 0.05
