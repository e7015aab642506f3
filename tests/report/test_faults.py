"""Faults that reports have had, each with the check that would have found it."""

import dataclasses
import itertools
import json
import math
import re

import pytest
import torch
from looked import log

from chainrule.core.events import Evaluated, Progressed, Warned
from chainrule.evaluate import measures
from chainrule.evaluate.calibration import reliability
from chainrule.evaluate.significance import Cases, compare
from chainrule.plots.evaluation import residuals
from chainrule.recipes.outcome import Figure
from chainrule.report.charts import BOTTOM, HEIGHT, TOP, charts, over_runs
from chainrule.report.comparison import write_comparison
from chainrule.report.confusion import CONFUSIONS, LONGEST, PAIRS, STRONGEST
from chainrule.report.facts import Facts, Table
from chainrule.report.page import part, render
from chainrule.report.panels import BOTTOM as PANEL_BOTTOM
from chainrule.report.panels import FEWEST, calibration, of_classes, of_numbers
from chainrule.report.panels import HEIGHT as PANEL
from chainrule.report.verdict import strip

CSS = part("report.css")


def classified(c, wrong=()):
    """A result over c classes with long names, three cases each, of which some are answered wrong."""
    y = torch.arange(c).repeat(3)
    answered = y.clone()
    for i, other in wrong:
        answered[i] = other
    names = [f"a class whose name is very long indeed, number {i}" for i in range(c)]
    return measures.classification(torch.eye(c)[answered] * 0.9 + 0.1 / c, y, names, intervals=False).to_dict()


def test_twenty_long_names_do_not_break_the_matrix():
    page = render(Facts(title="x", test=classified(20)))
    heads = re.findall(r'<th scope="col" title="([^"]*)"><span>([^<]*)</span>', page)
    assert len(heads) == 20
    assert all(whole.endswith(short[-8:]) and len(short) <= LONGEST for whole, short in heads)
    assert len({short for _, short in heads}) == 20                          # long names that begin alike stay apart
    rule = re.search(r"\.matrix th \{([^}]*)\}", CSS).group(1)
    assert "white-space: nowrap" in rule                                     # never letter by letter
    assert "writing-mode: vertical-rl" in re.search(r"\.matrix\.turned thead span \{([^}]*)\}", CSS).group(1)
    cell = re.findall(r"\.matrix td \{([^}]*)\}", CSS)[1]
    assert re.search(r"width: (\S+);", cell).group(1) == re.search(r"; height: (\S+);", cell).group(1)


def test_sixty_classes_have_a_map_and_the_worst_pairs():
    page = render(Facts(title="x", test=classified(60, [(i, (i + 1) % 60) for i in range(30)])))
    assert 'class="matrix' not in page
    assert page.count('class="heat"') == 1
    assert page.count(" taken for ") == PAIRS
    assert "and 10 rarer pairs" in page
    few = render(Facts(title="x", test=classified(12, [(i, (i + 1) % 12) for i in range(12)])))
    assert few.count(" taken for ") == CONFUSIONS


def test_every_note_stands_once():
    events = [*log(), Warned(9, 0.0, "2 rows were left out."), Warned(9, 0.0, "2 rows were left out.")]
    assert render(Facts.of_log(events)).count("2 rows were left out.") == 1


def test_a_minute_of_training_draws_its_steps():
    losses = [Progressed(0, 0.0, 0, step, 213, 2.3 * 0.99**step, 3.5, None) for step in range(1, 214)]
    facts = Facts.of_log([*losses, Evaluated(0, 0.0, 1, 200, {"loss": 0.4}, {"loss": 0.5}, False),
                          Evaluated(0, 0.0, 2, 213, {"loss": 0.3}, {"loss": 0.4}, True)])
    chart, = charts(facts.history, facts.losses)
    assert chart.across == "step"
    assert sum(len(piece.split()) for piece in chart.drawn.thin) == 213
    assert len(chart.lines[0].pieces[0].split()) == 2
    assert 'class="thin"' in render(facts)


def ticks(chart):
    return [float(text.removesuffix(" %")) / 100 for _, text in chart.y_ticks]


def test_an_axis_never_spans_less_than_the_interval():
    rows = [{"epoch": e, "step": e, "train": {}, "valid": {"accuracy": 0.984 + 0.0001 * e}, "best": e == 3} for e in range(1, 4)]
    chart, = charts(rows, cases=1000)
    (_, outline), = chart.drawn.bands
    heights = [float(point.split(",")[1]) for point in outline.split()]
    assert all(TOP <= h <= HEIGHT - BOTTOM for h in heights)                 # the whole interval is in the drawing
    assert max(ticks(chart)) - min(ticks(chart)) >= 0.014                    # Wilson's at 98.4 % of 1,000: 97.4 to 99.0 %
    bare, = charts(rows)
    assert max(ticks(bare)) - min(ticks(bare)) >= 0.02
    assert max(ticks(bare)) <= 1
    assert all("%" in text for _, text in bare.y_ticks)


def test_a_band_is_the_interval_of_each_evaluation():
    """Second derivation: heights read back with the axis marks are Wilson's ends, worked out here."""
    rows = [{"epoch": e, "step": e, "train": {}, "valid": {"accuracy": p}, "best": False} for e, p in ((1, 0.5), (2, 0.8))]
    chart, = charts(rows, cases=100)
    (y0, _), (y1, _) = chart.y_ticks[0], chart.y_ticks[-1]
    t0, t1 = ticks(chart)[0], ticks(chart)[-1]
    points = [float(p.split(",")[1]) for p in chart.drawn.bands[0][1].split()]
    read = [t0 + (y - y0) * (t1 - t0) / (y1 - y0) for y in points]
    z, n = 1.959964, 100

    def ends(p):
        middle, reach = (p + z * z / (2 * n)) / (1 + z * z / n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return middle - reach, middle + reach

    assert read == pytest.approx([ends(0.5)[1], ends(0.8)[1], ends(0.8)[0], ends(0.5)[0]], abs=2e-3)


def test_what_a_pointer_reads_is_what_was_logged():
    rows = [{"epoch": e, "step": e, "train": {"loss": 198.9 / e}, "valid": {"loss": 204.2 / e}, "best": e == 2} for e in (1, 2, 3)]
    chart, = charts(rows)
    words = [text for _, text, _ in json.loads(chart.drawn.data)]
    assert words[0] == "epoch 1: training 198.9, validation 204.2"


def compared():
    g = torch.Generator().manual_seed(0)
    rows = torch.arange(400)
    right = [torch.rand(400, generator=g) < p for p in (0.9, 0.87, 0.6)]
    return compare(["one", "other", "third"], [Cases(rows, "x", r) for r in right])


def test_a_comparison_begins_with_its_verdicts(tmp_path):
    comparison = compared()
    page = write_comparison(comparison, tmp_path / "c.html").read_text()
    head = page[page.index("<h1>") : page.index("<section")]
    for pair in comparison.pairs:
        assert pair.verdict.replace("'", "&#39;") in head                    # whole, with what explains an interval that leaves out zero


def test_an_interval_that_leaves_out_zero_is_explained():
    p = [3, 14]                                                              # of a pair alone p is .013; among six pairs that is not enough
    rows = torch.arange(300)
    a, b = torch.ones(300, dtype=torch.bool), torch.ones(300, dtype=torch.bool)
    a[: p[1]] = False
    b[p[1] : p[1] + p[0]] = False
    others = [torch.ones(300, dtype=torch.bool) for _ in range(2)]
    comparison = compare(list("abcd"), [Cases(rows, "x", r) for r in (a, b, *others)])
    pair = next(q for q in comparison.pairs if (q.a, q.b) == ("a", "b"))
    assert not pair.difference.low <= 0 <= pair.difference.high
    if pair.p_corrected >= 0.05:
        assert "not enough" in pair.verdict


def test_counts_of_residuals_are_whole():
    y = torch.randn(35, 1, generator=torch.Generator().manual_seed(0))
    _, left = of_numbers(torch.zeros(35, 1), y, ["price"])
    assert all(float(text.replace(",", "")).is_integer() for _, text in left.y_ticks)
    figure = residuals(torch.zeros(35, 1), y, ["price"])
    figure.draw_without_rendering()
    assert all(float(t).is_integer() for t in figure.axes[1].get_yticks())


def test_bins_of_a_calibration_hold_enough_cases():
    g = torch.Generator().manual_seed(0)
    p = torch.rand(300, 3, generator=g).softmax(1)
    y = torch.randint(0, 3, (300,), generator=g)
    bins = reliability(p, y, fewest=FEWEST)
    assert sum(b.count for b in bins) == 300
    assert min(b.count for b in bins) >= FEWEST
    assert all(a.high <= b.low + 1e-9 for a, b in itertools.pairwise(bins))
    assert sum(b.count * b.accuracy for b in bins) == pytest.approx(float((p.argmax(1) == y).sum()))
    assert len(reliability(p[:4], y[:4], fewest=FEWEST)) == 1
    sure = torch.tensor([[0.95, 0.05]] * 12 + [[0.6, 0.4]] * 3)              # what is left below joins the bin above it
    assert [b.count for b in reliability(sure, torch.zeros(15).long(), fewest=FEWEST)] == [15]
    assert [b.count for b in reliability(sure, torch.zeros(15).long(), fewest=3)] == [3, 12]
    panel = calibration(bins, 300)
    assert f"{len(bins)} bins" in panel.note or f"{len(bins)} bin " in panel.note
    assert all(0 <= float(v) <= PANEL - PANEL_BOTTOM for v in re.findall(r"V([\d.]+)", panel.ticks))


def luminance(colour):
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def colour(text):
    return tuple(int(text[i : i + 2], 16) for i in (1, 3, 5))


def schemes():
    light, dark = re.findall(r":root \{([^}]*)\}", CSS)[:2]
    return [dict(re.findall(r"(--[\w-]+): ([^;]+);", text)) for text in (light, dark)]


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_is_read_on_every_tint(scheme):
    """The contrast that WCAG 2.1 asks of text, 4.5 to 1, on paper, on panels, and on cells of any strength."""
    known = schemes()[scheme]
    paper, ink = colour(known["--paper"]), colour(known["--ink"])
    for name in ("--ink", "--quiet", "--wrong", "--valid"):
        assert contrast(colour(known[name]), paper) >= 4.5, name
    assert contrast(colour(known["--quiet"]), colour(known["--panel"])) >= 4.5
    for name in ("--right-rgb", "--wrong-rgb"):
        tint = tuple(map(int, known[name].split()))
        for strength in (0.1, 0.3, STRONGEST):
            cell = tuple(strength * t + (1 - strength) * p for t, p in zip(tint, paper, strict=True))
            assert contrast(ink, cell) >= 4.5, (name, strength)
    cells = re.findall(r"--tint: ([\d.]+)", render(Facts(title="x", test=classified(5))))
    assert max(map(float, cells)) <= STRONGEST


def test_a_number_and_the_constant_answer_stand_on_one_scale():
    one = strip("accuracy", 0.9, 0.85, 0.94, {"raw": 0.1, "low": 0.08, "high": 0.13})
    assert (one.number, one.interval[0], one.constant) == (90, 85, 10)
    assert sum(one.interval) == pytest.approx(94)
    assert [text for _, text in one.marks] == ["0 %", "25 %", "50 %", "75 %", "100 %"]
    loss = strip("rmse", 2.0, 1.5, 2.6, {"raw": 4.0, "low": 3.5, "high": 4.5})
    assert 0 < loss.interval[0] < loss.number < loss.constant <= 100
    assert strip("rmse", math.nan, None, None, None) is None


def test_seeds_make_bands():
    runs = [[{"epoch": e, "step": e, "train": {"loss": (i + 1) / e}, "valid": {"loss": (i + 1.5) / e}, "best": False} for e in (1, 2, 3)]
            for i in range(3)]
    chart, = over_runs(runs)
    assert [part for part, _ in chart.drawn.bands] == ["train", "valid"]
    assert json.loads(chart.drawn.data)[0][1] == "epoch 1: training 2.000, validation 2.500 (1.500 to 3.500)"
    assert over_runs([]) == []


def test_of_many_classes_the_worst_have_curves():
    g = torch.Generator().manual_seed(0)
    p, y = torch.rand(400, 10, generator=g).softmax(1), torch.randint(0, 10, (400,), generator=g)
    panels = of_classes(p, y, [f"class {i}" for i in range(10)])
    assert [q.title for q in panels] == ["How sure, how often right", "ROC", "Precision and recall"]
    assert len([name for _, _, name in panels[1].lines if name]) == 6
    two = of_classes(p[:, :2] / p[:, :2].sum(1, keepdim=True), (y > 4).long(), ["no", "yes"])
    assert [name.partition(",")[0] for _, _, name in two[1].lines if name] == ["yes"]
    assert of_classes(p[:0], y[:0], []) == []


def test_a_tolerance_is_named_where_it_decides():
    assert "published about 0.84 (within 0.1), reached" in str(Figure("share", 0.747, published=0.84, goal="about", within=0.1))
    assert "MISSED" in str(Figure("share", 0.747, published=0.84, goal="about", within=0.05))


def test_pages_fit_a_phone_and_a_sheet_of_paper():
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in render(Facts(title="x"))
    assert "size: A4" in CSS
    page = render(dataclasses.replace(Facts.of_log(log()), test=classified(20),
                                      tables=[Table("wide", ["a"] * 30, [["1"] * 30])]))
    outside = re.sub(r'<div class="wide">.*?</div>', "", page.split("</style>")[1], flags=re.DOTALL)
    assert "<table" not in outside                                           # every table scrolls by itself, not the page


def test_a_loss_says_that_it_is_not_the_error_of_the_table():
    facts = dataclasses.replace(Facts.of_log(log()), settings={"loss": "squared"})
    assert "half the squared distance, as the net reads targets" in render(facts)
    assert "What training lowers" not in render(dataclasses.replace(facts, settings={}))


def test_a_run_that_ends_in_mid_epoch_is_drawn_by_epochs():
    rows = [{"epoch": e, "step": s, "train": {"loss": 1.0 / s}, "valid": {"loss": 1.1 / s}, "best": False}
            for e, s in ((1, 100), (2, 200), (3, 300), (3, 350))]
    chart, = charts(rows)
    assert chart.across == "epoch"
    assert [text.partition(":")[0] for _, text, _ in json.loads(chart.drawn.data)] == ["epoch 1", "epoch 2", "epoch 3", "epoch 3.5"]


def test_arrows_between_layers_stand_where_one_reads_the_other():
    def row(name, input, output):
        return {"name": name, "kind": "Linear", "input": input, "output": output, "parameters": 1, "multiply_adds": 1, "times": 1}

    layers = [row("a", (1, 8, 8), (4, 3, 3)), row("b", (36,), (10,)), row("beside", (64,), (10,)), row("c", None, None)]
    page = render(Facts(title="x", layers=layers))
    items = re.findall(r'<li( class="apart")?><strong>(\w+)', page)
    assert items == [("", "a"), ("", "b"), (' class="apart"', "beside"), (' class="apart"', "c")]
