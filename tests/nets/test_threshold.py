"""The perceptron's units: a plane through the inputs, one for two classes, several for more."""

import torch

from chainrule.core.net import Net
from chainrule.core.registry import nets


def test_a_unit_says_on_which_side_of_its_plane_a_point_lies():
    net = nets.choose("perceptron").make((2,), 1)
    net.load_state_dict({"weight": torch.tensor([[3.0, 4.0]]), "bias": torch.tensor([-5.0])})
    points = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.6, 0.8]])
    distance = net(points).squeeze(1) / 5  # of the plane 3 x + 4 y = 5, whose normal has length 5
    torch.testing.assert_close(distance, torch.tensor([4.0, -1.0, 0.0]), atol=1e-6, rtol=0)


def test_one_unit_for_two_classes_and_several_for_more():
    assert Net.of(nets.choose("perceptron").make((20, 20), 1)).count() == 401  # the Mark I's 400 photocells and a threshold
    net = nets.choose("perceptron").make((4, 4), 3)
    assert net(torch.randn(5, 4, 4)).shape == (5, 3)
