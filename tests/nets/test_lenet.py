"""LeNet: published parameter counts, its arithmetic by explicit sums, and pictures of every size."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import nets


@pytest.mark.parametrize(("spec", "parameters"), [
    ("lenet", 431_080),  # the 20-50-500-10 net of Caffe's MNIST example
    ("lenet:filters=32x64,hidden=1024,padding=same", 3_274_634),  # TensorFlow's "Deep MNIST for experts"
])
def test_published_parameter_counts(spec, parameters):
    assert Net.of(nets.choose(spec).make((1, 28, 28), 10)).count() == parameters


@pytest.mark.parametrize(("shape", "left"), [
    ((1, 8, 8), 2 * 2), ((1, 28, 28), 4 * 4), ((3, 32, 32), 5 * 5), ((2, 17, 40), 1 * 7), ((1, 4, 4), 1), ((1, 15, 64), 3 * 16),
])
def test_pads_only_pictures_that_would_not_fit(shape, left):
    net = nets.choose("lenet").make(shape, 7)
    assert net.hidden.in_features == 50 * left
    assert net(torch.randn(3, *shape)).shape == (3, 7)


def correlate(x: torch.Tensor, kernels: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Valid cross-correlation by explicit sums over windows."""
    side = kernels.shape[-1]
    windows = x.unfold(2, side, 1).unfold(3, side, 1)  # (n, c, h', w', side, side)
    return torch.einsum("nchwij,ocij->nohw", windows, kernels) + bias[:, None, None]


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_is_the_formula_written_out(pooling, padding):
    torch.manual_seed(0)
    spec = f"lenet:filters=2x3,hidden=4,kernel=3,activation=tanh,pooling={pooling},padding={padding}"
    net = nets.choose(spec).make((2, 13, 12), 3).double()
    x = torch.randn(4, 2, 13, 12, dtype=torch.double)
    p, maps = dict(net.named_parameters()), x
    for stage in ("conv1", "conv2"):
        if padding == "same":
            maps = F.pad(maps, (1, 1, 1, 1))
        maps = correlate(maps, p[f"features.{stage}.weight"], p[f"features.{stage}.bias"]).tanh()
        tiles = maps.unfold(2, 2, 2).unfold(3, 2, 2)
        maps = tiles.amax((-1, -2)) if pooling == "max" else tiles.mean((-1, -2))
    hidden = (maps.flatten(1) @ p["hidden.weight"].T + p["hidden.bias"]).tanh()
    torch.testing.assert_close(net(x), hidden @ p["output.weight"].T + p["output.bias"])


def test_moving_the_picture_by_four_pixels_moves_the_last_maps_by_one():
    torch.manual_seed(0)
    net, digit = nets.choose("lenet").make((1, 28, 28), 10), torch.zeros(1, 1, 28, 28)
    digit[..., 8:16, 8:16] = torch.rand(8, 8)
    maps, moved = net.features(digit), net.features(digit.roll((4, 4), (2, 3)))
    torch.testing.assert_close(moved[..., 1:, 1:], maps[..., :-1, :-1])


def test_dropout_is_between_the_dense_layers():
    torch.manual_seed(0)
    net, x = nets.choose("lenet:dropout=0.5").make((1, 8, 8), 2), torch.randn(2, 1, 8, 8)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_dropout_stands_wherever_it_was_asked_for():
    net = nets.choose("lenet:dropout=0.5,map_dropout=0.1x0.2,input_dropout=0.3").make((1, 8, 8), 2)
    shares = {name: part.p for name, part in net.named_modules() if isinstance(part, nn.Dropout)}
    assert shares == {"features.input_dropout": 0.3, "features.dropout1": 0.1, "features.dropout2": 0.2, "dropout": 0.5}


def test_maxout_takes_the_greatest_of_neighbouring_maps_and_units():
    net = nets.choose("lenet:filters=2x3,hidden=4,activation=maxout").make((1, 8, 8), 5)
    assert [net.features.conv1.out_channels, net.features.conv2.in_channels] == [4, 2]
    assert [net.hidden.out_features, net.output.in_features] == [8, 4]
    assert net(torch.randn(3, 1, 8, 8)).shape == (3, 5)


@pytest.mark.parametrize(("spec", "shape", "words"), [
    ("lenet:map_dropout=0.1x0.2x0.3", (1, 8, 8), "one for each of 2"), ("lenet:norm=group,groups=7", (1, 8, 8), "got groups=7 for 20"),
    ("lenet", (1, 3, 9), "needs pictures of at least 4 x 4; got 3 x 9"), ("lenet:padding=valid", (1, 8, 8), "at least 16 x 16; got 8 x 8"),
    ("lenet", (64,), r"pictures \(channels, height, width\); got inputs of shape \(64,\). Use --net mlp"),
    ("lenet:kernel=0", (1, 8, 8), "kernel=0"), ("lenet:filters=20x0", (1, 8, 8), "filters=20x0"),
    ("lenet:activation=relo", (1, 8, 8), "Did you mean relu"), ("lenet:dropout=-1", (1, 8, 8), "dropout"),
])
def test_what_cannot_be_built_is_refused_in_one_sentence(spec, shape, words):
    with pytest.raises(InputError, match=words):
        nets.choose(spec).make(shape, 10)
