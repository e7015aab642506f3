"""Columns of sentences: weights against scikit-learn's, what is text and what is not, unknown words, empty texts, mixed tables."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.data.encode import words
from chainrule.data.encode.encoder import Encoder
from chainrule.data.load import load_inputs
from chainrule.data.prepare import prepare
from chainrule.data.reading import Reading
from chainrule.estimators import NetworkClassifier
from chainrule.workflows.predict import predict_to

GOOD = ["the soup was warm and good", "a warm and friendly place", "we liked the good bread", "good soup, and a friendly waiter"]
BAD = ["the bread was cold and hard", "a cold and loud place", "we waited an hour for soup", "hard bread, and a rude waiter"]
QUICK = {"plan": "eager", "threads": 1, "progress": False}


def table(n=80, seed=0):
    """Remarks, a number that says nothing, and what they are."""
    draw = np.random.default_rng(seed)
    rows = [(f"{draw.choice(GOOD if i % 2 else BAD)}, {draw.choice(GOOD if i % 2 else BAD)} in {i}", float(i % 7), ("bad", "good")[i % 2])
            for i in range(n)]
    return pl.DataFrame(rows, schema=["remark", "size", "verdict"], orient="row")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    table().write_csv(folder / "news.csv")
    return cr.train(folder / "news.csv", target="verdict", epochs=30, out=folder / "run", **QUICK)


def block(data, rows):
    """The weights of the words of these rows, with the names of the inputs."""
    names = [name for name in data.encoder.inputs.feature_names if name.startswith("remark: ")]
    at = [data.encoder.inputs.feature_names.index(name) for name in names]
    return rows[:, at].double().numpy(), [name.removeprefix("remark: ") for name in names]


def test_weights_are_those_of_scikit_learn_on_the_training_rows_alone():
    """By its vectorizer, in which every word without an input of its own is written as one word."""
    frame = table()
    data = prepare(cr.load(frame, target="verdict"))
    train, names = block(data, data.train.x)
    valid, _ = block(data, data.valid.x)
    own = set(names[:-1])

    def written(rows):
        return [" ".join(w if w in own else "unknownword" for w in words.words_of(t)) for t in frame["remark"].gather(rows.numpy())]

    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\S+", vocabulary=[*names[:-1], "unknownword"])
    vectorizer.fit(written(data.train.rows))
    vectorizer.idf_[-1] = np.log((1 + len(data.train)) / (1 + 1)) + 1               # as of a word in one row, however many these are
    for ours, rows in ((train, data.train.rows), (valid, data.valid.rows)):
        np.testing.assert_allclose(ours / words.LENGTH, vectorizer.transform(written(rows)).toarray(), atol=1e-6)
    counted = pl.Series(frame["remark"].gather(data.train.rows.numpy())).to_list()
    frequent = {w for w in {w for t in counted for w in words.words_of(t)} if sum(w in words.words_of(t) for t in counted) >= 2}
    assert own == frequent


def test_an_encoder_is_stored_and_encodes_alike():
    data = prepare(cr.load(table(), target="verdict"))
    again = Encoder.from_state(*data.encoder.to_state())
    assert torch.equal(again.inputs.encode(data.source, data.valid.rows), data.valid.x)
    assert again.inputs.features.columns == data.encoder.inputs.features.columns


@pytest.mark.parametrize(("texts", "is_text"), [
    (GOOD * 3 + [f"{t} indeed" for t in GOOD + BAD], True),
    ([f"Braund, Mr. Owen Harris {i}" for i in range(20)], False),                 # names
    ([f"red car {i}" for i in range(20)], False),                                 # short
    (GOOD * 10, False),                                                           # four categories
    ([f"今日は良い天気です{i}" for i in range(20)], True),                           # no blanks, no capitals
    ([t.upper() + f" {i}" for i, t in enumerate(GOOD * 4)], False),
])
def test_a_column_of_sentences_is_told_from_names_and_categories(texts, is_text):
    frame = pl.DataFrame({"what": texts, "x": range(len(texts)), "y": [float(i % 3) for i in range(len(texts))]})
    for written in (frame, frame.to_pandas()):
        kinds = {c.name: c.kind for c in cr.load(written, target="y").inputs.columns}
        assert (kinds["what"] == "text") is is_text
    frame.write_csv("t.csv")
    assert (cr.load("t.csv", target="y").inputs["what"].kind == "text") is is_text
    assert cr.load("t.csv", target="y", reading=Reading(text="what")).inputs["what"].kind == "text"
    assert cr.load("t.csv", target="y", reading=Reading(columns="what:word")).inputs["what"].kind == "categorical"
    assert prepare(cr.load(frame, target="y", reading=Reading(text="what,x"))).encoder.inputs.column_kinds == {"what": "text", "x": "text"}


def test_the_words_of_a_target_are_classes_however_long_they_are():
    frame = table().with_columns(verdict=pl.col("verdict") + pl.lit(" thing, as one says of what is there"))
    assert set(cr.load(frame, target="verdict").classes) == {f"{w} thing, as one says of what is there" for w in ("good", "bad")}


def test_a_table_with_sentences_is_classified_and_says_what_was_chosen(run):
    said = [e.message for e in run.events if hasattr(e, "message")]
    assert any("'remark' holds sentences" in sentence and "TF-IDF" in sentence for sentence in said)
    assert run.record["net"] == "mlp:dropout=0.5"
    assert run.valid.accuracy > 0.9
    result = run.test()
    assert result.accuracy > 0.9
    assert run.test_on(table(30, seed=1)).n == 30
    assert "holds sentences" in run.report().read_text()


def test_unknown_words_of_new_rows_are_counted_and_one_row_or_an_empty_text_is_answered(run, capsys):
    table(1).with_columns(remark=pl.lit("good warm quasars")).drop("verdict").write_csv("one.csv")
    answer, names = run.predict("one.csv")
    assert names == ("bad", "good")
    assert answer.argmax(1).tolist() == [1]
    assert "in 1 of 1 rows 'remark' has a word that training never saw, first 'quasars' in row 1; such words count as unknown" in (
        capsys.readouterr().err)
    for empty in ("", None, "?!"):
        answer, _ = run.predict(table(2).with_columns(remark=pl.lit(empty, dtype=pl.String)).drop("verdict"))
        assert bool(answer.isfinite().all())
    assert predict_to(run.trained, "one.csv", run.path / "said.csv") == 1
    every, written = table(40, seed=2), run.path / "all.csv"
    every.write_csv("all.csv")
    predict_to(run.trained, "all.csv", written, stream_bytes=1)
    streamed = pl.read_csv(written)["prediction"].to_list()
    assert streamed == [names[i] for i in run.predict("all.csv")[0].argmax(1).tolist()]
    with pytest.raises(InputError, match="lacks 1 of the 2 columns that training read: 'remark'"):
        run.predict(every.drop("remark"))
    assert load_inputs(every, like=run.trained.encoder.inputs).inputs["remark"].kind == "text"


def test_a_word_of_a_test_row_changes_nothing_that_was_fitted():
    frame = table()
    first = prepare(cr.load(frame, target="verdict"))
    changed = frame["remark"].to_list()
    for row in first.door.rows.tolist():
        changed[row] = "entirely other words, of which there are many more"
    other = prepare(cr.load(frame.with_columns(remark=pl.Series(changed)), target="verdict"))
    assert other.encoder.to_state()[1] == first.encoder.to_state()[1]


def test_the_command_line_takes_a_text_column_and_refuses_what_is_none(run, capsys):
    table().with_columns(remark=pl.col("remark").str.to_uppercase()).write_csv("upper.csv")
    assert run_command(["train", "upper.csv", "--target", "verdict", "--text", "remark", "--epochs", "2", "--plan", "eager"]) == 0
    assert "'remark' holds sentences" in capsys.readouterr().err
    assert run_command(["train", "upper.csv", "--target", "verdict", "--text", "remrk"]) == 2
    assert "upper.csv has no column 'remrk'. Did you mean remark? Name it with --text." in capsys.readouterr().err
    assert run_command(["train", "upper.csv", "--target", "verdict", "--text", "remark", "--columns", "remark:word"]) == 2
    assert "say different things" in capsys.readouterr().err
    assert run_command(["train", "digits", "--text", "body"]) == 2


def test_runs_are_compared_resumed_repeated_and_exported(run):
    other = cr.train(run.source, net="softmax", epochs=3, **QUICK)
    assert len(cr.compare(run, other).pairs) == 1
    assert cr.repeat(other, progress=False) == (True, 0.0)
    assert cr.resume(other.path, progress=False).path == other.path
    assert other.export("safetensors")[1] == 0


def test_estimators_take_frames_with_a_text_column():
    frame = table(120).to_pandas()
    X, y = frame[["remark", "size"]], frame["verdict"]
    model = NetworkClassifier(epochs=30, random_state=0).fit(X[:90], y[:90])
    assert model.score(X[90:], y[90:]) > 0.9
    assert list(model.predict(pd.DataFrame({"remark": ["good and warm"], "size": [1.0]}))) == ["good"]
