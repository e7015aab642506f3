"""The detector: a grid a power of two coarser, read by the same weights everywhere."""

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.core.registry import nets


@pytest.mark.parametrize(("spec", "sides", "grid"), [
    ("detector", (64, 64), (8, 8)), ("detector", (65, 33), (9, 5)), ("detector:filters=4x8", (30, 8), (8, 2)),
    ("detector:filters=4,layers=1", (7, 5), (4, 3))])
def test_each_stage_halves_the_picture(spec, sides, grid):
    net = nets.choose(spec).make((3, *sides), 9)
    assert net(torch.rand(2, 3, *sides)).shape == (2, 9, *grid)


def test_parameters_add_up():
    net = nets.choose("detector:filters=4x8,layers=2,norm=none").make((3, 32, 32), 7)
    expected = (27 * 4 + 4) + (36 * 4 + 4) + (36 * 8 + 8) + (72 * 8 + 8) + (8 * 7 + 7)
    assert sum(p.numel() for p in net.parameters()) == expected


def test_what_is_moved_by_a_cell_is_answered_a_cell_further():
    torch.manual_seed(0)
    net = nets.choose("detector:filters=4x4").make((1, 64, 64), 6).eval()
    x = torch.zeros(1, 1, 64, 64)
    x[..., 24:34, 20:30] = torch.rand(10, 10)
    with torch.no_grad():
        here, there = net(x), net(x.roll((8, -4), (2, 3)))
    torch.testing.assert_close(here.roll((2, -1), (2, 3))[..., 4:12, 4:12], there[..., 4:12, 4:12])


@pytest.mark.parametrize(("spec", "shape", "words"), [
    ("detector", (9,), "reads pictures"), ("detector:layers=0", (1, 8, 8), "detector:filters=16x32x64"),
    ("detector:filters=none", (1, 8, 8), "filters=none")])
def test_what_does_not_fit_is_said(spec, shape, words):
    with pytest.raises(InputError, match=words):
        nets.choose(spec).make(shape, 6)
