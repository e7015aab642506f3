"""A committee's folder where a run's is expected: report, export, predict, repeat, and what is refused."""

import base64
import json
import re

import pytest
import torch

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.core.text import shown
from chainrule.engine import checkpoint
from chainrule.evaluate.combination import combine
from chainrule.evaluate.intervals import wilson
from chainrule.evaluate.standing import Standing

WEAK = {"net": "mlp:hidden=3", "epochs": 3, "optimizer": "adam:rate=0.02", "plan": "eager", "batch": 8, "progress": False}
HALVED = "train=.4,valid=.3,test=.3"


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four committees on iris, wine or diabetes: of bags, of values, and boosted in two ways."""
    torch.set_num_threads(1)
    where = tmp_path_factory.mktemp("runs")
    bags = cr.sweep("wine", over={"bootstrap": (1, 2, 3)}, **WEAK, split=HALVED, out=where / "bags")
    cr.committee(bags, out=where / "joined")
    values = cr.sweep("diabetes", over={"bootstrap": (1, 2)}, **WEAK, split=HALVED, out=where / "bags-of-values")
    cr.committee(values, out=where / "values")
    cr.boost("wine", rounds=3, **WEAK, split=HALVED, out=where / "samme")
    cr.boost("wine", rounds=3, by="gradient", **WEAK, split=HALVED, out=where / "gradient")
    return where


ALL = ["joined", "values", "samme", "gradient"]


@pytest.mark.parametrize("name", ALL)
def test_a_report_tells_how_it_stands_against_its_members(folder, name):
    path = cr.Committee(folder / name).report(folder / f"{name}.html")
    page = path.read_text()
    standing = cr.Committee(folder / name).standing()
    assert "Against its members, on validation" in page
    assert "Against its members, on test" not in page
    assert f"chainrule repeat {folder / name}" in page
    assert all(f"<td>{each}</td>" in page for each in standing.names)
    if name == "joined":
        ends = wilson(round(standing.score), standing.n)
        assert f"{shown(ends.low, True)} to {shown(ends.high, True)} %" in page
        d = standing.pairs[0].difference
        assert f"{shown(d.value, True)} ({shown(d.low, True)} to {shown(d.high, True)}) %" in page
    pictures = re.findall(r'alt="([^"]+)".*?', page)
    assert any("as members join" in caption for caption in pictures)
    assert base64.b64decode(re.search(r"data:image/svg\+xml;base64,([^\"]+)", page)[1]).startswith(b"<?xml")


def test_after_a_test_the_report_has_its_standing_too_and_opens_nothing(folder):
    made = cr.Committee(folder / "joined")
    made.test()
    again = cr.Committee(folder / "joined")
    assert isinstance(again.tested_standing, Standing)
    assert again.tested_standing == made.tested_standing
    assert again.tested_standing.n == made.tested.n
    assert again.tested_standing.score == made.tested.errors
    opened = (folder / "openings.jsonl").read_text()
    assert "Against its members, on test" in again.report().read_text()
    assert (folder / "openings.jsonl").read_text() == opened
    assert cr.Committee(folder / "samme").tested_standing is None


@pytest.mark.parametrize("name", ALL)
def test_its_growth_ends_with_the_whole_committee_and_begins_with_the_first_member(folder, name):
    made = cr.Committee(folder / name)
    part = made.job.data.valid
    scores, own = made.growth(part)
    standing = made.standing()
    unit = 100 / standing.n if standing.measure == "errors" else 1
    assert scores[own][-1] == pytest.approx(unit * standing.score, rel=1e-6)
    assert all(len(line) == len(made) for line in scores.values())
    if name != "gradient":
        assert scores[own][0] == pytest.approx(unit * standing.scores[0], rel=1e-6)
    else:
        assert scores["sum"] == pytest.approx([unit * s for s in standing.scores])
    if name == "joined":
        two = combine(made.each(part)[:2], "product")
        assert scores["product"][1] == pytest.approx(100 * float((two.argmax(1) != made.truth(part)).double().mean()))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("to", ["pt2", "safetensors"])
def test_it_is_exported_as_one_net(folder, tmp_path, name, to):
    path, difference = cr.Committee(folder / name).export(to, tmp_path / f"net.{to}")
    assert path.exists()
    assert difference < 1e-5


@pytest.mark.parametrize("by", ["product", "vote"])
def test_every_way_of_combining_is_exported(folder, tmp_path, by):
    made = cr.committee(folder / "bags", by=by, out=tmp_path / "c")
    assert made.export("pt2")[1] < 1e-5


def test_an_exported_committee_says_the_log_of_its_probabilities(folder, tmp_path):
    made = cr.Committee(folder / "joined")
    path, _ = made.export("pt2", tmp_path / "net.pt2")
    part = made.job.data.valid
    said = torch.export.load(path).module()(made.job.data.ready(part.x))
    torch.testing.assert_close(said.exp(), made.job.trained.predictions(part), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["joined", "values", "samme", "gradient"])
def test_repeating_trains_every_member_again(folder, name):
    assert cr.repeat(folder / name, progress=False) == (True, 0.0)


def test_repeating_finds_a_member_that_is_not_what_its_record_makes(folder, tmp_path):
    sweep = cr.sweep("wine", over={"bootstrap": (1, 2)}, **WEAK, split=HALVED, out=tmp_path / "bags")
    cr.committee(sweep, out=tmp_path / "c")
    best = sweep.runs[1].path / "best.safetensors"
    found, payload = checkpoint.read(best)
    name = next(iter(found))
    checkpoint.write(best, {**found, name: found[name] + 0.25}, payload)
    assert cr.repeat(tmp_path / "c", progress=False) == (False, pytest.approx(0.25))


def test_the_commands_read_a_committees_folder(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made = str(folder / "joined")
    assert run_command(["report", made, "--out", "r.html", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"out": "r.html"}
    assert run_command(["export", made, "--to", "safetensors", "--out", "net.safetensors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["max_difference"] == 0
    assert run_command(["predict", made, "wine", "--out", "said.csv"]) == 0
    capsys.readouterr()
    for given in (["resume", made], ["picture", made, "histograms"]):
        assert run_command(given) == 2
        said = capsys.readouterr().err.strip()
        assert said.count("\n") == 0
        assert "is a committee of runs, and this is done with one run. Name one of them, e.g. " in said
        assert str(folder / "bags") in said
    assert run_command(["report", str(folder / "bags"), "--out", "s.html"]) == 0
    assert "Runs, best first" in (tmp_path / "s.html").read_text()


def test_a_committee_with_dropout_tells_how_sure_it_is(tmp_path):
    sweep = cr.sweep("iris", over={"bootstrap": (1, 2)}, **{**WEAK, "net": "mlp:hidden=8,dropout=0.5"}, out=tmp_path / "s")
    made = cr.committee(sweep, out=tmp_path / "c")
    mean, spread = made.uncertainty("iris", samples=4)
    assert mean.shape == (150, 3)
    assert float(spread["entropy"].max()) > 0


def test_a_picture_of_growth_needs_lines_of_one_length():
    from chainrule.plots.ensemble import growth

    figure = growth({"mean": [3.0, 2.0], "vote": [3.0, 2.5]}, "mean", alone=[3.0, 4.0], intervals=[wilson(3, 10), wilson(2, 10)])
    axes = figure.axes[0]
    assert [line.get_label() for line in axes.lines] == ["each member alone", "mean", "vote"]
    assert list(axes.lines[1].get_ydata()) == [3.0, 2.0]
    assert axes.get_ylim()[0] == 0
    one = {"mean": [1.0]}
    for scores, own, alone in ((one | {"vote": [1.0, 2.0]}, "mean", ()), (one, "sum", ()), (one, "mean", [1.0, 2.0])):
        with pytest.raises(InputError, match="one score for each size"):
            growth(scores, own, alone=alone)
