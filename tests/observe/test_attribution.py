"""What an answer hangs on: of a linear score in closed form, square by square, and the maps and filters of layers as they are."""

import pytest
import torch
from torch import nn

from chainrule.core.errors import InputError
from chainrule.observe.attribution import activations, filters, occlusion, saliency

torch.manual_seed(0)
X, W = torch.randn(3, 2, 5, 6, dtype=torch.float64), torch.randn(2, 5, 6, dtype=torch.float64)


def linear(x):
    return (x * W).flatten(1).sum(1)


def test_the_saliency_of_a_linear_score_is_its_weights():
    torch.testing.assert_close(saliency(linear, X), W.abs().amax(0).expand(3, 5, 6))


def test_the_saliency_is_the_slope_of_differences():
    def score(x):
        return linear(x).tanh() * x[:, 0, 1, 1]

    found, step = saliency(score, X), 1e-6
    for place in ((0, 2), (1, 1), (4, 5)):
        slopes = []
        for channel in range(2):
            moved = X.clone()
            moved[:, channel, place[0], place[1]] += step
            slopes.append((score(moved) - score(X)) / step)
        torch.testing.assert_close(found[:, place[0], place[1]], torch.stack(slopes).abs().amax(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("side", "stride"), [(1, 1), (2, 1), (3, 2), (5, 4)])
def test_covering_takes_from_a_linear_score_what_the_square_gave(side, stride):
    """Each pixel has the mean over the squares that cover it, which reach the borders whatever the stride."""
    falls = occlusion(linear, X, side=side, stride=stride, fill=0.5)
    gave = ((X - 0.5) * W).sum(1)                                                              # (3, 5, 6)
    squares = [(t, s) for t in sorted({*range(0, 6 - side, stride), 5 - side}) for s in sorted({*range(0, 7 - side, stride), 6 - side})]
    for row in range(5):
        for column in range(6):
            mine = [gave[:, t : t + side, s : s + side].sum((1, 2)) for t, s in squares
                    if t <= row < t + side and s <= column < s + side]
            assert mine
            torch.testing.assert_close(falls[:, row, column], torch.stack(mine).mean(0))


def test_a_square_larger_than_the_picture_is_refused():
    with pytest.raises(InputError, match="side of 1 to 5 pixels"):
        occlusion(linear, X, side=6)


def test_the_maps_of_layers_are_what_they_give_in_evaluation_and_the_net_is_left_as_it_was():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(36, 2)).double().train()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    maps = activations(net, X)
    assert list(maps) == ["0", "1", "2"]
    torch.testing.assert_close(maps["0"], net[0](X))
    torch.testing.assert_close(maps["1"], maps["0"] / (1 + net[1].eps) ** 0.5)                 # not overwritten by what follows in place
    torch.testing.assert_close(maps["2"], maps["1"].relu())
    assert net.training
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert not net[0]._forward_hooks


def test_a_net_without_maps_is_refused():
    with pytest.raises(InputError, match="no layer that gives maps"):
        activations(nn.Sequential(nn.Flatten(), nn.Linear(60, 2)).double(), X)


def test_filters_are_those_larger_than_one_pixel():
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 4, (1, 3)), nn.Flatten(), nn.Linear(4, 2))
    assert {name: tuple(t.shape) for name, t in filters(net).items()} == {"1": (4, 3, 1, 3)}
