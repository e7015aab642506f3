"""The verb sample: texts and rows from run folders, the seed they follow from, files, and what is recorded in training."""

import json

import polars as pl
import pytest
import torch

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.core.events import Sampled
from chainrule.core.sampling import Drawn, Request
from chainrule.core.sheets import unpacked
from chainrule.core.text import visible
from chainrule.tasks.language import Language
from chainrule.workflows.likeness import likeness

TEXT = "to be, or not to be:\tthat is\nthe question. " * 40
QUICK = {"net": "rnn:hidden=12", "plan": "eager", "optimizer": "adam:rate=0.002", "threads": 1, "progress": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    (folder / "t.txt").write_text(TEXT)
    return cr.train(folder / "t.txt", out=folder / "run", epochs=40, rule="bptt:window=16", batch=4, **QUICK)


def test_a_text_goes_on_from_what_is_given_by_the_seed(run):
    drawn = run.sample(3, "to be, or", length=25, temperature=0.5, seed=4)
    assert len(drawn.texts) == len(drawn) == 3
    assert all(text.startswith("to be, or") and len(text) == 9 + 25 for text in drawn.texts)
    assert set("".join(drawn.texts)) <= set(TEXT)
    again, other = (run.sample(3, "to be, or", length=25, temperature=0.5, seed=seed) for seed in (4, 5))
    assert drawn == again
    assert drawn.texts != other.texts
    before = torch.get_rng_state()
    assert run.sample(length=9).texts == cr.Run(run.path).sample(length=9).texts
    assert torch.equal(torch.get_rng_state(), before), "nobody outside notices"


def test_symbols_that_the_text_lacks_are_named(run, capsys):
    drawn = run.sample(given="Zto bé", length=3)
    assert "2 of 6 characters" in drawn.notes[0]
    assert "'Z', 'é'" in drawn.notes[0]
    assert drawn.texts[0].startswith("Zto bé")
    assert run_command(["sample", str(run.path), "--given", "Z", "--length", "3", "--json"]) == 0
    out = capsys.readouterr()
    assert json.loads(out.out.splitlines()[-1])["texts"][0].startswith("Z")
    assert "does not know ('Z')" in out.err


def test_blanks_are_shown_where_that_is_asked_for(run, tmp_path, capsys):
    assert run_command(["sample", str(run.path), "--given", "to be,", "--length", "30", "--visible"]) == 0
    assert capsys.readouterr().out.startswith("to␣be,")
    assert visible(" \t\r\n.") == "␣⇥␍⏎\n."
    path = tmp_path / "s.txt"
    assert run_command(["sample", str(run.path), "--n", "2", "--length", "5", "--out", str(path)]) == 0
    first, second = path.read_text().removesuffix("\n").split("\n" + "-" * 40 + "\n")
    assert [first, second] == list(run.sample(2, length=5).texts)
    assert run_command(["sample", str(run.path), "--out", str(path)]) == 2
    assert run_command(["sample", str(run.path), "--n", "2", "--length", "5", "--out", str(tmp_path / "s.parquet")]) == 0
    assert pl.read_parquet(tmp_path / "s.parquet")["text"].to_list() == [first, second]


@pytest.mark.parametrize(("options", "words"), [
    ({"n": 0}, "--n must be at least 1"), ({"temperature": 0.0}, "--temperature must be above 0"), ({"top_k": 0}, "--top-k must be"),
    ({"length": 0}, "--length must be at least 1"), ({"given": 3}, "given expects text")])
def test_what_cannot_be_drawn_is_refused_in_a_sentence(run, options, words):
    with pytest.raises(InputError, match=words):
        run.sample(**options)


def test_samples_are_recorded_at_their_steps_and_training_does_not_notice(run, tmp_path, monkeypatch):
    recorded = {e.step: e.texts for e in run.events if isinstance(e, Sampled)}
    assert list(recorded) == [100, 300, 500, 700]
    assert all(len(texts) == 1 and len(texts[0]) == 200 for texts in recorded.values())
    assert "Written on the way" in run.report(tmp_path / "r.html").read_text()
    assert visible(recorded[700][0])[:20] in (tmp_path / "r.html").read_text()
    monkeypatch.setattr(Language, "drawn_at", ())
    other = cr.train(run.source, out=tmp_path / "other", epochs=40, rule="bptt:window=16", batch=4, **QUICK)
    assert not any(isinstance(e, Sampled) for e in other.events)
    assert all(torch.equal(t, other.trained.net.tensors[name]) for name, t in run.trained.net.tensors.items())


def test_what_is_recorded_is_what_the_net_wrote_then(run, tmp_path):
    stopped = cr.train(run.source, out=tmp_path / "first", steps=100, rule="bptt:window=16", batch=4, **QUICK)
    job = stopped.job
    assert stopped.events[-1].steps == 100
    seen = next(e.texts for e in run.events if isinstance(e, Sampled) and e.step == 100)
    assert next(e.texts for e in stopped.events if isinstance(e, Sampled)) == seen
    if stopped.events[-1].best_epoch == len(stopped.history):                 # the last weights are the best
        assert list(job.trained.sample(Request(length=200)).texts) == seen


def test_rows_of_a_table_come_back_in_its_columns(tmp_path, capsys):
    frame = pl.DataFrame({"size": [1.0, 2.0, 3.0, 2.5] * 20, "shop": ["north", "south", "north", "west"] * 20, "open": [True, False] * 40})
    run = cr.train(cr.load(frame, target="none"), net="mixture:components=2,covariance=diagonal", epochs=3, plan="eager", progress=False,
                   out=tmp_path / "run")
    drawn = run.sample(50)
    assert list(drawn.columns) == ["size", "shop", "open"]
    assert set(drawn.columns["shop"]) <= {"north", "south", "west"}
    assert set(drawn.columns["open"]) <= {True, False}
    assert 0 < sum(drawn.columns["size"]) / 50 < 4, "in the units of the data, not standardised"
    assert run_command(["sample", str(run.path), "--n", "4", "--json"]) == 0
    out = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert out["n"] == 4
    assert pl.read_csv(out["out"]).columns == ["sample", "size", "shop", "open"]
    with pytest.raises(InputError, match="--given, --top-k are for texts"):
        run.sample(given="north", top_k=3)


def test_pictures_come_back_as_pixels(tmp_path):
    run = cr.train("digits", net="vae:hidden=8,code=2", epochs=1, plan="eager", progress=False, out=tmp_path / "run")
    rows = run.sample(6).rows
    assert rows.shape == (6, 1, 8, 8)
    assert rows.abs().max() > 1, "from 0 to 16, as digits have them"
    for name in ("d.png", "d.npz"):
        assert run_command(["sample", str(run.path), "--n", "6", "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    assert run_command(["sample", str(run.path), "--out", str(tmp_path / "d.txt")]) == 2


def test_a_net_that_answers_makes_no_samples(tmp_path):
    run = cr.train("iris", net="mlp:hidden=4", epochs=1, plan="eager", progress=False, out=tmp_path / "run")
    with pytest.raises(InputError, match="mlp:hidden=4 answers and makes no samples"):
        run.sample()


MACHINE = {"net": "rbm:hidden=12", "plan": "eager", "threads": 1, "progress": False, "batch": 10}


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return cr.train("digits", out=tmp_path_factory.mktemp("machine") / "run", epochs=3, **MACHINE)


def test_what_a_net_draws_is_recorded_in_training_and_shown(machine, tmp_path):
    sheets = [event for event in machine.events if isinstance(event, Sampled)]
    assert [event.step for event in sheets] == [100, 300]
    assert all(event.texts == [] and len(event.pictures) == 1 for event in sheets)
    shown = unpacked(sheets[0].pictures[0])
    assert shown.shape == (20, 1, 8, 8)
    assert shown.unique().tolist() == [0, 255], "states of binary units"
    report = machine.report(tmp_path / "r.html").read_text()
    assert "What the net drew after step 100" in report
    assert "What the net drew after step 300" in report


def test_recording_what_a_net_draws_changes_nothing_of_its_training(machine, tmp_path, monkeypatch):
    monkeypatch.setattr("chainrule.job.job.PICTURED_AT", ())
    unseen = cr.train("digits", out=tmp_path / "run", epochs=3, **MACHINE)
    assert not [event for event in unseen.events if isinstance(event, Sampled)]
    assert all(torch.equal(a, b) for a, b in zip(machine.net.state_dict().values(), unseen.net.state_dict().values(), strict=True))


def test_samples_are_set_beside_rows_and_beside_what_a_classifier_makes_of_them(machine, tmp_path, capsys):
    judge = cr.train("digits", net="mlp:hidden=8", epochs=1, out=tmp_path / "judge", plan="eager", threads=1, progress=False)
    noise = likeness(machine.trained, Drawn(rows=255 * torch.rand(200, 1, 8, 8)), "digits")
    for against in ("digits", str(judge.path)):
        words = ["sample", str(machine.path), "--n", "200", "--against", against, "--overwrite", "--out", str(tmp_path / "s.csv"), "--json"]
        assert run_command(words) == 0
        told = json.loads(capsys.readouterr().out.splitlines()[-1])["against"]
        assert 0 <= told["halves"] < told["distance"]
    assert run_command(["sample", str(machine.path), "--n", "200", "--against", "digits", "--out", str(tmp_path / "t.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["against"]["distance"] < noise.distance
    assert run_command(["sample", str(machine.path), "--n", "9", "--against", "digits", "--out", str(tmp_path / "u.csv")]) == 2
    assert "at least 50 samples; got 9" in capsys.readouterr().err
    with pytest.raises(InputError, match="have 4 numbers each"):
        likeness(machine.trained, Drawn(rows=torch.rand(60, 4)), "digits")


def test_a_text_with_symbols_that_training_never_saw_says_which_they_are(run, tmp_path, capsys):
    (tmp_path / "other.txt").write_text("quiz & Zebra & quiz")
    assert run_command(["predict", str(run.path), str(tmp_path / "other.txt"), "--out", str(tmp_path / "p.csv")]) == 0
    out = capsys.readouterr()
    assert out.err == "other holds 3 of 11 characters that training never saw ('&', 'Z', 'z'); each is read as the unknown symbol.\n"
    assert out.out.startswith("19 predictions in ")
