"""Snapshots in the loop: where cycles end, the weights kept there under every plan, on disk before any checkpoint, alone and in a stack."""

from collections import defaultdict
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_members import member, run
from tiny import dense, running

from chainrule.core.criterion import Supervised
from chainrule.core.descend import Descend, set_pace
from chainrule.core.events import Saved, Warned
from chainrule.core.net import Net
from chainrule.engine.pace import cycle_ends
from chainrule.engine.plans.plan import Plan
from chainrule.engine.stop import Stop
from chainrule.engine.store import Store
from chainrule.engine.train import train_seat
from chainrule.losses.classic import cross_entropy
from chainrule.optim.first_order import sgd
from chainrule.optim.schedules import cosine
from chainrule.rules.backprop import backprop

STEPS, CYCLES = 20, 3       # five batches an epoch: cycles end within epochs


def rule():
    direction = partial(backprop, criterion=Supervised(cross_entropy()))
    return Descend(direction, sgd(rate=0.3, momentum=0.9), schedule=cosine())


def kept(seat):
    list(train_seat(seat))
    return seat.snapshots


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(t, b[name]) for name, t in a.items())


@given(st.integers(1, 500), st.integers(1, 12))
def test_cycles_are_equal_to_the_step_and_fill_the_run(steps, cycles):
    ends = cycle_ends(steps, cycles)
    lengths = [b - a for a, b in pairwise([0, *ends])]
    assert ends[-1] == steps
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("steps", [STEPS, 21, 64])
def test_the_schedule_begins_anew_where_the_weights_are_kept(steps):
    """By the definition: each cycle goes from share 0 at its first step to share 1 at its last, in equal strides."""
    shares = []

    def noted(share):
        shares.append(float(share))
        return torch.ones_like(share)

    descent = rule()
    descent.descent.schedule = noted
    list(running(dense(), descent, epochs=None, steps=steps, snapshots=CYCLES, under=Plan(threads=1, chunk=4)).run())
    ends = cycle_ends(steps, CYCLES)
    assert shares == pytest.approx([i / (end - begin - 1) for begin, end in pairwise([0, *ends]) for i in range(end - begin)], abs=1e-6)


@pytest.mark.parametrize("plan", [Plan(threads=1), Plan(threads=1, chunk=4)])
def test_a_snapshot_is_what_the_same_steps_by_hand_lead_to(plan):
    """Bit for bit, though cycles end within chunks, within epochs, and at the end."""
    weights = kept(running(dense(norm=True), rule(), epochs=None, steps=STEPS, snapshots=CYCLES, under=plan))
    assert list(weights) == [1, 2, 3]
    torch.set_num_threads(1)
    net, descent, feed = dense(norm=True), rule(), running(dense(), rule()).feed_for(0)
    net.module.train()
    state, ends = descent.init(net), [0, *cycle_ends(STEPS, CYCLES)]
    for step in range(STEPS):
        begin, end = next((b, e) for b, e in pairwise(ends) if step < e)
        set_pace(state, {"done": (step - begin) / (end - begin - 1), "each": 0.0, "whole": 1.0})
        net, state, _ = descent.step(net, state, next(feed.chunks(step // feed.batches, step % feed.batches, 1))[0])
        if step + 1 in ends:
            assert same(weights[ends.index(step + 1)], {name: t.detach() for name, t in net.tensors.items()})


def test_a_program_in_c_keeps_the_same_snapshots():
    mine = kept(running(dense(), rule(), epochs=None, steps=STEPS, snapshots=CYCLES, under=Plan(native=True, chunk=8, threads=1)))
    eager = kept(running(dense(), rule(), epochs=None, steps=STEPS, snapshots=CYCLES))
    for number in eager:
        for name, t in eager[number].items():
            torch.testing.assert_close(mine[number][name], t, rtol=1e-4, atol=1e-5)


def test_no_checkpoint_is_ahead_of_its_snapshots(tmp_path):
    """Whatever checkpoint a killed run leaves, the snapshots of all cycles that it has passed are there, whole."""
    store, ends = Store(tmp_path, "r"), cycle_ends(STEPS, CYCLES)
    training = running(dense(), rule(), epochs=None, steps=STEPS, snapshots=CYCLES, store=store, save_every=0.0)
    saves = 0
    for event in training.run():
        if isinstance(event, Saved):
            saves += 1
            for number, end in enumerate(ends, 1):
                assert store.snapshot(number).exists() == (event.step >= end)
    assert saves >= STEPS - 1
    assert training.snapshots == {}


@pytest.mark.parametrize("at", [3, 6, 7, 8, 14, 17])
def test_it_goes_on_to_the_same_snapshots(tmp_path, at):
    whole = kept(running(dense(0.2), rule(), epochs=None, steps=STEPS, snapshots=CYCLES))
    store, stop = Store(tmp_path, "r"), Stop()
    first = running(dense(0.2), rule(), epochs=None, steps=STEPS, snapshots=CYCLES, store=store, stop=stop, save_every=0.0)
    for event in first.run():
        if isinstance(event, Saved) and event.step >= at:
            stop.request("SIGINT")
    assert first.position.finished == ""
    list(running(dense(0.2), rule(), epochs=None, steps=STEPS, snapshots=CYCLES, store=Store(tmp_path, "r")).run())
    for number, tensors in whole.items():
        net = dense(0.2)
        store.load_snapshot(number, net)
        assert same(tensors, net.tensors)


def test_a_snapshot_that_found_no_room_is_written_later_and_no_checkpoint_passes_it(tmp_path, monkeypatch):
    whole = kept(running(dense(), rule(), epochs=None, steps=STEPS, snapshots=CYCLES))
    store, tried = Store(tmp_path, "r"), defaultdict(int)
    write = store.save_snapshot

    def full(number, tensors):
        tried[number] += 1
        if number == 1 and tried[1] < 3:
            raise OSError(28, "No space left on device")
        write(number, tensors)

    monkeypatch.setattr(store, "save_snapshot", full)
    told, end = [], cycle_ends(STEPS, CYCLES)[0]
    for event in running(dense(), rule(), epochs=None, steps=STEPS, snapshots=CYCLES, store=store, save_every=0.0).run():
        told.append(event)
        saved = store.position()
        assert store.snapshot(1).exists() or saved is None or saved.step < end
    assert [type(e).__name__ for e in told if isinstance(e, Warned)] == ["Warned"]
    assert end not in [e.step for e in told if isinstance(e, Saved)]
    assert tried[1] == 3
    for number, tensors in whole.items():
        net = dense()
        store.load_snapshot(number, net)
        assert same(tensors, net.tensors)


def made(seed, batch, store=None):
    """A member whose training has snapshots."""
    one = member(seed, schedule=True, epochs=None, steps=STEPS, batch=batch, store=store)
    one.seat.settings = replace(one.seat.settings, snapshots=CYCLES)
    return one


@pytest.mark.usefixtures("worth_a_trial", "together")
@pytest.mark.parametrize("batch", [7, 8])   # of 30 rows: the last batch smaller than the others
def test_members_of_a_stack_keep_theirs(tmp_path, batch):
    """Each on disk as when it is trained alone, where stacks sum in another order nearly so."""
    stores = []
    for seed in (0, 1, 2):
        (tmp_path / str(seed)).mkdir()
        stores.append(Store(tmp_path / str(seed), "r"))
    several = [made(seed, batch, store) for seed, store in zip((0, 1, 2), stores, strict=True)]
    run(several)
    assert [one.seat.position.plan[0].get("together") for one in several] == [3, 3, 3]
    for seed, store in zip((0, 1, 2), stores, strict=True):
        alone = kept(made(seed, batch).seat)
        assert list(alone) == [1, 2, 3]
        for number, tensors in alone.items():
            net = Net.of(made(seed, batch).seat.net.module)
            store.load_snapshot(number, net)
            for name, t in tensors.items():
                torch.testing.assert_close(net.tensors[name], t, rtol=1e-4, atol=1e-6)
