"""The picture of a graph, of a formula and of a run: figures, refusals, and a file that is a picture."""

import json

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


def test_what_cannot_be_drawn_is_refused_with_what_can(tmp_path):
    run = cr.train("digits", net="mlp:hidden=16", **QUICK)
    with pytest.raises(InputError, match=r"at most 60 nodes; .* has"):
        picture(run, "graph")
    run = cr.train("iris", net="linear", **QUICK)
    with pytest.raises(InputError, match="belongs to the test part"):
        picture(run, "graph", row=int(run.job.data.door.rows[0]))


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
