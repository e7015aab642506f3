"""Nets moved over larger pictures: at each place what the net says of the window there."""

import pytest
import torch
from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.fully_convolutional import fully_convolutional


class Flattens(nn.Module):
    """One's own, that flattens without a layer and reads whole maps."""

    def __init__(self):
        super().__init__()
        self.conv, self.output = nn.Conv2d(1, 3, 5), nn.Linear(3 * 12 * 12, 4)

    def forward(self, x):
        return self.output(self.conv(x).flatten(1))


OWN = {"sequential": nn.Sequential(nn.Conv2d(1, 3, 5, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(108, 6), nn.ReLU(), nn.Linear(6, 4))}


@pytest.mark.parametrize(("spec", "stride"), [
    ("lenet:filters=3x4,hidden=6,padding=valid", 4), ("convnet:pattern=4-pool-5,dense=6,padding=valid,kernel=5", 2),
    ("convnet:pattern=4-pool-5,padding=valid,head=average,dense=none", 2), ("sequential", 2)])
def test_the_answer_at_a_place_is_that_to_the_window_there(spec, stride):
    torch.manual_seed(0)
    side = 16 if spec in OWN else 28
    module = OWN[spec] if spec in OWN else nets.choose(spec).make((1, side, side), 4)
    module.eval()
    moved = fully_convolutional(module, torch.rand(2, 1, side, side))
    x = torch.rand(2, 1, side + 2 * stride, side + 5 * stride)
    with torch.no_grad():
        everywhere = moved(x)
        assert everywhere.shape == (2, 4, 3, 6)
        for row in range(3):
            for column in range(6):
                window = x[..., stride * row : stride * row + side, stride * column : stride * column + side]
                torch.testing.assert_close(everywhere[..., row, column], module(window), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("spec", ["all-cnn:width=0.05", "nin:width=0.05", "resnet:width=0.25", "vgg:width=0.06",
                                  "densenet:depth=10,growth=4"])
def test_nets_that_pad_answer_as_ever_to_a_picture_of_their_size(spec):
    torch.manual_seed(0)
    module, x = nets.choose(spec).make((1, 32, 32), 4).eval(), torch.rand(2, 1, 32, 32)
    moved = fully_convolutional(module, x)
    with torch.no_grad():
        torch.testing.assert_close(moved(x).flatten(1), module(x), atol=1e-5, rtol=1e-4)
        assert moved(torch.rand(1, 1, 32, 64)).shape[3] > 1


def test_the_net_itself_stays_as_it_was():
    module = nets.choose("lenet:filters=3x4,hidden=6").make((1, 28, 28), 4)
    before = {name: p.clone() for name, p in module.state_dict().items()}
    fully_convolutional(module, torch.rand(1, 1, 28, 28))
    assert module.training
    assert all(torch.equal(before[name], p) for name, p in module.state_dict().items())
    assert not any(layer._forward_pre_hooks for layer in module.modules())


def test_what_cannot_be_moved_is_refused():
    for module, side in ((Flattens(), 16), (nets.choose("lenet5").make((1, 32, 32), 4), 32)):
        with pytest.raises(InputError, match=f"{type(module).__name__} cannot be moved over a larger picture"):
            fully_convolutional(module, torch.rand(1, 1, side, side))
