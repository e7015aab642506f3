"""Vectors of symbols: neighbours and maps against other libraries; words as the symbols of a text; sentences given word by word."""

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.observe.neighbours import flattened, nearest
from chainrule.workflows.symbols import tables

TEXT = "the cat sat on the mat. a dog ran to the park, and the cat ran to a mat!\n" * 30
QUICK = {"plan": "eager", "threads": 1, "progress": False}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("symbols")
    (folder / "t.txt").write_text(TEXT)
    return cr.train(folder / "t.txt", tokens="words:15", net="embedding:size=4,hidden=8,context=2", rule="bptt:window=16", batch=4,
                    epochs=3, out=folder / "run", **QUICK)


def test_neighbours_are_those_of_another_library():
    vectors = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    others, cosines = nearest(vectors, 4)
    away, places = NearestNeighbors(n_neighbors=5, metric="cosine").fit(vectors).kneighbors(vectors)
    assert others.tolist() == places[:, 1:].tolist()
    np.testing.assert_allclose(cosines, 1 - away[:, 1:], atol=1e-6)


def test_a_map_shows_the_first_principal_components():
    vectors = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(vectors.double(), dim=1).numpy()
    np.testing.assert_allclose(flattened(vectors).abs().numpy(), np.abs(PCA(2).fit_transform(unit)), atol=1e-8)


def test_a_text_of_words_keeps_the_most_frequent_and_counts_the_others(run, tmp_path):
    known = run.trained.encoder.inputs.vocabulary
    assert len(known) == 15
    assert known.unit == "words"
    assert {" the", " cat"} <= set(known.symbols)
    assert any("15 most frequent words are known" in e.message for e in run.events if hasattr(e, "message"))
    assert run.valid.measures["perplexity"].value < 16
    assert cr.Run(run.path).test().measures["nats"].value > 0                      # read again as words
    assert run.test_on(run.record["data"]["origin"]["what"]).n > 0
    assert cr.repeat(run, progress=False) == (True, 0.0)
    drawn = run.sample(given=" the quagga", length=8)
    assert "1 of 2 words" in drawn.notes[0]
    (tmp_path / "new.txt").write_text("the cat ran")
    answer, names = run.predict(tmp_path / "new.txt")
    assert answer.shape == (3, len(names))


def test_a_report_has_the_neighbours_and_the_surprise_of_a_passage(run, tmp_path):
    page = run.report(tmp_path / "r.html").read_text()
    assert "Nearest neighbours" in page
    assert "On the validation part: surprise" in page
    assert "Symbols by the vectors" in page
    rows = tables(run.trained)[0].rows
    assert rows[0][0] == "the"
    assert len(rows[0][1].split(", ")) == 5


@pytest.mark.parametrize(("tokens", "words"), [("letters", "--tokens is characters, words"), ("words:0", "got 'words:0'"),
                                               ("characters:5", "got 'characters:5'")])
def test_what_no_text_is_made_of_is_refused(tokens, words, tmp_path):
    (tmp_path / "t.txt").write_text(TEXT)
    with pytest.raises(InputError, match=words):
        cr.train(tmp_path / "t.txt", tokens=tokens, **QUICK)
    with pytest.raises(InputError, match="digits is no text; --tokens is for these"):
        cr.train("digits", tokens="words", **QUICK)


def test_a_column_of_sentences_is_given_word_by_word_to_a_net_of_sequences(tmp_path, capsys):
    draw = np.random.default_rng(0)
    words = ["we", "went", "to", "the", "big", "park", "again"]
    rows = [(" ".join(draw.permutation([*words, ("sad", "glad")[i % 2], str(i)])), i, "ny"[i % 2]) for i in range(80)]
    frame = pl.DataFrame(rows, schema=["remark", "size", "y"], orient="row")
    frame.write_csv(tmp_path / "t.csv")
    run = cr.train(tmp_path / "t.csv", target="y", net="textcnn:size=8,widths=2,maps=8,dropout=0",
                   optimizer="adam:rate=0.02", epochs=40, out=tmp_path / "run", **QUICK)
    said = [e.message for e in run.events if hasattr(e, "message")]
    assert any("reads 'remark' word by word, and nothing else: size left out" in sentence for sentence in said)
    assert run.valid.accuracy > 0.9
    assert run.test().n == 12
    frame.head(1).with_columns(remark=pl.lit("glad zebras " * 30)).drop("y").write_csv(tmp_path / "one.csv")
    capsys.readouterr()
    answer, names = cr.Run(run.path).predict(tmp_path / "one.csv")
    assert names[int(answer.argmax())] == "y"
    assert "in 1 of 1 rows 'remark' has a word that training never saw, first 'zebras'" in capsys.readouterr().err
    assert run.test_on(tmp_path / "t.csv").n == 80
    assert run_command(["predict", str(run.path), str(tmp_path / "t.csv"), "--out", str(tmp_path / "said.csv")]) == 0
    frame.with_columns(other=pl.col("remark") + pl.lit(" indeed")).write_csv(tmp_path / "two.csv")
    with pytest.raises(InputError, match="reads one column of sentences word by word; two has remark, other"):
        cr.train(tmp_path / "two.csv", target="y", net="lstm:hidden=4", **QUICK)
