"""Points in the plane: where they lie, of which class, the same for a seed."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError


@pytest.mark.parametrize("name", ["spiral", "circles", "xor", "moons"])
def test_two_classes_about_as_large_the_same_for_a_seed(name):
    data, again, other = cr.load(f"{name}:count=200"), cr.load(f"{name}:count=200"), cr.load(f"{name}:count=200,seed=1")
    assert data.inputs.shape == (200, 2)
    assert abs(int(data.targets.sum()) - 100) <= 30
    assert data.fingerprint == again.fingerprint != other.fingerprint


def test_circles_have_their_radii_and_moons_their_halves():
    circles = cr.load("circles:count=100,noise=0")
    radius = circles.inputs.norm(dim=1)
    assert torch.allclose(radius, torch.where(circles.targets == 0, 1.0, 0.5))
    moons = cr.load("moons:count=100,noise=0")
    upper, lower = moons.inputs[moons.targets == 0], moons.inputs[moons.targets == 1]
    assert torch.allclose(upper.norm(dim=1), torch.ones(50))
    assert torch.allclose((lower - torch.tensor([1.0, 0.5])).norm(dim=1), torch.ones(50), atol=1e-6)


def test_exclusive_or_is_that_of_the_signs():
    data = cr.load("xor:count=200,noise=0")
    assert (((data.inputs[:, 0] > 0) ^ (data.inputs[:, 1] > 0)).long() == data.targets).all()


def test_the_arms_of_the_spiral_are_each_other_turned_half_round():
    data = cr.load("spiral:count=100,noise=0")
    assert torch.allclose(data.inputs[data.targets == 0], -data.inputs[data.targets == 1], atol=1e-6)


@pytest.mark.parametrize("what", ["spiral:count=5", "moons:noise=-1"])
def test_too_few_and_less_than_no_noise_are_refused(what):
    with pytest.raises(InputError):
        cr.load(what)
