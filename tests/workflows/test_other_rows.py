"""Further rows for a net that was trained: what is wrong with them is said without the options of a training, which is over."""

import re

import pytest

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.workflows.other_rows import without_options

QUICK = {"plan": "eager", "threads": 1, "epochs": 1, "progress": False}
TEXT = "to be or not to be that is the question " * 30


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run on a text, one on a table of words and numbers, one on pictures, one on a series."""
    top = tmp_path_factory.mktemp("runs")
    (top / "t.txt").write_text(TEXT)
    (top / "t.csv").write_text("size,colour,kind\n" + "".join(f"{i % 7},{'red' if i % 3 else 'blue'},{'ab'[i % 2]}\n" for i in range(80)))
    (top / "s.csv").write_text("y\n" + "".join(f"{(i * 7) % 11}\n" for i in range(120)))
    cr.train(top / "t.txt", net="gru:hidden=4", rule="bptt:window=64", batch=4, out=top / "text", **QUICK)
    cr.train(top / "t.csv", target="kind", net="mlp:hidden=4", out=top / "table", **QUICK)
    cr.train("digits", net="linear", out=top / "pictures", **QUICK)
    cr.train(top / "s.csv", target="y", horizon=2, lags=4, net="ar", rule="closedform", out=top / "series", **QUICK)
    return top


WRONG = {
    "short text": ("text", "x.txt", b"to be"),
    "bytes of 0": ("table", "x.csv", b"size,colour,kind\n1,red,a\n\x00\x00\x00,red,a\n" + b"\x00" * 40),
    "no targets": ("table", "x.csv", b"size,colour,kind\n1,red,\n2,blue,a\n"),
    "no rows": ("table", "x.csv", b"size,colour,kind\n"),
    "another class": ("table", "x.csv", b"size,colour,kind\n1,red,a\n2,blue,z\n"),
    "a word for a number": ("table", "x.csv", b"size,colour,kind\none,red,a\ntwo,blue,b\n"),
    "a column less": ("table", "x.csv", b"size,kind\n1,a\n2,b\n"),
    "short series": ("series", "x.csv", b"y\n1\n2\n3\n"),
    "words for a series": ("series", "x.csv", b"y\na\nb\nc\nd\ne\nf\ng\nh\n"),
    "a table for pictures": ("pictures", "x.csv", b"a,b\n1,2\n3,4\n"),
    "a text for pictures": ("pictures", "x.txt", TEXT.encode()),
    "a table for a text": ("text", "x.csv", b"a,b\n1,2\n3,4\n"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("command", ["test", "predict", "encode"])
def test_no_option_of_training_is_advised(case, command, runs, tmp_path, capsys):
    run, name, content = WRONG[case]
    (tmp_path / name).write_bytes(content)
    of = [str(runs / run)]
    words = {"test": ["test", *of, "--on", str(tmp_path / name)], "predict": ["predict", *of, str(tmp_path / name), "--out", "p.csv"],
             "encode": ["encode", *of, str(tmp_path / name), "--out", "p.csv"]}[command]
    words = [word if word != "p.csv" else str(tmp_path / word) for word in words]
    code, said = run_command(words), capsys.readouterr().err
    assert code in (0, 2), said
    if code == 2:
        assert not re.search(r"--(?!on\b|out\b|layer\b)[a-z]", said), said


def test_a_text_too_short_is_to_be_longer(runs, tmp_path):
    (tmp_path / "x.txt").write_text("to be or not to be")
    with pytest.raises(InputError, match=r"x has 18 symbols.*need 65\. Give more text\.$"):
        cr.Run(runs / "text").test_on(tmp_path / "x.txt")


@pytest.mark.parametrize(("message", "without"), [
    ("--out is wrong. Use --net.", "--out is wrong. Give rows such as the net was trained on."),
    ("It is so. Train without that column: --columns a:out.", "It is so. Train without that column: --columns a:out."),
    ("It is so. Fill them, or remove them (with --drop-unlabelled). Or else.", "It is so. Fill them. Or else."),
    ("a is 1.5 e.g. this. Name it, or that, or leave it.", "a is 1.5 e.g. this. Name it, or that, or leave it."),
    ("So. Use --a. Use --b.", "So. Give rows such as the net was trained on."),
])
def test_advice_without_options(message, without):
    assert without_options(message) == without
