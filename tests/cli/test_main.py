"""The command line as a user types it: results on stdout, one sentence for a mistake, exit codes, JSON as the last line."""

from __future__ import annotations

import json
import runpy
import shlex
import sys
import types

import pytest
from PIL import Image

from chainrule.cli.main import run_command


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys):
    """Type a command; returns its exit code, what it printed and what it told."""

    def typed(*words: str) -> tuple[int, str, str]:
        code = run_command(list(words))
        said = capsys.readouterr()
        return code, said.out, said.err

    return typed


TRAIN = ("train", "digits", "--net", "mlp:hidden=20", "--epochs", "2", "--batch", "50", "--plan", "eager")


def last(out: str) -> dict:
    return json.loads(out.strip().splitlines()[-1])


def test_train_prints_the_keys_of_the_interface(run):
    code, out, err = run(*TRAIN, "--test", "--json")
    assert code == 0
    told = last(out)
    assert set(told) >= {"run", "net", "parameters", "rule", "data", "epochs", "steps", "best", "valid", "plan", "seconds", "diagnoses",
                         "test"}
    assert told["data"]["splits"] == {"train": 1258, "valid": 270, "test": 269}
    assert set(told["plan"]) >= {"name", "precision", "seconds_per_step", "rejected"}
    assert set(told["seconds"]) >= {"total", "reading", "compiling", "training"}
    assert told["test"]["opened"] == 1
    assert "Traceback" not in err


def test_test_is_null_unless_asked_for(run):
    assert last(run(*TRAIN, "--json")[1])["test"] is None


def test_every_command_on_one_run(run, tmp_path):
    assert run(*TRAIN, "--out", "a")[0] == 0
    assert run(*TRAIN[:-2], "--plan", "eager", "--optimizer", "sgd", "--out", "b")[0] == 0
    code, out, _ = run("test", "a", "--json")
    assert code == 0
    assert set(last(out)) >= {"run", "n", "errors", "accuracy", "interval", "confusion", "measures", "opened"}
    code, out, _ = run("compare", "a", "b", "--json")
    assert code == 0
    assert set(last(out)["pairs"][0]) >= {"a", "b", "a_only_wrong", "b_only_wrong", "both_wrong", "both_right", "p", "p_corrected",
                                          "verdict"}
    assert last(run("repeat", "a", "--json")[1]) == {"same": True, "difference": 0.0}
    assert run("resume", "a")[0] == 0
    code, out, _ = run("predict", "a", "digits", "--out", "said.csv", "--json")
    assert code == 0
    assert last(out)["n"] == 1797
    assert len((tmp_path / "said.csv").read_text().splitlines()) == 1798
    assert run("report", "a", "--out", "a.html")[0] == 0
    assert "<html" in (tmp_path / "a.html").read_text()
    code, out, _ = run("export", "a", "--to", "safetensors", "--json")
    assert code == 0
    assert last(out)["max_difference"] <= 1e-5


@pytest.mark.parametrize("what", ["nets", "rules", "optimizers", "schedules", "inits", "losses", "data", "augments"])
def test_list_names_sources_and_options(run, what):
    code, out, _ = run("list", what, "--json")
    assert code == 0
    for row in json.loads(out.strip().splitlines()[-1]):
        assert set(row) == {"name", "summary", "source", "options"}
        assert row["summary"]
        assert row["source"]


def test_describe_counts_layers(run):
    told = last(run("describe", "mlp:hidden=30", "digits", "--json")[1])
    assert told["parameters"] == 64 * 30 + 30 + 30 * 10 + 10
    assert set(told["layers"][0]) >= {"name", "kind", "input", "output", "parameters", "share", "multiply_adds", "memory"}
    assert told["input"] == [1, 8, 8]
    assert told["layers"][0]["share"] == 1950 / (1950 + 310)


def test_describe_adds_up_the_memory_of_a_batch(run):
    """By hand: 2260 weights of 4 bytes; for each sample the 64 inputs and the 30 rectified units that the next layer reads."""
    told = last(run("describe", "mlp:hidden=30", "digits", "--batch", "50", "--json")[1])
    assert told["memory"] == {"weights": 2260 * 4, "activations": 50 * (64 + 30) * 4, "batch": 50}


def test_describe_shows_equal_blocks_once_but_lists_every_layer(run):
    _, out, *_ = run("describe", "plain:depth=20", "digits", "--json")
    layers = last(out)["layers"]
    assert "  x 3\n" in out
    assert sum(layer["name"].endswith("convolutions.0") for layer in layers) == 9
    _, full, *_ = run("describe", "plain:depth=20", "digits", "--full")
    assert "  x 3\n" not in full
    assert len(full.splitlines()) == len(layers) + 5


@pytest.mark.parametrize(("words", "sentence"), [
    (("train", "digitz"), "Did you mean digits"),
    (("train", "no/such.csv"), "no/such.csv"),
    (("train", "digits", "--epoch", "3"), "Did you mean --epochs"),
    (("train", "digits", "--net", "lenett"), "Did you mean lenet"),
    (("train", "digits", "--epochs", "0"), "--epochs"),
    (("trian",), "Did you mean 'train'? See"),
    (("test", "runs/none"), "There is no run"),
    (("list", "net"), "Did you mean nets"),
    (("train", "digits", "--config", "none.toml"), "none.toml"),
    (("train", "digits", "--precision", "fp64"), "--precision"),
])
def test_mistakes_are_one_sentence_and_exit_code_2(run, words, sentence):
    code, out, err = run(*words)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert not out


@pytest.mark.parametrize(("cells", "options", "sentences"), [
    ("a,b,y\n1,2,u\n3,nan,\n5,6,v\n7,8,u\n", (), ("y", "2")),
    ("a,b,y\n1,inf,u\n3,4,v\n5,6,v\n7,8,u\n", (), ("b", "1")),
    ("a,b,y\n", (), ("no rows",)),
    ("a,b,y\n1,2,u\n", (), ("one|1 sample",)),
    ("a,b,y\n1,2,u\n3,4,u\n5,6,u\n7,8,u\n", (), ("constant|one class",)),
    ("a,b,y\n1,2,u\n3,4,v\n5,6,u\n7,8,v\n", ("--target", "z"), ("z", "y")),
])
def test_bad_tables_are_refused_by_row_and_column(run, tmp_path, cells, options, sentences):
    import re

    (tmp_path / "bad.csv").write_text(cells)
    code, _, err = run("train", "bad.csv", *(options or ("--target", "y")), "--epochs", "1")
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    for sentence in sentences:
        assert re.search(sentence, err)


def test_a_table_trains_and_predicts_new_rows(run, tmp_path):
    rows = "\n".join(f"{i % 17},{['red', 'green', 'blue'][i % 3]},{'yes' if i % 17 > 8 else 'no'}" for i in range(200))
    (tmp_path / "some.csv").write_text("size,colour,bought\n" + rows)
    assert run("train", "some.csv", "--target", "bought", "--out", "r", "--epochs", "30", "--test")[0] == 0
    (tmp_path / "new.csv").write_text("size,colour\n1,red\n16,blue\n")
    assert run("predict", "r", "new.csv", "--out", "said.csv")[0] == 0
    lines = (tmp_path / "said.csv").read_text().splitlines()
    assert lines[0] == "row,prediction,p(no),p(yes)"
    assert [line.split(",")[:2] for line in lines[1:]] == [["1", "no"], ["2", "yes"]]
    assert run("predict", "r", "new.csv", "--out", "new.csv", "--overwrite") == (
        2, "", "--out new.csv is the very file that is read. Name another.\n")
    (tmp_path / "wrong.csv").write_text("size,color\n1,red\n")
    code, _, err = run("predict", "r", "wrong.csv")
    assert code == 2
    assert "colour" in err


def test_no_command_replaces_a_file_unless_it_is_told_to(run, tmp_path):
    assert run(*TRAIN, "--out", "a", "--test")[0] == 0
    (tmp_path / "paths.png").write_text("mine")
    for path, command in {
        "predictions.csv": ("predict", "a", "digits"), "p.npz": ("predict", "a", "digits", "--out", "p.npz"),
        "e.safetensors": ("export", "a", "--to", "safetensors", "--out", "e.safetensors"), "r.html": ("report", "a", "--out", "r.html"),
        "c.html": ("compare", "a", "knn", "--out", "c.html"), "w.png": ("picture", "a", "weights", "--out", "w.png"),
        "paths.png": ("picture", "paths"),
    }.items():
        (tmp_path / path).write_text("mine")
        code, out, err = run(*command)
        assert (code, out) == (2, "")
        assert err == f"{path} is there already. Name another file with --out, or write --overwrite to replace it.\n"
        assert (tmp_path / path).read_text() == "mine"
        if command[0] != "compare":
            assert run(*command, "--overwrite")[0] == 0
            assert (tmp_path / path).read_bytes()[:4] != b"mine"
    assert "compare knn" not in (tmp_path / "openings.jsonl").read_text()    # refused before the test part was opened
    assert run("report", "a", "--out", "a") == (2, "", "--out a is a folder; a file is to be written. Name a file in it.\n")


def test_a_config_file_is_read_and_the_command_line_wins(run, tmp_path):
    (tmp_path / "c.toml").write_text('net = "mlp:hidden=7"\nepochs = 2\nbatch = 50\nplan = "eager"\n')
    told = last(run("train", "digits", "--config", "c.toml", "--epochs", "1", "--json")[1])
    assert told["net"] == "mlp:hidden=7"
    assert told["epochs"] == 1
    (tmp_path / "c.toml").write_text("epoch = 2\n")
    code, _, err = run("train", "digits", "--config", "c.toml")
    assert code == 2
    assert "Did you mean epochs" in err


def test_a_run_that_diverges_exits_with_1_and_names_the_layer(run):
    code, _, err = run(*TRAIN, "--loss", "squared", "--optimizer", "sgd:rate=1e4", "--out", "bad")
    assert code == 1
    assert "stopped being finite" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("words", "sentence"), [
    (("list",), "WHAT is missing: nets, rules, tasks"), (("describe",), "NET is missing: A net, e.g. lenet"),
    (("sweep", "iris"), "--over is missing: key=v1,v2"), (("export", "r"), "--to is missing: onnx, pt2"),
])
def test_what_is_missing_is_named_with_what_it_may_be(run, words, sentence):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith(sentence)


def test_only_pictures_that_a_command_has_written_are_listed_as_written(run, tmp_path):
    assert run(*TRAIN, "--out", "a")[0] == 0
    (tmp_path / "a" / "flow.png").write_bytes(b"of another command")
    written = [line for line in run("test", "a")[1].splitlines() if line.startswith("Written: ")]
    assert len(written) == 1
    assert "a/confusion.png" in written[0]
    assert "flow.png" not in written[0]
    assert "Written" not in run("resume", "a")[1]


def test_other_data_than_a_table_is_named_for_what_it_is(run, tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i},{'uv'[i % 2]}\n" for i in range(40)))
    assert run("train", "t.csv", "--target", "y", "--net", "softmax", "--epochs", "1", "--plan", "eager", "--out", "a")[0] == 0
    code, _, err = run("predict", "a", "digits")
    assert (code, err) == (2, "digits: expected a table with the columns a; got pictures. Give such a table, e.g. a .csv file.\n")
    (tmp_path / "new.csv").write_text("a\n1\ntwo\n")
    code, _, err = run("predict", "a", "new.csv")
    assert code == 2
    assert err.endswith("got 'two'. Correct it, or leave it empty if it is missing.\n")


def test_pictures_without_classes_are_not_sent_to_columns(run, tmp_path):
    (tmp_path / "album").mkdir()
    for i in range(8):
        Image.new("L", (8, 8), 30 * i).save(tmp_path / "album" / f"{i}.png")
    code, _, err = run("train", "album")
    assert code == 2
    assert "Put each picture into a folder of its class, or use --net rbm." in err


def interrupted(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(("place", "words"), [
    ("chainrule.workflows.compare.compare", ("compare", "a", "knn")), ("chainrule.workflows.open.open_run", ("predict", "a", "new.csv")),
    ("chainrule.workflows.report_of.report", ("report", "a b")), ("chainrule.workflows.train.train", ("train", "digits")),
])
def test_ctrl_c_is_no_success(run, monkeypatch, place, words):
    """The parser gives back the exit code of an interruption and does not raise: 0 was returned, and nothing said."""
    monkeypatch.setattr(place, interrupted)
    code, out, err = run(*words)
    assert (code, out) == (130, "")
    assert err.strip().splitlines()[-1] == f"Interrupted. Run it again with: {shlex.join(['chainrule', *words])}"


def test_ctrl_c_while_the_command_line_is_imported_is_one_sentence(monkeypatch, capsys):
    class Importing(types.ModuleType):
        __getattr__ = interrupted

    monkeypatch.setitem(sys.modules, "chainrule.cli.main", Importing("chainrule.cli.main"))
    monkeypatch.setattr(sys, "argv", ["chainrule", "train", "digits"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("chainrule", run_name="__main__")
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Interrupted. Run it again with: chainrule train digits\n"
