"""Boxes against pixels counted one by one, and the middle of maps."""

import pytest
import torch
from torch.autograd import gradcheck

from chainrule.core.boxes import areas, generalised, intersection_over_union, shared
from chainrule.core.errors import InputError
from chainrule.core.maps import central

SIDE = 12


def pixels(box):
    """The pixels of a grid that a box of whole edges covers."""
    x0, y0, x1, y1 = box.long().tolist()
    grid = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    grid[y0:y1, x0:x1] = True
    return grid


def some_boxes(count=40):
    torch.manual_seed(0)
    ends = torch.randint(0, SIDE + 1, (4 * count, 2, 2)).sort(1).values                # (n, low and high, x and y)
    kept = ends[(ends[:, 0] < ends[:, 1]).all(1)][:count]
    return kept.flatten(1).double()                                                     # x0, y0, x1, y1


def test_areas_and_overlaps_are_counts_of_pixels():
    boxes = some_boxes()
    for a, b in zip(boxes, boxes.flip(0), strict=True):
        one, two = pixels(a), pixels(b)
        both, either = int((one & two).sum()), int((one | two).sum())
        assert int(areas(a)) == int(one.sum())
        assert int(shared(a, b)) == both
        assert float(intersection_over_union(a, b)) == pytest.approx(both / either)
        around = pixels(torch.cat([torch.minimum(a, b)[:2], torch.maximum(a, b)[2:]]))
        assert float(generalised(a, b)) == pytest.approx(both / either - (int(around.sum()) - either) / int(around.sum()))


def test_a_box_without_area_shares_nothing():
    flat, box = torch.tensor([3.0, 3.0, 3.0, 5.0]), torch.tensor([0.0, 0.0, 6.0, 6.0])
    assert float(intersection_over_union(flat, box)) == 0
    assert float(intersection_over_union(flat, flat)) == 0


def test_the_generalised_overlap_has_a_slope_where_boxes_are_apart():
    a = torch.tensor([0.0, 0.0, 2.0, 2.0], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([5.0, 5.0, 6.0, 8.0], dtype=torch.float64)
    assert float(intersection_over_union(a, b)) == 0
    assert gradcheck(lambda a: generalised(a, b), (a,))
    (slope,) = torch.autograd.grad(generalised(a, b), a)
    assert slope[2] > 0
    assert slope[3] > 0


def test_the_middle_of_a_map():
    maps = torch.arange(35).view(1, 5, 7)
    assert central(maps, (5, 7)).equal(maps)
    assert central(maps, (1, 3)).tolist() == [[[16, 17, 18]]]
    assert central(maps, (2, 2)).tolist() == [[[9, 10], [16, 17]]]
    with pytest.raises(InputError, match="at most the 5 x 7"):
        central(maps, (6, 7))
