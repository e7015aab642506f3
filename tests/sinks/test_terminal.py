"""A training in terminals of several widths: nothing runs past the edge, the bar and the time left always stand, colours can be refused."""

import re

import pytest
from screen import Screen, terminal

import chainrule as cr
from chainrule.core.events import Diagnosed, Entered, Evaluated, Finished, Looked, Planned, Progressed, Started, Warned
from chainrule.core.text import duration
from chainrule.sinks.lines import Losses, bar_line, packed, sparks
from chainrule.sinks.progress import Progress
from chainrule.sinks.spinner import Spinner

STARTED = Started(0, 0.0, "runs/resnet-1", "resnet:depth=20,width=1,form=v2", "backprop", 272_474,
                  {"name": "cifar10", "n": 60_000, "splits": {"train": 45_000, "valid": 5_000, "test": 10_000}},
                  {"epochs": 10, "chosen": ["batch 128", "optimizer sgd:rate=0.1,momentum=0.9", "loss cross-entropy", "patience 10"]})
PLANNED = Planned(1, 8.2, "fused+channels-last", "bf16", 0.0112, 20, [], "it was the fastest of 4 that agree with eager, 3.1 times as fast")
NOTE = "Class 'hypersensitivity' is there only 7 times in 45,000 rows; measures of it say little. Give more rows of it."
FINISHED = Finished(99, 41.2, "budget", 10, 400, 7, {"accuracy": 0.9841}, {"training": 40.0})
WORDS = re.compile(r"\S+")


class Clock:
    now = 0.0

    def __call__(self):
        self.now += 0.2
        return self.now


def progressed(step, loss=0.7123, remaining=75.0, steps=500, seconds=0.5):
    return Progressed(2, seconds, step // 50, step, steps, loss, 1234.0, remaining)


def evaluated(epoch, accuracy=0.9, best=True):
    return Evaluated(3, 1.0, epoch, 50 * epoch, {"loss": 0.5}, {"loss": 0.4, "accuracy": accuracy}, best)


@pytest.fixture(autouse=True)
def _a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def played(width, events, encoding="utf-8"):
    """The screen at the end, and one as it stands before the training is over."""
    screens = []
    for some in (events, [*events, FINISHED]):
        with terminal(width, encoding) as (stream, shown):
            show = Progress(stream=stream, clock=Clock())
            for event in some:
                show(event)
            if some is not events:
                show.close()
            screens.append(shown())
            show.spinner.stop()
    return screens


TRAINING = [STARTED, Warned(1, 0.1, NOTE), Warned(1, 0.1, NOTE), PLANNED,
            *(progressed(step, 2.3 / (1 + step / 20)) for step in range(0, 300, 10)), evaluated(1), evaluated(2, 0.8, False)]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_runs_past_the_edge_and_no_word_is_broken(width):
    live, ended = played(width, TRAINING)
    for screen in (live, ended):
        assert not screen.overran
        for word in WORDS.findall(NOTE):
            assert word in screen.text
    assert live.text.count("hypersensitivity") == 1, "equal notes are one"
    assert "Done after 10 epochs in 40 s; the best was epoch 7." in " ".join(ended.text.split())
    assert "━" not in ended.text, "the bar is gone when the training is over"
    assert "Loss █" in ended.text


@pytest.mark.parametrize("width", [20, 30, 40, 80, 200])
@pytest.mark.parametrize("steps", [500, None])
def test_the_bar_and_the_time_left_are_never_dropped(width, steps):
    lines = [progressed(250, steps=steps, seconds=75.0)]
    live, _ = played(width, [STARTED, PLANNED, evaluated(1), *lines])
    assert "1 min 15 s" in live.text
    bar = re.search("[━─]{6,}", live.text)[0]
    assert abs(bar.count("━") / len(bar) - 0.5) <= 0.1
    assert all(" " not in line.strip() for line in live.overran), "only a word that is longer than a line"
    assert "resnet:depth=20,width=1,form=v2" in live.text, "and it stays whole"


def test_with_seconds_the_bar_follows_the_clock_and_not_the_steps():
    timed = Started(0, 0.0, "runs/x", "mlp", "backprop", 10, {"name": "x", "n": 9}, {"seconds": 60})
    plan = Planned(1, 0.0, "eager", "fp32", 0.01, 1, [], "")
    live, _ = played(80, [timed, plan, progressed(1000, remaining=15.0, steps=None, seconds=45.0)])
    bar = re.search("[━─]+", live.text)[0]
    assert bar.count("━") / len(bar) == pytest.approx(0.75, abs=0.03)
    assert "15 s left" in live.text


def test_each_stage_has_a_bar_of_its_own():
    live, _ = played(80, [STARTED, PLANNED, evaluated(1), progressed(500), Entered(5, 60.0, 1, 2, "all layers", 5, 500),
                          progressed(550, steps=500, seconds=70.0)])
    assert "stage 2/2, all layers: epoch" in live.text
    assert "epoch 1/10" in live.text, "how the stage before ended"
    bar = re.search("[━─]{6,}", live.text)[0]
    assert bar.count("━") / len(bar) == pytest.approx(0.1, abs=0.05)


def test_colours_are_there_and_can_be_refused(monkeypatch):
    fault = Diagnosed(5, 1.0, "D1", "hidden1", "the gradient is 1e-9 of that of the last layer", "--init he")
    live, _ = played(80, [*TRAINING, fault])
    assert live.colours == {33, 36}
    assert "Diagnosis: hidden1: the gradient is 1e-9 of that of the last layer." in live.text
    monkeypatch.setenv("NO_COLOR", "1")
    live, ended = played(80, [*TRAINING, fault])
    assert live.colours == ended.colours == set()
    assert "Diagnosis: hidden1" in ended.text


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with terminal(80) as (stream, shown):
        with Progress(stream=stream, clock=Clock()) as show:
            for event in [*TRAINING, FINISHED]:
                show(event)
        screen = shown()
    assert screen.history == [], "no line is erased"
    assert not screen.overran
    assert not screen.colours
    assert screen.text.splitlines()[0] == "Training resnet:depth=20,width=1,form=v2 (272,474 parameters) by backprop"


def test_signs_that_an_encoding_lacks_are_not_drawn():
    live, _ = played(80, TRAINING, "ascii")
    assert re.search("#{3,}-+", live.text)
    assert live.text.isascii()


def test_names_of_files_cannot_drive_the_terminal_nor_its_colours():
    name = "a\x1b[31mb\x1b]0;owned\x07\rc"
    live, ended = played(80, [STARTED, Warned(1, 0.0, name), PLANNED, progressed(1), Warned(1, 0.0, name + " later")])
    assert live.colours <= {36}
    assert r"a\x1b[31mb" in live.text
    assert r"\x07\rc later" in ended.text


def test_a_word_turns_while_there_is_nothing_to_show(monkeypatch):
    monkeypatch.setattr("chainrule.sinks.spinner.TURN_SECONDS", 0.01)
    with terminal(40) as (stream, shown):
        spinner = Spinner(stream, clock=Clock())
        spinner.start("Planning and compiling")
        spinner._thread.join(0.3)
        spinner.stop()
        stream.write("after\n")
        screen = shown()
    turned = [line for line in screen.history if line]
    assert len(turned) >= 3
    assert all(re.fullmatch(r". Planning and compiling, \d+\.\d s", line) for line in turned)
    assert screen.text == "after\n"
    assert not screen.overran


def test_a_training_turns_until_it_is_planned():
    with terminal(80) as (stream, shown):
        show = Progress(stream=stream, clock=Clock())
        show(STARTED)
        assert show.spinner._thread is not None
        show(PLANNED)
        assert show.spinner._thread is None
        show(progressed(1))
        assert show.spinner._thread is None
        show.close()
        shown()


@pytest.mark.parametrize("width", [10, 20, 40, 80, 200])
def test_lines_are_as_wide_as_they_may_be(width):
    line = bar_line(width, ["stage 2/2, all layers: epoch 3/10", "epoch 3/10", "3/10"], 0.5, [f"{duration(75)} left", duration(75)])
    assert line.endswith(("1 min 15 s left", "1 min 15 s"))
    assert len(line) <= max(width, 6 + 2 + len("1 min 15 s"))
    assert all(len(one) <= width for one in packed(width, ["a" * 7, "b" * 300, "c d", ""]))


def test_a_line_of_losses_falls_as_they_do():
    losses = Losses()
    for i in range(5000):
        losses.add(2.0 ** (-i / 500))
    line = losses.line()
    assert len(line) == 24
    assert line == "".join(sorted(line, reverse=True)), "each block as high as the one before, or lower"
    assert (line[0], line[-1]) == ("█", "▁")
    assert len(losses.points) <= 512
    assert sparks([1.0, float("nan"), 2.0]) == "▁×█"


def test_a_line_that_fits_is_left_as_it_is():
    assert Screen(5).feed("ab\rc").text == "cb"
    assert Screen(3).feed("abcd").overran == ["abcd"]


def test_a_training_of_so_many_seconds_says_how_many_are_left():
    left = [event.remaining for event in cr.events("iris", net="linear", seconds=0.5, plan="eager") if isinstance(event, Progressed)]
    assert left
    assert all(0 <= seconds <= 0.5 for seconds in left)
    assert left == sorted(left, reverse=True)


def test_the_gradient_of_the_last_look_has_a_line():
    looks = {"layers": ["conv1", "conv2", "output"], "gradient": [1e-8, 1e-4, 1.0]}
    for width in (40, 80):
        live, ended = played(width, [STARTED, PLANNED, progressed(1), Looked(3, 0.5, 1, looks), progressed(2)])
        assert re.search(r"gradient \S{3} 1\.0e-08 at conv1", live.text)
        assert not live.overran
        assert "gradient" not in ended.text


def test_a_first_cause_is_said_at_once_and_the_others_by_name_at_the_end():
    first = Diagnosed(5, 1.0, "D01", "conv1", "its gradient is 1e-9", "--init he", "vanishing gradient", 40, True)
    other = Diagnosed(6, 1.0, "D30", "net", "as good as always cat", "look at the inputs", "no better than constant", 40)
    live, ended = played(80, [*TRAINING, first, other, other])
    assert "Diagnosis: vanishing gradient in conv1 at step 40: its gradient is 1e-9. Remedy: --init he." in " ".join(live.text.split())
    assert "no better" not in live.text
    assert "Also: no better than constant; chainrule doctor runs/resnet-1 tells" in ended.text
