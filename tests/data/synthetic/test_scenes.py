"""Drawn scenes: the same for one seed, boxes that hug what is drawn and hardly overlap."""

import pytest
import torch

import chainrule as cr
from chainrule.core.boxes import intersection_over_union
from chainrule.core.errors import InputError


def test_a_scene_is_a_function_of_seed_and_number():
    few, more = cr.load("scenes:count=6,side=32,seed=4"), cr.load("scenes:count=9,side=32,seed=4")
    assert few.inputs.equal(more.inputs[:6])
    assert few.targets.corners.equal(more.targets.corners[:6, : few.targets.corners.shape[1]])
    assert not few.inputs.equal(cr.load("scenes:count=6,side=32,seed=5").inputs)
    assert cr.load(few.origin["what"]).fingerprint == few.fingerprint


@pytest.mark.parametrize("content", ["shapes", "digits"])
def test_boxes_lie_in_their_pictures_and_hardly_overlap(content):
    source = cr.load(f"scenes:count=60,side=48,content={content}")
    corners, present = source.targets.corners, source.targets.labels >= 0
    assert (present.sum(1) >= 1).all()
    boxes = corners[present]
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= 48).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    for own, marked in zip(corners, present, strict=True):
        pairs = intersection_over_union(own[marked][:, None], own[marked][None])
        assert float((pairs - torch.eye(len(pairs))).max()) <= 0.05 + 1e-6
    assert len(source.classes) == (4 if content == "shapes" else 10)


def test_a_box_hugs_what_is_drawn():
    """Beside the picture's ground, what stands out reaches each edge of the box, and no further: of single large objects, noise aside."""
    source = cr.load("scenes:count=30,side=64,objects=1")
    for pixels, (x0, y0, x1, y1), label in zip(source.inputs.float(), source.targets.corners[:, 0].int().tolist(),
                                               source.targets.labels[:, 0].tolist(), strict=True):
        if source.classes[label] != "rectangle":
            continue
        inside = pixels[:, y0:y1, x0:x1].mean((1, 2))
        left, right = pixels[:, y0:y1, x0 : x0 + 1], pixels[:, y0:y1, x1 - 1 : x1]
        for strip in (left, right, pixels[:, y0 : y0 + 1, x0:x1], pixels[:, y1 - 1 : y1, x0:x1]):
            assert float((strip.mean((1, 2)) - inside).abs().mean()) < 20


@pytest.mark.parametrize("options", ["count=4", "side=20", "objects=0", "content=letters"])
def test_options_that_allow_no_scene_are_refused(options):
    with pytest.raises(InputError, match="scenes"):
        cr.load(f"scenes:{options}")
