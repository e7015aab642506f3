"""Machines as parts of deeper nets: Gaussian units by integration, labels of which one is on, probabilities of what is drawn."""

import itertools

import pytest
import torch

from chainrule.nets.layers.convolutional_machine import ConvolutionalMachine, fitting_kernels
from chainrule.nets.layers.machine import Machine
from chainrule.nets.layers.units import one_of


def drawn(machine):
    torch.manual_seed(0)
    with torch.no_grad():
        for p in machine.double().parameters():
            p.normal_()
    return machine


def states(units):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=units)), dtype=torch.float64)


def energy(machine, v, h):
    """Of one visible state and one of hidden units that are numbers, as its definition says."""
    return -(v * machine.visible_bias).sum() + 0.5 * (h - machine.hidden_bias).square().sum() - h @ machine.weight @ v


def test_the_free_energy_of_hidden_units_that_are_numbers_is_their_integral():
    """By the trapezoid rule over -12 to 12 for the one hidden unit."""
    machine = drawn(Machine(3, 1, code="gaussian"))
    v, h = states(3), torch.linspace(-12, 12, 4001, dtype=torch.float64)
    masses = torch.stack([torch.trapezoid(torch.stack([(-energy(machine, one, x[None])).exp() for x in h]), h) for one in v[:3]])
    torch.testing.assert_close(-masses.log(), machine.free_energy(v[:3]), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(machine.hidden(v), v @ machine.weight.T + machine.hidden_bias)


def test_the_free_energy_sums_the_hidden_states():
    machine = drawn(Machine(3, 2, labels=2))
    rows = torch.rand(4, 3, dtype=torch.float64)
    v = torch.cat([rows, torch.eye(2).double()[[0, 1, 1, 0]]], 1)

    def alone(one, h):
        return -(one * machine.visible_bias).sum() - h @ machine.weight @ one - h @ machine.hidden_bias

    exact = -torch.stack([torch.stack([-alone(one, h) for h in states(2)]).logsumexp(0) for one in v])
    torch.testing.assert_close(machine.free_energy(v), exact)
    both = torch.stack([-machine.free_energy(torch.cat([rows, torch.eye(2).double()[k].expand(4, -1)], 1)) for k in range(2)], 1)
    torch.testing.assert_close(machine.label_scores(rows).log_softmax(1), both.log_softmax(1))


def test_the_cost_of_visible_states_is_minus_their_log_probability():
    machine, h = drawn(Machine(2, 3, labels=3)), torch.rand(1, 3, dtype=torch.float64)
    mean = machine.visible(h)[0]
    total = 0.0
    for v in states(2):
        for label in torch.eye(3).double():
            p = torch.where(v > 0, mean[:2], 1 - mean[:2]).prod() * (mean[2:] * label).sum()
            torch.testing.assert_close(machine.cost(torch.cat([v, label])[None], h)[0], -p.log())
            total += float(p)
    assert total == pytest.approx(1)


def test_one_of_a_group_is_drawn_by_its_share():
    torch.manual_seed(0)
    shares = torch.tensor([0.1, 0.6, 0.0, 0.3]).expand(40_000, -1)
    rows = one_of(shares)
    assert torch.equal(rows.sum(1), torch.ones(len(rows)))
    assert float((rows.mean(0) - shares[0]).abs().max()) < 0.012


def blocks_of(machine, v):
    """exp(-energy) of a picture with every hidden state that one filter's block allows: none on, or one of its places."""
    none = torch.zeros(1, 2, 2, dtype=torch.float64)
    allowed = [none, *(none.clone().index_put_((torch.tensor(0), torch.tensor(i), torch.tensor(j)), torch.tensor(1.0).double())
                       for i in range(2) for j in range(2))]
    masses = []
    for h in allowed:
        energy = -(v * machine.visible_bias[:, None, None]).sum()
        for i, j in itertools.product(range(2), range(2)):
            seen = (v[:, i : i + 3, j : j + 3] * machine.weight[0]).sum() + machine.hidden_bias[0]
            energy = energy - h[0, i, j] * seen
        masses.append((-energy).exp())
    return torch.stack(masses)


def test_probabilistic_max_pooling_is_the_enumeration_of_a_block():
    machine = drawn(ConvolutionalMachine((2, 4, 4), 1, 3, 2))
    for v in torch.rand(3, 2, 4, 4, dtype=torch.float64):
        masses = blocks_of(machine, v)
        shares = masses / masses.sum()
        torch.testing.assert_close(machine.hidden(v[None])[0, 0].flatten(), shares[1:])
        torch.testing.assert_close(machine.pooled(v[None]).flatten(), 1 - shares[:1])
        torch.testing.assert_close(machine.free_energy(v[None])[0], -masses.sum().log())
    torch.manual_seed(0)
    p = machine.hidden(v[None]).expand(20_000, -1, -1, -1).contiguous()
    h = machine.draw_hidden(p)
    assert bool((h.flatten(1).sum(1) <= 1).all())
    assert float((h.mean(0) - p[0]).abs().max()) < 0.02


def test_the_units_of_several_blocks_keep_their_places():
    """What a filter that looks at one pixel sees is that pixel, in its place; the way back puts it there again."""
    machine = ConvolutionalMachine((1, 4, 6), 1, 1, 2).double()
    with torch.no_grad():
        machine.weight.fill_(40.0)
        machine.hidden_bias.fill_(-20.0)
    v = torch.zeros(1, 1, 4, 6, dtype=torch.float64)
    v[0, 0, 1, 2] = v[0, 0, 2, 5] = 1.0
    torch.testing.assert_close(machine.hidden(v), v, atol=1e-6, rtol=0)
    assert torch.equal(machine.draw_hidden(machine.hidden(v)), v)
    assert torch.equal(machine.pooled(v).round()[0, 0].nonzero(), torch.tensor([[0, 1], [1, 2]]))
    assert bool((machine.visible(v)[0, 0] > 0.5).equal(v[0, 0] > 0.5))


def test_the_way_down_is_the_way_up_turned_round():
    """The energy's coupling is one number, whichever side is counted from."""
    machine = drawn(ConvolutionalMachine((2, 5, 5), 3, 2, 2, units="gaussian"))
    v, h = torch.randn(1, 2, 5, 5, dtype=torch.float64), torch.randn(1, 3, 4, 4, dtype=torch.float64)
    zero = machine.hidden_bias[:, None, None]
    up = (torch.nn.functional.conv2d(v, machine.weight, machine.hidden_bias)[0] - zero).mul(h[0]).sum()
    down = ((machine.visible(h) - machine.visible_bias[:, None, None]) * v).sum()
    torch.testing.assert_close(up, down)


@pytest.mark.parametrize(("sides", "machines", "expected"),
                         [((28, 28), 2, (5, 5)), ((8, 8), 2, (3, 2)), ((8, 8), 1, (5,)), ((32, 32), 2, (5, 5)), ((3, 3), 3, ())])
def test_kernels_that_are_chosen_let_every_machine_fit(sides, machines, expected):
    assert fitting_kernels(sides, machines, 2) == expected
    shape = (1, *sides)
    for kernel in expected:
        shape = ConvolutionalMachine(shape, 2, kernel, 2).pooled_shape
