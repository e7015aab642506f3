"""The gradient flow of a report: what is drawn is the numbers, one scale for all, and what a script reads is in the page."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from looked import log
from matplotlib import colormaps
from PIL import Image

from chainrule.core.flow import scale_of
from chainrule.report.bitmap import ABSENT, LEVELS, PALETTE, level, mapped, of_pixels, of_several, of_weights
from chainrule.report.facts import Facts
from chainrule.report.flow import ACROSS, LEFT, drawings, opened, readings_of
from chainrule.report.page import render


def image(address):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA"))


def test_the_palette_is_cividis():
    table = np.round(colormaps["cividis"](np.linspace(0, 1, LEVELS))[:, :3] * 255)
    assert np.abs(table - np.array(PALETTE[:LEVELS])).max() <= 6


def test_a_picture_has_the_colour_of_each_level():
    picture = np.asarray(Image.open(io.BytesIO(mapped([[0, LEVELS - 1], [ABSENT, 251]]))).convert("RGBA"))
    assert tuple(picture[0, 0]) == (*PALETTE[0], 255)
    assert tuple(picture[0, 1]) == (*PALETTE[LEVELS - 1], 255)
    assert picture[1, 0, 3] == 0
    assert tuple(picture[1, 1]) == (0, 0, 0, 255)
    assert (level(None), level(0.0), level(1.0)) == (ABSENT, 0, LEVELS - 1)


def test_rows_run_from_the_output_down_on_one_scale():
    vanishing, healthy = readings_of(log(layers=6, fall=2.0)), readings_of(log(layers=3, fall=0.1))
    (one, other), *_ = drawings([("a", vanishing), ("b", healthy)])
    data, beside = json.loads(one.data), json.loads(other.data)
    assert data["layers"][0] == "layers.5"
    assert data["scale"] == beside["scale"] == list(scale_of([vanishing["gradient"], healthy["gradient"]])) == [-12, 3]
    assert [row[-1] for row in data["values"]] == [-200 - 200 * i for i in range(6)]          # hundredths of powers of ten
    pixels = image(one.address)
    assert pixels.shape[:2] == (6, ACROSS)
    for i in range(6):
        assert tuple(pixels[i, -1, :3]) == PALETTE[level((-2 - 2 * i + 12) / 15)]
    assert len(one.profile.split()) == 6
    assert [d[0].key for d in drawings([("a", vanishing)])] == ["gradient", "update", "activation-sd", "dead"]


def test_each_column_shows_the_look_nearest_to_it():
    events = log(layers=1, fall=0.0, steps=(0, 9, 99))
    for i, event in enumerate(e for e in events if hasattr(e, "looks")):
        event.looks["gradient"] = [10.0 ** -i]
    (one,), *_ = drawings([("", readings_of(events))])
    data = json.loads(one.data)
    assert data["x"] == [LEFT, LEFT + ACROSS / 2, LEFT + ACROSS]             # 0, 9 and 99 are even in log10 of the step and one
    row = image(one.address)[0, :, :3].tolist()
    first, second, third = ([*PALETTE[level((9 - i) / 12)]] for i in range(3))
    assert (row[0], row[ACROSS // 2], row[-1]) == (first, second, third)
    assert abs(row.index(second) - ACROSS / 4) <= 1


def test_histograms_of_every_layer_stand_behind_the_flow():
    several = opened(log(layers=3))
    assert [one.layer for one in several] == ["layers.2", "layers.1", "layers.0"]
    assert [title for title, _ in several[0].pictures] == ["activations", "gradient"]
    pixels = image(several[0].pictures[1][1])
    assert pixels.shape[0] == 32
    rows = [i for i in range(32) if pixels[i, -1, 3]]
    assert rows == [31 - int((9 - 2) / 12 * 32) - 1, 31 - int((9 - 2) / 12 * 32)]             # the last layer's are near 1e-2
    assert opened([]) == []


def test_the_page_switches_without_a_script():
    page = render(Facts.of_log(log()))
    assert re.findall(r'name="reading" class="pick" id="r-([\w-]+)"( checked)?', page) == [
        ("gradient", " checked"), ("update", ""), ("activation-sd", ""), ("dead", "")]
    for key in ("gradient", "update", "activation-sd", "dead"):
        assert f"#r-{key}:checked ~ .reading.{key}" in page
    assert page.index("Gradient flow") < page.index("How it ran")
    assert "the gradient falls from 0.01 at layers.7" in page
    assert page.count("<details class=\"histogram\"") == 8


def test_a_deep_net_and_many_looks_stay_small():
    page = render(Facts.of_log(log(layers=50, fall=0.2, steps=tuple(range(0, 2560, 10)))))
    assert len(page) < 600_000
    assert "layers.49" in page


def test_pictures_and_weights_keep_their_pixels():
    grey = torch.arange(12, dtype=torch.uint8).reshape(1, 3, 4) * 20
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(of_pixels(grey)))), grey[0])
    colour = torch.arange(36, dtype=torch.uint8).reshape(3, 3, 4) * 7
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(of_pixels(colour)))), colour.permute(1, 2, 0))
    sheet = np.asarray(Image.open(io.BytesIO(of_several(torch.stack([grey] * 5), columns=2))))
    assert sheet.shape == (12, 10)
    np.testing.assert_array_equal(sheet[4:7, 5:9], grey[0])
    content, limit = of_weights(torch.tensor([[[[-1.0, 0.0, 1.0]]]]))
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))[0]
    assert limit == pytest.approx(1.0, abs=0.01)
    assert pixels[0, 2] > pixels[0, 0]
    assert pixels[2, 0] > pixels[2, 2]
    assert min(pixels[1, :3]) > 240
    assert pixels[3, 3] == 0
