"""The report of a mixture of experts shows which is asked where, in the units of the data; of any other run it does not."""

import base64
import re

import numpy as np
import pandas as pd
import pytest

import chainrule as cr
from chainrule.report import pictures
from chainrule.workflows.report import regimes_of

CAPTION = "Which expert is asked where"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(frame, target, **options):
    usual = {"plan": "eager", "threads": 1, "progress": False, "epochs": 40, "optimizer": "adam:rate=0.05"}
    return cr.train(frame, target=target, **usual | options)


def broken_line(n=300):
    """A yield that rises up to 40 degrees and falls from there."""
    rng = np.random.default_rng(0)
    warmth = rng.uniform(20, 60, n)
    return pd.DataFrame({"warmth": warmth, "yield": np.where(warmth < 40, 2 * warmth, 200 - 3 * warmth) + rng.normal(size=n)})


def drawn(monkeypatch, run):
    """The figure that the report of a run has."""
    figures = []
    inner = pictures.regimes
    monkeypatch.setattr(pictures, "regimes", lambda *given: figures.append(inner(*given)) or figures[-1])
    assert [caption for caption, _ in regimes_of(run.trained, run.validation)] == [CAPTION]
    return figures[0].axes[0]


def test_two_experts_change_over_where_the_line_breaks(monkeypatch):
    run = train(broken_line(), "yield", net="expert-values:experts=2,hidden=0")
    page = run.report("report.html").read_text()
    figure = re.search(r'base64,([^"]+)"[^>]*alt="' + CAPTION, page)
    assert base64.b64decode(figure[1]).startswith(b"<?xml")
    axes = drawn(monkeypatch, run)
    assert axes.get_xlabel() == "warmth"
    one, other = (line.get_ydata() for line in axes.lines[:2])
    x = axes.lines[0].get_xdata()
    assert (x[0], x[-1]) == pytest.approx((18, 62), abs=1)
    change = x[np.flatnonzero(np.diff(np.sign(one - other)))]
    assert len(change) == 1
    assert change[0] == pytest.approx(40, abs=2)


def test_two_inputs_are_drawn_with_their_names_and_points(monkeypatch):
    rng = np.random.default_rng(1)
    height, width = rng.uniform(95, 105, 300), rng.uniform(-1, 1, 300)
    frame = pd.DataFrame({"height": height, "width": width, "kind": np.where((height - 100) * width > 0, "alike", "unlike")})
    run = train(frame, "kind", net="experts:experts=3,hidden=0,gate=4", epochs=2)
    axes = drawn(monkeypatch, run)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("height", "width")
    rows = run.job.data.train.rows.numpy()
    np.testing.assert_allclose(axes.lines[0].get_xydata(), np.stack([height, width], 1)[rows], rtol=1e-4, atol=1e-4)


def test_other_nets_and_wider_inputs_have_no_such_picture():
    frame = broken_line()
    plain = train(frame, "yield", net="linear", epochs=1)
    assert regimes_of(plain.trained, plain.validation) == []
    wide = frame.assign(wet=1.0 * np.arange(300), dry=np.cos(np.arange(300)))
    mixture = train(wide, "yield", net="expert-values:experts=2,hidden=0", epochs=1)
    assert regimes_of(mixture.trained, mixture.validation) == []
