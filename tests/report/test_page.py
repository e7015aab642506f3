import base64
import dataclasses
import io
import itertools
import re
from html.parser import HTMLParser

import pytest
import torch
from looked import log
from PIL import Image

from chainrule.core.errors import InputError
from chainrule.core.events import Diagnosed, Evaluated, Finished, Looked, Planned, Saved, Started, Warned
from chainrule.evaluate import measures
from chainrule.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, charts, nice
from chainrule.report.facts import Column, Facts, Table, Wrong
from chainrule.report.flow import opened, readings_of
from chainrule.report.page import fingerprint, part, render, write
from chainrule.report.panels import of_classes, of_numbers
from chainrule.report.verdict import headline

PAYLOADS = ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'onmouseover='alert(1)",
            "</style><script>alert(1)</script>",
            "<svg/onload=alert(1)>", "javascript:alert(1)", "{{ 7 * 191 }}{% set x = 1 %}",
            "&lt;script&gt;", "]]><script>alert(1)</script>",
            "</title><script>alert(1)</script>",
            "<meta http-equiv=refresh content='0;url=http://evil'>", "<link rel=stylesheet href=//evil>",
            "<base href=//evil>", "url(http://evil)", "\u202e<b>", "<iframe src=//evil>"]


def png(side=28):
    file = io.BytesIO()
    Image.new("L", (side, side), 90).save(file, "PNG")
    return file.getvalue()


def result(name="cat"):
    y = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 2] * 10)
    said = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2, 0, 2] * 10)
    found = measures.classification(torch.eye(3)[said] * 0.7 + 0.1, y, [name, f"{name}2", f"{name}3"])
    return dataclasses.replace(found, opened=2).to_dict()


def named(text):
    """The events of a run whose layers bear a name."""
    events = log(layers=3)
    for event in events:
        if isinstance(event, Looked):
            event.looks["layers"][0] = text
    return events


def facts(text="plain"):
    history = [{"epoch": e, "step": 10 * e, "train": {"loss": 1 / e}, "valid": {"loss": 1.1 / e, "accuracy": 1 - 0.5 / e, text: 0.1 * e},
                "best": e == 3} for e in range(1, 6)]
    return Facts(
        title=text, run=f"runs/{text}", settings={text: text, "split": {"train": 0.7, text: [text, True]}},
        data={"name": text, "classes": [text]}, splits={"train": 70, text: 20, "test": 10},
        layers=[{"name": text, "kind": text, "input": (2,), "output": (3, 4), "parameters": 1234, "multiply_adds": 5678, "times": 2}],
        plans=[{"name": text, "since": since, "precision": text, "seconds_per_step": 0.0112, "rejected": [{"plan": text, "reason": text}],
                "reason": text} for since in (0, 1234)],
        timings={"training": 61.0, text: 2.0}, history=history, warnings=[text],
        diagnoses=[{"layer": text, "evidence": text, "remedy": text}], valid=result(text), test=result(text), versions={text: text},
        tables=[Table(text, [text, text], [[text, text]], text)],
        mistakes=[Wrong(png(), [text, text])], mistaken=text, weights=[(text, png(300))], pictures=[(text, png(300))],
        samples=[(text, png(300))], verdicts=[text], next=(text, text), again=text, about={text: text}, files=[text],
        losses=[(s, 2.0 - s / 50) for s in range(0, 50, 2)], flows=[(text, readings_of(named(text)))], histograms=opened(named(text)),
        columns=[Column(text, text, text, [text], [0.5], [0.25], (0.1, 0.05, 0.2))], compared=text,
        panels=[*of_classes(torch.eye(3)[[0, 1, 2, 0] * 5] * 0.7 + 0.1, torch.tensor([0, 1, 2, 1] * 5), [text, "b", "c"]),
                *of_numbers(torch.linspace(0, 1, 30)[:, None].square(), torch.linspace(0, 1, 30)[:, None], [text])],
        histories={text: history, "b": history})


class Page(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.attributes = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_names_from_data_stay_text(payload):
    """The page with a payload in every place has the tags and attribute names of the page without, and shows the payload as it is."""
    plain, spiked = Page(render(facts("plain"))), Page(render(facts(payload)))
    assert spiked.tags == plain.tags
    assert [a[:2] for a in spiked.attributes] == [a[:2] for a in plain.attributes]
    assert "".join(spiked.text).count(payload) >= 20
    assert "1337" not in "".join(spiked.text)


def test_nothing_is_loaded_and_one_script_runs():
    page = render(facts())
    shown = Page(page)
    assert page.startswith("<!doctype html>")
    assert {"link", "iframe", "object", "embed", "base", "form", "a"} & set(shown.tags) == set()
    assert not [a for a in shown.attributes if a[1].startswith("on")]
    assert {value[:22] for _, name, value in shown.attributes if name in ("src", "href", "srcset", "action")} == {"data:image/png;base64,"}
    policy = next(value for tag, name, value in shown.attributes if tag == "meta" and "default-src" in value)
    script, = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{fingerprint(script)}'"
    assert script == part("report.js")
    assert not re.search(r"fetch|XMLHttp|import|eval|innerHTML|document\.write|localStorage|https?:", script)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style


def test_every_measure_is_shown_with_its_interval():
    text = re.sub(r"\s+", " ", " ".join(Page(render(facts())).text))
    assert "80.00 % accuracy on 100 test cases, 20 wrong 95 % interval" in text
    found = result()
    assert f"95 % interval {100 * found['interval']['low']:.2f} % to {100 * found['interval']['high']:.2f} %" in text
    low, high = found["measures"]["recall[cat]"]["low"], found["measures"]["recall[cat]"]["high"]
    assert f"66.67 % {100 * low:.2f} % to {100 * high:.2f} %" in text
    low, high = found["measures"]["brier"]["low"], found["measures"]["brier"]["high"]
    assert f"Brier score {found['measures']['brier']['value']:.4f} {low:.4f} to {high:.4f}" in text
    assert len(re.findall(r"\d to \d|% to \d", text)) >= sum(m["low"] is not None for m in found["measures"].values())
    assert "opened 2 times" in text
    assert "chainrule repeat runs/plain" in text
    assert "1,234" in text
    assert "5,678" in text
    assert "3 × 4" in text


def test_the_confusion_matrix_has_its_counts_and_names_the_worst():
    page = render(facts())
    cells = re.findall(r'<td class="(right|wrong|none)[^"]*" style="--tint: ([\d.]+)" title="([\d.]+) % of the row">([\d,]+)', page)
    assert [int(c[3]) for c in cells] == [20, 10, 0, 0, 20, 0, 10, 0, 40]
    assert [c[0] for c in cells] == ["right", "wrong", "none", "none", "right", "none", "wrong", "none", "right"]
    assert [float(c[2]) for c in cells[:3]] == [66.7, 33.3, 0.0]
    assert "plain taken for plain2: 10 of 30" in page


def test_many_classes_name_the_mistakes_instead_of_a_matrix():
    c = 40
    y = torch.arange(c).repeat(3)
    said = torch.where(y == 7, 9, y)
    found = measures.classification(torch.eye(c)[said] * 0.9 + 0.1 / c, y, [f"class {i}" for i in range(c)], intervals=False).to_dict()
    page = render(Facts(title="x", test=found))
    assert 'class="matrix' not in page
    assert "class 7 taken for class 9: 3 of 3" in page


def test_without_a_test_the_validation_number_is_called_what_it_is():
    page = render(dataclasses.replace(facts(), test=None))
    assert "on 100 validation cases" in re.sub(r"\s+", " ", page)
    assert "this number flatters" in page
    assert "Test result" not in page
    assert "Validation result" in page
    assert page.count('class="matrix') == 1
    bare = dataclasses.replace(facts(), test=None, valid=None)
    assert headline(bare)["number"] == "83.33 %"  # the best epoch's, 1 - 0.5 / 3
    assert "this number flatters" in render(bare)
    assert "Validation result" not in render(bare)


def test_a_regression_leads_with_its_error_in_the_units_of_the_target():
    y = torch.linspace(0, 9, 60)[:, None]
    found = measures.regression(y + 0.5, y, ["price"]).to_dict()
    told = headline(Facts(title="x", test=found))
    assert (told["name"], told["number"]) == ("rmse", "0.5000")
    assert told["low"] == found["measures"]["rmse"]["low"]
    assert render(Facts(title="x", test=found)).count("Confusion") == 0


def test_a_run_that_told_nothing_still_has_a_page():
    page = render(Facts(title="empty"))
    assert "<h1>empty</h1>" in page
    assert "<section" not in page


def test_pictures_are_inside_the_file(tmp_path):
    picture = png(40)
    path = write(tmp_path / "report.html", Facts(title="x", mistakes=[Wrong(picture, ["true 3, said 5"])], weights=[("all", png(400))]))
    page = path.read_text()
    assert base64.b64decode(re.search(r"base64,([^\"]+)", page).group(1)) == picture
    assert page.count('class="small"') == 1                               # the mistake alone is enlarged
    assert 'alt="true 3, said 5"' in page
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(InputError, match="'a' is not a PNG"):
        write(tmp_path / "x.html", Facts(title="x", pictures=[("a", b"<svg onload=alert(1)></svg>" * 9)]))
    with pytest.raises(InputError, match="cannot be written: No such file"):
        write(tmp_path / "absent" / "x.html", Facts(title="x"))


def test_the_log_alone_fills_most_of_the_page():
    told = Facts.of_log([
        Started(0, 0.0, "runs/a", "lenet", "backprop", 10, {"name": "mnist", "n": 9, "splits": {"train": 9}},
                {"batch": 50, "epochs": None}),
        Planned(1, 0.1, "eager", "fp32", 0.02, 1, [{"plan": "compiled", "reason": "slower"}], "fastest"),
        Evaluated(2, 1.0, 1, 9, {"loss": 0.5}, {"loss": 0.4}, True), Saved(3, 1.0, 1, 9, "x", True),
        Warned(4, 1.0, "w"), Warned(5, 1.0, "w"), Diagnosed(6, 1.0, "D21", "fc", "nan", "lower"),
        Finished(7, 2.0, "budget", 1, 9, 1, {"loss": 0.4}, {"training": 1.5}),
    ])
    assert (told.title, told.run, told.splits, told.data) == ("lenet on mnist", "runs/a", {"train": 9}, {"name": "mnist", "n": 9})
    assert (told.plans[0]["name"], told.timings, told.warnings) == ("eager", {"training": 1.5}, ["w"])
    page = render(told)
    for text in ("backprop", "<strong>fc</strong>: nan. Remedy: lower.", "D21", "20 ms a step", "slower", "training 1.5 s"):
        assert text in page
    assert "epochs" not in page
    assert Facts.of_log([]).title == "A run"


def row(epoch, train, valid, best=False, step=None):
    return {"epoch": epoch, "step": step or epoch * 10, "train": {"loss": train}, "valid": {"loss": valid}, "best": best}


def test_a_curve_passes_through_its_values():
    """Second derivation: read the values back off the drawing with its own axis marks."""
    values = [0.9, 0.55, 0.31, 0.42]
    chart, = charts([row(e, 1.0, v, best=e == 3) for e, v in enumerate(values, 1)])
    (y0, t0), (y1, t1) = chart.y_ticks[0], chart.y_ticks[-1]
    valid = next(line for line in chart.lines if line.part == "valid")
    points = [tuple(map(float, p.split(","))) for p in valid.pieces[0].split()]
    read = [float(t0) + (y - y0) * (float(t1) - float(t0)) / (y1 - y0) for _, y in points]
    assert read == pytest.approx(values, abs=2e-3)
    assert chart.best == points[2]
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(points)]
    assert gaps == pytest.approx([gaps[0]] * 3, abs=0.11)
    assert all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM for x, y in [*points, (LEFT, y0), (LEFT, y1)])


def test_curves_break_where_the_loss_is_not_finite():
    chart, = charts([row(1, 1.0, 0.9), row(2, "nan", float("inf")), row(3, 0.5, 0.4)])
    assert [len(line.pieces) for line in chart.lines] == [2, 2]
    assert charts([row(1, "nan", "nan")]) == []
    assert charts([]) == []


def test_large_falls_are_drawn_on_a_logarithmic_axis():
    chart, = charts([row(e, 10.0 ** (2 - e), 10.0 ** (2 - e)) for e in range(1, 6)])
    assert chart.logarithmic
    ys = [float(p.split(",")[1]) for p in chart.lines[0].pieces[0].split()]
    assert [b - a for a, b in itertools.pairwise(ys)] == pytest.approx([ys[1] - ys[0]] * 4, abs=0.11)


def test_stages_that_begin_anew_are_drawn_by_step():
    assert charts([row(1, 1.0, 1.0, step=10), row(2, 0.9, 0.9, step=20), row(1, 0.8, 0.8, step=30)])[0].across == "step"
    one, = charts([row(1, 1.0, 1.0)])
    assert one.across == "epoch"
    assert one.lines[0].end[0] > 0


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.013, 0.97), (-3, 8000), (5, 5), (0, 0), (1e-9, 2e-9), (1e12, 1.1e12)])
def test_axis_marks_are_few_even_and_enclose(low, high):
    marks = nice(low, high)
    assert 2 <= len(marks) <= 7
    slack = 1e-6 * (high - low or 1)
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack
    steps = [b - a for a, b in itertools.pairwise(marks)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-2)
