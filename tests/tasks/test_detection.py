"""Detection: what outputs of a grid mean, their costs against loops over boxes, answers, columns and pictures."""

import math

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.boxes import Boxes, generalised
from chainrule.core.errors import InputError, Interrupted
from chainrule.core.events import Evaluated
from chainrule.core.net import Net
from chainrule.core.registry import losses
from chainrule.data.reading import Reading
from chainrule.engine.stop import Stop
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.job.own import Own
from chainrule.tasks.detection import Detect, cells, decoded
from chainrule.workflows.predict import predict_to

SCENES = "scenes:count=40,side=32"
QUICK = {"steps": 2, "batch": 8, "plan": "eager", "threads": 1, "net": "detector:filters=4x8"}
CORNERS = torch.tensor([[[4.0, 2, 12, 10], [20, 16, 30, 31]], [[0, 0, 6, 9], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
LABELS = torch.tensor([[1, 0], [2, -1], [-1, -1]])


class Given(nn.Module):
    """Outputs that were given."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = nn.Parameter(outputs)

    def forward(self, x):
        return self.outputs


def logit(p):
    return math.log(p / (1 - p))


def answering(corners, labels, size, grid, classes):
    """Outputs that say what is true with near certainty: the inverse of what decoding does, box by box."""
    raw = torch.full((len(corners), 5 + classes, *grid), -20.0)
    for at in range(len(corners)):
        for (x0, y0, x1, y1), label in zip(corners[at].tolist(), labels[at].tolist(), strict=True):
            if label < 0:
                continue
            y, x = (y0 + y1) / 2 / size[0] * grid[0], (x0 + x1) / 2 / size[1] * grid[1]
            row, column = int(y), int(x)
            values = [20.0, logit(y - row), logit(x - column), logit((y1 - y0) / size[0]), logit((x1 - x0) / size[1])]
            raw[at, :5, row, column] = torch.tensor(values)
            raw[at, 5 + label, row, column] = 20.0
    return raw


def test_decoding_gives_back_what_was_encoded():
    size, grid = (32, 40), (4, 5)
    corners = CORNERS.clone() + torch.tensor([0.5, 0.25, 0.5, 0.25])
    raw = answering(corners, LABELS, size, grid, 3)
    boxes, objectness, scores = decoded(raw, size)
    at = cells(corners, size, grid)
    for n in range(3):
        for k in range(2):
            if LABELS[n, k] >= 0:
                torch.testing.assert_close(boxes[n, at[n, k]], corners[n, k], atol=1e-3, rtol=1e-4)
                assert float(objectness[n, at[n, k]]) == 20
                assert int(scores[n, at[n, k]].argmax()) == int(LABELS[n, k])
    assert int((objectness > 0).sum()) == 3


def test_costs_are_those_of_a_loop_over_boxes_and_cells():
    torch.manual_seed(0)
    size, grid = (32, 32), (4, 4)
    raw, y = torch.randn(3, 8, *grid), Boxes(CORNERS, LABELS)
    costs = Detect(losses.choose("cross-entropy").make())(Net.of(Given(raw)), Batch(torch.zeros(3, 1, *size), y))
    boxes, objectness, scores = decoded(raw, size)
    for n in range(3):
        marked = {(int((y0 + y1) / 2 // 8), int((x0 + x1) / 2 // 8)): (k, torch.tensor([x0, y0, x1, y1]))
                  for k, (x0, y0, x1, y1) in enumerate(CORNERS[n].tolist()) if LABELS[n, k] >= 0}
        count, box, label, there = max(len(marked), 1), 0.0, 0.0, 0.0
        for row in range(4):
            for column in range(4):
                at = 4 * row + column
                is_there = (row, column) in marked
                p = float(objectness[n, at].double().sigmoid())
                there += -math.log(p) if is_there else -0.5 * math.log(1 - p)
                if is_there:
                    k, corners = marked[row, column]
                    box += 2 * (1 - float(generalised(boxes[n, at], corners)))
                    label += float(F.cross_entropy(scores[n, at], LABELS[n, k]))
        assert float(costs["objectness"][n]) == pytest.approx(there / count, rel=1e-4)
        assert float(costs["box"][n]) == pytest.approx(box / count, rel=1e-4, abs=1e-6)
        assert float(costs["class"][n]) == pytest.approx(label / count, rel=1e-4, abs=1e-6)


def test_a_picture_without_boxes_has_finite_slopes():
    net = Net.of(Given(torch.randn(3, 8, 4, 4)))
    costs = Detect(losses.choose("cross-entropy").make())(net, Batch(torch.zeros(3, 1, 32, 32), Boxes(CORNERS, LABELS)))
    (slope,) = torch.autograd.grad(sum(c.sum() for c in costs.values()), list(net.params.values()))
    assert slope.isfinite().all()


def test_outputs_that_say_the_truth_are_measured_as_perfect():
    job = build(cr.load("scenes:count=40,side=32,objects=2"), Options(**QUICK))
    part, task = job.data.valid, job.task
    raw = answering(part.y.corners + 1e-3, part.y.labels, (32, 32), (16, 16), 4)
    answer, truth = task.answer(raw, job.loss), task.truth(part, job.data.ready)
    result = task.measure(answer, truth, seed=0)
    assert {name: round(m.value, 3) for name, m in result.measures.items() if "[" not in name} == {
        "iou": 1.0, "precision": 1.0, "recall": 1.0, "average_precision": 1.0}
    assert task.grades(answer, truth).tolist() == pytest.approx([1.0] * len(part), abs=1e-3)
    cases = task.outcomes(job.trained.inference, part, answer, "rows")
    assert cases.costs.tolist() == pytest.approx([0.0] * len(part), abs=1e-3)
    columns = task.columns(answer)
    assert len(columns["label"]) == int((part.y.labels >= 0).sum())


def test_outcomes_have_the_mean_of_the_measure():
    job = build(cr.load(SCENES), Options(**{**QUICK, "steps": 30}))
    list(job.events())
    part = job.data.train
    answer = job.trained.predictions(part)
    iou = job.trained.measure(part).measures["iou"].value
    assert float(job.trained.outcomes(part, "rows", answer).costs.mean()) == pytest.approx(1 - iou)


def test_predictions_are_a_row_a_box_and_can_be_read_as_boxes(tmp_path):
    run = cr.train(SCENES, out=tmp_path / "run", progress=False, **QUICK)
    source = cr.load("scenes:count=5,side=32,seed=2")
    folder = tmp_path / "new"
    (folder / "images").mkdir(parents=True)
    for i, pixels in enumerate(source.inputs):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / "images" / f"{i}.png")
    trained, known = run.trained, source.targets
    trained.task.answer = lambda raw, loss: torch.cat(
        [known.corners, known.labels[..., None], (known.labels[..., None] >= 0).float()], 2)                     # what a perfect net says
    count = predict_to(trained, str(folder / "images"), folder / "boxes.csv")
    assert count == int((known.labels >= 0).sum())
    table = pl.read_csv(folder / "boxes.csv")
    assert table.columns == ["row", "file", "label", "x0", "y0", "x1", "y1", "confidence"]
    again = cr.load(str(folder))
    names = np.array(source.classes)
    for at in range(5):
        marked = known.labels[at] >= 0
        read = again.targets.labels[at] >= 0
        torch.testing.assert_close(again.targets.corners[at][read], known.corners[at][marked])
        assert [again.classes[i] for i in again.targets.labels[at][read]] == names[known.labels[at][marked]].tolist()


def test_blocks_without_boxes_leave_one_heading(tmp_path, monkeypatch):
    monkeypatch.setattr("chainrule.workflows.predict._block", lambda trained, x: 4)
    run = cr.train(SCENES, out=tmp_path / "run", progress=False, **QUICK)
    run.trained.task.answer = lambda raw, loss: torch.tensor([0.0, 0, 0, 0, -1, 0]).expand(len(raw), 1, 6)
    for name in ("none.csv", "none.parquet", "none.npz"):
        assert predict_to(run.trained, cr.load("scenes:count=9,side=32"), tmp_path / name) == 0
    assert (tmp_path / "none.csv").read_text() == "row,label,x0,y0,x1,y1,confidence\n"
    assert pl.read_parquet(tmp_path / "none.parquet").shape == (0, 7)


def test_a_test_and_a_report_draw_the_worst(tmp_path):
    run = cr.train(SCENES, out=tmp_path / "run", progress=False, **QUICK)
    run.test()
    assert (tmp_path / "run" / "boxes.png").read_bytes().startswith(b"\x89PNG")
    assert "answers worst" in run.report().read_text()
    grades = run.job.task.grades(run.validation.mistakes.answers, run.validation.mistakes.truth).tolist()
    assert grades == sorted(grades)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path):
    options = {**QUICK, "steps": None, "epochs": 3, "progress": False}
    whole = cr.train(SCENES, out=tmp_path / "whole", **options)
    stop = Stop()

    def after_an_epoch(event):
        if isinstance(event, Evaluated):
            stop.request("SIGINT")

    with pytest.raises(Interrupted):
        cr.train(SCENES, out=tmp_path / "part", stop=stop, sinks=[after_an_epoch], **options)
    again = cr.resume(tmp_path / "part", progress=False)
    assert all(p.equal(q) for p, q in zip(whole.net.parameters(), again.net.parameters(), strict=True))


def test_runs_are_repeated_and_compared(tmp_path):
    runs = [cr.train(SCENES, out=tmp_path / str(seed), progress=False, seed=seed, split_seed=0, **QUICK) for seed in (0, 1)]
    assert cr.repeat(runs[0].path, progress=False) == (True, 0.0)
    comparison = cr.compare(*runs)
    assert comparison.measure == "mean of 1 - IoU over boxes"
    with pytest.raises(InputError, match="was trained for detection"):
        cr.compare(runs[0], "knn")


def test_members_are_trained_side_by_side(tmp_path):
    sweep = cr.train(SCENES, members=2, out=tmp_path / "sweep", progress=False, **QUICK)
    assert len(sweep.runs) == 2


@pytest.mark.parametrize(("options", "words"), [
    ({"net": "mlp"}, "Use --net detector"),
    ({"net": "unet:width=2"}, "unet is made for segmentation, whose targets are maps; scenes has boxes"),
    ({"rule": "perceptron"}, "in boxes"), ({"optimizer": "lbfgs-newton"}, "optimizer"), ({"classes": "disc"}, "no classes to pick")])
def test_what_does_not_go_with_boxes_is_said(options, words):
    with pytest.raises(InputError, match=words):
        build(cr.load(SCENES), Options(**{**QUICK, **options}))


def test_a_net_without_a_grid_is_refused():
    with pytest.raises(InputError, match=r"outputs \(n, 5 \+ classes, rows, columns\) of a grid; got \(8, 9\)"):
        build(cr.load(SCENES), Options(**{**QUICK, "net": None}), Own(net=nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 9))))


def test_boxes_are_checked_without_a_word_on_their_labels(tmp_path):
    report = cr.check("scenes:count=60,side=32", out=tmp_path / "check", **{**QUICK, "steps": None, "epochs": 1})
    assert any("the target is boxes" in line or "rows outside the test part" in line for line in report.skipped)


def test_what_adds_up_rows_refuses_boxes(tmp_path):
    with pytest.raises(InputError, match="scenes asks for detection"):
        cr.boost(SCENES, out=tmp_path / "b", progress=False, net="detector:filters=4x8", epochs=1)


def test_edges_are_told_in_pixels_of_the_file_that_was_brought_to_a_size(tmp_path):
    for name, (high, wide) in {"a": (64, 32), "b": (64, 32), "c": (16, 48)}.items():
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (wide, high)).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "boxes.csv").write_text("file,label,x0,y0,x1,y1\na.png,cat,0,0,8,16\nb.png,dog,8,8,32,64\nc.png,cat,0,4,24,8\n")
    source = cr.load(str(tmp_path), reading=Reading(resize="32"))
    assert source.targets.corners[:, 0].tolist() == [[0, 0, 8, 8], [8, 4, 32, 32], [0, 8, 16, 16]]
    run = cr.train(source, out=tmp_path / "run", progress=False, split="train=1,valid=0,test=0", **QUICK)
    known = torch.cat([source.targets.corners, source.targets.labels[..., None], torch.ones(3, 1, 1)], 2)
    run.trained.task.answer = lambda raw, loss: known
    predict_to(run.trained, str(tmp_path), tmp_path / "out.csv")
    table = pl.read_csv(tmp_path / "out.csv")
    assert table.columns == ["row", "file", "height", "width", "label", "x0", "y0", "x1", "y1", "confidence"]
    assert table.select("x0", "y0", "x1", "y1").rows() == [(0, 0, 8, 16), (8, 8, 32, 64), (0, 4, 24, 8)]
