"""Commands in terminals of 40, 80 and 200 columns, through a pipe, without colours, and in a terminal that is dumb."""

import os
import re
import subprocess
import sys

import pytest
from screen import terminal

TRAIN = ["train", "iris", "--net", "mlp:hidden=4", "--epochs", "3", "--plan", "eager", "--threads", "1", "--test"]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def environment(**more):
    known = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "TERM")}
    return {**known, "TERM": "xterm", "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1", **more}


def run(width, folder, words, **more):
    with terminal(width) as (stream, shown):
        code = subprocess.run([sys.executable, "-m", "chainrule", *words], stdout=stream, stderr=stream, stdin=subprocess.DEVNULL,
                              cwd=folder, env=environment(**more), check=False).returncode
        return code, shown()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_training_fits_the_terminal(tmp_path, width):
    code, screen = run(width, tmp_path, TRAIN)
    assert code == 0, screen.text
    long = [line for line in screen.overran if " " in line.strip()]
    assert not long, "only a path without a blank may be longer than a line"
    words = screen.text.split()
    assert words[:3] == ["Training", "mlp:hidden=4", "(35"]
    joined = " ".join(words)
    assert joined.count("accuracy") >= 2
    assert re.search(r"the net is (better|worse)|no difference is shown", joined)
    assert "confusion.png" in screen.text.replace("\n  ", "")
    assert "report.html" in joined
    assert joined.count("best was epoch") == 1
    assert "valid accuracy" not in joined, "the result is said once"


def test_no_colour_and_a_dumb_terminal(tmp_path):
    code, screen = run(80, tmp_path, TRAIN, NO_COLOR="1")
    assert (code, screen.colours) == (0, set())
    code, screen = run(80, tmp_path, TRAIN, TERM="dumb")
    assert (code, screen.colours, screen.history) == (0, set(), [])
    assert re.search(r"^epoch 1/3, train loss", screen.text, re.M)


def test_a_pipe_gets_whole_lines_and_no_control_character(tmp_path):
    done = subprocess.run([sys.executable, "-m", "chainrule", *TRAIN], capture_output=True, text=True, cwd=tmp_path, env=environment(),
                          check=True)
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr
    assert done.stderr.startswith("Training mlp:hidden=4 (35 parameters) by backprop\nData: iris, ")
    assert re.search(r"^Written: \S+\.png", done.stdout, re.M)
