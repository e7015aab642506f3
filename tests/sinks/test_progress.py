import contextlib
import io
import os
import subprocess
import sys

import pytest

from chainrule.core.events import Diagnosed, Evaluated, Finished, Planned, Progressed, Saved, Started, Warned
from chainrule.core.text import duration
from chainrule.sinks.progress import Progress

STARTED = Started(0, 0.0, "runs/lenet-1", "lenet", "backprop", 431_080,
                  {"name": "mnist", "n": 70_000, "splits": {"train": 55_000, "valid": 5_000, "test": 10_000}}, {"epochs": 10})
PLANNED = Planned(1, 0.2, "channels-last", "bf16", 0.0112, 20, [], "it was the fastest of 4 that agree with eager")
FINISHED = Finished(99, 41.2, "patience", 8, 400, 7, {"accuracy": 0.9841, "loss": 0.05}, {"training": 40.0, "compiling": 1.2})


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def progressed(step, epoch=0):
    return Progressed(2, 0.5, epoch, step, 500, 0.7123, 1234.0, 75.0)


def evaluated(epoch, accuracy, best):
    return Evaluated(3, 1.0, epoch, 50 * epoch, {"loss": 0.5}, {"loss": 0.4, "accuracy": accuracy}, best)


def plain(events, gap=0.0):
    clock, stream = Clock(), io.StringIO()
    with Progress(stream=stream, clock=clock) as show:
        for event in events:
            clock.now += gap
            show(event)
    return stream.getvalue().splitlines()


def test_the_header_is_three_short_lines():
    assert plain([STARTED, PLANNED]) == [
        "Training lenet (431,080 parameters) by backprop",
        "Data: mnist, 55,000 train, 5,000 valid, 10,000 test",
        "Plan: channels-last in bf16, 11.2 ms a step; it was the fastest of 4 that agree with eager",
    ]


def test_a_pipe_gets_the_first_and_the_last_evaluation_and_never_a_line_per_step():
    many = [e for i in range(1, 201) for e in (*map(progressed, range(5)), evaluated(i, i / 1000, True))]
    lines = plain([*many, FINISHED])
    assert [line.split(",")[0] for line in lines[:-1]] == ["epoch 1", "epoch 200"]
    assert lines[0] == "epoch 1, train loss 0.5, valid accuracy 0.10 % (best), 1,234 steps/s, 1 min 15 s left"
    assert lines[-1].startswith("Done early")


def test_a_pipe_gets_a_line_every_few_seconds():
    lines = plain([STARTED, *(evaluated(i, 0.5, False) for i in range(1, 11))], gap=1.0)  # evaluations at 2 .. 11 s
    assert [line.split(",")[0] for line in lines[2:]] == ["epoch 1/10", "epoch 6/10", "epoch 10/10"]


def test_the_best_so_far_is_shown_beside_a_worse_one():
    lines = plain([evaluated(1, 0.9, True), evaluated(2, 0.8, False)], gap=10.0)
    assert "valid accuracy 90.00 % (best)" in lines[0]
    assert "valid accuracy 80.00 % (best 90.00 %)" in lines[1]


def test_warnings_and_diagnoses_are_said_once_also_when_quiet():
    stream = io.StringIO()
    with Progress(quiet=True, stream=stream) as show:
        for _ in range(3):
            show(STARTED), show(PLANNED), show(progressed(1)), show(evaluated(1, 0.5, True))
            show(Warned(5, 1.0, "7 rows hold no target and were left out."))
            show(Diagnosed(6, 1.0, "D21", "features.conv1", "its output is not finite", "lower the rate tenfold"))
            show(Saved(7, 1.0, 1, 2, "x", True))
        show(FINISHED)
    assert stream.getvalue().splitlines() == ["Note: 7 rows hold no target and were left out.",
                                              "Diagnosis: features.conv1: its output is not finite. Remedy: lower the rate tenfold."]


def test_the_end_is_one_line_without_the_result_which_the_command_prints():
    assert plain([STARTED, FINISHED])[2:] == ["Done early, since it no longer got better, after 8 epochs in 41 s; the best was epoch 7."]


def test_names_from_files_cannot_drive_the_terminal():
    line, = plain([Warned(0, 0.0, "column '\x1b]0;owned\x07\x1b[2J' and 'a\rb'")])
    assert line.isprintable()
    assert r"[2J' and 'a\rb'" in line


def test_brackets_are_not_markup(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Progress(stream=stream, clock=Clock()) as show:
        show(progressed(1))
        show(Warned(0, 0.0, "class [red]cat[/red]"))
    assert "class [red]cat[/red]" in stream.getvalue()


def test_a_reader_that_went_away_does_not_stop_the_run():
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w")
    with Progress(stream=stream) as show:
        show(STARTED), show(Warned(0, 0.0, "x")), show(FINISHED)
    with contextlib.suppress(BrokenPipeError):
        stream.close()
    with Progress(stream=stream) as show:  # closed altogether
        show(STARTED), show(evaluated(1, 0.5, True))


def test_an_ascii_stream_gets_what_it_can_show():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Progress(stream=stream)(Warned(0, 0.0, "naïve"))
    assert raw.getvalue() == b"Note: na?ve\n"


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min"),
                                               (200, "3 min 20 s"), (7500, "2 h 5 min"), (3599.7, "1 h"), (-1, "0.0 s")])
def test_durations_read_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_rich_is_imported_only_for_a_terminal():
    code = ("import sys, io; from chainrule.sinks.progress import Progress; from chainrule.core.events import Warned;"
            "Progress(stream=io.StringIO())(Warned(0, 0.0, 'x')); print('rich' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(("steps", "words"), [((), "Nothing was left to do. Done after 3 epochs"), ((1,), "Done after 3 epochs")])
def test_a_run_that_had_ended_says_that_nothing_was_left(steps, words):
    stream = io.StringIO()
    with Progress(stream=stream) as show:
        show(Started(1, 0.0, "runs/a", "mlp", "backprop", 10, {}, {}, resumed=True))
        for step in steps:
            show(Progressed(2, 1.0, 3, step, 9, 0.5, 1.0, 0.0))
        show(Finished(3, 2.0, "budget", 3, 9, 3, {"loss": 0.5}, {"total": 2.0}, saved=True))
    assert next(line for line in stream.getvalue().splitlines() if "Done" in line).startswith(words)
