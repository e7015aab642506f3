"""Dense layers and stacks of them."""

import pytest
import torch

from chainrule.nets.layers.activation import ACTIVATIONS, Maxout
from chainrule.nets.layers.dense import stack


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_stack_has_units_of_the_widths_asked_for_whatever_stands_between_them(name):
    net = stack(3, (5, 4), 2, name)
    assert [layer(torch.zeros(1, layer.in_features)).shape[1] for layer in net if hasattr(layer, "in_features")][-1] == 2
    seen = []
    for layer in net[1::2]:
        layer.register_forward_hook(lambda layer, inputs, outputs: seen.append(outputs.shape[1]))
    assert net(torch.randn(7, 3)).shape == (7, 2)
    assert seen == [5, 4]


def test_a_stack_of_maxout_units_is_the_greatest_of_pairs_by_hand():
    torch.manual_seed(0)
    net, x = stack(3, (2,), 1, "maxout"), torch.randn(5, 3)
    assert isinstance(net[1], Maxout)
    below = x @ net[0].weight.T + net[0].bias                                # (5, 4)
    greatest = torch.stack([torch.maximum(below[:, 0], below[:, 1]), torch.maximum(below[:, 2], below[:, 3])], 1)
    torch.testing.assert_close(net(x), greatest @ net[2].weight.T + net[2].bias)
