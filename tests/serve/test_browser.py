"""Every view clicked through in Chromium, of a live and a finished run: what stands there; nothing thrown, nobody else asked.

Skipped where there is no Chromium.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from synthetic_run import events, write_run

import chainrule as cr
from chainrule.core.events import Evaluated, Finished, Looked
from chainrule.sinks.runlog import RunLog
from chainrule.workflows.picture import picture

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
WAIT = 60_000
HOSTILE = "<img src=x onerror=\"window.pwned=1\"><script>window.pwned=1</script>'\"&"
EVIL = "evil <img src=x onerror=window.pwned=1>"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser") / "runs"
    quick = {"plan": "eager", "progress": False}
    cr.train("digits", net="mlp:hidden=16", epochs=5, out=root / "digits-a", **quick)
    cr.train("digits", net="mlp:hidden=16", epochs=5, seed=0, split_seed=0, optimizer="sgd:rate=0.5", out=root / "digits-b", **quick)
    cr.train("digits", net="rbm:hidden=16", epochs=1, out=root / "machine", **quick)
    cr.train("iris", net="mlp:hidden=3,activation=tanh", epochs=2, out=root / "small", **quick)
    write_run(root / "vanishing")
    write_run(root / "healthy", vanishing=False, options={"optimizer": "sgd:rate=0.3"})
    evil = write_run(root / EVIL, net=HOSTILE, classes=(HOSTILE, "b"), options={"init": HOSTILE})
    lines, hostile = (evil / "log.jsonl").read_text(), json.dumps(HOSTILE)
    for text in ("A note about <b>the data</b>.", "the gradient is", "hidden1"):
        lines = lines.replace(text, hostile[1:-1])
    (evil / "log.jsonl").write_text(lines)
    return root


def serving(folder):
    return subprocess.Popen([sys.executable, "-m", "chainrule", "serve", str(folder), "--no-open", "--json", "--port", "0"],
                            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.fixture(scope="module")
def served(root):
    child = serving(root)
    yield json.loads(child.stdout.readline())["url"]
    child.terminate()
    child.wait(30)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, served):
    """A page that has brought its token; at the end it must have thrown nothing and asked nobody else."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(WAIT)
    page = context.new_page()
    faults, base = [], served.partition("/?")[0]
    page.on("pageerror", lambda error: faults.append(f"thrown: {error}"))
    page.on("console", lambda told: faults.append(f"{told.text} {told.location['url']}")
            if told.type == "error" and "422" not in told.text and "400" not in told.text else None)
    page.on("request", lambda asked: faults.append(f"asked {asked.url}") if not asked.url.startswith((base, "data:", "blob:")) else None)
    page.on("dialog", lambda dialog: faults.append("a dialog"))
    page.goto(served)
    page.wait_for_url(f"{base}/#runs")
    page.base = base
    yield page
    assert page.evaluate("window.pwned") is None
    context.close()
    assert faults == []


# Every view with what it is shown of; one that the page has and that is missing here fails a test.
VIEWS = (("runs", {}), ("run", {"run": "vanishing"}), ("run", {"run": "digits-a"}), ("compare", {"runs": "vanishing\nhealthy\ndigits-a"}),
         ("draw", {"run": "digits-a"}), ("neurons", {"run": "digits-a"}), ("chain", {}), ("chain", {"run": "small"}),
         ("chain", {"run": "digits-a"}), ("play", {}), ("dream", {"run": "machine"}))
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"      # npm install axe-core
each_screen = [pytest.mark.parametrize("scheme", ["light", "dark"]), pytest.mark.parametrize("width", [390, 1280])]


def on_each_screen(test):
    for mark in each_screen:
        test = mark(test)
    return test


def shown_on(page, scheme, width, view, values):
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)
    go(page, view, **values)
    page.get_by_role("heading", level=1).wait_for()
    page.get_by_text("Opening …").wait_for(state="detached")
    page.wait_for_timeout(300)


def go(page, view, **values):
    page.evaluate("([view, values]) => { location.hash = `${view}?${new URLSearchParams(values)}`; }", [view, values])


def test_the_list_of_runs_and_the_way_to_a_comparison(page):
    page.get_by_role("link", name="digits-a").wait_for()
    page.get_by_label("Only runs whose line").fill("digits-")
    assert page.locator("tbody tr").count() == 2
    for name in ("digits-a", "digits-b"):
        page.get_by_label(f"Compare {name}").check()
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("heading", name="Verdict").wait_for()
    page.get_by_text("on the same 270 cases").first.wait_for()
    assert page.locator("table", has_text="optimizer").count() >= 1


def test_a_finished_run_of_which_the_gradient_vanishes(page):
    go(page, "run", run="vanishing")
    page.get_by_text("Remedy:").wait_for()
    assert "D15" in page.locator(".diagnosis").inner_text()
    sentence = page.locator(".flow + p")
    sentence.filter(has_text="times less").wait_for()
    flow = page.locator(".flow canvas").first
    flow.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert "hidden8" in page.locator("[aria-live=polite]").inner_text()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="hidden8: absolute values through time").wait_for()
    slider = page.get_by_label("Step", exact=True)
    slider.focus()
    for _ in range(5):
        page.keyboard.press("PageDown")
    step = int(slider.input_value())
    assert step < 300
    assert f"step={step}" in page.evaluate("new Promise((done) => setTimeout(() => done(location.hash), 400))")
    page.get_by_label("Show").select_option("update")
    page.locator(".scale", has_text="update by weight").wait_for()
    page.get_by_text("Table").first.click()
    page.locator("details[open] tbody tr").nth(5).wait_for()


def test_a_run_with_weights_has_its_graph_and_its_mistakes(page):
    go(page, "run", run="digits-a")
    page.locator("svg.graph rect").first.wait_for()
    assert page.locator("svg.graph rect").count() >= 3
    page.get_by_role("heading", name="Mistakes").wait_for()
    page.locator(".figures dd").first.wait_for()


def test_a_live_run_is_followed_and_obeys(page, root):
    listed = events("live", vanishing=False)
    folder = root / "live"
    write_run(folder, vanishing=False)
    (folder / "log.jsonl").unlink()
    first = next(i for i, e in enumerate(listed) if isinstance(e, Evaluated)) + 1
    with RunLog(folder / "log.jsonl") as log:
        for event in listed[:first]:
            log(event)
        go(page, "run", run="live")
        page.get_by_text("Running").wait_for()
        page.get_by_text("50", exact=True).first.wait_for()
        began = time.monotonic()
        for event in listed[first : first + 12]:
            log(event)
        last = max(e.step for e in listed[: first + 12] if hasattr(e, "step"))
        page.locator(".figures dd", has_text=str(last)).first.wait_for()
        assert time.monotonic() - began < 20
        page.get_by_role("button", name="Rate ÷ 2").click()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Asked it to stop").wait_for()
        sent = [json.loads(line)["command"] for line in (folder / "commands.jsonl").read_text().splitlines()]
        assert sent == ["rate", "stop"]
        for event in listed[first + 12 :]:
            log(event)
        page.get_by_text("Finished").wait_for()
        assert not page.get_by_role("button", name="Stop").is_visible()
    assert any(isinstance(e, Finished) for e in listed)


def test_hostile_names_stay_names(page):
    go(page, "run", run=EVIL)
    page.get_by_role("heading", name=EVIL).wait_for()
    page.locator(".diagnosis").wait_for()
    page.locator(".flow canvas").first.focus()
    page.keyboard.press("Enter")
    go(page, "compare", runs=f"{EVIL}\nhealthy")
    page.get_by_role("heading", name="Options that differ").wait_for()
    go(page, "runs")
    page.get_by_role("link", name=EVIL).wait_for()
    time.sleep(0.3)


def test_runs_side_by_side_have_one_scale(page):
    go(page, "compare", runs="vanishing\nhealthy\ndigits-a")
    page.get_by_role("heading", name="Options and outcome").wait_for()
    page.locator(".scale", has_text="1e-9").nth(1).wait_for()
    page.locator("figure.chart .flow").nth(2).wait_for()
    assert page.locator("figure.chart .flow").count() == 3


def test_a_digit_on_the_pad_is_answered_as_predict_does(page, root):
    go(page, "draw", run="digits-a")
    button = page.locator("[aria-label='Validation pictures'] button").first
    button.wait_for()
    row = int(button.get_attribute("data-row"))
    button.click()
    page.locator("[data-probability]").first.wait_for()
    page.get_by_role("heading", name="Nearest in training").wait_for()
    run = cr.Run(root / "digits-a")
    pixels = run.source.inputs[row : row + 1].numpy()
    probabilities, names = run.predict(pixels)
    theirs, shown = dict(zip(names, probabilities[0].tolist(), strict=True)), page.locator("[data-probability]").all()
    ours = {one.get_attribute("data-class"): float(one.get_attribute("data-probability")) for one in shown}
    assert max(abs(theirs[name] - p) for name, p in ours.items()) <= 1e-5
    page.get_by_role("button", name="Clear").click()
    box = page.locator("canvas.pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 30, steps=6)
    page.mouse.up()
    page.locator("[data-probability]").first.wait_for()
    page.get_by_label("rotation").first.focus()
    page.keyboard.press("ArrowRight")
    page.locator("figure.chart", has_text="hidden1").wait_for()


def test_neurons_have_weights_and_rows(page):
    go(page, "neurons", run="digits-a")
    page.get_by_role("heading", name="Unit 1", exact=True).wait_for()
    page.locator("article").nth(15).wait_for()
    assert page.locator("article").count() == 16
    page.get_by_label("Layer").select_option("output")
    page.get_by_text("10 of 10 units of output").wait_for()


def test_dreams(page):
    go(page, "dream", run="machine")
    page.get_by_label("Sample 16").wait_for()
    page.get_by_role("button", name="Dream again").click()
    page.get_by_label("Sample 16").wait_for()


def test_play_trains_step_by_step_and_names_its_command(page):
    go(page, "play")
    page.get_by_text("Ready. Press Play, or Step.").wait_for()
    page.get_by_role("button", name="10 steps").click()
    page.locator(".figures dd", has_text="10").first.wait_for()
    page.get_by_role("button", name="Play", exact=True).click()
    deadline, step = time.monotonic() + WAIT / 1000, page.locator(".figures dd").first
    while int(step.inner_text().replace(",", "")) <= 20:
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("button", name="Copy as command").click()
    assert "chainrule train spiral" in page.get_by_label("The command of this run").inner_text()
    page.get_by_label("Break it").select_option(label="one hidden unit")
    page.get_by_text("Broken.").wait_for()


def test_the_chain_rule_of_a_formula_is_drawn_and_read(page):
    """The lecture's example: e = 6, de/da = 2, de/db = 5, by two paths of 2 and 3; then with other numbers, by the keyboard, and anew."""
    go(page, "chain")
    page.get_by_text("∂ e / ∂ b = 5").wait_for()
    products = page.locator(".product")
    assert sorted(products.all_inner_texts()) == ["1 × 2 = 2", "1 × 3 = 3"]
    nodes = page.locator("svg.numbers .node")
    assert nodes.all_text_contents() == ["a2∂ 2", "b1∂ 5", "a + b3∂ 2", "b + 12∂ 3", "e = (a + b) * (b …6∂ 1"]
    assert page.locator("svg.numbers .edge.on").count() == 4
    nodes.first.focus()
    page.keyboard.press("Enter")
    page.get_by_text("∂ e / ∂ a = 2").wait_for()
    assert nodes.first.get_attribute("aria-pressed") == "true"
    assert page.locator("svg.numbers .edge.on").count() == 2
    page.get_by_label("b =").fill("3")
    page.get_by_text("∂ e / ∂ a = 4").wait_for()
    page.get_by_text("Nodes as a table").click()
    assert page.locator("details[open] tbody tr").nth(4).inner_text().split("\t") == ["e = (a + b) * (b + 1)", "20", "1", "1"]
    page.get_by_text("Edges as a table").click()
    page.locator("details[open] tbody tr").nth(9).wait_for()
    page.wait_for_timeout(400)
    address = page.evaluate("location.hash")
    assert "at=a%3D2%2Cb%3D3" in address
    assert "by=a" in address
    page.reload()                                                         # the address holds all of it
    page.get_by_text("∂ e / ∂ a = 4").wait_for()
    page.get_by_label("Formula").fill("y = x^2 sin(x)")
    page.get_by_label("x =").fill("2")
    page.get_by_text("∂ y / ∂ x = 1.973").wait_for()                      # 2 x sin x + x^2 cos x
    for text in ("y = x^2 sin(", "<img src=x onerror=window.pwned=1>", "(" * 300):
        page.get_by_label("Formula").fill(text)
        page.get_by_role("status").filter(has_text="formula").or_(page.get_by_role("status").filter(has_text="Write")).first.wait_for()
        assert page.locator("svg.numbers").count() == 0
    page.get_by_label("Examples").select_option("0")
    page.get_by_text("∂ e / ∂ b = 5").wait_for()


def test_the_chain_rule_of_a_run_s_net_is_that_of_its_picture(page, root, tmp_path):
    run = cr.Run(root / "small")
    row = int(run.job.data.valid.rows[-1])
    theirs = picture(run, "graph", tmp_path / "graph.png", row=row).figures
    go(page, "chain", run="small", row=str(row))
    page.locator("svg.numbers").wait_for()
    page.get_by_text(f"Row {row} of the data.").wait_for()
    page.get_by_text("Nodes as a table").click()
    rows = [row.split("\t")[0] for row in page.locator("details[open] tbody tr").all_inner_texts()]
    assert rows == [one["node"] for one in theirs if "node" in one]
    page.get_by_label("Derivative by").select_option(label="petal width (cm)")
    page.get_by_text("/ ∂ petal width (cm) =").wait_for()
    assert page.locator(".product").count() == 6
    page.get_by_label("Graph of").select_option("digits-a")
    page.get_by_text("numbers for one row, and at most 60 are drawn one by one").wait_for()
    page.get_by_text("Values and derivatives as a table").click()
    assert "hidden1" in page.locator("details[open] tbody").inner_text()
    page.get_by_role("link", name="The run").click()
    page.get_by_role("link", name="The chain rule on it, for one row").click()
    page.get_by_role("heading", name="Chain rule").wait_for()


def test_every_view_of_the_page_is_among_those_that_are_looked_at(page):
    links = page.locator("#views a").evaluate_all("all => all.map((a) => a.getAttribute('href').slice(1).split('?')[0])")
    assert set(links) == {view for view, _ in VIEWS}


@on_each_screen
def test_no_view_is_wider_than_the_screen(page, scheme, width):
    for view, values in VIEWS:
        shown_on(page, scheme, width, view, values)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (view, values)


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not there: npm install axe-core")
@on_each_screen
def test_every_view_can_be_read_by_all(page, scheme, width):
    for view, values in VIEWS:
        shown_on(page, scheme, width, view, values)
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] }).then((all) => all.violations)")
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], (view, values)


def test_a_server_that_ends_is_said_and_what_was_shown_stays(browser, root):
    child = serving(root / "vanishing")
    url = json.loads(child.stdout.readline())["url"]
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.get_by_role("heading", name="vanishing").wait_for()             # of a run folder, that run first
    page.get_by_text("Remedy:").wait_for()
    child.kill()
    child.communicate()
    page.get_by_text("Not connected").wait_for(timeout=WAIT)
    assert page.get_by_text("Remedy:").is_visible()
    context.close()


def test_the_events_of_the_helper_are_those_of_training():
    assert {type(event) for event in events()} >= {Looked, Evaluated, Finished}
