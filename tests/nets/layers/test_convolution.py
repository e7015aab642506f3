"""The arithmetic of convolution and pooling: worked grids, torch's own functions, and shapes by counting places."""

import pytest
import torch
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.nets.layers.convolution import Convolution, block, check_picture, side_after
from chainrule.nets.layers.pooling import GlobalAverage, Pool, SubSampling, pooled

PICTURE = torch.tensor([[3., 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]])
KERNEL = torch.tensor([[0., 1, 2], [2, 2, 0], [0, 1, 2]])


def convolved(picture, kernel, **options):
    layer = Convolution(1, 1, len(kernel), bias=False, **options)
    with torch.no_grad():
        layer.weight.copy_(kernel[None, None])
        return layer(picture[None, None])[0, 0]


def test_the_worked_grid_without_padding():
    assert convolved(PICTURE, KERNEL, padding="valid").tolist() == [[12, 12, 17], [10, 17, 19], [9, 6, 14]]


@pytest.mark.parametrize("padding", ["half", "same"])
def test_the_worked_grid_with_padding_and_stride_two(padding):
    assert convolved(PICTURE, KERNEL, stride=2, padding=padding).tolist() == [[6, 17, 3], [8, 17, 13], [6, 4, 4]]


def test_the_worked_grid_of_a_kernel_of_two():
    picture = torch.tensor([[.4, .9, .1], [.7, .2, .6], [.8, .3, .5]])
    kernel = torch.tensor([[5.7, 2.4], [3.1, .9]])
    torch.testing.assert_close(convolved(picture, kernel, padding="valid"), torch.tensor([[6.79, 6.53], [7.22, 3.96]]), atol=5e-3, rtol=0)


@pytest.mark.parametrize("padding", ["valid", "half", "same"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [
    (1, 1, 1), (2, 1, 1), (3, 1, 1), (3, 2, 1), (3, 1, 2), (5, 2, 1), (8, 1, 1), (4, 3, 2),
])
def test_sides_are_counted_as_the_layer_leaves_them(kernel, stride, dilation, padding):
    for side in range(dilation * (kernel - 1) + 1, 20):
        layer = Convolution(1, 1, kernel, stride=stride, dilation=dilation, padding=padding)
        left = side_after(side, kernel, stride=stride, padding=padding, dilation=dilation)
        assert layer(torch.zeros(1, 1, side, side + 1)).shape[2] == left
        if padding == "same":
            assert left == -(-side // stride)


@pytest.mark.parametrize(("kernel", "dilation"), [(2, 1), (3, 1), (4, 1), (4, 3), (8, 1)])
def test_same_padding_is_torchs_own(kernel, dilation):
    layer, x = Convolution(2, 3, kernel, dilation=dilation, padding="same"), torch.randn(2, 2, 9, 11)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias, padding="same", dilation=dilation))


def test_groups_see_only_their_own_channels():
    layer, x = Convolution(4, 6, 3, groups=2), torch.randn(2, 4, 5, 5)
    first = F.conv2d(x[:, :2], layer.weight[:3], layer.bias[:3], padding=1)
    second = F.conv2d(x[:, 2:], layer.weight[3:], layer.bias[3:], padding=1)
    torch.testing.assert_close(layer(x), torch.cat([first, second], 1))


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (4, 2), (5, 3), (3, 3)])
def test_pooling_takes_every_window_that_begins_inside(kind, size, stride):
    for side in range(1, 13):
        x = torch.randn(2, 3, side, side)
        width = min(size, side)
        starts = [s for s in range(0, side, stride) if s == 0 or s - stride + width < side]
        fold = torch.amax if kind == "max" else torch.mean
        rows = [torch.stack([fold(x[:, :, i : i + width, j : j + width], (2, 3)) for j in starts], 2) for i in starts]
        torch.testing.assert_close(Pool(kind, size, stride)(x), torch.stack(rows, 2))
        assert pooled(side, size, stride) == len(starts)


def test_sub_sampling_is_the_sum_of_four_times_a_gain_and_shifted():
    layer, x = SubSampling(2), torch.randn(3, 2, 6, 4)
    with torch.no_grad():
        layer.gain.copy_(torch.tensor([0.5, -2.0]))
        layer.bias.copy_(torch.tensor([1.0, 3.0]))
    sums = x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]
    torch.testing.assert_close(layer(x), torch.stack([0.5 * sums[:, 0] + 1, -2 * sums[:, 1] + 3], 1))


def test_the_global_average_is_each_maps_mean():
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(GlobalAverage()(x), x.sum((2, 3)) / 20)


def test_a_block_before_a_normalisation_has_no_bias():
    assert block("test", 3, 4, 3, norm="batch").conv.bias is None
    assert block("test", 3, 4, 3).conv.bias is not None


@pytest.mark.parametrize("options", [{"groups": 2}, {"stride": 0}, {"dilation": 0}])
def test_impossible_convolutions_are_refused(options):
    with pytest.raises(InputError, match="groups that divide"):
        Convolution(3, 4, 3, **options)


def test_other_inputs_and_too_small_pictures_are_refused_with_the_least_size():
    with pytest.raises(InputError, match="reads pictures"):
        check_picture("vgg", (5,))
    with pytest.raises(InputError, match="at least 17 x 17; got 8 x 30"):
        check_picture("capsnet", (1, 8, 30), 17)
