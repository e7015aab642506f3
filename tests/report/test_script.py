"""The script of a report in a browser: a pointer and keys read what was logged, a click opens histograms; what is drawn needs no script."""

import shutil

import pytest
from looked import log

from chainrule.report.facts import Facts
from chainrule.report.page import render

BROWSER = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Debian's chromium")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "r.html"
    path.write_text(render(Facts.of_log(log())))
    return path.as_uri()


def shown(browser, place, **options):
    context = browser.new_context(**options)
    page = context.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
    page.goto(place)
    return page, wrong


def test_keys_read_the_value_of_a_layer_at_a_step(browser, place):
    page, wrong = shown(browser, place)
    svg = page.locator("svg.layers").first
    svg.focus()
    page.keyboard.press("ArrowDown")
    read = page.locator(".flow .read").first
    assert read.text_content() == "layers.6, step 400: 6.3e-4 (on the right: step 400)"          # 10^(-2 - 1.2)
    page.keyboard.press("ArrowLeft")
    assert "step 200" in read.text_content()
    for _ in range(20):
        page.keyboard.press("ArrowDown")                                     # no further than the last layer
    assert read.text_content().startswith("layers.0, step 200: 4.0e-11")
    assert wrong == []


def test_a_click_opens_the_histograms_of_its_layer(browser, place):
    page, wrong = shown(browser, place)
    drawn = page.locator("svg.layers image").first
    drawn.scroll_into_view_if_needed()
    box = drawn.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 16)
    assert page.locator("details.histogram[open]").evaluate_all("all => all.map(one => one.dataset.layer)") == ["layers.7"]
    assert wrong == []


def test_a_pointer_reads_a_curve(browser, place):
    page, wrong = shown(browser, place)
    svg = page.locator("svg.curve").first
    box = svg.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.96, box["y"] + box["height"] / 2)
    assert page.locator(".chart .read").first.text_content() == "step 400: training 1.000, validation 1.200"
    assert wrong == []


def test_without_a_script_readings_are_switched_and_shown(browser, place):
    page, _ = shown(browser, place, java_script_enabled=False)
    assert page.locator(".reading.gradient").is_visible()
    assert not page.locator(".reading.update").is_visible()
    page.locator("label.l-update").click()
    assert page.locator(".reading.update").is_visible()
    assert not page.locator(".reading.gradient").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_no_page_sideways(browser, place, scheme):
    page, wrong = shown(browser, place, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert wrong == []
