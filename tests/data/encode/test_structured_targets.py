"""Targets of more structure: maps and boxes as they are encoded, by the classes that training knew, and as trees in parts and feeds."""

import pytest
import torch

import chainrule as cr
from chainrule.core.batch import map_tensors
from chainrule.core.boxes import Boxes
from chainrule.core.errors import InputError
from chainrule.data import fingerprint
from chainrule.data.encode.target_encoder import TargetEncoder
from chainrule.data.feed.shuffled import Feed
from chainrule.data.prepare import prepare
from chainrule.data.resample import bootstrapped
from chainrule.data.source import Source

PIXELS = torch.arange(8 * 12, dtype=torch.float32).view(8, 1, 3, 4)
LABELS = torch.tensor([[0, 1], [1, -1], [-1, -1], [0, 0], [1, 0], [0, -1], [1, 1], [0, 1]])
CORNERS = torch.arange(8 * 2 * 4, dtype=torch.float32).view(8, 2, 4)


def source(kind, targets, classes=("cat", "dog")):
    return Source("things", PIXELS, targets, kind, {"kind": "memory", "what": "x"}, fingerprint.of(PIXELS, targets, classes), classes)


def test_classes_are_those_of_training_whatever_their_order_elsewhere():
    encoder = TargetEncoder("boxes", ("dog", "cat"))
    y = encoder.encode(source("boxes", Boxes(CORNERS, LABELS)), torch.tensor([1, 3]))
    assert y.labels.tolist() == [[0, -1], [1, 1]]
    assert y.corners.equal(CORNERS[[1, 3]])
    maps = torch.randint(2, (8, 3, 4), dtype=torch.uint8)
    again = TargetEncoder("maps", ("fox", "dog", "cat")).encode(source("maps", maps))
    assert again.dtype == torch.uint8
    assert again.equal(2 - maps)


def test_a_class_that_training_never_saw_is_named_with_its_row():
    with pytest.raises(InputError, match="row 2: the class 'dog' was never seen"):
        TargetEncoder("boxes", ("cat", "fox")).encode(source("boxes", Boxes(CORNERS, LABELS)), torch.tensor([5, 1, 4]))
    maps = torch.zeros(8, 3, 4, dtype=torch.uint8)
    maps[6, 2, 3] = 1
    with pytest.raises(InputError, match="row 7: the class 'dog' was never seen"):
        TargetEncoder("maps", ("cat",)).encode(source("maps", maps))


def test_targets_of_another_form_are_refused():
    with pytest.raises(InputError, match="things has maps as targets; the network was trained on boxes"):
        TargetEncoder("boxes", ("cat", "dog")).encode(source("maps", torch.zeros(8, 3, 4, dtype=torch.uint8)))


def test_trees_keep_their_rows_through_parts_and_feeds():
    """Each box's corners name its row, so that any mixing of rows is seen."""
    data = prepare(source("boxes", Boxes(CORNERS, LABELS)), split={"train": 0.75, "valid": 0.125, "test": 0.125})
    part = data.train
    assert part.y.corners[:, 0, 0].tolist() == (8.0 * part.rows).tolist()
    assert part.rows_at(2, 4).y.labels.equal(part.y.labels[2:4])
    feed = Feed(part, lambda x: x, batch=2, seed=1)
    for epoch in range(2):
        for chunk in feed.chunks(epoch, size=2):
            for batch in chunk.unbind():
                row = (batch.x[:, 0, 0, 0] * feed_scale(data) + feed_shift(data)).round()
                assert (batch.y.corners[:, 0, 0] / 8).tolist() == row.tolist()
    drawn = bootstrapped(data, 1, 0).train
    assert drawn.y.corners[:, 0, 0].tolist() == (8.0 * drawn.rows).tolist()


def feed_scale(data):
    """Units of a row's first number for each unit of the encoded one."""
    return float(1 / data.encoder.inputs.scale[1][0]) / 12


def feed_shift(data):
    return float(data.encoder.inputs.scale[0][0]) / 12


def test_the_fingerprint_knows_every_tensor_of_a_tree():
    first = source("boxes", Boxes(CORNERS, LABELS)).fingerprint
    assert source("boxes", Boxes(CORNERS.clone(), LABELS.clone())).fingerprint == first
    for changed in (Boxes(CORNERS + 1, LABELS), Boxes(CORNERS, LABELS.clamp(min=0))):
        assert source("boxes", changed).fingerprint != first


def test_a_tree_may_lack_anything():
    assert map_tensors(lambda t: t + 1, {"a": torch.zeros(1), "b": None})["b"] is None
    assert map_tensors(lambda t: t, None) is None


def test_a_named_set_with_options_is_found_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = cr.train("roads:count=16,side=16,seed=3", net="unet:width=2,depth=1", steps=1, plan="eager", progress=False)
    assert cr.Run(run.path).job.source.fingerprint == run.job.source.fingerprint
