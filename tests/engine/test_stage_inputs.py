"""What a stage reads through the parts already trained: encoded once, in evaluation mode, by blocks of rows, the same after a resume."""

from functools import partial

import numpy as np
import polars as pl
import pytest
import torch
from tiny import descend, part, running
from torch import nn

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.descend import set_pace
from chainrule.core.errors import InputError
from chainrule.core.events import Saved
from chainrule.core.net import Net
from chainrule.core.stage import Budget, Stage
from chainrule.core.stage import part as part_of
from chainrule.data.feed import shuffled
from chainrule.data.feed.lanes import Lanes
from chainrule.data.feed.shuffled import Feed
from chainrule.data.source import Part
from chainrule.data.storage.stored import Streamed
from chainrule.engine.store import Store
from chainrule.job.build import build
from chainrule.job.options import Options


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def deep():
    torch.manual_seed(0)
    return Net.of(nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 2)))


def below(net, x):
    for module in list(net.module)[:-1]:
        x = module(x)
    return x


def stack(calls, epochs=2):
    """The whole for some epochs, then the last layer alone on what those below it make of the rows."""
    def inputs(net, x):
        calls.append((len(x), net.module.training))
        return below(net, x)

    return [Stage(descend(), Budget(epochs=epochs)),
            Stage(descend(schedule=True), Budget(epochs=epochs), view=part_of("4"), inputs=inputs)]


def test_the_second_stages_inputs_are_computed_once_and_are_the_first_layers_outputs():
    """By hand: the last layer alone, by the same rule, on the outputs that the layers below have in evaluation."""
    calls, net, alone = [], deep(), deep()
    list(running(net, descend(), stages=stack(calls), monitor=()).run())
    assert calls == [(30, False)]
    first = running(alone, descend(), epochs=2, monitor=())
    list(first.run())
    alone.module.eval()
    with torch.no_grad():
        codes = below(alone, part().x)
    assert torch.equal(codes, below(net, part().x))
    feed, last, rule = first.feed_for(0), Net.of(alone.module[4]), descend(schedule=True)
    state, done = rule.init(last), 0
    for epoch in range(2):
        for rows in feed.order(epoch).split(7):
            set_pace(state, {"done": done / 9, "each": 0.0, "whole": 1.0})
            last, state, _ = rule.step(last, state, Batch(codes[rows], part().y[rows]))
            done += 1
    for name, t in last.params.items():
        torch.testing.assert_close(net.params[f"4.{name}"], t, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("at", [3, 10, 12, 17])
def test_it_resumes_to_the_same_weights_in_either_stage_and_between(tmp_path, at):
    whole, again = deep(), deep()
    list(running(whole, descend(), stages=stack([])).run())
    for event in running(deep(), descend(), stages=stack([]), store=Store(tmp_path, "x"), save_every=0.0).run():
        if isinstance(event, Saved) and event.step >= at:
            break  # as a kill would
    list(running(again, descend(), stages=stack([]), store=Store(tmp_path, "x")).run())
    assert all(torch.equal(t, again.tensors[name]) for name, t in whole.tensors.items())


@pytest.mark.parametrize("make", [partial(Feed, batch=7), partial(Lanes, lanes=7)], ids=["feed", "lanes"])
def test_a_feed_through_a_layer_hands_out_the_same_rows(monkeypatch, make):
    monkeypatch.setattr(shuffled, "ENCODED_ROWS", 8)
    sizes, data = [], Part(torch.arange(60.0).reshape(30, 2), torch.arange(30) % 2, torch.arange(30), weight=torch.rand(30))
    feed = make(data, doubled, seed=3)

    def encode(x):
        sizes.append(len(x))
        return x.square() + 1

    through = feed.through(encode)
    assert sizes == [8, 8, 8, 6]
    for epoch in range(2):
        for mine, theirs in zip(feed.chunks(epoch, 0, 2), through.chunks(epoch, 0, 2), strict=True):
            assert torch.equal(theirs.x, mine.x.square() + 1)
            for a, b in ((mine.y, theirs.y), (mine.weight, theirs.weight), (mine.fresh, theirs.fresh)):
                assert (a is None and b is None) or torch.equal(a, b)
    assert sizes == [8, 8, 8, 6]


def doubled(x):  # stored in single precision, read in double
    return x.double()


def test_rows_that_stay_on_disk_are_encoded_by_blocks(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    draw = np.random.default_rng(0)
    frame = pl.DataFrame({"a": draw.normal(size=300), "b": draw.normal(size=300), "y": ["up", "down"] * 150})
    frame.write_parquet(tmp_path / "t.parquet")
    job = build(cr.load(tmp_path / "t.parquet", target="y", stream=True), Options(net="mlp:hidden=4", batch=16, epochs=1))
    assert isinstance(job.data.train.x, Streamed)
    monkeypatch.setattr(shuffled, "ENCODED_ROWS", 50)
    sizes = []
    through = job.feed().through(lambda x: (sizes.append(len(x)), x.exp())[1])
    assert max(sizes) <= 50
    assert sum(sizes) == len(job.data.train)
    everything = job.data.train.x[:]
    for batch in range(through.batches):
        rows = through._span(0, batch * 16, batch * 16 + 16)
        read = next(through.chunks(0, batch, 1))[0]
        assert torch.equal(read.x[: len(rows)], everything[rows].exp())
        assert torch.equal(read.y[: len(rows)], job.data.train.y[rows])


def test_what_does_not_fit_into_memory_is_refused_after_one_block(monkeypatch):
    monkeypatch.setattr(shuffled, "ENCODED_ROWS", 10)
    monkeypatch.setattr(shuffled, "free_memory", lambda: 1000)
    seen = []
    with pytest.raises(InputError, match=r"reads of 30 rows takes 12,000 bytes; 1,000 are free\. Use fewer rows"):
        Feed(part(), torch.Tensor.float, batch=7).through(lambda x: (seen.append(1), x.new_ones(len(x), 100))[1])
    assert seen == [1]
