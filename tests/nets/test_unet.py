"""U-Net: the paper's sizes and parameters, any side of a picture, and places that answer for themselves."""

import itertools

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.core.registry import nets


def made(spec, shape, outputs=2):
    return nets.choose(spec).make(shape, outputs)


def test_the_paper_s_net_has_its_parameters_and_its_sizes():
    """Figure 1: 572 x 572 pixels are answered in 388 x 388 places; 31.0 million parameters, added up layer by layer here."""
    with torch.device("meta"):
        net = made("unet:padding=valid", (1, 572, 572))
        assert net(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)
    maps = [1, 64, 128, 256, 512, 1024]
    down = sum(9 * a * b + b + 9 * b * b + b for a, b in itertools.pairwise(maps))
    up = sum(4 * 2 * b * b + b + 9 * 2 * b * b + b + 9 * b * b + b for b in maps[1:-1])
    count = sum(p.numel() for p in net.parameters())
    assert count == down + up + 64 * 2 + 2
    assert round(count / 1e6, 1) == 31.0


@pytest.mark.parametrize("sides", [(8, 8), (9, 13), (1, 5), (31, 64)])
def test_a_map_has_the_sides_of_its_picture(sides):
    net = made("unet:width=2,depth=3", (3, *sides), 4)
    assert net(torch.rand(2, 3, *sides)).shape == (2, 4, *sides)


def test_a_pixel_is_answered_for_where_it_is():
    """What a change of one pixel changes most is the answer at that pixel, at any scale's alignment."""
    torch.manual_seed(0)
    net = made("unet:width=8,depth=2", (1, 21, 22), 1).eval()
    for row, column in ((4, 5), (10, 11), (15, 8)):
        x = torch.zeros(1, 1, 21, 22)
        x[0, 0, row, column] = 1
        with torch.no_grad():
            moved = (net(x) - net(torch.zeros_like(x)))[0, 0].abs()
        weight = moved / moved.sum()
        centre = [float((weight.sum(1 - axis) * torch.arange(weight.shape[axis])).sum()) for axis in (0, 1)]
        assert centre == pytest.approx([row, column], abs=1.5)


def test_without_padding_a_window_answers_as_it_does_in_a_larger_picture():
    """The overlap-tile strategy of figure 2: where no zeros come in, the middle of a large picture is answered from its own window."""
    net = made("unet:width=3,depth=1,padding=valid", (1, 30, 30)).eval()
    large = torch.rand(1, 1, 30, 30)
    with torch.no_grad():
        whole, window = net(large), net(large[..., 4:24, 6:26])                       # (..., 14, 14) of 30, (..., 4, 4) of 20
    torch.testing.assert_close(whole[..., 4:8, 6:10], window)


@pytest.mark.parametrize("padding", ["half", "valid"])
def test_what_comes_across_belongs_to_the_same_place(padding):
    """With nothing coming up from below, a pixel is seen through the four finest convolutions alone: 9 x 9 pixels around it."""
    torch.manual_seed(0)
    net = made(f"unet:width=2,depth=2,padding={padding}", (1, 60, 62), 1)
    with torch.no_grad():
        net.grow[-1].weight.zero_()
        for name, p in net.named_parameters():
            p.copy_(p.abs() + 0.01 if "weight" in name and "grow.1" not in name else p * 0)
    x = torch.rand(1, 1, 60, 62, requires_grad=True)
    outputs = net(x)
    margin = [(60 - outputs.shape[2]) // 2, (62 - outputs.shape[3]) // 2]
    (slope,) = torch.autograd.grad(outputs[0, 0, 7, 9], x)
    seen = slope[0, 0].nonzero()
    middle = ((seen.amin(0) + seen.amax(0)) / 2).tolist()
    assert middle == [7 + margin[0], 9 + margin[1]]
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [9, 9]


@pytest.mark.parametrize(("spec", "shape", "words"), [
    ("unet:depth=0", (1, 32, 32), "unet:width=16,depth=3"), ("unet:padding=valid", (1, 64, 64), "at least 173 x 173; got 64 x 64"),
    ("unet", (16,), "reads pictures"), ("unet:dropout=1", (1, 32, 32), "dropout")])
def test_what_does_not_fit_is_said(spec, shape, words):
    with pytest.raises(InputError, match=words):
        made(spec, shape)


def test_the_least_picture_without_padding_leaves_something():
    net = made("unet:width=1,depth=2,padding=valid", (1, 41, 41))
    assert min(net(torch.rand(1, 1, 41, 41)).shape[2:]) >= 1
    with pytest.raises(InputError):
        made("unet:width=1,depth=2,padding=valid", (1, 40, 41))
