"""The scoreboard: every row of the canon is there once, every recipe proves one, and verdicts follow from figures and nothing else."""

import json
import subprocess
import sys

import pytest

from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.core.registry import recipes
from chainrule.recipes.canon import ROWS
from chainrule.report.canon import BEGIN, END, record
from chainrule.workflows.canon import Check, Row, chosen, lines, score

LENGTHS = {"A": 7, "B": 7, "C": 10, "D": 10, "E": 10, "F": 8, "G": 8}


def figure(ours, reached, published=1.0, probability=False):
    return {"what": "w", "ours": {"value": ours, "interval": [0.0, 2.0]}, "published": {"value": published, "source": "s"},
            "reached": reached, "probability": probability}


def row(*names):
    return Row("Z1", "a system", tuple(Check(name, f"what {name} proves", 7.0, f"source of {name}") for name in names))


def standing(outcomes, *names):
    """What becomes of a row whose recipes end so; an error is raised, and a name without outcome is not built."""
    def attempt(name):
        if isinstance(outcomes[name], Exception):
            raise outcomes[name]
        return {"figures": outcomes[name], "notes": []}

    (made,) = score([row(*names)], set(outcomes), attempt, lambda _: None)
    return made


def test_every_row_of_the_canon_is_there_once_in_its_order():
    assert [r.name for r in ROWS] == [f"{letter}{n}" for letter, count in LENGTHS.items() for n in range(1, count + 1)]
    assert all(r.system and r.checks and all(c.what and c.source for c in r.checks) for r in ROWS)


def test_every_recipe_proves_a_row():
    """So a recipe whose name is not the one that its row expects is found here, and not taken for one that is still to come."""
    assert set(recipes.names()) - {check.recipe for r in ROWS for check in r.checks} == set()


@pytest.mark.parametrize(("outcomes", "verdict"), [
    ({"a": [figure(1, True)], "b": [figure(1, True), figure(1, None)]}, "reached"),
    ({"a": [figure(1, True)], "b": [figure(1, None)]}, "not judged"),
    ({"a": [figure(1, True)]}, "in part"),
    ({}, "not built yet"),
    ({"a": [figure(1, True), figure(3, False)]}, "missed"),
    ({"a": InputError("No data."), "b": [figure(1, True)]}, "could not run"),
    ({"a": InputError("No data."), "b": [figure(1, False)]}, "missed"),
])
def test_a_row_is_as_grave_as_its_gravest_check(outcomes, verdict):
    made = standing(outcomes, "a", "b")
    assert made.verdict == verdict
    assert made.words.endswith("1 of 2 reached") is (verdict in ("in part", "not judged"))


def test_what_is_shown_is_the_figure_that_was_missed():
    told = standing({"a": [figure(1, True), figure(3, False, published=2.0)], "b": [figure(5, True)]}, "a", "b").to_json()
    assert (told["ours"], told["published"], told["interval"], told["source"]) == (3, 2.0, [0.0, 2.0], "source of a")
    assert [check["ours"] for check in told["checks"]] == [3, 5]


def test_a_p_that_a_float_does_not_hold_is_shown_as_a_bound_and_told_as_a_number():
    made = standing({"a": [figure(0.0, True, published=0.01, probability=True)]}, "a")
    assert "< 1e-300" in "\n".join(lines([made]))
    assert made.to_json()["ours"] == 0.0


def test_what_is_not_built_has_its_published_figure_and_none_of_ours():
    made = standing({}, "a")
    told = made.to_json()
    assert (told["published"], told["source"], told["ours"], told["interval"]) == (7.0, "source of a", None, None)
    assert "not built yet" in "\n".join(lines([made]))


def test_why_something_could_not_run_is_said():
    assert "Z1 a: No data." in lines([standing({"a": InputError("No data.")}, "a")])


def test_a_fault_of_ours_is_no_verdict():
    with pytest.raises(ZeroDivisionError):
        standing({"a": ZeroDivisionError()}, "a")


def test_a_recipe_of_two_rows_runs_once():
    ran = []
    score([row("a"), row("a", "a")], {"a"}, lambda name: ran.append(name) or {"figures": [figure(1, True)]}, lambda _: None)
    assert ran == ["a"]


def test_rows_are_chosen_by_name_or_letter_and_misspelt_ones_refused():
    assert [r.name for r in chosen(ROWS, ["c10", "A6", "A6"])] == ["A6", "C10"]
    assert [r.name for r in chosen(ROWS, ["B"])] == [f"B{n}" for n in range(1, 8)]
    assert len(chosen(ROWS, [])) == sum(LENGTHS.values())
    with pytest.raises(InputError, match=r"no row 'A66'\. Did you mean"):
        chosen(ROWS, ["A66"])


def test_the_command_prints_measures_and_writes_a_page(tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    words = ["canon", "A6", "G3", "--short", "--out", str(tmp_path / "c"), "--record", str(readme), "--json"]
    assert run_command(words) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [r["row"] for r in told["rows"]] == ["A6", "G3"]
    significance, processes = told["rows"]
    assert {"row", "system", "published", "source", "ours", "interval", "verdict", "seconds"} <= set(significance)
    assert significance["ours"] == pytest.approx(2 * 13 / 4096)      # a fair coin thrown twelve times falls one way at most once
    assert significance["verdict"] == "reached"
    assert (processes["verdict"], processes["ours"]) == ("not built yet", None)
    page = (tmp_path / "c" / "canon.html").read_text()
    assert "not built yet" in page
    assert "0.0063" in page
    assert "| A6 | Is B really better than A? | p of (29, 1; 11, 9959) | 0.0063 | 0.0063477 |" in readme.read_text()


@pytest.mark.parametrize("words", [["canon", "Q7"], ["canon", "A6", "--seeds", "0"]])
def test_wrong_words_are_refused(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_command(words) == 2
    assert not list(tmp_path.iterdir())


def test_a_record_keeps_what_was_measured_before_in_the_order_of_the_canon(tmp_path):
    path = tmp_path / "R.md"
    path.write_text(f"a\n{BEGIN}\nold words\n{END}\nz\n")
    assert record(path, ("row", "x"), {"C10": ["C10", "1"], "A2": ["A2", "2"]}, "M1") == 2
    assert record(path, ("row", "x"), {"C9": ["C9", "3"], "A2": ["A2", "4|5"]}, "M2") == 3
    assert path.read_text() == f"a\n{BEGIN}\n\n| row | x |\n| --- | --- |\n| A2 | 4/5 |\n| C9 | 3 |\n| C10 | 1 |\n\nM2\n\n{END}\nz\n"
    path.write_text("no place")
    with pytest.raises(InputError, match="--record expects one line"):
        record(path, ("row", "x"), {}, "")


def test_the_command_line_starts_without_the_recipes():
    code = "import sys, chainrule.cli.main; sys.exit(any(m.startswith('chainrule.recipes') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
