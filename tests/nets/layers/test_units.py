"""Units of an energy against sums over their states, against integrals, and against copies of binary units."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import spence
from torch import Tensor

from chainrule.nets.layers.units import Binary, Gaussian, Multinomial, Rectified, integral_of_softplus

GROUPS = (3, 3, 1, 2, 1)


def states(groups: tuple[int, ...]) -> Tensor:
    """All states of units in groups, one by one: on of each group, or either state of a group of one."""
    choices = [[torch.zeros(1), torch.ones(1)] if size == 1 else list(torch.eye(size)) for size in groups]
    return torch.stack([torch.cat(one) for one in itertools.product(*choices)]).double()


def test_groups_sum_to_one_and_their_mass_is_the_sum_over_all_their_states():
    torch.manual_seed(0)
    units, total = Multinomial(GROUPS), torch.randn(5, sum(GROUPS), dtype=torch.float64)
    every = states(GROUPS)                                                            # (72, 10)
    scores = total @ every.T
    torch.testing.assert_close(units.mass(total, torch.zeros(10)), scores.logsumexp(1))
    torch.testing.assert_close(units.mean(total), scores.softmax(1) @ every)
    for begin, size in zip(itertools.accumulate((0, *GROUPS)), GROUPS, strict=False):
        if size > 1:
            torch.testing.assert_close(units.mean(total)[:, begin : begin + size].sum(1), torch.ones(5, dtype=torch.float64))


def test_one_of_each_group_is_drawn_as_often_as_its_mean_says():
    torch.manual_seed(1)
    units = Multinomial(GROUPS)
    mean = units.mean(torch.randn(sum(GROUPS), dtype=torch.float64))
    drawn = units.draw(mean.expand(20_000, -1))
    assert bool(((drawn == 0) | (drawn == 1)).all())
    for begin, size in ((0, 3), (3, 3), (7, 2)):
        assert bool((drawn[:, begin : begin + size].sum(1) == 1).all())
    assert float((drawn.mean(0) - mean).abs().max()) < 5 * 0.5 / math.sqrt(20_000)


def test_a_unit_that_cannot_be_on_is_never_drawn():
    mean = torch.tensor([0.0, 1.0, 0.0]).expand(1000, 3)
    assert torch.equal(Multinomial((3,)).draw(mean), mean)


@pytest.mark.parametrize("units", [Binary(), Gaussian(), Multinomial((2, 1, 2))])
def test_units_by_themselves_have_the_means_that_their_biases_were_made_for(units):
    mean = torch.tensor([0.3, 0.7, 0.2, 0.9, 0.1], dtype=torch.float64)
    bias = units.bias_of(mean)
    torch.testing.assert_close(units.mean(bias), mean)
    slope = torch.func.grad(lambda push: units.mass(push + bias, bias))(torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(slope, mean)                                            # of the log of the sum: the means


def test_gaussian_mass_is_the_integral():
    bias, push = 0.4, 1.3
    integral, _ = quad(lambda v: math.exp(-0.5 * (v - bias) ** 2 + v * push), -20, 25)
    mass = Gaussian().mass(torch.tensor([bias + push], dtype=torch.float64), torch.tensor([bias], dtype=torch.float64))
    assert float(mass) == pytest.approx(math.log(integral), abs=1e-9)


def test_the_integral_of_softplus_is_the_dilogarithm_and_its_slope_softplus():
    x = torch.linspace(-30, 30, 121, dtype=torch.float64)
    torch.testing.assert_close(integral_of_softplus(x), torch.from_numpy(-spence(1 + np.exp(x.numpy()))), rtol=1e-12, atol=1e-14)
    slope = torch.func.vmap(torch.func.grad(integral_of_softplus))(x)
    torch.testing.assert_close(slope, torch.nn.functional.softplus(x), rtol=1e-10, atol=1e-13)


def test_rectified_units_are_nearly_copies_of_binary_ones():
    """Nair & Hinton, section 2: copies whose biases fall by one, from half a step down; 200 of them stand for all."""
    x = torch.linspace(-6, 60, 67, dtype=torch.float64)
    copies = x[:, None] - torch.arange(200) - 0.5
    units, none = Rectified(), torch.zeros(1, dtype=torch.float64)
    torch.testing.assert_close(torch.sigmoid(copies).sum(1), units.mean(x), rtol=0, atol=0.011)
    mass = torch.nn.functional.softplus(copies).sum(1)
    apart = units.mass(x[:, None], none) - mass
    assert float(apart.abs().max()) < 1 / 24 + 1e-3                                    # the midpoint rule's first term: sigmoid / 24


def test_rectified_draws_are_the_noisy_maximum():
    x = torch.linspace(-8, 8, 33, dtype=torch.float64)
    torch.manual_seed(2)
    drawn = Rectified().draw(torch.nn.functional.softplus(x))
    torch.manual_seed(2)
    torch.testing.assert_close(drawn, torch.relu(x + torch.sigmoid(x).sqrt() * torch.randn_like(x)), rtol=1e-9, atol=1e-9)
    assert torch.equal(Rectified().draw(torch.zeros(3)), torch.zeros(3))
