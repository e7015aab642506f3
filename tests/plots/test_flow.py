"""The picture of layers through training: one scale for all runs, the output on top, zero and what is not finite told apart."""

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from looked import log
from PIL import Image

from chainrule.core.errors import InputError
from chainrule.core.events import Looked
from chainrule.core.flow import flow_of
from chainrule.plots.figure import drawn, to_file, to_png, to_svg
from chainrule.plots.flow import edges, flow, places


def test_runs_share_one_scale_and_each_has_its_profile():
    figure = flow([("vanishing", flow_of(log(layers=8, fall=1.5))), ("healthy", flow_of(log(layers=4, fall=0.1)))])
    maps = [axes.collections[0] for axes in figure.axes if axes.collections]
    limits = {one.get_clim() for one in maps[:2]}
    assert limits == {(-13.0, 3.0)}                                          # 1e-2 * 10^(-1.5 * 7) = 10^-12.5
    assert [axes.get_title() for axes in figure.axes[:4]] == ["vanishing", "at step 400", "healthy", "at step 400"]
    x, y = figure.axes[1].lines[0].get_data()
    np.testing.assert_allclose(x, [-2 - 1.5 * (7 - i) for i in range(8)], atol=1e-9)
    assert (np.diff(y) > 0).all()                                            # nearest the input at the bottom
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()][-1] == "layers.7"
    assert "falls from 0.01 at layers.7" in " ".join(t.get_text() for t in figure.axes[0].texts).replace("\n", " ")


def test_colours_are_the_levels():
    figure = flow([("a", flow_of(log(layers=3, fall=2.0, steps=(0, 10))))])
    levels = figure.axes[0].collections[0].get_array()
    np.testing.assert_allclose(levels, [[-6, -6], [-4, -4], [-2, -2]], atol=1e-9)


def test_zero_and_not_finite_have_colours_of_their_own():
    looks = [Looked(0, 0.0, 0, {"layers": ["a", "b", "c"], "gradient": [0.0, float("nan"), None]}),
             Looked(1, 0.0, 1, {"layers": ["a", "b", "c"], "gradient": [1.0, 1.0, 1.0]})]
    figure = flow([("x", flow_of(looks))])
    one = figure.axes[0].collections[0]
    colours = one.cmap(one.norm(one.get_array()))
    assert [tuple(np.round(colours[i, 0, :3], 2)) for i in range(3)] == [(0, 0, 0), (0.84, 0.15, 0.16), (0.85, 0.85, 0.84)]


def test_places_are_even_in_the_logarithm():
    at, marks = places([0, 9, 99])
    assert at == pytest.approx([0, 1, 2])
    assert [text for _, text in marks] == ["0", "1", "10"]
    assert edges([0.0, 1.0, 3.0]) == [-0.5, 0.5, 2.0, 4.0]
    assert edges([2.0]) == [1.5, 2.5]


@pytest.mark.parametrize("reading", ["gradient", "update", "activation-sd", "dead"])
def test_every_reading_is_drawn_as_png_and_svg(reading, tmp_path):
    figure = flow([("a", flow_of(log(), reading))])
    image = np.asarray(Image.open(io.BytesIO(to_png(figure, dots_per_inch=50))).convert("RGB"))
    assert image.std() > 10
    ElementTree.fromstring(drawn(figure, tmp_path / "x.svg"))
    assert drawn(figure, tmp_path / "x.png")[:4] == b"\x89PNG"


def test_an_svg_follows_light_and_dark():
    text = to_svg(flow([("a <b> & c", flow_of(log()))])).decode()
    assert "prefers-color-scheme:dark" in text
    assert "#333333" not in text.split("</style>", 1)[1].replace("--ink:#333333", "")
    assert "a &lt;b&gt; &amp; c" in text
    assert to_file(flow([("a", flow_of(log()))])).startswith(b"<?xml")


def test_wrong_numbers_of_runs_are_refused():
    one = ("a", flow_of(log()))
    for named in ([], [one] * 5, [one, ("b", flow_of(log(), "dead"))]):
        with pytest.raises(InputError, match="1 to 4 runs"):
            flow(named)
