"""The picture of a graph, of a formula and of a run: figures, refusals, and a file that is a picture."""

import json
from pathlib import Path

import pytest
import torch

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.observe.graph import of_operations
from chainrule.plots.graph import layout
from chainrule.workflows.graph import figures
from chainrule.workflows.picture import is_formula, picture

QUICK = {"epochs": 2, "plan": "eager", "threads": 1, "progress": False}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_formula_is_drawn_by_the_command(capsys, tmp_path):
    assert run_command(["picture", "e = (a + b) * (b + 1)", "graph", "--at", "a=2,b=1", "--json"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert "by b: 5, the sum over 2 paths" in lines
    assert "  b -> a + b -> e: 1 x 2 = 2" in lines
    drawn = json.loads(last)
    assert drawn["out"] == "graph.png"
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")
    assert {row["node"]: (row["value"], row["derivative"]) for row in drawn["figures"] if "node" in row} == {
        "a": (2, 2), "b": (1, 5), "a + b": (3, 2), "b + 1": (2, 3), "e = (a + b) * (b + 1)": (6, 1)}
    assert run_command(["picture", "e = a * b", "graph", "--at", "a=2,b=1"]) == 2
    assert "graph.png is there already" in capsys.readouterr().err


def test_a_run_s_net_is_drawn_for_a_row_and_its_derivatives_are_autograd_s(tmp_path):
    run = cr.train("iris", net="mlp:hidden=3,activation=tanh", **QUICK)
    row = int(run.job.data.valid.rows[3])
    drawn = picture(run, "graph", row=row)
    assert drawn.path.read_bytes().startswith(b"\x89PNG")
    nodes = {one["node"]: one for one in drawn.figures if "node" in one}
    x = run.trained.ready(run.job.data.valid.x[3:4]).double().requires_grad_()
    net = run.net.double()
    loss = run.job.loss.each(net(x), run.job.data.valid.y[3:4]).sum()
    (slopes,) = torch.autograd.grad(loss, x)
    for name, value, slope in zip(run.job.data.encoder.inputs.feature_names, x[0].tolist(), slopes[0].tolist(), strict=True):
        assert nodes[name]["value"] == pytest.approx(value)
        assert nodes[name]["derivative"] == pytest.approx(slope, rel=1e-6)
    assert nodes["cross-entropy loss"]["value"] == pytest.approx(float(loss.detach()))
    assert all(one["sum"] == pytest.approx(nodes[one["from"]]["derivative"]) for one in drawn.figures if "from" in one)
    assert next(one["paths"] for one in drawn.figures if "from" in one) == 3 * 3      # hidden units, scores


def test_a_larger_net_is_drawn_by_layers_whose_derivatives_are_autograd_s(tmp_path):
    run = cr.train("digits", net="mlp:hidden=16", **QUICK)
    drawn = picture(run, "graph")
    assert drawn.path.read_bytes().startswith(b"\x89PNG")
    layers = {one["layer"]: one for one in drawn.figures if "layer" in one}
    assert [(name, one["kind"]) for name, one in layers.items()][1:] == [
        ("hidden1", "Dense + ReLU"), ("output", "Dense"), ("cross-entropy loss", "loss")]
    x, y = run.trained.ready(run.job.data.valid.x[:1]), run.job.data.valid.y[:1]
    scores = run.net(x).requires_grad_()
    loss = run.job.loss.each(scores, y).sum()
    (slope,) = torch.autograd.grad(loss, scores)
    assert layers["output"]["values"] == pytest.approx([float(scores.detach().square().mean().sqrt())], rel=1e-5)
    assert layers["output"]["derivatives"] == pytest.approx([float(slope.square().mean().sqrt())], rel=1e-5)
    assert layers["cross-entropy loss"]["derivatives"] == [1.0]
    assert any("numbers for one row, and at most 60 are drawn one by one" in line for line in drawn.lines)
    assert drawn.lines[-1] == "1 path from the input to the loss, the sum over which is the derivative"


def test_a_net_of_blocks_is_drawn_with_equal_ones_once(capsys):
    run = cr.train("digits", net="resnet:depth=20,width=0.25", **{**QUICK, "epochs": 1, "steps": 2})
    assert run_command(["picture", str(run.path), "graph", "--out", "net.svg", "--json"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    layers = [one for one in json.loads(last)["figures"] if "layer" in one]
    assert max(one["times"] for one in layers) >= 3
    assert all(len(one["derivatives"]) in (0, one["times"]) for one in layers)
    assert "512 paths from the input to the loss, the sum over which is the derivative" in lines    # two ways around each of nine blocks
    assert "histograms" not in "".join(lines)
    text = Path("net.svg").read_text()
    assert all(f"× {one['times']}<" in text for one in layers if one["times"] > 1)


def test_what_cannot_be_drawn_is_refused_with_what_can(tmp_path):
    run = cr.train("iris", net="linear", **QUICK)
    with pytest.raises(InputError, match="belongs to the test part"):
        picture(run, "graph", row=int(run.job.data.door.rows[0]))
    with pytest.raises(InputError, match="has no row 99999999999999999999; rows are numbered from 0 to 149"):
        picture(run, "graph", row=99999999999999999999)
    machine = cr.train("digits", net="rbm:hidden=4", **{**QUICK, "epochs": 1})
    with pytest.raises(InputError, match="no loss of targets"):
        picture(machine, "graph")


def test_a_folder_is_no_formula(tmp_path):
    (tmp_path / "a=1").mkdir()
    assert not is_formula("a=1")
    assert not is_formula("runs/digits-mlp-1")
    assert is_formula("e=(a+b)*(b+1)")


def test_nodes_of_one_column_stand_apart():
    places = layout([0, 0, 1, 1, 2], [(0, 2, 1.0), (1, 3, 1.0), (2, 4, 1.0), (3, 4, 1.0)])
    assert len(set(places)) == 5
    assert places[4][1] == pytest.approx((places[2][1] + places[3][1]) / 2)


def test_a_graph_without_edges_has_no_sums():
    assert [row for row in figures(of_operations([("a", 3.0)], [])) if "from" in row] == []


@pytest.mark.parametrize(("net", "branches"), [("resnet:depth=8,width=0.25", True), ("densenet:depth=10,growth=4", True), ("lenet", False)])
def test_the_report_draws_branches_where_there_are_such(net, branches):
    run = cr.train("digits", net=net, **{**QUICK, "epochs": 1, "steps": 1})
    page = run.report().read_text()
    assert ('class="wired"' in page, '<ol class="net">' in page) == (branches, not branches)
