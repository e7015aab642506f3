"""Pictures of layers through training from run folders, and the reports of all that is more than one run."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
from looked import look

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.core.events import Diagnosed, Looked
from chainrule.runs.folder import LOG
from chainrule.sinks import runlog
from chainrule.workflows.about import again, next_step
from chainrule.workflows.columns import columns_of, importances
from chainrule.workflows.picture import picture
from chainrule.workflows.report_of import report
from chainrule.workflows.worst import mistakes_of

QUICK = {"plan": "eager", "threads": 1, "progress": False}


def looked_at(run, fall):
    """The run with looks in its log, as if it had been looked at."""
    events = [e for e in runlog.read(run.path / LOG) if not isinstance(e, Looked)]
    own = [*events[:-1], *(look(step, 4, fall) for step in (0, 1, 10, 40)), events[-1]]
    (run.path / LOG).write_text("".join(dataclasses.replace(e, at=i).to_json() + "\n" for i, e in enumerate(own)))
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow")
    return [looked_at(cr.train("iris", net="mlp:hidden=5", epochs=3, seed=seed, split_seed=0, out=folder / f"run-{seed}", **QUICK), fall)
            for seed, fall in ((0, 0.1), (1, 3.5))]


def test_flow_is_drawn_alone_and_beside_another_on_one_scale(runs, tmp_path, capsys):
    alone = picture(runs[0], "flow", tmp_path / "a.png")
    assert alone.path.read_bytes()[:4] == b"\x89PNG"
    both = picture(runs[0], "flow", tmp_path / "b.svg", against=runs[1].path)
    text = both.path.read_text()
    assert all(run.name in text for run in runs)
    assert {row["run"] for row in both.figures} == {run.name for run in runs}
    steep = [row["gradient"] for row in both.figures if row["run"] == "run-1"]
    assert np.log10(steep) == pytest.approx([-12.5, -9, -5.5, -2])
    assert run_command(["picture", str(runs[0].path), "flow", "--reading", "dead", "--out", str(tmp_path / "c.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["figures"][-1]["dead"] == 0.25
    assert run_command(["picture", str(runs[0].path), "flow", "--reading", "ded"]) == 2
    assert "dead" in capsys.readouterr().err


def test_a_run_that_nobody_looked_at_is_refused(tmp_path):
    run = cr.train("iris", net="softmax", epochs=1, out=tmp_path / "r", **QUICK)
    (run.path / LOG).write_text("".join(e.to_json() + "\n" for e in run.events if not isinstance(e, Looked)))
    with pytest.raises(InputError, match="was not looked at"):
        picture(run, "flow")


def test_histograms_say_of_when_they_are(runs, tmp_path):
    start = picture(runs[0], "histograms", tmp_path / "s.png", when="start").figures
    end = picture(runs[0], "histograms", tmp_path / "e.png").figures
    assert [row["layer"] for row in start] == [row["layer"] for row in end]
    assert start[0]["activation_sd"] != end[0]["activation_sd"]
    with pytest.raises(InputError, match="start"):
        picture(runs[0], "histograms", tmp_path / "x.png", when="strat")


def test_a_report_has_its_parts_in_order(runs):
    page = runs[0].report(overwrite=True).read_text()
    heads = re.findall(r"<h2>([^<]*)</h2>", page)
    order = ["Learning curves", "Gradient flow", "Worst mistakes", "Validation result", "Calibration", "Columns", "Layers",
             "Data and splits", "How it ran", "How to repeat it"]
    assert [head for head in heads if head in order] == [head for head in order if head in heads]
    assert set(order) - set(heads) <= {"Worst mistakes"}
    assert page.count('<p class="next">') == 1
    assert "SHA-256 of the data" in page
    assert runs[0].record["data"]["fingerprint"] in page


def test_several_runs_are_compared_on_one_page(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(["report", *(str(run.path) for run in runs)]) == 0
    page = (tmp_path / "comparison.html").read_text()
    flows = [json.loads(text.replace("&#34;", '"')) for text in re.findall(r'data-flow="([^"]*)"', page)]
    assert {tuple(flow["scale"]) for flow in flows[:2]} == {(-13, 3)}
    assert "class=\"verdict\"" in page


def test_a_sweep_a_check_and_rates_have_reports(tmp_path):
    sweep = cr.sweep("iris", over={"seed": (0, 1, 2)}, net="mlp:hidden=4", epochs=2, out=tmp_path / "sweep", **QUICK)
    page = report(sweep.path).read_text()
    assert "Over 3 runs" in page
    assert "Over repetitions" in page
    assert page.count('class="band') >= 2
    checked = cr.check("iris", net="softmax", epochs=2, plan="eager", out=tmp_path / "check")
    assert "A look at iris" in report(checked.path).read_text()
    rates = cr.find_rate("iris", net="softmax", steps=30, plan="eager", out=tmp_path / "rates")
    page = report(rates.path.parent).read_text()
    assert rates.optimizer in page
    with pytest.raises(InputError, match="no run"):
        report(tmp_path)


def two_columns(n=400, seed=0):
    """One column that decides, one that says nothing, words with gaps."""
    g = np.random.default_rng(seed)
    decides, noise = g.normal(size=n), g.normal(size=n)
    words = np.where(g.random(n) < 0.2, None, g.choice(["red", "blue"], n))
    return pd.DataFrame({"decides": decides, "noise": noise, "colour": words, "kind": np.where(decides > 0, "up", "down")})


def test_columns_that_decide_are_told_from_those_that_do_not(tmp_path):
    run = cr.train(two_columns(), target="kind", net="mlp:hidden=8", epochs=30, out=tmp_path / "r", **QUICK)
    rises = importances(run.trained, run.job.data.valid)
    assert rises["decides"][1] > 0.1
    assert rises["noise"][1] < 0.05
    columns = columns_of(run.trained, run.job.data)
    assert columns[0].name == "decides"
    colour = next(c for c in columns if c.name == "colour")
    assert 15 < float(colour.gaps.removesuffix(" %")) < 25
    for column in columns:
        assert sum(column.train) == pytest.approx(1, abs=1e-6)
        assert len(column.train) == len(column.other) == len(column.bins)
    wrong, _ = mistakes_of(run.trained, run.validation)
    assert all(one.lines[0].startswith("row ") for one in wrong)
    assert not wrong or any("decides = " in line for line in wrong[0].lines)
    page = run.report().read_text()
    assert "<h2>Columns</h2>" in page


def test_numbers_furthest_off_come_first(tmp_path):
    g = np.random.default_rng(0)
    x = g.normal(size=200)
    run = cr.train(pd.DataFrame({"x": x, "y": 3 * x + g.normal(size=200)}), target="y", net="linear", epochs=5, out=tmp_path / "r", **QUICK)
    wrong, words = mistakes_of(run.trained, run.validation)
    off = (run.validation.answers - run.validation.truth).abs()[:, 0]
    first = int(off.argmax())
    assert wrong[0].lines[0] == f"row {int(run.validation.rows[first])}"
    assert "furthest off" in words
    assert "What is left of y" in run.report().read_text()


def test_the_next_command_is_the_first_remedy(tmp_path):
    record = {"asked": {"net": "mlp:hidden=5", "epochs": 3, "init": "normal:0.01"}, "data": {"origin": {"kind": "named", "what": "iris"}}}
    assert again(record) == "chainrule train iris --net mlp:hidden=5 --epochs 3 --init normal:0.01"
    command, _ = next_step(tmp_path, record, [{"remedy": "--init glorot", "options": "--init glorot"}], None)
    assert command.endswith("--init glorot")
    assert "normal:0.01" not in command
    other = [{"remedy": "look at the data"}]
    assert next_step(tmp_path, record, other, None)[0].startswith("chainrule doctor")
    assert next_step(tmp_path, record, [], None)[0].startswith("chainrule test")


def test_a_diagnosis_stands_on_top(runs):
    run = runs[1]
    events = run.events
    event = Diagnosed(len(events), 0.0, "D01", "layers.0", "the gradient is 1e-12", "--init glorot")
    (run.path / LOG).write_text("".join(e.to_json() + "\n" for e in [*events[:-1], event, events[-1]]))
    page = run.report(overwrite=True).read_text()
    head = page[page.index("<h1>") : page.index("<h2>")]
    assert "the gradient is 1e-12" in head
    assert "--init glorot" in head
