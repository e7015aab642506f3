"""Batches of like length by the option: what may be read so, what is refused, and that it resumes and goes in turn where rows differ."""

import pytest

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.feed.buckets import Buckets

QUICK = {"epochs": 1, "batch": 8, "plan": "eager", "threads": 1, "progress": False}


def test_a_run_reads_batches_of_like_length_and_says_how_much_it_saves(tmp_path):
    run = cr.train("structures:count=60", net="gru:hidden=4", buckets=3, out=tmp_path / "run", **QUICK)
    feed = run.fresh_job().feed()
    assert isinstance(feed, Buckets)
    assert len({chunk.x.shape[2] for chunk in feed.chunks(0)}) > 1
    said = next(choice for choice in run.fresh_job().choices if "cut to their own length" in choice)
    assert "%" in said
    assert run.history[-1]["train_loss"] < 1.5


def test_members_with_rows_of_their_own_learn_what_each_learns_alone(tmp_path):
    options = {**QUICK, "split_seed": 0, "net": "gru:hidden=3", "buckets": 2}
    several = cr.sweep("structures:count=40", over={"seed": (0, 1)}, out=tmp_path / "s", **options)
    alone = cr.train("structures:count=40", seed=1, out=tmp_path / "a", **options)
    assert several.runs[1].history[-1]["train_loss"] == pytest.approx(alone.history[-1]["train_loss"], rel=1e-5)


@pytest.mark.parametrize(("data", "options", "message"), [
    ("iris", {"net": "mlp"}, "sequences that differ in length"),
    ("motifs:count=40", {"net": "gru:hidden=3"}, "all of motifs have 60 steps"),
    ("structures:count=40", {"net": "mlp:hidden=3", "task": "tagging"}, "Leave"),
    ("chains:count=12", {"net": "contactnet:hidden=4,depth=1,pairs=2,pair_depth=1"}, "sequences that differ in length"),
])
def test_what_cannot_be_cut_is_refused(data, options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        cr.train(data, buckets=2, out=tmp_path / "run", **options, **QUICK)
