"""Views counted out and drawn: what they are, that answers are their mean, in every command alike, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from altering import SHAPE, altered, moved, pictures
from torch.nn import functional as F

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.registry import augments
from chainrule.data.views import views_of
from chainrule.job.build import build
from chainrule.job.options import Options

USUAL = {"net": "lenet:filters=4x6,hidden=16", "epochs": 2, "batch": 50, "plan": "eager", "progress": False}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def made(spec, x, augment=None):
    return [alter(x) for alter in views_of(spec, augment, tuple(x.shape[1:])).alters]


@pytest.mark.parametrize(("spec", "reach", "mode"), [("ten-crop", 4, "constant"), ("ten-crop:2", 2, "constant"),
                                                     ("ten-crop:padding=3,fill=reflect", 3, "reflect"), ("crop:2+flip", 2, "constant"),
                                                     ("shift:3+flip", 3, "constant")])
def test_ten_views_are_the_middle_and_four_corners_and_their_reflections(spec, reach, mode):
    """Each made by padding and cutting one picture with numpy."""
    x = pictures(3)
    places = [(0, 0), *((down, right) for down in (-reach, reach) for right in (-reach, reach))]
    expected = [torch.stack([torch.from_numpy(moved(one.numpy(), down, right, mode).copy()) for one in x]) for down, right in places]
    expected += [one.flip(3) for one in expected]
    views = made(spec, x)
    assert len(views) == 10
    assert all(any(torch.equal(view, one) for view in views) for one in expected)
    assert all(any(torch.equal(view, one) for one in expected) for view in views)


def test_flip_alone_is_two_views_and_flat_rows_are_pictures():
    x = pictures(3)
    assert [torch.equal(view, one) for view, one in zip(made("flip", x), (x, x.flip(3)), strict=True)] == [True, True]
    flat = [alter(x.flatten(1)) for alter in views_of("flip", None, SHAPE).alters]
    assert torch.equal(flat[1], x.flip(3).flatten(1))


def test_draws_are_the_row_as_it_is_and_draws_of_the_augmentation():
    x, spec = pictures(3), "shift:2+noise"
    torch.manual_seed(0)
    first, *others = made("4", x, spec)
    assert torch.equal(first, x)
    assert torch.equal(others[0], altered(spec, x))
    assert len({tuple(one.flatten().tolist()) for one in others}) == 3


def test_every_augmentation_that_moves_by_whole_pixels_has_views():
    assert {e.name for e in augments.entries() if e.traits.moves == "whole"} == {e.name for e in augments.entries() if e.traits.views}


@pytest.mark.parametrize(("options", "views"), [
    ({"views": "ten-crop:1"}, lambda x: [F.pad(x, (2, 2, 2, 2))[:, :, a : a + 8, b : b + 8]
                                          for a, b in ((2, 2), (1, 1), (1, 3), (3, 1), (3, 3))]),
    ({"views": "flip"}, lambda x: [x]),
])
def test_probabilities_are_the_mean_over_the_views(options, views):
    """Second derivation: the module called on each view in turn, softmax, mean."""
    run = cr.train("digits", **USUAL, **options)
    rows = run.job.data.valid
    x = rows.x.float() / 16
    both = [one for view in views(x) for one in (view, view.flip(3))]
    with torch.no_grad():
        expected = torch.stack([run.net(view).softmax(1) for view in both]).mean(0)
    torch.testing.assert_close(run.trained.predictions(rows), expected, rtol=1e-4, atol=1e-6)
    right = int((expected.argmax(1) == rows.y).sum())
    assert run.valid.n - run.valid.errors == right
    assert not torch.allclose(expected, run.net(x).softmax(1), atol=1e-4)


def test_values_are_averaged_in_their_own_units():
    x = torch.rand(80, 1, 8, 8).numpy()
    run = cr.train((x, 100 + 50 * x[:, 0, :, :4].sum((1, 2)) - 20 * x[:, 0, :, 4:].sum((1, 2))), views="flip", **USUAL)
    rows = run.job.data.valid
    ready = run.trained.ready(rows.x)
    with torch.no_grad():
        mean = (run.net(ready) + run.net(ready.flip(3))) / 2
    torch.testing.assert_close(run.trained.predictions(rows), run.trained.encoder.target.unscale(mean), rtol=1e-4, atol=1e-3)


def test_a_run_answers_by_its_views_wherever_it_is_asked():
    run = cr.train("digits", augment="shift:1", views="5", **USUAL)
    again = cr.Run(run.path)
    rows = run.job.data.valid
    expected = run.trained.predictions(rows)
    assert torch.equal(again.trained.predictions(rows), expected)                     # the same draws
    assert again.valid.errors == int((expected.argmax(1) != rows.y).sum())
    torch.testing.assert_close(again.predict("digits")[0][rows.rows[:1]].sum(), torch.tensor(1.0))
    assert json.loads((run.path / "run.json").read_text())["options"]["views"] == "5"
    plain = cr.train("digits", augment="shift:1", **USUAL)
    assert all(torch.equal(a, b) for a, b in zip(plain.net.parameters(), run.net.parameters(), strict=True))   # training is as without


@pytest.mark.parametrize(("options", "sentence"), [
    ({"views": "rotate:10"}, r"There are no views by rotate that could be counted out\. .*--views 10"),
    ({"views": "ten-crops"}, "There are no views by ten-crops that could be counted out. Did you mean ten-crop"),
    ({"views": "1"}, "--views expects 2 to 1000 draws; got 1"),
    ({"views": "8"}, "--views 8 draws views by --augment, and none is given"),
    ({"views": "ten-crop:9"}, "crop expects padding to be from 0 to 7"),
])
def test_views_that_do_not_exist_are_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        build(cr.load("digits"), Options(net="mlp", **options))


def test_rows_that_are_no_pictures_and_answers_without_a_mean_are_refused():
    with pytest.raises(InputError, match=r"iris has samples of shape \(4,\)|samples of shape \(4,\)"):
        build(cr.load("iris"), Options(net="mlp", views="flip"))
    with pytest.raises(InputError, match="the task is reconstruction"):
        build(cr.load("digits"), Options(net="autoencoder", views="flip"))
    runs = [cr.train("digits", views="flip", seed=seed, split_seed=0, **USUAL) for seed in (0, 1)]
    with pytest.raises(InputError, match="answers by the mean over views of each row, and members of a committee by rows as they are"):
        cr.committee(*runs)
