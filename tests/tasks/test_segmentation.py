"""Segmentation: its criterion against pixels one by one, nets that answer for the middle, its constant answer and its columns."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.criterion import Pixelwise
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.job.own import Own

ROADS = "roads:count=24,side=16"
QUICK = {"steps": 2, "batch": 4, "plan": "eager", "threads": 1}


class Valid(nn.Module):
    """A convolution that answers for all but the outermost pixels."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, x):
        return self.conv(x)


def test_costs_are_the_mean_over_the_pixels_of_a_picture():
    torch.manual_seed(0)
    outputs, y = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5), dtype=torch.uint8)
    criterion = Pixelwise(losses.choose("cross-entropy").make())
    costs = criterion.costs(outputs, Batch(torch.zeros(2, 1), y))
    for at in range(2):
        each = [float(F.cross_entropy(outputs[at, :, i, j], y[at, i, j].long())) for i in range(4) for j in range(5)]
        assert float(costs[at]) == pytest.approx(sum(each) / 20, rel=1e-5)


def test_a_net_that_answers_for_the_middle_is_compared_with_the_middle():
    torch.manual_seed(0)
    module, x = Valid(), torch.rand(2, 3, 6, 7)
    y = torch.randint(3, (2, 6, 7), dtype=torch.uint8)
    criterion = Pixelwise(losses.choose("cross-entropy").make())
    costs = criterion(Net.of(module), Batch(x, y))["loss"]
    y[:, 0], y[:, -1], y[:, :, 0], y[:, :, -1] = 0, 1, 2, 0                       # the frame says nothing
    torch.testing.assert_close(criterion(Net.of(module), Batch(x, y))["loss"], costs)
    job = build(cr.load(ROADS), Options(**QUICK), Own(net=module))
    list(job.events())
    part = job.data.valid
    answer = job.trained.predictions(part)
    assert answer.shape == (len(part), 14, 14, 3)
    result = job.trained.measure(part)
    right = (answer.argmax(-1) == part.y[:, 1:-1, 1:-1]).double().mean()
    assert result.measures["accuracy"].value == pytest.approx(float(right))
    assert job.validate(None)["accuracy"] == pytest.approx(float(right))
    cases = job.trained.outcomes(part, "rows", answer)
    assert float(cases.costs.mean()) == pytest.approx(1 - float(right))


def test_the_constant_answer_is_the_class_of_most_pixels():
    job = build(cr.load(ROADS), Options(**QUICK))
    baseline = job.trained.measure(job.data.valid).baseline
    share = float((job.data.valid.y == 0).double().mean())
    assert baseline.name == "always field"
    assert baseline.measures["accuracy"].value == pytest.approx(share)
    present = len(job.data.valid.y.unique())
    assert baseline.measures["iou"].value == pytest.approx(share / present)


def test_columns_are_shares_of_classes():
    job = build(cr.load(ROADS), Options(**QUICK))
    columns = job.task.columns(job.trained.predictions(job.data.valid))
    assert list(columns) == ["share(field)", "share(building)", "share(road)"]
    assert sum(columns.values()) == pytest.approx([1.0] * len(job.data.valid))


@pytest.mark.parametrize(("options", "words"), [
    ({"net": "mlp"}, "Use --net unet"), ({"net": "local"}, "local:centre=16"), ({"rule": "perceptron"}, "for every pixel"),
    ({"task": "classification"}, "Use --task segmentation"), ({"class_weights": "balanced"}, "class")])
def test_what_does_not_go_with_maps_is_said(options, words):
    with pytest.raises(InputError, match=words):
        build(cr.load(ROADS), Options(**{**QUICK, **options}))


def test_a_net_that_answers_for_more_than_the_picture_is_refused():
    with pytest.raises(InputError, match="at most the 16 x 16 pixels of a map; got 18 x 18"):
        build(cr.load(ROADS), Options(**QUICK), Own(net=nn.Conv2d(3, 3, 1, padding=1)))


def test_locally_connected_layers_label_the_middle_of_a_patch():
    """As the road finder does: the central 4 x 4 of 16 x 16 pixels."""
    job = build(cr.load(ROADS), Options(**QUICK, net="local:maps=4x4,kernel=4,hidden=8,centre=4"))
    assert job.task.name == "segmentation"
    part = job.data.valid
    answer = job.trained.predictions(part)
    assert answer.shape == (len(part), 4, 4, 3)
    expected = (answer.argmax(-1) == part.y[:, 6:10, 6:10]).double().mean()
    assert job.trained.measure(part).measures["accuracy"].value == pytest.approx(float(expected))


def test_the_worst_come_first(tmp_path):
    run = cr.train(ROADS, net="unet:width=2,depth=1", out=tmp_path / "run", progress=False, **QUICK)
    worst, part = run.validation.mistakes, run.job.data.valid
    grades = run.job.task.grades(worst.answers, worst.truth)
    assert grades.tolist() == sorted(grades.tolist())
    assert float(grades[0]) == pytest.approx(1 - float(run.job.trained.outcomes(part, "rows").costs.max()))
    assert worst.images.shape[1:] == (3, 16, 16)
    run.test()
    assert (tmp_path / "run" / "maps.png").read_bytes().startswith(b"\x89PNG")
    assert "answers worst" in run.report().read_text()


@pytest.mark.parametrize(("options", "words"), [({"augment": "noise+flip"}, "flip moves pixels, and the maps of roads would stay"),
                                                ({"views": "ten-crop"}, "belong to a whole row")])
def test_what_would_part_pixels_from_their_classes_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        build(cr.load(ROADS), Options(**QUICK, **options))


def test_what_moves_nothing_alters_the_pictures_alone():
    job = build(cr.load(ROADS), Options(**QUICK, augment="noise:0.1+cutout:3"))
    *_, end = job.events()
    assert sum(end.stage_steps) == 2


def test_passes_with_dropout_are_not_spread_over_pixels(tmp_path):
    run = cr.train(ROADS, out=tmp_path / "run", progress=False, **QUICK, net="unet:width=2,depth=1,dropout=0.5")
    with pytest.raises(InputError, match="answers to whole rows spread; the task is segmentation"):
        run.uncertainty(cr.load(ROADS), samples=2)
